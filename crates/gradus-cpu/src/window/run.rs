//! Pooling of all planes, on the threads of a pool.
//!
//! Invariant: operands and results have the lengths that `Window::sizes` states; a task writes the planes of its own.

use std::ops::Range;

use super::bands::Bands;
use super::kernel::{Record, Work, max_raw, sum_raw};
use super::{NOWHERE, Window, WindowError};
use crate::Pool;
use crate::conv::MAX_SPATIAL;
use crate::reduce::{Shared, expect_len};
use crate::vmath::Float;

/// Elements read by a task before it is worth handing out.
pub(super) const GRAIN: usize = 1 << 15;

impl Window {
    /// The largest element of each window, NaN if there is one, -∞ where a window lies wholly in the padding; and,
    /// when asked, which tap it is: the first such one, counted row by row, or [`NOWHERE`].
    ///
    /// # Errors
    /// When a window does not fit, or a slice does not have the shape's number of elements.
    pub fn max<T: Float>(
        &self,
        pool: &Pool,
        planes: usize,
        x: &[T],
        out: &mut [T],
        taps: Option<&mut [u16]>,
    ) -> Result<(), WindowError> {
        let (inputs, results) = self.sizes(planes)?;
        expect_len("the input of a pooling", x.len(), inputs)?;
        expect_len("the result of a pooling", out.len(), results)?;
        let record = match taps {
            Some(taps) => {
                expect_len("the indices of a pooling", taps.len(), results)?;
                Record::Short(taps.as_mut_ptr())
            }
            None => Record::None,
        };
        // SAFETY: the slices have the shape's numbers of elements.
        unsafe { self.max_into(pool, planes, x, out.as_mut_ptr(), record) }
    }

    /// [`max`](Window::max) into memory with any content; a record in bytes is for windows of less than 256 elements,
    /// one of places for windows that all reach into the plane.
    ///
    /// # Errors
    /// When a window does not fit, has too many elements, or lies wholly in the padding where places are asked for.
    ///
    /// # Safety
    /// `x` has the shape's number of elements; `out` and `record` can hold the results, apart from each other.
    pub(crate) unsafe fn max_into<T: Float>(
        &self,
        pool: &Pool,
        planes: usize,
        x: &[T],
        out: *mut T,
        record: Record,
    ) -> Result<(), WindowError> {
        let (inputs, results) = self.sizes(planes)?;
        let taps = self.taps();
        let most = if matches!(record, Record::Byte(_)) { 256 } else { NOWHERE as usize };
        if taps >= most || inputs / planes.max(1) > i32::MAX as usize {
            return Err(WindowError::Taps(taps));
        }
        let places = matches!(record, Record::Place(_));
        if places && !self.always_inside()? {
            return Err(WindowError::Taps(taps));
        }
        if results == 0 {
            return Ok(());
        }
        let (plane, result) = (inputs / planes, results / planes);
        let (bands, out) = (Bands::new(self, planes, places), Shared(out));
        self.over_planes(pool, planes, &bands, &|range, work| {
            let (x, out) = (&x[range.start * plane..], out.at(range.start * result));
            let record = record.at(range.start * result);
            // SAFETY: the planes of the input and of the results, which belong to this task alone.
            unsafe {
                match &bands {
                    Some(bands) => max_raw(bands, range.len(), x.as_ptr(), x.len(), out, record, work),
                    None => self.max_one_by_one(range.len(), x, out, record),
                }
            }
        });
        Ok(())
    }

    /// The sum of each window.
    ///
    /// # Errors
    /// When a window does not fit, or a slice does not have the shape's number of elements.
    pub fn sum<T: Float>(
        &self,
        pool: &Pool,
        planes: usize,
        x: &[T],
        out: &mut [T],
    ) -> Result<(), WindowError> {
        let (inputs, results) = self.sizes(planes)?;
        expect_len("the input of a pooling", x.len(), inputs)?;
        expect_len("the result of a pooling", out.len(), results)?;
        // SAFETY: the slices have the shape's numbers of elements.
        unsafe { self.sum_into(pool, planes, x, out.as_mut_ptr()) }
    }

