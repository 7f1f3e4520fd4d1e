//! Batched matrix products `C = α A·B + β C` on strided operands.
//!
//! A [`MatMul`] states the sizes and, for each operand, a [`Layout`]: transposed, broadcast and interleaved operands
//! are strides, never copies. The product is cut into blocks of C from the sizes alone ([`MatMul::blocks`]); each
//! block is one serial kernel call on the pool, and the inner dimension is never divided among threads. Each element of C
//! is the sum of parts of the inner dimension, cut from its length alone, each added up in order. So the bits of C
//! depend neither on the number of threads nor on who computes which rows and columns together.
//!
//! Invariant: a safe call has passed [`MatMul::check`], which computes the reach of every layout in 128 bits.

mod absorbing;
mod blocks;
mod dead;
mod element;
mod kernel;
mod layout;
mod packed;
mod panel;
mod tile;

use std::ops::Range;
use std::sync::atomic::AtomicBool;

use crate::Pool;
pub(crate) use absorbing::{absorbing, product as absorbing_product};
pub use blocks::Blocks;
pub(crate) use dead::{Candidates, Linear, Look, counts, hides, look};
pub use element::Element;
use element::Operand;
pub(crate) use element::Sum;
pub(crate) use kernel::{product as serial, scratch_elements as serial_scratch};
pub use layout::{Layout, MAX_BATCH, MatMulError};
pub(crate) use panel::{DEPTH, parts, transpose};

use crate::vmath::Float;

/// The sizes and layouts of a batched product of an `m × k` by a `k × n` matrix.
///
/// ```
/// use gradus_cpu::{Pool, matmul::{Layout, MatMul}};
/// // A is 2 × 3, B is stored transposed: 2 rows of 3.
/// let a = [1.0, 2.0, 3.0, 4.0, 5.0, 6.0f32];
/// let bt = [1.0, 0.0, 1.0, 0.0, 1.0, 0.0];
/// let mut c = [0.0; 4];
/// let product = MatMul::new(2, 2, 3, Layout::row_major(3), Layout::column_major(3), Layout::row_major(2));
/// product.run(Pool::global(), 1.0, &a, &bt, 0.0, &mut c)?;
/// assert_eq!(c, [4.0, 2.0, 10.0, 5.0]);
/// # Ok::<(), gradus_cpu::matmul::MatMulError>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MatMul {
    /// Rows of A and C.
    pub m: usize,
    /// Columns of B and C.
    pub n: usize,
    /// Columns of A, rows of B.
    pub k: usize,
    /// Sizes of the batch axes; 1 for those not used.
    pub batch: [usize; MAX_BATCH],
    /// Where the elements of A lie.
    pub a: Layout,
    /// Where the elements of B lie.
    pub b: Layout,
    /// Where the elements of C lie.
    pub c: Layout,
}

/// A finished block of C, handed to an epilogue while it is still in cache.
#[derive(Debug)]
pub struct BlockMut<T> {
    /// Which product of the batch, counted with the last batch axis fastest.
    pub batch: usize,
    /// The rows of C in this block.
    pub rows: Range<usize>,
    /// The columns of C in this block.
    pub cols: Range<usize>,
    start: *mut T,
    row: isize,
    col: isize,
}

impl<T> BlockMut<T> {
    fn operand(&self) -> Operand<T> {
        (self.start, self.row, self.col)
    }

    /// Row `i` of C, restricted to this block's columns; `None` when rows are not contiguous or `i` is not in
    /// the block.
    pub fn row(&mut self, i: usize) -> Option<&mut [T]> {
        if self.col != 1 || !self.rows.contains(&i) {
            return None;
        }
        let shift = (i - self.rows.start) as isize * self.row;
        // SAFETY: the block lies inside C, belongs to this task alone while the epilogue runs, and its columns are
        // adjacent; `&mut self` keeps two rows from being borrowed at once.
        Some(unsafe { std::slice::from_raw_parts_mut(self.start.offset(shift), self.cols.len()) })
    }

