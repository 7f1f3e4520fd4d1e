//! Copying elements of any width through strides.
//!
//! Invariant: every point of a view lies inside its buffer; those of a target are distinct.

use gradus_plan::View;
use smallvec::SmallVec;

use super::versions::{Versioned, best};

/// Runs an expression with an unsigned type of the given width.
macro_rules! with_width {
    ($width:expr, $T:ident => $body:expr) => {
        match $width {
            1 => {
                type $T = u8;
                $body
            }
            2 => {
                type $T = u16;
                $body
            }
            4 => {
                type $T = u32;
                $body
            }
            8 => {
                type $T = u64;
                $body
            }
            other => unreachable!("no dtype has {other} bytes"),
        }
    };
}

/// `n` copies of one element.
///
/// # Safety
/// `from` holds one element of `width` bytes, `out` holds `n`.
pub(super) unsafe fn fill(from: *const u8, width: usize, out: *mut u8, n: usize) {
    with_width!(width, T => {
        // SAFETY: the caller's promise.
        unsafe {
            let value = *from.cast::<T>();
            std::slice::from_raw_parts_mut(out.cast::<T>(), n).fill(value);
        }
    });
}

/// Each of `rows` elements, `cols` times.
///
/// # Safety
/// `from` holds `rows` elements of `width` bytes, `out` holds `rows * cols`.
pub(super) unsafe fn expand(from: *const u8, width: usize, out: *mut u8, rows: usize, cols: usize) {
    with_width!(width, T => {
        // SAFETY: the caller's promise.
        unsafe { best(Expand { from: from.cast::<T>(), out: out.cast::<T>(), rows, cols }) }
    });
}

struct Expand<T> {
    from: *const T,
    out: *mut T,
    rows: usize,
    cols: usize,
}

impl<T: Copy> Versioned for Expand<T> {
    type Output = ();
    #[inline(always)]
    unsafe fn run(self) {
        for r in 0..self.rows {
            // SAFETY: the caller's promise.
            unsafe { repeat(*self.from.add(r), self.out.add(r * self.cols), self.cols) };
        }
    }
}

/// # Safety
/// `out` holds `n` elements.
#[inline(always)]
unsafe fn repeat<T: Copy>(value: T, out: *mut T, n: usize) {
    for i in 0..n {
        // SAFETY: the caller's promise.
        unsafe { out.add(i).write(value) };
    }
}

/// Where points `start..start + n` of a collapsed view begin, if they lie side by side.
pub(super) fn inside_one_run(view: &View, start: usize, n: usize) -> Option<isize> {
    let &(extent, stride) = view.dims.last()?;
    if stride != 1 || start % extent + n > extent {
        return None;
    }
    let mut rest = start / extent;
    let mut offset = (start % extent) as isize;
    for &(extent, stride) in view.dims[..view.dims.len() - 1].iter().rev() {
        offset += (rest % extent) as isize * stride;
        rest /= extent;
    }
    Some(view.offset + offset)
}

/// The runs along the last dim of points `start..start + n` of a view.
struct Runs<'a> {
    view: &'a View,
    index: SmallVec<[usize; 6]>,
    /// Offset of the line at hand, and the first point in it.
    base: isize,
    inner: usize,
    done: usize,
    n: usize,
}

/// Elements `stride` apart from `offset` on, which are the points from `at` on.
struct Run {
    offset: isize,
    stride: isize,
    length: usize,
    at: usize,
}

impl<'a> Runs<'a> {
    #[inline(always)]
    fn new(view: &'a View, start: usize, n: usize) -> Self {
        let outer = view.dims.len().saturating_sub(1);
        let mut index: SmallVec<[usize; 6]> = SmallVec::from_elem(0, outer);
        let extent = view.dims.last().map_or(usize::MAX, |d| d.0);
        let mut rest = start / extent;
        let mut base = view.offset;
        for axis in (0..outer).rev() {
            index[axis] = rest % view.dims[axis].0;
            base += index[axis] as isize * view.dims[axis].1;
            rest /= view.dims[axis].0;
        }
        Runs { view, index, base, inner: start % extent, done: 0, n }
    }

    #[inline(always)]
    fn next(&mut self) -> Option<Run> {
        if self.done == self.n {
            return None;
        }
        // Without dims every point is the same element.
        let &(extent, stride) = self.view.dims.last().unwrap_or(&(usize::MAX, 0));
        let length = (extent - self.inner).min(self.n - self.done);
        let run = Run { offset: self.base + self.inner as isize * stride, stride, length, at: self.done };
        self.done += length;
        self.inner = 0;
        for axis in (0..self.index.len()).rev() {
            let (extent, stride) = self.view.dims[axis];
            self.index[axis] += 1;
            self.base += stride;
            if self.index[axis] < extent {
                break;
            }
            self.base -= stride * extent as isize;
            self.index[axis] = 0;
        }
        Some(run)
    }
}

/// Points `start..start + n` of a view, side by side.
///
/// # Safety
/// The view of `base` stays inside its buffer; `out` holds `n` elements of `width` bytes and lies apart.
pub(super) unsafe fn gather(
    base: *const u8,
    view: &View,
    width: usize,
    start: usize,
    n: usize,
    out: *mut u8,
) {
    with_width!(width, T => {
        // SAFETY: the caller's promise.
        unsafe { best(Gather { base: base.cast::<T>(), view, start, n, out: out.cast::<T>() }) }
    });
}

