//! Convolution over images.

use gradus::{Key, Stencil, Tensor, Tree};

use crate::Init;

/// A convolution of `[N, C, H, W]` with a square kernel.
///
/// ```
/// use gradus::{DType, Key, Tensor};
/// use gradus_nn::layers::Conv2d;
/// let layer = Conv2d::new(&Key::new(0), 1, 4, 3).padding(1).stride(2);
/// assert_eq!(layer.forward(&Tensor::ones([2, 1, 8, 8], DType::F32)).shape(), &[2, 4, 4, 4].into());
/// ```
#[derive(Clone, Debug, Tree)]
pub struct Conv2d {
    /// `[outputs, inputs / groups, size, size]`.
    pub weight: Tensor,
    /// `[outputs]`.
    pub bias: Option<Tensor>,
    stride: usize,
    padding: usize,
    groups: usize,
}

impl Conv2d {
    /// Weights by [`Init::He`], biases 0, stride 1, no padding.
    pub fn new(key: &Key, inputs: usize, outputs: usize, size: usize) -> Self {
        Self::grouped(key, inputs, outputs, size, 1)
    }

    /// One kernel for each channel: a depthwise convolution.
    pub fn depthwise(key: &Key, channels: usize, size: usize) -> Self {
        Self::grouped(key, channels, channels, size, channels)
    }

    fn grouped(key: &Key, inputs: usize, outputs: usize, size: usize, groups: usize) -> Self {
        // Where these saturate, the kernel is too large and says so.
        let fan = |channels: usize| (channels / groups.max(1)).saturating_mul(size).saturating_mul(size);
        let fan_in = fan(inputs);
        let shape = [outputs, inputs / groups.max(1), size, size];
        let weight = Init::He.sample(key, shape, fan_in, fan(outputs));
        let bias = Some(Init::Constant(0.0).sample(key, [outputs], fan_in, outputs));
        Conv2d { weight, bias, stride: 1, padding: 0, groups }
    }

    /// The same with zeros around the image.
    pub fn padding(self, padding: usize) -> Self {
        Conv2d { padding, ..self }
    }

    /// The same at every `stride`-th place.
    pub fn stride(self, stride: usize) -> Self {
        Conv2d { stride, ..self }
    }

    /// The same without a bias.
    pub fn without_bias(self) -> Self {
        Conv2d { bias: None, ..self }
    }

    /// `[N, C, H, W]` to `[N, outputs, H', W']`.
    #[track_caller]
    pub fn forward(&self, x: &Tensor) -> Tensor {
        let stencil = Stencil::new(2).stride(self.stride).padding(self.padding).groups(self.groups);
        let y = x.conv(&self.weight, &stencil);
        match &self.bias {
            Some(bias) => y + bias.reshape([1, bias.size(), 1, 1]),
            None => y,
        }
    }
}
