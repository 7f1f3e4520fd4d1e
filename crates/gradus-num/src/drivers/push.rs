//! Forward passes of the drivers.
//!
//! Tangents go through unguarded at first (see [`Unguarded`]); where a derivative comes out NaN, all are computed again with
//! numbers that know which zeros are structural (see [`Tracked`]). Both give the same bits wherever the first gives a number.

use std::vec::Vec;

use super::vector::call;
use super::{Lanes, ScalarFn, Slot, VectorFn};
use crate::dual::{Tracked, Unguarded};
use crate::{Dual, Real};

/// The chunk width of the second attempt: only one, so that it compiles the function once.
const GUARDED_WIDTH: usize = 4;

pub(crate) fn any_nan(numbers: &[f64]) -> bool {
    numbers.iter().fold(false, |any, x| any | x.is_nan())
}

/// Fills `work` with the constants `x`, and space for `outputs` behind them.
fn lift<T: Real, const W: usize>(work: &mut Vec<Dual<T, W>>, x: &[f64], outputs: usize) {
    work.clear();
    work.extend(x.iter().map(|&x| Dual::constant(T::from_f64(x))));
    work.resize(x.len() + outputs, Dual::constant(T::zero()));
}

/// Sets the unit tangents of a chunk to `value`.
#[inline]
fn mark<T: Real, const W: usize>(chunk: &mut [Dual<T, W>], value: T) {
    for (lane, input) in chunk.iter_mut().enumerate() {
        input.tangent[lane] = value;
    }
}

#[inline]
fn read<T: Real, const W: usize>(from: &Dual<T, W>, into: &mut [f64]) {
    for (entry, tangent) in into.iter_mut().zip(&from.tangent) {
        *entry = tangent.value();
    }
}

/// Where one pass takes all inputs, its seeds are the same in every call: only the primals change. (`f` is called in one
/// place, so that the compiler may well put it there.)
#[inline]
fn gradient_of<F: ScalarFn, T: Real, const W: usize>(
    f: &F,
    x: &[f64],
    work: &mut Vec<Dual<T, W>>,
    gradient: &mut [f64],
) -> f64 {
    let n = x.len();
    let in_one = n <= W;
    if in_one && work.len() == n {
        for (v, &x) in work.iter_mut().zip(x) {
            v.primal = T::from_f64(x);
        }
    } else {
        lift(work, x, 0);
        mark(&mut work[..if in_one { n } else { 0 }], T::one());
    }
    let mut start = 0;
    loop {
        let chunk = start..n.min(start + W);
        if !in_one {
            mark(&mut work[chunk.clone()], T::one());
        }
        let y = f.call(work);
        read(&y, &mut gradient[chunk.clone()]);
        if !in_one {
            mark(&mut work[chunk], T::zero());
        }
        start += W;
        if start >= n {
            return y.value();
        }
    }
}

/// Writes `∇f(x)` into `gradient`, which is as long as `x`, and returns `f(x)`.
#[inline]
pub(super) fn gradient<F: ScalarFn, const W: usize>(
    f: &F,
    x: &[f64],
    lanes: &mut Lanes,
    gradient: &mut [f64],
) -> f64
where
    Lanes: Slot<W>,
{
    let buffers = Slot::<W>::slot(lanes);
    let value = gradient_of(f, x, &mut buffers.unguarded, gradient);
    if any_nan(gradient) { guarded_gradient(f, x, lanes, gradient) } else { value }
}

#[cold]
#[inline(never)]
fn guarded_gradient<F: ScalarFn>(f: &F, x: &[f64], lanes: &mut Lanes, gradient: &mut [f64]) -> f64 {
    gradient_of(f, x, &mut Slot::<GUARDED_WIDTH>::slot(lanes).tracked, gradient)
}

/// The value with its tangents, and whether one of these is NaN. (Loops over plain arrays, which stay in registers.)
#[inline(always)]
fn array_in_one<F: ScalarFn, T: Real, const N: usize>(f: &F, x: &[f64; N]) -> (f64, [f64; N], bool) {
    let mut inputs = [Dual::<T, N>::constant(T::zero()); N];
    for j in 0..N {
        inputs[j].primal = T::from_f64(x[j]);
        inputs[j].tangent[j] = T::one();
    }
    let y = f.call(&inputs);
    let (mut gradient, mut nan) = ([0.0; N], false);
    for j in 0..N {
        gradient[j] = y.tangent[j].value();
        nan |= gradient[j].is_nan();
    }
    (y.value(), gradient, nan)
}

