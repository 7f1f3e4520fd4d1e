//! Comparison, conversion and display.

use core::cmp::Ordering;
use core::fmt;

use super::Dual;
use crate::Real;

impl<T: Real, const N: usize> PartialEq for Dual<T, N> {
    /// Compares the primals, as every comparison does.
    #[inline]
    fn eq(&self, other: &Self) -> bool {
        self.primal == other.primal
    }
}

impl<T: Real, const N: usize> PartialOrd for Dual<T, N> {
    #[inline]
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        self.primal.partial_cmp(&other.primal)
    }
}

impl<T: Real, const N: usize> PartialEq<f64> for Dual<T, N> {
    #[inline]
    fn eq(&self, other: &f64) -> bool {
        self.value() == *other
    }
}

impl<T: Real, const N: usize> PartialOrd<f64> for Dual<T, N> {
    #[inline]
    fn partial_cmp(&self, other: &f64) -> Option<Ordering> {
        self.value().partial_cmp(other)
    }
}

impl<T: Real, const N: usize> Default for Dual<T, N> {
    #[inline]
    fn default() -> Self {
        Self::constant(T::zero())
    }
}

impl<T: Real, const N: usize> From<f64> for Dual<T, N> {
    #[inline]
    fn from(value: f64) -> Self {
        Self::from_f64(value)
    }
}

impl<T: Real + fmt::Display, const N: usize> fmt::Display for Dual<T, N> {
    /// `primal + [t0, t1]ε`; the format's precision applies to every part.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.primal, f)?;
        f.write_str(" + [")?;
        for (i, t) in self.tangent.iter().enumerate() {
            if i > 0 {
                f.write_str(", ")?;
            }
            fmt::Display::fmt(t, f)?;
        }
        f.write_str("]ε")
    }
}
