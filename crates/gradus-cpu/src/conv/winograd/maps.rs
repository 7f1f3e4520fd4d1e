//! The maps of the method, in one dimension and one lane.
//!
//! A tile has [`POINTS`] inputs, `M` results and `R` taps, `M + R = POINTS + 1`. With polynomials that have these as
//! coefficients a row of results is a product, so it is found from its values at the points 0, ±a, ±b and ∞ (Toom and
//! Cook): `y = Aᵀ ((G g) ∘ (Bᵀ d))`, where `A` evaluates a polynomial of `M` coefficients, `G` one of `R`, divided by
//! what interpolation divides by, and `Bᵀ` is the transposed interpolation. With `b = 1/a` half the factors are 1;
//! `a = 2/3` is where errors are least, half as large as with the points 1 and 2 that are usual.

use std::array::from_fn;

use crate::vmath::isa::fma;
use crate::vmath::{Float, Isa};

/// Inputs of a tile, and points at which polynomials are evaluated.
pub const POINTS: usize = 6;

const A: f64 = 2.0 / 3.0;
const B: f64 = 1.5;

/// `x^k`
const fn power(x: f64, k: usize) -> f64 {
    if k == 0 { 1.0 } else { x * power(x, k - 1) }
}

/// `Bᵀ d`
#[inline(always)]
pub fn inputs<T: Float, I: Isa>(d: [T; POINTS]) -> [T; POINTS] {
    let n = T::from_f64;
    let (a, b, aa, bb, both) = (n(A), n(B), n(-A * A), n(-B * B), n(-(A * A + B * B)));
    let (even, odd) = (fma::<I, T>(bb, d[2], d[4]), fma::<I, T>(a, d[3], -(b * d[1])));
    let (even_b, odd_b) = (fma::<I, T>(aa, d[2], d[4]), fma::<I, T>(b, d[3], -(a * d[1])));
    [
        fma::<I, T>(both, d[2], d[0] + d[4]),
        even + odd,
        even - odd,
        even_b + odd_b,
        even_b - odd_b,
        fma::<I, T>(both, d[3], d[1] + d[5]),
    ]
}

/// The values of a polynomial of `N` coefficients at all points: `A` and, but for its factors, `G`.
#[inline(always)]
pub fn evaluate<T: Float, I: Isa, const N: usize>(y: [T; N]) -> [T; POINTS] {
    let at = |x: f64| {
        let (mut even, mut odd) = (y[0], T::ZERO);
        for k in 1..N {
            let sum = if k % 2 == 0 { &mut even } else { &mut odd };
            *sum = fma::<I, T>(T::from_f64(power(x, k)), y[k], *sum);
        }
        (even + odd, even - odd)
    };
    let ((a, minus_a), (b, minus_b)) = (at(A), at(B));
    [y[0], a, minus_a, b, minus_b, y[N - 1]]
}

/// [`evaluate`] transposed: `Aᵀ` and, but for its factors, `Gᵀ`.
#[inline(always)]
pub fn collapse<T: Float, I: Isa, const N: usize>(m: [T; POINTS]) -> [T; N] {
    let (sums, differences) = ([m[1] + m[2], m[3] + m[4]], [m[1] - m[2], m[3] - m[4]]);
    from_fn(|k| {
        let [a, b] = if k % 2 == 0 { sums } else { differences };
        let first = if k == 0 { m[0] } else { T::ZERO };
        let last = if k + 1 == N { first + m[POINTS - 1] } else { first };
        let b = fma::<I, T>(T::from_f64(power(B, k)), b, last);
        fma::<I, T>(T::from_f64(power(A, k)), a, b)
    })
}

/// Divides by what interpolation divides by.
#[inline(always)]
pub fn divide<T: Float>(u: [T; POINTS]) -> [T; POINTS] {
    let by = |x: f64, other: f64| T::from_f64(1.0 / (2.0 * x * x * (x * x - other * other)));
    let (a, b) = (by(A, B), by(B, A));
    [u[0], u[1] * a, u[2] * a, u[3] * b, u[4] * b, u[5]]
}
