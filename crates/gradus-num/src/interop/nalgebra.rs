//! The traits that `nalgebra` asks of the entries of a matrix, for dual numbers and series: its decompositions then
//! carry derivatives.
//!
//! Comparisons, tolerances and pivots look at the values alone, as everywhere; a test for zero asks whether the derivatives
//! are zero too. (The traits are those of `simba`, from which `nalgebra` takes them.)

use core::fmt::Display;

use approx::{AbsDiffEq, RelativeEq, UlpsEq};
use num_traits::{FloatConst, Zero};
use simba::scalar::{ComplexField, Field, RealField, SubsetOf};
use simba::simd::SimdValue;

use crate::{Dual, Real, Scalar, Taylor};

/// What an inner number has to be.
pub trait Entry: Real + Display + Send + Sync + 'static {}
impl<T: Real + Display + Send + Sync + 'static> Entry for T {}

macro_rules! subset {
    ($Number:ident, $($float:ident)*) => {$(
        impl<T: Entry, const N: usize> SubsetOf<$Number<T, N>> for $float {
            fn to_superset(&self) -> $Number<T, N> {
                $Number::from_f64((*self).into())
            }
            #[allow(clippy::unnecessary_cast)]
            fn from_superset_unchecked(number: &$Number<T, N>) -> $float {
                number.value() as $float
            }
            /// A number is one of the plain ones if it has no derivative.
            fn is_in_subset(number: &$Number<T, N>) -> bool {
                number.is_constant()
            }
        }
    )*};
}

/// Functions of one argument under one name in both libraries.
macro_rules! functions {
    ($($name:ident)*) => {$(
        fn $name(self) -> Self {
            Scalar::$name(&self)
        }
    )*};
}

/// Constants under one name here and two there.
macro_rules! constants {
    ($($name:ident $constant:ident)*) => {$(
        fn $name() -> Self {
            <Self as FloatConst>::$constant()
        }
    )*};
}

