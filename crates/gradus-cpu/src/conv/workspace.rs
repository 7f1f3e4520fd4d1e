//! The workspace of a convolution: a part of the arena that the planner reserved, handed out piece by piece.
//!
//! Invariant: no more is handed out than was reserved, which each piece asserts.

use crate::memory::Line;
use crate::reduce::Shared;

/// Bytes that `len` elements take in a workspace.
pub(super) const fn bytes_of<T>(len: usize) -> usize {
    let most = isize::MAX as usize;
    let bytes = len.saturating_mul(size_of::<T>());
    if bytes > most { most } else { bytes.next_multiple_of(size_of::<Line>()) }
}

/// Memory that a convolution uses beside its operands, in bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct WorkspaceSizes {
    /// Its workspace in the arena.
    pub workspace: usize,
    /// Scratch of each thread.
    pub patches: usize,
    /// What matrix products keep on each thread.
    pub packed: usize,
}

impl WorkspaceSizes {
    /// The sizes for two convolutions that run one after the other.
    pub fn either(self, other: WorkspaceSizes) -> WorkspaceSizes {
        WorkspaceSizes {
            workspace: self.workspace.max(other.workspace),
            patches: self.patches.max(other.patches),
            packed: self.packed.max(other.packed),
        }
    }
}

/// Memory not handed out yet.
#[derive(Clone, Copy)]
pub(crate) struct Workspace {
    at: *mut u8,
    left: usize,
}

// SAFETY: memory taken from a workspace is used as `Shared` says; the workspace itself is a pointer and a length.
unsafe impl Sync for Workspace {}

impl Workspace {
    /// # Safety
    /// `at` is aligned to cache lines and valid for `bytes` as long as the workspace is used, and nobody else touches it.
    pub unsafe fn new(at: *mut u8, bytes: usize) -> Self {
        Workspace { at, left: bytes }
    }

    /// Memory for `len` elements, holding anything.
    pub fn take<T>(&mut self, len: usize) -> Shared<T> {
        let bytes = bytes_of::<T>(len);
        assert!(bytes <= self.left, "a convolution takes no more than it asked for");
        let taken = self.at;
        self.at = self.at.wrapping_add(bytes);
        self.left -= bytes;
        Shared(taken.cast())
    }

    /// A table of numbers in the workspace.
    ///
    /// # Safety
    /// The workspace outlives the table.
    pub unsafe fn table<'a, T: Copy>(&mut self, len: usize, at: impl Fn(usize) -> T) -> &'a [T] {
        let to = self.take::<T>(len);
        for i in 0..len {
            // SAFETY: the memory was just taken for `len` elements.
            unsafe { to.at(i).write(at(i)) };
        }
        // SAFETY: all written; the caller's promise.
        unsafe { std::slice::from_raw_parts(to.0, len) }
    }
}
