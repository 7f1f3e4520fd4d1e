//! Exponentials and logarithms.

use core::f64::consts::{LN_2, LOG2_E};

use crate::Scalar;

/// `(eˣ)' = y`.
#[inline]
pub fn exp<S: Scalar>(_x: &S, y: &S) -> S {
    y.clone()
}

/// `(2ˣ)' = y ln 2`.
#[inline]
pub fn exp2<S: Scalar>(x: &S, y: &S) -> S {
    y.clone() * x.lit(LN_2)
}

/// `(eˣ - 1)' = eˣ`; not `y + 1`, which is 0 for `x < -37`.
#[inline]
pub fn expm1<S: Scalar>(x: &S, _y: &S) -> S {
    x.exp()
}

/// `(ln x)' = 1/x`.
#[inline]
pub fn log<S: Scalar>(x: &S, _y: &S) -> S {
    x.recip()
}

/// `(log₂ x)' = 1/(x ln 2)`.
#[inline]
pub fn log2<S: Scalar>(x: &S, _y: &S) -> S {
    x.lit(LOG2_E) / x.clone()
}

/// `(ln(1 + x))' = 1/(1 + x)`, exact near -1 because `1 + x` is.
#[inline]
pub fn log1p<S: Scalar>(x: &S, _y: &S) -> S {
    (x.lit(1.0) + x.clone()).recip()
}
