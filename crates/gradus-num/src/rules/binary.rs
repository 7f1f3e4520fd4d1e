//! Functions of two arguments: each rule gives `(∂out/∂x, ∂out/∂y)`.

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

/// `∂xʸ/∂x = y xʸ⁻¹`, 0 for `y = 0` even at `x = 0`.
///
/// For small `|y|` subtracting 1 rounds the exponent, so there it is `y xʸ/x`.
#[inline]
pub(crate) fn pow_base<S: Scalar>(x: &S, y: &S, out: &S) -> S {
    let zero = x.lit(0.0);
    let power = x.powf(&(y.clone() - y.lit(1.0)));
    let quotient = out.clone() / x.clone();
    let small = S::select(&x.eq(&zero), &power, &quotient);
    let slope = y.clone() * S::select(&y.abs().lt(&y.lit(0.5)), &small, &power);
    S::select(&y.eq(&zero), &zero, &slope)
}

/// `∂xʸ/∂y = xʸ ln x`, 0 where the power is 0 (`0 ln 0` has that limit).
#[inline]
pub(crate) fn pow_exponent<S: Scalar>(x: &S, _y: &S, out: &S) -> S {
    let zero = x.lit(0.0);
    S::select(&out.eq(&zero), &zero, &(out.clone() * x.log()))
}

/// Of the angle of `(abscissa x, ordinate y)`: `(x/h²)` in the ordinate, which comes first, and `-y/h²` in the
/// abscissa, scaled by `h` twice so that `h²` is never formed. At the origin there is no derivative: NaN.
#[inline]
pub fn atan2<S: Scalar>(ordinate: &S, abscissa: &S, _out: &S) -> (S, S) {
    let h = ordinate.hypot(abscissa);
    let in_ordinate = abscissa.clone() / h.clone() / h.clone();
    let in_abscissa = -(ordinate.clone() / h.clone() / h);
    (in_ordinate, in_abscissa)
}

/// `(x/h, y/h)`, 0 at the origin.
#[inline]
pub fn hypot<S: Scalar>(x: &S, y: &S, out: &S) -> (S, S) {
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

/// `(1, 0)` where `x` is larger, `(½, ½)` at a tie.
#[inline]
pub fn max<S: Scalar>(x: &S, y: &S, _out: &S) -> (S, S) {
    (share(&y.lt(x), &x.eq(y), x), share(&x.lt(y), &x.eq(y), x))
}

/// `(1, 0)` where `x` is smaller, `(½, ½)` at a tie.
#[inline]
pub fn min<S: Scalar>(x: &S, y: &S, _out: &S) -> (S, S) {
    (share(&x.lt(y), &x.eq(y), x), share(&y.lt(x), &x.eq(y), x))
}

/// 1 where chosen, ½ where tied, else 0.
#[inline]
fn share<S: Scalar>(chosen: &S::Mask, tied: &S::Mask, like: &S) -> S {
    let unchosen = S::select(tied, &like.lit(0.5), &like.lit(0.0));
    S::select(chosen, &like.lit(1.0), &unchosen)
}
