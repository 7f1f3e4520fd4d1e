//! Runs blocked groups: the values between their kernels stay in the scratch memory of a worker.
//!
//! A block of rows of a slab goes through all parts before the next one begins. Parts address their operands as if the
//! values were complete; a local value, of which only the block exists, gets a base address from which the offsets of
//! the block lead into scratch memory. Workers take tasks dynamically; sums over the rows of a slab are added in the
//! order of the rows, for which workers wait for their turn. So neither threads nor blocks change a bit.
//!
//! Where the planner found that masked columns have no effect, a block computes only the columns visible to one of its
//! rows, and one masked column, which has to be zero if the planner's assumption holds for the data. If it is not, or
//! if a value is infinite or NaN, the slab is computed again with all columns.
//!
//! Invariant: parts touch a local value inside the rows of the block only; each worker has its own scratch
//! memory, and blocks that write the same elements do so in turn.

mod masked;
mod panels;
mod product;
mod scratch_layout;
mod turns;

use std::ops::Range;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use gradus_core::{DType, Var};
use gradus_plan::kernel::{self, Domain, Region, Work};
use gradus_plan::{ALIGN, Plan};
use smallvec::SmallVec;

use super::places::Memory;
use super::region;
use super::tile::{self, Columns};
use crate::Pool;
use crate::matmul::Sum;
use crate::memory::scratch::{self, Slot};
use masked::{Masked, Slab};
use product::{Multiply, Rows};
pub(super) use scratch_layout::{ScratchLayout, block_sizes};
use scratch_layout::{blocks, stretches};
use turns::Turns;

/// A blocked group prepared to run.
pub(super) struct PreparedGroup {
    count: usize,
    rows: usize,
    block: usize,
    deal: Deal,
    /// The number of parts that accumulate over blocks.
    sums: usize,
    parts: Vec<PreparedPart>,
    locals: Vec<Local>,
    masked: Option<Masked>,
    scratch: usize,
    layout: ScratchLayout,
}

/// What is a task.
#[derive(Clone, Copy, PartialEq)]
enum Deal {
    /// A block, in any order.
    Blocks,
    /// A block, whose sums wait for those of the block before.
    InTurn,
    /// A stretch of rows, which has sums of its own until they are added to those of the stretch before.
    Stretches,
}

/// With fewer slabs than this, the tasks are blocks and not slabs.
const FEW: usize = 4;

/// A local value: only a block of its rows exists.
struct Local {
    row_bytes: usize,
    /// Where it is in the scratch memory.
    offset: usize,
    /// Bytes of an element, if the value has only the visible columns.
    narrowed: Option<usize>,
}

enum PreparedPart {
    Region(Box<Stretch>),
    Product(Box<Multiply>),
}

/// A region among the parts.
struct Stretch {
    region: region::Compiled,
    /// Units of its space (points or rows) in a row of the slab.
    units: usize,
    /// Whether it computes only the visible columns.
    narrowed: bool,
    /// The local values it writes in which a masked column is checked, and their types.
    guards: SmallVec<[(usize, DType); 2]>,
}

/// The memory of a worker.
struct Worker<'a> {
    scratch: *mut u8,
    /// Packed operands and sums.
    packed: *mut u8,
    layout: &'a ScratchLayout,
    /// The slab whose operands are packed.
    slab: usize,
    /// Whether elements of sums over blocks may be dead without their row or column.
    single: &'a AtomicBool,
}

impl Worker<'_> {
    fn packed<T>(&self, offset: usize) -> *mut T {
        self.packed.wrapping_add(offset).cast()
    }
    fn block_panels<T>(&self) -> *mut T {
        self.packed(self.layout.block)
    }
    fn turned<T>(&self) -> *mut T {
        self.packed(self.layout.turned)
    }
    fn tables(&self) -> *mut u32 {
        self.packed(self.layout.tables)
    }
}

/// Says that a task has failed when dropped.
struct Failed<'a>(&'a AtomicBool);

