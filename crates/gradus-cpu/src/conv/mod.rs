//! Convolution in one to three spatial dimensions, in the general form that its own derivatives take.
//!
//! With `x: [N, C, spatial]`, a kernel `[O, C/groups, spatial]` and a result `[N, O, spatial]`,
//!
//! `out[n, o, p] = Σ x[n, c, (p·stride + k·rhs_dilation - low)/lhs_dilation] kernel[o, c, k]`
//!
//! over the channels `c` of the group and the taps `k` whose index is an integer inside `x`. The input gradient is such
//! a convolution of the result's cotangent, with stride and input dilation exchanged; the weight gradient is one with
//! batch and channels exchanged. So batch and channel axes may lie at any strides: no operand is ever transposed in
//! memory for it.
//!
//! * one product whose left operand, the patches, is read through offsets and never written down: for all three;
//! * in single precision, 3 × 3 and 5 × 5 convolutions at step 1 with many channels by Winograd's method;
//! * pointwise convolutions as batched products on the input where it lies; depthwise ones, and others with very few
//!   output channels a group, as direct loops;
//! * input dilation is taken apart into phases, so that no zeros are multiplied.
//!
//! Invariant: what runs has passed `Conv::sized`, the one test of sizes, and the check of lengths.

mod absorbing;
mod correlate;
mod depthwise;
mod indirect;
mod job;
mod micro;
mod nonfinite;
mod packed;
mod phases;
mod reference;
mod segments;
mod winograd;
mod workspace;

use thiserror::Error;

use crate::Pool;
use crate::matmul::Element;
use crate::memory::Line as Storage;
use crate::reduce::Shared;
use crate::vmath::Float;
pub(crate) use absorbing::{Elements, run as absorbing};
pub(crate) use correlate::CorrelateKernel;
pub(crate) use depthwise::{DepthwiseKernel, FlatKernel};
use job::Job;
pub(crate) use job::Target;
pub use micro::Micro;
pub(crate) use micro::Task;
pub(crate) use phases::gcd;
pub use reference::reference;
pub(crate) use segments::Line;
pub(crate) use winograd::WinogradKernel;
pub(crate) use workspace::{Workspace, WorkspaceSizes};

/// The most spatial axes a convolution may have.
pub const MAX_SPATIAL: usize = 3;

/// Extents or steps along the spatial axes; unused leading axes have extent and step 1.
pub type Spatial = [usize; MAX_SPATIAL];

/// Why a convolution cannot run.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum ConvError {
    /// The number of spatial axes is not supported, or differs between arguments.
    #[error("a convolution has 1 to {MAX_SPATIAL} spatial axes, the same number everywhere; got {0}")]
    Rank(usize),
    /// A step, dilation or group count of zero.
    #[error("{0} must be at least 1")]
    Zero(&'static str),
    /// Groups that do not divide what they split.
    #[error("{groups} groups do not divide {what}, of which there are {count}")]
    Groups {
        /// What is split.
        what: &'static str,
        /// How many of them.
        count: usize,
        /// Into how many groups.
        groups: usize,
    },
    /// Both kinds of groups at once.
    #[error("feature groups and batch groups cannot be used together")]
    BothGroups,
    /// The kernel does not fit into the padded input.
    #[error(
        "along spatial axis {axis} the kernel spans {window} elements, but the padded input only {padded}"
    )]
    Window {
        /// Which axis, counted among all [`MAX_SPATIAL`].
        axis: usize,
        /// Extent of the dilated kernel.
        window: usize,
        /// Extent of the dilated and padded input.
        padded: isize,
    },
    /// An operand reaches outside its slice.
    #[error("{operand} needs {need} elements, but its slice has {len}")]
    Length {
        /// Which operand.
        operand: &'static str,
        /// Elements from its start to its last one.
        need: usize,
        /// Elements there are.
        len: usize,
    },
    /// Sizes, padding or dilations beyond what memory can address.
    #[error("the operands, the padded input or the result have more than {} elements", isize::MAX as usize / 8)]
    TooLarge,
    /// Two results have one place.
    #[error("the batch and channel strides of the result make elements coincide")]
    Overlap,
}