    /// Calls `f(row, column, element)` for every element of the block.
    pub fn for_each(&mut self, mut f: impl FnMut(usize, usize, &mut T)) {
        for (i, row) in self.rows.clone().enumerate() {
            for (j, col) in self.cols.clone().enumerate() {
                // SAFETY: as in `row`; each element is borrowed for one call.
                f(row, col, unsafe {
                    &mut *self.start.offset(i as isize * self.row + j as isize * self.col)
                });
            }
        }
    }
}

/// A pointer that tasks share; each works on its own part.
#[derive(Clone, Copy)]
struct Shared<T>(*mut T);
// SAFETY: the tasks of one product write disjoint blocks.
unsafe impl<T> Sync for Shared<T> {}

impl<T> Shared<T> {
    fn get(&self) -> *mut T {
        self.0
    }
}

impl MatMul {
    /// A single product, without batch axes.
    pub fn new(m: usize, n: usize, k: usize, a: Layout, b: Layout, c: Layout) -> Self {
        MatMul { m, n, k, batch: [1; MAX_BATCH], a, b, c }
    }

    /// The same product over a batch axis of `size`, with the distance between neighbours in each operand (0
    /// repeats an operand). Axes are added from the fastest outwards; axes of size 1 take no place.
    ///
    /// # Errors
    /// When [`MAX_BATCH`] axes are used already.
    pub fn batched(mut self, size: usize, a: isize, b: isize, c: isize) -> Result<Self, MatMulError> {
        if size == 1 {
            return Ok(self);
        }
        let free = self.batch.iter().rposition(|&s| s == 1).ok_or(MatMulError::TooManyBatchAxes)?;
        self.batch[free] = size;
        self.a.batch[free] = a;
        self.b.batch[free] = b;
        self.c.batch[free] = c;
        Ok(self)
    }

    /// How many products the batch has.
    pub fn products(&self) -> usize {
        self.batch.iter().fold(1, |n, &size| size.saturating_mul(n))
    }

    /// Multiplications and additions, counted as two.
    pub fn flops(&self) -> f64 {
        2.0 * self.m as f64 * self.n as f64 * self.k as f64 * self.products() as f64
    }

    /// How the product is cut; a function of the sizes alone.
    pub fn blocks(&self) -> Blocks {
        Blocks::new(self.products(), self.m, self.n, self.k, self.c.col.abs() <= self.c.row.abs())
    }

    /// Whether the layouts fit operands of these lengths and no two elements of C coincide.
    ///
    /// # Errors
    /// The first operand that does not fit, or the overlap in C.
    pub fn check(&self, a: usize, b: usize, c: usize) -> Result<(), MatMulError> {
        self.a.check("A", self.m, self.k, &self.batch, a)?;
        self.b.check("B", self.k, self.n, &self.batch, b)?;
        self.c.check("C", self.m, self.n, &self.batch, c)?;
        self.c.check_distinct(self.m, self.n, &self.batch)
    }

    /// Whether the layouts, begun at these offsets, stay inside operands of these lengths.
    pub(crate) fn lies_within(&self, offsets: [usize; 3], [a, b, c]: [usize; 3]) -> bool {
        let [of_a, of_b, of_c] = [self.a.at(offsets[0]), self.b.at(offsets[1]), self.c.at(offsets[2])];
        of_a.check("A", self.m, self.k, &self.batch, a).is_ok()
            && of_b.check("B", self.k, self.n, &self.batch, b).is_ok()
            && of_c.check("C", self.m, self.n, &self.batch, c).is_ok()
    }

    /// `C = alpha A·B + beta C`. With `beta` zero C is not read, so it may hold anything.
    ///
    /// # Errors
    /// When a layout does not fit its operand; see [`check`](MatMul::check).
    pub fn run<T: Element>(
        &self,
        pool: &Pool,
        alpha: T,
        a: &[T],
        b: &[T],
        beta: T,
        c: &mut [T],
    ) -> Result<(), MatMulError> {
        self.run_with(pool, alpha, a, b, beta, c, &|_| ())
    }

