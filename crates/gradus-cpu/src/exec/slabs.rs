//! Kernels run together, slab by slab: what lies between them stays in a worker's scratch memory.
//!
//! A block of rows of a slab goes through all parts before the next one begins. Parts address their operands as if they
//! worked on whole values; a local value, of which only the block exists, is given a base address from which the
//! block's elements are found where they lie. Blocks of a slab that parts add up over go one after another on one
//! worker; others are shared as they come. Who takes what does not change what is computed.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use gradus_plan::Plan;
use gradus_plan::kernel::{Along, Domain, Slabs, Work};
use smallvec::SmallVec;

use super::memory::Memory;
use super::product::Operation;
use super::{region, tile};
use crate::Pool;

/// A group of kernels ready to run.
pub(super) struct Ready {
    count: usize,
    rows: usize,
    block: usize,
    adds_up: bool,
    parts: Vec<Part>,
    /// Bytes of a row and offset in the scratch memory, for each local value.
    locals: Vec<(usize, usize)>,
    workers: usize,
    scratch: usize,
    workspace: usize,
}

enum Part {
    /// A region, and units of its space (points or rows) in a row of the slab.
    Region(region::Compiled, usize),
    Product(Operation, Along),
}

/// A block of rows of a slab.
#[derive(Clone, Copy)]
struct Block {
    slab: usize,
    from: usize,
    to: usize,
}

impl Ready {
    pub(super) fn new(slabs: &Slabs, plan: &Plan, k: usize) -> Self {
        let all = slabs.count * slabs.rows;
        let part = |part: &gradus_plan::kernel::SlabPart| match &part.work {
            Work::Region(r) => {
                let units = match r.domain {
                    Domain::Flat { n } => n / all,
                    _ => 1,
                };
                Part::Region(region::Compiled::new(r, plan, k), units)
            }
            Work::Product(p) => Part::Product(Operation::new(p, plan), part.along),
            _ => unreachable!("groups consist of regions and products"),
        };
        Ready {
            count: slabs.count,
            rows: slabs.rows,
            block: slabs.block,
            adds_up: slabs.adds_up(),
            parts: slabs.parts.iter().map(part).collect(),
            locals: slabs.locals.iter().map(|l| (l.row_bytes, l.offset)).collect(),
            workers: slabs.workers,
            scratch: slabs.scratch,
            workspace: plan.kernels()[k].workspace_at,
        }
    }

    /// # Safety
    /// `memory` holds the plan's values and the kernel's workspace, and nobody else uses what this kernel writes.
    pub(super) unsafe fn run(&self, memory: &Memory<'_>, pool: &Pool) {
        let blocks = self.rows.div_ceil(self.block);
        let tasks = if self.adds_up { self.count } else { self.count * blocks };
        let next = AtomicUsize::new(0);
        pool.run(self.workers, &|worker| {
            let scratch = memory.workspace(self.workspace + worker * self.scratch);
            loop {
                let task = next.fetch_add(1, Ordering::Relaxed);
                if task >= tasks {
                    return;
                }
                // SAFETY: the caller's promise; each worker has its own scratch, and tasks write disjoint parts.
                unsafe {
                    if self.adds_up {
                        self.slab(task, memory, scratch);
                    } else {
                        let from = task % blocks * self.block;
                        let to = (from + self.block).min(self.rows);
                        let block = Block { slab: task / blocks, from, to };
                        self.through(block, false, memory, scratch, &AtomicBool::new(false));
                    }
                }
            }
        });
    }

    /// All blocks of a slab, one after another.
    ///
    /// # Safety
    /// As for [`run`](Self::run); `scratch` is this worker's own.
    unsafe fn slab(&self, slab: usize, memory: &Memory<'_>, scratch: *mut u8) {
        // Sums over rows that come out NaN are taken once more, with an eye on factors that are zero.
        for careful in [false, true] {
            let doubtful = AtomicBool::new(false);
            for from in (0..self.rows).step_by(self.block) {
                let to = (from + self.block).min(self.rows);
                // SAFETY: the caller's promise.
                unsafe { self.through(Block { slab, from, to }, careful, memory, scratch, &doubtful) };
            }
            if !doubtful.into_inner() {
                return;
            }
        }
    }

    /// One block through all parts.
    ///
    /// # Safety
    /// As for [`slab`](Self::slab).
    unsafe fn through(
        &self,
        block: Block,
        careful: bool,
        memory: &Memory<'_>,
        scratch: *mut u8,
        doubtful: &AtomicBool,
    ) {
        let first = block.slab * self.rows + block.from;
        let base = |&(row_bytes, offset): &(usize, usize)| {
            scratch.wrapping_add(offset).wrapping_sub(first * row_bytes)
        };
        let locals: SmallVec<[*mut u8; 8]> = self.locals.iter().map(base).collect();
        let memory = Memory { locals: &locals, ..*memory };
        for part in &self.parts {
            // SAFETY: the caller's promise; the planner saw to it that parts touch local values inside the block only.
            unsafe {
                match part {
                    Part::Region(region, units) => {
                        let last = first + block.to - block.from;
                        tile::run_part(region, &memory, first * units..last * units);
                    }
                    Part::Product(operation, along) => {
                        let last = block.to == self.rows;
                        let rows = block.from..block.to;
                        if operation.part(&memory, block.slab, *along, rows, careful) && last {
                            doubtful.store(true, Ordering::Relaxed);
                        }
                    }
                }
            }
        }
    }
}
