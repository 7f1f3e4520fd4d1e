//! Convolution and pooling over the last axes.

use gradus_core::ops::{Conv, MaxPool, SumPool, Window};
use gradus_core::{Binary, Error, ErrorKind};

use crate::Tensor;
use crate::trace::{OrFail, emit, fail, here};

/// Axes of extents above 1 in anything that memory can hold, with some to spare for those of 1.
const MOST_AXES: usize = 128;

/// How a convolution or pooling window moves.
///
/// ```
/// use gradus::{DType, Stencil, Tensor};
/// let x = Tensor::ones([1, 3, 8, 8], DType::F32);
/// let w = Tensor::ones([4, 3, 3, 3], DType::F32);
/// assert_eq!(x.conv(&w, &Stencil::new(2).padding(1)).shape(), &[1, 4, 8, 8].into());
/// assert_eq!(x.conv(&w, &Stencil::new(2).padding(1).stride(2)).shape(), &[1, 4, 4, 4].into());
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Stencil {
    stride: Vec<usize>,
    padding: Vec<(usize, usize)>,
    dilation: Vec<usize>,
    groups: usize,
}

impl Stencil {
    /// Stride 1, no padding, no dilation, one group, over `dims` spatial axes.
    ///
    /// # Panics
    /// If there are more axes than any tensor has.
    #[track_caller]
    pub fn new(dims: usize) -> Self {
        if dims > MOST_AXES {
            let detail = format!("a window over {dims} axes; no tensor has so many");
            fail(Error::new(ErrorKind::Argument { op: "stencil", detail }, here()));
        }
        Stencil { stride: vec![1; dims], padding: vec![(0, 0); dims], dilation: vec![1; dims], groups: 1 }
    }
    /// The step between results, on every axis.
    pub fn stride(mut self, stride: usize) -> Self {
        self.stride.fill(stride);
        self
    }
    /// The step between results, axis by axis.
    pub fn strides(mut self, stride: &[usize]) -> Self {
        self.stride = stride.to_vec();
        self
    }
    /// Padding before and after, on every axis.
    pub fn padding(mut self, padding: usize) -> Self {
        self.padding.fill((padding, padding));
        self
    }
    /// Padding before and after, axis by axis.
    pub fn paddings(mut self, padding: &[(usize, usize)]) -> Self {
        self.padding = padding.to_vec();
        self
    }
    /// The distance of kernel elements, on every axis.
    pub fn dilation(mut self, dilation: usize) -> Self {
        self.dilation.fill(dilation);
        self
    }
    /// Groups of channels that do not mix; as many as channels for a depthwise convolution.
    pub fn groups(mut self, groups: usize) -> Self {
        self.groups = groups;
        self
    }

    fn window(&self, size: &[usize]) -> Window {
        Window {
            size: size.into(),
            stride: self.stride.iter().copied().collect(),
            low: self.padding.iter().map(|p| p.0).collect(),
            high: self.padding.iter().map(|p| p.1).collect(),
            dilation: self.dilation.iter().copied().collect(),
        }
    }
}

impl Tensor {
    /// The convolution (cross-correlation) of `[N, C, spatial…]` with a kernel `[O, C / groups, spatial…]`, giving
    /// `[N, O, spatial…]`. Padding is no term of it: a NaN in the kernel reaches the results whose elements it meets.
    ///
    /// ```
    /// use gradus::{Stencil, Tensor};
    /// let x = Tensor::new([1, 1, 3], vec![1.0, 2.0, 3.0])?;
    /// let w = Tensor::new([1, 1, 3], vec![1.0, 1.0, f64::NAN])?;
    /// let y = x.conv(&w, &Stencil::new(1).padding(1)).flatten().to_vec::<f64>();
    /// assert!(y[0].is_nan() && y[1].is_nan() && y[2] == 5.0);
    /// # Ok::<(), gradus::Error>(())
    /// ```
    #[track_caller]
    pub fn conv(&self, kernel: &Tensor, stencil: &Stencil) -> Tensor {
        // Padding that no `isize` holds is as much too large as the largest that one does.
        let zeros = |n: usize| isize::try_from(n).unwrap_or(isize::MAX);
        let op = Conv {
            stride: stencil.stride.iter().copied().collect(),
            low: stencil.padding.iter().map(|p| zeros(p.0)).collect(),
            high: stencil.padding.iter().map(|p| zeros(p.1)).collect(),
            lhs_dilation: stencil.stride.iter().map(|_| 1).collect(),
            rhs_dilation: stencil.dilation.iter().copied().collect(),
            feature_groups: stencil.groups,
            batch_groups: 1,
            tangents: [false; 2],
            numbers: false,
        };
        Tensor::apply(op, &[self, kernel])
    }

    /// The convolution of `[N, C, H, W]` with a kernel `[O, C, h, w]`.
    #[track_caller]
    pub fn conv2d(&self, kernel: &Tensor, stride: usize, padding: usize) -> Tensor {
        self.conv(kernel, &Stencil::new(2).stride(stride).padding(padding))
    }

    /// The largest element of every window over the last axes; the first of equal ones has the derivative.
    #[track_caller]
    pub fn max_pool(&self, size: &[usize], stencil: &Stencil) -> Tensor {
        emit(&MaxPool { window: stencil.window(size) }.into(), &[self], &here()).or_fail().remove(0)
    }

    /// The largest element of `size` x `size` windows, one beside the other, over the last two axes.
    ///
    /// ```
    /// # use gradus::Tensor;
    /// let x = Tensor::from([[1.0, 2.0], [4.0, 3.0]]);
    /// assert_eq!(x.max_pool2d(2), Tensor::from([[4.0]]));
    /// ```
    #[track_caller]
    pub fn max_pool2d(&self, size: usize) -> Tensor {
        self.max_pool(&[size, size], &Stencil::new(2).stride(size))
    }

    /// The mean of every window over the last axes; padding counts as zeros.
    #[track_caller]
    pub fn avg_pool(&self, size: &[usize], stencil: &Stencil) -> Tensor {
        let sums = Tensor::apply(SumPool { window: stencil.window(size) }, &[self]);
        sums.with_constant(Binary::Mul, 1.0 / size.iter().product::<usize>() as f64)
    }

    /// The mean of `size` x `size` windows, one beside the other, over the last two axes.
    #[track_caller]
    pub fn avg_pool2d(&self, size: usize) -> Tensor {
        self.avg_pool(&[size, size], &Stencil::new(2).stride(size))
    }
}
