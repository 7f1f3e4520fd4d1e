//! The error function and its complement.
//!
//! `erfc x = e^-x² g((x - 3)/(x + 3)) / (1 + 2x)` for `x >= 0`, with a polynomial `g` that hardly varies.

use super::coefficients::*;
use super::exp::{LN2_HIF, LN2_LOF, MAGICF, expf, reduce, scale, scalef};
use super::isa::*;

/// `erfc a` for `a >= 0`.
#[inline(always)]
fn complement<I: Isa>(a: f64) -> f64 {
    let a = clamp(a, 0.0, 28.0);
    let g = horner::<I, _, 24>((a - 3.0) / (a + 3.0), &ERFCX_F64);
    let (square, lost) = two_product::<I>(a, a);
    let (n, p) = reduce::<I, 11>(-square, &EXP_F64);
    let d = fma::<I, _>(2.0, a, 1.0);
    let d_lost = (1.0 - d) + 2.0 * a;
    let inverse = 1.0 / d;
    // What the square and the denominator lost are relative errors of the whole; they are folded into the tail
    // before anything is rounded to 1 + p.
    let p = p - (lost + d_lost * inverse) * (1.0 + p);
    let (top, top_lost) = fast_two_sum(g, g * p);
    let q = top * inverse;
    let (back, back_lost) = two_product::<I>(q, d);
    scale(q + (((top - back) - back_lost) + top_lost) * inverse, n)
}

/// `erfc x`
#[inline(always)]
pub fn erfc<I: Isa>(x: f64) -> f64 {
    let y = complement::<I>(x.abs());
    let y = if x < 0.0 { 2.0 - y } else { y };
    // Near zero the polynomial of the quotient is summed with cancellation, that of erf is not.
    let near = 1.0 - fma::<I, _>(x, horner::<I, _, 13>(x * x, &ERF_F64), x);
    if x.abs() < 0.5 { near } else { y }
}

/// `erfc x`
#[inline(always)]
pub fn erfcf<I: Isa>(x: f32) -> f32 {
    let a = clamp(x.abs(), 0.0, 10.2);
    let t = (a - 3.0) / (a + 3.0);
    let g = fma::<I, _>(t, horner::<I, _, 10>(t, &ERFCX_F32), ERFCX_FIRST.1);
    let (g, g_lost) = fast_two_sum(ERFCX_FIRST.0, g);
    let (square, square_lost) = two_productf::<I>(a, a);
    // -a² = n ln 2 + r, eʳ = 1 + r + tail
    let shifted = fma::<I, _>(-square, std::f32::consts::LOG2_E, MAGICF);
    let n = shifted - MAGICF;
    let rough = fma::<I, _>(n, -LN2_HIF, -square);
    let r = fma::<I, _>(n, -LN2_LOF, rough);
    let r_lost = fma::<I, _>(n, -LN2_LOF, rough - r);
    let tail = r * r * horner::<I, _, 6>(r, &EXP_F32);
    let d = fma::<I, _>(2.0, a, 1.0);
    let d_lost = (1.0 - d) + 2.0 * a;
    let q = g / d;
    let (back, back_lost) = two_productf::<I>(q, d);
    let quotient_lost = (g - back) - back_lost + g_lost - q * d_lost;
    // What was lost so far, as a part of the whole: little enough for 1/g, from 0.77 to 0.89 here, to be one number.
    let lost = fma::<I, _>(quotient_lost, 0.82, (r_lost - square_lost) * (1.0 + (r + tail)));
    let y = scalef(q + fma::<I, _>(q, r, q * (tail + lost)), shifted);
    let y = if x < 0.0 { 2.0 - y } else { y };
    // Near zero the quotient t has few digits.
    let near = 1.0 - fma::<I, _>(x, horner::<I, _, 7>(x * x, &ERF_F32), x);
    if x.abs() < 0.6 { near } else { y }
}

/// `erf x`
#[inline(always)]
pub fn erf<I: Isa>(x: f64) -> f64 {
    let a = x.abs();
    let small = fma::<I, _>(x, horner::<I, _, 13>(x * x, &ERF_F64), x);
    let large = (1.0 - complement::<I>(a)).copysign(x);
    // Subnormal: the product would be rounded to a coarser grid twice.
    let y = if a < 1.0 { small } else { large };
    if x == 0.0 { x } else { y }
}

/// `erf x`: an odd polynomial, and `1 - e^q(|x|)` where that is better.
#[inline(always)]
pub fn erff<I: Isa>(x: f32) -> f32 {
    let a = x.abs();
    let small = fma::<I, _>(x, horner::<I, _, 7>(x * x, &ERF_F32), x);
    let t = clamp(a, 0.0, 4.0);
    let large = (1.0 - expf::<I>(horner::<I, _, 8>(t, &ERFC_LOG_F32) - t)).copysign(x);
    let y = if a < 0.925 { small } else { large };
    if x == 0.0 { x } else { y }
}
