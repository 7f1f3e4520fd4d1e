//! The element types of the vector functions, each with its own formulas under common names.

use super::fused::FusedKernel;
use super::isa::{Isa, Num};
use super::small::{FewKernel, SmallKernel};
use super::step::Steps;
use super::{erf, exp, far, hyperbolic, inverse, log, power, trig};
use crate::conv::{CorrelateKernel, DepthwiseKernel, FlatKernel, Micro, WinogradKernel};
use crate::reduce::{ColumnsKernel, RowsKernel};
use crate::vector::Vector;
use crate::window::{MaxKernel, SpreadKernel, SumKernel};

/// `f32` or `f64`: a type that every element-wise function is compiled for.
pub trait Float:
    Num + PartialEq + Default + Send + Sync + 'static + std::fmt::Debug + Lanes + Steps + Kernels<Self>
{
    /// A register of an instruction set.
    type Vector<I: Isa>: Vector<Element = Self>;
    /// 0.
    const ZERO: Self;
    /// 1.
    const ONE: Self;
    /// The zero of a tangent that no path reaches, [`DEAD`](gradus_core::DEAD).
    const DEAD: Self;
    /// The nearest value to a double.
    fn from_f64(value: f64) -> Self;
    /// The same value as a double.
    fn to_f64(self) -> f64;
}

/// The kernels compiled for a type.
#[doc(hidden)]
pub trait Kernels<T>:
    SmallKernel<T>
    + FewKernel<T>
    + FusedKernel<T>
    + RowsKernel<T>
    + ColumnsKernel<T>
    + CorrelateKernel<T>
    + DepthwiseKernel<T>
    + FlatKernel<T>
    + Micro
    + WinogradKernel<T>
    + MaxKernel<T>
    + SumKernel<T>
    + SpreadKernel<T>
{
}
impl Kernels<f32> for f32 {}
impl Kernels<f64> for f64 {}

