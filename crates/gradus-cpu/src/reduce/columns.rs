//! Reductions over rows of a block: each column joined on its own, a stripe of columns at a time.
//!
//! Invariant: the block has the rows and columns that are said, at the pitch that is said.

use super::Reduction;
use super::rows::{Join, Max, Min, Prod, Sum};
use crate::vmath::isa::dispatch;
use crate::vmath::{Float, Isa};

/// Columns taken together: their accumulators stay in the nearest cache.
const STRIPE: usize = 256;

/// Rows joined before the result is joined to the total: keeps the tree of a sum flat.
const LAYER: usize = 32;

/// Narrow blocks are folded so that this many elements lie side by side.
const NARROW: usize = 64;

dispatch! {
    /// `out[c]` = reduction of column `c` of `rows` rows that lie `stride` apart.
    ///
    /// # Safety
    /// `x` is valid for reads of `columns` elements in each row, `out` for writes of `columns`, apart from each other.
    pub unsafe fn columns_raw<T: Float>(
        op: Reduction,
        x: *const T,
        stride: usize,
        rows: usize,
        columns: usize,
        out: *mut T,
    ) = generic in ColumnsKernel
}

#[allow(clippy::extra_unused_type_parameters, reason = "every kernel names its instruction set")]
#[inline(always)]
unsafe fn generic<T: Float, I: Isa>(
    op: Reduction,
    x: *const T,
    stride: usize,
    rows: usize,
    columns: usize,
    out: *mut T,
) {
    // SAFETY: the caller's promise.
    unsafe {
        match op {
            Reduction::Sum => block::<T, Sum>(x, stride, rows, columns, out),
            Reduction::Prod => block::<T, Prod>(x, stride, rows, columns, out),
            Reduction::Max => block::<T, Max>(x, stride, rows, columns, out),
            Reduction::Min => block::<T, Min>(x, stride, rows, columns, out),
        }
    }
}

/// # Safety
/// As for [`columns_raw`].
#[inline(always)]
unsafe fn block<T: Float, J: Join>(x: *const T, stride: usize, rows: usize, columns: usize, out: *mut T) {
    let mut total = [J::identity::<T>(); STRIPE];
    // SAFETY: rows below `rows`, columns below `columns`; when rows follow each other without a gap, several of
    // them are one longer row.
    unsafe {
        if columns == stride && columns < NARROW && rows > 1 {
            let fold = NARROW.div_ceil(columns).min(rows);
            let wide = fold * columns;
            stripe::<T, J>(x, wide, rows / fold, wide, &mut total);
            for r in 1..fold {
                for c in 0..columns {
                    total[c] = J::join(total[c], total[r * columns + c]);
                }
            }
            for r in rows / fold * fold..rows {
                for c in 0..columns {
                    total[c] = J::join(total[c], *x.add(r * stride + c));
                }
            }
            std::ptr::copy_nonoverlapping(total.as_ptr(), out, columns);
            return;
        }
        let mut from = 0;
        while from < columns {
            let width = (columns - from).min(STRIPE);
            stripe::<T, J>(x.add(from), stride, rows, width, &mut total);
            std::ptr::copy_nonoverlapping(total.as_ptr(), out.add(from), width);
            from += width;
        }
    }
}

/// The reduction of up to `STRIPE` columns, in layers of layers of rows.
///
/// # Safety
/// As for [`columns_raw`], with `width <= STRIPE`.
#[inline(always)]
unsafe fn stripe<T: Float, J: Join>(
    x: *const T,
    stride: usize,
    rows: usize,
    width: usize,
    total: &mut [T; STRIPE],
) {
    *total = [J::identity::<T>(); STRIPE];
    let mut middle = *total;
    let mut start = 0;
    while start < rows {
        let end = (start + LAYER).min(rows);
        let mut layer = [J::identity::<T>(); STRIPE];
        for r in start..end {
            // SAFETY: the caller's promise.
            let row = unsafe { std::slice::from_raw_parts(x.add(r * stride), width) };
            join_all::<T, J>(&mut layer[..width], row);
        }
        join_all::<T, J>(&mut middle[..width], &layer[..width]);
        start = end;
        if start.is_multiple_of(LAYER * LAYER) || start == rows {
            join_all::<T, J>(&mut total[..width], &middle[..width]);
            middle[..width].fill(J::identity::<T>());
        }
    }
}

#[inline(always)]
fn join_all<T: Float, J: Join>(into: &mut [T], from: &[T]) {
    for (a, &b) in into.iter_mut().zip(from) {
        *a = J::join(*a, b);
    }
}
