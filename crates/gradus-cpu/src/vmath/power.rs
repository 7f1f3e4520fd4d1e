//! Roots and powers.

use super::coefficients::*;
use super::exp::{MAGIC, exp2_sum};
use super::isa::*;
use super::log::split;

/// `∛x`: the exponent divided by three, one polynomial, one step of cubic convergence.
#[inline(always)]
pub fn cbrt<I: Isa>(x: f64) -> f64 {
    let a = x.abs();
    let subnormal = a < f64::MIN_POSITIVE;
    let b = if subnormal { a * 18_014_398_509_481_984.0 } else { a };
    // The upper word as a number, to be divided by three there: 2⁵² with the word in its low bits.
    let word = f64::from_bits(0x4330_0000_0000_0000 | (b.to_bits() >> 32)) - 4_503_599_627_370_496.0;
    let third = fma::<I, _>(word, 1.0 / 3.0, 715_094_163.0 + MAGIC);
    let t = f64::from_bits(third.to_bits() << 32);
    let t = t * horner::<I, _, 5>((t * t) * (t / b), &CBRT);
    // Rounded to 23 bits, so that its square is exact.
    let t = f64::from_bits(t.to_bits().wrapping_add(0x8000_0000) & 0xFFFF_FFFF_C000_0000);
    let r = b / (t * t);
    let r = (r - t) / ((t + t) + r);
    let y = fma::<I, _>(t, r, t);
    let y = (if subnormal { y * 3.814_697_265_625e-6 } else { y }).copysign(x);
    if (a > 0.0) & (a < f64::INFINITY) { y } else { x }
}

/// `∛x`
#[inline(always)]
pub fn cbrtf<I: Isa>(x: f32) -> f32 {
    cbrt::<I>(x as f64) as f32
}

/// `√(x² + y²)`, brought to a middling size first.
#[inline(always)]
pub fn hypot<I: Isa>(x: f64, y: f64) -> f64 {
    let (a, b) = (x.abs(), y.abs());
    let large = if a > b { a } else { b };
    let (down, up) = if large > 1e150 {
        (2f64.powi(-600), 2f64.powi(600))
    } else if large < 1e-140 {
        (2f64.powi(600), 2f64.powi(-600))
    } else {
        (1.0, 1.0)
    };
    let (p, q) = (a * down, b * down);
    let (pp, p_lost) = two_product::<I>(p, p);
    let (qq, q_lost) = two_product::<I>(q, q);
    let (sum, lost) = two_sum(pp, qq);
    let root = (sum + (lost + p_lost + q_lost)).sqrt() * up;
    // An infinity wins, even over NaN; the error terms above are NaN there.
    if (a == f64::INFINITY) | (b == f64::INFINITY) { f64::INFINITY } else { root }
}

/// `√(x² + y²)`
#[inline(always)]
pub fn hypotf<I: Isa>(x: f32, y: f32) -> f32 {
    let (a, b) = (x as f64, y as f64);
    let infinite = (x.abs() == f32::INFINITY) | (y.abs() == f32::INFINITY);
    if infinite { f32::INFINITY } else { fma::<I, _>(a, a, b * b).sqrt() as f32 }
}

/// `log₂ a` in two parts, good to about 65 bits; `a` positive and finite.
///
/// `ln m = 2s + s³(c + z Q(z))` with `s = (m - 1)/(m + 1)`: the leading term and the first correction are carried in
/// two parts, the rest is small enough for one.
#[inline(always)]
fn log2_pair<I: Isa>(a: f64) -> (f64, f64) {
    const C_HI: f64 = 2.0 / 3.0;
    const C_LO: f64 = 3.700_743_415_417_188e-17;
    const INV_LN2_LO: f64 = 2.035_527_374_093_103_3e-17;
    let (k, m) = split(a);
    let f = m - 1.0;
    let (g, g_lost) = fast_two_sum(if f > 0.0 { m } else { 1.0 }, if f > 0.0 { 1.0 } else { m });
    let s = f / g;
    let (back, back_lost) = two_product::<I>(s, g);
    let s_lost = (((f - back) - back_lost) - s * g_lost) / g;
    // z = s²
    let (z, z_lost) = two_product::<I>(s, s);
    let z_lost = fma::<I, _>(2.0 * s, s_lost, z_lost);
    // c + z Q(z)
    let (c, c_lost) = fast_two_sum(C_HI, z * horner::<I, _, 8>(z, &POW_LOG));
    let c_lost = c_lost + C_LO;
    // s z (c + ...)
    let (cube, cube_lost) = two_product::<I>(s, z);
    let cube_lost = cube_lost + fma::<I, _>(s, z_lost, s_lost * z);
    let (t, t_lost) = two_product::<I>(cube, c);
    let t_lost = t_lost + fma::<I, _>(cube, c_lost, cube_lost * c);
    let (ln, ln_lost) = fast_two_sum(2.0 * s, t);
    let ln_lost = ln_lost + (t_lost + 2.0 * s_lost);
    // k + ln m / ln 2
    let (hi, lo) = two_product::<I>(ln, std::f64::consts::LOG2_E);
    let lo = lo + fma::<I, _>(ln, INV_LN2_LO, ln_lost * std::f64::consts::LOG2_E);
    let (sum, sum_lost) = two_sum(k, hi);
    fast_two_sum(sum, sum_lost + lo)
}

/// What a power is where logarithms do not reach: the signs, the zeros, the infinities, and 1.
#[inline(always)]
fn edges(x: f64, y: f64, magnitude: f64) -> f64 {
    let a = x.abs();
    let integral = y.trunc() == y;
    let half = 0.5 * y;
    let odd = integral & (half.trunc() != half) & (y.abs() < f64::INFINITY);
    let grows = (a > 1.0) == (y > 0.0);
    let r = if (a == 0.0) | (a == f64::INFINITY) | (y.abs() == f64::INFINITY) {
        if a == 1.0 {
            1.0
        } else if grows {
            f64::INFINITY
        } else {
            0.0
        }
    } else {
        magnitude
    };
    let r = if (x < 0.0) & (a < f64::INFINITY) & !integral { f64::NAN } else { r };
    let r = if odd { r.copysign(x) } else { r };
    let r = if x.is_nan() | y.is_nan() { x + y } else { r };
    if (y == 0.0) | (x == 1.0) { 1.0 } else { r }
}

/// `x^y`
#[inline(always)]
pub fn pow<I: Isa>(x: f64, y: f64) -> f64 {
    let (hi, lo) = log2_pair::<I>(x.abs());
    let (p, p_lost) = two_product::<I>(y, hi);
    let p_lost = fma::<I, _>(y, lo, p_lost);
    // Beyond the exponent range the small part does not matter, and may be NaN.
    let p_lost = if p.abs() < 1100.0 { p_lost } else { 0.0 };
    edges(x, y, exp2_sum::<I, 11>(p, p_lost, &EXP2_F64))
}

/// `x^y`
#[inline(always)]
pub fn powf<I: Isa>(x: f32, y: f32) -> f32 {
    let (x, y) = (x as f64, y as f64);
    let p = y * super::log::log2::<I>(x.abs());
    edges(x, y, exp2_sum::<I, 11>(p, 0.0, &EXP2_F64)) as f32
}

/// `xⁿ` for an integer `n`, too large for a single-precision exponent to hold exactly.
#[inline(always)]
pub fn powi_single<I: Isa>(x: f32, n: i32) -> f32 {
    let (x, y) = (x as f64, n as f64);
    let p = y * super::log::log2::<I>(x.abs());
    edges(x, y, exp2_sum::<I, 11>(p, 0.0, &EXP2_F64)) as f32
}
