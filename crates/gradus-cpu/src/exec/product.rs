//! Matrix products of a plan.
//!
//! In derivative programs a factor that is exactly zero makes a term zero, whatever the other factor is. The fast
//! kernel does not know that, but where it matters the result is NaN (0 · ∞ and 0 · NaN are): so products are
//! computed fast, and elements that come out NaN once more, term by term.

use std::ops::Range;
use std::sync::atomic::{AtomicBool, Ordering};

use gradus_core::DType;
use gradus_plan::kernel::{Along, Product};
use gradus_plan::{Place, Plan};

use super::memory::Memory;
use super::versions::{Versioned, best};
use crate::Pool;
use crate::matmul::{BlockMut, Element, Layout, MatMul, serial};
use crate::scratch::{self, Slot};

/// A product ready to run.
#[derive(Clone, Debug)]
pub(super) struct Ready {
    matmul: MatMul,
    operation: Operation,
}

/// What a product reads and writes.
#[derive(Clone, Debug)]
pub(super) struct Operation {
    places: [Place; 3],
    /// A, B and C: offset, row stride, column stride.
    strides: [(isize, isize, isize); 3],
    size: [usize; 3],
    double: bool,
    strong: bool,
    /// Batch axes: extent, strides of A, B and C.
    batch: Vec<(usize, [isize; 3])>,
}

/// The product as the kernels know it, its operands beginning where their offsets say.
pub(super) fn matmul(product: &Product) -> MatMul {
    let [m, n, k] = product.size;
    let [a, b, c] = [product.a, product.b, product.c].map(|(_, row, col)| Layout::strided(row, col));
    let mut matmul = MatMul::new(m, n, k, a, b, c);
    for &(extent, [a, b, c]) in product.batch.iter().rev() {
        matmul = matmul.batched(extent, a, b, c).expect("the planner keeps to the batch axes there are");
    }
    matmul
}

/// A matrix in memory: its first element, row stride, column stride.
type Matrix<T> = (*mut T, isize, isize);

impl Ready {
    pub(super) fn new(product: &Product, plan: &Plan) -> Self {
        let matmul = matmul(product);
        Ready { matmul, operation: Operation::new(product, plan) }
    }

    /// # Safety
    /// `memory` holds the plan's values, and nobody else uses the result.
    pub(super) unsafe fn run(&self, memory: &Memory<'_>, pool: &Pool) {
        let double = self.operation.double;
        // SAFETY: the caller's promise.
        unsafe { if double { self.typed::<f64>(memory, pool) } else { self.typed::<f32>(memory, pool) } }
    }

    /// # Safety
    /// As for [`run`](Self::run).
    unsafe fn typed<T: Element>(&self, memory: &Memory<'_>, pool: &Pool) {
        let [a, b, c] = self.operation.starts::<T>(memory);
        let doubtful = AtomicBool::new(false);
        let look = |mut block: BlockMut<T>| {
            let mut nan = false;
            for i in block.rows.clone() {
                match block.row(i) {
                    // SAFETY: the row is a slice.
                    Some(row) => nan |= unsafe { best(HasNan { x: row.as_ptr(), n: row.len() }) },
                    None => {
                        #[allow(clippy::eq_op)] // only NaN differs from itself
                        block.for_each(|_, _, x| nan |= *x != *x);
                        break;
                    }
                }
            }
            if nan {
                doubtful.store(true, Ordering::Relaxed);
            }
        };
        // SAFETY: the planner took the layouts from views that stay inside their buffers; the result has places of its
        // own.
        unsafe {
            if self.operation.strong {
                self.matmul.run_raw(pool, T::ONE, a, b, T::ZERO, c, &look);
                if doubtful.into_inner() {
                    for p in 0..self.matmul.products() {
                        let [a, b, c] = self.operation.matrices::<T>(memory, p);
                        mend(self.operation.size, a, b, c);
                    }
                }
            } else {
                self.matmul.run_raw(pool, T::ONE, a, b, T::ZERO, c, &|_| ());
            }
        }
    }
}

impl Operation {
    pub(super) fn new(product: &Product, plan: &Plan) -> Self {
        let place = |v| plan.place(v).expect("values that kernels touch have a place");
        Operation {
            places: [place(product.lhs), place(product.rhs), place(product.out)],
            strides: [product.a, product.b, product.c],
            size: product.size,
            double: product.dtype == DType::F64,
            strong: product.strong,
            batch: product.batch.to_vec(),
        }
    }

    /// Where the operands and the result of the first product begin.
    fn starts<T>(&self, memory: &Memory<'_>) -> [*mut T; 3] {
        let at = |i: usize| memory.at_mut(self.places[i]).cast::<T>().wrapping_offset(self.strides[i].0);
        [at(0), at(1), at(2)]
    }

    /// The operands and the result of product `p` of the batch.
    fn matrices<T>(&self, memory: &Memory<'_>, p: usize) -> [Matrix<T>; 3] {
        let mut at = self.starts::<T>(memory);
        let mut rest = p;
        for &(extent, steps) in self.batch.iter().rev() {
            let i = (rest % extent) as isize;
            rest /= extent;
            for (at, step) in at.iter_mut().zip(steps) {
                *at = at.wrapping_offset(i * step);
            }
        }
        [0, 1, 2].map(|i| (at[i], self.strides[i].1, self.strides[i].2))
    }

