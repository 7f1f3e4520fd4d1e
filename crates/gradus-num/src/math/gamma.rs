//! The derivatives of the logarithm of the gamma function.

use core::f64::consts::PI;

use super::lgamma::{GAUSS, lgamma};
use super::{abs, exp, floor, log, powf, powi, recip, round, tan};

/// `ψ⁽ⁿ⁾(x)`; 0 at ∞ for `n > 0`. At the poles `0, -1, -2, …` infinite for odd `n`, NaN for even `n`, where the sides differ.
///
/// ```
/// use gradus_num::math::polygamma;
///
/// assert!((polygamma(1, 1.0) - core::f64::consts::PI.powi(2) / 6.0).abs() < 1e-15);
/// ```
pub fn polygamma(n: u32, x: f64) -> f64 {
    if x <= 0.0 && x == floor(x) {
        return if n % 2 == 1 { f64::INFINITY } else { f64::NAN };
    }
    if n > 0 && x == f64::INFINITY {
        return 0.0;
    }
    match n {
        0 => digamma(x),
        1..=LAST_FACTORIAL => higher(n, x),
        _ => extreme(n, x),
    }
}

/// The positive zero of digamma, in two parts.
const ROOT: (f64, f64) = (1.4616321449683622, 9.549995429965697e-17);

/// `ψ(x)/(x - x₀)` on `[1, 2]` in powers of `x - 3/2`, from `bench/golden/digamma.py`.
const AROUND_ROOT: [f64; 22] = [
    0.951055876031833,
    -0.4236274212814605,
    0.2405424842407742,
    -0.14840492305390884,
    0.09498872445494122,
    -0.061922133273064534,
    0.04076083381242074,
    -0.02697579675613825,
    0.0179072524394512,
    -0.011908218001568644,
    0.007926944646403797,
    -0.005279964873257405,
    0.003519006401502276,
    -0.002345267632540769,
    0.0015566317474486838,
    -0.0010376374098418604,
    0.0007233266279287554,
    -0.0004821990530566789,
    0.0002272331660987376,
    -0.00015148586836773365,
    0.00025968482126430747,
    -0.00017312261802727394,
];

/// Where the asymptotic series of digamma begins.
const ASYMPTOTIC_FROM: f64 = 10.0;

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

/// The distances from the poles -1, -2, … to the zeros right of them, in two parts each, from
/// `bench/golden/lgamma_zeros.py`.
const ZEROS: [(f64, f64); 24] = [
    (0.4959169917355446, -8.15428206243813e-18),
    (0.42650152683760956, -1.574185691077347e-17),
    (0.38927913155585536, -1.2202694992732132e-17),
    (0.3647066335630989, -9.671895995274374e-19),
    (0.34676223825685754, 2.2628894141607193e-17),
    (0.33283755844311447, -3.2153051074948335e-18),
    (0.32158178692657324, 1.40129649619771e-17),
    (0.312211674968374, -2.4133947001851525e-17),
    (0.30423583618359873, 4.467870224652488e-18),
    (0.29732745999813626, 7.435123333532191e-18),
    (0.29125916174585537, -1.8098511510194027e-17),
    (0.28586693877104613, 2.715774696551599e-17),
    (0.2810289742507925, 2.4369117870628782e-17),
    (0.2766525426361732, 8.738659301743149e-18),
    (0.27266558398147106, 1.8892751268118038e-17),
    (0.2690110936671176, -5.5027387288572304e-18),
    (0.2656432760442643, 1.7295163907657788e-17),
    (0.2625248400224111, -1.2977261991403057e-17),
    (0.2596250552199003, -1.4230298349280131e-18),
    (0.2569183274097824, -1.556656310557129e-17),
    (0.25438313639247406, -6.67177569649072e-18),
    (0.25200123179887035, -3.3780720055094426e-18),
    (0.2497570156939399, 1.1118573635369212e-17),
    (0.24763706261481824, 1.0790059074834907e-17),
];

/// At the distance `d` right of a pole: `ψ = 1/z - 1/d + ∫ h'` from the zero `z` to `d`, where `h` is `ψ` without the pole. Both
/// terms vanish at the zero, where reflection cancels.
fn right_of_pole(x: f64, pole: f64, d: f64, (high, low): (f64, f64)) -> f64 {
    // Above -1/2 the distance from the pole at -1 is rounded, that from the zero is not.
    let step = if pole == 1.0 { x + (1.0 - high) } else { d - high } - low;
    let slope = |d: f64| {
        let mut sum = hurwitz(2.0, 1.0 + d);
        let mut j = 1.0;
        while j <= pole {
            sum += powi(j - d, -2);
            j += 1.0;
        }
        sum
    };
    let mean = GAUSS.iter().fold(0.0, |sum, (u, w)| sum + w * slope(high + u * step));
    step / (d * high) + step * mean
}

/// Reflection below 0, except near the zeros between the first poles; `ψ(x) = ψ(x + 1) - 1/x` towards `[1, 2]`, the asymptotic series from 10 on.
pub(super) fn digamma(x: f64) -> f64 {
    if x < 0.0 {
        let pole = -floor(x);
        let d = x + pole;
        if pole <= ZEROS.len() as f64 && d > 0.1 && d <= 0.6 {
            return right_of_pole(x, pole, d, ZEROS[pole as usize - 1]);
        }
        // The tangent has period 1 in x: reducing first keeps its argument exact.
        return digamma(1.0 - x) - PI / tan(PI * (x - round(x)));
    }
    if x < 1.0 {
        return near_root(x + 1.0) - recip(x);
    }
    if x >= ASYMPTOTIC_FROM {
        let w = recip(x * x);
        let tail = BERNOULLI_OVER_2K.iter().rev().fold(0.0, |acc, b| acc * w + b) * w;
        return log(x) - (0.5 / x + tail);
    }
    let steps = floor(x) - 1.0;
    let mut sum = 0.0;
    let mut k = 1.0;
    while k <= steps {
        sum += recip(x - k);
        k += 1.0;
    }
    sum + near_root(x - steps)
}

