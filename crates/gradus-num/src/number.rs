//! The operator forms, comparisons and sums that every number type of this crate shares.
//!
//! A type states its operators by value; [`complete_number!`] adds the forms by reference, with an `f64` on either side
//! and with assignment, comparison on the primal, sums, products and the conversion from `f64`.

/// The forms of an operator that follow from the one by value.
macro_rules! forms {
    ($Number:ident: $($Op:ident $op:ident $OpAssign:ident $op_assign:ident;)*) => {$(
        impl<T: Real, const N: usize> $Op<&$Number<T, N>> for $Number<T, N> {
            type Output = $Number<T, N>;
            #[inline]
            fn $op(self, rhs: &$Number<T, N>) -> $Number<T, N> {
                $Op::$op(self, *rhs)
            }
        }
        impl<T: Real, const N: usize> $Op<$Number<T, N>> for &$Number<T, N> {
            type Output = $Number<T, N>;
            #[inline]
            fn $op(self, rhs: $Number<T, N>) -> $Number<T, N> {
                $Op::$op(*self, rhs)
            }
        }
        impl<T: Real, const N: usize> $Op<&$Number<T, N>> for &$Number<T, N> {
            type Output = $Number<T, N>;
            #[inline]
            fn $op(self, rhs: &$Number<T, N>) -> $Number<T, N> {
                $Op::$op(*self, *rhs)
            }
        }
        impl<T: Real, const N: usize> $Op<f64> for &$Number<T, N> {
            type Output = $Number<T, N>;
            #[inline]
            fn $op(self, rhs: f64) -> $Number<T, N> {
                $Op::$op(*self, rhs)
            }
        }
        impl<T: Real, const N: usize> $Op<&$Number<T, N>> for f64 {
            type Output = $Number<T, N>;
            #[inline]
            fn $op(self, rhs: &$Number<T, N>) -> $Number<T, N> {
                $Op::$op(self, *rhs)
            }
        }
        impl<T: Real, const N: usize> $OpAssign for $Number<T, N> {
            #[inline]
            fn $op_assign(&mut self, rhs: Self) {
                *self = $Op::$op(*self, rhs);
            }
        }
        impl<T: Real, const N: usize> $OpAssign<&$Number<T, N>> for $Number<T, N> {
            #[inline]
            fn $op_assign(&mut self, rhs: &Self) {
                *self = $Op::$op(*self, *rhs);
            }
        }
        impl<T: Real, const N: usize> $OpAssign<f64> for $Number<T, N> {
            #[inline]
            fn $op_assign(&mut self, rhs: f64) {
                *self = $Op::$op(*self, rhs);
            }
        }
    )*};
}

/// Operators with a constant: `dual ∘ f64` and `f64 ∘ dual`.
macro_rules! with_constant {
    ($Number:ident: $($Op:ident $op:ident |$x:ident, $k:ident| $right:expr, $left:expr;)*) => {$(
        impl<T: Real, const N: usize> $Op<f64> for $Number<T, N> {
            type Output = Self;
            #[inline]
            fn $op(self, $k: f64) -> Self {
                let $x = self;
                $right
            }
        }
        impl<T: Real, const N: usize> $Op<$Number<T, N>> for f64 {
            type Output = $Number<T, N>;
            #[inline]
            fn $op(self, $x: $Number<T, N>) -> $Number<T, N> {
                let $k = self;
                $left
            }
        }
    )*};
}

/// Everything that follows from the operators by value, `primal`, `divide` and [`Real`](crate::Real).
macro_rules! complete_number {
    ($Number:ident) => {
        use core::cmp::Ordering;
        use core::iter::{Product, Sum};
        use core::ops::{AddAssign, DivAssign, MulAssign, RemAssign, SubAssign};

        crate::number::forms! {
            $Number:
            Add add AddAssign add_assign;
            Sub sub SubAssign sub_assign;
            Mul mul MulAssign mul_assign;
            Div div DivAssign div_assign;
            Rem rem RemAssign rem_assign;
        }

        crate::number::with_constant! {
            $Number:
            Add add |x, k| x.shift(k), x.shift(k);
            Sub sub |x, k| x.shift(-k), (-x).shift(k);
            Mul mul |x, k| x.scale(k), x.scale(k);
            Div div |x, k| x.divide(k), $Number::from_f64(k) / x;
            Rem rem |x, k| x % $Number::from_f64(k), $Number::from_f64(k) % x;
        }

        impl<T: Real, const N: usize> Neg for &$Number<T, N> {
            type Output = $Number<T, N>;
            #[inline]
            fn neg(self) -> $Number<T, N> {
                -*self
            }
        }

        impl<T: Real, const N: usize> Sum for $Number<T, N> {
            fn sum<I: Iterator<Item = Self>>(iter: I) -> Self {
                iter.fold(Self::from_f64(0.0), Add::add)
            }
        }

        impl<'a, T: Real, const N: usize> Sum<&'a Self> for $Number<T, N> {
            fn sum<I: Iterator<Item = &'a Self>>(iter: I) -> Self {
                iter.copied().sum()
            }
        }

        impl<T: Real, const N: usize> Product for $Number<T, N> {
            fn product<I: Iterator<Item = Self>>(iter: I) -> Self {
                iter.fold(Self::from_f64(1.0), Mul::mul)
            }
        }

        impl<'a, T: Real, const N: usize> Product<&'a Self> for $Number<T, N> {
            fn product<I: Iterator<Item = &'a Self>>(iter: I) -> Self {
                iter.copied().product()
            }
        }

        impl<T: Real, const N: usize> PartialEq for $Number<T, N> {
            /// Compares the primals, as every comparison does.
            #[inline]
            fn eq(&self, other: &Self) -> bool {
                self.primal() == other.primal()
            }
        }

        impl<T: Real, const N: usize> PartialOrd for $Number<T, N> {
            #[inline]
            fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
                self.primal().partial_cmp(&other.primal())
            }
        }

        impl<T: Real, const N: usize> PartialEq<f64> for $Number<T, N> {
            #[inline]
            fn eq(&self, other: &f64) -> bool {
                self.value() == *other
            }
        }

        impl<T: Real, const N: usize> PartialOrd<f64> for $Number<T, N> {
            #[inline]
            fn partial_cmp(&self, other: &f64) -> Option<Ordering> {
                self.value().partial_cmp(other)
            }
        }

        impl<T: Real, const N: usize> Default for $Number<T, N> {
            #[inline]
            fn default() -> Self {
                Self::from_f64(0.0)
            }
        }

        impl<T: Real, const N: usize> From<f64> for $Number<T, N> {
            #[inline]
            fn from(value: f64) -> Self {
                Self::from_f64(value)
            }
        }
    };
}

pub(crate) use {complete_number, forms, with_constant};
