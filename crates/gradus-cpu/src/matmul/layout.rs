//! Where the elements of an operand lie, and the checks that make a safe call safe.

use thiserror::Error;

/// How many batch axes a product may have.
pub const MAX_BATCH: usize = 4;

/// Element `(i, j)` of product `(p, q, ...)` lies at `offset + i·row + j·col + p·batch[0] + q·batch[1] + ...`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Layout {
    /// Where element `(0, 0)` of the first product lies.
    pub offset: usize,
    /// Distance between rows.
    pub row: isize,
    /// Distance between columns.
    pub col: isize,
    /// Distance along each batch axis; 0 repeats the operand.
    pub batch: [isize; MAX_BATCH],
}

/// Why a product cannot run.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum MatMulError {
    /// An operand's layout reaches outside its storage.
    #[error("operand {operand} reaches elements {low} to {high}, but its storage has {len}")]
    OutOfBounds {
        /// `A`, `B` or `C`.
        operand: &'static str,
        /// The lowest index reached.
        low: i128,
        /// The highest index reached.
        high: i128,
        /// How many elements there are.
        len: usize,
    },
    /// Two elements of C have one place.
    #[error(
        "the layout of C is not known to give every element a place of its own (sizes {sizes:?}, strides {strides:?})"
    )]
    Overlap {
        /// Sizes of the axes: rows, columns, batch.
        sizes: Vec<usize>,
        /// Distances along them.
        strides: Vec<isize>,
    },
    /// More batch axes than a product may have.
    #[error("a product takes at most {MAX_BATCH} batch axes; merge axes that lie one after another")]
    TooManyBatchAxes,
}

impl Layout {
    /// Rows one after another, `columns` apart.
    pub fn row_major(columns: usize) -> Self {
        Layout::strided(columns as isize, 1)
    }

    /// Columns one after another, `rows` apart: a row-major matrix read as its transpose.
    pub fn column_major(rows: usize) -> Self {
        Layout::strided(1, rows as isize)
    }

    /// Any distances between rows and columns.
    pub fn strided(row: isize, col: isize) -> Self {
        Layout { offset: 0, row, col, batch: [0; MAX_BATCH] }
    }

    /// The same layout, beginning at `offset`.
    pub fn at(mut self, offset: usize) -> Self {
        self.offset = offset;
        self
    }

    /// The transposed matrix.
    pub fn transposed(mut self) -> Self {
        std::mem::swap(&mut self.row, &mut self.col);
        self
    }

    /// Where element `(i, j)` of product `index` lies.
    pub(super) fn offset_of(
        &self,
        sizes: &[usize; MAX_BATCH],
        mut index: usize,
        i: usize,
        j: usize,
    ) -> isize {
        let mut offset = self.offset as isize + i as isize * self.row + j as isize * self.col;
        for axis in (0..MAX_BATCH).rev() {
            offset += (index % sizes[axis]) as isize * self.batch[axis];
            index /= sizes[axis];
        }
        offset
    }

    fn axes(&self, rows: usize, cols: usize, sizes: &[usize; MAX_BATCH]) -> [(usize, isize); MAX_BATCH + 2] {
        let mut axes = [(rows, self.row); MAX_BATCH + 2];
        axes[1] = (cols, self.col);
        for axis in 0..MAX_BATCH {
            axes[axis + 2] = (sizes[axis], self.batch[axis]);
        }
        axes
    }

    pub(super) fn check(
        &self,
        operand: &'static str,
        rows: usize,
        cols: usize,
        sizes: &[usize; MAX_BATCH],
        len: usize,
    ) -> Result<(), MatMulError> {
        let axes = self.axes(rows, cols, sizes);
        if axes.iter().any(|&(size, _)| size == 0) {
            return Ok(());
        }
        let (mut low, mut high) = (self.offset as i128, self.offset as i128);
        for (size, stride) in axes {
            let span = (size as i128 - 1) * stride as i128;
            if span < 0 { low += span } else { high += span }
        }
        if low < 0 || high >= len as i128 {
            return Err(MatMulError::OutOfBounds { operand, low, high, len });
        }
        Ok(())
    }

    /// Elements are distinct when, from the smallest stride up, each axis steps over all that the smaller reach.
    pub(super) fn check_distinct(
        &self,
        rows: usize,
        cols: usize,
        sizes: &[usize; MAX_BATCH],
    ) -> Result<(), MatMulError> {
        let axes = self.axes(rows, cols, sizes);
        let mut sorted = axes;
        sorted.sort_by_key(|&(_, stride)| stride.unsigned_abs());
        let mut reach: u128 = 0;
        for (size, stride) in sorted {
            let step = stride.unsigned_abs() as u128;
            if size == 0 {
                return Ok(());
            }
            if size > 1 {
                if step <= reach {
                    let (sizes, strides) = axes.iter().copied().unzip();
                    return Err(MatMulError::Overlap { sizes, strides });
                }
                reach += step * (size as u128 - 1);
            }
        }
        Ok(())
    }
}