/// The parameters of a convolution.
///
/// ```
/// use gradus_cpu::{Pool, conv::Conv};
/// // One image of one channel, 1 × 4, and the kernel [1, 2, 3] with one zero of padding on both sides.
/// let conv = Conv::new(1, 1, 1, &[4], &[3])?.padding(&[1], &[1])?;
/// let mut out = [0.0f32; 4];
/// conv.run(Pool::global(), &[1.0, 2.0, 3.0, 4.0], &[1.0, 2.0, 3.0], &mut out)?;
/// assert_eq!(out, [8.0, 14.0, 20.0, 11.0]);
/// # Ok::<(), gradus_cpu::conv::ConvError>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Conv {
    pub(crate) batch: usize,
    pub(crate) channels: usize,
    pub(crate) outputs: usize,
    pub(crate) input: Spatial,
    pub(crate) kernel: Spatial,
    pub(crate) stride: Spatial,
    pub(crate) low: [isize; MAX_SPATIAL],
    pub(crate) high: [isize; MAX_SPATIAL],
    pub(crate) lhs_dilation: Spatial,
    pub(crate) rhs_dilation: Spatial,
    pub(crate) feature_groups: usize,
    pub(crate) batch_groups: usize,
    /// Distances between examples and between channels of the input.
    pub(crate) x_strides: [usize; 2],
    /// Distances between output channels and between input channels of the kernel.
    pub(crate) k_strides: [usize; 2],
    /// Where the first tap lies in the kernel's slice, and distances between taps.
    pub(crate) k_first: usize,
    pub(crate) k_steps: [isize; MAX_SPATIAL],
    /// Distances between examples and between channels of the result.
    pub(crate) out_strides: [usize; 2],
}

/// Right-aligned in `MAX_SPATIAL` places.
fn spread<T: Copy>(values: &[T], fill: T) -> Result<[T; MAX_SPATIAL], ConvError> {
    if values.is_empty() || values.len() > MAX_SPATIAL {
        return Err(ConvError::Rank(values.len()));
    }
    let mut all = [fill; MAX_SPATIAL];
    all[MAX_SPATIAL - values.len()..].copy_from_slice(values);
    Ok(all)
}

fn positive(what: &'static str, values: &[usize]) -> Result<Spatial, ConvError> {
    if values.contains(&0) {
        return Err(ConvError::Zero(what));
    }
    spread(values, 1)
}

/// Where element `at` of some extents, counted row by row, lies along the axes.
fn along(at: usize, extents: &Spatial) -> Spatial {
    let [_, height, width] = *extents;
    [at / width / height, at / width % height, at % width]
}

/// Extent of `n` elements spread at a distance.
fn dilated(n: usize, dilation: usize) -> i128 {
    if n == 0 { 0 } else { (n as i128 - 1) * dilation as i128 + 1 }
}

/// The product of some extents, saturating: until [`Conv::sized`] has seen them they may be anything.
fn volume(extents: &[usize]) -> usize {
    extents.iter().fold(1, |n, &extent| extent.saturating_mul(n))
}

impl Conv {
    /// A convolution of `batch` examples with `channels` into `outputs` channels: step 1, no padding, no dilation, no
    /// groups, all operands contiguous.
    ///
    /// # Errors
    /// When input and kernel do not have 1 to 3 spatial axes, both the same number.
    pub fn new(
        batch: usize,
        channels: usize,
        outputs: usize,
        input: &[usize],
        kernel: &[usize],
    ) -> Result<Self, ConvError> {
        if input.len() != kernel.len() {
            return Err(ConvError::Rank(kernel.len()));
        }
        let ones = [1; MAX_SPATIAL];
        let conv = Conv {
            batch,
            channels,
            outputs,
            input: spread(input, 1)?,
            kernel: spread(kernel, 1)?,
            stride: ones,
            low: [0; MAX_SPATIAL],
            high: [0; MAX_SPATIAL],
            lhs_dilation: ones,
            rhs_dilation: ones,
            feature_groups: 1,
            batch_groups: 1,
            x_strides: [0; 2],
            k_strides: [0; 2],
            k_first: 0,
            k_steps: [0; MAX_SPATIAL],
            out_strides: [0; 2],
        };
        Ok(conv.contiguous())
    }

