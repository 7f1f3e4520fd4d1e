//! Second derivatives, by a dual number within a dual number.

use alloc::vec;
use alloc::vec::Vec;

use super::{Dual2, same_len};
use crate::{Dual, Real};

/// `f''(x)` of a function of one variable.
///
/// ```
/// use gradus_num::{Scalar, forward};
///
/// assert_eq!(forward::second_derivative(|x| x.exp(), 0.0), 1.0);
/// ```
pub fn second_derivative<T: Real>(f: impl FnOnce(Dual2<T, 1>) -> Dual2<T, 1>, x: T) -> T {
    f(along(x, T::one())).tangent[0].tangent[0]
}

/// `(f(x), ∇f(x)·v, vᵀ ∇²f(x) v)`: value, slope and curvature along `v`.
///
/// # Panics
/// If `v` and `x` differ in length.
pub fn second_directional<T: Real>(
    f: impl FnOnce(&[Dual2<T, 1>]) -> Dual2<T, 1>,
    x: &[T],
    v: &[T],
) -> (T, T, T) {
    same_len("the direction", x.len(), v.len());
    let args: Vec<_> = x.iter().zip(v).map(|(&xi, &vi)| along(xi, vi)).collect();
    let y = f(&args);
    (y.primal.primal, y.primal.tangent[0], y.tangent[0].tangent[0])
}

/// The number `x` moving with speed `v` in both levels.
fn along<T: Real>(x: T, v: T) -> Dual2<T, 1> {
    Dual::new(Dual::new(x, [v]), [Dual::constant(v)])
}

/// The Hessian of `f: ℝⁿ → ℝ`, a full symmetric matrix by rows.
///
/// ```
/// use gradus_num::forward;
///
/// let h = forward::hessian::<f64, 2>(|x| x[0] * x[0] * x[1], &[3.0, 5.0]);
/// assert_eq!(h, [10.0, 6.0, 6.0, 0.0]);
/// ```
pub fn hessian<T: Real, const N: usize>(f: impl FnMut(&[Dual2<T, N>]) -> Dual2<T, N>, x: &[T]) -> Vec<T> {
    let n = x.len();
    let (mut gradient, mut hessian) = (vec![T::zero(); n], vec![T::zero(); n * n]);
    hessian_into(f, x, &mut Vec::new(), &mut gradient, &mut hessian);
    hessian
}

/// Writes `∇f(x)` and the Hessian into the given buffers and returns `f(x)`; `work` is reused from call to call.
///
/// Row `i` takes the inner direction `i` and outer directions from `i` on only: the rest follows by symmetry.
///
/// # Panics
/// If `gradient` is not of length `n` or `hessian` not of length `n²`.
pub fn hessian_into<T: Real, const N: usize>(
    mut f: impl FnMut(&[Dual2<T, N>]) -> Dual2<T, N>,
    x: &[T],
    work: &mut Vec<Dual2<T, N>>,
    gradient: &mut [T],
    hessian: &mut [T],
) -> T {
    let n = x.len();
    same_len("the gradient", n, gradient.len());
    same_len("the Hessian", n * n, hessian.len());
    lift(work, x);
    if n == 0 {
        return f(work).primal.primal;
    }
    let mut value = T::zero();
    for i in 0..n {
        work[i].primal.tangent[0] = T::one();
        for start in (i..n).step_by(N) {
            let width = N.min(n - start);
            mark(&mut work[start..start + width], T::one());
            let y = f(work);
            mark(&mut work[start..start + width], T::zero());
            value = y.primal.primal;
            gradient[i] = y.primal.tangent[0];
            for lane in 0..width {
                let entry = y.tangent[lane].tangent[0];
                hessian[i * n + start + lane] = entry;
                hessian[(start + lane) * n + i] = entry;
            }
        }
        work[i].primal.tangent[0] = T::zero();
    }
    value
}

/// `∇²f(x) v`, without the Hessian.
///
/// ```
/// use gradus_num::forward;
///
/// let hv = forward::hvp::<f64, 2>(|x| x[0] * x[0] * x[1], &[3.0, 5.0], &[1.0, 1.0]);
/// assert_eq!(hv, [16.0, 6.0]);
/// ```
pub fn hvp<T: Real, const N: usize>(
    f: impl FnMut(&[Dual2<T, N>]) -> Dual2<T, N>,
    x: &[T],
    v: &[T],
) -> Vec<T> {
    let mut product = vec![T::zero(); x.len()];
    hvp_into(f, x, v, &mut Vec::new(), &mut product);
    product
}

/// Writes `∇²f(x) v` into `product` and returns `(f(x), ∇f(x)·v)`; `work` is reused from call to call.
///
/// # Panics
/// If `v` or `product` differs from `x` in length.
pub fn hvp_into<T: Real, const N: usize>(
    mut f: impl FnMut(&[Dual2<T, N>]) -> Dual2<T, N>,
    x: &[T],
    v: &[T],
    work: &mut Vec<Dual2<T, N>>,
    product: &mut [T],
) -> (T, T) {
    let n = x.len();
    same_len("the direction", n, v.len());
    same_len("the product", n, product.len());
    lift(work, x);
    for (w, &vi) in work.iter_mut().zip(v) {
        w.primal.tangent[0] = vi;
    }
    if n == 0 {
        return (f(work).primal.primal, T::zero());
    }
    let mut head = (T::zero(), T::zero());
    for start in (0..n).step_by(N) {
        let width = N.min(n - start);
        mark(&mut work[start..start + width], T::one());
        let y = f(work);
        mark(&mut work[start..start + width], T::zero());
        head = (y.primal.primal, y.primal.tangent[0]);
        for lane in 0..width {
            product[start + lane] = y.tangent[lane].tangent[0];
        }
    }
    head
}

/// `Σ ∂²f/∂xᵢ²`.
///
/// ```
/// use gradus_num::forward;
///
/// assert_eq!(forward::laplacian(|x| x[0] * x[0] + x[1] * x[1] * x[1], &[1.0, 2.0]), 14.0);
/// ```
pub fn laplacian<T: Real>(f: impl FnMut(&[Dual2<T, 1>]) -> Dual2<T, 1>, x: &[T]) -> T {
    laplacian_into(f, x, &mut Vec::new())
}

/// [`laplacian`] with a buffer that is reused from call to call.
pub fn laplacian_into<T: Real>(
    mut f: impl FnMut(&[Dual2<T, 1>]) -> Dual2<T, 1>,
    x: &[T],
    work: &mut Vec<Dual2<T, 1>>,
) -> T {
    lift(work, x);
    let mut sum = T::zero();
    for i in 0..x.len() {
        work[i] = along(x[i], T::one());
        sum += f(work).tangent[0].tangent[0];
        work[i] = Dual::constant(Dual::constant(x[i]));
    }
    sum
}

/// Fills `work` with the constants `x`, reusing its memory.
fn lift<T: Real, const N: usize>(work: &mut Vec<Dual2<T, N>>, x: &[T]) {
    const { assert!(N > 0, "a dual number needs at least one tangent here") };
    work.clear();
    work.extend(x.iter().map(|&xi| Dual::constant(Dual::constant(xi))));
}

/// Sets the outer unit tangent of each argument of a chunk to `value`.
fn mark<T: Real, const N: usize>(chunk: &mut [Dual2<T, N>], value: T) {
    for (lane, w) in chunk.iter_mut().enumerate() {
        w.tangent[lane].primal = value;
    }
}
