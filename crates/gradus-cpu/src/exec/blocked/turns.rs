//! Sums that workers add to in the order of their tasks.

use std::sync::atomic::{AtomicUsize, Ordering};

use smallvec::SmallVec;

/// For each sum, the task whose turn it is to add to it.
///
/// Tasks start in the order of their turns, so that a waiting worker always waits for a running one.
pub(super) struct Turns<'a> {
    next: SmallVec<[AtomicUsize; 8]>,
    /// Whether the turns of a sum are over, because it is computed again in another mode or a task has failed.
    over: &'a (dyn Fn(usize) -> bool + Sync),
}

impl<'a> Turns<'a> {
    pub(super) fn new(sums: usize, over: &'a (dyn Fn(usize) -> bool + Sync)) -> Self {
        Turns { next: (0..sums).map(|_| AtomicUsize::new(0)).collect(), over }
    }

    /// Adds to a sum when it is the turn of this task, unless turns are over.
    pub(super) fn take(&self, sum: usize, turn: usize, add: impl FnOnce()) {
        let mut spins = 0u32;
        while self.next[sum].load(Ordering::Acquire) != turn {
            if (self.over)(sum) {
                return;
            }
            spins += 1;
            if spins.is_multiple_of(64) {
                std::thread::yield_now();
            } else {
                std::hint::spin_loop();
            }
        }
        add();
        self.next[sum].store(turn + 1, Ordering::Release);
    }
}
