//! Reciprocals, roots and integer powers.

use crate::Scalar;

/// `(1/x)' = -y²`.
#[inline]
pub fn recip<S: Scalar>(_x: &S, y: &S) -> S {
    -y.square()
}

/// `(xⁿ)' = n xⁿ⁻¹`, which is 0 for `n = 0` and 1 for `n = 1` even at `x = 0`.
#[inline]
pub fn powi<S: Scalar>(x: &S, y: &S, n: i32) -> S {
    match n {
        0 => x.lit(0.0),
        1 => x.lit(1.0),
        2 => x.clone() + x.clone(),
        i32::MIN => y.clone() / x.clone() * x.lit(f64::from(n)),
        _ => x.powi(n - 1) * x.lit(f64::from(n)),
    }
}

/// `(√x)' = 1/(2y)`, infinite at 0.
#[inline]
pub fn sqrt<S: Scalar>(x: &S, y: &S) -> S {
    x.lit(0.5) / y.clone()
}

/// `(1/√x)' = -y³/2`.
#[inline]
pub fn rsqrt<S: Scalar>(x: &S, y: &S) -> S {
    x.lit(-0.5) * y.clone() * y.square()
}

/// `(∛x)' = (1/y)²/3`, infinite at 0, where the derivative of `1/y²` itself would be `0 ∞`.
#[inline]
pub fn cbrt<S: Scalar>(x: &S, y: &S) -> S {
    y.recip().square() * x.lit(1.0 / 3.0)
}
