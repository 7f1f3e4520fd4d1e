//! How a run of results (or of a padded line) along the last axis is read from the input: zeros, then elements at a
//! fixed step, then zeros.

/// A stretch of a line.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Segment {
    /// Zeros before the elements, how many elements, zeros after.
    pub before: usize,
    pub len: usize,
    pub after: usize,
    /// Where the first element lies in the input.
    pub from: usize,
}

/// One axis of the index map `i = first + j · step`, of which those are read that lie inside `0..extent`.
#[derive(Clone, Copy)]
pub(crate) struct Line {
    pub first: isize,
    pub step: usize,
    pub extent: usize,
}

impl Line {
    /// Which `j` of `0..count` fall inside: the first, and how many.
    #[inline]
    pub fn inside(&self, count: usize) -> (usize, usize) {
        let step = self.step as isize;
        let begin = if self.first >= 0 { 0 } else { (-self.first + step - 1) / step };
        let end = if self.first >= self.extent as isize {
            0
        } else {
            (self.extent as isize - 1 - self.first) / step + 1
        };
        let begin = (begin as usize).min(count);
        let end = (end.max(0) as usize).clamp(begin, count);
        (begin, end - begin)
    }

    /// The segment of `count` elements, from a line of the input that begins at `base`.
    #[inline]
    pub fn segment(&self, count: usize, base: usize) -> Segment {
        let (before, len) = self.inside(count);
        let from =
            if len == 0 { 0 } else { (base as isize + self.first + (before * self.step) as isize) as usize };
        Segment { before, len, after: count - before - len, from }
    }
}

/// Writes a segment of adjacent elements.
///
/// # Safety
/// Every element that the segment names is valid, and the two ends are apart.
#[inline(always)]
pub(super) unsafe fn write<T: Copy + Default>(s: &Segment, from: *const T, to: *mut T) {
    // SAFETY: the caller's promise.
    unsafe {
        for j in 0..s.before {
            *to.add(j) = T::default();
        }
        let (middle, source) = (to.add(s.before), from.add(s.from));
        let mut j = 0;
        while j + 8 <= s.len {
            std::ptr::copy_nonoverlapping(source.add(j), middle.add(j), 8);
            j += 8;
        }
        while j < s.len {
            *middle.add(j) = *source.add(j);
            j += 1;
        }
        let end = middle.add(s.len);
        for j in 0..s.after {
            *end.add(j) = T::default();
        }
    }
}