macro_rules! field {
    ($Number:ident) => {
        subset!($Number, f32 f64);

        impl<T: Entry, const N: usize> SubsetOf<$Number<T, N>> for $Number<T, N> {
            fn to_superset(&self) -> Self {
                *self
            }
            fn from_superset_unchecked(number: &Self) -> Self {
                *number
            }
            fn is_in_subset(_: &Self) -> bool {
                true
            }
        }

        impl<T: Entry, const N: usize> SimdValue for $Number<T, N> {
            const LANES: usize = 1;
            type Element = Self;
            type SimdBool = bool;

            fn splat(value: Self) -> Self {
                value
            }
            fn extract(&self, _: usize) -> Self {
                *self
            }
            // SAFETY: Nothing is asked of the index: there is one lane.
            unsafe fn extract_unchecked(&self, _: usize) -> Self {
                *self
            }
            fn replace(&mut self, _: usize, value: Self) {
                *self = value;
            }
            // SAFETY: Nothing is asked of the index: there is one lane.
            unsafe fn replace_unchecked(&mut self, _: usize, value: Self) {
                *self = value;
            }
            fn select(self, condition: bool, other: Self) -> Self {
                if condition { self } else { other }
            }
        }

        impl<T: Entry, const N: usize> Field for $Number<T, N> {}

        impl<T: Entry, const N: usize> AbsDiffEq for $Number<T, N> {
            type Epsilon = Self;
            fn default_epsilon() -> Self {
                Self::from_f64(f64::EPSILON)
            }
            fn abs_diff_eq(&self, other: &Self, epsilon: Self) -> bool {
                self.value().abs_diff_eq(&other.value(), epsilon.value())
            }
        }

        impl<T: Entry, const N: usize> RelativeEq for $Number<T, N> {
            fn default_max_relative() -> Self {
                Self::from_f64(f64::EPSILON)
            }
            fn relative_eq(&self, other: &Self, epsilon: Self, max_relative: Self) -> bool {
                self.value().relative_eq(&other.value(), epsilon.value(), max_relative.value())
            }
        }

        impl<T: Entry, const N: usize> UlpsEq for $Number<T, N> {
            fn default_max_ulps() -> u32 {
                f64::default_max_ulps()
            }
            fn ulps_eq(&self, other: &Self, epsilon: Self, max_ulps: u32) -> bool {
                self.value().ulps_eq(&other.value(), epsilon.value(), max_ulps)
            }
        }

        impl<T: Entry, const N: usize> ComplexField for $Number<T, N> {
            type RealField = Self;

            fn from_real(re: Self) -> Self {
                re
            }
            fn real(self) -> Self {
                self
            }
            fn imaginary(self) -> Self {
                Zero::zero()
            }
            fn modulus(self) -> Self {
                Scalar::abs(&self)
            }
            fn modulus_squared(self) -> Self {
                self.square()
            }
            fn argument(self) -> Self {
                if self.value() < 0.0 { Self::PI() } else { Zero::zero() }
            }
            fn norm1(self) -> Self {
                Scalar::abs(&self)
            }
            fn scale(self, factor: Self) -> Self {
                self * factor
            }
            fn unscale(self, factor: Self) -> Self {
                self / factor
            }
            fn conjugate(self) -> Self {
                self
            }

            functions!(floor ceil round abs recip sin cos tan asin acos atan sinh cosh tanh asinh acosh atanh);
            functions!(sinc log2 log10 ln ln_1p sqrt exp exp2 exp_m1 cbrt);

            fn trunc(self) -> Self {
                if self.value() < 0.0 { Scalar::ceil(&self) } else { Scalar::floor(&self) }
            }
            fn fract(self) -> Self {
                self - ComplexField::trunc(self)
            }
            fn mul_add(self, a: Self, b: Self) -> Self {
                self * a + b
            }
            fn hypot(self, other: Self) -> Self {
                Scalar::hypot(&self, &other)
            }
            fn sin_cos(self) -> (Self, Self) {
                Scalar::sin_cos(&self)
            }
            fn log(self, base: Self) -> Self {
                Scalar::log(&self) / Scalar::log(&base)
            }
            fn powi(self, n: i32) -> Self {
                Scalar::powi(&self, n)
            }
            fn powf(self, n: Self) -> Self {
                Scalar::powf(&self, &n)
            }
            fn powc(self, n: Self) -> Self {
                Scalar::powf(&self, &n)
            }
            fn is_finite(&self) -> bool {
                Real::is_finite(self)
            }
            fn try_sqrt(self) -> Option<Self> {
                (self.value() >= 0.0).then(|| Scalar::sqrt(&self))
            }
        }

        impl<T: Entry, const N: usize> RealField for $Number<T, N> {
            fn is_sign_positive(&self) -> bool {
                self.value().is_sign_positive()
            }
            fn is_sign_negative(&self) -> bool {
                self.value().is_sign_negative()
            }
            fn copysign(self, sign: Self) -> Self {
                if RealField::is_sign_negative(&self) == RealField::is_sign_negative(&sign) { self } else { -self }
            }
            fn max(self, other: Self) -> Self {
                Scalar::max(&self, &other)
            }
            fn min(self, other: Self) -> Self {
                Scalar::min(&self, &other)
            }
            fn clamp(self, min: Self, max: Self) -> Self {
                self.clip(&min, &max)
            }
            fn atan2(self, other: Self) -> Self {
                Scalar::atan2(&self, &other)
            }
            fn min_value() -> Option<Self> {
                Some(Self::from_f64(f64::MIN))
            }
            fn max_value() -> Option<Self> {
                Some(Self::from_f64(f64::MAX))
            }

            constants!(pi PI frac_pi_2 FRAC_PI_2 frac_pi_3 FRAC_PI_3 frac_pi_4 FRAC_PI_4 frac_pi_6 FRAC_PI_6);
            constants!(frac_pi_8 FRAC_PI_8 frac_1_pi FRAC_1_PI frac_2_pi FRAC_2_PI frac_2_sqrt_pi FRAC_2_SQRT_PI);
            constants!(e E log2_e LOG2_E log10_e LOG10_E ln_2 LN_2 ln_10 LN_10 two_pi TAU);
        }
    };
}

field!(Dual);
field!(Taylor);
