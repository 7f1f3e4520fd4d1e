//! How pooling goes over memory: a band of rows of results at a time, its elements dealt out by their place in a step.
//!
//! With step `s`, the elements of a row are dealt into `s` lines, every `s`-th one to the same line, and rows the same
//! way. Then neighbouring windows read neighbouring elements at every tap, whatever the step, and a band of results is
//! one long vector: result `f` takes tap `t` from `offset(t) + f`. What lies in the padding is written out as a value
//! that no window takes. Rows of results have a few more places than windows where a tap reaches beyond the last
//! window's line; those are computed and thrown away.
//!
//! Invariant: windows have passed `Window::sizes`, so that `place · stride + tap · dilation` is a number; places
//! counted in 32 bits are those of planes whose padded elements have 32 bits; a block is read only where so many
//! elements follow.

use super::{NOWHERE, Window};
use crate::conv::{Line, MAX_SPATIAL, gcd};
use crate::vmath::Float;

/// Elements that a band should keep in the nearest cache.
const BAND: usize = 4096;
/// Elements read or written at once.
pub(super) const BLOCK: usize = 16;
/// More lines than this are not worth dealing out.
const LINES: usize = 64;
/// Elements dealt out for one row of results, at most: beyond that hardly anything of a window lies in its plane.
const DEALT: usize = 1 << 26;

/// One tap of the window.
#[derive(Clone, Copy, Debug)]
pub(super) struct Tap {
    /// Where result 0 of a band takes it from.
    pub(super) offset: usize,
    /// What is recorded for it.
    pub(super) record: i32,
}

/// The plan of a pooling.
#[derive(Clone, Debug)]
pub struct Bands {
    pub(super) window: Window,
    pub(super) output: [usize; MAX_SPATIAL],
    /// Planes taken together; their rows follow each other evenly.
    pub(super) group: usize,
    /// Rows of results in a band: all of a group's, or some of a plane's.
    pub(super) rows: usize,
    /// Places in a row of results.
    pub(super) pitch: usize,
    /// Rows below those of the band that taps reach.
    below: usize,
    /// Elements of one dealt-out part.
    part: usize,
    /// Depth and row of the taps, each with its step's remainder, and the remainders of columns.
    lines: Vec<[usize; 2]>,
    columns: Vec<usize>,
    pub(super) taps: Vec<Tap>,
    /// Where the windows of a band begin in their plane, counted from the band's first row.
    pub(super) begins: Vec<i32>,
    /// Whether some window reaches into the padding.
    pub(super) padded: bool,
}

impl Window {
    /// Bytes that pooling allocates while it runs, at most: the plan, and beside it on each thread the elements of a band.
    pub(crate) fn allocates(&self, planes: usize, width: usize) -> (usize, usize) {
        let Some(bands) = Bands::new(self, planes, true) else { return (0, 0) };
        let (dealt, results) = bands.scratch();
        let plan = size_of_val(&*bands.lines)
            + size_of_val(&*bands.columns)
            + size_of_val(&*bands.taps)
            + size_of_val(&*bands.begins);
        // Tables that grow lie twice while they do.
        (4 * plan, width * (dealt + results) + size_of::<i32>() * results)
    }
}

/// A band: planes, depth and rows of results.
#[derive(Clone, Copy)]
pub(super) struct Band {
    pub(super) depth: usize,
    pub(super) row: usize,
    pub(super) rows: usize,
}

