//! [`Scalar`] and [`Real`] for `f64` and `f32`.

use crate::table::binary_table;
use crate::{Binary, Real, Scalar, Unary, for_each_unary, math};

macro_rules! direct_unary {
    ($($name:ident $op:ident $family:ident $entry:tt)*) => {
        #[inline]
        fn unary(&self, op: Unary) -> Self {
            match op {
                Unary::Neg => -*self,
                Unary::Powi(n) => Scalar::powi(self, n),
                Unary::Polygamma(n) => Scalar::polygamma(self, n),
                $(Unary::$op => Scalar::$name(self),)*
            }
        }
        $(
            #[inline]
            fn $name(&self) -> Self {
                math::$name(*self as f64) as Self
            }
        )*
    };
}

macro_rules! direct_binary {
    ($($name:ident $op:ident $doc:literal;)*) => {
        #[inline]
        fn binary(&self, op: Binary, rhs: &Self) -> Self {
            match op {
                Binary::Add => self + rhs,
                Binary::Sub => self - rhs,
                Binary::Mul => self * rhs,
                Binary::Div => self / rhs,
                Binary::Rem => self % rhs,
                $(Binary::$op => Scalar::$name(self, rhs),)*
            }
        }
        $(
            #[inline]
            fn $name(&self, rhs: &Self) -> Self {
                math::$name(*self as f64, *rhs as f64) as Self
            }
        )*
    };
}

macro_rules! float {
    ($float:ident) => {
        // The functions are evaluated at `f64` and rounded, which for `f32` makes every value correctly rounded
        // but for rare double roundings.
        #[allow(clippy::unnecessary_cast)]
        impl Scalar for $float {
            type Mask = bool;

            #[inline]
            fn lit(&self, value: f64) -> Self {
                value as Self
            }
            #[inline]
            fn lt(&self, rhs: &Self) -> bool {
                self < rhs
            }
            #[inline]
            fn le(&self, rhs: &Self) -> bool {
                self <= rhs
            }
            #[inline]
            fn eq(&self, rhs: &Self) -> bool {
                self == rhs
            }
            #[inline]
            fn decided(mask: &bool) -> Option<bool> {
                Some(*mask)
            }
            #[inline]
            fn select(mask: &bool, on_true: &Self, on_false: &Self) -> Self {
                if *mask { *on_true } else { *on_false }
            }
            for_each_unary!(direct_unary);
            binary_table!(direct_binary);
            #[inline]
            fn powi(&self, n: i32) -> Self {
                math::powi(*self as f64, n) as Self
            }
            #[inline]
            fn polygamma(&self, n: u32) -> Self {
                math::polygamma(n, *self as f64) as Self
            }
            #[inline]
            fn sin_cos(&self) -> (Self, Self) {
                let (sin, cos) = math::sin_cos(*self as f64);
                (sin as Self, cos as Self)
            }
            #[inline]
            fn with_slope(&self, op: Unary) -> Option<(Self, Self)> {
                let (value, slope) = match op {
                    Unary::Sigmoid => math::sigmoid_with_slope(*self as f64),
                    Unary::Tanh => math::tanh_with_slope(*self as f64),
                    _ => return None,
                };
                Some((value as Self, slope as Self))
            }
            #[inline]
            fn rem(&self, rhs: &Self) -> Self {
                *self % *rhs
            }
        }

        #[allow(clippy::unnecessary_cast)]
        impl Real for $float {
            #[inline]
            fn from_f64(value: f64) -> Self {
                value as Self
            }
            #[inline]
            fn value(&self) -> f64 {
                *self as f64
            }
        }
    };
}

float!(f64);
float!(f32);
