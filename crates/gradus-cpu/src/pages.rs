//! Pages: requests for large ones, and the release of unused ones.
//!
//! Invariant: advice never goes beyond the block it is about.

/// Blocks from this size on are worth a call to the system.
const LARGE: usize = 4 << 20;

/// Asks for large pages under a block that has not been written yet. A block that is streamed through is read and
/// written up to twice as fast under them, since neither prefetching nor the translation of addresses stops every 4
/// KiB; and where memory is handed out as it is first touched, that happens 512 times less often. A hint: where it is
/// refused, nothing changes.
#[cfg(all(target_os = "linux", not(miri)))]
pub(crate) fn prefer_large(block: *mut u8, bytes: usize) {
    use std::ffi::{c_int, c_void};

    const MADV_HUGEPAGE: c_int = 14;
    /// The smallest page there is; a range has to begin at one.
    const PAGE: usize = 4096;

    unsafe extern "C" {
        fn madvise(address: *mut c_void, length: usize, advice: c_int) -> c_int;
    }

    if bytes < LARGE {
        return;
    }
    let ahead = block as usize % PAGE;
    // SAFETY: the advice changes no content, in the pages that the block shares with its neighbours neither.
    unsafe {
        madvise(block.wrapping_sub(ahead).cast(), (bytes + ahead).next_multiple_of(PAGE), MADV_HUGEPAGE)
    };
}

/// There is nothing to ask here.
#[cfg(not(all(target_os = "linux", not(miri))))]
pub(crate) fn prefer_large(_: *mut u8, _: usize) {
    let _ = LARGE;
}

/// Returns freed memory from the allocator to the system: planning within a budget frees much memory that runs do not
/// use.
#[cfg(all(target_os = "linux", target_env = "gnu", not(miri)))]
pub(crate) fn give_back() {
    use std::ffi::c_int;

    unsafe extern "C" {
        fn malloc_trim(pad: usize) -> c_int;
    }

    // SAFETY: it touches free memory only, and may be called at any time from any thread.
    unsafe { malloc_trim(0) };
}

/// The allocator does as it sees fit.
#[cfg(not(all(target_os = "linux", target_env = "gnu", not(miri))))]
pub(crate) fn give_back() {}
