//! Functions of two arguments: each rule gives `(∂out/∂x, ∂out/∂y)`.

use super::pick;
use crate::Scalar;

/// `(1/y, -(x/y)/y)`: from the quotient, since `y²` leaves the exponent range long before the result does.
#[inline]
pub fn div<S: Scalar>(_x: &S, y: &S, out: &S) -> (S, S) {
    (y.recip(), -(out.clone() / y.clone()))
}

/// `(1, -trunc(x/y))`; the whole number is recovered from the remainder, because `x/y` itself may round up to one.
#[inline]
pub fn rem<S: Scalar>(x: &S, y: &S, out: &S) -> (S, S) {
    (x.lit(1.0), -((x.clone() - out.clone()) / y.clone()).round())
}

/// `(y xʸ⁻¹, xʸ ln x)`.
#[inline]
pub fn powf<S: Scalar>(x: &S, y: &S, out: &S) -> (S, S) {
    (pow_base(x, y, out), pow_exponent(x, y, out))
}

/// Below this `y - 1` is exact for a whole `y` in single precision as well, so that the sign of a negative number's power is
/// right.
const WHOLE: f64 = 8_388_608.0; // 2²³

/// Below this a number's powers may be subnormal where it is not.
#[inline]
fn tiny<S: Scalar>(like: &S) -> S {
    let double = like.lit(1e-290);
    if S::decided(&double.eq(&like.lit(0.0))) == Some(true) { like.lit(1e-30) } else { double }
}

/// `∂xʸ/∂x = y xʸ⁻¹`.
///
/// For small and for huge `|y|` subtracting 1 rounds the exponent, so there it is `y xʸ/x`, in this order, as `1/x` may overflow. At `x = 0` the derivatives of this formula are
/// to be the limits from the right, as those of [`pow_exponent`] are: its own in `y` is `xʸ⁻¹ (1 + y ln x)`, which is -∞
/// for `0 < y <= 1` and not `∞ - ∞`, and ∞ for `y = 0`, where `√y` is a zero with that slope.
#[inline]
pub(crate) fn pow_base<S: Scalar>(x: &S, y: &S, out: &S) -> S {
    let (zero, one) = (x.lit(0.0), x.lit(1.0));
    let less = y.clone() - one.clone();
    // A subnormal power has few digits, which a large `|y|` multiplies; half of it has all.
    if S::decided(&out.abs().lt(&tiny(x))) == Some(true) && S::decided(&zero.lt(x)) == Some(true) {
        let half = x.powf(&less.scale(0.5));
        return y.clone() * half.clone() * half;
    }
    let power = || x.powf(&less);
    let regular = || y.clone() * power();
    let below_one = || pick(&y.eq(&zero), || y.sqrt(), || y.sign() * power());
    let at_zero = || pick(&y.lt(&one), below_one, regular);
    let quotient = || y.clone() * out.clone() / x.clone();
    let small = || pick(&out.abs().lt(&x.lit(f64::INFINITY)), quotient, regular);
    let huge = || pick(&x.lt(&zero), small, regular);
    let large = || pick(&y.abs().lt(&x.lit(WHOLE)), regular, huge);
    let slope = || pick(&y.abs().lt(&x.lit(0.5)), small, large);
    pick(&x.eq(&zero), at_zero, slope)
}

/// `∂xʸ/∂y = xʸ ln x`, 0 where the power is 0 (`0 ln 0` has that limit).
///
/// At `x = 0` its own derivative in `x` is -∞ for `0 < y <= 1`, that of `-√x`, and ∞ for `y = 0`, that of `ln x`.
#[inline]
pub(crate) fn pow_exponent<S: Scalar>(x: &S, y: &S, out: &S) -> S {
    let zero = x.lit(0.0);
    let product = || out.clone() * x.log();
    let vanishing = || pick(&y.le(&x.lit(1.0)), || -x.sqrt(), || zero.clone());
    let not_negative = || pick(&y.eq(&zero), || x.log() + y.sqrt(), vanishing);
    let at_zero = || pick(&y.lt(&zero), product, not_negative);
    let regular = || pick(&out.eq(&zero), || zero.clone(), product);
    pick(&x.eq(&zero), at_zero, regular)
}

