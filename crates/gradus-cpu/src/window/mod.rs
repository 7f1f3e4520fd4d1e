//! Pooling: the largest element and the sum over windows of the spatial axes, and their transposes.
//!
//! The maximum can record which tap of the window it came from, in two bytes a result: all that its gradient needs.

mod bands;
mod kernel;
mod run;
mod spread;
mod transposed;

use thiserror::Error;

use gradus_core::ops::WindowsAlong;

use crate::conv::{MAX_SPATIAL, Spatial};
use crate::reduce::LengthError;
pub(crate) use kernel::{MaxKernel, Record, SumKernel};
pub(crate) use spread::{Origin, SpreadKernel};

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
    /// Sizes, padding or dilations beyond what memory can address.
    #[error("the padded input of a pooling has more than {MOST} elements")]
    TooLarge,
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

/// Elements of anything, padding included. Where a padded axis is no longer than this, no step or dilation means more.
const MOST: usize = isize::MAX as usize / 8;

fn spread(values: &[usize], fill: usize) -> Result<Spatial, WindowError> {
    if values.is_empty() || values.len() > MAX_SPATIAL {
        return Err(WindowError::Rank(values.len()));
    }
    let mut all = [fill; MAX_SPATIAL];
    all[MAX_SPATIAL - values.len()..].copy_from_slice(values);
    Ok(all)
}

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
        self.stride = spread(stride, 1)?.map(|step| step.min(MOST));
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
        self.dilation = spread(dilation, 1)?.map(|step| step.min(MOST));
        Ok(self)
    }

    /// Extents of the result.
    ///
    /// # Errors
    /// When a window does not fit into the padded input, or that is larger than memory can be.
    pub fn output(&self) -> Result<Spatial, WindowError> {
        let mut output = [1; MAX_SPATIAL];
        for axis in 0..MAX_SPATIAL {
            let padded = self.padded(axis);
            let span = (self.size[axis] - 1).saturating_mul(self.dilation[axis]).saturating_add(1);
            if padded > MOST {
                return Err(WindowError::TooLarge);
            }
            if padded < span {
                return Err(WindowError::Span { axis, span, padded });
            }
            output[axis] = (padded - span) / self.stride[axis] + 1;
        }
        Ok(output)
    }

    /// Extent of the padded input.
    fn padded(&self, axis: usize) -> usize {
        self.input[axis].saturating_add(self.low[axis]).saturating_add(self.high[axis])
    }

    fn taps(&self) -> usize {
        self.size.iter().product()
    }

    /// Elements of the input and of the result of `planes` planes. The one test of sizes: the padded input is not too
    /// large, so that every place a window can ask for is a number.
    fn sizes(&self, planes: usize) -> Result<(usize, usize), WindowError> {
        let output = self.output()?;
        let padded: [usize; MAX_SPATIAL] = std::array::from_fn(|axis| self.padded(axis));
        let all = padded.iter().fold(planes.max(1), |n, &extent| extent.max(1).saturating_mul(n));
        if all > MOST {
            return Err(WindowError::TooLarge);
        }
        Ok((planes * self.input.iter().product::<usize>(), planes * output.iter().product::<usize>()))
    }

    /// The windows along one axis.
    fn along(&self, d: usize) -> WindowsAlong {
        let [size, stride, low, dilation, extent] =
            [self.size, self.stride, self.low, self.dilation, self.input].map(|parameter| parameter[d]);
        WindowsAlong { size, stride, low, dilation, extent }
    }

    /// Which element along each axis a tap is.
    fn tap(&self, tap: usize) -> [usize; MAX_SPATIAL] {
        [tap / self.size[2] / self.size[1], tap / self.size[2] % self.size[1], tap % self.size[2]]
    }

    /// Where tap `tap` of the window at `place` lies in a plane, unless in the padding or beyond the window.
    fn place_of(&self, place: [usize; MAX_SPATIAL], tap: usize) -> Option<usize> {
        if tap >= self.taps() {
            return None;
        }
        let k = self.tap(tap);
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
}
