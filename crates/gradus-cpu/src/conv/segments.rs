//! How a run of results (or of taps) along the last axis is read from the input: zeros, then elements at a fixed step,
//! then zeros.

/// A stretch of a packed row.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Segment {
    /// Where it begins in the packed row.
    pub to: usize,
    /// Zeros before the elements, how many elements, zeros after.
    pub before: usize,
    pub len: usize,
    pub after: usize,
    /// Where the first element lies in the input.
    pub from: usize,
}

/// One axis of the index map `i = first + j · step`, of which those are read with `i % spread = 0` and `i / spread`
/// inside `0..extent`.
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

    /// The segment of `count` elements to be written at `to`, from a line of the input that begins at `base`.
    #[inline]
    pub fn segment(&self, count: usize, to: usize, base: usize) -> Segment {
        let (before, len) = self.inside(count);
        let from =
            if len == 0 { 0 } else { (base as isize + self.first + (before * self.step) as isize) as usize };
        Segment { to, before, len, after: count - before - len, from }
    }
}

/// Writes segments: `to[..]` from `from[..]`, elements `step` apart.
///
/// # Safety
/// Every element that the segments name is valid, and the two ends are apart.
#[inline(always)]
pub(super) unsafe fn write<T: Copy + Default>(segments: &[Segment], step: usize, from: *const T, to: *mut T) {
    for s in segments {
        // SAFETY: the caller's promise.
        unsafe {
            let to = to.add(s.to);
            for j in 0..s.before {
                *to.add(j) = T::default();
            }
            let (to, source) = (to.add(s.before), from.add(s.from));
            if step == 1 {
                let mut j = 0;
                while j + 8 <= s.len {
                    std::ptr::copy_nonoverlapping(source.add(j), to.add(j), 8);
                    j += 8;
                }
                while j < s.len {
                    *to.add(j) = *source.add(j);
                    j += 1;
                }
            } else {
                for j in 0..s.len {
                    *to.add(j) = *source.add(j * step);
                }
            }
            let to = to.add(s.len);
            for j in 0..s.after {
                *to.add(j) = T::default();
            }
        }
    }
}
