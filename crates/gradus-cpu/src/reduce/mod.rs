//! Reductions along one axis of a contiguous `(outer, axis, inner)` array, and running sums and products.
//!
//! Every reduction is a tree that the shape alone decides: lanes that accumulate side by side inside a piece, pieces
//! joined in pairs. So results are the same on any number of threads, and the rounding error of a sum grows with
//! the height of the tree, not with the number of terms.
//!
//! Invariant: slices have the lengths of the extents, whose products saturate and so equal no length if they
//! overflow.

mod columns;
mod index;
mod rows;
mod running;

use std::ops::Range;

use thiserror::Error;

use crate::Pool;
use crate::vmath::Float;
pub(crate) use columns::{ColumnsKernel, columns_raw};
pub use index::{Extreme, arg_extreme};
pub(crate) use rows::RowsKernel;
pub use running::{Running, running};

/// What is done with the elements of an axis.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Reduction {
    /// Their sum; 0 for none.
    Sum,
    /// Their product; 1 for none.
    Prod,
    /// The largest; NaN if any is; -∞ for none.
    Max,
    /// The smallest; NaN if any is; ∞ for none.
    Min,
}

impl Reduction {
    /// What the reduction of no elements is.
    pub fn identity<T: Float>(self) -> T {
        T::from_f64(match self {
            Reduction::Sum => 0.0,
            Reduction::Prod => 1.0,
            Reduction::Max => f64::NEG_INFINITY,
            Reduction::Min => f64::INFINITY,
        })
    }
}

/// The three extents of an array seen from one of its axes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Extents {
    /// Product of the axes before.
    pub outer: usize,
    /// The axis itself.
    pub axis: usize,
    /// Product of the axes after.
    pub inner: usize,
}

/// A slice that does not fit the shape it is used with.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{what} has {got} elements where the shape asks for {want}")]
pub struct LengthError {
    /// Which slice.
    pub what: &'static str,
    /// How many elements it should have.
    pub want: usize,
    /// How many it has.
    pub got: usize,
}

pub(crate) fn expect_len(what: &'static str, got: usize, want: usize) -> Result<(), LengthError> {
    if got == want { Ok(()) } else { Err(LengthError { what, want, got }) }
}

impl Extents {
    /// Elements of the array.
    pub fn len(&self) -> usize {
        // Saturated, it is the length of no slice: the checks of lengths are checks of sizes.
        [self.outer, self.axis, self.inner].into_iter().fold(1, |n, extent| extent.saturating_mul(n))
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Elements of the result.
    pub fn reduced(&self) -> usize {
        self.outer.saturating_mul(self.inner)
    }
}

/// Elements a task should have before it is worth handing out.
const GRAIN: usize = 1 << 14;

/// The longest stretch of an axis that one task takes when the axis is last.
const ROW_PIECE: usize = 1 << 14;

/// The longest stretch of an axis that one task takes when other axes follow.
const COLUMN_PIECE: usize = 512;

/// A pointer that tasks share, each writing its own part.
#[derive(Clone, Copy)]
pub(crate) struct Shared<T>(pub *mut T);
// SAFETY: the tasks of one call write disjoint parts.
unsafe impl<T> Sync for Shared<T> {}

impl<T> Shared<T> {
    /// The pointer, moved by `offset`, which lies in the same slice.
    pub fn at(&self, offset: usize) -> *mut T {
        self.0.wrapping_add(offset)
    }
}

/// One reduction: what, and over which shape.
///
/// ```
/// use gradus_cpu::{Pool, reduce::{Extents, Reduce, Reduction}};
/// let x = [1.0f32, 2.0, 3.0, 4.0, 5.0, 6.0];
/// // Rows of a 2 × 3 matrix, then its columns.
/// let mut rows = [0.0; 2];
/// Reduce::new(Reduction::Sum, Extents { outer: 2, axis: 3, inner: 1 }).run(Pool::global(), &x, &mut rows)?;
/// assert_eq!(rows, [6.0, 15.0]);
/// let mut columns = [0.0; 3];
/// Reduce::new(Reduction::Max, Extents { outer: 1, axis: 2, inner: 3 }).run(Pool::global(), &x, &mut columns)?;
/// assert_eq!(columns, [4.0, 5.0, 6.0]);
/// # Ok::<(), gradus_cpu::reduce::LengthError>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Reduce {
    /// What is done.
    pub op: Reduction,
    /// Over which shape.
    pub extents: Extents,
}

impl Reduce {
    /// A reduction of the middle one of three extents.
    pub fn new(op: Reduction, extents: Extents) -> Self {
        Reduce { op, extents }
    }

    /// Into how many pieces the axis is cut.
    fn pieces(&self) -> usize {
        let piece = if self.extents.inner == 1 { ROW_PIECE } else { COLUMN_PIECE };
        self.extents.axis.div_ceil(piece).max(1)
    }

