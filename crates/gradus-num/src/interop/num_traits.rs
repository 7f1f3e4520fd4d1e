//! The traits of `num-traits`, so that generic numerical code accepts every number here.
//!
//! `Float` is left out: it asks for the bits of a number, which a number with derivative parts does not have.

use num_traits::{FloatConst, FromPrimitive, Inv, MulAdd, Num, NumCast, One, Pow, Signed, ToPrimitive, Zero};

use crate::{Dual, Real, Scalar, Taylor};

macro_rules! constants {
    ($($name:ident)*) => {
        $(fn $name() -> Self { <Self as Real>::from_f64(<f64 as FloatConst>::$name()) })*
    };
}

macro_rules! interop {
    ([$($generics:tt)*] $Number:ty) => {
        impl<$($generics)*> Zero for $Number {
            fn zero() -> Self {
                <Self as Real>::zero()
            }
            /// Whether the value and every derivative is zero: only then is it neutral in addition.
            fn is_zero(&self) -> bool {
                self.parts_zero()
            }
        }

        impl<$($generics)*> One for $Number {
            fn one() -> Self {
                <Self as Real>::one()
            }
        }

        impl<$($generics)*> Num for $Number {
            type FromStrRadixErr = num_traits::ParseFloatError;
            fn from_str_radix(text: &str, radix: u32) -> Result<Self, Self::FromStrRadixErr> {
                f64::from_str_radix(text, radix).map(<Self as Real>::from_f64)
            }
        }

        impl<$($generics)*> Signed for $Number {
            fn abs(&self) -> Self {
                Scalar::abs(self)
            }
            fn abs_sub(&self, other: &Self) -> Self {
                if *self <= *other { <Self as Real>::zero() } else { *self - *other }
            }
            fn signum(&self) -> Self {
                Scalar::sign(self)
            }
            fn is_positive(&self) -> bool {
                self.value() > 0.0
            }
            fn is_negative(&self) -> bool {
                self.value() < 0.0
            }
        }

        impl<$($generics)*> ToPrimitive for $Number {
            fn to_i64(&self) -> Option<i64> {
                self.value().to_i64()
            }
            fn to_u64(&self) -> Option<u64> {
                self.value().to_u64()
            }
            fn to_f64(&self) -> Option<f64> {
                Some(self.value())
            }
        }

        impl<$($generics)*> FromPrimitive for $Number {
            fn from_i64(n: i64) -> Option<Self> {
                Some(<Self as Real>::from_f64(n as f64))
            }
            fn from_u64(n: u64) -> Option<Self> {
                Some(<Self as Real>::from_f64(n as f64))
            }
            fn from_f64(n: f64) -> Option<Self> {
                Some(<Self as Real>::from_f64(n))
            }
        }

        impl<$($generics)*> NumCast for $Number {
            fn from<P: ToPrimitive>(n: P) -> Option<Self> {
                n.to_f64().map(<Self as Real>::from_f64)
            }
        }

        impl<$($generics)*> Inv for $Number {
            type Output = Self;
            fn inv(self) -> Self {
                self.recip()
            }
        }

        impl<$($generics)*> MulAdd for $Number {
            type Output = Self;
            fn mul_add(self, a: Self, b: Self) -> Self {
                self * a + b
            }
        }

        impl<$($generics)*> Pow<i32> for $Number {
            type Output = Self;
            fn pow(self, n: i32) -> Self {
                self.powi(n)
            }
        }

        impl<$($generics)*> Pow<f64> for $Number {
            type Output = Self;
            fn pow(self, p: f64) -> Self {
                self.pow_f64(p)
            }
        }

        impl<$($generics)*> Pow<$Number> for $Number {
            type Output = Self;
            fn pow(self, p: Self) -> Self {
                self.powf(&p)
            }
        }

        impl<$($generics)*> FloatConst for $Number {
            constants!(E FRAC_1_PI FRAC_1_SQRT_2 FRAC_2_PI FRAC_2_SQRT_PI FRAC_PI_2 FRAC_PI_3 FRAC_PI_4 FRAC_PI_6 FRAC_PI_8 LN_10 LN_2 LOG10_E LOG2_E PI SQRT_2);
        }
    };
}

interop!([T: Real, const N: usize] Dual<T, N>);
interop!([T: Real, const K: usize] Taylor<T, K>);
#[cfg(feature = "std")]
interop!(['t, T: Real] crate::Var<'t, T>);
