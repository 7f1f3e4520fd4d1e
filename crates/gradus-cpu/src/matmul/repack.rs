//! Transposing an operand into scratch when the kernel's own packing would crawl.
//!
//! The kernels want the side of an operand that runs along C's contiguous side to be contiguous too. When it runs
//! the other way (`X·Wᵀ`, `Q·Kᵀ`), a block's part is transposed first, a slab of the inner dimension at a time, so
//! the scratch stays small: at most `DEPTH` elements for each row of the block.

use super::element::Operand;
use crate::scratch::{self, Slot};

/// The inner dimension is taken in slabs of this many.
const DEPTH: usize = 512;

/// Rows moved together: as many read streams as the processor follows easily.
const ROWS: usize = 16;

/// Whether to transpose an `m × k` operand with rows `row` apart, for a product with `n` columns.
pub(super) fn pays(m: usize, n: usize, k: usize, row: isize) -> bool {
    row != 1 && m >= ROWS && n >= ROWS && k >= 8
}

/// Elements of the scratch for `m` rows and a slab of `depth`.
pub(super) fn room(m: usize, depth: usize) -> usize {
    m.next_multiple_of(ROWS) * DEPTH.min(depth)
}

/// Calls `f(first, depth, operand)` for each slab of the inner dimension of `a`, transposed into scratch.
///
/// # Safety
/// `a` must be valid for reads over `m` rows and `k` columns.
pub(super) unsafe fn by_depth<T: Copy>(
    m: usize,
    k: usize,
    a: Operand<T>,
    mut f: impl FnMut(usize, usize, Operand<T>),
) {
    // Whole register tiles: the kernel may then use the rows as they lie.
    let stride = m.next_multiple_of(ROWS);
    scratch::with(Slot::Repack, room(m, k), |packed: *mut T| {
        for from in (0..k).step_by(DEPTH) {
            let depth = DEPTH.min(k - from);
            // SAFETY: the slab lies inside `a`, and the scratch holds `stride · depth` elements.
            unsafe { transpose(m, depth, (a.0.offset(from as isize * a.2), a.1, a.2), packed, stride) };
            f(from, depth, (packed, 1, stride as isize));
        }
    });
}

/// `to[p·stride + i] = from(i, p)` for `i < m`, `p < k`.
///
/// # Safety
/// `from` is valid for reads over `m` by `k`, `to` for writes of `stride · k` elements, and `m <= stride`.
pub(crate) unsafe fn transpose<T: Copy>(m: usize, k: usize, from: Operand<T>, to: *mut T, stride: usize) {
    let (start, row, col) = from;
    let whole = m / ROWS * ROWS;
    for i in (0..whole).step_by(ROWS) {
        // SAFETY: rows `i..i + ROWS` are inside `from`, and the places written are below `stride · k`.
        unsafe {
            let corner = start.offset(i as isize * row);
            if col == 1 {
                (0..k as isize)
                    .for_each(|p| move_column(corner.offset(p), row, to.add(p as usize * stride + i)));
            } else {
                (0..k as isize)
                    .for_each(|p| move_column(corner.offset(p * col), row, to.add(p as usize * stride + i)));
            }
        }
    }
    for i in whole..m {
        for p in 0..k {
            // SAFETY: as above.
            unsafe { *to.add(p * stride + i) = *start.offset(i as isize * row + p as isize * col) };
        }
    }
}

/// Copies `ROWS` elements, `row` apart, to adjacent places.
///
/// # Safety
/// Both ends are valid for `ROWS` elements.
#[inline(always)]
unsafe fn move_column<T: Copy>(from: *const T, row: isize, to: *mut T) {
    for r in 0..ROWS {
        // SAFETY: the caller's promise.
        unsafe { *to.add(r) = *from.offset(r as isize * row) };
    }
}
