//! Logarithms: `x = 2ᵏ m` with `m` from √½ to √2, and a polynomial in `f = m - 1` or in `s = f/(2 + f)`.

use super::coefficients::*;
use super::exp::{LN2_HI, LN2_HIF, LN2_LO, LN2_LOF};
use super::isa::*;

const SQRT_HALF: u64 = 0x3FE6_A09E_667F_3BCD;
const SQRT_HALFF: u32 = 0x3F35_04F3;
const ONE: u64 = 0x3FF0_0000_0000_0000;
const ONEF: u32 = 0x3F80_0000;

/// `(k, m)` with `x = 2ᵏ m`, for positive normal `x`.
#[inline(always)]
fn split_normal(x: f64) -> (f64, f64) {
    let shifted = x.to_bits().wrapping_add(ONE - SQRT_HALF);
    let m = f64::from_bits((shifted & 0x000F_FFFF_FFFF_FFFF) + SQRT_HALF);
    // The exponent, made a float by standing in the low bits of 2⁵².
    let k = f64::from_bits(0x4330_0000_0000_0000 | (shifted >> 52)) - (4_503_599_627_370_496.0 + 1023.0);
    (k, m)
}

/// `(k, m)` with `x = 2ᵏ m`, for positive `x`.
#[inline(always)]
pub(super) fn split(x: f64) -> (f64, f64) {
    let subnormal = x < f64::MIN_POSITIVE;
    let (k, m) = split_normal(if subnormal { x * 18_014_398_509_481_984.0 } else { x });
    (if subnormal { k - 54.0 } else { k }, m)
}

#[inline(always)]
fn split_normalf(x: f32) -> (f32, f32) {
    let shifted = x.to_bits().wrapping_add(ONEF - SQRT_HALFF);
    let m = f32::from_bits((shifted & 0x007F_FFFF) + SQRT_HALFF);
    let k = f32::from_bits(0x4B00_0000 | (shifted >> 23)) - (8_388_608.0 + 127.0);
    (k, m)
}

/// What a logarithm is where the formula does not reach: at zero, below it, at infinity, at NaN.
#[inline(always)]
fn edges(x: f64, inside: f64) -> f64 {
    let y = if x < f64::INFINITY { inside } else { x };
    let y = if x == 0.0 { f64::NEG_INFINITY } else { y };
    if x < 0.0 { f64::NAN } else { y }
}

#[inline(always)]
fn edgesf(x: f32, inside: f32) -> f32 {
    let y = if x < f32::INFINITY { inside } else { x };
    let y = if x == 0.0 { f32::NEG_INFINITY } else { y };
    if x < 0.0 { f32::NAN } else { y }
}

/// `(f²/2, s(f²/2 + R))`: `ln(1 + f)` is `f` less the first plus the second.
#[inline(always)]
fn tail<I: Isa, const N: usize>(f: f64, poly: &[f64; N]) -> (f64, f64) {
    let half_square = 0.5 * f * f;
    let s = f / (2.0 + f);
    let z = s * s;
    (half_square, s * fma::<I, _>(z, horner::<I, _, N>(z, poly), half_square))
}

/// `ln x`
#[inline(always)]
pub fn log<I: Isa>(x: f64) -> f64 {
    let (k, m) = split(x);
    let f = m - 1.0;
    let (h, t) = tail::<I, 7>(f, &LOG_F64);
    edges(x, fma::<I, _>(k, LN2_HI, f - (h - fma::<I, _>(k, LN2_LO, t))))
}

/// `ln x`
#[inline(always)]
pub fn logf<I: Isa>(x: f32) -> f32 {
    let subnormal = x < f32::MIN_POSITIVE;
    let (k, m) = split_normalf(if subnormal { x * 33_554_432.0 } else { x });
    let k = if subnormal { k - 25.0 } else { k };
    edgesf(x, polynomialf::<I>(k, m - 1.0, 0.0))
}

/// `k ln 2 + ln(1 + f) + c` for a small correction `c`.
#[inline(always)]
fn polynomialf<I: Isa>(k: f32, f: f32, c: f32) -> f32 {
    let square = f * f;
    let rest = fma::<I, _>(k, LN2_LOF, c);
    let rest = fma::<I, _>(square * f, horner::<I, _, 9>(f, &LOG_F32), rest);
    fma::<I, _>(k, LN2_HIF, f + fma::<I, _>(-0.5, square, rest))
}

