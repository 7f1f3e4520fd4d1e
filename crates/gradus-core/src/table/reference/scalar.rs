//! Element-wise functions from the standard library, or from a series where it has none.

use crate::ops::{Compare, Logic};
use crate::{Binary, DType, Unary};

/// The larger, or NaN if either is.
pub(super) fn larger(a: f64, b: f64) -> f64 {
    if a.is_nan() || b.is_nan() { f64::NAN } else { a.max(b) }
}

pub(super) fn unary(op: Unary, x: f64) -> f64 {
    match op {
        Unary::Powi(n) => x.powf(f64::from(n)),
        Unary::Polygamma(n) => polygamma(n, x),
        _ => (op.entry().reference)(x),
    }
}

/// The asymptotic series after shifting the argument up; positive arguments.
fn polygamma(n: u32, x: f64) -> f64 {
    const BERNOULLI: [f64; 8] = [
        1.0 / 6.0,
        -1.0 / 30.0,
        1.0 / 42.0,
        -1.0 / 30.0,
        5.0 / 66.0,
        -691.0 / 2730.0,
        7.0 / 6.0,
        -3617.0 / 510.0,
    ];
    let factorial = |n: u32| (1..=n).map(f64::from).product::<f64>();
    let power = n as i32 + 1;
    let (mut y, mut sum) = (x, 0.0);
    while y < 20.0 {
        sum += y.powi(-power);
        y += 1.0;
    }
    let tail: f64 = BERNOULLI
        .iter()
        .enumerate()
        .map(|(i, b)| {
            let k = 2 * (i as u32 + 1);
            b * factorial(k + n - 1) / factorial(k) * y.powi(-((k + n) as i32))
        })
        .sum();
    if n == 0 {
        return y.ln() - 0.5 / y - tail - sum;
    }
    let lead = factorial(n - 1) * y.powi(-(n as i32)) + factorial(n) / 2.0 * y.powi(-power);
    let sign = if n % 2 == 1 { 1.0 } else { -1.0 };
    sign * (lead + tail + factorial(n) * sum)
}

pub(super) fn binary(op: Binary, x: f64, y: f64, dtype: DType) -> f64 {
    match op {
        Binary::Add => x + y,
        Binary::Sub => x - y,
        Binary::Mul => x * y,
        Binary::Div if dtype.is_int() => (x / y).trunc(),
        Binary::Div => x / y,
        Binary::Rem => x % y,
        Binary::Pow => x.powf(y),
        Binary::Atan2 => x.atan2(y),
        Binary::Hypot => x.hypot(y),
        Binary::Max => larger(x, y),
        Binary::Min => -larger(-x, -y),
    }
}

pub(super) fn compare(op: Compare, x: f64, y: f64) -> bool {
    let order = x.partial_cmp(&y);
    match op {
        Compare::Eq => order.is_some_and(|o| o.is_eq()),
        Compare::Ne => order.is_none_or(|o| o.is_ne()),
        Compare::Lt => order.is_some_and(|o| o.is_lt()),
        Compare::Le => order.is_some_and(|o| o.is_le()),
        Compare::Gt => order.is_some_and(|o| o.is_gt()),
        Compare::Ge => order.is_some_and(|o| o.is_ge()),
    }
}

pub(super) fn logic(op: Logic, x: i64, y: i64) -> i64 {
    match op {
        Logic::And => x & y,
        Logic::Or => x + y - (x & y),
        Logic::Xor => x + y - 2 * (x & y),
    }
}

/// To another dtype: truncated and saturated, NaN to 0; bf16 keeps eight bits of the significand and f16 eleven, ties to even.
pub(super) fn cast(to: DType, x: f64) -> f64 {
    let whole = |low: f64, high: f64| if x.is_nan() { 0.0 } else { x.trunc().clamp(low, high) };
    match to {
        DType::F64 => x,
        DType::F32 => f64::from(x as f32),
        DType::I32 => whole(-2147483648.0, 2147483647.0),
        DType::I64 => whole(i64::MIN as f64, i64::MAX as f64),
        DType::U8 => whole(0.0, 255.0),
        DType::Bool => f64::from(x != 0.0),
        DType::Bf16 => shortened(x, 8, -126, 127),
        DType::F16 => shortened(x, 11, -14, 15),
    }
}

/// The nearest float with this many bits in its significand and an exponent in this range.
fn shortened(x: f64, bits: i32, least: i32, most: i32) -> f64 {
    if x == 0.0 || !x.is_finite() {
        return x;
    }
    let mut exponent = x.abs().log2().floor() as i32;
    // The logarithm of what is just below a power of two is rounded.
    exponent -= i32::from(x.abs() < 2f64.powi(exponent));
    let unit = 2f64.powi(exponent.max(least) - bits + 1);
    let near = (x / unit).round_ties_even() * unit;
    if near.abs() >= 2f64.powi(most + 1) { f64::INFINITY.copysign(x) } else { near }
}