fn near_root(x: f64) -> f64 {
    let u = x - 1.5;
    ((x - ROOT.0) - ROOT.1) * AROUND_ROOT.iter().rev().fold(0.0, |acc, c| acc * u + c)
}

/// The last order whose factorial, and that of the next, are finite.
const LAST_FACTORIAL: u32 = 150;

fn factorial(n: u32) -> f64 {
    (2..=n).fold(1.0, |product, k| product * f64::from(k))
}

/// `B₂ₖ/(2k)!` for `k = 1, 2, …`.
const BERNOULLI_OVER_FACTORIAL: [f64; 8] = [
    1.0 / 12.0,
    -1.0 / 720.0,
    1.0 / 30240.0,
    -1.0 / 1209600.0,
    1.0 / 47900160.0,
    -691.0 / 1307674368000.0,
    1.0 / 74724249600.0,
    -3617.0 / 10670622842880000.0,
];

/// Euler and Maclaurin's `Σ (1 + k/x)⁻ˢ` from `k = 0`, for `x` above about `s`.
fn scaled_zeta_tail(s: f64, x: f64) -> f64 {
    let mut term = s / x;
    let mut total = 0.5;
    for (k, b) in BERNOULLI_OVER_FACTORIAL.iter().enumerate() {
        total += b * term;
        let order = s + 2.0 * k as f64;
        term *= (order + 1.0) / x * ((order + 2.0) / x);
    }
    total + x / (s - 1.0)
}

/// `ζ(s, x) = Σ (x + k)⁻ˢ` for `x > 0`: the tail's series from where it holds, and the terms before, smallest first.
fn hurwitz(s: f64, x: f64) -> f64 {
    let mut count = 0.0;
    while x + count < ASYMPTOTIC_FROM + s {
        count += 1.0;
    }
    let start = x + count;
    let mut sum = powf(start, -s) * scaled_zeta_tail(s, start);
    while count > 0.0 {
        count -= 1.0;
        sum += powf(x + count, -s);
    }
    sum
}

/// `(-1)ⁿ⁺¹ n! Σ (x + k)⁻⁽ⁿ⁺¹⁾`. Below 0 the poles lie on both sides of `x`: with `d` the distance to the nearest,
/// those at `d, d + 1, …` and the `m` at `d - 1, …, d - m` are two sums over positive numbers.
fn higher(n: u32, x: f64) -> f64 {
    let s = f64::from(n) + 1.0;
    let total = if x > 0.0 {
        if powf(x, -s) < SMALL_POWER {
            return alternating(n) * far(n, x);
        }
        hurwitz(s, x)
    } else {
        let m = -round(x);
        let d = x + m;
        let above = if d < 0.0 { powi(d, -(n as i32) - 1) + hurwitz(s, 1.0 + d) } else { hurwitz(s, d) };
        let below = hurwitz(s, 1.0 - d) - hurwitz(s, 1.0 - d + m);
        above + alternating(n) * below
    };
    alternating(n) * factorial(n) * total
}

/// Smaller powers may lose digits, or be 0, long before the factorial and the sum have brought the result to where it is.
const SMALL_POWER: f64 = 1e-280;

/// `n! Σ (x + k)⁻⁽ⁿ⁺¹⁾` where the first power is out of range: the sum relative to it, and half of it on either side of
/// everything else.
fn far(n: u32, x: f64) -> f64 {
    let s = f64::from(n) + 1.0;
    let mut count = 0.0;
    let mut sum = 0.0;
    while x + count < ASYMPTOTIC_FROM + s {
        sum += powf(1.0 + count / x, -s);
        count += 1.0;
    }
    let start = x + count;
    sum += powf(start / x, -s) * scaled_zeta_tail(s, start);
    let half = powf(x, -0.5 * s);
    half * factorial(n) * sum * half
}

fn alternating(n: u32) -> f64 {
    if n % 2 == 1 { 1.0 } else { -1.0 }
}

/// Orders whose factorial overflows: everything relative to the nearest pole's term, in logarithms.
fn extreme(n: u32, x: f64) -> f64 {
    let s = f64::from(n) + 1.0;
    // The poles are at 0, -1, -2, …; from the nearest outwards the terms fall like a power of order s.
    let nearest = if x > 0.0 { x } else { x - round(x) };
    let power = |d: f64| {
        let size = exp(-s * log(abs(d / nearest)));
        if d < 0.0 && n.is_multiple_of(2) { -size } else { size }
    };
    let mut sum = power(nearest);
    let mut k = 1.0;
    while nearest + k < ASYMPTOTIC_FROM + s && k < 64.0 {
        sum += power(nearest + k);
        // Below 0 there are poles on both sides, as many above as the distance to 0 allows.
        if x < 0.0 && k <= -round(x) {
            sum += power(nearest - k);
        }
        k += 1.0;
    }
    let start = nearest + k;
    if start >= ASYMPTOTIC_FROM + s {
        sum += power(start) * scaled_zeta_tail(s, start);
    }
    alternating(n) * sum * exp(lgamma(s) - s * log(abs(nearest)))
}
