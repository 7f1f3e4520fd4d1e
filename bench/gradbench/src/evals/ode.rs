//! ode: `y' = F(y)` with `F_0 = x_0`, `F_i = x_i y_{i-1}` from `y = 0` over a time of 2, by the classical
//! Runge-Kutta method in `s` steps.

use std::ops::Range;

use gradus_num::Real;
use gradus_num::batch::{Batch, Block, PointFn};
use serde::Deserialize;
use serde_json::value::RawValue;

use super::{Eval, unknown};
use crate::error::{Result, require};
use crate::input::{Count, decode};
use crate::output::Output;
use crate::task::{Task, task};

pub const EVAL: Eval = Eval { name: "ode", functions: &["primal", "gradient"], bare_input: false, prepare };

/// How many elements to the left of `y_i` a step of four stages sees.
const REACH: usize = 4;

/// One step, element by element.
///
/// The inputs are the state `y`, then `x`, then what stands left of them: `x_i = 0` for all `i < 0`, and
/// `y_{-1} = 1`, `y_i = 0` for `i < -1`, so that `F_i = x_i y_{i-1}` holds for `i = 0`, too, and the elements left of
/// it never change.
struct RungeKutta {
    n: usize,
    h: f64,
}

impl PointFn for RungeKutta {
    fn points(&self) -> usize {
        self.n
    }

    fn shared(&self, _inputs: usize) -> Range<usize> {
        0..0
    }

    fn own(&self) -> usize {
        REACH + REACH + 1
    }

    /// `x_i, .., x_{i-3}`, then `y_i, .., y_{i-4}`.
    #[inline(always)]
    fn own_index(&self, i: usize, j: usize) -> usize {
        let (zero, one) = (2 * self.n, 2 * self.n + 1);
        let left_of_all = if j >= REACH && i + 1 == j - REACH { one } else { zero };
        self.own_row(i, j).unwrap_or(left_of_all)
    }

    #[inline(always)]
    fn own_row(&self, i: usize, j: usize) -> Option<usize> {
        let (first, back) = if j < REACH { (self.n, j) } else { (0, j - REACH) };
        (i >= back).then(|| first + i - back)
    }

    /// `k1 = F(y)`, `k2 = F(y + h/2 k1)`, `k3 = F(y + h/2 k2)`, `k4 = F(y + h k3)`, `y += h/6 (k1 + 2 k2 + 2 k3 + k4)`.
    ///
    /// All are indexed by the distance to the left of element `i`; each stage reaches one element less far.
    #[inline(always)]
    fn call<R: Real>(&self, _block: &Block, _shared: &[R], own: &[R], next: &mut [R]) {
        let (x, y, h) = (&own[..REACH], &own[REACH..], self.h);
        let (mut k1, mut k2, mut k3) = ([R::zero(); 4], [R::zero(); 3], [R::zero(); 2]);
        for d in 0..4 {
            k1[d] = x[d] * y[d + 1];
        }
        for d in 0..3 {
            k2[d] = x[d] * (y[d + 1] + k1[d + 1].scale(h / 2.0));
        }
        for d in 0..2 {
            k3[d] = x[d] * (y[d + 1] + k2[d + 1].scale(h / 2.0));
        }
        let k4 = x[0] * (y[1] + k3[1].scale(h));
        next[0] = y[0] + ((k1[0] + k4) + (k2[0] + k3[0]).scale(2.0)).scale(h / 6.0);
    }
}

/// Elements times steps.
const MAX_WORK: u128 = 1 << 36;

#[derive(Deserialize)]
struct Input {
    x: Vec<f64>,
    s: Count,
}

fn prepare(function: &str, input: &RawValue) -> Result<Box<dyn Task>> {
    let Input { x, s: Count(steps) } = decode(input)?;
    require(!x.is_empty(), || "x is empty".into())?;
    require(steps >= 1, || "s is 0, but at least one step is needed".into())?;
    let n = x.len();
    require(n as u128 * steps as u128 <= MAX_WORK, || {
        format!("{steps} steps of {n} elements are more than the {MAX_WORK} in all that end within minutes")
    })?;
    let step = RungeKutta { n, h: 2.0 / steps as f64 };
    let mut inputs = vec![0.0; n];
    inputs.extend(x);
    inputs.extend([0.0, 1.0]);
    let mut batch = Batch::<8>::new();
    match function {
        "primal" => {
            let run = move |all: &mut Vec<f64>| {
                all.copy_from_slice(&inputs);
                batch.run_steps(&step, steps, all);
                Ok(())
            };
            Ok(task(vec![0.0; 2 * n + 2], run, move |all| Output::Vector(all[..n].to_vec())))
        }
        "gradient" => {
            let run = move |cotangents: &mut Vec<f64>| {
                cotangents.fill(0.0);
                cotangents[n - 1] = 1.0;
                batch.pull_steps(&step, steps, slots(steps, n), &inputs, cotangents);
                Ok(())
            };
            Ok(task(vec![0.0; 2 * n + 2], run, move |all| Output::Vector(all[n..2 * n].to_vec())))
        }
        _ => unknown(&EVAL, function),
    }
}

/// All states of a short loop are kept, a bounded number of a long one, and not more than half a gigabyte where four are less.
fn slots(steps: usize, n: usize) -> usize {
    steps.min(128).min(((1 << 26) / n).max(4))
}
