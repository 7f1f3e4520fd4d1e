//! Element-wise functions of two arguments, comparisons and selection, on slices and scalars.
//!
//! Invariant: slices are compared with the length of the output before their pointers are taken.

use gradus_num::Binary;

use super::float::Float;
use super::isa::InstructionSet;
use super::step::{Call, Scalars};

/// An operand: elements side by side, or one that stands for all.
#[derive(Clone, Copy, Debug)]
pub enum Operand<'a, T> {
    /// One element for each of the output.
    Slice(&'a [T]),
    /// The same element for all of the output.
    Scalar(T),
}

impl<'a, T: Copy> Operand<'a, T> {
    fn raw(&self, n: usize) -> RawOperand<T> {
        match *self {
            Operand::Slice(slice) => {
                assert_eq!(slice.len(), n, "operand and output of an element-wise function differ in length");
                RawOperand::Many(slice.as_ptr())
            }
            Operand::Scalar(value) => RawOperand::One(value),
        }
    }
}

/// [`Operand`] on a pointer.
#[derive(Clone, Copy, Debug)]
pub enum RawOperand<T> {
    /// Elements side by side.
    Many(*const T),
    /// One for all.
    One(T),
}

/// `out[i] = op(a[i], b[i])`.
///
/// ```
/// use gradus_cpu::vmath::{self, Operand};
/// use gradus_num::Binary;
/// let mut y = [0.0f64; 3];
/// vmath::binary(Binary::Pow, Operand::Slice(&[1.0, 2.0, 3.0]), Operand::Scalar(2.0), &mut y);
/// assert_eq!(y, [1.0, 4.0, 9.0]);
/// ```
///
/// # Panics
/// When a slice differs in length from the output.
pub fn binary<T: Float>(op: Binary, a: Operand<T>, b: Operand<T>, out: &mut [T]) {
    let n = out.len();
    // SAFETY: the slices hold `n` elements, which `raw` checked.
    unsafe { binary_raw(op, a.raw(n), b.raw(n), out.as_mut_ptr(), n) }
}

/// `a[i] = op(a[i], b[i])`.
///
/// # Panics
/// When `b` is a slice of another length.
pub fn binary_in_place<T: Float>(op: Binary, a: &mut [T], b: Operand<T>) {
    let n = a.len();
    // SAFETY: as above; reading and writing the same places is allowed.
    unsafe { binary_raw(op, RawOperand::Many(a.as_ptr()), b.raw(n), a.as_mut_ptr(), n) }
}

/// The pointer of an operand, and whether it is one element for all.
fn place<T>(x: &RawOperand<T>) -> (*const u8, bool) {
    match x {
        RawOperand::Many(elements) => (elements.cast(), false),
        RawOperand::One(value) => (std::ptr::from_ref(value).cast(), true),
    }
}

/// [`binary`] on pointers; `out` may be an operand.
///
/// # Safety
/// Operands are valid for reads and `out` for writes of `n` elements, each operand being `out` or apart from it.
pub unsafe fn binary_raw<T: Float>(op: Binary, a: RawOperand<T>, b: RawOperand<T>, out: *mut T, n: usize) {
    // SAFETY: the caller's promise; `current` is a level of this machine.
    unsafe { binary_raw_at(InstructionSet::current(), op, a, b, out, n) }
}

/// The same, for a level of this machine.
///
/// # Safety
/// As for [`binary_raw`]; the level has to be [available](InstructionSet::available).
pub unsafe fn binary_raw_at<T: Float>(
    level: InstructionSet,
    op: Binary,
    a: RawOperand<T>,
    b: RawOperand<T>,
    out: *mut T,
    n: usize,
) {
    let ((x, first), (y, second)) = (place(&a), place(&b));
    let call = Call::moving([x, y, y], out.cast(), n);
    // SAFETY: the caller's promise; operands that are one element live until the call returns.
    unsafe { T::binary(level, op, Scalars { first, second })(&call) }
}

/// A comparison; one with NaN is false, except [`Compare::Ne`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Compare {
    /// `a < b`
    Lt,
    /// `a <= b`
    Le,
    /// `a > b`
    Gt,
    /// `a >= b`
    Ge,
    /// `a == b`
    Eq,
    /// `a != b`
    Ne,
}

/// `out[i] = 1` where the comparison holds, else 0.
///
/// ```
/// use gradus_cpu::vmath::{self, Compare, Operand};
/// let mut mask = [0u8; 3];
/// vmath::compare(Compare::Lt, Operand::Slice(&[1.0f32, 2.0, f32::NAN]), Operand::Scalar(2.0), &mut mask);
/// assert_eq!(mask, [1, 0, 0]);
/// ```
///
/// # Panics
/// When a slice differs in length from the output.
pub fn compare<T: Float>(op: Compare, a: Operand<T>, b: Operand<T>, out: &mut [u8]) {
    let n = out.len();
    // SAFETY: the slices hold `n` elements, which `raw` checked.
    unsafe { compare_raw(op, a.raw(n), b.raw(n), out.as_mut_ptr(), n) }
}

/// [`compare`] on pointers.
///
/// # Safety
/// Operands are valid for reads and `out` for writes of `n` elements, apart from each other.
pub unsafe fn compare_raw<T: Float>(op: Compare, a: RawOperand<T>, b: RawOperand<T>, out: *mut u8, n: usize) {
    let ((x, first), (y, second)) = (place(&a), place(&b));
    let call = Call::moving([x, y, y], out, n);
    // SAFETY: the caller's promise, as in `binary_raw_at`.
    unsafe { T::compare(InstructionSet::current(), op, Scalars { first, second })(&call) }
}

/// `out[i] = a[i]` where `mask[i]` is not 0, else `b[i]`.
///
/// # Panics
/// When a slice differs in length from the output.
pub fn select<T: Float>(mask: &[u8], a: Operand<T>, b: Operand<T>, out: &mut [T]) {
    let n = out.len();
    assert_eq!(mask.len(), n, "mask and output of a selection differ in length");
    // SAFETY: the slices hold `n` elements, which `raw` checked.
    unsafe { select_raw(mask.as_ptr(), a.raw(n), b.raw(n), out.as_mut_ptr(), n) }
}

/// [`select`] on pointers; `out` may be an operand.
///
/// # Safety
/// Mask and operands are valid for reads and `out` for writes of `n` elements, each operand being `out` or apart from it.
pub unsafe fn select_raw<T: Float>(
    mask: *const u8,
    a: RawOperand<T>,
    b: RawOperand<T>,
    out: *mut T,
    n: usize,
) {
    let ((x, first), (y, second)) = (place(&a), place(&b));
    let call = Call::moving([mask, x, y], out.cast(), n);
    // SAFETY: the caller's promise, as in `binary_raw_at`.
    unsafe { T::select(InstructionSet::current(), Scalars { first, second })(&call) }
}
