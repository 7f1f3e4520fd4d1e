//! First derivatives.

use alloc::vec;
use alloc::vec::Vec;

use super::{chunks, same_len, seed};
use crate::{Dual, Real};

/// `f'(x)` of a function of one variable.
///
/// ```
/// use gradus_num::{Dual, Scalar, forward};
///
/// assert_eq!(forward::derivative(|x| x.sin(), 0.0), 1.0);
///
/// // Nested: the inner derivative sees `x` as a constant. d/dx (x · d/dy (x + y)) = 1.
/// let d = forward::derivative(|x| x * forward::derivative(|y| Dual::constant(x) + y, x), 1.0);
/// assert_eq!(d, 1.0);
/// ```
pub fn derivative<T: Real>(f: impl FnOnce(Dual<T, 1>) -> Dual<T, 1>, x: T) -> T {
    value_and_derivative(f, x).1
}

/// `(f(x), f'(x))`.
pub fn value_and_derivative<T: Real>(f: impl FnOnce(Dual<T, 1>) -> Dual<T, 1>, x: T) -> (T, T) {
    let y = f(Dual::variable(x, 0));
    (y.primal, y.tangent[0])
}

/// `(f(x), ∇f(x)·v)`: the value and the derivative along `v`.
///
/// # Panics
/// If `v` and `x` differ in length.
///
/// ```
/// use gradus_num::forward;
///
/// let (y, dy) = forward::directional(|x| x[0] * x[1], &[3.0, 4.0], &[1.0, 2.0]);
/// assert_eq!((y, dy), (12.0, 10.0));
/// ```
pub fn directional<T: Real>(f: impl FnOnce(&[Dual<T, 1>]) -> Dual<T, 1>, x: &[T], v: &[T]) -> (T, T) {
    same_len("the direction", x.len(), v.len());
    let args: Vec<_> = x.iter().zip(v).map(|(&xi, &vi)| Dual::new(xi, [vi])).collect();
    let y = f(&args);
    (y.primal, y.tangent[0])
}

/// `∇f(x)`.
pub fn gradient<T: Real, const N: usize>(f: impl FnMut(&[Dual<T, N>]) -> Dual<T, N>, x: &[T]) -> Vec<T> {
    value_and_gradient(f, x).1
}

/// `(f(x), ∇f(x))`.
///
/// ```
/// use gradus_num::{Dual, forward};
///
/// let (y, g) = forward::value_and_gradient(|x: &[Dual<f64, 4>]| x[0] * x[1] + x[2], &[2.0, 3.0, 4.0]);
/// assert_eq!((y, g), (10.0, vec![3.0, 2.0, 1.0]));
/// ```
pub fn value_and_gradient<T: Real, const N: usize>(
    f: impl FnMut(&[Dual<T, N>]) -> Dual<T, N>,
    x: &[T],
) -> (T, Vec<T>) {
    let mut gradient = vec![T::zero(); x.len()];
    let value = gradient_into(f, x, &mut Vec::new(), &mut gradient);
    (value, gradient)
}

/// Writes `∇f(x)` into `gradient` and returns `f(x)`; `work` is reused from call to call.
///
/// # Panics
/// If `gradient` and `x` differ in length.
pub fn gradient_into<T: Real, const N: usize>(
    mut f: impl FnMut(&[Dual<T, N>]) -> Dual<T, N>,
    x: &[T],
    work: &mut Vec<Dual<T, N>>,
    gradient: &mut [T],
) -> T {
    same_len("the gradient", x.len(), gradient.len());
    seed(work, x);
    if x.is_empty() {
        return f(work).primal;
    }
    let mut value = T::zero();
    chunks(work, |args, start, width| {
        let y = f(args);
        value = y.primal;
        gradient[start..start + width].copy_from_slice(&y.tangent[..width]);
    });
    value
}

/// The Jacobian of `f: ℝⁿ → ℝᵐ` by rows: entry `i n + j` is `∂fᵢ/∂xⱼ`. The closure may return an array or a `Vec`.
///
/// # Panics
/// If `f` returns different numbers of outputs from call to call.
///
/// ```
/// use gradus_num::{Dual, Scalar, forward};
///
/// let polar = |x: &[Dual<f64, 2>]| [x[0] * x[1].cos(), x[0] * x[1].sin()];
/// assert_eq!(forward::jacobian(polar, &[2.0, 0.0]), [1.0, 0.0, 0.0, 2.0]);
/// ```
pub fn jacobian<T: Real, const N: usize, Y: AsRef<[Dual<T, N>]>>(
    mut f: impl FnMut(&[Dual<T, N>]) -> Y,
    x: &[T],
) -> Vec<T> {
    let n = x.len();
    let mut work = Vec::new();
    seed(&mut work, x);
    let mut jacobian = Vec::new();
    chunks(&mut work, |args, start, width| {
        let y = f(args);
        let y = y.as_ref();
        if start == 0 {
            jacobian.resize(y.len() * n, T::zero());
        }
        same_len("the output of a later call", jacobian.len(), y.len() * n);
        store(&mut jacobian, y, n, start, width);
    });
    jacobian
}

/// Writes the value of `f: ℝⁿ → ℝᵐ` into `value` and its Jacobian by rows into `jacobian`. The closure writes
/// its outputs into its second argument; `work` is reused from call to call.
///
/// # Panics
/// If `jacobian` is not of length `value.len() * x.len()`.
pub fn jacobian_into<T: Real, const N: usize>(
    mut f: impl FnMut(&[Dual<T, N>], &mut [Dual<T, N>]),
    x: &[T],
    work: &mut Vec<Dual<T, N>>,
    value: &mut [T],
    jacobian: &mut [T],
) {
    let (n, m) = (x.len(), value.len());
    same_len("the Jacobian", m * n, jacobian.len());
    seed(work, x);
    // The outputs live behind the inputs in the same buffer, so that one allocation serves both.
    work.resize(n + m, Dual::constant(T::zero()));
    let (args, out) = work.split_at_mut(n);
    if n == 0 {
        f(args, out);
    }
    chunks(args, |args, start, width| {
        f(args, out);
        store(jacobian, out, n, start, width);
    });
    for (v, y) in value.iter_mut().zip(out.iter()) {
        *v = y.primal;
    }
}

/// Copies the tangents of each output to its row.
fn store<T: Real, const N: usize>(
    jacobian: &mut [T],
    y: &[Dual<T, N>],
    n: usize,
    start: usize,
    width: usize,
) {
    for (row, yi) in jacobian.chunks_exact_mut(n).zip(y) {
        row[start..start + width].copy_from_slice(&yi.tangent[..width]);
    }
}
