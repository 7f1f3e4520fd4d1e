//! Trigonometric functions and their inverses.

use crate::Scalar;

/// `sin' = cos`.
#[inline]
pub fn sin<S: Scalar>(x: &S, _y: &S) -> S {
    x.cos()
}

/// `cos' = -sin`.
#[inline]
pub fn cos<S: Scalar>(x: &S, _y: &S) -> S {
    -x.sin()
}

/// `tan' = 1 + y²`.
#[inline]
pub fn tan<S: Scalar>(x: &S, y: &S) -> S {
    x.lit(1.0) + y.square()
}

/// `arcsin' = 1/√(1 - x²)`, infinite at ±1.
#[inline]
pub fn asin<S: Scalar>(x: &S, _y: &S) -> S {
    one_minus_square(x).rsqrt()
}

/// `arccos' = -1/√(1 - x²)`, infinite at ±1.
#[inline]
pub fn acos<S: Scalar>(x: &S, _y: &S) -> S {
    -one_minus_square(x).rsqrt()
}

/// `arctan' = 1/(1 + x²)`, as the square of `1/hypot(1, x)`: `x²` overflows beyond 1e154, and already beyond
/// 1e77 the derivative of the plain quotient underflows.
#[inline]
pub fn atan<S: Scalar>(x: &S, _y: &S) -> S {
    x.lit(1.0).hypot(x).recip().square()
}

/// `1 - x²`. The product is exact near ±1, where the difference cancels; the difference has an exact
/// derivative near 0, where the product's cancels.
#[inline]
pub(crate) fn one_minus_square<S: Scalar>(x: &S) -> S {
    let one = x.lit(1.0);
    let difference = one.clone() - x.square();
    let product = (one.clone() - x.clone()) * (one + x.clone());
    S::select(&x.abs().lt(&x.lit(0.5)), &difference, &product)
}
