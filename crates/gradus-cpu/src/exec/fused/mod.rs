//! Arithmetic steps of a region that run together, their intermediate results in registers.
//!
//! Steps are collected in the order of the region; steps that do not depend on the collected ones are placed before
//! them. The collected steps are ordered so that as many as possible continue from the result of the one before; a
//! result is written to memory only if something else reads it.

mod codes;
mod schedule;
mod times;

#[cfg(test)]
mod tests;

use gradus_core::DType;
use gradus_plan::kernel::{Level, Region};
use smallvec::SmallVec;

use self::codes::{arithmetic, float_of};
use self::schedule::Schedule;
pub(super) use self::times::Times;
use super::join::{Joined, reads};
use crate::vmath::fused::Code;

/// The most steps that run together, and the most slots that they use.
pub(super) const MOST: usize = 64;

/// What runs at once.
#[derive(Clone, Debug)]
pub(super) enum Item {
    /// One step, as it is joined.
    Step(usize),
    /// Several arithmetic steps.
    Fused(Fused),
}

/// Arithmetic steps in the order in which they run.
#[derive(Clone, Debug)]
pub(super) struct Fused {
    pub(super) level: Level,
    pub(super) dtype: DType,
    pub(super) ops: Vec<Op>,
}

/// One operation on the accumulator, its operands being slots.
#[derive(Clone, Debug)]
pub(super) struct Op {
    pub(super) code: Code,
    pub(super) args: SmallVec<[u16; 2]>,
    /// The slot whose value the accumulator holds then.
    pub(super) value: u16,
    /// Whether it is stored to memory.
    pub(super) stored: bool,
}

/// The items of a region, in order; `uses` counts the readers of each slot, two for a result.
pub(super) fn items(region: &Region, joined: &[Joined], uses: &[u32]) -> Vec<Item> {
    let mut items = Items { region, uses, open: Vec::new(), out: Vec::new() };
    for i in 0..region.steps.len() {
        if matches!(joined[i], Joined::Away) {
            continue;
        }
        if matches!(joined[i], Joined::Alone) && arithmetic(region, i) {
            if !items.takes(i) {
                items.close(|_| true);
            }
            items.open.push(i);
            continue;
        }
        // The step waits for those open steps that it depends on.
        let mut waits: Vec<u16> = reads(region, joined, i).to_vec();
        for &j in items.open.iter().rev() {
            if waits.contains(&((region.first_step() + j) as u16)) {
                waits.extend(&region.steps[j].args);
            }
        }
        items.close(|j| waits.contains(&((region.first_step() + j) as u16)));
        items.out.push(Item::Step(i));
    }
    items.close(|_| true);
    items.out
}

/// Items being collected.
struct Items<'a> {
    region: &'a Region,
    uses: &'a [u32],
    /// Arithmetic that no step has waited for so far.
    open: Vec<usize>,
    out: Vec<Item>,
}

impl Items<'_> {
    /// Whether an arithmetic step can join the open ones.
    fn takes(&self, i: usize) -> bool {
        let steps = &self.region.steps;
        let alike = |&j: &usize| {
            let floats = (float_of(self.region, i), float_of(self.region, j));
            steps[j].level == steps[i].level && !matches!(floats, (Some(x), Some(y)) if x != y)
        };
        let places: usize = self.open.iter().chain([&i]).map(|&j| steps[j].args.len() + 1).sum();
        self.open.iter().all(alike) && places <= MOST
    }

    /// Gives out those of the open steps.
    fn close(&mut self, which: impl Fn(usize) -> bool) {
        let (steps, open): (Vec<usize>, _) = self.open.iter().partition(|&&j| which(j));
        self.open = open;
        if steps.is_empty() {
            return;
        }
        match Schedule::new(self.region, self.uses, &steps).run() {
            Some(fused) => self.out.push(Item::Fused(fused)),
            None => self.out.extend(steps.iter().map(|&step| Item::Step(step))),
        }
    }
}
