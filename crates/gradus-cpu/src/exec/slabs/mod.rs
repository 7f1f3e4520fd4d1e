//! Kernels run together, slab by slab: what lies between them stays in a worker's scratch memory.
//!
//! A block of rows of a slab goes through all parts before the next one begins. Parts address their operands as if they
//! worked on whole values; a local value, of which only the block exists, is given a base address from which the
//! block's elements are found where they lie. Blocks of a slab that parts add up over go one after another on one
//! worker; others are shared as they come. Who takes what does not change what is computed.
//!
//! Where the planner found that a mask leaves columns of no effect, a block computes only the columns in use, and one
//! column more, in which zeros have to come out if the planner is right about the data as well. If they do not, or if
//! something is infinite or NaN, everything is computed once more with all columns.
//!
//! Invariant: parts touch a local value inside the rows of the block only; each worker has scratch and room of its
//! own, and blocks that write the same elements go one after another.

mod product;
mod room;

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use gradus_core::memory::filled;
use gradus_core::{DType, Var};
use gradus_plan::kernel::{Domain, Region, Slabs, Work};
use gradus_plan::{ALIGN, Plan};
use smallvec::SmallVec;

use super::places::Memory;
use super::{region, tile};
use crate::Pool;
use crate::memory::scratch::{self, Slot};
use crate::memory::{Line, fail};
use crate::reduce::Shared;
use product::{Multiply, Rows};
pub(super) use room::Room;

/// A group of kernels ready to run.
pub(super) struct Ready {
    count: usize,
    rows: usize,
    block: usize,
    adds_up: bool,
    /// Into how many shares the blocks of a slab are dealt, where they add up.
    shares: usize,
    parts: Vec<Part>,
    locals: Vec<Local>,
    unseen: Option<Unseen>,
    scratch: usize,
    room: Room,
    workspace: usize,
    /// Bytes of the kernel's workspace.
    found: usize,
}

/// A value of which only a block of rows exists.
struct Local {
    row_bytes: usize,
    /// Where it is in the scratch memory.
    offset: usize,
    /// Bytes of an element, if the value has only the columns in use.
    narrowed: Option<usize>,
}

/// What a mask leaves out: row `i` uses columns up to `i + offset`.
struct Unseen {
    columns: usize,
    offset: usize,
}

impl Unseen {
    /// How many columns the rows before `end` compute, unless all of them: one at least is of no effect for every row.
    fn limit(&self, end: usize) -> Option<usize> {
        // An odd number of lines, so that rows do not meet in the same places of a cache.
        let lines = (end + self.offset + 1).div_ceil(LINE) | 1;
        Some(lines * LINE).filter(|&limit| limit < self.columns)
    }
}

/// Elements by which the columns in use are counted.
const LINE: usize = 16;

enum Part {
    Region(Box<Stretch>),
    Product(Box<Multiply>),
}

/// A region among the parts.
struct Stretch {
    region: region::Compiled,
    /// Units of its space (points or rows) in a row of the slab.
    units: usize,
    /// Whether it computes only the columns in use.
    narrowed: bool,
    /// The local values it writes in which the column of no effect is looked at, and their types.
    witnesses: SmallVec<[(usize, DType); 2]>,
}

/// What a worker has for itself.
struct Worker<'a> {
    scratch: *mut u8,
    room: *mut u8,
    at: &'a Room,
    /// The slab whose operands are packed.
    slab: usize,
}

impl Worker<'_> {
    fn room<T>(&self, offset: usize) -> *mut T {
        self.room.wrapping_add(offset).cast()
    }
    fn block_panels<T>(&self) -> *mut T {
        self.room(self.at.block)
    }
    fn turned<T>(&self) -> *mut T {
        self.room(self.at.turned)
    }
    fn tables(&self) -> *mut u32 {
        self.room(self.at.tables)
    }
}

/// How blocks are gone through.
#[derive(Clone, Copy, PartialEq)]
enum Way {
    /// Only the columns in use.
    Narrow,
    Whole,
    /// With an eye on factors that are zero.
    Careful,
}

