//! The error function and its complement.
//!
//! `erfc x = e^-x² g((x - 3)/(x + 3)) / (1 + 2x)` for `x >= 0`, with a polynomial `g` that hardly varies.

use super::coefficients::*;
use super::exp::{exp_short, expf, reduce, scale};
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
    let x = x as f64;
    let a = clamp(x.abs(), 0.0, 12.0);
    let g = horner::<I, _, 13>((a - 3.0) / (a + 3.0), &ERFCX_SHORT);
    let y = exp_short::<I>(-(a * a)) * g / (2.0 * a + 1.0);
    (if x < 0.0 { 2.0 - y } else { y }) as f32
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
