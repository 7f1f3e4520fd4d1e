//! Arithmetic operators: by value, by reference, and with an `f64` on either side.

use core::hint::black_box;
use core::ops::{Add, Div, Mul, Neg, Rem, Sub};

use super::Dual;
use crate::number::complete_number;
use crate::rules::binary;
use crate::{Real, Scalar};

impl<T: Real, const N: usize> Add for Dual<T, N> {
    type Output = Self;
    #[inline]
    fn add(mut self, rhs: Self) -> Self {
        self.primal += rhs.primal;
        for i in 0..N {
            self.tangent[i] += rhs.tangent[i];
        }
        self
    }
}

impl<T: Real, const N: usize> Sub for Dual<T, N> {
    type Output = Self;
    #[inline]
    fn sub(mut self, rhs: Self) -> Self {
        self.primal -= rhs.primal;
        for i in 0..N {
            self.tangent[i] -= rhs.tangent[i];
        }
        self
    }
}

impl<T: Real, const N: usize> Mul for Dual<T, N> {
    type Output = Self;
    #[inline]
    fn mul(self, rhs: Self) -> Self {
        let out = self.primal.mul_finite(rhs.primal);
        // A finite product has finite factors, so one test covers both partials.
        if T::GUARDED && !out.parts_finite() {
            return self.combine_guarded(&rhs, black_box(self.primal) * rhs.primal, rhs.primal, self.primal);
        }
        self.combine(&rhs, out, rhs.primal, self.primal)
    }
}

impl<T: Real, const N: usize> Div for Dual<T, N> {
    type Output = Self;
    #[inline]
    fn div(self, rhs: Self) -> Self {
        let out = self.primal / rhs.primal;
        let (px, py) = binary::div(&self.primal, &rhs.primal, &out);
        self.chain2(&rhs, out, px, py)
    }
}

impl<T: Real, const N: usize> Rem for Dual<T, N> {
    type Output = Self;
    #[inline]
    fn rem(self, rhs: Self) -> Self {
        let out = self.primal % rhs.primal;
        let (px, py) = binary::rem(&self.primal, &rhs.primal, &out);
        self.chain2(&rhs, out, px, py)
    }
}

impl<T: Real, const N: usize> Neg for Dual<T, N> {
    type Output = Self;
    #[inline]
    fn neg(mut self) -> Self {
        self.primal = -self.primal;
        for t in &mut self.tangent {
            *t = -*t;
        }
        self
    }
}

impl<T: Real, const N: usize> Dual<T, N> {
    /// Each part is divided, so that `x / 3.0` is rounded once and not through `1/3`.
    #[inline]
    fn divide(mut self, k: f64) -> Self {
        let guarded = T::GUARDED && (k == 0.0 || k.is_nan());
        let k = T::from_f64(k);
        self.primal /= k;
        for t in &mut self.tangent {
            if !(guarded && t.parts_zero()) {
                *t /= k;
            }
        }
        self
    }

    #[inline]
    fn primal(&self) -> T {
        self.primal
    }
}

complete_number!(Dual);
