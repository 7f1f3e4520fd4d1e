//! Scratch memory that a thread keeps from one kernel to the next, so that kernels do not allocate.
//!
//! A small one is reached by its thread alone, at no cost; a larger one through a lock, so that [`release`] can free it
//! while its thread sleeps.

use std::cell::Cell;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, TryLockError, Weak};

use gradus_core::memory::Held;

use super::{Block, fail};

/// The scratch buffers of a thread: kernels that call one another use different ones.
#[derive(Clone, Copy)]
pub(crate) enum Slot {
    /// The values of a region of a few points.
    Small,
    /// The tiles of a region.
    Tiles,
    /// The arena of a small program.
    Arena,
    /// The operand that a matrix product transposes.
    Repack,
    /// The patches and results of a convolution.
    Patches,
    /// The operands of a product whose zeros absorb what is not finite.
    Absorbing,
    /// A block of the local values of a group, and what its products pack.
    Blocked,
}

const SLOTS: usize = 7;

/// Up to this many bytes a scratch buffer is private to its thread.
pub(crate) const OWN: usize = 64 << 10;

const NONE: Block = Block::new(Held::Scratch);

/// A thread's larger scratches.
struct Large([Mutex<Block>; SLOTS]);

static ALL: Mutex<Vec<Weak<Large>>> = Mutex::new(Vec::new());

fn all() -> MutexGuard<'static, Vec<Weak<Large>>> {
    ALL.lock().unwrap_or_else(PoisonError::into_inner)
}

thread_local! {
    static SMALL: [Cell<Block>; SLOTS] = const { [const { Cell::new(NONE) }; SLOTS] };
    static LARGE: Arc<Large> = {
        let large = Arc::new(Large([const { Mutex::new(NONE) }; SLOTS]));
        let mut all = all();
        all.retain(|thread| thread.strong_count() > 0);
        all.push(Arc::downgrade(&large));
        large
    };
}

/// Calls `f` with memory for `len` elements of `T`, aligned to cache lines, holding anything. Where there is no memory, the
/// kernel [ends](fail) with the error.
pub(crate) fn with<T: Copy, R>(slot: Slot, len: usize, f: impl FnOnce(*mut T) -> R) -> R {
    const { assert!(align_of::<T>() <= 64) };
    let slot = slot as usize;
    // Saturated, it is more than there is.
    let bytes = len.saturating_mul(size_of::<T>());
    let run = |block: &mut Block| match block.cleared("scratch memory", bytes) {
        Ok(at) => f(at.cast()),
        Err(kind) => fail(kind),
    };
    if bytes <= OWN {
        // Taken out rather than borrowed: a nested call would find an empty scratch, not a panic.
        let mut block = SMALL.with(|slots| slots[slot].replace(NONE));
        let result = run(&mut block);
        SMALL.with(|slots| slots[slot].set(block));
        return result;
    }
    LARGE.with(|large| match large.0[slot].try_lock() {
        Ok(mut block) => run(&mut block),
        Err(TryLockError::Poisoned(block)) => run(&mut block.into_inner()),
        // A nested call brings its own.
        Err(TryLockError::WouldBlock) => run(&mut { NONE }),
    })
}

/// Frees the larger scratches of threads that use none, and the calling thread's own.
pub(super) fn release() {
    for thread in all().iter().filter_map(Weak::upgrade) {
        for slot in &thread.0 {
            match slot.try_lock() {
                Ok(mut block) => block.clear(),
                Err(TryLockError::Poisoned(block)) => block.into_inner().clear(),
                Err(TryLockError::WouldBlock) => {}
            }
        }
    }
    SMALL.with(|slots| slots.iter().for_each(|slot| drop(slot.replace(NONE))));
}
