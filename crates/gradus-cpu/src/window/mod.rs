//! Pooling: the largest element and the sum over windows of the spatial axes, and their transposes.
//!
//! The maximum can record which tap of the window it came from, in two bytes a result: all that its gradient needs.

mod kernel;

use std::ops::Range;

use thiserror::Error;

use crate::Pool;
use crate::conv::{MAX_SPATIAL, Spatial};
use crate::reduce::{LengthError, Shared, expect_len};
use crate::vmath::Float;
pub(crate) use kernel::{MaxKernel, SumKernel};

/// The tap recorded where a window lies wholly in the padding.
pub const NOWHERE: u16 = u16::MAX;

/// Why a pooling cannot run.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum WindowError {
    /// The number of spatial axes is not supported, or differs between arguments.
    #[error("a window has 1 to {MAX_SPATIAL} axes, the same number everywhere; got {0}")]
    Rank(usize),
    /// A size, step or dilation of zero.
    #[error("window, stride and dilation must be at least 1")]
    Zero,
    /// The window does not fit into the padded input.
    #[error("along spatial axis {axis} a window spans {span} elements, but the padded input only {padded}")]
    Span {
        /// Which axis, counted among all [`MAX_SPATIAL`].
        axis: usize,
        /// Extent of the dilated window.
        span: usize,
        /// Extent of the padded input.
        padded: usize,
    },
    /// More taps than two bytes can tell apart.
    #[error(
        "a window of {0} elements is too large for recorded indices; take the maximum over whole axes instead"
    )]
    Taps(usize),
    /// A slice of the wrong length.
    #[error(transparent)]
    Length(#[from] LengthError),
}

/// Windows over planes of one to three axes.
///
/// ```
/// use gradus_cpu::{Pool, window::Window};
/// let window = Window::new(&[2, 4], &[2, 2])?.stride(&[2, 2])?;
/// let x = [1.0f32, 5.0, 2.0, 0.0, 3.0, 4.0, 8.0, 7.0];
/// let (mut largest, mut taps) = ([0.0; 2], [0u16; 2]);
/// window.max(Pool::global(), 1, &x, &mut largest, Some(&mut taps))?;
/// assert_eq!(largest, [5.0, 8.0]);
/// assert_eq!(taps, [1, 2]);
/// # Ok::<(), gradus_cpu::window::WindowError>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Window {
    pub(crate) input: Spatial,
    pub(crate) size: Spatial,
    pub(crate) stride: Spatial,
    pub(crate) low: Spatial,
    pub(crate) high: Spatial,
    pub(crate) dilation: Spatial,
}

fn spread(values: &[usize], fill: usize) -> Result<Spatial, WindowError> {
    if values.is_empty() || values.len() > MAX_SPATIAL {
        return Err(WindowError::Rank(values.len()));
    }
    let mut all = [fill; MAX_SPATIAL];
    all[MAX_SPATIAL - values.len()..].copy_from_slice(values);
    Ok(all)
}

/// Results of a task before it is worth handing out.
const GRAIN: usize = 1 << 13;

impl Window {
    /// Windows of a size over planes of an extent: step 1, no padding, no dilation.
    ///
    /// # Errors
    /// When the arguments do not have 1 to 3 axes, both the same number, or the size is zero somewhere.
    pub fn new(input: &[usize], size: &[usize]) -> Result<Self, WindowError> {
        if input.len() != size.len() {
            return Err(WindowError::Rank(size.len()));
        }
        if size.contains(&0) {
            return Err(WindowError::Zero);
        }
        let (ones, zeros) = ([1; MAX_SPATIAL], [0; MAX_SPATIAL]);
        let (input, size) = (spread(input, 1)?, spread(size, 1)?);
        Ok(Window { input, size, stride: ones, low: zeros, high: zeros, dilation: ones })
    }

    /// Steps between windows.
    ///
    /// # Errors
    /// When a step is zero or there are too many.
    pub fn stride(mut self, stride: &[usize]) -> Result<Self, WindowError> {
        if stride.contains(&0) {
            return Err(WindowError::Zero);
        }
        self.stride = spread(stride, 1)?;
        Ok(self)
    }

    /// Padding before and after, in which there is nothing.
    ///
    /// # Errors
    /// When there are too many.
    pub fn padding(mut self, low: &[usize], high: &[usize]) -> Result<Self, WindowError> {
        (self.low, self.high) = (spread(low, 0)?, spread(high, 0)?);
        Ok(self)
    }

    /// Distance of neighbours in a window.
    ///
    /// # Errors
    /// When a distance is zero or there are too many.
    pub fn dilation(mut self, dilation: &[usize]) -> Result<Self, WindowError> {
        if dilation.contains(&0) {
            return Err(WindowError::Zero);
        }
        self.dilation = spread(dilation, 1)?;
        Ok(self)
    }

