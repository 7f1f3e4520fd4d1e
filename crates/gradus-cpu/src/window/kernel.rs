//! The bands of some planes: the best, or the sum, of all taps, side by side.
//!
//! Invariant: that of the [bands](super::bands), whose scratch a task has to itself.

use super::bands::{BLOCK, Band, Bands};
use crate::vmath::isa::dispatch;
use crate::vmath::{Float, Isa};

/// Where the tap of each result is recorded.
#[derive(Clone, Copy, Debug)]
pub enum Record {
    /// Nowhere.
    None,
    /// Its number, in a byte.
    Byte(*mut u8),
    /// Its number, in two bytes.
    Short(*mut u16),
    /// Its place in the plane.
    Place(*mut i32),
}
// SAFETY: tasks write disjoint parts, as with the results.
unsafe impl Sync for Record {}

impl Record {
    /// The record of results from `offset` on.
    pub(super) fn at(self, offset: usize) -> Record {
        match self {
            Record::None => Record::None,
            Record::Byte(p) => Record::Byte(p.wrapping_add(offset)),
            Record::Short(p) => Record::Short(p.wrapping_add(offset)),
            Record::Place(p) => Record::Place(p.wrapping_add(offset)),
        }
    }
}

/// Memory of one task.
#[derive(Clone, Copy, Debug)]
pub struct Work<T> {
    /// Elements dealt out.
    pub(super) dealt: *mut T,
    /// Results of a band.
    pub(super) best: *mut T,
    /// What is recorded for them.
    pub(super) taps: *mut i32,
}

dispatch! {
    /// The largest elements of the windows of planes, and which taps they are.
    ///
    /// # Safety
    /// `x` holds `planes` planes of the window's input, with `readable` elements before the end of the whole input;
    /// `out` and `record` can hold their results, `work` the plan's scratch.
    pub unsafe fn max_raw<T: Float>(
        bands: &Bands,
        planes: usize,
        x: *const T,
        readable: usize,
        out: *mut T,
        record: Record,
        work: Work<T>,
    ) = max in MaxKernel
}

dispatch! {
    /// The sums of the windows of planes.
    ///
    /// # Safety
    /// As for [`max_raw`].
    pub unsafe fn sum_raw<T: Float>(
        bands: &Bands,
        planes: usize,
        x: *const T,
        readable: usize,
        out: *mut T,
        work: Work<T>,
    ) = sum in SumKernel
}

/// The bands of some planes in order.
struct BandIter<'a> {
    bands: &'a Bands,
    planes: usize,
    plane: usize,
    depth: usize,
    row: usize,
}

/// A band, with the planes it spans and its first result.
#[derive(Clone, Copy)]
struct At {
    band: Band,
    plane: usize,
    planes: usize,
    result: usize,
}

impl<'a> BandIter<'a> {
    fn new(bands: &'a Bands, planes: usize) -> Self {
        BandIter { bands, planes, plane: 0, depth: 0, row: 0 }
    }

    fn next(&mut self) -> Option<At> {
        let [depths, rows, columns] = self.bands.output;
        if self.plane == self.planes {
            return None;
        }
        let BandIter { plane, depth, row, .. } = *self;
        let planes = self.bands.group.min(self.planes - plane);
        let several = self.bands.group > 1;
        let band_rows = if several { planes * rows } else { self.bands.rows.min(rows - row) };
        let result = ((plane * depths + depth) * rows + row) * columns;
        self.row += band_rows;
        if self.row >= rows {
            (self.row, self.depth) = (0, depth + 1);
        }
        if self.depth == depths {
            (self.depth, self.plane) = (0, plane + planes);
        }
        Some(At { band: Band { depth, row, rows: band_rows }, plane, planes, result })
    }
}

