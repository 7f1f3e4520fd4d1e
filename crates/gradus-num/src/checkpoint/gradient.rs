//! The gradient of a loop: one step at a time on the tape, the schedule around it.

use std::vec::Vec;

use super::schedule::{LoopCost, reverse_loop, reverse_while};
use crate::{Real64, Tape, Var};

/// A loop that can be differentiated: a step on a state, and a result of the final state.
///
/// ```
/// use gradus_num::Real64;
/// use gradus_num::checkpoint::{LoopBody, gradient};
///
/// /// Logistic growth by Euler's method: the parameters are the rate and the capacity.
/// struct Growth;
/// impl LoopBody for Growth {
///     fn step<R: Real64>(&self, _t: usize, state: &mut [R], p: &[R]) {
///         state[0] += p[0] * state[0] * (R::one() - state[0] / p[1]) * 1e-3;
///     }
///     fn result<R: Real64>(&self, state: &[R], _p: &[R]) -> R {
///         state[0]
///     }
/// }
/// let g = gradient(&Growth, 5_000, 8, &[0.1], &[1.5, 2.0]);
/// assert!(g.params[0] > 0.0 && g.cost.stored <= 8);
/// ```
pub trait LoopBody {
    /// Performs step `t` in place.
    fn step<R: Real64>(&self, t: usize, state: &mut [R], params: &[R]);
    /// The number whose gradient is wanted, from the final state.
    fn result<R: Real64>(&self, state: &[R], params: &[R]) -> R;
    /// Whether [`gradient_while`] takes step `t`.
    fn more(&self, t: usize, state: &[f64], params: &[f64]) -> bool {
        let _ = (t, state, params);
        false
    }
}

/// The gradient of a loop's result.
#[derive(Clone, Debug)]
pub struct LoopGradient {
    /// The result.
    pub value: f64,
    /// Its derivatives with respect to the initial state.
    pub state: Vec<f64>,
    /// Its derivatives with respect to the parameters.
    pub params: Vec<f64>,
    /// What the schedule did.
    pub cost: LoopCost,
    /// The bytes of the tape, which holds one step at a time.
    pub tape_bytes: usize,
}

/// The gradient of a loop of `steps` steps, storing at most `slots` states.
pub fn gradient<B: LoopBody>(
    body: &B,
    steps: usize,
    slots: usize,
    state: &[f64],
    params: &[f64],
) -> LoopGradient {
    let mut back = Backwards::new(body, params);
    if steps == 0 {
        back.finish(state);
    }
    let cost = reverse_loop(
        steps,
        slots,
        &state.to_vec(),
        |t, state| body.step(t, state, params),
        |t, state| {
            if t + 1 == steps {
                back.last_step(t, state);
            } else {
                back.step(t, state);
            }
        },
    );
    back.into_gradient(cost)
}

/// The gradient of a loop that runs while [`LoopBody::more`] holds, storing at most `slots` states (at least 2).
pub fn gradient_while<B: LoopBody>(body: &B, slots: usize, state: &[f64], params: &[f64]) -> LoopGradient {
    let back = core::cell::RefCell::new(Backwards::new(body, params));
    let cost = reverse_while(
        slots,
        &state.to_vec(),
        |t, state| body.more(t, state, params),
        |t, state| body.step(t, state, params),
        |_, state| back.borrow_mut().finish(state),
        |t, state| back.borrow_mut().step(t, state),
    );
    back.into_inner().into_gradient(cost)
}

/// The cotangents in the backward pass, and the tape that one step at a time is recorded on.
struct Backwards<'a, B> {
    body: &'a B,
    inputs: &'a [f64],
    tape: Tape,
    value: f64,
    state: Vec<f64>,
    params: Vec<f64>,
}

impl<'a, B: LoopBody> Backwards<'a, B> {
    fn new(body: &'a B, inputs: &'a [f64]) -> Self {
        Backwards {
            body,
            inputs,
            tape: Tape::new(),
            value: f64::NAN,
            state: Vec::new(),
            params: vec![0.0; inputs.len()],
        }
    }

    /// Starts the cotangents at the final state.
    fn finish(&mut self, state: &[f64]) {
        let body = self.body;
        self.value = self.pull(state, |params, state, _| {
            let result = body.result(state, params);
            (result.primal(), vec![(result, 1.0)])
        });
    }

    /// The last step and the result in one recording, so that the final state need not be computed before.
    fn last_step(&mut self, t: usize, state: &[f64]) {
        let body = self.body;
        self.value = self.pull(state, |params, state, _| {
            body.step(t, state, params);
            let result = body.result(state, params);
            (result.primal(), vec![(result, 1.0)])
        });
    }

    /// Pulls the cotangents back through step `t`.
    fn step(&mut self, t: usize, state: &[f64]) {
        let body = self.body;
        self.pull(state, |params, state, cotangents| {
            body.step(t, state, params);
            (0.0, state.iter().copied().zip(cotangents.iter().copied()).collect())
        });
    }

    /// Records `f` from the given state, pulls its seeds back, and keeps the cotangents of state and parameters.
    fn pull(
        &mut self,
        state: &[f64],
        f: impl for<'t> FnOnce(&[Var<'t>], &mut [Var<'t>], &[f64]) -> (f64, Vec<(Var<'t>, f64)>),
    ) -> f64 {
        self.tape.reset();
        let tape = &self.tape;
        let params = tape.vars(self.inputs);
        let mut vars = tape.vars(state);
        let (value, seeds) = f(&params, &mut vars, &self.state);
        let adjoints = tape.pullback_with(seeds);
        let leading = adjoints.leading(params.len() + state.len());
        for (total, part) in self.params.iter_mut().zip(leading) {
            *total += part;
        }
        self.state.clear();
        self.state.extend_from_slice(&leading[params.len()..]);
        value
    }

    fn into_gradient(self, cost: LoopCost) -> LoopGradient {
        LoopGradient {
            value: self.value,
            tape_bytes: self.tape.bytes(),
            state: self.state,
            params: self.params,
            cost,
        }
    }
}
