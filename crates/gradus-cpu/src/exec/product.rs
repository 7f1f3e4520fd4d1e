//! Matrix products of a plan.
//!
//! In derivative programs terms of dead tangents do not count: see [`LinearMul`](gradus_core::ops::LinearMul).
//!
//! Invariant: the planner takes layouts from views that stay inside their buffers, and gives the result elements of
//! its own.

use std::ops::Range;
use std::sync::atomic::AtomicBool;

use gradus_core::DType;
use gradus_plan::kernel::{Along, Product};
use gradus_plan::{Place, Plan};

use super::places::Memory;
use crate::Pool;
use crate::matmul::{Element, Layout, Linear, MatMul, Sum, absorbing, absorbing_product, hides, serial};
use crate::vmath::Float;

/// A product prepared to run.
#[derive(Clone, Debug)]
pub(super) struct PreparedProduct {
    matmul: MatMul,
    operands: ProductOperands,
}

/// What a product reads and writes.
#[derive(Clone, Debug)]
pub(super) struct ProductOperands {
    places: [Place; 3],
    /// A, B and C: offset, row stride, column stride.
    strides: [(isize, isize, isize); 3],
    size: [usize; 3],
    double: bool,
    pub(super) linear: Linear,
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
pub(super) type Matrix<T> = (*mut T, isize, isize);

impl PreparedProduct {
    pub(super) fn new(product: &Product, plan: &Plan) -> Self {
        let matmul = matmul(product);
        let size = |v| plan.graph().ty(v).shape.size();
        let offsets =
            [product.a.0, product.b.0, product.c.0].map(|at| usize::try_from(at).unwrap_or(usize::MAX));
        let sizes = [product.lhs, product.rhs, product.out].map(size);
        assert!(matmul.lies_within(offsets, sizes), "a product reads and writes inside its operands");
        PreparedProduct { matmul, operands: ProductOperands::new(product, plan) }
    }

    /// Its name for checks.
    pub(super) fn path(&self) -> &'static str {
        match (self.operands.linear.applies(), self.matmul.blocks().tasks() > 1) {
            (false, false) => "product",
            (false, true) => "product, shared",
            (true, false) => "linear product",
            (true, true) => "linear product, shared",
        }
    }

    /// # Safety
    /// `memory` holds the plan's values, and nobody else uses the result.
    pub(super) unsafe fn run(&self, memory: &Memory<'_>, pool: &Pool) {
        let double = self.operands.double;
        // SAFETY: the caller's promise.
        unsafe { if double { self.typed::<f64>(memory, pool) } else { self.typed::<f32>(memory, pool) } }
    }

    /// # Safety
    /// As for [`run`](Self::run).
    unsafe fn typed<T: Float + Element>(&self, memory: &Memory<'_>, pool: &Pool) {
        let [a, b, c] = self.operands.starts::<T>(memory);
        // SAFETY: the planner took the layouts from views that stay inside their buffers; the result has a buffer of
        // its own.
        unsafe {
            if self.operands.linear.applies() {
                self.matmul.run_linear(pool, a, b, c, self.operands.linear);
            } else {
                let (one, zero) = (<T as Element>::ONE, <T as Element>::ZERO);
                self.matmul.run_raw(pool, one, a, b, zero, c, &|_| ());
            }
        }
    }
}

