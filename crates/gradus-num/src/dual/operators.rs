//! Arithmetic operators: by value, by reference, and with an `f64` on either side.

use core::iter::{Product, Sum};
use core::ops::{Add, AddAssign, Div, DivAssign, Mul, MulAssign, Neg, Rem, RemAssign, Sub, SubAssign};

use super::Dual;
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
        let out = self.primal * rhs.primal;
        // A finite product has finite factors, so one test covers both partials.
        if out.parts_finite() {
            self.combine(&rhs, out, rhs.primal, self.primal)
        } else {
            self.combine_guarded(&rhs, out, rhs.primal, self.primal)
        }
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

impl<T: Real, const N: usize> Neg for &Dual<T, N> {
    type Output = Dual<T, N>;
    #[inline]
    fn neg(self) -> Dual<T, N> {
        -*self
    }
}

/// The forms of an operator that follow from the one by value.
macro_rules! forms {
    ($($Op:ident $op:ident $OpAssign:ident $op_assign:ident;)*) => {$(
        impl<T: Real, const N: usize> $Op<&Dual<T, N>> for Dual<T, N> {
            type Output = Dual<T, N>;
            #[inline]
            fn $op(self, rhs: &Dual<T, N>) -> Dual<T, N> {
                $Op::$op(self, *rhs)
            }
        }
        impl<T: Real, const N: usize> $Op<Dual<T, N>> for &Dual<T, N> {
            type Output = Dual<T, N>;
            #[inline]
            fn $op(self, rhs: Dual<T, N>) -> Dual<T, N> {
                $Op::$op(*self, rhs)
            }
        }
        impl<T: Real, const N: usize> $Op<&Dual<T, N>> for &Dual<T, N> {
            type Output = Dual<T, N>;
            #[inline]
            fn $op(self, rhs: &Dual<T, N>) -> Dual<T, N> {
                $Op::$op(*self, *rhs)
            }
        }
        impl<T: Real, const N: usize> $Op<f64> for &Dual<T, N> {
            type Output = Dual<T, N>;
            #[inline]
            fn $op(self, rhs: f64) -> Dual<T, N> {
                $Op::$op(*self, rhs)
            }
        }
        impl<T: Real, const N: usize> $Op<&Dual<T, N>> for f64 {
            type Output = Dual<T, N>;
            #[inline]
            fn $op(self, rhs: &Dual<T, N>) -> Dual<T, N> {
                $Op::$op(self, *rhs)
            }
        }
        impl<T: Real, const N: usize> $OpAssign for Dual<T, N> {
            #[inline]
            fn $op_assign(&mut self, rhs: Self) {
                *self = $Op::$op(*self, rhs);
            }
        }
        impl<T: Real, const N: usize> $OpAssign<&Dual<T, N>> for Dual<T, N> {
            #[inline]
            fn $op_assign(&mut self, rhs: &Self) {
                *self = $Op::$op(*self, *rhs);
            }
        }
        impl<T: Real, const N: usize> $OpAssign<f64> for Dual<T, N> {
            #[inline]
            fn $op_assign(&mut self, rhs: f64) {
                *self = $Op::$op(*self, rhs);
            }
        }
    )*};
}

forms! {
    Add add AddAssign add_assign;
    Sub sub SubAssign sub_assign;
    Mul mul MulAssign mul_assign;
    Div div DivAssign div_assign;
    Rem rem RemAssign rem_assign;
}

/// Operators with a constant: `dual ∘ f64` and `f64 ∘ dual`.
macro_rules! with_constant {
    ($($Op:ident $op:ident |$x:ident, $k:ident| $right:expr, $left:expr;)*) => {$(
        impl<T: Real, const N: usize> $Op<f64> for Dual<T, N> {
            type Output = Self;
            #[inline]
            fn $op(self, $k: f64) -> Self {
                let $x = self;
                $right
            }
        }
        impl<T: Real, const N: usize> $Op<Dual<T, N>> for f64 {
            type Output = Dual<T, N>;
            #[inline]
            fn $op(self, $x: Dual<T, N>) -> Dual<T, N> {
                let $k = self;
                $left
            }
        }
    )*};
}

with_constant! {
    Add add |x, k| x.shift(k), x.shift(k);
    Sub sub |x, k| x.shift(-k), (-x).shift(k);
    Mul mul |x, k| x.scale(k), x.scale(k);
    Div div |x, k| divide(x, k), Dual::constant(T::from_f64(k)) / x;
    Rem rem |x, k| x % Dual::constant(T::from_f64(k)), Dual::constant(T::from_f64(k)) % x;
}

/// Each part is divided, so that `x / 3.0` is rounded once and not through `1/3`.
#[inline]
fn divide<T: Real, const N: usize>(mut x: Dual<T, N>, k: f64) -> Dual<T, N> {
    let k = T::from_f64(k);
    x.primal /= k;
    for t in &mut x.tangent {
        if !t.parts_zero() {
            *t /= k;
        }
    }
    x
}

impl<T: Real, const N: usize> Sum for Dual<T, N> {
    fn sum<I: Iterator<Item = Self>>(iter: I) -> Self {
        iter.fold(Self::constant(T::zero()), Add::add)
    }
}

impl<'a, T: Real, const N: usize> Sum<&'a Self> for Dual<T, N> {
    fn sum<I: Iterator<Item = &'a Self>>(iter: I) -> Self {
        iter.copied().sum()
    }
}

impl<T: Real, const N: usize> Product for Dual<T, N> {
    fn product<I: Iterator<Item = Self>>(iter: I) -> Self {
        iter.fold(Self::constant(T::one()), Mul::mul)
    }
}

impl<'a, T: Real, const N: usize> Product<&'a Self> for Dual<T, N> {
    fn product<I: Iterator<Item = &'a Self>>(iter: I) -> Self {
        iter.copied().product()
    }
}
