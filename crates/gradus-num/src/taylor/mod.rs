//! Truncated Taylor series: all derivatives along one direction, up to an order fixed at compile time.
//!
//! A [`Taylor`] holds the coefficients of `Σ c[k] tᵏ`. Sums and products are those of polynomials; a function
//! `y = f(x)` follows from `y' = f'(x) x'`, whose `k`-th coefficient gives `k yₖ = Σⱼ j xⱼ dₖ₋ⱼ` with `d` the series of
//! the rule `f'`. Where the rule reads the result (exponential, roots, the circular pair) the same equation is
//! solved coefficient by coefficient, so an operation costs `O(K²)` and not `2ᴷ` as nesting does.

mod coupled;
mod functions;
mod operators;
mod series;

use core::fmt;

use crate::Real;

/// The first `K` coefficients of a power series: a value and its derivatives of orders `1..K`, divided by `k!`.
///
/// Comparisons look at the value alone.
///
/// ```
/// use gradus_num::{Scalar, Taylor};
///
/// // sin about 0: 0, 1, 0, -1/6, 0.
/// let y = Taylor::<f64, 5>::variable(0.0).sin();
/// assert_eq!(y.coefficients, [0.0, 1.0, 0.0, -1.0 / 6.0, 0.0]);
/// assert_eq!(y.derivative(3), -1.0);
/// ```
#[derive(Clone, Copy, Debug)]
pub struct Taylor<T, const K: usize> {
    /// `coefficients[k]` is the `k`-th derivative over `k!`.
    pub coefficients: [T; K],
}

impl<T: Real, const K: usize> Taylor<T, K> {
    /// A series with the given coefficients.
    #[inline]
    pub const fn new(coefficients: [T; K]) -> Self {
        const { assert!(K > 0, "a series has at least its value") };
        Self { coefficients }
    }

    /// The series of a number that does not move.
    #[inline]
    pub fn constant(value: T) -> Self {
        let mut coefficients = [T::zero(); K];
        coefficients[0] = value;
        Self::new(coefficients)
    }

    /// `value + t`: the independent variable.
    #[inline]
    pub fn variable(value: T) -> Self {
        Self::along(value, T::one())
    }

    /// `value + speed t`: one coordinate of a point that moves in a straight line.
    #[inline]
    pub fn along(value: T, speed: T) -> Self {
        let mut series = Self::constant(value);
        if K > 1 {
            series.coefficients[1] = speed;
        }
        series
    }

    /// The derivative of order `order`, 0 beyond the truncation being an error.
    ///
    /// # Panics
    /// If `order >= K`.
    pub fn derivative(&self, order: usize) -> T {
        let mut factorial = T::one();
        for k in 2..=order {
            factorial *= T::from_usize(k);
        }
        self.coefficients[order] * factorial
    }

    /// Whether every coefficient but the value is exactly zero.
    #[inline]
    pub fn is_constant(&self) -> bool {
        self.coefficients[1..].iter().all(Real::parts_zero)
    }
}

impl<T: Real + fmt::Display, const K: usize> fmt::Display for Taylor<T, K> {
    /// `c0 + c1 t + c2 t^2`; the format's precision applies to every coefficient.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (k, c) in self.coefficients.iter().enumerate() {
            if k > 0 {
                f.write_str(" + ")?;
            }
            fmt::Display::fmt(c, f)?;
            match k {
                0 => {}
                1 => f.write_str(" t")?,
                _ => write!(f, " t^{k}")?,
            }
        }
        Ok(())
    }
}
