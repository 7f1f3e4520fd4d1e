//! Arithmetic of power series.

use core::ops::{Add, Div, Mul, Neg, Rem, Sub};

use super::Taylor;
use super::series::{convolve, quotient};
use crate::number::complete_number;
use crate::rules::binary;
use crate::{Real, Scalar};

impl<T: Real, const K: usize> Add for Taylor<T, K> {
    type Output = Self;
    #[inline]
    fn add(mut self, rhs: Self) -> Self {
        for k in 0..K {
            self.coefficients[k] += rhs.coefficients[k];
        }
        self
    }
}

impl<T: Real, const K: usize> Sub for Taylor<T, K> {
    type Output = Self;
    #[inline]
    fn sub(mut self, rhs: Self) -> Self {
        for k in 0..K {
            self.coefficients[k] -= rhs.coefficients[k];
        }
        self
    }
}

impl<T: Real, const K: usize> Mul for Taylor<T, K> {
    type Output = Self;
    /// `zₖ = Σ xⱼ yₖ₋ⱼ`.
    #[inline]
    fn mul(self, rhs: Self) -> Self {
        Self::new(core::array::from_fn(|k| convolve(&self.coefficients, &rhs.coefficients, 0, k, k)))
    }
}

impl<T: Real, const K: usize> Div for Taylor<T, K> {
    type Output = Self;
    /// `z y = x` solved for `z`: `zₖ = (xₖ - Σⱼ₌₁ yⱼ zₖ₋ⱼ)/y₀`.
    #[inline]
    fn div(self, rhs: Self) -> Self {
        let mut out = Self::constant(self.primal() / rhs.primal());
        for k in 1..K {
            let known = convolve(&rhs.coefficients, &out.coefficients, 1, k, k);
            out.coefficients[k] = quotient(self.coefficients[k] - known, rhs.primal());
        }
        out
    }
}

impl<T: Real, const K: usize> Rem for Taylor<T, K> {
    type Output = Self;
    #[inline]
    fn rem(self, rhs: Self) -> Self {
        let out = self.primal() % rhs.primal();
        let (px, py) = binary::rem(&self.primal(), &rhs.primal(), &out);
        self.combine(&rhs, out, px, py)
    }
}

impl<T: Real, const K: usize> Neg for Taylor<T, K> {
    type Output = Self;
    #[inline]
    fn neg(mut self) -> Self {
        for c in &mut self.coefficients {
            *c = -*c;
        }
        self
    }
}

impl<T: Real, const K: usize> Taylor<T, K> {
    /// Each coefficient is divided, so that `x / 3.0` is rounded once and not through `1/3`.
    #[inline]
    fn divide(mut self, k: f64) -> Self {
        let k = T::from_f64(k);
        self.coefficients[0] /= k;
        for c in &mut self.coefficients[1..] {
            *c = quotient(*c, k);
        }
        self
    }

    #[inline]
    pub(super) fn primal(&self) -> T {
        self.coefficients[0]
    }

    /// A result `out` with partials that are constant near the arguments.
    #[inline]
    pub(super) fn combine(&self, rhs: &Self, out: T, px: T, py: T) -> Self {
        let mut result = Self::constant(out);
        for k in 1..K {
            let (a, b) = (self.coefficients[k], rhs.coefficients[k]);
            result.coefficients[k] = a.mul_guarded(px) + b.mul_guarded(py);
        }
        result
    }
}

complete_number!(Taylor);
