//! The memory that kernels see: arguments, results and the arena, by place.

use gradus_plan::Place;

/// Pointers to everything a running plan reads and writes.
#[derive(Clone, Copy)]
pub(super) struct Memory<'a> {
    pub(super) arguments: &'a [*const u8],
    pub(super) results: &'a [*mut u8],
    pub(super) arena: *mut u8,
    /// Where local values of the kernel being run would begin.
    pub(super) locals: &'a [*mut u8],
}

// SAFETY: kernels hand disjoint parts to different threads; whoever runs a plan promises exclusive use meanwhile.
unsafe impl Sync for Memory<'_> {}
// SAFETY: as above.
unsafe impl Send for Memory<'_> {}

impl Memory<'_> {
    /// Where a value begins, for reading.
    pub(super) fn at(&self, place: Place) -> *const u8 {
        match place {
            Place::Argument(i) => self.arguments[i],
            Place::Result(i) => self.results[i].cast_const(),
            Place::Arena(offset) => self.arena.wrapping_add(offset).cast_const(),
            Place::Local(i) => self.locals[i].cast_const(),
        }
    }

    /// Where a value begins, for writing; arguments are never written through their own place.
    pub(super) fn at_mut(&self, place: Place) -> *mut u8 {
        self.at(place).cast_mut()
    }

    /// A place in the arena.
    pub(super) fn workspace(&self, offset: usize) -> *mut u8 {
        self.arena.wrapping_add(offset)
    }
}