    /// Operands and result in row-major order; called by every setter, so strides are set last.
    fn contiguous(mut self) -> Self {
        let [input, kernel, output] = [self.input, self.kernel, self.output()].map(|s| volume(&s));
        self.x_strides = [self.channels.saturating_mul(input), input];
        self.k_strides = [self.group_channels().saturating_mul(kernel), kernel];
        (self.k_first, self.k_steps) = (0, self.dense_steps());
        self.out_strides = [self.outputs.saturating_mul(output), output];
        self
    }

    /// Extent of the dilated and padded input, and of the dilated kernel.
    fn spans(&self, d: usize) -> (i128, i128) {
        let input = dilated(self.input[d], self.lhs_dilation[d]);
        (input + self.low[d] as i128 + self.high[d] as i128, dilated(self.kernel[d], self.rhs_dilation[d]))
    }

    /// The convolution with its parameters checked: the one test of sizes, which all code that computes with them
    /// relies on. Operands, padded input and result have at most `isize::MAX / 8` elements each, and no step or
    /// dilation leads further than the padded input's end, where it means the same.
    ///
    /// # Errors
    /// When something is too large, or the kernel does not fit into the padded input.
    pub(crate) fn sized(mut self) -> Result<Self, ConvError> {
        let most = isize::MAX as i128 / 8;
        let mut padded = [1usize; MAX_SPATIAL];
        for axis in 0..MAX_SPATIAL {
            let (whole, window) = self.spans(axis);
            // Cropping at one side does not offset padding at the other.
            let input = dilated(self.input[axis], self.lhs_dilation[axis]);
            let widest = input + self.low[axis].max(0) as i128 + self.high[axis].max(0) as i128;
            if widest > most || window > most {
                return Err(ConvError::TooLarge);
            }
            if whole < window || window == 0 {
                let (window, padded) = (window as usize, whole.max(isize::MIN as i128) as isize);
                return Err(ConvError::Window { axis, window, padded });
            }
            padded[axis] = widest.max(1) as usize;
            for step in [&mut self.stride, &mut self.lhs_dilation, &mut self.rhs_dilation] {
                step[axis] = step[axis].min(padded[axis]);
            }
        }
        let all = |count: [usize; 2], plane: &Spatial| {
            let extents = count.iter().chain(plane);
            extents.fold(1u128, |n, &extent| n.saturating_mul(extent.max(1) as u128)) <= most as u128
        };
        let channels = self.channels.max(self.outputs);
        let fits = all([self.batch, channels], &padded)
            && all([self.outputs, self.group_channels()], &self.kernel)
            && all([self.batch, self.outputs], &self.output());
        if fits { Ok(self) } else { Err(ConvError::TooLarge) }
    }

    /// Steps between results.
    ///
    /// # Errors
    /// When a step is zero or there are too many.
    pub fn stride(mut self, stride: &[usize]) -> Result<Self, ConvError> {
        self.stride = positive("a stride", stride)?;
        Ok(self.contiguous())
    }

    /// Zeros before and after the (dilated) input; negative padding cuts off.
    ///
    /// # Errors
    /// When there are too many.
    pub fn padding(mut self, low: &[isize], high: &[isize]) -> Result<Self, ConvError> {
        (self.low, self.high) = (spread(low, 0)?, spread(high, 0)?);
        Ok(self.contiguous())
    }

    /// Distances at which the elements of the input and of the kernel are spread.
    ///
    /// # Errors
    /// When a distance is zero or there are too many.
    pub fn dilation(mut self, lhs: &[usize], rhs: &[usize]) -> Result<Self, ConvError> {
        (self.lhs_dilation, self.rhs_dilation) = (positive("a dilation", lhs)?, positive("a dilation", rhs)?);
        Ok(self.contiguous())
    }

