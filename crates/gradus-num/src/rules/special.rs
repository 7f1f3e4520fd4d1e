//! Error functions and the gamma family.

use core::f64::consts::{FRAC_1_SQRT_2, FRAC_2_SQRT_PI};

use super::pick;
use crate::Scalar;

/// `erf' = 2/√π e^(-x²)`.
#[inline]
pub fn erf<S: Scalar>(x: &S, _y: &S) -> S {
    bell(x) * x.lit(FRAC_2_SQRT_PI)
}

/// `erfc' = -2/√π e^(-x²)`.
#[inline]
pub fn erfc<S: Scalar>(x: &S, _y: &S) -> S {
    bell(x) * x.lit(-FRAC_2_SQRT_PI)
}

/// `e^(-x²)`, of an argument beyond which it is 0: so its derivatives are 0 at infinity, too, where `x²` times 0 is NaN.
#[inline]
fn bell<S: Scalar>(x: &S) -> S {
    (-x.max(&x.lit(-40.0)).min(&x.lit(40.0)).square()).exp()
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

/// `(I₀ e^-|x|)' = -sign(x) e^-|x| (I₀ - I₁)(|x|)`, in which nothing cancels.
#[inline]
pub fn i0e<S: Scalar>(x: &S, _y: &S) -> S {
    x.sign() * scaled_bessel(&x.abs(), 0, true, |v| -v)
}

/// `(I₁ e^-|x|)'`, the average of `cos t (cos t - 1) e^(-|x| (1 - cos t))`.
#[inline]
pub fn i1e<S: Scalar>(x: &S, _y: &S) -> S {
    scaled_bessel(&x.abs(), 1, true, |v| (v - 1.0) * v)
}

/// From here on the asymptotic series of `I₀` and `I₁` is as close as any sum of doubles.
pub(crate) const FAR: f64 = 30.0;

/// `1 - cos(k π/28)`.
const VERSED: [f64; 29] = [
    0.0,
    0.006287790106757417,
    0.025072087818176395,
    0.05611666969163244,
    0.09903113209758087,
    0.15327580077171582,
    0.2181685175319702,
    0.2928932188134525,
    0.37651019814126646,
    0.46796792348466343,
    0.5661162608824418,
    0.6697209380448329,
    0.7774790660436856,
    0.8880355238966922,
    1.0,
    1.1119644761033078,
    1.2225209339563143,
    1.330279061955167,
    1.433883739117558,
    1.5320320765153366,
    1.6234898018587336,
    1.7071067811865475,
    1.78183148246803,
    1.8467241992282841,
    1.900968867902419,
    1.9438833303083676,
    1.9749279121818235,
    1.9937122098932425,
    2.0,
];

/// For `0 <= x < FAR` the average of `weight(1 - cos t) e^(-x (1 - cos t))` over `0 <= t <= π`, by the trapezoidal rule, which
/// is exact there to the last bit. Beyond it the asymptotic series of `Iᵥ(x) e^-x`, or of its derivative. All terms that count
/// are of one sign, however often they are differentiated.
pub(crate) fn scaled_bessel<S: Scalar>(
    x: &S,
    order: u32,
    derivative: bool,
    weight: impl Fn(f64) -> f64,
) -> S {
    let near = || {
        let first = x.lit(0.5 * weight(0.0));
        let sum = VERSED[1..].iter().fold(first, |sum, &v| {
            let share = if v == 2.0 { 0.5 } else { 1.0 };
            sum + x.scale(-v).exp().scale(share * weight(v))
        });
        sum.scale(1.0 / 28.0)
    };
    let below = x.lt(&x.lit(FAR));
    let far = || {
        // Where a recorded number takes the other branch, this one has no terms that run away.
        let x = S::select(&below, &x.lit(FAR), x);
        let mut terms = [0.0; 20];
        let mut term = 0.5 * FRAC_2_SQRT_PI * FRAC_1_SQRT_2;
        for (k, to) in (0..).map(f64::from).zip(&mut terms) {
            *to = if derivative { term * (-0.5 - k) } else { term };
            let odd = 2.0 * k + 1.0;
            term *= (odd * odd - f64::from(4 * order * order)) / (8.0 * (k + 1.0));
        }
        let inverse = x.recip();
        let sum = terms.iter().rev().fold(x.lit(0.0), |sum, term| sum * inverse.clone() + x.lit(*term));
        let value = sum * x.rsqrt();
        if derivative { value * inverse } else { value }
    };
    pick(&below, near, far)
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
