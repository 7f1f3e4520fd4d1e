//! Exponentials, and the functions made of one exponential.
//!
//! `x = n ln 2 + r` with `|r| <= ln(2)/2`, `eʳ = 1 + r + r² P(r)`. The power of two is put back in two steps, so
//! that results in the subnormal range are rounded once.

use super::coefficients::*;
use super::isa::*;
use super::log::{log1p, log1pf};

/// 1.5·2⁵²: adding it rounds to an integer, which then stands in the low bits.
pub(super) const MAGIC: f64 = 6_755_399_441_055_744.0;
pub(super) const MAGICF: f32 = 12_582_912.0;

pub(super) const LN2_HI: f64 = 6.931_471_803_691_238_2e-1;
pub(super) const LN2_LO: f64 = 1.908_214_929_270_587_7e-10;
pub(super) const LN2_HIF: f32 = 0.693_359_375;
pub(super) const LN2_LOF: f32 = -2.121_944_4e-4;

/// `2ⁿ` for an integer `n` from -1022 to 1023.
#[inline(always)]
pub(super) fn pow2(n: f64) -> f64 {
    f64::from_bits((n + MAGIC).to_bits().wrapping_add(1023) << 52)
}

/// `2ⁿ` for an integer `n` from -126 to 127.
#[inline(always)]
fn pow2f(n: f32) -> f32 {
    f32::from_bits((n + MAGICF).to_bits().wrapping_add(127) << 23)
}

/// `y · 2ⁿ` for `n` within twice the exponent range.
#[inline(always)]
pub(super) fn scale(y: f64, n: f64) -> f64 {
    let half = (n * 0.5 + MAGIC) - MAGIC;
    y * pow2(half) * pow2(n - half)
}

#[inline(always)]
fn scalef(y: f32, n: f32) -> f32 {
    let half = (n * 0.5 + MAGICF) - MAGICF;
    y * pow2f(half) * pow2f(n - half)
}

/// `(n, eʳ - 1)` with `x = n ln 2 + r`.
#[inline(always)]
pub(super) fn reduce<I: Isa, const N: usize>(x: f64, poly: &[f64; N]) -> (f64, f64) {
    let n = fma::<I, _>(x, std::f64::consts::LOG2_E, MAGIC) - MAGIC;
    let r = fma::<I, _>(n, -LN2_HI, x);
    let r = fma::<I, _>(n, -LN2_LO, r);
    (n, fma::<I, _>(r * r, horner::<I, _, N>(r, poly), r))
}

#[inline(always)]
fn reducef<I: Isa>(x: f32) -> (f32, f32) {
    let n = fma::<I, _>(x, std::f32::consts::LOG2_E, MAGICF) - MAGICF;
    let r = fma::<I, _>(n, -LN2_HIF, x);
    let r = fma::<I, _>(n, -LN2_LOF, r);
    (n, fma::<I, _>(r * r, horner::<I, _, 6>(r, &EXP_F32), r))
}

/// `eˣ`
#[inline(always)]
pub fn exp<I: Isa>(x: f64) -> f64 {
    let (n, p) = reduce::<I, 11>(clamp(x, -746.0, 710.0), &EXP_F64);
    scale(1.0 + p, n)
}

/// `eˣ` to about 36 bits, for results that are rounded to single precision.
#[inline(always)]
pub(super) fn exp_short<I: Isa>(x: f64) -> f64 {
    let (n, p) = reduce::<I, 7>(clamp(x, -746.0, 710.0), &EXP_SHORT);
    scale(1.0 + p, n)
}

/// `eˣ`
#[inline(always)]
pub fn expf<I: Isa>(x: f32) -> f32 {
    let (n, p) = reducef::<I>(clamp(x, -105.0, 89.0));
    scalef(1.0 + p, n)
}

/// `2ˣ`
#[inline(always)]
pub fn exp2<I: Isa>(x: f64) -> f64 {
    exp2_sum::<I, 11>(x, 0.0, &EXP2_F64)
}