    /// Extents of the result.
    ///
    /// # Errors
    /// When a window does not fit into the padded input.
    pub fn output(&self) -> Result<Spatial, WindowError> {
        let mut output = [1; MAX_SPATIAL];
        for axis in 0..MAX_SPATIAL {
            let padded = self.input[axis] + self.low[axis] + self.high[axis];
            let span = (self.size[axis] - 1) * self.dilation[axis] + 1;
            if padded < span {
                return Err(WindowError::Span { axis, span, padded });
            }
            output[axis] = (padded - span) / self.stride[axis] + 1;
        }
        Ok(output)
    }

    fn taps(&self) -> usize {
        self.size.iter().product()
    }

    fn sizes(&self, planes: usize) -> Result<(usize, usize), WindowError> {
        let plane: usize = self.input.iter().product();
        let results: usize = self.output()?.iter().product();
        Ok((planes * plane, planes * results))
    }

    /// Runs `body` over ranges of planes.
    fn over_planes(&self, pool: &Pool, planes: usize, body: &(dyn Fn(Range<usize>) + Sync)) {
        let plane: usize = self.input.iter().product();
        pool.run_ranges(planes, (GRAIN / plane.max(1)).max(1), body);
    }

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
        if self.taps() >= NOWHERE as usize {
            return Err(WindowError::Taps(self.taps()));
        }
        let indices = match taps {
            Some(taps) => {
                expect_len("the indices of a pooling", taps.len(), results)?;
                Shared(taps.as_mut_ptr())
            }
            None => Shared(std::ptr::null_mut()),
        };
        if results == 0 {
            return Ok(());
        }
        let (plane, result) = (inputs / planes, results / planes);
        let out = Shared(out.as_mut_ptr());
        self.over_planes(pool, planes, &|range| {
            for p in range {
                let taps = if indices.0.is_null() { indices.0 } else { indices.at(p * result) };
                // SAFETY: plane `p` of the input and of the results, which belong to this task alone.
                unsafe {
                    kernel::max_raw(self, x.as_ptr().wrapping_add(p * plane), out.at(p * result), taps)
                };
            }
        });
        Ok(())
    }

    /// [`max`](Window::max), telling where in its plane each element lies, counted row by row: the first such place.
    /// Every window has to reach into the plane.
    ///
    /// # Errors
    /// As for [`max`](Window::max); also when a window lies wholly in the padding.
    pub(crate) fn max_with_places<T: Float>(
        &self,
        pool: &Pool,
        planes: usize,
        x: &[T],
        out: &mut [T],
        places: &mut [i32],
    ) -> Result<(), WindowError> {
        let (inputs, results) = self.sizes(planes)?;
        expect_len("the input of a pooling", x.len(), inputs)?;
        expect_len("the result of a pooling", out.len(), results)?;
        expect_len("the places of a pooling", places.len(), results)?;
        if self.taps() >= NOWHERE as usize || inputs / planes.max(1) > i32::MAX as usize {
            return Err(WindowError::Taps(self.taps()));
        }
        let (output, last) = (self.output()?, self.size);
        let reaches = |d: usize, p: usize| {
            let begin = p * self.stride[d];
            (0..last[d]).any(|k| {
                begin + k * self.dilation[d] >= self.low[d]
                    && begin + k * self.dilation[d] < self.low[d] + self.input[d]
            })
        };
        if results == 0 || (0..MAX_SPATIAL).any(|d| (0..output[d]).any(|p| !reaches(d, p))) {
            return if results == 0 { Ok(()) } else { Err(WindowError::Taps(self.taps())) };
        }
        let (plane, result) = (inputs / planes, results / planes);
        // A place is that of the window's first tap, which may lie in the padding, and the tap's distance from it.
        let flat = |at: [isize; MAX_SPATIAL]| {
            (at[0] * self.input[1] as isize + at[1]) * self.input[2] as isize + at[2]
        };
        let begin = |i: usize| {
            let p = [i / output[2] / output[1], i / output[2] % output[1], i % output[2]];
            flat(std::array::from_fn(|d| (p[d] * self.stride[d]) as isize - self.low[d] as isize)) as i32
        };
        let step = |tap: usize| {
            let k =
                [tap / self.size[2] / self.size[1], tap / self.size[2] % self.size[1], tap % self.size[2]];
            flat(std::array::from_fn(|d| (k[d] * self.dilation[d]) as isize)) as i32
        };
        let begins: Vec<i32> = (0..result).map(begin).collect();
        let steps: Vec<i32> = (0..self.taps()).map(step).collect();
        let (out, places) = (Shared(out.as_mut_ptr()), Shared(places.as_mut_ptr()));
        self.over_planes(pool, planes, &|range| {
            let mut taps = vec![0u16; result];
            for p in range {
                // SAFETY: plane `p` of the input and of the results, which belong to this task alone.
                let places = unsafe {
                    let x = x.as_ptr().wrapping_add(p * plane);
                    kernel::max_raw(self, x, out.at(p * result), taps.as_mut_ptr());
                    std::slice::from_raw_parts_mut(places.at(p * result), result)
                };
                for ((place, &begin), &tap) in places.iter_mut().zip(&begins).zip(&taps) {
                    *place = begin + steps[tap as usize];
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
        if results == 0 {
            return Ok(());
        }
        let (plane, result) = (inputs / planes, results / planes);
        let out = Shared(out.as_mut_ptr());
        self.over_planes(pool, planes, &|range| {
            for p in range {
                // SAFETY: as above.
                unsafe { kernel::sum_raw(self, x.as_ptr().wrapping_add(p * plane), out.at(p * result)) };
            }
        });
        Ok(())
    }

    /// The transpose of [`sum`](Window::sum): each cotangent is added to every element of its window.
    ///
    /// # Errors
    /// When a window does not fit, or a slice does not have the shape's number of elements.
    pub fn sum_transposed<T: Float>(
        &self,
        pool: &Pool,
        planes: usize,
        cotangent: &[T],
        out: &mut [T],
    ) -> Result<(), WindowError> {
        self.scatter(pool, planes, cotangent, out, &|_, place, value, plane| {
            self.for_each_tap(place, |_, at| plane[at] = plane[at] + value);
        })
    }

    /// The transpose of [`max`](Window::max) at recorded taps: each cotangent goes to the element it came from.
    ///
    /// # Errors
    /// When a window does not fit, or a slice does not have the shape's number of elements.
    pub fn max_transposed<T: Float>(
        &self,
        pool: &Pool,
        planes: usize,
        cotangent: &[T],
        taps: &[u16],
        out: &mut [T],
    ) -> Result<(), WindowError> {
        expect_len("the indices of a pooling", taps.len(), cotangent.len())?;
        self.scatter(pool, planes, cotangent, out, &|index, place, value, plane| {
            if let Some(at) = self.place_of(place, taps[index] as usize) {
                plane[at] = plane[at] + value;
            }
        })
    }

    /// Calls `f(index, position, cotangent, plane)` for every result, plane by plane, on planes of zeros.
    fn scatter<T: Float>(
        &self,
        pool: &Pool,
        planes: usize,
        cotangent: &[T],
        out: &mut [T],
        f: &(dyn Fn(usize, [usize; MAX_SPATIAL], T, &mut [T]) + Sync),
    ) -> Result<(), WindowError> {
        let output = self.output()?;
        let (inputs, results) = self.sizes(planes)?;
        expect_len("the cotangent of a pooling", cotangent.len(), results)?;
        expect_len("the input cotangent of a pooling", out.len(), inputs)?;
        if inputs == 0 {
            return Ok(());
        }
        let (plane, result) = (inputs / planes, results / planes);
        let out = Shared(out.as_mut_ptr());
        self.over_planes(pool, planes, &|range| {
            for p in range {
                // SAFETY: plane `p` of the output belongs to this task alone.
                let to = unsafe { std::slice::from_raw_parts_mut(out.at(p * plane), plane) };
                to.fill(T::ZERO);
                for i in 0..result {
                    let place = [i / output[2] / output[1], i / output[2] % output[1], i % output[2]];
                    f(p * result + i, place, cotangent[p * result + i], to);
                }
            }
        });
        Ok(())
    }

    /// Where tap `tap` of the window at `place` lies in a plane, unless in the padding or beyond the window.
    fn place_of(&self, place: [usize; MAX_SPATIAL], tap: usize) -> Option<usize> {
        if tap >= self.taps() {
            return None;
        }
        let k = [tap / self.size[2] / self.size[1], tap / self.size[2] % self.size[1], tap % self.size[2]];
        let mut at = 0;
        for d in 0..MAX_SPATIAL {
            let i = (place[d] * self.stride[d] + k[d] * self.dilation[d]).checked_sub(self.low[d])?;
            if i >= self.input[d] {
                return None;
            }
            at = at * self.input[d] + i;
        }
        Some(at)
    }

    fn for_each_tap(&self, place: [usize; MAX_SPATIAL], mut f: impl FnMut(usize, usize)) {
        for tap in 0..self.taps() {
            if let Some(at) = self.place_of(place, tap) {
                f(tap, at);
            }
        }
    }
}
