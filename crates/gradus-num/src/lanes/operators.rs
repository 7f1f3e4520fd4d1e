//! Operators, comparisons and sums of [`Lanes`].

use core::cmp::Ordering;
use core::iter::{Product, Sum};
use core::ops::{Add, AddAssign, Div, DivAssign, Mul, MulAssign, Neg, Rem, Sub, SubAssign};

use super::Lanes;
use crate::Real;

macro_rules! operator {
    ($($Op:ident $op:ident $OpAssign:ident $op_assign:ident;)*) => {$(
        impl<const W: usize> $Op for Lanes<W> {
            type Output = Self;
            #[inline(always)]
            fn $op(self, rhs: Self) -> Self {
                self.zip(&rhs, $Op::$op)
            }
        }
        impl<const W: usize> $OpAssign for Lanes<W> {
            #[inline(always)]
            fn $op_assign(&mut self, rhs: Self) {
                *self = self.zip(&rhs, $Op::$op);
            }
        }
    )*};
}

operator! {
    Add add AddAssign add_assign;
    Sub sub SubAssign sub_assign;
    Mul mul MulAssign mul_assign;
    Div div DivAssign div_assign;
}

impl<const W: usize> Rem for Lanes<W> {
    type Output = Self;
    #[inline(always)]
    fn rem(self, rhs: Self) -> Self {
        self.zip(&rhs, Rem::rem)
    }
}

impl<const W: usize> Neg for Lanes<W> {
    type Output = Self;
    #[inline(always)]
    fn neg(self) -> Self {
        self.map(Neg::neg)
    }
}

impl<const W: usize> Sum for Lanes<W> {
    fn sum<I: Iterator<Item = Self>>(iter: I) -> Self {
        iter.fold(Self::from_f64(0.0), Add::add)
    }
}

impl<const W: usize> Product for Lanes<W> {
    fn product<I: Iterator<Item = Self>>(iter: I) -> Self {
        iter.fold(Self::from_f64(1.0), Mul::mul)
    }
}

impl<const W: usize> PartialEq for Lanes<W> {
    /// What all lanes agree on.
    #[inline(always)]
    fn eq(&self, other: &Self) -> bool {
        Self::agree(self.test(other, |x, y| x == y))
    }
}

impl<const W: usize> PartialOrd for Lanes<W> {
    #[inline(always)]
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        let mut orders = [None; W];
        for lane in 0..W {
            orders[lane] = self.0[lane].partial_cmp(&other.0[lane]);
        }
        Self::agree(orders)
    }
    #[inline(always)]
    fn lt(&self, other: &Self) -> bool {
        Self::agree(self.test(other, |x, y| x < y))
    }
    #[inline(always)]
    fn le(&self, other: &Self) -> bool {
        Self::agree(self.test(other, |x, y| x <= y))
    }
    #[inline(always)]
    fn gt(&self, other: &Self) -> bool {
        Self::agree(self.test(other, |x, y| x > y))
    }
    #[inline(always)]
    fn ge(&self, other: &Self) -> bool {
        Self::agree(self.test(other, |x, y| x >= y))
    }
}

crate::operators::constant_operators!([const W: usize] Lanes<W>);
