//! [`Unguarded`]: what drivers put into dual numbers first.
//!
//! That a zero tangent stays zero under an infinite local derivative costs a test in every operation. Without it such a
//! tangent becomes NaN, and a NaN among tangents never turns into a number again: every later tangent that it takes part in is
//! NaN, and comparisons look at primals alone. So a driver computes with this type, and where a tangent of a result comes
//! out NaN it computes again with `f64`. All other results have the same bits either way.

use core::cmp::Ordering;
use core::iter::{Product, Sum};
use core::ops::{Add, AddAssign, Div, DivAssign, Mul, MulAssign, Neg, Rem, RemAssign, Sub, SubAssign};

use crate::table::binary_table;
use crate::{Binary, Real, Scalar, Unary, for_each_unary};

/// An `f64` whose zeros are not guarded against infinite factors when it is a tangent.
#[derive(Clone, Copy, Debug, PartialEq, PartialOrd)]
#[repr(transparent)]
pub(crate) struct Unguarded(f64);

macro_rules! operators {
    ($($Op:ident $op:ident $OpAssign:ident $op_assign:ident;)*) => {$(
        impl $Op for Unguarded {
            type Output = Self;
            #[inline(always)]
            fn $op(self, rhs: Self) -> Self {
                Unguarded($Op::$op(self.0, rhs.0))
            }
        }
        impl $OpAssign for Unguarded {
            #[inline(always)]
            fn $op_assign(&mut self, rhs: Self) {
                $OpAssign::$op_assign(&mut self.0, rhs.0);
            }
        }
    )*};
}

operators! {
    Add add AddAssign add_assign;
    Sub sub SubAssign sub_assign;
    Mul mul MulAssign mul_assign;
    Div div DivAssign div_assign;
    Rem rem RemAssign rem_assign;
}

impl Neg for Unguarded {
    type Output = Self;
    #[inline(always)]
    fn neg(self) -> Self {
        Unguarded(-self.0)
    }
}

impl Sum for Unguarded {
    fn sum<I: Iterator<Item = Self>>(iter: I) -> Self {
        iter.fold(Unguarded(0.0), Add::add)
    }
}

impl Product for Unguarded {
    fn product<I: Iterator<Item = Self>>(iter: I) -> Self {
        iter.fold(Unguarded(1.0), Mul::mul)
    }
}

macro_rules! delegated_unary {
    ($($name:ident $op:ident $family:ident $entry:tt)*) => {$(
        #[inline(always)]
        fn $name(&self) -> Self {
            Unguarded(Scalar::$name(&self.0))
        }
    )*};
}

macro_rules! delegated_binary {
    ($($name:ident $op:ident $doc:literal;)*) => {$(
        #[inline(always)]
        fn $name(&self, rhs: &Self) -> Self {
            Unguarded(Scalar::$name(&self.0, &rhs.0))
        }
    )*};
}

impl Scalar for Unguarded {
    type Mask = bool;

    #[inline(always)]
    fn lit(&self, value: f64) -> Self {
        Unguarded(value)
    }
    #[inline(always)]
    fn unary(&self, op: Unary) -> Self {
        Unguarded(self.0.unary(op))
    }
    #[inline(always)]
    fn binary(&self, op: Binary, rhs: &Self) -> Self {
        Unguarded(self.0.binary(op, &rhs.0))
    }
    #[inline(always)]
    fn lt(&self, rhs: &Self) -> bool {
        self.0 < rhs.0
    }
    #[inline(always)]
    fn le(&self, rhs: &Self) -> bool {
        self.0 <= rhs.0
    }
    #[inline(always)]
    fn eq(&self, rhs: &Self) -> bool {
        self.0.partial_cmp(&rhs.0) == Some(Ordering::Equal)
    }
    #[inline(always)]
    fn decided(mask: &bool) -> Option<bool> {
        Some(*mask)
    }
    #[inline(always)]
    fn select(mask: &bool, on_true: &Self, on_false: &Self) -> Self {
        if *mask { *on_true } else { *on_false }
    }

    for_each_unary!(delegated_unary);
    binary_table!(delegated_binary);

    #[inline(always)]
    fn powi(&self, n: i32) -> Self {
        Unguarded(Scalar::powi(&self.0, n))
    }
    #[inline(always)]
    fn polygamma(&self, n: u32) -> Self {
        Unguarded(self.0.polygamma(n))
    }
    #[inline(always)]
    fn rem(&self, rhs: &Self) -> Self {
        Unguarded(self.0 % rhs.0)
    }
    #[inline(always)]
    fn sin_cos(&self) -> (Self, Self) {
        let (sin, cos) = Scalar::sin_cos(&self.0);
        (Unguarded(sin), Unguarded(cos))
    }
}

impl Real for Unguarded {
    const GUARDED: bool = false;

    #[inline(always)]
    fn from_f64(value: f64) -> Self {
        Unguarded(value)
    }
    #[inline(always)]
    fn value(&self) -> f64 {
        self.0
    }
}

crate::operators::constant_operators!([] Unguarded);
