//! Running sums and products along an axis. A sum carries what its additions have lost, so that its last elements are
//! as accurate as its first.
//!
//! Invariant: slices have the lengths of the extents, whose products saturate and so equal no length if they
//! overflow.

use super::{Extents, GRAIN, LengthError, Shared, expect_len};
use crate::Pool;
use crate::vmath::Float;

/// What runs, and how.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Running {
    /// Products instead of sums.
    pub product: bool,
    /// From the end of the axis to its beginning.
    pub reverse: bool,
    /// Each result leaves its own element out; the first is 0 (or 1).
    pub exclusive: bool,
}

/// Columns that run together.
const STRIPE: usize = 128;

/// `out[a]` = the sum (or product) of `x[0..=a]`, in the order of the axis, for every outer and inner position.
///
/// ```
/// use gradus_cpu::{Pool, reduce::{Extents, Running, running}};
/// let sums = Running { product: false, reverse: false, exclusive: false };
/// let mut out = [0.0f64; 4];
/// running(Pool::global(), sums, Extents { outer: 1, axis: 4, inner: 1 }, &[1.0, 2.0, 3.0, 4.0], &mut out)?;
/// assert_eq!(out, [1.0, 3.0, 6.0, 10.0]);
/// # Ok::<(), gradus_cpu::reduce::LengthError>(())
/// ```
///
/// # Errors
/// When a slice does not have the shape's number of elements.
pub fn running<T: Float>(
    pool: &Pool,
    how: Running,
    extents: Extents,
    x: &[T],
    out: &mut [T],
) -> Result<(), LengthError> {
    expect_len("the input of a running sum", x.len(), extents.len())?;
    expect_len("the output of a running sum", out.len(), extents.len())?;
    let Extents { outer, axis, inner } = extents;
    if extents.is_empty() {
        return Ok(());
    }
    // Nothing changes when -0 is added to it, 0 does when -0 is.
    let start = match how {
        Running { product: true, .. } => T::ONE,
        Running { exclusive: true, .. } => T::ZERO,
        _ => T::from_f64(-0.0),
    };
    let out = Shared(out.as_mut_ptr());
    let stripes = inner.div_ceil(STRIPE);
    let group = (GRAIN / (axis * inner.min(STRIPE))).max(1);
    pool.run_ranges(outer * stripes, group, &|tasks| {
        for task in tasks {
            let (o, from) = (task / stripes, task % stripes * STRIPE);
            let width = (inner - from).min(STRIPE);
            let mut total = [start; STRIPE];
            let mut lost = [T::ZERO; STRIPE];
            for step in 0..axis {
                let a = if how.reverse { axis - 1 - step } else { step };
                let place = (o * axis + a) * inner + from;
                let row = &x[place..][..width];
                // SAFETY: this stretch of the output belongs to this task alone.
                let to = unsafe { std::slice::from_raw_parts_mut(out.at(place), width) };
                for c in 0..width {
                    let before = total[c];
                    if how.product {
                        total[c] = before * row[c];
                    } else {
                        total[c] = before + row[c];
                        let shadow = total[c] - before;
                        lost[c] = lost[c] + ((before - (total[c] - shadow)) + (row[c] - shadow));
                        // What was lost goes back at once: it would become large itself, and lose as well.
                        let sum = with_lost(total[c], lost[c]);
                        lost[c] = lost[c] - (sum - total[c]);
                        total[c] = sum;
                    }
                    to[c] = if how.exclusive { before } else { total[c] };
                }
            }
        }
    });
    Ok(())
}

/// A sum with what was lost on the way; nothing is lost of what is infinite, and a zero keeps its sign.
#[inline(always)]
fn with_lost<T: Float>(total: T, lost: T) -> T {
    if (lost == T::ZERO) | lost.is_nan() { total } else { total + lost }
}
