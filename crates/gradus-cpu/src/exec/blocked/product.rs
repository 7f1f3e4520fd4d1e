//! The products of a group, a block at a time.
//!
//! The kernel that convolutions use multiplies rows read through offsets by panels of packed columns. Along the rows of
//! a product the right operand belongs to the whole slab: it is packed when a worker starts the slab, and all blocks
//! use it. Over the inner extent the block's part of it is packed, and the left operand is transposed a few rows at a
//! time. In both cases sums are cut where those of a separate product are, so that groups change no bits.
//!
//! Invariant: offsets of rows and of inner indices have 32 bits, which [`count`] and the choice of products see to;
//! panels, sums and turned rows lie in the worker's own scratch memory, whose sizes [`ScratchLayout`](super::ScratchLayout) counts from the same
//! extents.

use std::ops::Range;
use std::sync::atomic::Ordering;

use gradus_core::{DType, Var};
use gradus_plan::kernel::{Along, Product};
use gradus_plan::{Place, Plan};

use super::Worker;
use super::panels::{Add, at, count, lines, multiply, pack};
use super::scratch_layout::{TURNED, Turn};
use crate::conv::Micro;
use crate::exec::places::Memory;
use crate::exec::product::{Matrix, ProductOperands};
use crate::exec::tile::Columns;
use crate::exec::versions::best;
use crate::matmul::{Candidates, DEPTH, Element, Linear, Look, Sum, look, parts};
use crate::vmath::Float;

/// A product of a group, ready to run.
pub(super) struct Multiply {
    operands: ProductOperands,
    along: Along,
    result: Outcome,
    fast: Option<Fast>,
}

/// The result of a product, for looking at.
struct Outcome {
    place: Place,
    offset: isize,
    /// Rows and columns.
    size: [usize; 2],
    strides: (isize, isize),
    /// Batch axes: extent, stride.
    batch: Vec<(usize, isize)>,
    double: bool,
}

/// The product as the kernel takes it.
struct Fast {
    turn: Turn,
    places: [Place; 3],
    /// The first elements of A, B and C.
    offsets: [isize; 3],
    /// Batch axes: extent, strides of A, B and C.
    batch: Vec<(usize, [isize; 3])>,
    /// Which of A, B and C are local values with only the visible columns.
    narrowed: [bool; 3],
    double: bool,
    linear: Linear,
    /// Where its panels are in the packed memory of the worker.
    panels: usize,
    /// Where its sums over a stretch of rows are, if not in the result.
    sums: Option<usize>,
}

/// A block of rows of a slab.
#[derive(Clone)]
pub(super) struct Rows {
    pub(super) slab: usize,
    /// The block.
    pub(super) rows: Range<usize>,
    /// The first row of the block, counted over all slabs.
    pub(super) first: usize,
    /// The columns computed, where not all of them are.
    pub(super) columns: Option<Columns>,
    /// Whether masked columns are left out, which is checked afterwards.
    pub(super) narrow: bool,
    /// Whether the block starts or continues the sums over a stretch of rows.
    pub(super) sum: Sum,
}

impl Multiply {
    pub(super) fn new(
        p: &Product,
        along: Along,
        block: usize,
        (panels, sums): (usize, Option<usize>),
        plan: &Plan,
        narrowed: impl Fn(Var) -> bool,
    ) -> Self {
        let place = |v| plan.place(v).expect("values that kernels touch have a place");
        let fast = Turn::of(p, along, block).map(|turn| {
            let order = if turn.exchanged { [1, 0, 2] } else { [0, 1, 2] };
            let values = [p.lhs, p.rhs, p.out];
            let starts = [p.a.0, p.b.0, p.c.0];
            Fast {
                places: order.map(|i| place(values[i])),
                offsets: order.map(|i| starts[i]),
                batch: p.batch.iter().map(|(n, steps)| (*n, order.map(|i| steps[i]))).collect(),
                narrowed: order.map(|i| narrowed(values[i])),
                double: p.dtype == DType::F64,
                linear: {
                    let tangents = [0, 1].map(|i| p.tangents[order[i]]);
                    Linear { tangents, marks: p.marks }
                },
                panels,
                sums,
                turn,
            }
        });
        let result = Outcome {
            place: place(p.out),
            offset: p.c.0,
            size: [p.size[0], p.size[1]],
            strides: (p.c.1, p.c.2),
            batch: p.batch.iter().map(|(n, steps)| (*n, steps[2])).collect(),
            double: p.dtype == DType::F64,
        };
        Multiply { operands: ProductOperands::new(p, plan), along, result, fast }
    }

    /// Whether the kernel takes it.
    pub(super) fn fast(&self) -> bool {
        self.fast.is_some()
    }