impl ProductOperands {
    pub(super) fn new(product: &Product, plan: &Plan) -> Self {
        let place = |v| plan.place(v).expect("values that kernels touch have a place");
        ProductOperands {
            places: [place(product.lhs), place(product.rhs), place(product.out)],
            strides: [product.a, product.b, product.c],
            size: product.size,
            double: product.dtype == DType::F64,
            linear: Linear { tangents: product.tangents, marks: product.marks },
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

    /// The part of product `p` of the batch that belongs to some of the rows, which run `along` the rows or the columns
    /// of its result; on the calling thread. Where NaN is not `expected`, the result is checked for it.
    ///
    /// # Safety
    /// `memory` holds the values; nobody else uses this part of the result.
    pub(super) unsafe fn part(
        &self,
        memory: &Memory<'_>,
        p: usize,
        along: Along,
        rows: Range<usize>,
        expected: bool,
    ) {
        // SAFETY: the caller's promise.
        unsafe {
            if self.double {
                self.typed_part::<f64>(memory, p, along, rows, expected);
            } else {
                self.typed_part::<f32>(memory, p, along, rows, expected);
            }
        }
    }

    /// # Safety
    /// As for [`part`](Self::part).
    unsafe fn typed_part<T: Float + Element>(
        &self,
        memory: &Memory<'_>,
        p: usize,
        along: Along,
        rows: Range<usize>,
        expected: bool,
    ) {
        let [mut a, mut b, mut c] = self.matrices::<T>(memory, p);
        let mut size = self.size;
        let from = rows.start as isize;
        if along == Along::Rows {
            size[0] = rows.len();
            a.0 = a.0.wrapping_offset(from * a.1);
            c.0 = c.0.wrapping_offset(from * c.1);
        } else {
            size[1] = rows.len();
            b.0 = b.0.wrapping_offset(from * b.2);
            c.0 = c.0.wrapping_offset(from * c.2);
        }
        let linear = self.linear;
        // SAFETY: the part lies inside the product; see `run`.
        unsafe {
            match (linear.applies(), expected) {
                (true, true) => absorbing(size, a, b, c, linear, Sum::New),
                (true, false) => absorbing_product(size, a, b, c, linear, &AtomicBool::new(false)),
                _ => {
                    let (one, zero) = (<T as Element>::ONE, <T as Element>::ZERO);
                    serial(size[0], size[1], size[2], one, a, b, zero, c);
                }
            }
        }
    }

    /// Whether terms that do not count spoil the part of product `p` that [`part`](Self::part) or [`over`](Self::over)
    /// computes of these rows, which run `along` an axis.
    ///
    /// # Safety
    /// `memory` holds the operands.
    pub(super) unsafe fn hides(
        &self,
        memory: &Memory<'_>,
        p: usize,
        along: Along,
        rows: Range<usize>,
    ) -> bool {
        // SAFETY: the caller's promise.
        unsafe {
            if self.double {
                self.typed_hides::<f64>(memory, p, along, rows)
            } else {
                self.typed_hides::<f32>(memory, p, along, rows)
            }
        }
    }

    /// # Safety
    /// As for [`hides`](Self::hides).
    unsafe fn typed_hides<T: Float + Element>(
        &self,
        memory: &Memory<'_>,
        p: usize,
        along: Along,
        rows: Range<usize>,
    ) -> bool {
        let [mut a, mut b, _] = self.matrices::<T>(memory, p);
        let (mut size, from) = (self.size, rows.start as isize);
        let axis = match along {
            Along::Rows => 0,
            Along::Columns => 1,
            Along::Inner => 2,
        };
        size[axis] = rows.len();
        if along != Along::Columns {
            a.0 = a.0.wrapping_offset(from * if along == Along::Rows { a.1 } else { a.2 });
        }
        if along != Along::Rows {
            b.0 = b.0.wrapping_offset(from * if along == Along::Columns { b.2 } else { b.1 });
        }
        // SAFETY: the part lies inside the product.
        unsafe { hides(self.linear.tangents, size, a, b) }
    }

    /// The sums of product `p` of the batch over some inner indices, NaN among its operands: `to` is the whole result.
    ///
    /// # Safety
    /// `memory` holds the operands, and `to` belongs to the caller.
    pub(super) unsafe fn over<T: Float + Element>(
        &self,
        memory: &Memory<'_>,
        p: usize,
        inner: Range<usize>,
        to: Matrix<T>,
        sum: Sum,
    ) {
        let [mut a, mut b, _] = self.matrices::<T>(memory, p);
        let from = inner.start as isize;
        a.0 = a.0.wrapping_offset(from * a.2);
        b.0 = b.0.wrapping_offset(from * b.1);
        // SAFETY: the caller's promise; see `run`.
        unsafe { absorbing([self.size[0], self.size[1], inner.len()], a, b, to, self.linear, sum) };
    }
}
