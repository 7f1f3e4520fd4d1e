//! The memory that kernels see: arguments, results and the arena, by place.

use gradus_plan::{ALIGN, Place};

use crate::pages;
use crate::scratch::Line;

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

/// A block of aligned memory that grows and keeps its size.
pub(super) struct Scratch {
    /// Its elements are never read as such.
    room: Vec<Line>,
}

/// The planner's alignment is that of a line.
const _: () = assert!(ALIGN == size_of::<Line>() && ALIGN == align_of::<Line>());

impl Scratch {
    pub(super) const fn new() -> Self {
        Scratch { room: Vec::new() }
    }

    /// At least `bytes` of memory that something has been written to.
    pub(super) fn cleared(&mut self, bytes: usize) -> *mut u8 {
        let lines = bytes.div_ceil(ALIGN);
        if self.room.len() < lines {
            self.room = Vec::new();
            self.room = vec![Line::ZERO; lines];
        }
        self.room.as_mut_ptr().cast()
    }

    /// Whether there are so many bytes already.
    pub(super) fn holds(&self, bytes: usize) -> bool {
        bytes <= self.room.capacity() * ALIGN
    }

    /// At least `bytes` of memory with any content: new memory is not touched here, so that it comes to be where and when
    /// it is used.
    pub(super) fn get(&mut self, bytes: usize) -> *mut u8 {
        if !self.holds(bytes) {
            let lines = bytes.div_ceil(ALIGN);
            // The old content is of no use: give it back before asking for more.
            self.room = Vec::new();
            self.room = Vec::with_capacity(lines);
            pages::prefer_large(self.room.as_mut_ptr().cast(), lines * ALIGN);
        }
        self.room.as_mut_ptr().cast()
    }
}
