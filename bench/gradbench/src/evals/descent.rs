//! The gradient descent of particle and saddle, in the number type of its start: it can be differentiated.

use gradus_num::Real;

use super::modes::{Function, Mode, Over};
use crate::error::{Error, Result};

const MAX_ROUNDS: usize = 100_000;
const TOLERANCE: f64 = 1e-5;

/// Descends from `start` until the gradient or the step is below 1e-5. Ten successful steps double the rate, an
/// unsuccessful one halves it. Only the values decide; the derivatives go along.
pub fn argmin<M: Mode, T: Real, const N: usize>(f: &impl Function<T, N>, start: [T; N]) -> Result<[T; N]> {
    let mut x = start;
    let (mut fx, mut g) = M::gradient(f, x)?;
    let (mut rate, mut successes) = (1e-5, 0);
    for _ in 0..MAX_ROUNDS {
        if !(fx.value().is_finite() && norm(g).is_finite()) {
            return Err(Error::NotFinite(": gradient descent met a value or a slope that overflows".into()));
        }
        if norm(g) <= TOLERANCE {
            return Ok(x);
        }
        if successes == 10 {
            rate *= 2.0;
            successes = 0;
            continue;
        }
        let next: [T; N] = std::array::from_fn(|i| x[i] - g[i].scale(rate));
        if norm::<T, N>(std::array::from_fn(|i| x[i] - next[i])) <= TOLERANCE {
            return Ok(x);
        }
        let lower: T = f.at(next)?;
        if lower.value() < fx.value() {
            x = next;
            (fx, g) = M::gradient(f, x)?;
            successes += 1;
        } else {
            rate /= 2.0;
            successes = 0;
        }
    }
    Err(Error::Endless { what: "gradient descent", cap: MAX_ROUNDS, unit: "rounds" })
}

/// The Euclidean norm of the values.
fn norm<T: Real, const N: usize>(v: [T; N]) -> f64 {
    v.iter().map(|v| v.value() * v.value()).sum::<f64>().sqrt()
}

/// `-f`.
struct Negative<'a, F>(&'a F);

impl<T: Real, F: Function<T, N>, const N: usize> Function<T, N> for Negative<'_, F> {
    fn at<R: Over<T>>(&self, x: [R; N]) -> Result<R> {
        Ok(-self.0.at(x)?)
    }
}

/// `argmin(-f)`.
pub fn argmax<M: Mode, T: Real, const N: usize>(f: &impl Function<T, N>, start: [T; N]) -> Result<[T; N]> {
    argmin::<M, T, N>(&Negative(f), start)
}
