//! Element-wise functions of two arguments, comparisons and selection, on slices and scalars.

use gradus_num::Binary;

use super::float::Float;
use super::isa::{Isa, dispatch};
use super::loops::{Many, One, Source, WIDTH, each, keep_blocks, store};

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

dispatch! {
    /// [`binary`] on pointers; `out` may be an operand.
    ///
    /// # Safety
    /// Operands are valid for reads and `out` for writes of `n` elements, each operand being `out` or apart from it.
    pub unsafe fn binary_raw / binary_raw_at<T: Float>(
        op: Binary,
        a: RawOperand<T>,
        b: RawOperand<T>,
        out: *mut T,
        n: usize,
    ) = generic in BinaryKernel
}

#[inline(always)]
unsafe fn generic<T: Float, I: Isa>(op: Binary, a: RawOperand<T>, b: RawOperand<T>, out: *mut T, n: usize) {
    // SAFETY: the caller's promise.
    unsafe {
        match (a, b) {
            (RawOperand::Many(a), RawOperand::Many(b)) => pairs::<T, I, _, _>(op, Many(a), Many(b), out, n),
            (RawOperand::Many(a), RawOperand::One(b)) => pairs::<T, I, _, _>(op, Many(a), One(b), out, n),
            (RawOperand::One(a), RawOperand::Many(b)) => pairs::<T, I, _, _>(op, One(a), Many(b), out, n),
            (RawOperand::One(a), RawOperand::One(b)) => {
                // One element, then copies of it.
                let mut value = [T::ZERO];
                pairs::<T, I, _, _>(op, One(a), One(b), value.as_mut_ptr(), 1);
                for i in 0..n {
                    *out.add(i) = value[0];
                }
            }
        }
    }
}

#[inline(always)]
unsafe fn pairs<T: Float, I: Isa, A: Source<T>, B: Source<T>>(op: Binary, a: A, b: B, out: *mut T, n: usize) {
    match op {
        Binary::Add => each!(n, out, |x: a, y: b| x + y),
        Binary::Sub => each!(n, out, |x: a, y: b| x - y),
        Binary::Mul => each!(n, out, |x: a, y: b| x * y),
        Binary::Div => each!(n, out, |x: a, y: b| x / y),
        Binary::Rem => each!(n, out, |x: a, y: b| x.rem(y)),
        Binary::Pow => each!(n, out, |x: a, y: b| x.pow::<I>(y)),
        Binary::Atan2 => each!(n, out, |x: a, y: b| x.atan2::<I>(y)),
        Binary::Hypot => each!(n, out, |x: a, y: b| x.hypot::<I>(y)),
        // A comparison with NaN is false: the second argument's NaN is taken so, the first's by the second test.
        Binary::Max => each!(n, out, |x: a, y: b| if (x > y) | x.is_nan() { x } else { y }),
        Binary::Min => each!(n, out, |x: a, y: b| if (x < y) | x.is_nan() { x } else { y }),
    }
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

dispatch! {
    /// [`compare`] on pointers.
    ///
    /// # Safety
    /// Operands are valid for reads and `out` for writes of `n` elements, apart from each other.
    pub unsafe fn compare_raw / compare_raw_at<T: Float>(
        op: Compare,
        a: RawOperand<T>,
        b: RawOperand<T>,
        out: *mut u8,
        n: usize,
    ) = compare_generic in CompareKernel
}

#[allow(clippy::extra_unused_type_parameters, reason = "every kernel names its instruction set")]
#[inline(always)]
unsafe fn compare_generic<T: Float, I: Isa>(
    op: Compare,
    a: RawOperand<T>,
    b: RawOperand<T>,
    out: *mut u8,
    n: usize,
) {
    // SAFETY: the caller's promise.
    unsafe {
        match (a, b) {
            (RawOperand::Many(a), RawOperand::Many(b)) => compare_pairs(op, Many(a), Many(b), out, n),
            (RawOperand::Many(a), RawOperand::One(b)) => compare_pairs(op, Many(a), One(b), out, n),
            (RawOperand::One(a), RawOperand::Many(b)) => compare_pairs(op, One(a), Many(b), out, n),
            (RawOperand::One(a), RawOperand::One(b)) => compare_pairs(op, One(a), One(b), out, n),
        }
    }
}

#[inline(always)]
unsafe fn compare_pairs<T: Float, A: Source<T>, B: Source<T>>(
    op: Compare,
    a: A,
    b: B,
    out: *mut u8,
    n: usize,
) {
    match op {
        Compare::Lt => each!(n, out, |x: a, y: b| (x < y) as u8),
        Compare::Le => each!(n, out, |x: a, y: b| (x <= y) as u8),
        Compare::Gt => each!(n, out, |x: a, y: b| (x > y) as u8),
        Compare::Ge => each!(n, out, |x: a, y: b| (x >= y) as u8),
        Compare::Eq => each!(n, out, |x: a, y: b| (x == y) as u8),
        Compare::Ne => each!(n, out, |x: a, y: b| (x != y) as u8),
    }
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

dispatch! {
    /// [`select`] on pointers; `out` may be an operand.
    ///
    /// # Safety
    /// Mask and operands are valid for reads and `out` for writes of `n` elements, each operand being `out` or apart
    /// from it.
    pub unsafe fn select_raw / select_raw_at<T: Float>(
        mask: *const u8,
        a: RawOperand<T>,
        b: RawOperand<T>,
        out: *mut T,
        n: usize,
    ) = select_generic in SelectKernel
}

#[allow(clippy::extra_unused_type_parameters, reason = "every kernel names its instruction set")]
#[inline(always)]
unsafe fn select_generic<T: Float, I: Isa>(
    mask: *const u8,
    a: RawOperand<T>,
    b: RawOperand<T>,
    out: *mut T,
    n: usize,
) {
    let m = Many(mask);
    match (a, b) {
        (RawOperand::Many(a), RawOperand::Many(b)) => {
            let (a, b) = (Many(a), Many(b));
            each!(n, out, |m: m, x: a, y: b| if m != 0 { x } else { y })
        }
        (RawOperand::Many(a), RawOperand::One(b)) => {
            let (a, b) = (Many(a), One(b));
            each!(n, out, |m: m, x: a, y: b| if m != 0 { x } else { y })
        }
        (RawOperand::One(a), RawOperand::Many(b)) => {
            let (a, b) = (One(a), Many(b));
            each!(n, out, |m: m, x: a, y: b| if m != 0 { x } else { y })
        }
        (RawOperand::One(a), RawOperand::One(b)) => {
            let (a, b) = (One(a), One(b));
            each!(n, out, |m: m, x: a, y: b| if m != 0 { x } else { y })
        }
    }
}