    /// Feature groups: channels and output channels that do not mix. Batch groups: group `g` of the output channels
    /// sees group `g` of the examples.
    ///
    /// # Errors
    /// When a count is zero, does not divide what it splits, or both are above 1.
    pub fn groups(mut self, feature: usize, batch: usize) -> Result<Self, ConvError> {
        if feature == 0 || batch == 0 {
            return Err(ConvError::Zero("a group count"));
        }
        if feature > 1 && batch > 1 {
            return Err(ConvError::BothGroups);
        }
        let divides = |what, count: usize, groups: usize| {
            if count.is_multiple_of(groups) { Ok(()) } else { Err(ConvError::Groups { what, count, groups }) }
        };
        divides("channels", self.channels, feature)?;
        divides("output channels", self.outputs, feature * batch)?;
        divides("examples", self.batch, batch)?;
        (self.feature_groups, self.batch_groups) = (feature, batch);
        Ok(self.contiguous())
    }

    /// Distances between (examples, channels) of the input, (output channels, channels) of the kernel, and (examples,
    /// output channels) of the result; spatial axes stay contiguous. Set these last.
    pub fn strides(mut self, x: [usize; 2], kernel: [usize; 2], out: [usize; 2]) -> Self {
        (self.x_strides, self.k_strides, self.out_strides) = (x, kernel, out);
        self
    }

    /// Where the kernel's first tap lies in its slice, and the distances between taps along each spatial axis: negative
    /// ones read the kernel backwards, as an input gradient does. Set these last, with the strides.
    ///
    /// # Errors
    /// When there are too many.
    pub fn taps_at(mut self, first: usize, steps: &[isize]) -> Result<Self, ConvError> {
        let extents = &self.kernel[MAX_SPATIAL - steps.len().min(MAX_SPATIAL)..];
        let dense = spread(steps, 0)?;
        self.k_first = first;
        self.k_steps = self.dense_steps();
        for d in MAX_SPATIAL - extents.len()..MAX_SPATIAL {
            if self.kernel[d] > 1 {
                self.k_steps[d] = dense[d];
            }
        }
        Ok(self)
    }

    /// Distances between the taps of a kernel that lie one after another.
    fn dense_steps(&self) -> [isize; MAX_SPATIAL] {
        [volume(&self.kernel[1..]), self.kernel[2], 1].map(|step| isize::try_from(step).unwrap_or(isize::MAX))
    }

    /// Whether taps may lie on padding, or between elements.
    pub(crate) fn has_holes(&self) -> bool {
        let positive = |pads: &[isize]| pads.iter().any(|&pad| pad > 0);
        positive(&self.low) || positive(&self.high) || self.lhs_dilation.iter().any(|&step| step > 1)
    }

    /// Whether the taps between two channels lie one after another.
    pub(crate) fn has_dense_taps(&self) -> bool {
        let dense = self.dense_steps();
        (0..MAX_SPATIAL).all(|d| self.kernel[d] == 1 || self.k_steps[d] == dense[d])
    }

    /// Where tap `t`, counted row by row, lies beside the first.
    pub(crate) fn tap(&self, t: usize) -> isize {
        let at = along(t, &self.kernel);
        (0..MAX_SPATIAL).map(|d| at[d] as isize * self.k_steps[d]).sum()
    }

    /// Extents of the result along the [`MAX_SPATIAL`] axes; 0 where the kernel does not fit.
    pub fn output(&self) -> Spatial {
        std::array::from_fn(|d| {
            let (padded, window) = self.spans(d);
            let steps = (padded - window) / self.stride[d] as i128;
            if padded < window { 0 } else { usize::try_from(steps + 1).unwrap_or(usize::MAX) }
        })
    }

    /// Examples of the result.
    pub fn result_batch(&self) -> usize {
        self.batch / self.batch_groups
    }

    pub(crate) fn group_channels(&self) -> usize {
        self.channels / self.feature_groups
    }