impl Drop for Failed<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

type SlabStates = SmallVec<[Slab; 16]>;

/// The outcome of a block.
#[derive(Clone, Copy, PartialEq)]
enum Found {
    Fine,
    /// Masked columns are not zero.
    Unguarded,
    /// Infinities or NaN: the columns that other blocks leave out may have them, too.
    Odd,
}

/// How blocks are computed.
#[derive(Clone, Copy, PartialEq)]
enum ExecutionMode {
    /// Only the visible columns.
    VisibleColumns,
    /// All columns.
    AllColumns,
    /// Recomputes sums over rows with products that find terms that do not count.
    Careful,
}

impl PreparedGroup {
    /// Its name for tests.
    pub(super) fn path(&self) -> &'static str {
        if self.masked.is_some() { "blockwise, masked" } else { "blockwise" }
    }

    pub(super) fn new(group: &kernel::Blocked, plan: &Plan, k: usize) -> Self {
        let layout = ScratchLayout::of(group);
        let all = group.count * group.rows;
        let narrowed = |v: Var| group.masked.as_ref().is_some_and(|m| m.locals.contains(&v));
        let region = |r: &Region| {
            let units = match r.domain {
                Domain::Flat { n } => n / all,
                _ => 1,
            };
            let touched = r.loads.iter().map(|l| l.value).chain(r.stores.iter().map(|s| s.value));
            let guard = |v: Var| {
                let is = group.masked.as_ref().is_some_and(|m| m.guards.contains(&v));
                let local = group.locals.iter().position(|l| l.value == v).filter(|_| is)?;
                Some((local, plan.graph().ty(v).dtype))
            };
            PreparedPart::Region(Box::new(Stretch {
                units,
                narrowed: touched.into_iter().any(narrowed),
                guards: r.stores.iter().filter_map(|s| guard(s.value)).collect(),
                region: region::Compiled::new(r, plan, k),
            }))
        };
        let part = |(i, part): (usize, &gradus_plan::kernel::BlockedPart)| match &part.work {
            Work::Region(r) => region(r),
            Work::Product(p) => PreparedPart::Product(Box::new(Multiply::new(
                p,
                part.along,
                group.block,
                (layout.panels[i], layout.sums[i]),
                plan,
                narrowed,
            ))),
            _ => unreachable!("groups consist of regions and products"),
        };
        let parts: Vec<PreparedPart> = group.parts.iter().enumerate().map(part).collect();
        let products = || {
            parts.iter().filter_map(|part| match part {
                PreparedPart::Product(product) => Some(product),
                PreparedPart::Region(_) => None,
            })
        };
        let fast = products().all(|p| p.fast());
        let sums = products().filter(|p| p.adds_up()).count();
        let direct = products().all(|p| !p.adds_up() || p.direct());
        let deal = match sums {
            0 => Deal::Blocks,
            _ if direct && group.count < FEW => Deal::InTurn,
            _ => Deal::Stretches,
        };
        let local = |l: &gradus_plan::kernel::Local| Local {
            row_bytes: l.row_bytes,
            offset: l.offset,
            narrowed: narrowed(l.value).then(|| plan.graph().ty(l.value).dtype.size()),
        };
        PreparedGroup {
            count: group.count,
            rows: group.rows,
            block: group.block,
            deal,
            sums,
            parts,
            locals: group.locals.iter().map(local).collect(),
            masked: group.masked.as_ref().filter(|_| fast).map(|m| Masked::new(m, plan)),
            scratch: group.scratch,
            layout,
        }
    }

    /// # Safety
    /// `memory` holds the plan's values and the kernel's workspace, and nobody else uses what this kernel writes.
    pub(super) unsafe fn run(&self, memory: &Memory<'_>, pool: &Pool) {
        // SAFETY: the caller's promise.
        unsafe {
            let narrow = self.masked.is_some();
            let slabs: SlabStates = (0..self.count).map(|_| Slab::default()).collect();
            if narrow {
                self.all(ExecutionMode::VisibleColumns, &slabs, memory, pool);
            } else {
                slabs.iter().for_each(|s| s.doubt.store(true, Ordering::Relaxed));
            }
            if slabs.iter().any(|s| s.doubt.load(Ordering::Relaxed)) {
                self.all(ExecutionMode::AllColumns, &slabs, memory, pool);
            }
        }
    }

    /// Computed columns in all runs, counted row by row, and all columns of masked values.
    pub(super) fn columns(&self) -> Option<(u64, u64)> {
        self.masked.as_ref().map(Masked::counts)
    }

    /// Whether products first find terms that do not count, because NaN is expected.
    fn careful(&self, mode: ExecutionMode) -> bool {
        mode == ExecutionMode::Careful || mode == ExecutionMode::AllColumns && self.masked.is_some()
    }

    /// Computes the visible columns of the slabs that are not in doubt, or all columns of those that are.
    ///
    /// # Safety
    /// As for [`run`](Self::run).
    unsafe fn all(&self, mode: ExecutionMode, slabs: &SlabStates, memory: &Memory<'_>, pool: &Pool) {
        let locals = self.scratch.next_multiple_of(ALIGN);
        let (failed, single) = (AtomicBool::new(false), AtomicBool::new(false));
        let left_out = |slab: usize| {
            slabs[slab].doubt.load(Ordering::Relaxed) == (mode == ExecutionMode::VisibleColumns)
        };
        let over = |slab: usize| failed.load(Ordering::Relaxed) || left_out(slab);
        let deal = |of_slab: usize, task: &(dyn Fn(usize, usize, &mut Worker<'_>) -> bool + Sync)| {
            let (next, tasks) = (AtomicUsize::new(0), self.count * of_slab);
            pool.run(pool.threads().min(tasks), &|_| {
                scratch::with(Slot::Blocked, locals + self.layout.of_thread(), |scratch: *mut u8| {
                    let packed = scratch.wrapping_add(locals);
                    let mut worker =
                        Worker { scratch, packed, layout: &self.layout, slab: usize::MAX, single: &single };
                    loop {
                        let i = next.fetch_add(1, Ordering::Relaxed);
                        if i >= tasks || failed.load(Ordering::Relaxed) {
                            return;
                        }
                        let slab = i / of_slab;
                        if left_out(slab) {
                            continue;
                        }
                        // If the task panics, no worker waits for it.
                        let guard = Failed(&failed);
                        let odd = task(slab, i % of_slab, &mut worker);
                        std::mem::forget(guard);
                        if odd && mode == ExecutionMode::VisibleColumns {
                            slabs[slab].doubt.store(true, Ordering::Relaxed);
                        }
                    }
                });
            });
        };
        let adds_up = self.deal != Deal::Blocks;
        let stretches: SmallVec<[_; 8]> = stretches(self.rows, adds_up).collect();
        if self.deal == Deal::Stretches {
            let turns = Turns::new(self.count, &over);
            deal(stretches.len(), &|slab, stretch, worker| {
                let rows = &stretches[stretch];
                // SAFETY: the caller's promise; each worker has its own scratch, and tasks write apart or in turn.
                unsafe {
                    self.stretch((slab, &slabs[slab]), (rows, stretch), Some(&turns), mode, memory, worker)
                }
            });
        } else {
            let blocks: SmallVec<[_; 32]> = blocks(&stretches[0], self.block).collect();
            let over = |sum: usize| over(sum / self.sums);
            let turns = Turns::new(self.count * self.sums, &over);
            deal(blocks.len(), &|slab, at, worker| {
                // Where order does not matter, the last blocks of a slab, which may have the most columns, come first.
                let at = if adds_up { at } else { blocks.len() - 1 - at };
                let sum = if at == 0 { Sum::New } else { Sum::Continued };
                let mut through = |mode| {
                    let (rows, turn) = (blocks[at].clone(), (sum, Some((&turns, at))));
                    // SAFETY: as above.
                    unsafe { self.through((slab, &slabs[slab]), rows, mode, turn, memory, worker) }
                };
                let found = through(mode);
                // A row without visible columns: where no other block depends on this one, the block is computed again
                // by itself.
                if found == Found::Unguarded && !adds_up {
                    through(ExecutionMode::AllColumns);
                    return false;
                }
                found != Found::Fine
            });
        }
        let beside = |slab: usize| match &self.masked {
            Some(masked) if mode == ExecutionMode::VisibleColumns && !left_out(slab) => {
                !masked.covers(&slabs[slab])
            }
            _ => false,
        };
        if adds_up || (0..self.count).any(beside) {
            deal(1, &|slab, _, worker| {
                // SAFETY: as above.
                unsafe {
                    let odd = beside(slab) && self.odd_beside((slab, &slabs[slab]), memory);
                    odd || self.settle((slab, &slabs[slab]), mode, memory, worker)
                }
            });
        }
    }

    /// Computes a stretch of the rows of a slab, block by block; whether the result has to be checked again.
    ///
    /// # Safety
    /// As for [`run`](Self::run).
    unsafe fn stretch(
        &self,
        slab: (usize, &Slab),
        (rows, turn): (&Range<usize>, usize),
        turns: Option<&Turns<'_>>,
        mode: ExecutionMode,
        memory: &Memory<'_>,
        worker: &mut Worker<'_>,
    ) -> bool {
        let mut odd = false;
        for (i, block) in blocks(rows, self.block).enumerate() {
            let sum = if i == 0 { Sum::New } else { Sum::Continued };
            // SAFETY: the caller's promise.
            odd |= unsafe { self.through(slab, block, mode, (sum, None), memory, worker) } != Found::Fine;
            if odd && mode == ExecutionMode::VisibleColumns {
                return true;
            }
        }
        // SAFETY: as above.
        let add = || self.products().for_each(|p| unsafe { p.add_up(memory, slab.0, turn == 0, worker) });
        match turns {
            Some(turns) => turns.take(slab.0, turn, add),
            None => add(),
        }
        odd
    }

    fn products(&self) -> impl Iterator<Item = &Multiply> {
        self.parts.iter().filter_map(|part| match part {
            PreparedPart::Product(product) => Some(&**product),
            PreparedPart::Region(_) => None,
        })
    }

    /// Checks the sums over the rows of a slab; whether the slab has to be computed again.
    ///
    /// # Safety
    /// As for [`run`](Self::run); all blocks are done.
    unsafe fn settle(
        &self,
        slab: (usize, &Slab),
        mode: ExecutionMode,
        memory: &Memory<'_>,
        worker: &mut Worker<'_>,
    ) -> bool {
        // SAFETY: the caller's promise.
        unsafe {
            let odd =
                self.products().any(|p| p.doubtful(memory, slab.0, mode == ExecutionMode::VisibleColumns));
            if odd && mode == ExecutionMode::AllColumns && !self.careful(mode) {
                // Sums over rows that are NaN are computed again by products that find factors that are zero.
                for (i, rows) in stretches(self.rows, true).enumerate() {
                    self.stretch(slab, (&rows, i), None, ExecutionMode::Careful, memory, worker);
                }
            }
            odd
        }
    }

    /// Whether an infinite or NaN operand meets columns that no block of a slab has computed: the full result might be
    /// NaN there.
    ///
    /// # Safety
    /// As for [`run`](Self::run).
    unsafe fn odd_beside(&self, (slab, known): (usize, &Slab), memory: &Memory<'_>) -> bool {
        let Some(masked) = &self.masked else { return false };
        masked.uncovered(known).any(|columns| {
            // SAFETY: the caller's promise.
            self.products().any(|p| unsafe { p.odd_beside(memory, slab, columns) })
        })
    }

    /// Runs one block through all parts, and returns the outcome.
    ///
    /// # Safety
    /// As for [`run`](Self::run).
    unsafe fn through(
        &self,
        (slab, known): (usize, &Slab),
        rows: Range<usize>,
        mode: ExecutionMode,
        (sum, turns): (Sum, Option<(&Turns<'_>, usize)>),
        memory: &Memory<'_>,
        worker: &mut Worker<'_>,
    ) -> Found {
        if worker.slab != slab {
            worker.slab = slab;
            for part in &self.parts {
                if let PreparedPart::Product(product) = part {
                    // SAFETY: the caller's promise.
                    unsafe { product.pack(memory, slab, worker) };
                }
            }
        }
        let first = slab * self.rows + rows.start;
        let last = first + rows.len();
        // SAFETY: the caller's promise.
        let span = self
            .masked
            .as_ref()
            .filter(|_| mode == ExecutionMode::VisibleColumns)
            .and_then(|masked| unsafe { masked.span(memory, &rows, first, known) });
        let columns = span.map(|span| span.columns);
        let row_bytes = |l: &Local| match (columns, l.narrowed) {
            (Some(Columns { count, .. }), Some(width)) => count * width,
            _ => l.row_bytes,
        };
        let base = |l: &Local| worker.scratch.wrapping_add(l.offset).wrapping_sub(first * row_bytes(l));
        let locals: SmallVec<[*mut u8; 8]> = self.locals.iter().map(base).collect();
        let memory = Memory { locals: &locals, ..*memory };
        let count = rows.len();
        let block = Rows { slab, rows, first, columns, narrow: mode == ExecutionMode::VisibleColumns, sum };
        let (mut odd, mut unguarded, mut sums) = (false, false, 0);
        for part in &self.parts {
            // SAFETY: the caller's promise; the planner ensures that parts touch local values inside the block only.
            unsafe {
                match part {
                    PreparedPart::Region(stretch) => {
                        let units = first * stretch.units..last * stretch.units;
                        let span = span.filter(|_| stretch.narrowed);
                        tile::run_part(&stretch.region, &memory, units, span.map(|span| span.columns));
                        let Some(span) = span else { continue };
                        unguarded |= stretch.guards.iter().any(|&(local, dtype)| {
                            let start = worker.scratch.wrapping_add(self.locals[local].offset);
                            not_zero(start, dtype, [count, span.columns.count], span.guard)
                        });
                    }
                    // Results outside the scratch memory are complete already.
                    PreparedPart::Product(product) if mode == ExecutionMode::Careful && product.is_done() => {
                    }
                    PreparedPart::Product(product) => {
                        let mut run = || odd |= product.run(&memory, &block, self.careful(mode), worker);
                        match turns.filter(|_| product.adds_up()) {
                            None => run(),
                            Some((turns, turn)) => {
                                turns.take(slab * self.sums + sums, turn, run);
                                sums += 1;
                            }
                        }
                    }
                }
            }
        }
        match (odd, unguarded) {
            (true, _) => Found::Odd,
            (false, true) => Found::Unguarded,
            (false, false) => Found::Fine,
        }
    }
}

/// Whether one column of some rows has a value other than zero.
///
/// # Safety
/// `start` holds `rows` rows of `columns` elements.
unsafe fn not_zero(start: *const u8, dtype: DType, [rows, columns]: [usize; 2], column: usize) -> bool {
    let at = |row: usize| row * columns + column;
    // SAFETY: the caller's promise.
    (0..rows).any(|row| unsafe {
        match dtype {
            DType::F64 => *start.cast::<f64>().add(at(row)) != 0.0,
            DType::F32 => *start.cast::<f32>().add(at(row)) != 0.0,
            DType::Bf16 | DType::F16 | DType::I32 | DType::I64 | DType::Bool | DType::U8 => {
                unreachable!("groups compute in f32 and f64")
            }
        }
    })
}
