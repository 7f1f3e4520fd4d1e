//! Regions of a few points: operands are copied into blocks of scratch memory, one loop runs all steps, results are
//! copied out.
//!
//! For programs of tiny tensors this is where the time goes: nothing here depends on the number of steps but that loop.

use gradus_core::DType;
use gradus_core::ops::{Logic, ReduceKind};
use gradus_plan::kernel::{Domain, Level, Region, StepOp};
use gradus_plan::{Place, View};
use smallvec::SmallVec;

use super::lanes::comparison;
use super::memory::Memory;
use super::region::{self, Joined, Mode};
use crate::scratch::{self, Slot};
use crate::vmath::small::{BLOCK, Fold, LANES, Step, small_raw};

/// A region of a few points ready to run.
pub(super) struct Compiled {
    double: bool,
    /// Points of the region.
    points: usize,
    bytes: usize,
    loads: Vec<Load>,
    constants: Vec<(f64, u32)>,
    steps: Vec<Step>,
    stores: Vec<Store>,
}

struct Load {
    place: Place,
    width: usize,
    /// Where each element lies, in bytes.
    from: SmallVec<[isize; LANES]>,
    /// They lie side by side.
    together: bool,
    block: u32,
}

struct Store {
    place: Place,
    bytes: usize,
    block: u32,
}

impl Compiled {
    /// The form of `region` for a few points, if it is one; `general` is its form for any number.
    pub(super) fn new(region: &Region, general: &region::Compiled) -> Option<Self> {
        let (points, one_row) = match region.domain {
            Domain::Flat { n } => (n, false),
            Domain::Rows { rows: 1, cols } => (cols, true),
            _ => return None,
        };
        if points == 0 || points > LANES {
            return None;
        }
        let slots = region.first_step() + region.steps.len();
        let dtypes = (0..slots).map(|s| region.slot(s as u16).0);
        let float = dtypes.clone().find(|d| *d != DType::Bool)?;
        let fits = matches!(float, DType::F32 | DType::F64)
            && dtypes.clone().all(|d| d == float || d == DType::Bool)
            && region.constants.iter().all(|c| c.1 == float)
            && general.stores.iter().all(|s| s.reduce.is_none() && !s.bits);
        if !fits {
            return None;
        }
        let blocks = blocks(region, slots);
        let at = |slot: u16| blocks[slot as usize] * BLOCK as u32;
        let mut steps = Vec::with_capacity(region.steps.len());
        for (i, step) in region.steps.iter().enumerate() {
            let mut ready = match step.op {
                StepOp::Unary(op) => Step::unary(op)?,
                StepOp::Binary(op) => Step::binary(op),
                StepOp::LinearMul => Step::linear_mul(),
                StepOp::Compare(c) if step.dtype == float => Step::compare(comparison(c)),
                StepOp::Select if step.dtype == float => Step::select(),
                StepOp::Logic(Logic::And) => Step::and(),
                StepOp::Logic(Logic::Or) => Step::or(),
                StepOp::Logic(Logic::Xor) => Step::xor(),
                StepOp::Not => Step::not(),
                StepOp::Copy => Step::copy(),
                // A row's value lies in all lanes.
                StepOp::Expand if one_row => Step::copy(),
                StepOp::Reduce(kind) if one_row => Step::fold(fold(kind), points),
                _ => return None,
            };
            for (to, &arg) in ready.args.iter_mut().zip(&step.args) {
                *to = at(arg);
            }
            ready.out = at((region.first_step() + i) as u16);
            steps.push(ready);
        }
        let count = |level: Level| if level == Level::Full { points } else { 1 };
        let mut loads = Vec::new();
        for load in &general.loads {
            let n = count(load.level);
            let from: SmallVec<[isize; LANES]> = match &load.mode {
                Mode::Splat => SmallVec::from_elem(0, n),
                Mode::Direct => (0..n as isize).collect(),
                Mode::Strided(view) => (0..n).map(|point| offset(view, point)).collect(),
                Mode::Bits(_) => return None,
            };
            let width = load.width;
            let from: SmallVec<[isize; LANES]> =
                from.iter().map(|i| load.offset + i * width as isize).collect();
            debug_assert_eq!(from.len(), n);
            let together = from.windows(2).all(|w| w[1] - w[0] == width as isize);
            loads.push(Load { place: load.place, width, from, together, block: at(load.slot as u16) });
        }
        let constants = region.constants.iter().enumerate();
        let constants = constants.map(|(i, c)| (c.0, at((region.loads.len() + i) as u16))).collect();
        let stores = general.stores.iter().map(|s| {
            let block = at(s.slot as u16);
            Store { place: s.place, bytes: count(s.level) * s.width, block }
        });
        let bytes = blocks.iter().max().map_or(0, |&b| b as usize + 1) * BLOCK;
        Some(Compiled {
            double: float == DType::F64,
            points,
            bytes,
            loads,
            constants,
            steps,
            stores: stores.collect(),
        })
    }

