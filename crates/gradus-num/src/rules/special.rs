//! Error functions and the gamma family.

use core::f64::consts::FRAC_2_SQRT_PI;

use super::pick;
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

/// `J₀' = -J₁`.
#[inline]
pub fn j0<S: Scalar>(x: &S, _y: &S) -> S {
    -x.j1()
}

/// `J₁' = J₀ - J₁/x`, and near 0, where derivatives of the quotient cancel, `½ Σ (-1)ᵏ (2k+1) (x/2)²ᵏ/(k! (k+1)!)`.
#[inline]
pub fn j1<S: Scalar>(x: &S, y: &S) -> S {
    let series = || {
        let quarter = x.square().scale(0.25);
        let mut sum = x.lit(0.5);
        for k in (1..13).rev().map(f64::from) {
            let ratio = (2.0 * k + 1.0) / ((2.0 * k - 1.0) * k * (k + 1.0));
            sum = x.lit(0.5) - quarter.clone() * sum.scale(ratio);
        }
        sum
    };
    pick(&x.abs().lt(&x.lit(1.5)), series, || x.j0() - y.clone() / x.clone())
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
