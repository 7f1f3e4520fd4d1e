//! Sine, cosine and tangent: `x = n π/2 + r` with `|r| <= π/4`, where π/2 is taken in parts so short that their
//! products with `n` are exact.
//!
//! Beyond [`LIMIT`] the products are no longer exact; the loops of this module's callers send those elements to
//! [scalar routines](super::far) that carry enough digits of π.

use super::coefficients::*;
use super::exp::MAGIC;
use super::isa::*;

/// Up to here `n` has at most 20 bits.
pub(super) const LIMIT: f64 = 1.6e6;

/// π/2 in parts of 33 bits, and the rest of it after two of them and after three.
const PI_2_1: f64 = 1.570_796_326_734_125_6;
const PI_2_1_REST: f64 = 6.077_100_506_506_192e-11;
const PI_2_2: f64 = 6.077_100_506_303_966e-11;
const PI_2_3: f64 = 2.022_266_248_711_166_5e-21;
const PI_2_3_REST: f64 = 8.478_427_660_368_9e-32;

/// The bits of `n` below, and the nearest integer to `x · 2/π` above them.
#[inline(always)]
fn quadrant<I: Isa>(x: f64) -> (u64, f64) {
    let shifted = fma::<I, _>(x, std::f64::consts::FRAC_2_PI, MAGIC);
    (shifted.to_bits(), shifted - MAGIC)
}

/// `(n, r, e)` with `x = n π/2 + r + e`.
#[inline(always)]
fn reduce<I: Isa>(x: f64) -> (u64, f64, f64) {
    let (bits, n) = quadrant::<I>(x);
    let (r, e1) = two_sum(x - n * PI_2_1, -(n * PI_2_2));
    let (r, e2) = two_sum(r, -(n * PI_2_3));
    let low = (e1 + e2) - n * PI_2_3_REST;
    let (r, e) = fast_two_sum(r, low);
    (bits, r, e)
}

/// `sin(r + e)` and `cos(r + e)` for `|r| <= π/4`.
#[inline(always)]
pub(super) fn both<I: Isa>(r: f64, e: f64) -> (f64, f64) {
    let z = r * r;
    let sine = r + fma::<I, _>(z * r, horner::<I, _, 6>(z, &SIN_F64), fma::<I, _>(-0.5 * z, e, e));
    let half = 0.5 * z;
    let w = 1.0 - half;
    let cosine = w + (((1.0 - w) - half) + fma::<I, _>(z * z, horner::<I, _, 6>(z, &COS_F64), -(r * e)));
    (sine, cosine)
}

/// `(n, sin r, cos r)` for results that are rounded to single precision.
#[inline(always)]
fn short<I: Isa>(x: f64) -> (u64, f64, f64) {
    let (bits, n) = quadrant::<I>(x);
    let r = fma::<I, _>(-n, PI_2_1_REST, fma::<I, _>(-n, PI_2_1, x));
    let z = r * r;
    // In pairs: where elements are few it is the way through the polynomial that takes the time.
    let [c0, c1, c2, c3] = SIN_SHORT;
    let series = fma::<I, _>(z * z, fma::<I, _>(c3, z, c2), fma::<I, _>(c1, z, c0));
    let sine = fma::<I, _>(r * z, series, r);
    let cosine = fma::<I, _>(z * z, horner::<I, _, 3>(z, &COS_SHORT), fma::<I, _>(z, -0.5, 1.0));
    (bits, sine, cosine)
}

/// `sin(n π/2 + r)` of the sine and cosine of `r`.
#[inline(always)]
pub(super) fn turn(n: u64, sine: f64, cosine: f64) -> f64 {
    let y = if n & 1 == 0 { sine } else { cosine };
    f64::from_bits(y.to_bits() ^ ((n & 2) << 62))
}

/// `sin x`, for `|x|` up to the limit.
#[inline(always)]
pub fn sin<I: Isa>(x: f64) -> f64 {
    let (n, r, e) = reduce::<I>(x);
    let (sine, cosine) = both::<I>(r, e);
    if x.abs() < 1e-8 { x } else { turn(n, sine, cosine) }
}

/// `cos x`, for `|x|` up to the limit.
#[inline(always)]
pub fn cos<I: Isa>(x: f64) -> f64 {
    let (n, r, e) = reduce::<I>(x);
    let (sine, cosine) = both::<I>(r, e);
    turn(n.wrapping_add(1), sine, cosine)
}

/// `tan x`, for `|x|` up to the limit.
#[inline(always)]
pub fn tan<I: Isa>(x: f64) -> f64 {
    let (n, r, e) = reduce::<I>(x);
    let (sine, cosine) = both::<I>(r, e);
    let even = n & 1 == 0;
    let y = (if even { sine } else { -cosine }) / (if even { cosine } else { sine });
    if x.abs() < 1e-8 { x } else { y }
}

/// `sin x`, for `|x|` up to the limit.
#[inline(always)]
pub fn sinf<I: Isa>(x: f32) -> f32 {
    let (n, sine, cosine) = short::<I>(x as f64);
    // The cubic term is under a tenth of a unit in the last place.
    if x.abs() < 1e-4 { x } else { turn(n, sine, cosine) as f32 }
}

/// `cos x`, for `|x|` up to the limit.
#[inline(always)]
pub fn cosf<I: Isa>(x: f32) -> f32 {
    let (n, sine, cosine) = short::<I>(x as f64);
    turn(n.wrapping_add(1), sine, cosine) as f32
}

/// `tan x`, for `|x|` up to the limit.
#[inline(always)]
pub fn tanf<I: Isa>(x: f32) -> f32 {
    let (n, sine, cosine) = short::<I>(x as f64);
    let even = n & 1 == 0;
    let y = (if even { sine } else { -cosine }) / (if even { cosine } else { sine });
    if x.abs() < 1e-4 { x } else { y as f32 }
}
