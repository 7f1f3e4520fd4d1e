//! Element-wise functions of one argument, on slices.

use gradus_num::Unary;

use super::float::Float;
use super::isa::{Isa, dispatch};
use super::loops::{Many, Source, WIDTH, each, keep_blocks, store};

/// `out[i] = op(x[i])`.
///
/// ```
/// use gradus_cpu::vmath;
/// use gradus_num::Unary;
/// let mut y = [0.0f32; 3];
/// vmath::unary(Unary::Exp, &[0.0, 1.0, f32::NEG_INFINITY], &mut y);
/// assert_eq!(y, [1.0, std::f32::consts::E, 0.0]);
/// ```
///
/// # Panics
/// When the slices differ in length.
pub fn unary<T: Float>(op: Unary, x: &[T], out: &mut [T]) {
    assert_eq!(x.len(), out.len(), "input and output of an element-wise function differ in length");
    // SAFETY: both slices hold that many elements.
    unsafe { unary_raw(op, x.as_ptr(), out.as_mut_ptr(), x.len()) }
}

/// `x[i] = op(x[i])`.
pub fn unary_in_place<T: Float>(op: Unary, x: &mut [T]) {
    // SAFETY: the slice holds that many elements; reading and writing the same places is allowed.
    unsafe { unary_raw(op, x.as_ptr(), x.as_mut_ptr(), x.len()) }
}

dispatch! {
    /// [`unary`] on pointers; `out` may be `x`.
    ///
    /// # Safety
    /// `x` is valid for reads and `out` for writes of `n` elements, and the two are the same or apart.
    pub unsafe fn unary_raw / unary_raw_at<T: Float>(op: Unary, x: *const T, out: *mut T, n: usize) = generic in UnaryKernel
}

#[inline(always)]
unsafe fn generic<T: Float, I: Isa>(op: Unary, x: *const T, out: *mut T, n: usize) {
    let x = Many(x);
    match op {
        Unary::Neg => each!(n, out, |v: x| -v),
        Unary::Abs => each!(n, out, |v: x| v.abs()),
        Unary::Sign => each!(n, out, |v: x| {
            let signed = if v < T::ZERO { -T::ONE } else { T::ZERO };
            let signed = if v > T::ZERO { T::ONE } else { signed };
            if v.is_nan() { v } else { signed }
        }),
        Unary::Floor => each!(n, out, |v: x| v.floor()),
        Unary::Ceil => each!(n, out, |v: x| v.ceil()),
        Unary::Round => each!(n, out, |v: x| v.round()),
        Unary::Recip => each!(n, out, |v: x| T::ONE / v),
        // SAFETY: the caller's promise.
        Unary::Powi(power) => unsafe { powi::<T, I>(power, x, out, n) },
        Unary::Sqrt => each!(n, out, |v: x| v.sqrt()),
        Unary::Rsqrt => each!(n, out, |v: x| T::ONE / v.sqrt()),
        Unary::Cbrt => each!(n, out, |v: x| v.cbrt::<I>()),
        Unary::Exp => each!(n, out, |v: x| v.exp::<I>()),
        Unary::Exp2 => each!(n, out, |v: x| v.exp2::<I>()),
        Unary::Expm1 => each!(n, out, |v: x| v.expm1::<I>()),
        Unary::Log => each!(n, out, |v: x| v.log::<I>()),
        Unary::Log2 => each!(n, out, |v: x| v.log2::<I>()),
        Unary::Log1p => each!(n, out, |v: x| v.log1p::<I>()),
        Unary::Sin => each!(n, out, |v: x| v.sin::<I>(), far v => v.far_sin()),
        Unary::Cos => each!(n, out, |v: x| v.cos::<I>(), far v => v.far_cos()),
        Unary::Tan => each!(n, out, |v: x| v.tan::<I>(), far v => v.far_tan()),
        Unary::Asin => each!(n, out, |v: x| v.asin::<I>()),
        Unary::Acos => each!(n, out, |v: x| v.acos::<I>()),
        Unary::Atan => each!(n, out, |v: x| v.atan::<I>()),
        Unary::Sinh => each!(n, out, |v: x| v.sinh::<I>()),
        Unary::Cosh => each!(n, out, |v: x| v.cosh::<I>()),
        Unary::Tanh => each!(n, out, |v: x| v.tanh::<I>()),
        Unary::Asinh => each!(n, out, |v: x| v.asinh::<I>()),
        Unary::Acosh => each!(n, out, |v: x| v.acosh::<I>()),
        Unary::Atanh => each!(n, out, |v: x| v.atanh::<I>()),
        Unary::Sigmoid => each!(n, out, |v: x| v.sigmoid::<I>()),
        Unary::Softplus => each!(n, out, |v: x| v.softplus::<I>()),
        Unary::Erf => each!(n, out, |v: x| v.erf::<I>()),
        Unary::Erfc => each!(n, out, |v: x| v.erfc::<I>()),
        Unary::Lgamma => each!(n, out, |v: x| v.lgamma()),
        Unary::Polygamma(order) => {
            each!(n, out, |v: x| T::from_f64(gradus_num::math::polygamma(order, v.to_f64())))
        }
    }
}

/// `xᵖ`: products where at most two are needed, the general power otherwise, so that errors do not pile up.
#[inline(always)]
unsafe fn powi<T: Float, I: Isa>(power: i32, x: Many<T>, out: *mut T, n: usize) {
    match power {
        0 => each!(n, out, |_v: x| T::ONE),
        1 => each!(n, out, |v: x| v),
        2 => each!(n, out, |v: x| v * v),
        3 => each!(n, out, |v: x| v * v * v),
        4 => each!(n, out, |v: x| {
            let square = v * v;
            square * square
        }),
        -1 => each!(n, out, |v: x| T::ONE / v),
        -2 => each!(n, out, |v: x| {
            let inverse = T::ONE / v;
            inverse * inverse
        }),
        _ => each!(n, out, |v: x| v.power::<I>(power)),
    }
}
