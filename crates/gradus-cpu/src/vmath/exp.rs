//! Exponentials, and the functions made of one exponential.
//!
//! `x = n ln 2 + r` with `|r| <= ln(2)/2`, `eʳ = 1 + r + r² P(r)`. The power of two is put back in two steps, so
//! that results in the subnormal range are rounded once.

use super::coefficients::*;
use super::isa::*;
use super::log::{log1p, log1p_unitf};

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

/// `2^(n + more)` for an integer `n`, given as `n + MAGICF`, whose sum with `more` is from -126 to 127.
#[inline(always)]
fn pow2f(shifted: f32, more: i32) -> f32 {
    f32::from_bits(shifted.to_bits().wrapping_add(127u32.wrapping_add_signed(more)) << 23)
}

/// `y · 2ⁿ` for `n` within twice the exponent range.
#[inline(always)]
pub(super) fn scale(y: f64, n: f64) -> f64 {
    let half = (n * 0.5 + MAGIC) - MAGIC;
    y * pow2(half) * pow2(n - half)
}

/// `y · 2ⁿ` for an integer `n` within twice the exponent range, given as `n + MAGICF`.
#[inline(always)]
pub(super) fn scalef(y: f32, shifted: f32) -> f32 {
    // What is left of the magic number's bits leaves at the top when exponents are put in their place.
    let n = shifted.to_bits();
    let half = n >> 1;
    let power = |n: u32| f32::from_bits((n << 23).wrapping_add(0x3F80_0000));
    y * power(half) * power(n.wrapping_sub(half))
}

/// `(n, eʳ - 1)` with `x = n ln 2 + r`.
#[inline(always)]
pub(super) fn reduce<I: Isa, const N: usize>(x: f64, poly: &[f64; N]) -> (f64, f64) {
    let n = fma::<I, _>(x, std::f64::consts::LOG2_E, MAGIC) - MAGIC;
    let r = fma::<I, _>(n, -LN2_HI, x);
    let r = fma::<I, _>(n, -LN2_LO, r);
    (n, fma::<I, _>(r * r, horner::<I, _, N>(r, poly), r))
}

/// `(n + MAGICF, eʳ - 1)` with `x = n ln 2 + r`.
#[inline(always)]
fn reducef<I: Isa>(x: f32) -> (f32, f32) {
    let shifted = fma::<I, _>(x, std::f32::consts::LOG2_E, MAGICF);
    let n = shifted - MAGICF;
    let r = fma::<I, _>(n, -LN2_HIF, x);
    let r = fma::<I, _>(n, -LN2_LOF, r);
    (shifted, fma::<I, _>(r * r, horner::<I, _, 6>(r, &EXP_F32), r))
}

