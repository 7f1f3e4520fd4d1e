//! Passes of the second order: as those of the first (see [`push`](super::push)), with plain numbers at first, and again with
//! numbers that know which zeros are structural where a derivative came out NaN.

use std::vec::Vec;

use super::push::{aim, any_nan};
use super::width::{Nested, SECOND_ORDER_WIDTHS};
use super::{Lanes, ScalarFn, Slot};
use crate::{Dual, Real, Tape};

/// The width of the second attempt.
const GUARDED_WIDTH: usize = SECOND_ORDER_WIDTHS[0];

/// Records `f` on a tape of dual numbers, sweeps back once, and shows each input's adjoint.
pub(crate) fn sweep<F: ScalarFn, T: Real, const W: usize>(
    f: &F,
    tape: &mut Tape<Dual<T, W>>,
    x: &[Dual<T, W>],
    mut show: impl FnMut(usize, &Dual<T, W>),
) -> Dual<T, W> {
    tape.reset();
    let mut inputs = tape.take_vars();
    tape.vars_into(x, &mut inputs);
    let output = f.call(&inputs);
    let adjoints = tape.pullback(output);
    for (j, adjoint) in adjoints.leading(x.len()).iter().enumerate() {
        show(j, adjoint);
    }
    let value = output.primal();
    tape.give_vars(inputs);
    value
}

/// Forward over forward: row `i` takes the inner direction `i` and outer directions from `i` on only.
fn nested<F: ScalarFn, T: Real, const W: usize>(
    f: &F,
    x: &[f64],
    work: &mut Vec<Nested<T, W>>,
    gradient: &mut [f64],
    hessian: &mut [f64],
) -> f64 {
    let n = x.len();
    lift(work, x);
    if n == 0 {
        return f.call(work).value();
    }
    let mut value = 0.0;
    for i in 0..n {
        work[i].primal.tangent[0] = T::one();
        for start in (i..n).step_by(W) {
            let width = W.min(n - start);
            for lane in 0..width {
                work[start + lane].tangent[lane].primal = T::one();
            }
            let y = f.call(work);
            for lane in 0..width {
                work[start + lane].tangent[lane].primal = T::zero();
            }
            value = y.value();
            gradient[i] = y.primal.tangent[0].value();
            for lane in 0..width {
                let entry = y.tangent[lane].tangent[0].value();
                hessian[i * n + start + lane] = entry;
                hessian[(start + lane) * n + i] = entry;
            }
        }
        work[i].primal.tangent[0] = T::zero();
    }
    value
}

/// Fills `work` with the constants `x`.
fn lift<T: Real, const W: usize>(work: &mut Vec<Nested<T, W>>, x: &[f64]) {
    work.clear();
    work.extend(x.iter().map(|&x| Nested::<T, W>::from_f64(x)));
}

/// Writes `∇f(x)` and the Hessian, and returns `f(x)`: forward over forward.
pub(super) fn hessian_forward<F: ScalarFn, const W: usize>(
    f: &F,
    x: &[f64],
    lanes: &mut Lanes,
    gradient: &mut [f64],
    hessian: &mut [f64],
) -> f64
where
    Lanes: Slot<W>,
{
    let value = nested(f, x, &mut Slot::<W>::slot(lanes).second, gradient, hessian);
    if !any_nan(hessian) && !any_nan(gradient) {
        return value;
    }
    nested(f, x, &mut Slot::<GUARDED_WIDTH>::slot(lanes).second_tracked, gradient, hessian)
}

/// Forward over reverse: one recording and one sweep for every `W` columns.
fn columns<F: ScalarFn, T: Real, const W: usize>(
    f: &F,
    x: &[f64],
    inputs: &mut Vec<Dual<T, W>>,
    tape: &mut Tape<Dual<T, W>>,
    gradient: &mut [f64],
    hessian: &mut [f64],
) -> f64 {
    let n = x.len();
    let mut value = 0.0;
    for start in (0..n.max(1)).step_by(W) {
        let lanes = W.min(n - start);
        inputs.clear();
        inputs.extend(x.iter().map(|&x| Dual::from_f64(x)));
        for lane in 0..lanes {
            inputs[start + lane].tangent[lane] = T::one();
        }
        let y = sweep(f, tape, inputs, |j, adjoint| {
            gradient[j] = adjoint.value();
            for lane in 0..lanes {
                hessian[j * n + start + lane] = adjoint.tangent[lane].value();
            }
        });
        value = y.value();
    }
    value
}

/// Writes `∇f(x)` and the Hessian, and returns `f(x)`: forward over reverse.
pub(super) fn hessian_reverse<F: ScalarFn, const W: usize>(
    f: &F,
    x: &[f64],
    lanes: &mut Lanes,
    gradient: &mut [f64],
    hessian: &mut [f64],
) -> f64
where
    Lanes: Slot<W>,
{
    let buffers = Slot::<W>::slot(lanes);
    let value = columns(f, x, &mut buffers.aimed, &mut buffers.tape, gradient, hessian);
    if !any_nan(hessian) && !any_nan(gradient) {
        return value;
    }
    let buffers = Slot::<GUARDED_WIDTH>::slot(lanes);
    columns(f, x, &mut buffers.tracked, &mut buffers.tape_tracked, gradient, hessian)
}

fn product<F: ScalarFn, T: Real>(
    f: &F,
    (x, v): (&[f64], &[f64]),
    inputs: &mut Vec<Dual<T, 1>>,
    tape: &mut Tape<Dual<T, 1>>,
    gradient: &mut [f64],
    product: &mut [f64],
) -> (f64, f64) {
    aim(inputs, x, v, 0);
    let y = sweep(f, tape, inputs, |j, adjoint| {
        gradient[j] = adjoint.value();
        product[j] = adjoint.tangent[0].value();
    });
    (y.value(), y.tangent[0].value())
}

/// Writes `∇²f(x) v` into `result` and `∇f(x)` into `gradient`, and returns `f(x)` and `∇f(x)·v`.
pub(crate) fn hvp<F: ScalarFn>(
    f: &F,
    at: (&[f64], &[f64]),
    lanes: &mut Lanes,
    gradient: &mut [f64],
    result: &mut [f64],
) -> (f64, f64) {
    let buffers = Slot::<1>::slot(lanes);
    let head = product(f, at, &mut buffers.aimed, &mut buffers.tape, gradient, result);
    if !any_nan(result) && !any_nan(gradient) && !head.1.is_nan() {
        return head;
    }
    product(f, at, &mut buffers.tracked, &mut buffers.tape_tracked, gradient, result)
}

fn trace<F: ScalarFn, T: Real>(f: &F, x: &[f64], work: &mut Vec<Nested<T, 1>>) -> f64 {
    lift(work, x);
    let mut sum = 0.0;
    for i in 0..x.len() {
        work[i].primal.tangent[0] = T::one();
        work[i].tangent[0].primal = T::one();
        sum += f.call(work).tangent[0].tangent[0].value();
        work[i].primal.tangent[0] = T::zero();
        work[i].tangent[0].primal = T::zero();
    }
    sum
}

/// `Σ ∂²f/∂xᵢ²`.
pub(super) fn laplacian<F: ScalarFn>(f: &F, x: &[f64], lanes: &mut Lanes) -> f64 {
    let buffers = Slot::<1>::slot(lanes);
    let sum = trace(f, x, &mut buffers.second);
    if sum.is_nan() { trace(f, x, &mut buffers.second_tracked) } else { sum }
}