impl Bands {
    /// The plan for windows that fit; `None` where a result has more to read than is worth dealing out. With `places`,
    /// taps are recorded as distances in a plane, else by their number.
    pub(crate) fn new(window: &Window, planes: usize, places: bool) -> Option<Self> {
        let output = window.output().ok()?;
        let Window { input, size, stride, low, dilation, .. } = *window;
        let span = |d: usize| (size[d] - 1) * dilation[d] + 1;
        let reach = |d: usize| (output[d] - 1) * stride[d] + span(d);
        let padded = (0..MAX_SPATIAL).any(|d| low[d] > 0 || reach(d) > low[d] + input[d]);
        // Remainders of taps by the stride repeat after so many: told apart from sizes that no table could hold.
        let period = |d: usize| stride[d] / gcd(stride[d], dilation[d]);
        let distinct = |d: usize| size[d].min(period(d));
        if size[0].saturating_mul(distinct(1)).saturating_mul(distinct(2)) > LINES {
            return None;
        }
        let remainders = |d: usize| {
            let mut all: Vec<usize> =
                (0..distinct(d)).map(|k| k * (dilation[d] % stride[d]) % stride[d]).collect();
            all.sort_unstable();
            all
        };
        let (rows, columns) = (remainders(1), remainders(2));
        let lines: Vec<[usize; 2]> = (0..size[0]).flat_map(|k| rows.iter().map(move |&r| [k, r])).collect();
        // Places are counted in 32 bits, from before the padding to behind it.
        let padded_plane = (0..MAX_SPATIAL).fold(1, |n, d| window.padded(d).saturating_mul(n));
        if places && i32::try_from(padded_plane).is_err() {
            return None;
        }
        let below = (size[1] - 1) * dilation[1] / stride[1];
        let beside = (size[2] - 1) * dilation[2] / stride[2];
        let pitch = output[2] + beside;
        let lane = lines.len() * columns.len() * pitch;
        if lane.saturating_mul(below + 1) > DEALT {
            return None;
        }
        let most = (BAND / lane).saturating_sub(below).max(1);
        // Planes whose rows are all taken, in whole steps, follow each other without a seam.
        let seamless = !padded && input[0] == 1 && input[1] == output[1] * stride[1];
        let group = if seamless { (most / output[1]).clamp(1, planes.max(1)) } else { 1 };
        let rows = if group > 1 { group * output[1] } else { most.min(output[1]) };
        let part = (rows + below) * pitch + beside + 2 * BLOCK;
        let flat = |[d, h, w]: [usize; MAX_SPATIAL]| (d * input[1] + h) * input[2] + w;
        let mut taps = Vec::with_capacity(window.taps());
        for tap in 0..window.taps() {
            let k = window.tap(tap);
            let at: [usize; MAX_SPATIAL] = std::array::from_fn(|d| k[d] * dilation[d]);
            let line = lines.iter().position(|l| *l == [k[0], at[1] % stride[1]])?;
            let column = columns.iter().position(|c| *c == at[2] % stride[2])?;
            let part_begin = (line * columns.len() + column) * part;
            let offset = part_begin + at[1] / stride[1] * pitch + at[2] / stride[2];
            taps.push(Tap { offset, record: if places { flat(at) as i32 } else { tap as i32 } });
        }
        let mut begins = Vec::new();
        if places {
            let first = flat(low) as i32;
            for r in 0..rows {
                let row = (r % output[1] * stride[1] * input[2]) as i32 - first;
                begins.extend((0..pitch).map(|c| row + (c * stride[2]) as i32));
            }
        }
        let window = *window;
        Some(Bands { window, output, group, rows, pitch, below, part, lines, columns, taps, begins, padded })
    }

    /// Scratch elements of a band: the rearranged inputs, then its results.
    pub(super) fn scratch(&self) -> (usize, usize) {
        (self.lines.len() * self.columns.len() * self.part, self.rows * self.pitch + BLOCK)
    }

    /// Places of a band, those between rows included.
    pub(super) fn places(&self, band: Band) -> usize {
        band.rows * self.pitch
    }

    /// What has to be added to a place counted from the first row of a band.
    pub(super) fn first(&self, band: Band) -> i32 {
        let Window { input, stride, .. } = self.window;
        ((band.depth * stride[0] * input[1] + band.row * stride[1]) * input[2]) as i32
    }

