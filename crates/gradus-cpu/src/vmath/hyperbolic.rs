//! Hyperbolic functions and their inverses.

use super::coefficients::*;
use super::exp::{decayf, exp_half, pow2, reduce};
use super::isa::*;
use super::log::{log_short, log1p, log1p_short};

/// Beyond this, `x² + 1` is `x²`.
const LARGE: f64 = 268_435_456.0;

/// `tanh x`, from `t = e^(2|x|) - 1`: `q = t/(t + 2)`, or `1 - 2/(t + 2)` where that is the larger part. What the
/// roundings of `t` and `t + 2` lost is put back with the derivative of the quotient, `1/(t + 2) = (1 - q)/2`.
#[inline(always)]
pub fn tanh<I: Isa>(x: f64) -> f64 {
    let a = clamp(x.abs(), 0.0, 25.0);
    let (n, p) = reduce::<I, 11>(2.0 * a, &EXP_F64);
    let half = pow2(n - 1.0);
    let (t, t_lost) = fast_two_sum(half - 0.5, half * p);
    let d = t + 1.0;
    let d_lost = (t - (d - 1.0)) + t_lost;
    let large = a >= 1.0;
    let q = (if large { 1.0 } else { t }) / d;
    let small = q + (t_lost - q * d_lost) * (1.0 - q);
    let y = if large { 1.0 - q } else { small };
    if a < 1e-9 { x } else { y.copysign(x) }
}

/// `tanh x`
#[inline(always)]
pub fn tanhf<I: Isa>(x: f32) -> f32 {
    let a = x.abs();
    let z = x * x;
    let small = fma::<I, _>(x * z, horner::<I, _, 6>(z, &TANH_F32), x);
    let large = 1.0 - 2.0 * decayf::<I>(2.0 * a).quotient();
    (if a < 0.625 { small } else { large }).copysign(x)
}

/// `sinh x`
#[inline(always)]
pub fn sinh<I: Isa>(x: f64) -> f64 {
    let a = x.abs();
    let (half, _) = exp_half::<I, 11>(a, &EXP_F64);
    let z = x * x;
    let small = fma::<I, _>(x * z, horner::<I, _, 8>(z, &SINH_F64), x);
    let large = (half - 0.25 / half).copysign(x);
    if a < 1e-8 {
        x
    } else if a < 1.0 {
        small
    } else {
        large
    }
}

/// `sinh x`
#[inline(always)]
pub fn sinhf<I: Isa>(x: f32) -> f32 {
    let a = (x as f64).abs();
    let (half, t) = exp_half::<I, 7>(a, &EXP_SHORT);
    let small = 0.5 * (t + t / (t + 1.0));
    let y = if a < 1.0 { small } else { half - 0.25 / half };
    (y as f32).copysign(x)
}

/// `cosh x`
#[inline(always)]
pub fn cosh<I: Isa>(x: f64) -> f64 {
    let (half, _) = exp_half::<I, 11>(x.abs(), &EXP_F64);
    half + 0.25 / half
}

/// `cosh x`
#[inline(always)]
pub fn coshf<I: Isa>(x: f32) -> f32 {
    let (half, _) = exp_half::<I, 7>((x as f64).abs(), &EXP_SHORT);
    (half + 0.25 / half) as f32
}

/// `arsinh x = ln(1 + |x| + x²/(1 + √(1 + x²)))` with the sign of `x`.
#[inline(always)]
pub fn asinh<I: Isa>(x: f64) -> f64 {
    let a = x.abs();
    let large = a > LARGE;
    let square = a * a;
    let u = a + square / (1.0 + (1.0 + square).sqrt());
    // ln(2a) = ln(1 + (a - 1)) + ln 2
    let y = log1p::<I>(if large { a - 1.0 } else { u }) + if large { std::f64::consts::LN_2 } else { 0.0 };
    y.copysign(x)
}

/// `arsinh x`
#[inline(always)]
pub fn asinhf<I: Isa>(x: f32) -> f32 {
    let a = (x as f64).abs();
    let square = a * a;
    let y = log1p_short::<I>(a + square / (1.0 + (1.0 + square).sqrt())) as f32;
    if x.abs() < f32::INFINITY { y.copysign(x) } else { x }
}

/// `arcosh x = ln(1 + t + √(2t + t²))` with `t = x - 1`.
#[inline(always)]
pub fn acosh<I: Isa>(x: f64) -> f64 {
    let t = x - 1.0;
    let large = x > LARGE;
    let u = t + fma::<I, _>(t, t, 2.0 * t).sqrt();
    let y = log1p::<I>(if large { t } else { u }) + if large { std::f64::consts::LN_2 } else { 0.0 };
    if x < 1.0 { f64::NAN } else { y }
}

/// `arcosh x`
#[inline(always)]
pub fn acoshf<I: Isa>(x: f32) -> f32 {
    let t = x as f64 - 1.0;
    let y = log1p_short::<I>(t + fma::<I, _>(t, t, 2.0 * t).sqrt()) as f32;
    if x < 1.0 { f32::NAN } else { y }
}

/// `artanh x = ½ ln(1 + 2|x|/(1 - |x|))` with the sign of `x`.
#[inline(always)]
pub fn atanh<I: Isa>(x: f64) -> f64 {
    let a = x.abs();
    let t = a + a;
    let small = a < 0.5;
    // For small arguments the leading term is exact and only its correction is rounded.
    let q = t * (if small { a } else { 1.0 }) / (1.0 - a);
    let y = 0.5 * log1p::<I>(if small { t + q } else { q });
    y.copysign(x)
}

/// `artanh x = ½ ln((1 + |x|)/(1 - |x|))` with the sign of `x`.
#[inline(always)]
pub fn atanhf<I: Isa>(x: f32) -> f32 {
    let a = (x as f64).abs();
    let z = a * a;
    let series = a * fma::<I, _>(z, fma::<I, _>(z, 0.2, 1.0 / 3.0), 1.0);
    let y = 0.5 * log_short::<I>((1.0 + a) / (1.0 - a));
    ((if a < 0.015_625 { series } else { y }) as f32).copysign(x)
}
