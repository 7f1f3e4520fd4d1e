//! Arcsine, arccosine, and the angle of a point.

use std::f64::consts::{FRAC_PI_2, FRAC_PI_4, PI};

use super::coefficients::*;
use super::isa::*;

/// What the rounding of π/2, π/4 and π left out.
const PI_2_LOW: f64 = 6.123_233_995_736_766e-17;
const PI_4_LOW: f64 = 3.061_616_997_868_383e-17;
const PI_LOW: f64 = 1.224_646_799_147_353_2e-16;

/// What arcsine and arccosine share: whether `|x| > ½`, `s` (`|x|`, or `√((1 - |x|)/2)`), its rounded head and what
/// the head lacks, and `R` with `arcsin s = s + s R`.
#[inline(always)]
fn parts<I: Isa, const N: usize>(x: f64, poly: &[f64; N]) -> (bool, f64, f64, f64, f64) {
    let a = x.abs();
    let large = a > 0.5;
    let z = if large { 0.5 * (1.0 - a) } else { a * a };
    let s = if large { z.sqrt() } else { a };
    let head = f64::from_bits(s.to_bits() & 0xFFFF_FFFF_0000_0000);
    let sum = s + head;
    let lack = (z - head * head) / (if sum == 0.0 { 1.0 } else { sum });
    (large, s, head, lack, z * horner::<I, _, N>(z, poly))
}

/// `arcsin x`
#[inline(always)]
pub fn asin<I: Isa>(x: f64) -> f64 {
    let (large, s, head, lack, r) = parts::<I, 13>(x, &ASIN_F64);
    let small = fma::<I, _>(s, r, s);
    let far = FRAC_PI_4 - ((2.0 * s * r - (PI_2_LOW - 2.0 * lack)) - (FRAC_PI_4 - 2.0 * head));
    (if large { far } else { small }).copysign(x)
}

/// `arccos x`
#[inline(always)]
pub fn acos<I: Isa>(x: f64) -> f64 {
    let (large, s, head, lack, r) = parts::<I, 13>(x, &ASIN_F64);
    let small = FRAC_PI_2 - (x - (PI_2_LOW - x * r));
    let positive = 2.0 * (head + fma::<I, _>(r, s, lack));
    let negative = PI - 2.0 * (s + fma::<I, _>(r, s, -PI_2_LOW));
    let far = if x < 0.0 { negative } else { positive };
    if large { far } else { small }
}

#[inline(always)]
fn asin_short<I: Isa>(a: f64) -> (bool, f64) {
    let large = a > 0.5;
    let z = if large { 0.5 * (1.0 - a) } else { a * a };
    let s = if large { z.sqrt() } else { a };
    (large, fma::<I, _>(s, z * horner::<I, _, 7>(z, &ASIN_SHORT), s))
}

/// `arcsin x`
#[inline(always)]
pub fn asinf<I: Isa>(x: f32) -> f32 {
    let (large, y) = asin_short::<I>((x as f64).abs());
    ((if large { FRAC_PI_2 - 2.0 * y } else { y }) as f32).copysign(x)
}

/// `arccos x`
#[inline(always)]
pub fn acosf<I: Isa>(x: f32) -> f32 {
    let (large, y) = asin_short::<I>((x as f64).abs());
    let signed = if x < 0.0 { -y } else { y };
    let far = if x < 0.0 { PI - 2.0 * y } else { 2.0 * y };
    (if large { far } else { FRAC_PI_2 - signed }) as f32
}

/// The angle of `(x, y)` in the first quadrant: the quotient is brought under tan(π/8) by turning the point by π/4
/// or π/2, before the one division.
#[inline(always)]
fn angle<I: Isa, const N: usize>(y: f64, x: f64, poly: &[f64; N]) -> f64 {
    let steep = y > 2.414_213_562_373_095 * x;
    let middle = !steep & (y > 0.414_213_562_373_095_03 * x);
    let top = if steep {
        -x
    } else if middle {
        y - x
    } else {
        y
    };
    let bottom = if steep {
        y
    } else if middle {
        y + x
    } else {
        x
    };
    let base = if steep {
        FRAC_PI_2
    } else if middle {
        FRAC_PI_4
    } else {
        0.0
    };
    let base_low = if steep {
        PI_2_LOW
    } else if middle {
        PI_4_LOW
    } else {
        0.0
    };
    let t = top / (if bottom == 0.0 { 1.0 } else { bottom });
    let z = t * t;
    base + (fma::<I, _>(t * z, horner::<I, _, N>(z, poly), base_low) + t)
}

/// `arctan x`
#[inline(always)]
pub fn atan<I: Isa>(x: f64) -> f64 {
    angle::<I, 11>(x.abs(), 1.0, &ATAN_F64).copysign(x)
}

/// `arctan x`
#[inline(always)]
pub fn atanf<I: Isa>(x: f32) -> f32 {
    (angle::<I, 6>((x as f64).abs(), 1.0, &ATAN_SHORT) as f32).copysign(x)
}

/// The angle of `(x, y)` in any quadrant, infinities and zeros included.
#[inline(always)]
fn full<I: Isa, const N: usize>(y: f64, x: f64, poly: &[f64; N]) -> f64 {
    let (ay, ax) = (y.abs(), x.abs());
    let both_infinite = (ay == f64::INFINITY) & (ax == f64::INFINITY);
    // Small enough for a sum; a quotient does not mind.
    let shrink = if (ay > 1e300) | (ax > 1e300) { 0.25 } else { 1.0 };
    let ay = if both_infinite { 1.0 } else { ay * shrink };
    let ax = if both_infinite { 1.0 } else { ax * shrink };
    let r = angle::<I, N>(ay, ax, poly);
    let r = if x.is_sign_negative() { PI - (r - PI_LOW) } else { r };
    // Zero over zero has no NaN above, but a NaN in either argument has to come through.
    let r = if x.is_nan() { x } else { r };
    r.copysign(y)
}

/// The angle of the point `(x, y)`
#[inline(always)]
pub fn atan2<I: Isa>(y: f64, x: f64) -> f64 {
    full::<I, 11>(y, x, &ATAN_F64)
}

/// The angle of the point `(x, y)`
#[inline(always)]
pub fn atan2f<I: Isa>(y: f32, x: f32) -> f32 {
    full::<I, 6>(y as f64, x as f64, &ATAN_SHORT) as f32
}