impl Ready {
    /// Its name for checks.
    pub(super) fn path(&self) -> &'static str {
        if self.unseen.is_some() { "blockwise, masked" } else { "blockwise" }
    }

    pub(super) fn new(slabs: &Slabs, plan: &Plan, k: usize) -> Self {
        let room = Room::of(slabs);
        let all = slabs.count * slabs.rows;
        let narrowed = |v: Var| slabs.unseen.as_ref().is_some_and(|u| u.locals.contains(&v));
        let region = |r: &Region| {
            let units = match r.domain {
                Domain::Flat { n } => n / all,
                _ => 1,
            };
            let touched = r.loads.iter().map(|l| l.value).chain(r.stores.iter().map(|s| s.value));
            let witness = |v: Var| {
                let is = slabs.unseen.as_ref().is_some_and(|u| u.witnesses.contains(&v));
                let local = slabs.locals.iter().position(|l| l.value == v).filter(|_| is)?;
                Some((local, plan.graph().ty(v).dtype))
            };
            Part::Region(Box::new(Stretch {
                units,
                narrowed: touched.into_iter().any(narrowed),
                witnesses: r.stores.iter().filter_map(|s| witness(s.value)).collect(),
                region: region::Compiled::new(r, plan, k),
            }))
        };
        let part = |(i, part): (usize, &gradus_plan::kernel::SlabPart)| match &part.work {
            Work::Region(r) => region(r),
            Work::Product(p) => Part::Product(Box::new(Multiply::new(
                p,
                part.along,
                slabs.block,
                (room.panels[i], room.sums[i]),
                plan,
                narrowed,
            ))),
            _ => unreachable!("groups consist of regions and products"),
        };
        let parts: Vec<Part> = slabs.parts.iter().enumerate().map(part).collect();
        let fast = parts.iter().all(|p| !matches!(p, Part::Product(product) if !product.fast()));
        let local = |l: &gradus_plan::kernel::Local| Local {
            row_bytes: l.row_bytes,
            offset: l.offset,
            narrowed: narrowed(l.value).then(|| plan.graph().ty(l.value).dtype.size()),
        };
        Ready {
            count: slabs.count,
            rows: slabs.rows,
            block: slabs.block,
            adds_up: slabs.adds_up(),
            shares: if fast { slabs.shares } else { 1 },
            parts,
            locals: slabs.locals.iter().map(local).collect(),
            unseen: slabs
                .unseen
                .as_ref()
                .filter(|_| fast)
                .map(|u| Unseen { columns: u.columns, offset: u.offset }),
            scratch: slabs.scratch,
            room,
            workspace: plan.kernels()[k].workspace_at,
            found: plan.kernels()[k].workspace,
        }
    }

    /// # Safety
    /// `memory` holds the plan's values and the kernel's workspace, and nobody else uses what this kernel writes.
    pub(super) unsafe fn run(&self, memory: &Memory<'_>, pool: &Pool) {
        // SAFETY: the caller's promise.
        unsafe {
            if self.unseen.is_none() || self.all(Way::Narrow, memory, pool) {
                self.all(Way::Whole, memory, pool);
            }
        }
    }

    /// Everything in one way; whether it has to be done in another one.
    ///
    /// # Safety
    /// As for [`run`](Self::run).
    unsafe fn all(&self, way: Way, memory: &Memory<'_>, pool: &Pool) -> bool {
        // A plan made for no machine in particular has no place for sums.
        let missing = if self.found >= self.room.sums() { 0 } else { self.room.sums() };
        let missing = missing.div_ceil(size_of::<Line>());
        let mut own = filled("dot", missing, Line::ZERO).unwrap_or_else(|kind| fail(kind));
        let sums = Shared(match missing {
            0 => memory.workspace(self.workspace),
            _ => own.as_mut_ptr().cast(),
        });
        let locals = self.scratch.next_multiple_of(ALIGN);
        let doubt = AtomicBool::new(false);
        let deal = |tasks: usize, task: &(dyn Fn(usize, &mut Worker<'_>) -> bool + Sync)| {
            let next = AtomicUsize::new(0);
            pool.run(pool.threads().min(tasks), &|_| {
                scratch::with(Slot::Slabs, locals + self.room.of_thread(), |scratch: *mut u8| {
                    let room = scratch.wrapping_add(locals);
                    let mut worker = Worker { scratch, room, at: &self.room, slab: usize::MAX };
                    loop {
                        let i = next.fetch_add(1, Ordering::Relaxed);
                        if i >= tasks || doubt.load(Ordering::Relaxed) {
                            return;
                        }
                        if task(i, &mut worker) && way == Way::Narrow {
                            doubt.store(true, Ordering::Relaxed);
                        }
                    }
                });
            });
        };
        let blocks = self.rows.div_ceil(self.block);
        if !self.adds_up {
            deal(self.count * blocks, &|i, worker| {
                // The last blocks of a slab, which may have the most columns, come first.
                let from = (blocks - 1 - i % blocks) * self.block;
                // SAFETY: the caller's promise; each worker has its own scratch, and tasks write disjoint parts.
                unsafe { self.through((i / blocks, from), way, (true, None), memory, worker) }
            });
            return doubt.into_inner();
        }
        deal(self.count * self.shares, &|i, worker| {
            let (slab, share) = (i / self.shares, i % self.shares);
            let sums = self.room.of_share(sums.at(0), slab, share, self.shares);
            // SAFETY: as above.
            unsafe { self.share(slab, (share, self.shares), sums, way, memory, worker) }
        });
        // SAFETY: as above.
        deal(self.count, &|slab, worker| unsafe { self.settle(slab, sums.at(0), way, memory, worker) });
        doubt.into_inner()
    }

    /// A share of the blocks of a slab, one after another; whether what comes out needs another look.
    ///
    /// # Safety
    /// As for [`run`](Self::run); `sums`, if given, are those of this share.
    unsafe fn share(
        &self,
        slab: usize,
        (share, shares): (usize, usize),
        sums: Option<*mut u8>,
        way: Way,
        memory: &Memory<'_>,
        worker: &mut Worker<'_>,
    ) -> bool {
        if let Some(sums) = sums {
            // SAFETY: they are this share's own.
            unsafe { sums.write_bytes(0, self.room.share()) };
        }
        let blocks = self.rows.div_ceil(self.block);
        let mut odd = false;
        for i in (share..blocks).step_by(shares) {
            // Where columns are left out, the last block, which has all, begins the sums.
            let from = if way == Way::Narrow { blocks - 1 - i } else { i } * self.block;
            // SAFETY: the caller's promise.
            odd |= unsafe { self.through((slab, from), way, (i == 0, sums), memory, worker) };
            if odd && way == Way::Narrow {
                return true;
            }
        }
        odd
    }

    /// Ends the sums over the blocks of a slab; whether they need another look than they can be given here.
    ///
    /// # Safety
    /// As for [`run`](Self::run); all shares are done.
    unsafe fn settle(
        &self,
        slab: usize,
        all_sums: *mut u8,
        way: Way,
        memory: &Memory<'_>,
        worker: &mut Worker<'_>,
    ) -> bool {
        let products = || {
            self.parts.iter().filter_map(|part| match part {
                Part::Product(product) => Some(product),
                Part::Region(_) => None,
            })
        };
        // SAFETY: the caller's promise.
        unsafe {
            for share in 1..self.shares {
                let sums = self.room.of_share(all_sums, slab, share, self.shares);
                products().for_each(|p| p.add_up(memory, slab, sums.unwrap_or(all_sums)));
            }
            let odd = products().any(|p| p.doubtful(memory, slab, way == Way::Narrow));
            if odd && way == Way::Whole {
                // Sums over rows that come out NaN are taken once more, with an eye on factors that are zero.
                self.share(slab, (0, 1), None, Way::Careful, memory, worker);
            }
            odd
        }
    }

    /// One block through all parts; whether what comes out needs another look.
    ///
    /// # Safety
    /// As for [`run`](Self::run).
    unsafe fn through(
        &self,
        (slab, from): (usize, usize),
        way: Way,
        (begins, sums): (bool, Option<*mut u8>),
        memory: &Memory<'_>,
        worker: &mut Worker<'_>,
    ) -> bool {
        if worker.slab != slab {
            worker.slab = slab;
            for part in &self.parts {
                if let Part::Product(product) = part {
                    // SAFETY: the caller's promise.
                    unsafe { product.pack(memory, slab, worker) };
                }
            }
        }
        let to = (from + self.block).min(self.rows);
        let first = slab * self.rows + from;
        let last = first + to - from;
        let limit = self.unseen.as_ref().filter(|_| way == Way::Narrow).and_then(|u| u.limit(to));
        let row_bytes = |l: &Local| match (limit, l.narrowed) {
            (Some(limit), Some(width)) => limit * width,
            _ => l.row_bytes,
        };
        let base = |l: &Local| worker.scratch.wrapping_add(l.offset).wrapping_sub(first * row_bytes(l));
        let locals: SmallVec<[*mut u8; 8]> = self.locals.iter().map(base).collect();
        let memory = Memory { locals: &locals, ..*memory };
        let block = Rows { slab, rows: from..to, first, limit, narrow: way == Way::Narrow, begins, sums };
        let mut odd = false;
        for part in &self.parts {
            // SAFETY: the caller's promise; the planner saw to it that parts touch local values inside the block only.
            unsafe {
                match part {
                    Part::Region(stretch) => {
                        let units = first * stretch.units..last * stretch.units;
                        let limit = limit.filter(|_| stretch.narrowed);
                        tile::run_part(&stretch.region, &memory, units, limit);
                        let Some(limit) = limit else { continue };
                        odd |= stretch.witnesses.iter().any(|&(local, dtype)| {
                            not_zero(
                                worker.scratch.wrapping_add(self.locals[local].offset),
                                dtype,
                                limit,
                                to - from,
                            )
                        });
                    }
                    Part::Product(product) => {
                        odd |= product.run(&memory, &block, way == Way::Careful, worker);
                    }
                }
            }
        }
        odd
    }
}

/// Whether the last column of some rows holds anything but zeros.
///
/// # Safety
/// `start` holds so many rows of so many columns.
unsafe fn not_zero(start: *const u8, dtype: DType, columns: usize, rows: usize) -> bool {
    let last = |row: usize| row * columns + columns - 1;
    // SAFETY: the caller's promise.
    (0..rows).any(|row| unsafe {
        match dtype {
            DType::F64 => *start.cast::<f64>().add(last(row)) != 0.0,
            _ => *start.cast::<f32>().add(last(row)) != 0.0,
        }
    })
}
