//! Exponentials of several numbers at once, without branches, so that the compiler can use vector registers.
//!
//! With `k` the integer nearest to `x/ln 2` and `r = x - k ln 2`, `|r| <= ln 2/2`: `e^x = 2^k e^r`, and `e^r - 1` is a
//! polynomial.

use core::f64::consts::LOG2_E;

use super::{Wide, wide};

/// Adding this rounds to an integer, which then stands in the low bits.
const ROUND: f64 = 6_755_399_441_055_744.0; // 1.5 · 2⁵²
/// `ln 2` in two parts, of which the first times any exponent is exact.
const LN2_HIGH: f64 = 6.931_471_803_691_238_2e-1;
const LN2_LOW: f64 = 1.908_214_929_270_587_7e-10;

/// `(e^r - 1, k)` for an argument in the range where both matter.
#[inline(always)]
fn reduce(x: f64) -> (f64, f64) {
    let k = (x * LOG2_E + ROUND) - ROUND;
    let r = (x - k * LN2_HIGH) - k * LN2_LOW;
    // The Taylor series to the 14th power, in pairs so that the products can overlap.
    let (r2, c) = (r * r, |n: usize| INVERSE_FACTORIALS[n]);
    let r4 = r2 * r2;
    let low = (c(2) + r * c(3)) + r2 * (c(4) + r * c(5));
    let middle = (c(6) + r * c(7)) + r2 * (c(8) + r * c(9));
    let high = (c(10) + r * c(11)) + r2 * ((c(12) + r * c(13)) + r2 * c(14));
    (r + r2 * (low + r4 * (middle + r4 * high)), k)
}

const INVERSE_FACTORIALS: [f64; 15] = {
    let mut table = [1.0; 15];
    let (mut n, mut factorial) = (1, 1.0);
    while n < 15 {
        factorial *= n as f64;
        table[n] = 1.0 / factorial;
        n += 1;
    }
    table
};

/// `2^k` for an integer `-1022 <= k <= 1023`.
#[inline(always)]
fn power_of_two(k: f64) -> f64 {
    f64::from_bits((k + ROUND).to_bits().wrapping_add(1023) << 52)
}

/// `x` within `[low, high]`; NaN stays.
#[inline(always)]
fn clamp(x: f64, low: f64, high: f64) -> f64 {
    let x = if x > high { high } else { x };
    if x < low { low } else { x }
}

/// `e^x`.
#[inline(always)]
fn exp_of<const W: usize>(mut x: [f64; W]) -> [f64; W] {
    for lane in 0..W {
        let (p, k) = reduce(clamp(x[lane], -746.0, 710.0));
        // In two factors: the result may be subnormal, and 2^1024 is no number.
        let half = (k * 0.5 + ROUND) - ROUND;
        x[lane] = (1.0 + p) * power_of_two(half) * power_of_two(k - half);
    }
    x
}

/// `e^x` and `e^x - 1 = 2^k (e^r - 1) + (2^k - 1)`.
#[inline(always)]
fn exp_and_expm1_of(x: f64) -> (f64, f64) {
    let (p, k) = reduce(clamp(x, -746.0, 710.0));
    let half = (k * 0.5 + ROUND) - ROUND;
    let (first, second) = (power_of_two(half), power_of_two(k - half));
    let scale = first * second;
    let exp = (1.0 + p) * first * second;
    // Where 2^k overflows the difference from e^x is far below a unit.
    (exp, if k > 60.0 { exp } else { p * scale + (scale - 1.0) })
}

/// `e^x - 1`, and `x` itself where that is all (also -0).
#[inline(always)]
fn expm1_lanes<const W: usize>(mut x: [f64; W]) -> [f64; W] {
    for lane in 0..W {
        let (_, y) = exp_and_expm1_of(x[lane]);
        x[lane] = if x[lane] == 0.0 { x[lane] } else { y };
    }
    x
}

/// `1/(1 + e^-x)` and `e/(1 + e)²`, from `e = e^-|x|`.
#[inline(always)]
fn sigmoid_and_slope<const W: usize>(x: [f64; W]) -> ([f64; W], [f64; W]) {
    let mut decay = [0.0; W];
    for lane in 0..W {
        decay[lane] = -x[lane].abs();
    }
    decay = exp_of(decay);
    let mut value = decay;
    for lane in 0..W {
        let above = 1.0 + decay[lane];
        let top = if x[lane] < 0.0 { decay[lane] } else { 1.0 };
        value[lane] = top / above;
        decay[lane] /= above * above;
    }
    (value, decay)
}

/// `tanh |x| = -t/(2 + t)` with `t = e^(-2|x|) - 1`, and `4 e/(1 + e)²` with `e = e^(-2|x|)`.
#[inline(always)]
fn tanh_and_slope<const W: usize>(mut x: [f64; W]) -> ([f64; W], [f64; W]) {
    let mut slope = x;
    for lane in 0..W {
        let (e, t) = exp_and_expm1_of(-2.0 * x[lane].abs());
        let above = 1.0 + e;
        slope[lane] = 4.0 * (e / (above * above));
        x[lane] = (-t / (2.0 + t)).copysign(x[lane]);
    }
    (x, slope)
}

/// `1/(1 + e^-x)`.
#[inline(always)]
fn sigmoid_of<const W: usize>(x: [f64; W]) -> [f64; W] {
    sigmoid_and_slope(x).0
}

/// `tanh x`.
#[inline(always)]
fn tanh_of<const W: usize>(x: [f64; W]) -> [f64; W] {
    tanh_and_slope(x).0
}

macro_rules! dispatched {
    ($($name:ident $Work:ident $lanes:ident $out:ty, $doc:literal;)*) => {$(
        struct $Work<const W: usize>([f64; W]);
        impl<const W: usize> Wide for $Work<W> {
            type Output = $out;
            #[inline(always)]
            fn run(self) -> $out {
                $lanes(self.0)
            }
        }
        #[doc = $doc]
        #[inline]
        pub fn $name<const W: usize>(x: [f64; W]) -> $out {
            wide($Work(x))
        }
    )*};
}

dispatched! {
    exp Exp exp_of [f64; W], "`e^x` of each lane.";
    expm1 Expm1 expm1_lanes [f64; W], "`e^x - 1` of each lane.";
    sigmoid Sigmoid sigmoid_of [f64; W], "`1/(1 + e^-x)` of each lane.";
    tanh Tanh tanh_of [f64; W], "`tanh x` of each lane.";
    sigmoid_with_slope SigmoidSlope sigmoid_and_slope ([f64; W], [f64; W]), "`1/(1 + e^-x)` and its derivative.";
    tanh_with_slope TanhSlope tanh_and_slope ([f64; W], [f64; W]), "`tanh x` and its derivative.";
}