/// `2^(x + y)` for a small `y`.
#[inline(always)]
pub(super) fn exp2_sum<I: Isa, const N: usize>(x: f64, y: f64, poly: &[f64; N]) -> f64 {
    let x = clamp(x, -1080.0, 1025.0);
    let n = (x + MAGIC) - MAGIC;
    let r = (x - n) + y;
    let p = fma::<I, _>(r * r, horner::<I, _, N>(r, poly), r * std::f64::consts::LN_2);
    scale(1.0 + p, n)
}

/// `2ˣ`
#[inline(always)]
pub fn exp2f<I: Isa>(x: f32) -> f32 {
    let x = clamp(x, -151.0, 129.0);
    let n = (x + MAGICF) - MAGICF;
    let r = x - n;
    let p = fma::<I, _>(r * r, horner::<I, _, 5>(r, &EXP2_F32), r * std::f32::consts::LN_2);
    scalef(1.0 + p, n)
}

/// `eˣ - 1 = 2ⁿ(eʳ - 1) + (2ⁿ - 1)`, through `2ⁿ⁻¹` so that the largest `n` does not overflow early.
#[inline(always)]
pub fn expm1<I: Isa>(x: f64) -> f64 {
    let (n, p) = reduce::<I, 11>(clamp(x, -50.0, 710.0), &EXP_F64);
    let half = pow2(n - 1.0);
    let y = fma::<I, _>(half, p, half - 0.5);
    // Too small for the halving to be exact, and the way to keep the sign of zero.
    if x.abs() < 1e-17 { x } else { y + y }
}

/// `eˣ - 1`
#[inline(always)]
pub fn expm1f<I: Isa>(x: f32) -> f32 {
    let (n, p) = reducef::<I>(clamp(x, -30.0, 89.0));
    let half = pow2f(n - 1.0);
    let y = fma::<I, _>(half, p, half - 0.5);
    if x.abs() < 1e-8 { x } else { y + y }
}

/// `(eˣ/2, eˣ - 1)` for `x >= 0`, the halves of the hyperbolic functions.
#[inline(always)]
pub(super) fn exp_half<I: Isa, const N: usize>(x: f64, poly: &[f64; N]) -> (f64, f64) {
    let (n, p) = reduce::<I, N>(clamp(x, 0.0, 710.7), poly);
    let quarter = pow2(n - 2.0);
    (2.0 * fma::<I, _>(quarter, p, quarter), 4.0 * fma::<I, _>(quarter, p, quarter - 0.25))
}

/// `1/(1 + e⁻ˣ)`, from `e^-|x|` so that neither tail loses its digits.
#[inline(always)]
pub fn sigmoid<I: Isa>(x: f64) -> f64 {
    let e = exp::<I>(-x.abs());
    (if x < 0.0 { e } else { 1.0 }) / (1.0 + e)
}

/// `1/(1 + e⁻ˣ)`: the quotient of two rounded numbers, corrected by what their rounding lost.
#[inline(always)]
pub fn sigmoidf<I: Isa>(x: f32) -> f32 {
    let (n, p) = reducef::<I>(clamp(-x.abs(), -105.0, 89.0));
    let (y, y_lost) = fast_two_sum(1.0, p);
    let (e, e_lost) = (scalef(y, n), scalef(y_lost, n));
    let (d, d_lost) = fast_two_sum(1.0, e);
    let negative = x < 0.0;
    let top = if negative { e } else { 1.0 };
    let top_lost = if negative { e_lost } else { 0.0 };
    let inverse = 1.0 / d;
    // Without a fused multiply-add the remainder of the division is not to be had; the division is rounded then.
    let q = if I::FMA { top * inverse } else { top / d };
    let remainder = if I::FMA { fma::<I, _>(-q, d, top) } else { 0.0 };
    q + (remainder + (top_lost - q * (d_lost + e_lost))) * inverse
}

/// `ln(1 + eˣ) = max(x, 0) + ln(1 + e^-|x|)`
#[inline(always)]
pub fn softplus<I: Isa>(x: f64) -> f64 {
    (if x > 0.0 { x } else { 0.0 }) + log1p::<I>(exp::<I>(-x.abs()))
}

/// `ln(1 + eˣ)`
#[inline(always)]
pub fn softplusf<I: Isa>(x: f32) -> f32 {
    (if x > 0.0 { x } else { 0.0 }) + log1pf::<I>(expf::<I>(-x.abs()))
}
