//! Element-wise functions of one argument, on slices.
//!
//! Invariant: slices are compared with the length of the output before their pointers are taken.

use gradus_num::Unary;

use super::float::Float;
use super::isa::InstructionSet;
use super::step::{Call, OPERANDS, number};

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

/// [`unary`] on pointers; `out` may be `x`.
///
/// # Safety
/// `x` is valid for reads and `out` for writes of `n` elements, and the two are the same or apart.
pub unsafe fn unary_raw<T: Float>(op: Unary, x: *const T, out: *mut T, n: usize) {
    // SAFETY: the caller's promise; `current` is a level of this machine.
    unsafe { unary_raw_at(InstructionSet::current(), op, x, out, n) }
}

/// The same, for a level of this machine.
///
/// # Safety
/// As for [`unary_raw`]; the level has to be [available](InstructionSet::available).
pub unsafe fn unary_raw_at<T: Float>(level: InstructionSet, op: Unary, x: *const T, out: *mut T, n: usize) {
    let call = Call { number: number(op), ..Call::moving([x.cast(); OPERANDS], out.cast(), n) };
    // SAFETY: the caller's promise, for the one operand there is.
    unsafe { T::unary(level, op)(&call) }
}
