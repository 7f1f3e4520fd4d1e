//! What this process allocates, as its allocator counts.

use peak_alloc::PeakAlloc;

/// Every allocation of the command goes through it, those of other crates too.
#[global_allocator]
static COUNTER: PeakAlloc = PeakAlloc;

/// Forgets the most bytes that were allocated at once so far; gives the bytes allocated now.
pub fn count_from_here() -> usize {
    COUNTER.reset_peak_usage();
    COUNTER.current_usage()
}

/// The most bytes that were allocated at once since [`count_from_here`].
pub fn most_allocated() -> usize {
    COUNTER.peak_usage()
}
