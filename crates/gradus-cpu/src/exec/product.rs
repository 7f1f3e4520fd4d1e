//! Matrix products of a plan.
//!
//! In derivative programs a factor that is exactly zero makes a term zero, whatever the other factor is. The fast
//! kernel does not know that, but where it matters the result is NaN (0 · ∞ and 0 · NaN are): so products are
//! computed fast, and elements that come out NaN once more, term by term.

use std::sync::atomic::{AtomicBool, Ordering};

use gradus_core::DType;
use gradus_plan::kernel::Product;
use gradus_plan::{Place, Plan};

use super::memory::Memory;
use super::versions::{Versioned, best};
use crate::Pool;
use crate::matmul::{BlockMut, Element, Layout, MatMul};

/// A product ready to run.
#[derive(Clone, Debug)]
pub(super) struct Ready {
    matmul: MatMul,
    places: [Place; 3],
    offsets: [isize; 3],
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

impl Ready {
    pub(super) fn new(product: &Product, plan: &Plan) -> Self {
        let place = |v| plan.place(v).expect("values that kernels touch have a place");
        let matmul = matmul(product);
        Ready {
            matmul,
            places: [place(product.lhs), place(product.rhs), place(product.out)],
            offsets: [product.a.0, product.b.0, product.c.0],
            double: product.dtype == DType::F64,
            strong: product.strong,
            batch: product.batch.to_vec(),
        }
    }

    /// # Safety
    /// `memory` holds the plan's values, and nobody else uses the result.
    pub(super) unsafe fn run(&self, memory: &Memory<'_>, pool: &Pool) {
        // SAFETY: the caller's promise.
        unsafe { if self.double { self.typed::<f64>(memory, pool) } else { self.typed::<f32>(memory, pool) } }
    }

    /// # Safety
    /// As for [`run`](Self::run).
    unsafe fn typed<T: Element + PartialOrd>(&self, memory: &Memory<'_>, pool: &Pool) {
        let a = memory.at(self.places[0]).cast::<T>().wrapping_offset(self.offsets[0]);
        let b = memory.at(self.places[1]).cast::<T>().wrapping_offset(self.offsets[1]);
        let c = memory.at_mut(self.places[2]).cast::<T>().wrapping_offset(self.offsets[2]);
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
            if self.strong {
                self.matmul.run_raw(pool, T::ONE, a, b, T::ZERO, c, &look);
                if doubtful.into_inner() {
                    self.again(a, b, c);
                }
            } else {
                self.matmul.run_raw(pool, T::ONE, a, b, T::ZERO, c, &|_| ());
            }
        }
    }

    /// Computes elements that are NaN again, leaving out terms with a zero factor.
    ///
    /// # Safety
    /// As for [`run`](Self::run).
    unsafe fn again<T: Element>(&self, a: *const T, b: *const T, c: *mut T) {
        let (m, n, k) = (self.matmul.m, self.matmul.n, self.matmul.k);
        for p in 0..self.matmul.products() {
            let (mut a, mut b, mut c, mut rest) = (a, b, c, p);
            for &(extent, [step_a, step_b, step_c]) in self.batch.iter().rev() {
                let i = (rest % extent) as isize;
                rest /= extent;
                (a, b) = (a.wrapping_offset(i * step_a), b.wrapping_offset(i * step_b));
                c = c.wrapping_offset(i * step_c);
            }
            for i in 0..m {
                for j in 0..n {
                    // SAFETY: the indices lie inside the product's sizes.
                    unsafe {
                        let lc = &self.matmul.c;
                        let out = c.offset(i as isize * lc.row + j as isize * lc.col);
                        #[allow(clippy::eq_op)] // only NaN differs from itself
                        if *out == *out {
                            continue;
                        }
                        let mut sum = T::ZERO;
                        for l in 0..k as isize {
                            let (la, lb) = (&self.matmul.a, &self.matmul.b);
                            let x = *a.offset(i as isize * la.row + l * la.col);
                            let y = *b.offset(l * lb.row + j as isize * lb.col);
                            if x != T::ZERO && y != T::ZERO {
                                sum = sum.add(x.mul(y));
                            }
                        }
                        *out = sum;
                    }
                }
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