    /// [`run`](MatMul::run), calling `epilogue` on each finished block from the thread that computed it: the place
    /// for a bias and an activation.
    ///
    /// # Errors
    /// When a layout does not fit its operand; see [`check`](MatMul::check).
    pub fn run_with<T: Element>(
        &self,
        pool: &Pool,
        alpha: T,
        a: &[T],
        b: &[T],
        beta: T,
        c: &mut [T],
        epilogue: &(dyn Fn(BlockMut<T>) + Sync),
    ) -> Result<(), MatMulError> {
        self.check(a.len(), b.len(), c.len())?;
        // SAFETY: the layouts have just been checked against the slices, and the borrow rules keep C apart from A
        // and B.
        unsafe { self.run_raw(pool, alpha, a.as_ptr(), b.as_ptr(), beta, c.as_mut_ptr(), epilogue) };
        Ok(())
    }

    /// [`run_with`](MatMul::run_with) on pointers.
    ///
    /// # Safety
    /// Every element that the layouts reach must be valid (A and B for reads, C for reads and writes), the elements
    /// of C must be distinct and apart from those of A and B, and nobody else may use C meanwhile.
    pub unsafe fn run_raw<T: Element>(
        &self,
        pool: &Pool,
        alpha: T,
        a: *const T,
        b: *const T,
        beta: T,
        c: *mut T,
        epilogue: &(dyn Fn(BlockMut<T>) + Sync),
    ) {
        self.each_block(pool, (a, b, c), &|size, a, b, block| {
            // SAFETY: the caller vouches for every element; blocks are disjoint, so no other task touches this part of C.
            unsafe { kernel::product(size[0], size[1], size[2], alpha, a, b, beta, block.operand()) };
            epilogue(block);
        });
    }

    /// `C = A·B` of a linear program.
    ///
    /// # Safety
    /// As for [`run_raw`](MatMul::run_raw).
    pub(crate) unsafe fn run_linear<T: Float + Element>(
        &self,
        pool: &Pool,
        a: *const T,
        b: *const T,
        c: *mut T,
        linear: Linear,
    ) {
        let seen = AtomicBool::new(false);
        self.each_block(pool, (a, b, c), &|size, a, b, block| {
            // SAFETY: as in `run_raw`.
            unsafe { absorbing_product(size, a, b, block.operand(), linear, &seen) };
        });
    }

    /// Calls `body(size, A, B, block of C)` for every block, on the pool.
    fn each_block<T: Element>(
        &self,
        pool: &Pool,
        (a, b, c): (*const T, *const T, *mut T),
        body: &(dyn Fn([usize; 3], Operand<T>, Operand<T>, BlockMut<T>) + Sync),
    ) {
        let blocks = self.blocks();
        let (a, b, c) = (Shared(a.cast_mut()), Shared(b.cast_mut()), Shared(c));
        pool.run(blocks.tasks(), &|task| {
            blocks.for_each_in(task, |batch, rows, cols| {
                let (rows, cols): (Range<usize>, Range<usize>) = (rows, cols);
                let at = |layout: &Layout, i: usize, j: usize| layout.offset_of(&self.batch, batch, i, j);
                let start = c.get().wrapping_offset(at(&self.c, rows.start, cols.start));
                let size = [rows.len(), cols.len(), self.k];
                let a = (a.get().wrapping_offset(at(&self.a, rows.start, 0)), self.a.row, self.a.col);
                let b = (b.get().wrapping_offset(at(&self.b, 0, cols.start)), self.b.row, self.b.col);
                body(size, a, b, BlockMut { batch, rows, cols, start, row: self.c.row, col: self.c.col });
            });
        });
    }
}

/// Multiplications that the kernels have done on a thread.
#[cfg(test)]
pub(crate) mod work {
    use std::cell::Cell;

    thread_local! {
        static DONE: Cell<usize> = const { Cell::new(0) };
    }

    pub fn count(more: usize) {
        DONE.set(DONE.get() + more);
    }

    /// Those since the last call.
    pub fn take() -> usize {
        DONE.take()
    }
}
