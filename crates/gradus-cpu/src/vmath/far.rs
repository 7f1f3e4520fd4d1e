//! Sine, cosine and tangent of arguments so large that many digits of π count.
//!
//! `x = m 2ᵉ` with an integer `m` is a multiple `x · 2/π` of a quarter turn, of which only the fraction and the last two bits
//! before it matter: of the bits of 2/π a window of 192 is multiplied by `m`, those before it only add whole turns, those
//! behind it are too small. That takes the same time for all arguments (Payne and Hanek, "Radian reduction for
//! trigonometric functions", 1983).

use std::f64::consts::FRAC_PI_2;

use super::isa::Baseline;
use super::trig::{both, turn};

/// The bits of 2/π, behind 64 that are zero: windows may begin before the point.
const TWO_OVER_PI: [u64; 20] = [
    0,
    0xa2f9836e4e441529,
    0xfc2757d1f534ddc0,
    0xdb6295993c439041,
    0xfe5163abdebbc561,
    0xb7246e3a424dd2e0,
    0x06492eea09d1921c,
    0xfe1deb1cb129a73e,
    0xe88235f52ebb4484,
    0xe99c7026b45f7e41,
    0x3991d639835339f4,
    0x9c845f8bbdf9283b,
    0x1ff897ffde05980f,
    0xef2f118b5a0a6d1f,
    0x6d367ecf27cb09b7,
    0x4f463f669e5fea2d,
    0x7527bac7ebe5f17b,
    0x3d0739f78a5292ea,
    0x6bfb5fb11f8d5d08,
    0x56033046fc7b6bab,
];

/// What π/2 has more than its double.
const PI_2_LOW: f64 = 6.123_233_995_736_766e-17;

/// 2²⁷ + 1: times a double, less the rest, its upper half.
const SPLIT: f64 = 134_217_729.0;

/// `(n, r, e)` with `|x| = n π/2 + r + e`, up to whole turns, for finite `x` from 2²⁰ on.
fn reduce(x: f64) -> (u64, f64, f64) {
    let bits = x.to_bits();
    let (m, e) = (bits & ((1 << 52) - 1) | 1 << 52, (bits >> 52 & 0x7ff) as usize + 64 - 1075);
    // The window begins where a bit of 2/π times the last bit of m is two quarter turns.
    let (word, shift) = ((e - 2) / 64, (e - 2) % 64);
    let [high, middle, low] = [0, 1, 2].map(|i| {
        let (first, second) = (TWO_OVER_PI[word + i], TWO_OVER_PI[word + i + 1]);
        // In two steps: a shift by 64 is none.
        first << shift | second >> 1 >> (63 - shift)
    });
    let wide = |word: u64, carry: u128| u128::from(m) * u128::from(word) + carry;
    let p0 = wide(low, 0);
    let p1 = wide(middle, p0 >> 64);
    let p2 = wide(high, p1 >> 64) as u64;
    // Two bits of quarter turns, then the fraction: to the nearest.
    let n = p2.wrapping_add(1 << 61) >> 62;
    let fraction = i128::from(p2.wrapping_sub(n << 62) as i64) << 64 | i128::from(p1 as u64);
    let first = fraction as f64;
    let rest = (fraction - first as i128) as f64;
    // 2⁻¹²⁶
    let unit = f64::from_bits((1023 - 126) << 52);
    let (first, rest) = (first * unit, rest * unit);
    let r = first * FRAC_PI_2;
    // What the product is rounded by, from halves of the factors: a fused product is a call on some machines (Dekker 1971).
    let halves = |x: f64| {
        let high = x * SPLIT - (x * SPLIT - x);
        (high, x - high)
    };
    let ((a, b), (c, d)) = (halves(first), halves(FRAC_PI_2));
    let lost = ((a * c - r) + a * d + b * c) + b * d;
    (n, r, lost + (first * PI_2_LOW + rest * FRAC_PI_2))
}

/// `sin x` for `|x|` from 2²⁰ on.
pub fn sin(x: f64) -> f64 {
    if !x.is_finite() {
        return f64::NAN;
    }
    let (n, r, e) = reduce(x);
    let (sine, cosine) = both::<Baseline>(r, e);
    let y = turn(n, sine, cosine);
    if x < 0.0 { -y } else { y }
}

/// `cos x` for `|x|` from 2²⁰ on.
pub fn cos(x: f64) -> f64 {
    if !x.is_finite() {
        return f64::NAN;
    }
    let (n, r, e) = reduce(x);
    let (sine, cosine) = both::<Baseline>(r, e);
    turn(n.wrapping_add(1), sine, cosine)
}

/// `tan x` for `|x|` from 2²⁰ on.
pub fn tan(x: f64) -> f64 {
    if !x.is_finite() {
        return f64::NAN;
    }
    let (n, r, e) = reduce(x);
    let (sine, cosine) = both::<Baseline>(r, e);
    let y = if n & 1 == 0 { sine / cosine } else { -cosine / sine };
    if x < 0.0 { -y } else { y }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Units in the last place between two numbers of one sign.
    fn apart(x: f64, y: f64) -> u64 {
        if x.signum() == y.signum() { x.to_bits().abs_diff(y.to_bits()) } else { u64::MAX }
    }

    #[test]
    fn every_exponent_and_the_hardest_arguments() {
        // The double nearest to a multiple of π/2, for its size, and others near to one.
        let hard = [
            6_381_956_970_095_103.0 * 2f64.powi(797),
            5_319_372_648_326_541.0 * 2f64.powi(1023 - 768 - 52),
            std::f64::consts::PI * 2f64.powi(40),
            1e22,
            f64::MAX,
        ];
        let mut all: Vec<f64> = hard.to_vec();
        let mut state = 1u64;
        for exponent in 21..=1023 {
            for _ in 0..50 {
                state = state.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
                all.push(f64::from_bits((exponent + 1023) << 52 | state >> 12));
            }
        }
        for x in all.into_iter().flat_map(|x| [x, -x]) {
            assert!(apart(sin(x), libm::sin(x)) <= 2, "sin {x}: {} and {}", sin(x), libm::sin(x));
            assert!(apart(cos(x), libm::cos(x)) <= 2, "cos {x}: {} and {}", cos(x), libm::cos(x));
            assert!(apart(tan(x), libm::tan(x)) <= 2, "tan {x}: {} and {}", tan(x), libm::tan(x));
        }
        for x in [f64::INFINITY, f64::NEG_INFINITY, f64::NAN] {
            assert!(sin(x).is_nan() && cos(x).is_nan() && tan(x).is_nan());
        }
    }
}