/// Of the angle of `(abscissa x, ordinate y)`: `(x/h²)` in the ordinate, which comes first, and `-y/h²` in the
/// abscissa, scaled by `h` twice so that `h²` is never formed. At the origin there is no derivative: NaN.
///
/// The derivative of this is of the size of `1/h²` even where it is multiplied with something small. Where that may overflow (and the
/// number is one that can be inspected) it is taken of a point near 1 instead, and the scale, a step function, comes last.
#[inline]
pub fn atan2<S: Scalar>(ordinate: &S, abscissa: &S, _out: &S) -> (S, S) {
    let h = ordinate.hypot(abscissa);
    if S::decided(&h.lt(&h.lit(1e-120))) == Some(true) {
        let exponent = h.log2().floor().max(&h.lit(-1000.0));
        let scale = (-exponent).exp2();
        let (y, x) = (ordinate.clone() * scale.clone(), abscissa.clone() * scale.clone());
        let (in_ordinate, in_abscissa) = over_square(&y, &x, y.hypot(&x));
        return (in_ordinate * scale.clone(), in_abscissa * scale);
    }
    over_square(ordinate, abscissa, h)
}

#[inline]
fn over_square<S: Scalar>(ordinate: &S, abscissa: &S, h: S) -> (S, S) {
    let in_ordinate = abscissa.clone() / h.clone() / h.clone();
    let in_abscissa = -(ordinate.clone() / h.clone() / h);
    (in_ordinate, in_abscissa)
}

/// `(x/h, y/h)`, 0 at the origin.
#[inline]
pub fn hypot<S: Scalar>(x: &S, y: &S, out: &S) -> (S, S) {
    // A subnormal length has few digits; that of the point scaled up, which lies in the same direction, has all.
    if S::decided(&out.lt(&out.lit(1e-290))) == Some(true) {
        let scale = out.lit(4.149515568880993e180); // 2⁶⁰⁰
        let (x, y) = (x.clone() * scale.clone(), y.clone() * scale);
        let out = x.hypot(&y);
        return (direction(&x, &y, &out), direction(&y, &x, &out));
    }
    (direction(x, y, out), direction(y, x, out))
}

/// `x/h` for the larger of the two is `±1/hypot(1, other/x)`: the derivative of `x/h` itself would cancel there.
#[inline]
fn direction<S: Scalar>(x: &S, other: &S, h: &S) -> S {
    let zero = x.lit(0.0);
    let steep = x.sign() / x.lit(1.0).hypot(&(other.clone() / x.clone()));
    let flat = x.clone() / h.clone();
    let cosine = S::select(&other.abs().lt(&x.abs()), &steep, &flat);
    S::select(&h.eq(&zero), &zero, &cosine)
}

/// `(1, 0)` where `x` is larger, `(½, ½)` at a tie, NaN where either is.
#[inline]
pub fn max<S: Scalar>(x: &S, y: &S, _out: &S) -> (S, S) {
    shares(x, &y.lt(x), &x.lt(y), tie(x, y))
}

/// `(1, 0)` where `x` is smaller, `(½, ½)` at a tie, NaN where either is.
#[inline]
pub fn min<S: Scalar>(x: &S, y: &S, _out: &S) -> (S, S) {
    shares(x, &x.lt(y), &y.lt(x), tie(x, y))
}

/// The share of either where neither is chosen: ½ at a tie, NaN where either is NaN.
#[inline]
pub(crate) fn tie<S: Scalar>(x: &S, y: &S) -> S {
    S::select(&x.eq(y), &x.lit(0.5), &x.lit(f64::NAN))
}

#[inline]
fn shares<S: Scalar>(like: &S, first: &S::Mask, second: &S::Mask, tie: S) -> (S, S) {
    // The zero of what is not chosen is negative: a product of tangents takes it for dead.
    let (zero, one) = (like.lit(-0.0), like.lit(1.0));
    let share = |own: &S::Mask, other: &S::Mask| S::select(own, &one, &S::select(other, &zero, &tie));
    (share(first, second), share(second, first))
}

/// The chosen one of two numbers, with its derivatives and no trace of the other's; `tied` where neither mask holds. (What
/// [`max`] and [`min`] say, by selection instead of products with 0 and 1: 0 times infinity is no derivative.)
#[inline(always)]
pub(crate) fn chosen<S: Scalar>(
    x: &S,
    y: &S,
    first: &S::Mask,
    second: &S::Mask,
    tied: impl FnOnce(&S, &S) -> S,
) -> S {
    if S::decided(first) == Some(true) {
        return x.clone();
    }
    if S::decided(second) == Some(true) {
        return y.clone();
    }
    S::select(first, x, &S::select(second, y, &tied(x, y)))
}