#[allow(clippy::extra_unused_type_parameters, reason = "every kernel names its instruction set")]
#[inline(always)]
unsafe fn max<T: Float, I: Isa>(
    bands: &Bands,
    planes: usize,
    x: *const T,
    readable: usize,
    out: *mut T,
    record: Record,
    work: Work<T>,
) {
    let plane: usize = bands.window.input.iter().product();
    let lowest = T::from_f64(f64::NEG_INFINITY);
    let mut bands_left = BandIter::new(bands, planes);
    while let Some(At { band, plane: first_plane, planes: group, result: first }) = bands_left.next() {
        let n = bands.places(band);
        // SAFETY: the band's part of the input, the results and the scratch.
        unsafe {
            let from = first_plane * plane;
            bands.deal(band, group, x.add(from), readable - from, lowest, work.dealt);
            let best = std::slice::from_raw_parts_mut(work.best, n);
            let taps = std::slice::from_raw_parts_mut(work.taps, n);
            let first_tap = bands.taps[0];
            best.copy_from_slice(std::slice::from_raw_parts(work.dealt.add(first_tap.offset), n));
            taps.fill(first_tap.record);
            for tap in &bands.taps[1..] {
                let values = std::slice::from_raw_parts(work.dealt.add(tap.offset), n);
                if matches!(record, Record::None) {
                    larger(best, values);
                } else {
                    larger_at(best, taps, values, tap.record);
                }
            }
            if bands.padded && best.iter().fold(false, |any, &v| any | (v == lowest)) {
                // The padding is no better than -∞, which the window may hold.
                for f in (0..n).filter(|&f| best[f] == lowest) {
                    taps[f] = bands.first_inside(band, f).unwrap_or(0);
                }
            }
            let width = bands.output[2];
            write_rows(best, bands.pitch, out.add(first), width, |v, _| v);
            match record.at(first) {
                Record::None => {}
                Record::Byte(to) => write_rows(taps, bands.pitch, to, width, |t, _| t as u8),
                Record::Short(to) => write_rows(taps, bands.pitch, to, width, |t, _| t as u16),
                Record::Place(to) => {
                    let begin = bands.first(band);
                    for (tap, from) in taps.iter_mut().zip(&bands.begins) {
                        *tap = tap.wrapping_add(from.wrapping_add(begin));
                    }
                    write_rows(taps, bands.pitch, to, width, |t, _| t);
                }
            }
        }
    }
}

/// Takes what is larger; a NaN is, and the first of equal elements stays.
#[inline(always)]
fn larger<T: Float>(best: &mut [T], values: &[T]) {
    for (b, &v) in best.iter_mut().zip(values) {
        *b = if (v > *b) | (v.is_nan() & !b.is_nan()) { v } else { *b };
    }
}

/// The same, with the tap it was taken from.
#[inline(always)]
fn larger_at<T: Float>(best: &mut [T], taps: &mut [i32], values: &[T], tap: i32) {
    for ((b, t), &v) in best.iter_mut().zip(taps).zip(values) {
        let take = (v > *b) | (v.is_nan() & !b.is_nan());
        *b = if take { v } else { *b };
        *t = if take { tap } else { *t };
    }
}

/// Rows of `width` results out of rows of `pitch` places.
///
/// # Safety
/// `to` can hold the results.
#[inline(always)]
unsafe fn write_rows<A: Copy, B: Copy>(
    from: &[A],
    pitch: usize,
    to: *mut B,
    width: usize,
    f: impl Fn(A, usize) -> B,
) {
    // SAFETY: the caller's promise; whole blocks are written where later rows of the same results follow.
    unsafe {
        if width == pitch {
            for (i, &v) in from.iter().enumerate() {
                *to.add(i) = f(v, i);
            }
            return;
        }
        let rows = from.len() / pitch;
        for r in 0..rows {
            let (line, place) = (from.as_ptr().add(r * pitch), to.add(r * width));
            let (readable, writable) = ((rows - r) * pitch, (rows - r) * width);
            let mut at = 0;
            while at < width && at + BLOCK <= readable.min(writable) {
                let block = line.add(at).cast::<[A; BLOCK]>().read_unaligned();
                place.add(at).cast::<[B; BLOCK]>().write_unaligned(block.map(|v| f(v, 0)));
                at += BLOCK;
            }
            while at < width {
                *place.add(at) = f(*line.add(at), 0);
                at += 1;
            }
        }
    }
}

#[allow(clippy::extra_unused_type_parameters, reason = "every kernel names its instruction set")]
#[inline(always)]
unsafe fn sum<T: Float, I: Isa>(
    bands: &Bands,
    planes: usize,
    x: *const T,
    readable: usize,
    out: *mut T,
    work: Work<T>,
) {
    let plane: usize = bands.window.input.iter().product();
    let mut bands_left = BandIter::new(bands, planes);
    while let Some(At { band, plane: first_plane, planes: group, result: first }) = bands_left.next() {
        let n = bands.places(band);
        // SAFETY: the band's part of the input, the results and the scratch.
        unsafe {
            let from = first_plane * plane;
            bands.deal(band, group, x.add(from), readable - from, T::ZERO, work.dealt);
            let sums = std::slice::from_raw_parts_mut(work.best, n);
            sums.fill(T::DEAD);
            for tap in &bands.taps {
                let values = std::slice::from_raw_parts(work.dealt.add(tap.offset), n);
                for (s, &v) in sums.iter_mut().zip(values) {
                    *s = *s + v;
                }
            }
            write_rows(sums, bands.pitch, out.add(first), bands.output[2], |v, _| v);
        }
    }
}
