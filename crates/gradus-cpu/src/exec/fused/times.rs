//! When the slots of a region are computed and read.

use gradus_plan::kernel::Region;

use super::Item;
use crate::exec::join::{Joined, reads};

/// When slots are computed and read, in operations counted over all items.
pub(in crate::exec) struct Times {
    /// The operation that makes a slot.
    pub(in crate::exec) made: Vec<usize>,
    /// The last reader; stored slots are read after all operations.
    pub(in crate::exec) last: Vec<usize>,
    /// Of slots that only the operations fused with theirs read, which one of their item it is.
    pub(in crate::exec) inside: Vec<Option<usize>>,
    /// For each operation, its item.
    items: Vec<usize>,
}

impl Times {
    pub(in crate::exec) fn new(region: &Region, joined: &[Joined], items: &[Item]) -> Self {
        let slots = region.first_step() + region.steps.len();
        let mut times = Times {
            made: vec![0; slots],
            last: vec![0; slots],
            inside: vec![None; slots],
            items: Vec::new(),
        };
        for (k, item) in items.iter().enumerate() {
            match item {
                &Item::Step(i) => {
                    let own = (region.first_step() + i) as u16;
                    let made = match joined[i] {
                        Joined::Twin { first, second, .. } => [first, second],
                        _ => [own, own],
                    };
                    times.operation(k, reads(region, joined, i), &made);
                }
                Item::Fused(fused) => {
                    for op in &fused.ops {
                        let made = op.stored.then_some(op.value);
                        times.operation(k, &op.args, made.as_slice());
                    }
                }
            }
        }
        for store in &region.stores {
            times.last[usize::from(store.slot)] = usize::MAX;
        }
        for (k, item) in items.iter().enumerate() {
            let Item::Fused(fused) = item else { continue };
            let stored = fused.ops.iter().filter(|op| op.stored).map(|op| usize::from(op.value));
            let inside = stored.filter(|&slot| times.item(times.last[slot]) == Some(k));
            inside
                .collect::<Vec<_>>()
                .into_iter()
                .enumerate()
                .for_each(|(at, slot)| times.inside[slot] = Some(at));
        }
        times
    }

    fn operation(&mut self, item: usize, reads: &[u16], makes: &[u16]) {
        let now = self.items.len();
        self.items.push(item);
        for &slot in makes {
            self.made[usize::from(slot)] = now;
        }
        // A value without readers is alive while it is computed.
        for &slot in reads.iter().chain(makes) {
            self.last[usize::from(slot)] = now;
        }
    }

    /// The item of the last reader of a slot, if it is not stored.
    pub(in crate::exec) fn dies(&self, slot: usize) -> Option<usize> {
        self.item(self.last[slot])
    }

    fn item(&self, time: usize) -> Option<usize> {
        self.items.get(time).copied()
    }
}
