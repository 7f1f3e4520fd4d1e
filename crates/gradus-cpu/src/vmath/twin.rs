//! Steps with two results: functions of one argument that share most of their work, a function and its derivative most
//! of all. Each result has the bits of the step of its own.
//!
//! Invariant: that of the steps: operands and both results hold `n` elements.

use std::marker::PhantomData;

use super::float::Float;
use super::isa::{InstructionSet, Isa};
use super::loops::{Many, Source, WIDTH, each_pair, keep_blocks, store};
use super::step::{Call, Kernel, StepFn, pick};

/// Two functions of one argument.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Twin {
    /// `sin x` and `cos x`.
    SinCos,
    /// `tanh x` and `sech² x`.
    TanhSech2,
    /// `1/(1 + e⁻ˣ)` and `sech²(x/2)`.
    SigmoidSech2,
    /// `ln(1 + eˣ)` and `1/(1 + e⁻ˣ)`.
    SoftplusSigmoid,
}

/// A kernel of the loop body given, for `T` and `I` as the body names them.
macro_rules! twin {
    ($level:expr, $float:ident, |$v:ident| $body:expr $(, far $far:ident => $again:expr)?) => {{
        struct K<T>(PhantomData<T>);
        impl<T: Float> Kernel for K<T> {
            #[inline(always)]
            unsafe fn run<I: Isa>(call: &Call) {
                let (x, first, second) = (Many(call.arg::<T>(0)), call.out::<T>(), call.second::<T>());
                each_pair!(call.n, first, second, |$v: x| $body $(, far $far => $again)?)
            }
        }
        pick::<K<$float>>($level)
    }};
}

/// The loop of a twin.
#[inline(always)]
pub(super) fn of<F: Float>(level: InstructionSet, twin: Twin) -> StepFn {
    match twin {
        Twin::SinCos => {
            twin!(level, F, |v| (v.sin::<I>(), v.cos::<I>()), far v => (v.far_sin(), v.far_cos()))
        }
        Twin::TanhSech2 => twin!(level, F, |v| (v.tanh::<I>(), v.sech2::<I>())),
        Twin::SigmoidSech2 => twin!(level, F, |v| v.sigmoid_sech2::<I>()),
        Twin::SoftplusSigmoid => twin!(level, F, |v| (v.softplus::<I>(), v.sigmoid::<I>())),
    }
}