    /// Packs the operands that all blocks of the slab use.
    ///
    /// # Safety
    /// `memory` holds the values.
    pub(super) unsafe fn pack(&self, memory: &Memory<'_>, slab: usize, worker: &Worker) {
        let Some(fast) = self.fast.as_ref().filter(|f| f.turn.along == Along::Rows) else { return };
        // SAFETY: the caller's promise; the worker's scratch memory can hold the panels.
        unsafe {
            if fast.double {
                fast.pack::<f64>(memory, slab, worker);
            } else {
                fast.pack::<f32>(memory, slab, worker);
            }
        }
    }

    /// Whether its result is in memory after the block, and is not a sum over blocks.
    pub(super) fn is_done(&self) -> bool {
        !self.adds_up() && !matches!(self.result.place, Place::Local(_))
    }

    /// Whether it accumulates over the blocks of a slab.
    pub(super) fn adds_up(&self) -> bool {
        self.along == Along::Inner
    }

    /// Whether it accumulates in its result, and not in scratch memory.
    pub(super) fn direct(&self) -> bool {
        self.fast.as_ref().is_some_and(|f| f.sums.is_none())
    }

    /// Computes the block's part of the product; whether infinities or NaNs in it have to be checked.
    ///
    /// # Safety
    /// `memory` holds the values; nobody else uses this part of the result; panels were packed.
    pub(super) unsafe fn run(
        &self,
        memory: &Memory<'_>,
        block: &Rows,
        careful: bool,
        worker: &Worker,
    ) -> bool {
        // SAFETY: the caller's promise.
        unsafe {
            let slowly = |careful| {
                self.operands.part(memory, block.slab, self.along, block.rows.clone(), careful);
                false
            };
            let Some(fast) = &self.fast else { return slowly(careful) };
            let applies = self.operands.linear.applies();
            let hides = || applies && self.operands.hides(memory, block.slab, self.along, block.rows.clone());
            if careful {
                worker.single.store(true, Ordering::Relaxed);
            }
            if careful && hides() {
                if !self.adds_up() {
                    return slowly(true);
                }
                if fast.double {
                    fast.carefully::<f64>(&self.operands, memory, block, worker);
                } else {
                    fast.carefully::<f32>(&self.operands, memory, block, worker);
                }
                return false;
            }
            let look = !careful && (applies || (block.narrow && fast.consumes()));
            let odd = if fast.double {
                fast.run::<f64>(memory, block, worker, look)
            } else {
                fast.run::<f32>(memory, block, worker, look)
            };
            // A part that is not a sum over blocks is computed again where terms that do not count made it NaN.
            odd && (block.narrow || hides() && slowly(true))
        }
    }

    /// Adds the sums over a stretch of rows to the result; those over the `first` stretch replace it.
    ///
    /// # Safety
    /// As for [`run`](Self::run); the worker has come to the end of the stretch.
    pub(super) unsafe fn add_up(&self, memory: &Memory<'_>, slab: usize, first: bool, worker: &Worker) {
        let Some(fast) = self.fast.as_ref().filter(|f| f.sums.is_some()) else { return };
        // SAFETY: the caller's promise.
        unsafe {
            if fast.double {
                fast.add_up::<f64>(memory, slab, first, worker);
            } else {
                fast.add_up::<f32>(memory, slab, first, worker);
            }
        }
    }

    /// Whether an infinite or NaN operand would meet columns of local values that are not computed.
    ///
    /// # Safety
    /// As for [`run`](Self::run).
    pub(super) unsafe fn odd_beside(&self, memory: &Memory<'_>, slab: usize, columns: Columns) -> bool {
        let Some(fast) = &self.fast else { return false };
        // SAFETY: the caller's promise.
        unsafe {
            if fast.double {
                fast.odd_beside::<f64>(memory, slab, columns)
            } else {
                fast.odd_beside::<f32>(memory, slab, columns)
            }
        }
    }

    /// Whether the sums over all blocks of a slab have to be checked.
    ///
    /// # Safety
    /// As for [`run`](Self::run).
    pub(super) unsafe fn doubtful(&self, memory: &Memory<'_>, slab: usize, narrow: bool) -> bool {
        let left_out = narrow && self.fast.as_ref().is_some_and(Fast::consumes);
        if self.along != Along::Inner || !(self.operands.linear.applies() || left_out) {
            return false;
        }
        let Outcome { place, offset, size, strides: (row, col), batch, double } = &self.result;
        let at = offset + steps_to(slab, batch.iter().map(|&(n, step)| (n, step)));
        let start = memory.at_mut(*place);
        // SAFETY: the caller's promise.
        unsafe {
            if *double {
                look(Look::Odd, *size, (start.cast::<f64>().wrapping_offset(at), *row, *col))
            } else {
                look(Look::Odd, *size, (start.cast::<f32>().wrapping_offset(at), *row, *col))
            }
        }
    }
}

