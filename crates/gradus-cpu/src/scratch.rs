//! Scratch memory that a thread keeps from one kernel to the next, so that kernels do not allocate.

use std::cell::RefCell;

/// A cache line's worth of storage.
#[derive(Clone, Copy)]
#[repr(align(64))]
pub(crate) struct Line(#[allow(dead_code, reason = "only its storage is used")] [u8; 64]);

impl Line {
    /// A line of zeros.
    pub(crate) const ZERO: Line = Line([0; 64]);
}

thread_local! {
    static SCRATCH: [RefCell<Vec<Line>>; 4] = const { [const { RefCell::new(Vec::new()) }; 4] };
}

/// Which of a thread's scratches: kernels that call one another use different ones.
#[derive(Clone, Copy)]
pub(crate) enum Slot {
    /// The operand that a matrix product transposes.
    Repack,
    /// The patches and results of a convolution.
    Patches,
    /// The values of a region of a few points.
    Small,
    /// The operands of a product whose zeros absorb what is not finite.
    Absorbing,
}

/// Calls `f` with room for `len` elements of `T`, aligned to cache lines, holding anything.
pub(crate) fn with<T: Copy, R>(slot: Slot, len: usize, f: impl FnOnce(*mut T) -> R) -> R {
    const { assert!(align_of::<T>() <= 64) };
    let slot = slot as usize;
    let lines = (len * size_of::<T>()).div_ceil(size_of::<Line>());
    // Taken out rather than borrowed: a nested call would find an empty scratch, not a panic.
    let mut scratch = SCRATCH.with(|slots| slots[slot].take());
    if scratch.len() < lines {
        // The old content is of no use: it is given back first, and no more is asked for than is needed.
        drop(std::mem::take(&mut scratch));
        scratch = vec![Line::ZERO; lines];
    }
    let result = f(scratch.as_mut_ptr().cast::<T>());
    SCRATCH.with(|slots| slots[slot].replace(scratch));
    result
}
