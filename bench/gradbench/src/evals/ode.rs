//! ode: `y' = F(y)` with `F_0 = x_0`, `F_i = x_i y_{i-1}` from `y = 0` over a time of 2, by the classical
//! Runge-Kutta method in `s` steps.

use gradus_num::Real;
use gradus_num::checkpoint::{self, LoopBody};
use serde::Deserialize;
use serde_json::value::RawValue;

use super::{Eval, unknown};
use crate::error::{Result, require};
use crate::input::{Count, decode};
use crate::task::{Task, vector};

pub const EVAL: Eval = Eval { name: "ode", functions: &["primal", "gradient"], bare_input: false, prepare };

/// The integration as a loop over steps; its result is the last element of the final state.
struct RungeKutta {
    h: f64,
}

impl LoopBody for RungeKutta {
    /// `k1 = F(y)`, `k2 = F(y + h/2 k1)`, `k3 = F(y + h/2 k2)`, `k4 = F(y + h k3)`, `y += h/6 (k1 + 2 k2 + 2 k3 + k4)`.
    ///
    /// Stage `i` needs stages of `i - 1` only, so one pass over `i` does all four.
    fn step<R: Real>(&self, _t: usize, y: &mut [R], x: &[R]) {
        let h = self.h;
        let mut stages = [R::one(); 4]; // what F_i multiplies x_i with; F_0 = x_0
        for (y, &x) in y.iter_mut().zip(x) {
            let [k1, k2, k3, k4] = stages.map(|stage| x * stage);
            stages = [*y, *y + k1.scale(h / 2.0), *y + k2.scale(h / 2.0), *y + k3.scale(h)];
            *y += ((k1 + k4) + (k2 + k3).scale(2.0)).scale(h / 6.0);
        }
    }

    fn result<R: Real>(&self, y: &[R], _x: &[R]) -> R {
        y[y.len() - 1]
    }
}

fn solve(x: &[f64], steps: usize, y: &mut [f64]) {
    let body = RungeKutta { h: 2.0 / steps as f64 };
    y.fill(0.0);
    for t in 0..steps {
        body.step(t, y, x);
    }
}

#[derive(Deserialize)]
struct Input {
    x: Vec<f64>,
    s: Count,
}

fn prepare(function: &str, input: &RawValue) -> Result<Box<dyn Task>> {
    let Input { x, s: Count(steps) } = decode(input)?;
    require(!x.is_empty(), || "x is empty".into())?;
    require(steps >= 1, || "s is 0, but at least one step is needed".into())?;
    match function {
        "primal" => Ok(vector(x.len(), move |y| solve(&x, steps, y))),
        "gradient" => {
            let start = vec![0.0; x.len()];
            let body = RungeKutta { h: 2.0 / steps as f64 };
            Ok(vector(x.len(), move |g| {
                g.copy_from_slice(&checkpoint::gradient(&body, steps, slots(steps), &start, &x).params);
            }))
        }
        _ => unknown(&EVAL, function),
    }
}

/// All states of a short loop are kept, a bounded number of a long one.
fn slots(steps: usize) -> usize {
    steps.min(128)
}