    /// Product `p` of the batch, or the part of it that belongs to some of the rows that run `along` it; on the calling
    /// thread. Over the inner extent it adds to what the rows before have left; then says whether the result has NaNs
    /// that a zero factor may have to absorb, which it does by itself if asked to be `careful`.
    ///
    /// # Safety
    /// `memory` holds the values; nobody else uses this part of the result.
    pub(super) unsafe fn part(
        &self,
        memory: &Memory<'_>,
        p: usize,
        along: Along,
        rows: Range<usize>,
        careful: bool,
    ) -> bool {
        // SAFETY: the caller's promise.
        unsafe {
            if self.double {
                self.typed_part::<f64>(memory, p, along, rows, careful)
            } else {
                self.typed_part::<f32>(memory, p, along, rows, careful)
            }
        }
    }

    /// # Safety
    /// As for [`part`](Self::part).
    unsafe fn typed_part<T: Element>(
        &self,
        memory: &Memory<'_>,
        p: usize,
        along: Along,
        rows: Range<usize>,
        careful: bool,
    ) -> bool {
        let [mut a, mut b, mut c] = self.matrices::<T>(memory, p);
        let mut size = self.size;
        let from = rows.start as isize;
        let mut moved = |axis: usize| size[axis] = rows.len();
        match along {
            Along::Rows => {
                moved(0);
                a.0 = a.0.wrapping_offset(from * a.1);
                c.0 = c.0.wrapping_offset(from * c.1);
            }
            Along::Columns => {
                moved(1);
                b.0 = b.0.wrapping_offset(from * b.2);
                c.0 = c.0.wrapping_offset(from * c.2);
            }
            Along::Inner => {
                moved(2);
                a.0 = a.0.wrapping_offset(from * a.2);
                b.0 = b.0.wrapping_offset(from * b.1);
            }
        }
        let first = along != Along::Inner || rows.start == 0;
        // SAFETY: the part lies inside the product; see `run`.
        unsafe {
            if careful && self.strong && along == Along::Inner {
                add_mended(size, a, b, c, first);
                return false;
            }
            let beta = if first { T::ZERO } else { T::ONE };
            serial(size[0], size[1], size[2], T::ONE, a, b, beta, c);
            if !self.strong || !has_nan(size, c) {
                return false;
            }
            if along == Along::Inner {
                return true;
            }
            mend(size, a, b, c);
            false
        }
    }
}

/// Adds a product, in which zero factors absorb everything, to `c`, or writes it there if it is the `first`.
///
/// # Safety
/// The matrices are valid; `c` is apart from the others.
unsafe fn add_mended<T: Element>(size: [usize; 3], a: Matrix<T>, b: Matrix<T>, c: Matrix<T>, first: bool) {
    let [m, n, k] = size;
    scratch::with(Slot::Patches, m * n, |own: *mut T| {
        let own = (own, n as isize, 1);
        // SAFETY: the caller's promise; the scratch holds the result.
        unsafe {
            serial(m, n, k, T::ONE, a, b, T::ZERO, own);
            mend(size, a, b, own);
            for i in 0..m as isize {
                for j in 0..n as isize {
                    let (x, out) = (*own.0.offset(i * own.1 + j), c.0.offset(i * c.1 + j * c.2));
                    *out = if first { x } else { (*out).add(x) };
                }
            }
        }
    });
}

/// Whether a matrix holds NaN.
///
/// # Safety
/// It is valid.
unsafe fn has_nan<T: Element>([m, n, _]: [usize; 3], (start, row, col): Matrix<T>) -> bool {
    // SAFETY: the caller's promise.
    unsafe {
        if col == 1 {
            return (0..m as isize).any(|i| best(HasNan { x: start.offset(i * row), n }));
        }
        if row == 1 {
            return (0..n as isize).any(|j| best(HasNan { x: start.offset(j * col), n: m }));
        }
        #[allow(clippy::eq_op)] // only NaN differs from itself
        (0..m as isize).any(|i| {
            (0..n as isize).any(|j| {
                let x = *start.offset(i * row + j * col);
                x != x
            })
        })
    }
}

/// Computes elements that are NaN again, leaving out terms with a zero factor.
///
/// # Safety
/// The matrices are valid; `c` is apart from the others.
unsafe fn mend<T: Element>([m, n, k]: [usize; 3], a: Matrix<T>, b: Matrix<T>, c: Matrix<T>) {
    for i in 0..m as isize {
        for j in 0..n as isize {
            // SAFETY: the indices lie inside the product's sizes.
            unsafe {
                let out = c.0.offset(i * c.1 + j * c.2);
                #[allow(clippy::eq_op)] // only NaN differs from itself
                if *out == *out {
                    continue;
                }
                let mut sum = T::ZERO;
                for l in 0..k as isize {
                    let x = *a.0.offset(i * a.1 + l * a.2);
                    let y = *b.0.offset(l * b.1 + j * b.2);
                    if x != T::ZERO && y != T::ZERO {
                        sum = sum.add(x.mul(y));
                    }
                }
                *out = sum;
            }
        }
    }
}

/// Whether a row holds NaN.
struct HasNan<T> {
    x: *const T,
    n: usize,
}

impl<T: Element> Versioned for HasNan<T> {
    type Output = bool;
    #[inline(always)]
    #[allow(clippy::eq_op)] // only NaN differs from itself
    unsafe fn run(self) -> bool {
        // Lanes of their own, so that the loop vectorises.
        const LANES: usize = 16;
        let mut seen = [0u32; LANES];
        let whole = self.n / LANES * LANES;
        // SAFETY: the caller's promise.
        unsafe {
            for at in (0..whole).step_by(LANES) {
                for j in 0..LANES {
                    let x = *self.x.add(at + j);
                    seen[j] |= u32::from(x != x);
                }
            }
            for j in whole..self.n {
                let x = *self.x.add(j);
                seen[j - whole] |= u32::from(x != x);
            }
        }
        seen.iter().any(|&s| s != 0)
    }
}
