//! Derivatives of many orders along one direction.

use alloc::vec::Vec;

use super::same_len;
use crate::{Real, Taylor};

/// `[f(x), f'(x), …, f⁽ᴷ⁻¹⁾(x)]` of a function of one variable.
///
/// ```
/// use gradus_num::{Scalar, forward};
///
/// let d: [f64; 4] = forward::taylor(|x| x.exp(), 0.0);
/// assert_eq!(d, [1.0; 4]);
/// ```
pub fn taylor<T: Real, const K: usize>(f: impl FnOnce(Taylor<T, K>) -> Taylor<T, K>, x: T) -> [T; K] {
    derivatives(&f(Taylor::variable(x)))
}

/// The value and the derivatives of orders `1..K` of `t ↦ f(x + t v)` at 0.
///
/// # Panics
/// If `v` and `x` differ in length.
///
/// ```
/// use gradus_num::forward;
///
/// let d: [f64; 3] = forward::taylor_along(|x| x[0] * x[1], &[2.0, 3.0], &[1.0, 1.0]);
/// assert_eq!(d, [6.0, 5.0, 2.0]);
/// ```
pub fn taylor_along<T: Real, const K: usize>(
    f: impl FnOnce(&[Taylor<T, K>]) -> Taylor<T, K>,
    x: &[T],
    v: &[T],
) -> [T; K] {
    taylor_along_into(f, x, v, &mut Vec::new())
}

/// [`taylor_along`] with a buffer that is reused from call to call.
///
/// # Panics
/// If `v` and `x` differ in length.
pub fn taylor_along_into<T: Real, const K: usize>(
    f: impl FnOnce(&[Taylor<T, K>]) -> Taylor<T, K>,
    x: &[T],
    v: &[T],
    work: &mut Vec<Taylor<T, K>>,
) -> [T; K] {
    same_len("the direction", x.len(), v.len());
    work.clear();
    work.extend(x.iter().zip(v).map(|(&xi, &vi)| Taylor::along(xi, vi)));
    derivatives(&f(work))
}

fn derivatives<T: Real, const K: usize>(y: &Taylor<T, K>) -> [T; K] {
    core::array::from_fn(|k| y.derivative(k))
}