    /// # Safety
    /// `memory` holds every value of the plan that the region was compiled for, and nobody else uses the parts that
    /// this kernel reads and writes.
    pub(super) unsafe fn run(&self, memory: &Memory<'_>) {
        // SAFETY: the caller's promise.
        unsafe { if self.double { self.typed::<f64>(memory) } else { self.typed::<f32>(memory) } }
    }

    /// # Safety
    /// As for [`run`](Self::run).
    unsafe fn typed<T: crate::vmath::Float>(&self, memory: &Memory<'_>) {
        debug_assert!(self.points <= LANES);
        scratch::with(Slot::Small, self.bytes, |base: *mut u8| {
            // SAFETY: blocks lie inside the scratch; operands and results inside their buffers.
            unsafe {
                for load in &self.loads {
                    let (from, to) = (memory.at(load.place), base.add(load.block as usize));
                    match load.width {
                        1 => load.fill::<u8>(from, to),
                        4 => load.fill::<u32>(from, to),
                        _ => load.fill::<u64>(from, to),
                    }
                }
                for &(value, block) in &self.constants {
                    *base.add(block as usize).cast::<[T; LANES]>() = [T::from_f64(value); LANES];
                }
                small_raw::<T>(self.steps.as_ptr(), self.steps.len(), base);
                for store in &self.stores {
                    let from = base.add(store.block as usize);
                    std::ptr::copy_nonoverlapping(from, memory.at_mut(store.place), store.bytes);
                }
            }
        });
    }
}

impl Load {
    /// The elements, and the first once more in all lanes that are left.
    ///
    /// # Safety
    /// The elements lie inside the buffer of `from`; `to` is a block.
    unsafe fn fill<T: Copy>(&self, from: *const u8, to: *mut u8) {
        // SAFETY: the caller's promise.
        unsafe {
            let first = *from.offset(self.from[0]).cast::<T>();
            let mut block = [first; LANES];
            if self.together {
                let n = self.from.len();
                let elements = std::slice::from_raw_parts(from.offset(self.from[0]).cast::<T>(), n);
                block[..n].copy_from_slice(elements);
            } else {
                for (to, &at) in block.iter_mut().zip(&self.from) {
                    *to = *from.offset(at).cast::<T>();
                }
            }
            *to.cast::<[T; LANES]>() = block;
        }
    }
}

/// Where a point of a view lies, in elements.
fn offset(view: &View, mut point: usize) -> isize {
    let mut at = view.offset;
    for &(extent, stride) in view.dims.iter().rev() {
        at += (point % extent) as isize * stride;
        point /= extent;
    }
    at
}

fn fold(kind: ReduceKind) -> Fold {
    match kind {
        ReduceKind::Sum => Fold::Sum,
        ReduceKind::Prod => Fold::Prod,
        ReduceKind::Max => Fold::Max,
        ReduceKind::Min => Fold::Min,
    }
}

/// Which block each slot lies in: a block that nobody will read again is used for the next value.
fn blocks(region: &Region, slots: usize) -> Vec<u32> {
    let first = region.first_step();
    let last = region::last_uses(region, slots, &vec![Joined::Alone; region.steps.len()]);
    let mut dies: Vec<SmallVec<[usize; 4]>> = vec![SmallVec::new(); region.steps.len()];
    for (slot, &at) in last.iter().enumerate().skip(first) {
        if at < region.steps.len() {
            dies[at].push(slot);
        }
    }
    let (mut of, mut count, mut free) = (Vec::with_capacity(slots), first as u32, Vec::new());
    of.extend(0..first as u32);
    for dead in &dies {
        // An operand's block may be the result's: it is read before it is written. It is given back after.
        let block = free.pop().unwrap_or_else(|| {
            count += 1;
            count - 1
        });
        of.push(block);
        free.extend(dead.iter().map(|&slot| of[slot]));
    }
    of
}
