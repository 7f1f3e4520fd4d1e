//! Error functions and the gamma family.

use core::f64::consts::FRAC_2_SQRT_PI;

use crate::Scalar;

/// `erf' = 2/√π e^(-x²)`.
#[inline]
pub fn erf<S: Scalar>(x: &S, _y: &S) -> S {
    (-x.square()).exp() * x.lit(FRAC_2_SQRT_PI)
}

/// `erfc' = -2/√π e^(-x²)`.
#[inline]
pub fn erfc<S: Scalar>(x: &S, _y: &S) -> S {
    (-x.square()).exp() * x.lit(-FRAC_2_SQRT_PI)
}

/// `(erf⁻¹)' = √π/2 e^(y²)`, infinite at ±1.
#[inline]
pub fn erfinv<S: Scalar>(_x: &S, y: &S) -> S {
    y.square().exp() * y.lit(1.0 / FRAC_2_SQRT_PI)
}

/// `(ln |Γ|)' = ψ`.
#[inline]
pub fn lgamma<S: Scalar>(x: &S, _y: &S) -> S {
    x.polygamma(0)
}

/// `ψ⁽ⁿ⁾' = ψ⁽ⁿ⁺¹⁾`.
#[inline]
pub fn polygamma<S: Scalar>(x: &S, _y: &S, n: u32) -> S {
    x.polygamma(n.saturating_add(1))
}
