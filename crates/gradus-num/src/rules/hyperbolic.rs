//! Hyperbolic functions, their inverses, and the logistic pair.

use crate::Scalar;

use super::trig::one_minus_square;

/// `sinh' = cosh`.
#[inline]
pub fn sinh<S: Scalar>(x: &S, _y: &S) -> S {
    x.cosh()
}

/// `cosh' = sinh`.
#[inline]
pub fn cosh<S: Scalar>(x: &S, _y: &S) -> S {
    x.sinh()
}

/// `tanh' = sech² x`, where `1 - y²` would be 0 from `|x| = 20` on.
#[inline]
pub fn tanh<S: Scalar>(x: &S, _y: &S) -> S {
    x.sech2()
}

/// `(sech² x)' = -2 tanh x · y`: a product of two functions without loss, whose own derivatives are such products again.
#[inline]
pub fn sech2<S: Scalar>(x: &S, y: &S) -> S {
    x.tanh() * y.clone() * x.lit(-2.0)
}

/// `arsinh' = 1/√(1 + x²)`, without the overflow of `x²`.
#[inline]
pub fn asinh<S: Scalar>(x: &S, _y: &S) -> S {
    x.lit(1.0).hypot(x).recip()
}

/// `arcosh' = 1/√(x² - 1)`, as a product so that neither cancellation near 1 nor overflow can happen.
#[inline]
pub fn acosh<S: Scalar>(x: &S, _y: &S) -> S {
    let one = x.lit(1.0);
    (x.clone() - one.clone()).rsqrt() * (x.clone() + one).rsqrt()
}

/// `artanh' = 1/(1 - x²)`.
#[inline]
pub fn atanh<S: Scalar>(x: &S, _y: &S) -> S {
    one_minus_square(x).recip()
}

/// `sigmoid' = sech²(x/2)/4`, where `y(1 - y)` would be 0 from `x = 37` on.
#[inline]
pub fn sigmoid<S: Scalar>(x: &S, _y: &S) -> S {
    (x.clone() * x.lit(0.5)).sech2() * x.lit(0.25)
}

/// `softplus' = sigmoid`.
#[inline]
pub fn softplus<S: Scalar>(x: &S, _y: &S) -> S {
    x.sigmoid()
}
