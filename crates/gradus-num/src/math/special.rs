//! Error functions and Bessel functions.

use core::f64::consts::{FRAC_2_SQRT_PI, PI};

use super::elementary::{exp, log, sqrt};
use crate::rules::special::{FAR, scaled_bessel};

/// The error function.
#[inline]
pub fn erf(x: f64) -> f64 {
    libm::erf(x)
}

/// The complementary error function.
#[inline]
pub fn erfc(x: f64) -> f64 {
    libm::erfc(x)
}

/// The inverse of the error function: ±∞ at ±1, NaN beyond.
pub fn erfinv(x: f64) -> f64 {
    let size = x.abs();
    if size >= 1.0 || size.is_nan() {
        return if size == 1.0 { f64::INFINITY.copysign(x) } else { f64::NAN };
    }
    if size < 1e-8 {
        return x / FRAC_2_SQRT_PI;
    }
    // Within 0.2 % (Winitzki 2008), which three steps of Halley's bring to the last bit for the largest results, too.
    const A: f64 = 0.147;
    let log = log((1.0 - size) * (1.0 + size));
    let half = 2.0 / (PI * A) + 0.5 * log;
    let mut y = sqrt(-log / A / (sqrt(half * half - log / A) + half));
    for _ in 0..3 {
        // Of `erf` and `erfc` the smaller, of which the difference keeps more digits.
        let rest = if size < 0.5 { erf(y) - size } else { (1.0 - size) - erfc(y) };
        let step = rest / (FRAC_2_SQRT_PI * exp(-y * y));
        y -= step / (1.0 + y * step);
    }
    y.copysign(x)
}

/// The Bessel function of the first kind `J₀`.
#[inline]
pub fn j0(x: f64) -> f64 {
    libm::j0(x)
}

/// The Bessel function of the first kind `J₁`.
#[inline]
pub fn j1(x: f64) -> f64 {
    libm::j1(x)
}

/// `I₀(x) e^-|x|`, the modified Bessel function without its growth.
pub fn i0e(x: f64) -> f64 {
    scaled_bessel(&x.abs(), 0, false, |_| 1.0)
}

/// `I₁(x) e^-|x|`.
pub fn i1e(x: f64) -> f64 {
    let size = x.abs();
    if size < 1e-9 {
        return 0.5 * x * (1.0 - size);
    }
    // 1/π ∫ x sin² t e^(-x (1 - cos t)) dt, in which nothing cancels.
    let weight = |v: f64| if size < FAR { size * v * (2.0 - v) } else { 1.0 };
    scaled_bessel(&size, 1, false, weight).copysign(x)
}

/// Values by other formulas, for checks.
pub(crate) mod reference {
    use core::f64::consts::{FRAC_2_SQRT_PI, PI, TAU};

    /// By the series for small arguments, by [`erfc`] beyond.
    pub(crate) fn erf(x: f64) -> f64 {
        if x.abs() < 2.0 { erf_series(x) } else { 1.0 - erfc(x) }
    }

    /// `2/√π Σ (-1)ᵏ x²ᵏ⁺¹/(k! (2k+1))`, for small `|x|`.
    fn erf_series(x: f64) -> f64 {
        let (mut term, mut sum) = (x, x);
        for k in 1..80 {
            let k = f64::from(k);
            term *= -x * x / k;
            sum += term / (2.0 * k + 1.0);
        }
        sum * FRAC_2_SQRT_PI
    }

    /// From the series for small `x`, by a continued fraction beyond.
    pub(crate) fn erfc(x: f64) -> f64 {
        if x.is_nan() {
            return x;
        }
        if x < 0.0 {
            return 2.0 - erfc(-x);
        }
        if x < 2.0 {
            return 1.0 - erf_series(x);
        }
        // e^(-x²)/√π · 1/(x + (1/2)/(x + 1/(x + (3/2)/(x + …))))
        let tail = (1..200).rev().fold(x, |tail, k| x + f64::from(k) / 2.0 / tail);
        libm::exp(-x * x) / tail / libm::sqrt(PI)
    }

    /// By Newton's method from 0, which the curve of the error function lets come from below.
    pub(crate) fn erfinv(x: f64) -> f64 {
        if x.abs() >= 1.0 {
            return if x.abs() == 1.0 { f64::INFINITY.copysign(x) } else { f64::NAN };
        }
        (0..200).fold(0.0, |y: f64, _| y + (x - erf(y)) * libm::exp(y * y) / FRAC_2_SQRT_PI)
    }

    /// `J₀` and `J₁`: `1/π ∫₀^π cos(x sin t) dt` and `1/π ∫₀^π sin t sin(x sin t) dt` by the trapezoidal rule, or by the first
    /// term of the asymptotic series.
    pub(crate) fn bessel(order: u32, x: f64) -> f64 {
        let (sin, cos) = libm::sincos(x);
        match (order, x.abs()) {
            (_, f64::INFINITY) => 0.0,
            (1, size) if size < 1e-8 => 0.5 * x,
            (0, size) if size > 900.0 => (cos + sin * x.signum()) / libm::sqrt(PI * size),
            (_, size) if size > 900.0 => (sin - cos * x.signum()) / libm::sqrt(PI * size),
            _ => {
                let term = |k| {
                    let s = libm::sin(PI * (f64::from(k) + 0.5) / 1024.0);
                    if order == 0 { libm::cos(x * s) } else { s * libm::sin(x * s) }
                };
                (0..1024).map(term).sum::<f64>() / 1024.0
            }
        }
    }

    /// The power series of `I₀` and `I₁` times `e^-|x|`, or the first term of the asymptotic series.
    pub(crate) fn scaled_bessel(order: u32, x: f64) -> f64 {
        let odd = |y: f64| if order == 0 { y } else { y.copysign(x) };
        if x.abs() > 700.0 {
            return odd(1.0 / libm::sqrt(TAU * x.abs()));
        }
        let first = if order == 0 { 1.0 } else { 0.5 * x };
        let next = |(term, sum): (f64, f64), k: f64| {
            let term = term * x * x / (4.0 * k * (k + f64::from(order)));
            (term, sum + term)
        };
        libm::exp(-x.abs()) * (1..1200).map(f64::from).fold((first, first), next).1
    }

    /// Stirling's series after shifting the argument up; reflection below ½.
    pub(crate) fn lgamma(x: f64) -> f64 {
        if x.is_infinite() {
            return f64::INFINITY;
        }
        if x < 0.5 {
            return libm::log(PI / libm::sin(PI * x).abs()) - lgamma(1.0 - x);
        }
        let (mut x, mut shift) = (x, 0.0);
        while x < 15.0 {
            shift += libm::log(x);
            x += 1.0;
        }
        let i = 1.0 / (x * x);
        let series = (1.0 / 12.0 - i * (1.0 / 360.0 - i * (1.0 / 1260.0 - i / 1680.0))) / x;
        (x - 0.5) * libm::log(x) - x + 0.5 * libm::log(TAU) + series - shift
    }
}
