//! Sums that workers add to in the order of their tasks.

use std::sync::atomic::{AtomicUsize, Ordering};

use smallvec::SmallVec;

/// For each of some sums, whose turn it is to add to it.
///
/// Tasks are begun in the order of their turns, so that who waits does so for a worker that runs.
pub(super) struct Turns<'a> {
    next: SmallVec<[AtomicUsize; 8]>,
    /// Whether turns of a sum are not taken any more: it is to be done in another mode, or a task has failed.
    over: &'a (dyn Fn(usize) -> bool + Sync),
}

impl<'a> Turns<'a> {
    pub(super) fn new(sums: usize, over: &'a (dyn Fn(usize) -> bool + Sync)) -> Self {
        Turns { next: (0..sums).map(|_| AtomicUsize::new(0)).collect(), over }
    }

    /// Adds to a sum when it is this one's turn, unless turns are over.
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