/// How far slab `slab` lies from the first one, given extents and steps of the batch axes.
fn steps_to(slab: usize, batch: impl DoubleEndedIterator<Item = (usize, isize)>) -> isize {
    let (mut rest, mut offset) = (slab, 0);
    for (extent, step) in batch.rev() {
        offset += (rest % extent) as isize * step;
        rest /= extent;
    }
    offset
}

impl Fast {
    /// Whether it reads operands with only the visible columns.
    fn consumes(&self) -> bool {
        self.narrowed[0] || self.narrowed[1]
    }

    /// Operand `i` of a block: where it begins, and its strides.
    ///
    /// # Safety
    /// `memory` holds the values.
    unsafe fn operand<T>(&self, i: usize, memory: &Memory<'_>, block: &Rows) -> Matrix<T> {
        let start = memory.at_mut(self.places[i]).cast::<T>();
        let (mut row, mut col) = self.turn.strides[i];
        // Which stride the rows of the group run along.
        let across = match (self.turn.along, i) {
            (Along::Inner, 0) => true,
            (Along::Inner, 1) => false,
            (_, 1) => unreachable!("packed by the slab"),
            _ => false,
        };
        if let Some(Columns { count, .. }) = block.columns.filter(|_| self.narrowed[i]) {
            *(if across { &mut col } else { &mut row }) = count as isize;
            return (start.wrapping_add(block.first * count), row, col);
        }
        let step = if across { col } else { row };
        let along =
            if self.turn.along == Along::Inner && i == 2 { 0 } else { block.rows.start as isize * step };
        (start.wrapping_offset(self.batch_offset(i, block.slab) + along), row, col)
    }

    fn batch_offset(&self, i: usize, slab: usize) -> isize {
        self.offsets[i] + steps_to(slab, self.batch.iter().map(|(n, steps)| (*n, steps[i])))
    }

    /// Where sums over rows are accumulated: in the result, or in scratch memory.
    ///
    /// # Safety
    /// `memory` holds the values.
    unsafe fn sums<T>(&self, memory: &Memory<'_>, block: &Rows, worker: &Worker) -> Matrix<T> {
        match self.sums {
            Some(sums) => (worker.packed(sums), self.turn.size[1] as isize, 1),
            // SAFETY: the caller's promise.
            None => unsafe { self.operand::<T>(2, memory, block) },
        }
    }

    /// The block's part of sums over rows, among whose operands are NaN.
    ///
    /// # Safety
    /// As for [`Multiply::run`].
    unsafe fn carefully<T: Float + Element>(
        &self,
        operands: &ProductOperands,
        memory: &Memory<'_>,
        block: &Rows,
        worker: &Worker,
    ) {
        // SAFETY: the caller's promise.
        unsafe {
            let (start, row, col) = self.sums::<T>(memory, block, worker);
            let to = if self.turn.exchanged { (start, col, row) } else { (start, row, col) };
            operands.over(memory, block.slab, block.rows.clone(), to, block.sum);
        }
    }

    /// # Safety
    /// As for [`Multiply::add_up`].
    unsafe fn add_up<T: Element>(&self, memory: &Memory<'_>, slab: usize, first: bool, worker: &Worker) {
        let [m, n, _] = self.turn.size;
        let (row, step) = self.turn.strides[2];
        let start = memory.at_mut(self.places[2]).cast::<T>().wrapping_offset(self.batch_offset(2, slab));
        let sums = worker.packed::<T>(self.sums.unwrap_or(0));
        for i in 0..m {
            let to = start.wrapping_offset(i as isize * row);
            // SAFETY: the caller's promise.
            unsafe { best(Add { from: sums.add(i * n), to, n, step, first }) };
        }
    }

    /// # Safety
    /// As for [`Multiply::pack`].
    unsafe fn pack<T: Micro + Element>(&self, memory: &Memory<'_>, slab: usize, worker: &Worker) {
        let [_, n, k] = self.turn.size;
        // SAFETY: the caller's promise.
        unsafe { pack(k, n, self.rhs::<T>(memory, slab, [0, 0]), worker.packed(self.panels)) };
    }

    /// The right operand from an element on.
    fn rhs<T>(&self, memory: &Memory<'_>, slab: usize, [i, j]: [usize; 2]) -> Matrix<T> {
        let (row, col) = self.turn.strides[1];
        let start = memory.at_mut(self.places[1]).cast::<T>().wrapping_offset(self.batch_offset(1, slab));
        (at((start, row, col), i, j), row, col)
    }

