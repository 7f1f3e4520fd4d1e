//! The logarithm of the gamma function and its derivatives.

use core::f64::consts::PI;

use super::{log, powf, powi, recip, tan};

/// `ln |Γ(x)|`.
#[inline]
pub fn lgamma(x: f64) -> f64 {
    libm::lgamma(x)
}

/// `ψ⁽ⁿ⁾(x)`, NaN at the poles `0, -1, -2, …` for even `n` and infinite there for odd `n`.
pub fn polygamma(n: u32, x: f64) -> f64 {
    if n == 0 { digamma(x) } else { higher(n, x) }
}

/// Below this the recurrence `ψ(x) = ψ(x + 1) - 1/x` is used, above it the asymptotic series.
const ASYMPTOTIC_FROM: f64 = 10.0;

fn digamma(x: f64) -> f64 {
    if x <= 0.0 {
        if x == super::floor(x) {
            return f64::NAN;
        }
        return digamma(1.0 - x) - PI / tan(PI * x);
    }
    let (mut x, mut sum) = (x, 0.0);
    while x < ASYMPTOTIC_FROM {
        sum -= recip(x);
        x += 1.0;
    }
    let w = recip(x * x);
    let tail = BERNOULLI_OVER_2K.iter().rev().fold(0.0, |acc, b| acc * w + b) * w;
    log(x) - 0.5 / x - tail + sum
}

/// `B₂ₖ/(2k)` for `k = 1, 2, …`.
const BERNOULLI_OVER_2K: [f64; 8] = [
    1.0 / 12.0,
    -1.0 / 120.0,
    1.0 / 252.0,
    -1.0 / 240.0,
    1.0 / 132.0,
    -691.0 / 32760.0,
    1.0 / 12.0,
    -3617.0 / 8160.0,
];

/// `(-1)ⁿ⁺¹ n! ζ(n + 1, x)`.
fn higher(n: u32, x: f64) -> f64 {
    let sign = if n.is_multiple_of(2) { -1.0 } else { 1.0 };
    let mut factorial = 1.0;
    for k in 2..=n {
        factorial *= f64::from(k);
    }
    let s = f64::from(n) + 1.0;
    let (mut x, mut sum) = (x, 0.0);
    while x < ASYMPTOTIC_FROM + s {
        sum += powf(x, -s);
        x += 1.0;
    }
    let power = powf(x, -s);
    let mut term = s / x * power;
    let mut total = x * power / (s - 1.0) + 0.5 * power;
    for (k, b) in BERNOULLI_OVER_2K.iter().enumerate() {
        let k2 = 2.0 * (k as f64 + 1.0);
        total += b * term * k2 / factorial_of(2 * k + 2);
        term *= (s + k2 - 1.0) * (s + k2) * powi(x, -2);
    }
    sign * factorial * (sum + total)
}

fn factorial_of(n: usize) -> f64 {
    (2..=n).map(|k| k as f64).product()
}