/// `eˣ`
#[inline(always)]
pub fn exp<I: Isa>(x: f64) -> f64 {
    let (n, p) = reduce::<I, 11>(clamp(x, -746.0, 710.0), &EXP_F64);
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
    let shifted = x + MAGICF;
    let r = x - (shifted - MAGICF);
    let p = fma::<I, _>(r * r, horner::<I, _, 5>(r, &EXP2_F32), r * std::f32::consts::LN_2);
    scalef(1.0 + p, shifted)
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
    let half = pow2f(n, -1);
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

/// Decaying values are carried times these, where they are no subnormal numbers yet; arguments end where four times the
/// value is zero.
const LIFT: f64 = 64.0;
const LOWER: f64 = 1.0 / 18_446_744_073_709_551_616.0;
const LIFTF: i32 = 32;
const LOWERF: f32 = 1.0 / 4_294_967_296.0;

/// `e = e^-a` for `a >= 0` and `q = e/(1 + e)`, which is at most a half: what functions with two tails are made of.
#[derive(Clone, Copy)]
pub(super) struct Decay<T> {
    pub(super) e: T,
    /// The quotient of rounded numbers, and what their rounding took from it; both lifted.
    lifted: T,
    lost: T,
}

#[inline(always)]
pub(super) fn decay<I: Isa>(a: f64) -> Decay<f64> {
    let x = -a;
    let (n, p) = reduce::<I, 11>(if -750.0 > x { -750.0 } else { x }, &EXP_F64);
    let power = pow2(n + LIFT);
    let (top, top_lost) = fast_two_sum(power, power * p);
    let e = top * LOWER;
    let (below, lost) = fast_two_sum(1.0, e);
    let lifted = top / below;
    let lost = fma::<I, _>(top_lost, LOWER, lost);
    // 1/(1 + e) is 1 - q.
    let lost = fma::<I, _>(-lifted, lost, top_lost) * (1.0 - lifted * LOWER);
    Decay { e, lifted, lost }
}

#[inline(always)]
pub(super) fn decayf<I: Isa>(a: f32) -> Decay<f32> {
    let x = -a;
    let (n, p) = reducef::<I>(if -108.0 > x { -108.0 } else { x });
    let power = pow2f(n, LIFTF);
    let (top, top_lost) = fast_two_sum(power, power * p);
    let e = top * LOWERF;
    let (below, lost) = fast_two_sum(1.0, e);
    let lifted = top / below;
    let lost = fma::<I, _>(top_lost, LOWERF, lost);
    // 1/(1 + e) is 1 - q.
    let lost = fma::<I, _>(-lifted, lost, top_lost) * (1.0 - lifted * LOWERF);
    Decay { e, lifted, lost }
}

macro_rules! tails {
    ($float:ty, $lower:ident) => {
        impl Decay<$float> {
            /// `q`
            #[inline(always)]
            pub(super) fn quotient(self) -> $float {
                (self.lifted + self.lost) * $lower
            }
            /// `1/(1 + e⁻ˣ)` of an `x` of this size.
            #[inline(always)]
            fn logistic(self, x: $float) -> $float {
                let q = self.quotient();
                if x < 0.0 { q } else { 1.0 - q }
            }
            /// `4q(1 - q)`, in which nothing cancels.
            #[inline(always)]
            fn bell<I: Isa>(self) -> $float {
                let q = self.lifted * $lower;
                let change = self.lost * (1.0 - (q + q));
                (self.lifted + fma::<I, _>(-self.lifted, q, change)) * (4.0 * $lower)
            }
        }
    };
}
tails!(f64, LOWER);
tails!(f32, LOWERF);

/// `1/(1 + e⁻ˣ)`: the quotient of the decay, or one less it, so that neither tail loses its digits.
#[inline(always)]
pub fn sigmoid<I: Isa>(x: f64) -> f64 {
    decay::<I>(x.abs()).logistic(x)
}

/// `1/(1 + e⁻ˣ)`
#[inline(always)]
pub fn sigmoidf<I: Isa>(x: f32) -> f32 {
    decayf::<I>(x.abs()).logistic(x)
}

/// `sech² x = 4q(1 - q)` with the quotient of `2|x|`.
#[inline(always)]
pub fn sech2<I: Isa>(x: f64) -> f64 {
    decay::<I>(2.0 * x.abs()).bell::<I>()
}

/// `sech² x`
#[inline(always)]
pub fn sech2f<I: Isa>(x: f32) -> f32 {
    decayf::<I>(2.0 * x.abs()).bell::<I>()
}

/// The logistic function of `x`, and `sech²(x/2)`.
#[inline(always)]
pub fn sigmoid_sech2<I: Isa>(x: f64) -> (f64, f64) {
    let tail = decay::<I>(x.abs());
    (tail.logistic(x), tail.bell::<I>())
}

/// The same.
#[inline(always)]
pub fn sigmoid_sech2f<I: Isa>(x: f32) -> (f32, f32) {
    let tail = decayf::<I>(x.abs());
    (tail.logistic(x), tail.bell::<I>())
}

/// `ln(1 + eˣ) = max(x, 0) + ln(1 + e^-|x|)`
#[inline(always)]
pub fn softplus<I: Isa>(x: f64) -> f64 {
    (if x > 0.0 { x } else { 0.0 }) + log1p::<I>(decay::<I>(x.abs()).e)
}

/// `ln(1 + eˣ)`
#[inline(always)]
pub fn softplusf<I: Isa>(x: f32) -> f32 {
    (if x > 0.0 { x } else { 0.0 }) + log1p_unitf::<I>(decayf::<I>(x.abs()).e)
}