    /// The first tap of the window at place `f` of a band that is not padding; [`NOWHERE`] if there is none, `None` if
    /// there is no window.
    pub(super) fn first_inside(&self, band: Band, f: usize) -> Option<i32> {
        let (row, column) = (band.row + f / self.pitch, f % self.pitch);
        if column >= self.output[2] {
            return None;
        }
        let place = [band.depth, row, column];
        let tap = (0..self.taps.len()).find(|&t| self.window.place_of(place, t).is_some());
        Some(tap.map_or(NOWHERE as i32, |t| self.taps[t].record))
    }

    /// Deals out the elements that a band reads.
    ///
    /// # Safety
    /// `x` is the first of the group's planes, with `readable` elements before the end of the input; `planes` of them
    /// are in the band. `to` holds the scratch.
    #[inline(always)]
    pub(super) unsafe fn deal<T: Float>(
        &self,
        band: Band,
        planes: usize,
        x: *const T,
        readable: usize,
        nothing: T,
        to: *mut T,
    ) {
        let Window { input, stride, low, dilation, .. } = self.window;
        let height = planes * input[1];
        for (l, &[kd, remainder]) in self.lines.iter().enumerate() {
            // What lies before the plane has wrapped around.
            let depth = (band.depth * stride[0] + kd * dilation[0]).wrapping_sub(low[0]);
            for r in 0..band.rows + self.below {
                let row = ((band.row + r) * stride[1] + remainder).wrapping_sub(low[1]);
                let begin = depth.wrapping_mul(input[1]).wrapping_add(row).wrapping_mul(input[2]);
                let missing = depth >= input[0] || row >= height;
                for (c, &first) in self.columns.iter().enumerate() {
                    let first = first as isize - low[2] as isize;
                    let line = Line { first, step: stride[2], extent: if missing { 0 } else { input[2] } };
                    let (before, len) = line.inside(self.pitch);
                    // SAFETY: the part can hold a block after its last row; elements are inside the plane.
                    unsafe {
                        let to = to.add((l * self.columns.len() + c) * self.part + r * self.pitch);
                        for j in 0..before {
                            *to.add(j) = nothing;
                        }
                        if len > 0 {
                            let from = begin.wrapping_add_signed(first + (before * stride[2]) as isize);
                            let available = readable - from;
                            take(x.add(from), stride[2], to.add(before), len, available);
                        }
                        for j in before + len..self.pitch {
                            *to.add(j) = nothing;
                        }
                    }
                }
            }
        }
    }
}

/// `n` elements of a row, `step` apart; up to a block more may be written, and read where `available` elements follow.
///
/// # Safety
/// The elements are valid for reads, and so are the `available` elements at `from`; `to` can hold `n` and a block.
#[inline(always)]
unsafe fn take<T: Float>(from: *const T, step: usize, to: *mut T, n: usize, available: usize) {
    // SAFETY: the caller's promise.
    unsafe {
        match step {
            1 => blocks::<T, 1>(from, to, n, available),
            2 => blocks::<T, 2>(from, to, n, available),
            3 => blocks::<T, 3>(from, to, n, available),
            _ => {
                for j in 0..n {
                    *to.add(j) = *from.add(j * step);
                }
            }
        }
    }
}

/// # Safety
/// As for [`take`].
#[inline(always)]
unsafe fn blocks<T: Float, const STEP: usize>(from: *const T, to: *mut T, n: usize, available: usize) {
    let mut at = 0;
    // SAFETY: a whole block is read only where it lies inside the `available` elements.
    unsafe {
        while at < n && (at + BLOCK) * STEP <= available {
            let source = from.add(at * STEP).cast::<[[T; STEP]; BLOCK]>().read_unaligned();
            let block: [T; BLOCK] = std::array::from_fn(|j| source[j][0]);
            to.add(at).cast::<[T; BLOCK]>().write_unaligned(block);
            at += BLOCK;
        }
        while at < n {
            *to.add(at) = *from.add(at * STEP);
            at += 1;
        }
    }
}