struct Gather<'a, T> {
    base: *const T,
    view: &'a View,
    start: usize,
    n: usize,
    out: *mut T,
}

impl<T: Copy> Versioned for Gather<'_, T> {
    type Output = ();
    #[inline(always)]
    unsafe fn run(self) {
        let mut runs = Runs::new(self.view, self.start, self.n);
        while let Some(Run { offset, stride, length, at }) = runs.next() {
            // SAFETY: the caller's promise.
            unsafe {
                let (from, to) = (self.base.offset(offset), self.out.add(at));
                match stride {
                    1 if length > 8 => std::ptr::copy_nonoverlapping(from, to, length),
                    0 => repeat(*from, to, length),
                    _ => {
                        for i in 0..length {
                            to.add(i).write(*from.offset(i as isize * stride));
                        }
                    }
                }
            }
        }
    }
}

/// The points of one view written to those of another of the same extents.
///
/// # Safety
/// Both views stay inside their buffers, which lie apart; the elements of `to` are distinct.
pub(super) unsafe fn copy(from: *const u8, source: &View, to: *mut u8, target: &View, width: usize) {
    let (source, target) = together(source, target);
    if source.size() == 0 {
        return;
    }
    with_width!(width, T => {
        // SAFETY: the caller's promise.
        unsafe { copy_typed::<T>(from.cast(), &source, to.cast(), &target) }
    });
}

/// Drops dims of extent 1 and merges adjacent dims where both views have one common stride.
fn together(a: &View, b: &View) -> (View, View) {
    let mut out =
        (View { offset: a.offset, dims: SmallVec::new() }, View { offset: b.offset, dims: SmallVec::new() });
    for (&(extent, x), &(_, y)) in a.dims.iter().zip(&b.dims).filter(|(d, _)| d.0 != 1) {
        match (out.0.dims.last_mut(), out.1.dims.last_mut()) {
            (Some(p), Some(q)) if p.1 == x * extent as isize && q.1 == y * extent as isize => {
                (*p, *q) = ((p.0 * extent, x), (q.0 * extent, y));
            }
            _ => {
                out.0.dims.push((extent, x));
                out.1.dims.push((extent, y));
            }
        }
    }
    out
}

/// Side of the squares in which a transposition goes through memory.
const SQUARE: usize = 16;

/// # Safety
/// As for [`copy`].
unsafe fn copy_typed<T: Copy>(from: *const T, source: &View, to: *mut T, target: &View) {
    let rank = source.dims.len();
    let (s, t) = (source.offset, target.offset);
    // SAFETY: the caller's promise; every index lies inside the extents.
    unsafe {
        if rank == 0 {
            to.offset(t).write(*from.offset(s));
            return;
        }
        if rank == 1 {
            line(from.offset(s), source.dims[0].1, to.offset(t), target.dims[0].1, source.dims[0].0);
            return;
        }
        // The two innermost dims together; the one with the smallest source stride may be the outer of them.
        let (rows, cols) = (source.dims[rank - 2].0, source.dims[rank - 1].0);
        let outer: usize = source.dims[..rank - 2].iter().map(|d| d.0).product();
        for o in 0..outer {
            let (mut a, mut b, mut rest) = (s, t, o);
            for axis in (0..rank - 2).rev() {
                let i = (rest % source.dims[axis].0) as isize;
                rest /= source.dims[axis].0;
                a += i * source.dims[axis].1;
                b += i * target.dims[axis].1;
            }
            let strides = [
                source.dims[rank - 2].1,
                source.dims[rank - 1].1,
                target.dims[rank - 2].1,
                target.dims[rank - 1].1,
            ];
            plane(from.offset(a), to.offset(b), rows, cols, strides);
        }
    }
}

/// # Safety
/// As for [`copy`].
unsafe fn plane<T: Copy>(from: *const T, to: *mut T, rows: usize, cols: usize, [sr, sc, tr, tc]: [isize; 4]) {
    // SAFETY: the caller's promise.
    unsafe {
        if sc.unsigned_abs() <= sr.unsigned_abs() || rows < 4 {
            for r in 0..rows as isize {
                line(from.offset(r * sr), sc, to.offset(r * tr), tc, cols);
            }
            return;
        }
        // A transposition: squares keep both sides in cache.
        for r0 in (0..rows).step_by(SQUARE) {
            for c0 in (0..cols).step_by(SQUARE) {
                for r in r0..(r0 + SQUARE).min(rows) {
                    for c in c0..(c0 + SQUARE).min(cols) {
                        let (r, c) = (r as isize, c as isize);
                        to.offset(r * tr + c * tc).write(*from.offset(r * sr + c * sc));
                    }
                }
            }
        }
    }
}

/// # Safety
/// As for [`copy`].
unsafe fn line<T: Copy>(from: *const T, s: isize, to: *mut T, t: isize, n: usize) {
    // SAFETY: the caller's promise.
    unsafe {
        match (s, t) {
            (1, 1) => std::ptr::copy_nonoverlapping(from, to, n),
            (0, 1) => std::slice::from_raw_parts_mut(to, n).fill(*from),
            _ => {
                for i in 0..n as isize {
                    to.offset(i * t).write(*from.offset(i * s));
                }
            }
        }
    }
}
