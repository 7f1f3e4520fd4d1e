//! The definition of a convolution, element by element: the oracle of the tests.
//!
//! Invariant: the convolution is sized, so that `place · stride + tap · dilation` is a number, and it fits its
//! operands.

use super::{Conv, along};
use crate::matmul::counts;
use crate::vmath::Float;

/// Convolves by the definition. Slow; operands must fit, as [`Conv::run`] checks.
///
/// # Panics
/// When an operand does not fit.
pub fn reference<T: Float>(conv: &Conv, x: &[T], kernel: &[T], out: &mut [T]) {
    let output = conv.output();
    for g in 0..conv.group_count() {
        let [x0, k0, out0] = conv.group_offsets(g);
        for n in 0..conv.result_batch() {
            for o in 0..conv.group_outputs() {
                for p in 0..conv.positions() {
                    let at = along(p, &output);
                    let mut sum = 0.0;
                    for c in 0..conv.group_channels() {
                        for k in 0..conv.taps() {
                            let tap = along(k, &conv.kernel);
                            let Some(place) = source(conv, at, tap) else { continue };
                            let left = x[x0 + n * conv.x_strides[0] + c * conv.x_strides[1] + place];
                            let first = conv.k_first + k0 + o * conv.k_strides[0] + c * conv.k_strides[1];
                            let right = kernel[(first as isize + conv.tap(k)) as usize];
                            sum += left.to_f64() * right.to_f64();
                        }
                    }
                    out[out0 + n * conv.out_strides[0] + o * conv.out_strides[1] + p] = T::from_f64(sum);
                }
            }
        }
    }
}

/// Which element of an input plane a result and a tap meet at.
fn source(conv: &Conv, at: [usize; 3], tap: [usize; 3]) -> Option<usize> {
    let mut place = 0;
    for d in 0..3 {
        let i = (at[d] * conv.stride[d] + tap[d] * conv.rhs_dilation[d]).checked_add_signed(-conv.low[d])?;
        let spread = conv.lhs_dilation[d];
        if i % spread != 0 || i / spread >= conv.input[d] {
            return None;
        }
        place = place * conv.input[d] + i / spread;
    }
    Some(place)
}

/// Element `p` of plane (`n`, `o`) of the result, its terms added one by one, without those of dead tangents.
///
/// # Safety
/// As for [`terms`].
pub(crate) unsafe fn linear_term<T: Float>(
    conv: &Conv,
    x: *const T,
    kernel: *const T,
    place: [usize; 3],
    tangents: [bool; 2],
) -> T {
    let mut sum = T::ZERO;
    // SAFETY: the caller's promise.
    unsafe {
        terms(conv, x, kernel, place, |left, right| {
            if tangents == [false; 2] || counts(tangents, left, right) {
                sum = sum + left * right;
            }
            true
        });
    }
    sum
}

/// Whether a term of that element counts.
///
/// # Safety
/// As for [`terms`].
pub(crate) unsafe fn any_term<T: Float>(
    conv: &Conv,
    x: *const T,
    kernel: *const T,
    place: [usize; 3],
    tangents: [bool; 2],
) -> bool {
    // SAFETY: the caller's promise.
    !unsafe { terms(conv, x, kernel, place, |left, right| !counts(tangents, left, right)) }
}

/// Calls `each` with the factors of every term of element `p` of plane (`n`, `o`) of the result, as long as it says so; whether
/// it always did.
///
/// # Safety
/// The operands are valid for what the convolution reads of them, from their first elements on.
unsafe fn terms<T: Float>(
    conv: &Conv,
    x: *const T,
    kernel: *const T,
    [n, o, p]: [usize; 3],
    mut each: impl FnMut(T, T) -> bool,
) -> bool {
    let output = conv.output();
    let at = along(p, &output);
    let (g, inside) = (o / conv.group_outputs(), o % conv.group_outputs());
    let [x0, k0, _] = conv.group_offsets(g);
    for k in 0..conv.taps() {
        let tap = along(k, &conv.kernel);
        let Some(place) = source(conv, at, tap) else { continue };
        for c in 0..conv.group_channels() {
            let first = conv.k_first + k0 + inside * conv.k_strides[0] + c * conv.k_strides[1];
            // SAFETY: the caller's promise.
            let (left, right) = unsafe {
                let left = *x.add(x0 + n * conv.x_strides[0] + c * conv.x_strides[1] + place);
                (left, *kernel.wrapping_add(first).wrapping_offset(conv.tap(k)))
            };
            if !each(left, right) {
                return false;
            }
        }
    }
    true
}
