//! Where the largest or smallest element of an axis lies.
//!
//! Invariant: slices have the lengths of the extents, whose products saturate and so equal no length if they
//! overflow.

use super::{Extents, GRAIN, LengthError, Shared, expect_len};
use crate::Pool;
use crate::vmath::Float;

/// Which extreme is sought.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Extreme {
    /// The largest.
    Max,
    /// The smallest.
    Min,
}

/// Columns whose extremes are followed together.
const STRIPE: usize = 128;

/// The index along the axis of the first extreme element; the first NaN if there is one.
///
/// ```
/// use gradus_cpu::{Pool, reduce::{Extents, Extreme, arg_extreme}};
/// let mut at = [0i64; 2];
/// let x = [1.0f32, 7.0, 7.0, 2.0, f32::NAN, 9.0];
/// arg_extreme(Pool::global(), Extreme::Max, Extents { outer: 2, axis: 3, inner: 1 }, &x, &mut at)?;
/// assert_eq!(at, [1, 1]);
/// # Ok::<(), gradus_cpu::reduce::LengthError>(())
/// ```
///
/// # Errors
/// When a slice does not have the shape's number of elements, or the axis is empty while the result is not.
pub fn arg_extreme<T: Float>(
    pool: &Pool,
    which: Extreme,
    extents: Extents,
    x: &[T],
    out: &mut [i64],
) -> Result<(), LengthError> {
    expect_len("the input of an index search", x.len(), extents.len())?;
    expect_len("the output of an index search", out.len(), extents.reduced())?;
    let Extents { outer, axis, inner } = extents;
    if axis == 0 && extents.reduced() > 0 {
        return Err(LengthError { what: "the axis of an index search", want: 1, got: 0 });
    }
    if extents.is_empty() {
        return Ok(());
    }
    let out = Shared(out.as_mut_ptr());
    let stripes = inner.div_ceil(STRIPE);
    let group = (GRAIN / (axis * inner.min(STRIPE))).max(1);
    pool.run_ranges(outer * stripes, group, &|tasks| {
        for task in tasks {
            let (o, from) = (task / stripes, task % stripes * STRIPE);
            let width = (inner - from).min(STRIPE);
            let mut best = [T::ZERO; STRIPE];
            let mut at = [0i64; STRIPE];
            for a in 0..axis {
                let row = &x[(o * axis + a) * inner + from..][..width];
                for c in 0..width {
                    let better = match which {
                        Extreme::Max => row[c] > best[c],
                        Extreme::Min => row[c] < best[c],
                    };
                    // A NaN beats every number, and the first NaN every later one.
                    let take = a == 0 || (better | row[c].is_nan()) & !best[c].is_nan();
                    best[c] = if take { row[c] } else { best[c] };
                    at[c] = if take { a as i64 } else { at[c] };
                }
            }
            // SAFETY: `width` results that belong to this task alone.
            unsafe { std::ptr::copy_nonoverlapping(at.as_ptr(), out.at(o * inner + from), width) };
        }
    });
    Ok(())
}