    pub(crate) fn group_count(&self) -> usize {
        self.feature_groups * self.batch_groups
    }

    pub(crate) fn group_outputs(&self) -> usize {
        self.outputs / self.group_count()
    }

    pub(crate) fn taps(&self) -> usize {
        self.kernel.iter().product()
    }

    pub(crate) fn positions(&self) -> usize {
        self.output().iter().product()
    }

    /// Elements of the result.
    pub(crate) fn results(&self) -> usize {
        self.result_batch() * self.outputs * self.positions()
    }

    /// Multiplications and additions, counted as two, padding included.
    pub fn flops(&self) -> f64 {
        let inner = self.group_channels() * self.taps();
        2.0 * inner as f64 * self.results() as f64
    }

    /// Where group `g` begins in the input, the kernel and the result.
    pub(crate) fn group_offsets(&self, g: usize) -> [usize; 3] {
        let x = if self.batch_groups > 1 {
            g * self.result_batch() * self.x_strides[0]
        } else {
            g * self.group_channels() * self.x_strides[1]
        };
        [x, g * self.group_outputs() * self.k_strides[0], g * self.group_outputs() * self.out_strides[1]]
    }

    fn check(&self, x: usize, kernel: usize, out: usize) -> Result<(), ConvError> {
        let last = |counts: [usize; 2], strides: [usize; 2], plane: usize| {
            if counts.contains(&0) || plane == 0 {
                return 0;
            }
            let reach = |axis: usize| (counts[axis] as u128 - 1).saturating_mul(strides[axis] as u128);
            reach(0).saturating_add(reach(1)).saturating_add(plane as u128)
        };
        let fits = |operand, need: u128, len: usize| {
            let need = usize::try_from(need).unwrap_or(usize::MAX);
            if need <= len { Ok(()) } else { Err(ConvError::Length { operand, need, len }) }
        };
        fits("the input", last([self.batch, self.channels], self.x_strides, self.input.iter().product()), x)?;
        if self.outputs > 0 && self.group_channels() > 0 {
            let ends = |sign: i128| {
                let reach = |d: usize| (self.kernel[d] as i128 - 1) * self.k_steps[d] as i128;
                (0..MAX_SPATIAL).map(|d| reach(d) * sign).filter(|&r| r > 0).sum::<i128>() as u128
            };
            let planes = last([self.outputs, self.group_channels()], self.k_strides, 1);
            fits("the kernel", planes.saturating_add(self.k_first as u128).saturating_add(ends(1)), kernel)?;
            fits("the kernel, backwards,", ends(-1), self.k_first)?;
        }
        let counts = [self.result_batch(), self.outputs];
        fits("the result", last(counts, self.out_strides, self.positions()), out)?;
        // From the innermost axis on, the stride of each axis has to exceed the extent of all inner ones.
        let mut axes = [(counts[0], self.out_strides[0]), (counts[1], self.out_strides[1])];
        axes.sort_by_key(|&(_, stride)| stride);
        let mut reach = self.positions() as u128;
        for (count, stride) in axes {
            if count > 1 && (stride as u128) < reach {
                return Err(ConvError::Overlap);
            }
            reach = reach.saturating_add((stride as u128).saturating_mul(count.max(1) as u128 - 1));
        }
        Ok(())
    }

    /// Convolves `x` with `kernel` into `out`, all of which is overwritten.
    ///
    /// # Errors
    /// When the kernel does not fit into the padded input, an operand does not fit into its slice, or something is larger
    /// than memory can be.
    pub fn run<T: Float + Element>(
        &self,
        pool: &Pool,
        x: &[T],
        kernel: &[T],
        out: &mut [T],
    ) -> Result<(), ConvError> {
        let conv = self.sized()?;
        conv.check(x.len(), kernel.len(), out.len())?;
        let mut lines =
            vec![Storage::ZERO; conv.workspace_sizes::<T>().workspace.div_ceil(size_of::<Storage>())];
        // SAFETY: sizes and lengths have just been checked, nobody else has the result, and there is a workspace of the size it asks for.
        unsafe {
            let workspace = Workspace::new(lines.as_mut_ptr().cast(), size_of_val(&*lines));
            conv.run_raw(pool, x.as_ptr(), kernel.as_ptr(), out.as_mut_ptr(), workspace, false);
        }
        Ok(())
    }

