//! Gradients of checkpointed loops: the same as those of the whole loop on one tape, in the memory of one step.

use gradus_num::checkpoint::{LoopBody, gradient, gradient_while, least_advances};
use gradus_num::{Real, Tape};

/// A damped pendulum by a semi-implicit step.
struct Pendulum;

impl LoopBody for Pendulum {
    fn step<R: Real>(&self, t: usize, s: &mut [R], p: &[R]) {
        let h = R::from_f64(0.01);
        let push = R::from_f64((0.05 * t as f64).sin());
        s[1] += h * (-p[0] * s[0].sin() - p[1] * s[1] + push * p[2]);
        s[0] += h * s[1];
    }
    fn result<R: Real>(&self, s: &[R], p: &[R]) -> R {
        s[0] * s[0] + s[1] * p[0]
    }
    fn more(&self, t: usize, s: &[f64], _p: &[f64]) -> bool {
        t < 400 && s[0] > -0.5
    }
}

const STATE: [f64; 2] = [0.8, -0.1];
const PARAMETERS: [f64; 3] = [1.2, 0.3, 0.7];

/// The gradient with everything on one tape.
fn on_one_tape(steps: usize) -> (f64, Vec<f64>, Vec<f64>, usize) {
    let tape = Tape::new();
    let params = tape.vars(&PARAMETERS);
    let start = tape.vars(&STATE);
    let mut state = start.clone();
    for t in 0..steps {
        Pendulum.step(t, &mut state, &params);
    }
    let result = Pendulum.result(&state, &params);
    let a = tape.pullback(result);
    let read = |vars: &[gradus_num::Var<'_>]| vars.iter().map(|&v| a.wrt(v)).collect();
    (result.value(), read(&start), read(&params), tape.bytes())
}

fn close(a: &[f64], b: &[f64]) {
    assert_eq!(a.len(), b.len());
    for (a, b) in a.iter().zip(b) {
        assert!((a - b).abs() <= 1e-12 * (1.0 + b.abs()), "{a} is not {b}");
    }
}

#[test]
fn known_lengths() {
    for steps in [0, 1, 2, 7, 100, 500] {
        let (value, state, params, whole) = on_one_tape(steps);
        for slots in [1, 2, 5, 20] {
            let g = gradient(&Pendulum, steps, slots, &STATE, &PARAMETERS);
            close(&[g.value], &[value]);
            close(&g.state, &state);
            close(&g.params, &params);
            assert!(g.cost.stored <= slots);
            assert_eq!(g.cost.advances, least_advances(steps, slots));
            if steps == 500 {
                assert!(g.tape_bytes * 3 < whole, "{} of {whole} bytes", g.tape_bytes);
            }
        }
    }
}

#[test]
fn unknown_lengths() {
    let g = gradient_while(&Pendulum, 6, &STATE, &PARAMETERS);
    assert!(g.cost.steps > 50 && g.cost.stored <= 6);
    let (value, state, params, _) = on_one_tape(g.cost.steps);
    close(&[g.value], &[value]);
    close(&g.state, &state);
    close(&g.params, &params);
}