macro_rules! lanes {
    ($($name:ident $single:ident $module:ident),* ; $($pair:ident $pair_single:ident $pair_module:ident),*) => {
        /// The functions of one element, generic over the instruction set of the loop they are inlined into.
        #[allow(missing_docs, clippy::wrong_self_convention, reason = "named after their functions, by value")]
        pub trait Lanes: Sized {
            $(fn $name<I: Isa>(self) -> Self;)*
            $(fn $pair<I: Isa>(self, rhs: Self) -> Self;)*
            fn abs(self) -> Self;
            fn floor(self) -> Self;
            fn ceil(self) -> Self;
            fn round(self) -> Self;
            fn sqrt(self) -> Self;
            fn rem(self, rhs: Self) -> Self;
            fn is_nan(self) -> bool;
            /// Whether it is [`DEAD`](Float::DEAD).
            fn is_dead(self) -> bool;
            /// Whether the trigonometric functions above do not reach this argument.
            fn far(self) -> bool;
            fn far_sin(self) -> Self;
            fn far_cos(self) -> Self;
            fn far_tan(self) -> Self;
            fn power<I: Isa>(self, n: i32) -> Self;
            /// The logistic function and `sech²` of half the argument.
            fn sigmoid_sech2<I: Isa>(self) -> (Self, Self);
        }

        impl Lanes for f64 {
            $(#[inline(always)] fn $name<I: Isa>(self) -> f64 { $module::$name::<I>(self) })*
            $(#[inline(always)] fn $pair<I: Isa>(self, rhs: f64) -> f64 { $pair_module::$pair::<I>(self, rhs) })*
            #[inline(always)] fn abs(self) -> f64 { self.abs() }
            #[inline(always)] fn floor(self) -> f64 { self.floor() }
            #[inline(always)] fn ceil(self) -> f64 { self.ceil() }
            #[inline(always)] fn round(self) -> f64 { self.round_ties_even() }
            #[inline(always)] fn sqrt(self) -> f64 { self.sqrt() }
            #[inline(always)] fn rem(self, rhs: f64) -> f64 { self % rhs }
            #[inline(always)] fn is_nan(self) -> bool { self.is_nan() }
            #[inline(always)] fn is_dead(self) -> bool { self.to_bits() == f64::DEAD.to_bits() }
            #[inline(always)] fn far(self) -> bool { (self.abs() > trig::LIMIT) & (self.abs() < f64::INFINITY) }
            fn far_sin(self) -> f64 { far::sin(self) }
            fn far_cos(self) -> f64 { far::cos(self) }
            fn far_tan(self) -> f64 { far::tan(self) }
            #[inline(always)] fn power<I: Isa>(self, n: i32) -> f64 { power::pow::<I>(self, n as f64) }
            #[inline(always)] fn sigmoid_sech2<I: Isa>(self) -> (f64, f64) { exp::sigmoid_sech2::<I>(self) }
        }

        impl Lanes for f32 {
            $(#[inline(always)] fn $name<I: Isa>(self) -> f32 { $module::$single::<I>(self) })*
            $(#[inline(always)] fn $pair<I: Isa>(self, rhs: f32) -> f32 { $pair_module::$pair_single::<I>(self, rhs) })*
            #[inline(always)] fn abs(self) -> f32 { self.abs() }
            #[inline(always)] fn floor(self) -> f32 { self.floor() }
            #[inline(always)] fn ceil(self) -> f32 { self.ceil() }
            #[inline(always)] fn round(self) -> f32 { self.round_ties_even() }
            #[inline(always)] fn sqrt(self) -> f32 { self.sqrt() }
            #[inline(always)] fn rem(self, rhs: f32) -> f32 { self % rhs }
            #[inline(always)] fn is_nan(self) -> bool { self.is_nan() }
            #[inline(always)] fn is_dead(self) -> bool { self.to_bits() == f32::DEAD.to_bits() }
            #[inline(always)] fn far(self) -> bool { (self.abs() > trig::LIMIT as f32) & (self.abs() < f32::INFINITY) }
            fn far_sin(self) -> f32 { far::sin(self as f64) as f32 }
            fn far_cos(self) -> f32 { far::cos(self as f64) as f32 }
            fn far_tan(self) -> f32 { far::tan(self as f64) as f32 }
            #[inline(always)] fn power<I: Isa>(self, n: i32) -> f32 { power::powi_single::<I>(self, n) }
            #[inline(always)] fn sigmoid_sech2<I: Isa>(self) -> (f32, f32) { exp::sigmoid_sech2f::<I>(self) }
        }
    };
}

lanes!(
    exp expf exp, exp2 exp2f exp, expm1 expm1f exp, sigmoid sigmoidf exp, sech2 sech2f exp, softplus softplusf exp,
    log logf log, log2 log2f log, log1p log1pf log,
    sin sinf trig, cos cosf trig, tan tanf trig,
    asin asinf inverse, acos acosf inverse, atan atanf inverse,
    sinh sinhf hyperbolic, cosh coshf hyperbolic, tanh tanhf hyperbolic,
    asinh asinhf hyperbolic, acosh acoshf hyperbolic, atanh atanhf hyperbolic,
    erf erff erf, erfc erfcf erf, cbrt cbrtf power;
    pow powf power, atan2 atan2f inverse, hypot hypotf power
);

impl Float for f32 {
    type Vector<I: Isa> = I::Singles;
    const ZERO: f32 = 0.0;
    const ONE: f32 = 1.0;
    const DEAD: f32 = gradus_core::DEAD as f32;
    #[inline(always)]
    fn from_f64(value: f64) -> f32 {
        value as f32
    }
    #[inline(always)]
    fn to_f64(self) -> f64 {
        self as f64
    }
}

impl Float for f64 {
    type Vector<I: Isa> = I::Doubles;
    const ZERO: f64 = 0.0;
    const ONE: f64 = 1.0;
    const DEAD: f64 = gradus_core::DEAD;
    #[inline(always)]
    fn from_f64(value: f64) -> f64 {
        value
    }
    #[inline(always)]
    fn to_f64(self) -> f64 {
        self
    }
}
