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

/// `tanh' = sech² x`: `4e/(1 + e)²` with `e = e^(-2|x|)`, where `1 - y²` would be 0 from `|x| = 20` on; and
/// `1 - y²` near 0, where the derivative of the former cancels.
#[inline]
pub fn tanh<S: Scalar>(x: &S, y: &S) -> S {
    let decay = (-distance(x) * x.lit(2.0)).exp();
    let tail = bell(&decay) * x.lit(4.0);
    let middle = x.lit(1.0) - y.square();
    S::select(&x.abs().lt(&x.lit(0.5)), &middle, &tail)
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

/// `sigmoid' = e/(1 + e)²` with `e = e^-|x|`, where `y(1 - y)` would be 0 from `x = 37` on; and
/// `(1 - tanh²(x/2))/4` near 0, where the derivative of the former cancels.
#[inline]
pub fn sigmoid<S: Scalar>(x: &S, _y: &S) -> S {
    let tail = bell(&(-distance(x)).exp());
    let half = (x.clone() * x.lit(0.5)).tanh();
    let middle = (x.lit(1.0) - half.square()) * x.lit(0.25);
    S::select(&x.abs().lt(&x.lit(1.0)), &middle, &tail)
}

/// `softplus' = sigmoid`.
#[inline]
pub fn softplus<S: Scalar>(x: &S, _y: &S) -> S {
    x.sigmoid()
}

/// `e/(1 + e)²`.
#[inline]
fn bell<S: Scalar>(e: &S) -> S {
    let above = e.lit(1.0) + e.clone();
    e.clone() / above.square()
}

/// `|x|` with one-sided derivatives at 0, so that an even function of it is differentiated as one of `x`.
#[inline]
fn distance<S: Scalar>(x: &S) -> S {
    S::select(&x.lt(&x.lit(0.0)), &-x.clone(), x)
}