/// `f(x)` and `∇f(x)` in one pass of exactly the width that is needed.
#[inline(always)]
pub(super) fn array<F: ScalarFn, const N: usize>(f: &F, x: &[f64; N]) -> (f64, [f64; N]) {
    #[cold]
    #[inline(never)]
    fn guarded<F: ScalarFn, const N: usize>(f: &F, x: &[f64; N]) -> (f64, [f64; N]) {
        let (value, gradient, _) = array_in_one::<F, Tracked, N>(f, x);
        (value, gradient)
    }
    let (value, gradient, nan) = array_in_one::<F, Unguarded, N>(f, x);
    if nan { guarded(f, x) } else { (value, gradient) }
}

fn jacobian_in_chunks<F: VectorFn, T: Real, const W: usize>(
    f: &F,
    x: &[f64],
    work: &mut Vec<Dual<T, W>>,
    y: &mut [f64],
    jacobian: &mut [f64],
) {
    let (n, m) = (x.len(), y.len());
    lift(work, x, m);
    let (inputs, outputs) = work.split_at_mut(n);
    if n == 0 {
        f.call(inputs, outputs);
    }
    for start in (0..n).step_by(W) {
        let chunk = start..n.min(start + W);
        mark(&mut inputs[chunk.clone()], T::one());
        call(f, inputs, outputs);
        mark(&mut inputs[chunk.clone()], T::zero());
        for (row, output) in jacobian.chunks_exact_mut(n).zip(outputs.iter()) {
            read(output, &mut row[chunk.clone()]);
        }
    }
    for (y, output) in y.iter_mut().zip(outputs) {
        *y = output.value();
    }
}

/// Writes `f(x)` into `y` and the Jacobian by rows into `jacobian`.
pub(super) fn jacobian<F: VectorFn, const W: usize>(
    f: &F,
    x: &[f64],
    lanes: &mut Lanes,
    y: &mut [f64],
    jacobian: &mut [f64],
) where
    Lanes: Slot<W>,
{
    jacobian_in_chunks(f, x, &mut Slot::<W>::slot(lanes).unguarded, y, jacobian);
    if any_nan(jacobian) {
        guarded_jacobian(f, x, lanes, y, jacobian);
    }
}

#[cold]
#[inline(never)]
fn guarded_jacobian<F: VectorFn>(f: &F, x: &[f64], lanes: &mut Lanes, y: &mut [f64], jacobian: &mut [f64]) {
    jacobian_in_chunks(f, x, &mut Slot::<GUARDED_WIDTH>::slot(lanes).tracked, y, jacobian);
}

fn directional_of<F: ScalarFn, T: Real>(
    f: &F,
    x: &[f64],
    v: &[f64],
    work: &mut Vec<Dual<T, 1>>,
) -> (f64, f64) {
    aim(work, x, v, 0);
    let y = f.call(work);
    (y.value(), y.tangent[0].value())
}

/// Fills `work` with the point `x` moving along `v`, and space for `outputs` behind it.
pub(super) fn aim<T: Real>(work: &mut Vec<Dual<T, 1>>, x: &[f64], v: &[f64], outputs: usize) {
    work.clear();
    work.extend(x.iter().zip(v).map(|(&x, &v)| Dual::new(T::from_f64(x), [T::from_f64(v)])));
    work.resize(x.len() + outputs, Dual::constant(T::zero()));
}

/// `f(x)` and `∇f(x)·v`.
pub(super) fn directional<F: ScalarFn>(f: &F, x: &[f64], v: &[f64], lanes: &mut Lanes) -> (f64, f64) {
    let buffers = Slot::<1>::slot(lanes);
    let result = directional_of(f, x, v, &mut buffers.aimed);
    if result.1.is_nan() { directional_of(f, x, v, &mut buffers.tracked) } else { result }
}

fn jvp_of<F: VectorFn, T: Real>(
    f: &F,
    x: &[f64],
    v: &[f64],
    work: &mut Vec<Dual<T, 1>>,
    y: &mut [f64],
    product: &mut [f64],
) {
    aim(work, x, v, y.len());
    let (inputs, outputs) = work.split_at_mut(x.len());
    call(f, inputs, outputs);
    for (i, out) in outputs.iter().enumerate() {
        (y[i], product[i]) = (out.value(), out.tangent[0].value());
    }
}

/// Writes `f(x)` into `y` and `J(x) v` into `product`.
pub(crate) fn jvp<F: VectorFn>(
    f: &F,
    x: &[f64],
    v: &[f64],
    lanes: &mut Lanes,
    y: &mut [f64],
    product: &mut [f64],
) {
    let buffers = Slot::<1>::slot(lanes);
    jvp_of(f, x, v, &mut buffers.aimed, y, product);
    if any_nan(product) {
        jvp_of(f, x, v, &mut buffers.tracked, y, product);
    }
}
