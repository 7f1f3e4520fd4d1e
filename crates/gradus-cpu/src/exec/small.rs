//! Regions of a few points: operands are copied into blocks of scratch memory, one loop runs all steps, results are
//! copied out.
//!
//! For programs of tiny tensors this dominates the time, so only that loop depends on the number of steps.
//!
//! Invariant: a block begins inside the scratch memory, which holds all of them; a load has as many offsets as the
//! region has points, each inside the buffer of its place.

use gradus_core::DType;
use gradus_core::ops::{Logic, ReduceKind};
use gradus_plan::kernel::{Domain, Level, Region, StepOp};
use gradus_plan::{Place, View};
use smallvec::SmallVec;

use super::join::{Joined, join, last_uses};
use super::lanes::comparison;
use super::places::Memory;
use super::region::{self, Access};
use crate::memory::scratch::{self, Slot};
use crate::vmath::small::{FEW, Fold, Instruction, LANES, chain, few_raw, small_raw};

/// A region of a few points ready to run.
pub(super) struct Compiled {
    double: bool,
    /// Whether blocks are the small ones.
    few: bool,
    bytes: usize,
    loads: Vec<Load>,
    constants: Vec<(f64, u32)>,
    steps: Vec<Instruction>,
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
    /// The form of `region` for a few points, if it has few; `general` is its form for any number.
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
        let fits = float.is_wide_float()
            && dtypes.clone().all(|d| d == float || d == DType::Bool)
            && region.constants.iter().all(|c| c.1 == float)
            && general.stores.iter().all(|s| s.reduce.is_none() && !s.bits);
        if !fits {
            return None;
        }
        let few = points <= FEW;
        let block = if few { FEW } else { LANES } * float.size();
        let (mut joined, _) = join(region, true);
        separate(region, &mut joined);
        let blocks = blocks(region, &joined);
        let at = |slot: u16| blocks[slot as usize] * block as u32;
        let mut steps = Vec::with_capacity(region.steps.len());
        for (i, step) in region.steps.iter().enumerate() {
            let own = (region.first_step() + i) as u16;
            let (args, out, second) = match &joined[i] {
                // Chains and sums were not asked for.
                Joined::Away | Joined::Chain { .. } | Joined::Sum { .. } => continue,
                Joined::Alone => (&step.args[..], own, own),
                Joined::Pair { args, .. } => (&args[..], own, own),
                Joined::Twin { x, first, second, .. } => (std::slice::from_ref(x), *first, *second),
            };
            let mut ready = match (&joined[i], step.op) {
                (Joined::Pair { first, second, .. }, _) => Instruction::pair(*first, *second)?,
                (Joined::Twin { twin, .. }, _) => Instruction::twin(*twin),
                (_, StepOp::Unary(op)) => Instruction::unary(op)?,
                (_, StepOp::Binary(op)) => Instruction::binary(op),
                (_, StepOp::LinearMul { both }) => Instruction::linear_mul(both),
                (_, StepOp::Compare(c)) if step.dtype == float => Instruction::compare(comparison(c)),
                (_, StepOp::Select) if step.dtype == float => Instruction::select(),
                (_, StepOp::Logic(Logic::And)) => Instruction::and(),
                (_, StepOp::Logic(Logic::Or)) => Instruction::or(),
                (_, StepOp::Logic(Logic::Xor)) => Instruction::xor(),
                (_, StepOp::Not) => Instruction::not(),
                (_, StepOp::Copy) => Instruction::copy(),
                // A row's value lies in all lanes.
                (_, StepOp::Expand) if one_row => Instruction::copy(),
                (_, StepOp::Reduce(kind)) if one_row => Instruction::fold(fold(kind), points),
                _ => return None,
            };
            for (to, &arg) in ready.args.iter_mut().zip(args) {
                *to = at(arg);
            }
            (ready.out, ready.second) = (at(out), at(second));
            steps.push(ready);
        }
        chain(&mut steps);
        let count = |level: Level| if level == Level::Full { points } else { 1 };
        let mut loads = Vec::new();
        for load in &general.loads {
            let n = count(load.level);
            let from: SmallVec<[isize; LANES]> = match &load.mode {
                Access::Splat(_) => SmallVec::from_elem(0, n),
                Access::Direct => (0..n as isize).collect(),
                Access::Strided(view) => (0..n).map(|point| offset(view, point)).collect(),
                Access::Bits(_) => return None,
            };
            let width = load.width;
            let from: SmallVec<[isize; LANES]> =
                from.iter().map(|i| load.offset + i * width as isize).collect();
            assert_eq!(from.len(), n, "a load has as many elements as the region has points");
            let together = from.windows(2).all(|w| w[1] - w[0] == width as isize);
            loads.push(Load { place: load.place, width, from, together, block: at(load.slot as u16) });
        }
        let constants = region.constants.iter().enumerate();
        let constants = constants.map(|(i, c)| (c.0, at((region.loads.len() + i) as u16))).collect();
        let stores = general.stores.iter().map(|s| {
            let block = at(s.slot as u16);
            Store { place: s.place, bytes: count(s.level) * s.width, block }
        });
        let bytes = blocks.iter().max().map_or(0, |&b| b as usize + 1) * block;
        Some(Compiled {
            double: float == DType::F64,
            few,
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
        scratch::with(Slot::Small, self.bytes, |base: *mut u8| {
            // SAFETY: blocks lie inside the scratch; operands and results inside their buffers.
            unsafe {
                if self.few {
                    self.read::<T, FEW>(memory, base);
                    few_raw::<T>(self.steps.as_ptr(), self.steps.len(), base);
                } else {
                    self.read::<T, LANES>(memory, base);
                    small_raw::<T>(self.steps.as_ptr(), self.steps.len(), base);
                }
                for store in &self.stores {
                    let from = base.add(store.block as usize);
                    std::ptr::copy_nonoverlapping(from, memory.at_mut(store.place), store.bytes);
                }
            }
        });
    }

    /// Operands and constants into their blocks.
    ///
    /// # Safety
    /// As for [`run`](Self::run); blocks lie inside `base`.
    unsafe fn read<T: crate::vmath::Float, const L: usize>(&self, memory: &Memory<'_>, base: *mut u8) {
        // SAFETY: the caller's promise.
        unsafe {
            for load in &self.loads {
                let (from, to) = (memory.at(load.place), base.add(load.block as usize));
                match load.width {
                    1 => load.fill::<u8, L>(from, to),
                    4 => load.fill::<u32, L>(from, to),
                    _ => load.fill::<u64, L>(from, to),
                }
            }
            for &(value, block) in &self.constants {
                *base.add(block as usize).cast::<[T; L]>() = [T::from_f64(value); L];
            }
        }
    }
}

impl Load {
    /// Copies the elements, and fills the remaining lanes with the first one.
    ///
    /// # Safety
    /// The elements, `L` at most, lie inside the buffer of `from`; `to` is a block.
    unsafe fn fill<T: Copy, const L: usize>(&self, from: *const u8, to: *mut u8) {
        // SAFETY: the caller's promise.
        unsafe {
            let first = *from.offset(self.from[0]).cast::<T>();
            let mut block = [first; L];
            if self.together {
                let n = self.from.len();
                let elements = std::slice::from_raw_parts(from.offset(self.from[0]).cast::<T>(), n);
                block[..n].copy_from_slice(elements);
            } else {
                for (to, &at) in block.iter_mut().zip(&self.from) {
                    *to = *from.offset(at).cast::<T>();
                }
            }
            *to.cast::<[T; L]>() = block;
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

/// Splits pairs that have no instruction here.
fn separate(region: &Region, joined: &mut [Joined]) {
    for i in 0..joined.len() {
        let Joined::Pair { args, first, second } = joined[i] else { continue };
        if Instruction::pair(first, second).is_some() {
            continue;
        }
        joined[i] = Joined::Alone;
        for &arg in &region.steps[i].args {
            if let Some(j) = (arg as usize).checked_sub(region.first_step())
                && matches!(joined[j], Joined::Away)
                && region.steps[j].args[..] == args[..2]
            {
                joined[j] = Joined::Alone;
            }
        }
    }
}

/// Which block each slot lies in: a block is reused once it has no readers left.
fn blocks(region: &Region, joined: &[Joined]) -> Vec<u32> {
    let first = region.first_step();
    let slots = first + region.steps.len();
    let last = last_uses(region, joined);
    let mut dies: Vec<SmallVec<[usize; 4]>> = vec![SmallVec::new(); region.steps.len()];
    for (slot, &at) in last.iter().enumerate().skip(first) {
        if at < region.steps.len() {
            dies[at].push(slot);
        }
    }
    let mut of: Vec<u32> = (0..slots as u32).map(|slot| slot.min(first as u32)).collect();
    let (mut count, mut free) = (first as u32, Vec::new());
    for (i, dead) in dies.iter().enumerate() {
        let made: SmallVec<[usize; 2]> = match joined[i] {
            Joined::Away | Joined::Chain { .. } | Joined::Sum { .. } => continue,
            Joined::Twin { first, second, .. } => SmallVec::from_slice(&[first as usize, second as usize]),
            Joined::Alone | Joined::Pair { .. } => SmallVec::from_slice(&[first + i]),
        };
        for slot in made {
            // The block of a result may be that of an operand read earlier; operands read here are freed afterwards.
            of[slot] = free.pop().unwrap_or_else(|| {
                count += 1;
                count - 1
            });
        }
        free.extend(dead.iter().map(|&slot| of[slot]));
    }
    of
}