/// `ln(1 + x)`: the logarithm of the rounded `1 + x`, corrected by what the rounding lost.
#[inline(always)]
pub fn log1p<I: Isa>(x: f64) -> f64 {
    let u = 1.0 + x;
    let lost = if x < 1.0 { x - (u - 1.0) } else { 1.0 - (u - x) };
    let (k, m) = split_normal(u);
    // While 1 + x has not left the first binade its logarithm's argument is x itself, exactly.
    let near = k == 0.0;
    let f = if near { x } else { m - 1.0 };
    let c = if near { 0.0 } else { lost / u };
    let (h, t) = tail::<I, 7>(f, &LOG_F64);
    let y = fma::<I, _>(k, LN2_HI, f - (h - (fma::<I, _>(k, LN2_LO, t) + c)));
    let y = edges(u, y);
    if x.abs() < 1e-17 { x } else { y }
}

/// `ln(1 + x)`
#[inline(always)]
pub fn log1pf<I: Isa>(x: f32) -> f32 {
    let u = 1.0 + x;
    let lost = if x < 1.0 { x - (u - 1.0) } else { 1.0 - (u - x) };
    let (k, m) = split_normalf(u);
    let near = k == 0.0;
    let f = if near { x } else { m - 1.0 };
    let c = if near { 0.0 } else { lost / u };
    let y = edgesf(u, polynomialf::<I>(k, f, c));
    if x.abs() < 1e-9 { x } else { y }
}

/// `ln(1 + x)` for `x` from 0 to 1, where `1 + x` is left as it is or halved.
#[inline(always)]
pub(super) fn log1p_unitf<I: Isa>(x: f32) -> f32 {
    let large = x > 0.414_213_56;
    let f = if large { 0.5 * (x - 1.0) } else { x };
    polynomialf::<I>(if large { 1.0 } else { 0.0 }, f, 0.0)
}

/// `ln x` or `ln(1 + x)` to about 36 bits, for results that are rounded to single precision; normal `x` only.
#[inline(always)]
pub(super) fn log_short<I: Isa>(x: f64) -> f64 {
    let (k, m) = split_normal(x);
    let f = m - 1.0;
    let (h, t) = tail::<I, 4>(f, &LOG_SHORT);
    edges(x, fma::<I, _>(k, std::f64::consts::LN_2, f - (h - t)))
}

/// `ln(1 + x)` to about 36 bits.
#[inline(always)]
pub(super) fn log1p_short<I: Isa>(x: f64) -> f64 {
    let y = log_short::<I>(1.0 + x);
    // Below, 1 + x would keep too little of x.
    let series = x * fma::<I, _>(x, fma::<I, _>(x, 1.0 / 3.0, -0.5), 1.0);
    if x.abs() < 1.220_703_125e-4 { series } else { y }
}

/// `log₂ x`, from `ln m` in two parts so that the product with `1/ln 2` keeps its digits.
#[inline(always)]
pub fn log2<I: Isa>(x: f64) -> f64 {
    const INV_LN2_HI: f64 = 1.442_695_040_721_446_3;
    const INV_LN2_LO: f64 = 1.675_171_316_488_651_2e-10;
    let (k, m) = split(x);
    let f = m - 1.0;
    let (h, t) = tail::<I, 7>(f, &LOG_F64);
    let hi = f64::from_bits((f - h).to_bits() & 0xFFFF_FFFF_0000_0000);
    let lo = ((f - hi) - h) + t;
    let value_hi = hi * INV_LN2_HI;
    let value_lo = fma::<I, _>(lo + hi, INV_LN2_LO, lo * INV_LN2_HI);
    let (sum, lost) = fast_two_sum(k, value_hi);
    let (sum, lost) = if k == 0.0 { (value_hi, 0.0) } else { (sum, lost) };
    edges(x, sum + (lost + value_lo))
}

/// `log₂ x`
#[inline(always)]
pub fn log2f<I: Isa>(x: f32) -> f32 {
    let x = x as f64;
    let (k, m) = split_normal(x);
    let f = m - 1.0;
    let (h, t) = tail::<I, 4>(f, &LOG_SHORT);
    edges(x, fma::<I, _>(f - (h - t), std::f64::consts::LOG2_E, k)) as f32
}