    /// Whether an infinite or NaN operand would meet columns of local values that are not computed.
    ///
    /// # Safety
    /// `memory` holds the values.
    unsafe fn odd_beside<T: Float + Element>(
        &self,
        memory: &Memory<'_>,
        slab: usize,
        columns: Columns,
    ) -> bool {
        let Columns { from, count } = columns;
        let [_, n, k] = self.turn.size;
        let (size, first) = match self.narrowed {
            _ if self.turn.along != Along::Rows => return false,
            [true, ..] => ([count, n], [from, 0]),
            [.., true] => ([k, count], [0, from]),
            _ => return false,
        };
        // SAFETY: the caller's promise.
        unsafe { look(Look::Odd, size, self.rhs::<T>(memory, slab, first)) }
    }

    /// # Safety
    /// As for [`Multiply::run`].
    unsafe fn run<T: Micro + Float + Element>(
        &self,
        memory: &Memory<'_>,
        block: &Rows,
        worker: &Worker,
        watch: bool,
    ) -> bool {
        let [m, n, k] = self.turn.size;
        let rows = block.rows.len();
        let used = |which: usize, all: usize| match block.columns {
            Some(columns) if self.narrowed[which] => columns,
            _ => Columns { from: 0, count: all },
        };
        // SAFETY: the caller's promise: the block's parts of operands and result are valid, and the worker's scratch memory has
        // what `ScratchLayout` counted for this product.
        unsafe {
            let a = self.operand::<T>(0, memory, block);
            let c = self.sums::<T>(memory, block, worker);
            match self.turn.along {
                Along::Rows => {
                    let (Columns { from, count: n }, inside) = (used(2, n), used(0, k));
                    let depth = inside.count;
                    let tables = std::slice::from_raw_parts_mut(worker.tables(), rows + depth);
                    let (of_rows, inner) = tables.split_at_mut(rows);
                    count(of_rows, a.1);
                    count(inner, a.2);
                    let panels = worker.packed::<T>(self.panels).cast_const();
                    // A piece of a panel stays in the first-level cache, or close to it.
                    let mut sum = Sum::New;
                    for piece in parts(k, DEPTH) {
                        let (start, end) = (piece.start.max(inside.from), piece.end.min(inside.from + depth));
                        if start >= end {
                            continue;
                        }
                        let inner = &inner[start - inside.from..end - inside.from];
                        for j in (0..n).step_by(T::width()) {
                            let panel = panels.add((from + j) * k + start * T::width());
                            let to = (c.0.add(j), c.1 as usize, sum);
                            multiply((a.0, of_rows, inner), panel, (n - j).min(T::width()), to);
                        }
                        sum = Sum::Added;
                    }
                    let b = self.rhs::<T>(memory, block.slab, [inside.from, from]);
                    // One scan rules out both zeros and values that are not finite.
                    let marks = self.linear.marks;
                    if !(watch || marks) || !look(Look::OddOrZero, [rows, n], c) {
                        return false;
                    }
                    Candidates::of_new(self.linear).mark(self.linear, [rows, n, depth], a, b, c);
                    watch && look(Look::Odd, [rows, n], c)
                }
                _ => {
                    let b = self.operand::<T>(1, memory, block);
                    let mut sum = block.sum;
                    if block.narrow && sum == Sum::New {
                        // Later blocks have other columns.
                        let nothing = if self.linear.marks { T::DEAD } else { <T as Element>::ZERO };
                        for i in 0..m as isize {
                            (0..n).for_each(|j| *c.0.offset(i * c.1).add(j) = nothing);
                        }
                        sum = Sum::Continued;
                    }
                    let (rows_of, columns_of) = (used(0, m), used(1, n));
                    let (m, n) = (rows_of.count, columns_of.count);
                    let c = (at(c, rows_of.from, columns_of.from), c.1, c.2);
                    let candidates = match block.sum {
                        Sum::New => Candidates::of_new(self.linear),
                        _ => Candidates::among(self.linear, [m, n], c, worker.single.load(Ordering::Relaxed)),
                    };
                    let panels = worker.block_panels::<T>();
                    pack(rows, n, b, panels);
                    let tables = std::slice::from_raw_parts_mut(worker.tables(), TURNED + rows);
                    let (of_rows, inner) = tables.split_at_mut(TURNED);
                    count(of_rows, 1);
                    count(inner, TURNED as isize);
                    let turned = worker.turned::<T>();
                    for i in (0..m).step_by(TURNED) {
                        let some = TURNED.min(m - i);
                        let part = (a.0.offset(i as isize * a.1), a.1, a.2);
                        lines([some, rows], part, turned, TURNED);
                        for j in (0..n).step_by(T::width()) {
                            let to = (c.0.offset(i as isize * c.1).add(j), c.1 as usize, sum);
                            let panel = panels.add(j * rows).cast_const();
                            multiply((turned, &of_rows[..some], inner), panel, (n - j).min(T::width()), to);
                        }
                    }
                    if candidates.mark(self.linear, [m, n, rows], a, b, c) {
                        worker.single.store(true, Ordering::Relaxed);
                    }
                    false
                }
            }
        }
    }
}
