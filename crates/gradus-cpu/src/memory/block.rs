//! A block of aligned memory that grows, keeps its size, and is counted.

use gradus_core::ErrorKind;
use gradus_core::memory::{self, Held};
use gradus_plan::ALIGN;

use crate::pages;

/// A cache line's worth of storage.
#[derive(Clone, Copy)]
#[repr(align(64))]
pub(crate) struct Line(#[allow(dead_code, reason = "only its storage is used")] [u8; 64]);

impl Line {
    /// A line of zeros.
    pub(crate) const ZERO: Line = Line([0; 64]);
}

/// The planner's alignment is that of a line.
const _: () = assert!(ALIGN == size_of::<Line>() && ALIGN == align_of::<Line>());

/// Memory aligned to cache lines.
pub(crate) struct Block {
    /// Its elements are never read as such.
    lines: Vec<Line>,
    held: Held,
}

impl Block {
    /// No memory yet.
    pub(crate) const fn new(held: Held) -> Self {
        Block { lines: Vec::new(), held }
    }

    pub(crate) fn bytes(&self) -> usize {
        self.lines.capacity() * ALIGN
    }

    /// Counts it for another purpose from now on.
    pub(crate) fn turn(&mut self, to: Held) {
        memory::turn(std::mem::replace(&mut self.held, to), to, self.bytes());
    }

    /// Gives the memory back.
    pub(crate) fn clear(&mut self) {
        memory::sub(self.held, self.bytes());
        self.lines = Vec::new();
    }

    /// At least `bytes` of memory with any content: new memory is not touched here, so that it comes to be where and when
    /// it is used.
    pub(crate) fn get(&mut self, op: &'static str, bytes: usize) -> Result<*mut u8, ErrorKind> {
        if self.bytes() < bytes {
            let lines = bytes.div_ceil(ALIGN);
            // The old content is not needed: free it before allocating more.
            self.clear();
            self.lines = memory::with_capacity(op, lines)?;
            memory::add(self.held, self.bytes());
            pages::prefer_large(self.lines.as_mut_ptr().cast(), lines * ALIGN);
        }
        Ok(self.lines.as_mut_ptr().cast())
    }

    /// At least `bytes` of memory that something has been written to.
    pub(crate) fn cleared(&mut self, op: &'static str, bytes: usize) -> Result<*mut u8, ErrorKind> {
        let lines = bytes.div_ceil(ALIGN);
        if self.lines.len() < lines {
            self.clear();
            self.lines = memory::filled(op, lines, Line::ZERO)?;
            memory::add(self.held, self.bytes());
            pages::prefer_large(self.lines.as_mut_ptr().cast(), lines * ALIGN);
        }
        Ok(self.lines.as_mut_ptr().cast())
    }
}

impl Drop for Block {
    fn drop(&mut self) {
        memory::sub(self.held, self.bytes());
    }
}