    /// Whether operands and result of these lengths fit.
    ///
    /// # Errors
    /// As for [`run`](Self::run).
    pub(crate) fn fits(&self, x: usize, kernel: usize, out: usize) -> Result<(), ConvError> {
        self.check(x, kernel, out)
    }

    /// [`run`](Self::run) on pointers, into memory that may hold anything; true when all results are known to be finite.
    /// With `exact` sums are taken by definition, not by Winograd's maps.
    ///
    /// # Safety
    /// The convolution is [sized](Self::sized), operands and result [fit](Self::fits) what the pointers point to, the result
    /// is apart from the operands and
    /// nobody else uses it meanwhile; the workspace is as large as [`workspace_sizes`](Self::workspace_sizes) says.
    pub(crate) unsafe fn run_raw<T: Float + Element>(
        &self,
        pool: &Pool,
        x: *const T,
        kernel: *const T,
        out: *mut T,
        workspace: Workspace,
        exact: bool,
    ) -> bool {
        let (x, kernel) = (Shared(x.cast_mut()), Shared(kernel.cast_mut().wrapping_add(self.k_first)));
        let target = Target::plain(&self.output());
        let job = Job { conv: self, pool, x, kernel, out: Shared(out), target, workspace, exact };
        if self.results() == 0 {
            true
        } else if self.channels == 0 || self.input.contains(&0) {
            job.clear();
            true
        } else if phases::apply(self) {
            phases::run(&job)
        } else {
            job.dispatch()
        }
    }

    /// Example, output channel and position of element `i` of a result that has no gaps.
    pub(crate) fn place_of(&self, i: usize) -> [usize; 3] {
        let (plane, p) = (i / self.positions(), i % self.positions());
        if self.out_strides[1] == self.positions() {
            [plane / self.outputs, plane % self.outputs, p]
        } else {
            [plane % self.result_batch(), plane / self.result_batch(), p]
        }
    }

    /// The name of the code that runs for it.
    pub(crate) fn path<T: Float + Element>(&self) -> &'static str {
        if self.results() == 0 || self.channels == 0 || self.input.contains(&0) {
            return "of nothing";
        }
        if phases::apply(self) {
            return "by phases";
        }
        match self.algorithm(Target::plain(&self.output())) {
            job::Algorithm::Pointwise => "of one tap",
            job::Algorithm::Depthwise => "depthwise",
            job::Algorithm::Correlate => "correlation",
            job::Algorithm::Winograd if winograd::applies::<T>(self) => "winograd",
            job::Algorithm::Winograd | job::Algorithm::Indirect => "indirect",
            job::Algorithm::Apart => "by definition",
        }
    }

    /// Whether a result whose terms are all zero may be a rounding error of its neighbours instead of zero.
    pub(crate) fn smears<T>(&self) -> bool {
        let algorithm = self.algorithm(Target::plain(&self.output()));
        !phases::apply(self) && algorithm == job::Algorithm::Winograd && winograd::applies::<T>(self)
    }

    /// The workspace sizes of a run: the largest over all instruction sets.
    pub(crate) fn workspace_sizes<T: Float + Element>(&self) -> WorkspaceSizes {
        T::widths()
            .map(|width| self.workspace_sizes_at::<T>(width))
            .into_iter()
            .fold(WorkspaceSizes::default(), WorkspaceSizes::either)
    }

    fn workspace_sizes_at<T: Float + Element>(&self, width: usize) -> WorkspaceSizes {
        if self.results() == 0 || self.channels == 0 || self.input.contains(&0) {
            WorkspaceSizes::default()
        } else if phases::apply(self) {
            phases::workspace_sizes::<T>(self, width)
        } else {
            self.algorithm(Target::plain(&self.output())).workspace_sizes::<T>(self, width)
        }
    }
}