    /// [`sum`](Window::sum) into memory with any content.
    ///
    /// # Errors
    /// When a window does not fit.
    ///
    /// # Safety
    /// `x` has the shape's number of elements; `out` can hold the results.
    pub(crate) unsafe fn sum_into<T: Float>(
        &self,
        pool: &Pool,
        planes: usize,
        x: &[T],
        out: *mut T,
    ) -> Result<(), WindowError> {
        let (inputs, results) = self.sizes(planes)?;
        if results == 0 {
            return Ok(());
        }
        let (plane, result) = (inputs / planes, results / planes);
        let (bands, out) = (Bands::new(self, planes, false), Shared(out));
        self.over_planes(pool, planes, &bands, &|range, work| {
            let (x, out) = (&x[range.start * plane..], out.at(range.start * result));
            // SAFETY: as above.
            unsafe {
                match &bands {
                    Some(bands) => sum_raw(bands, range.len(), x.as_ptr(), x.len(), out, work),
                    None => {
                        for i in 0..range.len() * result {
                            let x = &x[i / result * plane..][..plane];
                            let sum = self.elements(i % result).fold(T::ZERO, |sum, (_, at)| sum + x[at]);
                            *out.add(i) = sum;
                        }
                    }
                }
            }
        });
        Ok(())
    }

    /// Runs `body` over ranges of planes, each task with scratch of its own.
    fn over_planes<T: Float>(
        &self,
        pool: &Pool,
        planes: usize,
        bands: &Option<Bands>,
        body: &(dyn Fn(Range<usize>, Work<T>) + Sync),
    ) {
        let plane: usize = self.input.iter().product();
        let (dealt, results) = bands.as_ref().map_or((0, 0), Bands::scratch);
        pool.run_ranges(planes, (GRAIN / plane.max(1)).max(1), &|range| {
            let (mut values, mut taps) = (vec![T::ZERO; dealt + results], vec![0i32; results]);
            let (dealt_out, best) = values.split_at_mut(dealt);
            let work =
                Work { dealt: dealt_out.as_mut_ptr(), best: best.as_mut_ptr(), taps: taps.as_mut_ptr() };
            body(range, work);
        });
    }

    /// Whether every window reaches into the plane.
    fn always_inside(&self) -> Result<bool, WindowError> {
        let output = self.output()?;
        Ok((0..MAX_SPATIAL).all(|d| self.along(d).all_hold_elements(output[d])))
    }

    /// The taps of a window that lie inside the plane, and where.
    pub(super) fn elements(&self, result: usize) -> impl Iterator<Item = (usize, usize)> + '_ {
        let output = self.output().unwrap_or([1; MAX_SPATIAL]);
        let place = [result / output[2] / output[1], result / output[2] % output[1], result % output[2]];
        let [depths, rows, columns] = std::array::from_fn(|d| self.along(d).taps(place[d]));
        let at = move |k: [usize; MAX_SPATIAL]| {
            let tap = (k[0] * self.size[1] + k[1]) * self.size[2] + k[2];
            let inside = |d: usize| place[d] * self.stride[d] + k[d] * self.dilation[d] - self.low[d];
            (tap, (0..MAX_SPATIAL).fold(0, |at, d| at * self.input[d] + inside(d)))
        };
        depths.flat_map(move |d| {
            let columns = columns.clone();
            rows.clone().flat_map(move |r| columns.clone().map(move |c| at([d, r, c])))
        })
    }

    /// The maxima of windows too large for bands.
    ///
    /// # Safety
    /// As for [`max_into`](Window::max_into).
    unsafe fn max_one_by_one<T: Float>(&self, planes: usize, x: &[T], out: *mut T, record: Record) {
        let (plane, output) = (self.input.iter().product::<usize>(), self.output().unwrap_or([0; 3]));
        let result: usize = output.iter().product();
        for i in 0..planes * result {
            let x = &x[i / result * plane..][..plane];
            let mut best = (T::from_f64(f64::NEG_INFINITY), NOWHERE as usize, 0);
            for (tap, at) in self.elements(i % result) {
                let v = x[at];
                if best.1 == NOWHERE as usize || v > best.0 || (v.is_nan() && !best.0.is_nan()) {
                    best = (v, tap, at);
                }
            }
            // SAFETY: the caller's promise.
            unsafe {
                *out.add(i) = best.0;
                match record.at(i) {
                    Record::None => {}
                    Record::Byte(to) => *to = best.1 as u8,
                    Record::Short(to) => *to = best.1 as u16,
                    Record::Place(to) => *to = best.2 as i32,
                }
            }
        }
    }
}
