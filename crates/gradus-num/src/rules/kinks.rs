//! Absolute value and the step functions.

use crate::Scalar;

/// `|x|' = sign x`, 0 at 0.
#[inline]
pub fn abs<S: Scalar>(x: &S, _y: &S) -> S {
    x.sign()
}

/// A step function is flat wherever it has a derivative.
#[inline]
pub fn sign<S: Scalar>(x: &S, _y: &S) -> S {
    x.lit(0.0)
}

/// A step function is flat wherever it has a derivative.
#[inline]
pub fn floor<S: Scalar>(x: &S, _y: &S) -> S {
    x.lit(0.0)
}

/// A step function is flat wherever it has a derivative.
#[inline]
pub fn ceil<S: Scalar>(x: &S, _y: &S) -> S {
    x.lit(0.0)
}

/// A step function is flat wherever it has a derivative.
#[inline]
pub fn round<S: Scalar>(x: &S, _y: &S) -> S {
    x.lit(0.0)
}
