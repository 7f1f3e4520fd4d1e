//! Operators on [`Var`]: each is the named operation, and numbers on either side are constants.

use core::cmp::Ordering;
use core::fmt;
use core::iter::{Product, Sum};
use core::ops::{Add, AddAssign, Div, DivAssign, Mul, MulAssign, Neg, Rem, RemAssign, Sub, SubAssign};

use crate::{Binary, Real, Unary};

use super::Var;

macro_rules! operator {
    ($trait:ident, $method:ident, $assign_trait:ident, $assign:ident) => {
        impl<'t, T: Real> $trait for Var<'t, T> {
            type Output = Self;
            #[inline(always)]
            fn $method(self, rhs: Self) -> Self {
                let value = $trait::$method(self.primal(), rhs.primal());
                self.joined(&rhs, value, |x, y, out| Binary::$trait.partials(x, y, out))
            }
        }
        impl<'t, T: Real> $assign_trait for Var<'t, T> {
            #[inline(always)]
            fn $assign(&mut self, rhs: Self) {
                *self = $trait::$method(*self, rhs);
            }
        }
        operator!(@forward $trait $method, Var<'t, T>, &Var<'t, T>, |a, b| (a, *b));
        operator!(@forward $trait $method, &Var<'t, T>, Var<'t, T>, |a, b| (*a, b));
        operator!(@forward $trait $method, &Var<'t, T>, &Var<'t, T>, |a, b| (*a, *b));
        operator!(@forward $trait $method, Var<'t, T>, f64, |a, b| (a, Var::from_f64(b)));
        operator!(@forward $trait $method, f64, Var<'t, T>, |a, b| (Var::from_f64(a), b));
        impl<T: Real> $assign_trait<f64> for Var<'_, T> {
            #[inline(always)]
            fn $assign(&mut self, rhs: f64) {
                *self = $trait::$method(*self, Var::from_f64(rhs));
            }
        }
    };
    (@forward $trait:ident $method:ident, $left:ty, $right:ty, |$a:ident, $b:ident| $pair:expr) => {
        impl<'t, T: Real> $trait<$right> for $left {
            type Output = Var<'t, T>;
            #[inline(always)]
            fn $method(self, rhs: $right) -> Var<'t, T> {
                let ($a, $b) = (self, rhs);
                let (a, b): (Var<'t, T>, Var<'t, T>) = $pair;
                $trait::$method(a, b)
            }
        }
    };
}

operator!(Add, add, AddAssign, add_assign);
operator!(Sub, sub, SubAssign, sub_assign);
operator!(Mul, mul, MulAssign, mul_assign);
operator!(Div, div, DivAssign, div_assign);
operator!(Rem, rem, RemAssign, rem_assign);

impl<T: Real> Neg for Var<'_, T> {
    type Output = Self;
    #[inline(always)]
    fn neg(self) -> Self {
        self.chained(-self.primal(), |x, y| Unary::Neg.derivative(x, y))
    }
}

impl<T: Real> Sum for Var<'_, T> {
    fn sum<I: Iterator<Item = Self>>(iter: I) -> Self {
        iter.fold(Var::from_f64(0.0), |total, term| total + term)
    }
}

impl<T: Real> Product for Var<'_, T> {
    fn product<I: Iterator<Item = Self>>(iter: I) -> Self {
        iter.fold(Var::from_f64(1.0), |total, factor| total * factor)
    }
}

impl<T: Real> From<f64> for Var<'_, T> {
    fn from(value: f64) -> Self {
        Var::from_f64(value)
    }
}

/// Compares primal values.
impl<T: Real> PartialEq for Var<'_, T> {
    #[inline(always)]
    fn eq(&self, other: &Self) -> bool {
        self.primal() == other.primal()
    }
}

/// Compares primal values.
impl<T: Real> PartialOrd for Var<'_, T> {
    #[inline(always)]
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        self.primal().partial_cmp(&other.primal())
    }
}

crate::operators::constant_operators!(@compare ['t, T: Real] Var<'t, T>);

/// The primal value, formatted as an `f64`.
impl<T: Real> fmt::Display for Var<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.value(), f)
    }
}

impl<T: Real> fmt::Debug for Var<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (node, weight, _) = self.parts();
        match self.is_constant() {
            true => write!(f, "{:?}", self.value()),
            false => write!(f, "{:?} (node {node}, weight {:?})", self.value(), weight.value()),
        }
    }
}