    /// The number of scratch elements of [`run_with`](Reduce::run_with).
    pub fn workspace(&self) -> usize {
        if self.pieces() == 1 { 0 } else { self.pieces().saturating_mul(self.extents.reduced()) }
    }

    /// Reduces `x` into `out`, with scratch of its own.
    ///
    /// # Errors
    /// When a slice does not have the shape's number of elements.
    pub fn run<T: Float>(&self, pool: &Pool, x: &[T], out: &mut [T]) -> Result<(), LengthError> {
        self.check(x.len(), out.len())?;
        self.run_with(pool, x, out, &mut vec![T::ZERO; self.workspace()])
    }

    fn check(&self, x: usize, out: usize) -> Result<(), LengthError> {
        expect_len("the input of a reduction", x, self.extents.len())?;
        expect_len("the output of a reduction", out, self.extents.reduced())
    }

    /// Reduces `x` into `out`, with [`workspace`](Reduce::workspace) elements of scratch.
    ///
    /// # Errors
    /// When a slice does not have the shape's number of elements.
    pub fn run_with<T: Float>(
        &self,
        pool: &Pool,
        x: &[T],
        out: &mut [T],
        scratch: &mut [T],
    ) -> Result<(), LengthError> {
        self.check(x.len(), out.len())?;
        expect_len("the scratch of a reduction", scratch.len(), self.workspace())?;
        if self.extents.is_empty() {
            out.fill(self.op.identity());
        } else if self.extents.inner == 1 {
            self.rows(pool, x, out, scratch);
        } else {
            self.columns(pool, x, out, scratch);
        }
        Ok(())
    }

    fn rows<T: Float>(&self, pool: &Pool, x: &[T], out: &mut [T], scratch: &mut [T]) {
        let Extents { outer, axis, .. } = self.extents;
        let pieces = self.pieces();
        let op = self.op;
        if pieces == 1 {
            let grain = (GRAIN / axis).max(1);
            let out = Shared(out.as_mut_ptr());
            pool.run_ranges(outer, grain, &|rows: Range<usize>| {
                // SAFETY: rows `rows` of `x` and the same elements of `out`, which no other task has.
                unsafe {
                    rows::rows_raw(
                        op,
                        x.as_ptr().add(rows.start * axis),
                        axis,
                        rows.len(),
                        out.at(rows.start),
                    )
                }
            });
            return;
        }
        let partial = Shared(scratch.as_mut_ptr());
        pool.run(outer * pieces, &|task| {
            let start = task % pieces * ROW_PIECE;
            let len = (axis - start).min(ROW_PIECE);
            // SAFETY: a stretch of one row, and the element of the scratch that belongs to it.
            unsafe {
                rows::rows_raw(op, x.as_ptr().add(task / pieces * axis + start), len, 1, partial.at(task))
            }
        });
        // SAFETY: the scratch holds `pieces` elements for each of the `outer` rows.
        unsafe { rows::rows_raw(op, scratch.as_ptr(), pieces, outer, out.as_mut_ptr()) };
    }

    fn columns<T: Float>(&self, pool: &Pool, x: &[T], out: &mut [T], scratch: &mut [T]) {
        let Extents { outer, axis, inner } = self.extents;
        let pieces = self.pieces();
        let op = self.op;
        // Wide arrays are cut across as well, into stripes that fill whole cache lines.
        let height = axis.min(COLUMN_PIECE);
        let stripe = (GRAIN / height).next_multiple_of(64).min(inner);
        let stripes = inner.div_ceil(stripe);
        let partial = Shared(if pieces == 1 { out.as_mut_ptr() } else { scratch.as_mut_ptr() });
        // Small blocks share a task.
        let group = (GRAIN / (height * stripe)).max(1);
        pool.run_ranges(outer * pieces * stripes, group, &|tasks| {
            for task in tasks {
                let (block, column) = (task / stripes, task % stripes * stripe);
                let start = block % pieces * COLUMN_PIECE;
                let rows = (axis - start).min(COLUMN_PIECE);
                let from = (block / pieces * axis + start) * inner + column;
                let width = (inner - column).min(stripe);
                // SAFETY: `rows` by `width` elements of `x`, and the `width` results that belong to them alone.
                unsafe {
                    columns::columns_raw(
                        op,
                        x.as_ptr().add(from),
                        inner,
                        rows,
                        width,
                        partial.at(block * inner + column),
                    )
                }
            }
        });
        if pieces > 1 {
            for o in 0..outer {
                let from = o * pieces * inner;
                // SAFETY: `pieces` by `inner` partial results, and the results of this part of the output.
                unsafe {
                    let to = out.as_mut_ptr().add(o * inner);
                    columns::columns_raw(op, scratch.as_ptr().add(from), inner, pieces, inner, to)
                }
            }
        }
    }
}
