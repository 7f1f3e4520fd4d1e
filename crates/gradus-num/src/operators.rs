//! The operators of a number type, spelled once for the types that only trace, and those with an `f64` on the right.

/// Implements the operator traits that [`Real`](crate::Real) asks for by calling the named operations, and
/// comparisons by the primal value.
macro_rules! real_operators {
    ([$($generics:tt)*] $type:ty) => {
        $crate::operators::constant_operators!([$($generics)*] $type);
        $crate::operators::real_operators!(@binary [$($generics)*] $type, Add add AddAssign add_assign);
        $crate::operators::real_operators!(@binary [$($generics)*] $type, Sub sub SubAssign sub_assign);
        $crate::operators::real_operators!(@binary [$($generics)*] $type, Mul mul MulAssign mul_assign);
        $crate::operators::real_operators!(@binary [$($generics)*] $type, Div div DivAssign div_assign);
        impl<$($generics)*> core::ops::Rem for $type {
            type Output = Self;
            #[inline]
            fn rem(self, rhs: Self) -> Self {
                $crate::Scalar::binary(&self, $crate::Binary::Rem, &rhs)
            }
        }
        impl<$($generics)*> core::ops::Neg for $type {
            type Output = Self;
            #[inline]
            fn neg(self) -> Self {
                $crate::Scalar::unary(&self, $crate::Unary::Neg)
            }
        }
        impl<$($generics)*> core::iter::Sum for $type {
            fn sum<I: Iterator<Item = Self>>(iter: I) -> Self {
                iter.fold(<Self as $crate::Real>::from_f64(0.0), |total, term| total + term)
            }
        }
        impl<$($generics)*> core::iter::Product for $type {
            fn product<I: Iterator<Item = Self>>(iter: I) -> Self {
                iter.fold(<Self as $crate::Real>::from_f64(1.0), |total, factor| total * factor)
            }
        }
        impl<$($generics)*> PartialEq for $type {
            #[inline]
            fn eq(&self, other: &Self) -> bool {
                $crate::Real::value(self) == $crate::Real::value(other)
            }
        }
        impl<$($generics)*> PartialOrd for $type {
            #[inline]
            fn partial_cmp(&self, other: &Self) -> Option<core::cmp::Ordering> {
                $crate::Real::value(self).partial_cmp(&$crate::Real::value(other))
            }
        }
        impl<$($generics)*> core::fmt::Debug for $type {
            fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
                core::fmt::Debug::fmt(&$crate::Real::value(self), f)
            }
        }
    };
    (@binary [$($generics:tt)*] $type:ty, $trait:ident $method:ident $assign_trait:ident $assign:ident) => {
        impl<$($generics)*> core::ops::$trait for $type {
            type Output = Self;
            #[inline]
            fn $method(self, rhs: Self) -> Self {
                $crate::Scalar::binary(&self, $crate::Binary::$trait, &rhs)
            }
        }
        impl<$($generics)*> core::ops::$assign_trait for $type {
            #[inline]
            fn $assign(&mut self, rhs: Self) {
                *self = $crate::Scalar::binary(self, $crate::Binary::$trait, &rhs);
            }
        }
    };
}

/// Implements the operators with an `f64` on the right that [`Real64`](crate::Real64) asks for: the constant is converted.
macro_rules! constant_operators {
    ([$($generics:tt)*] $type:ty) => {
        $crate::operators::constant_operators!(@binary [$($generics)*] $type, Add add AddAssign add_assign);
        $crate::operators::constant_operators!(@binary [$($generics)*] $type, Sub sub SubAssign sub_assign);
        $crate::operators::constant_operators!(@binary [$($generics)*] $type, Mul mul MulAssign mul_assign);
        $crate::operators::constant_operators!(@binary [$($generics)*] $type, Div div DivAssign div_assign);
        $crate::operators::constant_operators!(@binary [$($generics)*] $type, Rem rem RemAssign rem_assign);
        $crate::operators::constant_operators!(@compare [$($generics)*] $type);
    };
    (@binary [$($generics:tt)*] $type:ty, $trait:ident $method:ident $assign_trait:ident $assign:ident) => {
        impl<$($generics)*> core::ops::$trait<f64> for $type {
            type Output = Self;
            #[inline(always)]
            fn $method(self, rhs: f64) -> Self {
                core::ops::$trait::$method(self, <Self as $crate::Real>::from_f64(rhs))
            }
        }
        impl<$($generics)*> core::ops::$assign_trait<f64> for $type {
            #[inline(always)]
            fn $assign(&mut self, rhs: f64) {
                *self = core::ops::$trait::$method(*self, <Self as $crate::Real>::from_f64(rhs));
            }
        }
    };
    (@compare [$($generics:tt)*] $type:ty) => {
        impl<$($generics)*> PartialEq<f64> for $type {
            #[inline(always)]
            fn eq(&self, other: &f64) -> bool {
                PartialEq::eq(self, &<Self as $crate::Real>::from_f64(*other))
            }
        }
        impl<$($generics)*> PartialOrd<f64> for $type {
            #[inline(always)]
            fn partial_cmp(&self, other: &f64) -> Option<core::cmp::Ordering> {
                PartialOrd::partial_cmp(self, &<Self as $crate::Real>::from_f64(*other))
            }
        }
    };
}

pub(crate) use {constant_operators, real_operators};
