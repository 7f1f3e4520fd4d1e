//! Packs operands of a group's products into panels, multiplies rows by a panel, and adds the sums of blocks.
//!
//! Invariant: callers give pointers that are valid for the extents beside them.

use crate::conv::{Micro, Task};
use crate::exec::product::Matrix;
use crate::exec::versions::Versioned;
use crate::matmul::{Element, Sum, transpose};

/// An element of a matrix.
pub(super) fn at<T>((start, row, col): Matrix<T>, i: usize, j: usize) -> *mut T {
    start.wrapping_offset(i as isize * row + j as isize * col)
}

/// `0, step, 2 step, …`
pub(super) fn count(table: &mut [u32], step: isize) {
    let last = (table.len().saturating_sub(1) as isize).saturating_mul(step);
    assert!(u32::try_from(last).is_ok(), "rows of a block lie within 32 bits of each other");
    let step = step as u32;
    table.iter_mut().enumerate().for_each(|(i, at)| *at = i as u32 * step);
}

/// Rows of `x` times a panel, to the columns of a result that the panel has.
///
/// # Safety
/// Everything read is valid, and so are the rows of the result, which are apart from it.
pub(super) unsafe fn multiply<T: Micro + Element>(
    (x, rows, inner): (*const T, &[u32], &[u32]),
    panel: *const T,
    columns: usize,
    (to, stride, sum): (*mut T, usize, Sum),
) {
    let half = T::width() / 2;
    // SAFETY: the caller's promise.
    unsafe {
        if columns == T::width() || columns == half {
            return T::multiply(&Task::new((x, rows, inner), (panel, columns == half), (to, stride, sum)));
        }
        // Else full registers are computed in a buffer, of which some columns are copied.
        let mut tile = [T::ZERO; TILE];
        for (i, rows) in rows.chunks(TILE / T::width()).enumerate() {
            let place = |r: usize, j: usize| to.add((i * (TILE / T::width()) + r) * stride + j);
            let mut beside = Sum::New;
            if sum == Sum::Continued {
                beside = Sum::Continued;
                for r in 0..rows.len() {
                    (0..columns).for_each(|j| tile[r * T::width() + j] = *place(r, j));
                }
            }
            let whole = (tile.as_mut_ptr(), T::width(), beside);
            T::multiply(&Task::new((x, rows, inner), (panel, columns < half), whole));
            for r in 0..rows.len() {
                for j in 0..columns {
                    let (to, new) = (place(r, j), tile[r * T::width() + j]);
                    *to = if sum == Sum::Added { (*to).add(new) } else { new };
                }
            }
        }
    }
}

/// Elements of a tile on the side.
const TILE: usize = 512;

/// A `k × n` operand in panels, the last one filled up with zeros.
///
/// # Safety
/// `b` is valid for reads, and `to` holds the panels.
pub(super) unsafe fn pack<T: Micro + Element>(k: usize, n: usize, b: Matrix<T>, to: *mut T) {
    let width = T::width();
    for from in (0..n).step_by(width) {
        let columns = width.min(n - from);
        // SAFETY: the caller's promise.
        unsafe {
            let panel = to.add(from * k);
            if columns < width {
                std::slice::from_raw_parts_mut(panel, width * k).fill(T::ZERO);
            }
            lines([columns, k], (b.0.offset(from as isize * b.2), b.2, b.1), panel, width);
        }
    }
}

/// `to[p·stride + i] = from(i, p)` for `i < rows`, `p < k`: copied line by line, or transposed.
///
/// # Safety
/// `from` is valid for reads over `rows` by `k`, `to` for writes of `stride · k` elements.
pub(super) unsafe fn lines<T: Element>([rows, k]: [usize; 2], from: Matrix<T>, to: *mut T, stride: usize) {
    let (start, row, col) = from;
    // SAFETY: the caller's promise.
    unsafe {
        if row != 1 {
            return transpose(rows, k, from, to, stride);
        }
        for p in 0..k {
            let line = start.offset(p as isize * col);
            std::ptr::copy_nonoverlapping(line, to.add(p * stride), rows);
        }
    }
}

/// `to += from`, or `to = from` for the first sums.
pub(super) struct Add<T> {
    pub(super) from: *const T,
    pub(super) to: *mut T,
    pub(super) n: usize,
    /// Distance between neighbours of `to`.
    pub(super) step: isize,
    pub(super) first: bool,
}

impl<T: Element> Versioned for Add<T> {
    type Output = ();
    #[inline(always)]
    unsafe fn run(self) {
        let Add { from, to, n, step, first } = self;
        // SAFETY: the caller's promise.
        unsafe {
            match (first, step) {
                (true, 1) => to.copy_from_nonoverlapping(from, n),
                (true, _) => (0..n).for_each(|i| *to.offset(i as isize * step) = *from.add(i)),
                (false, 1) => (0..n).for_each(|i| *to.add(i) = (*to.add(i)).add(*from.add(i))),
                (false, _) => {
                    let at = |i: usize| to.offset(i as isize * step);
                    (0..n).for_each(|i| *at(i) = (*at(i)).add(*from.add(i)));
                }
            }
        }
    }
}
