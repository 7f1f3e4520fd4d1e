//! Multi-head self-attention.

use gradus::{Key, Tensor, Tree};

use super::Linear;
use crate::{Init, Mask, attention};

/// Self-attention of `[N, T, width]`: [`attention`] in each of `heads` heads (Vaswani et al. 2017).
///
/// ```
/// use gradus::{DType, Key};
/// use gradus_nn::layers::Attention;
/// let layer = Attention::new(&Key::new(0), 8, 2).causal();
/// let x = Key::new(1).normal([1, 5, 8], DType::F32);
/// let y = layer.forward(&x);
/// // What comes later has no effect on what came before.
/// let short = layer.forward(&x.slice(1, ..3));
/// assert!((y.slice(1, ..3) - short).abs().max(()).item::<f64>() < 1e-6);
/// ```
#[derive(Clone, Debug, Tree)]
pub struct Attention {
    /// Queries, keys and values at once: `[width, 3 width]`.
    pub inputs: Linear,
    /// `[width, width]`.
    pub output: Linear,
    heads: usize,
    causal: bool,
}

impl Attention {
    /// `heads` heads, each seeing everything; `heads` must divide `width`.
    pub fn new(key: &Key, width: usize, heads: usize) -> Self {
        let (a, b) = key.split();
        Attention {
            inputs: Linear::with(&a, width, width.saturating_mul(3), Init::Glorot),
            output: Linear::with(&b, width, width, Init::Glorot),
            heads,
            causal: false,
        }
    }

    /// The same, each place seeing only itself and what is before it.
    pub fn causal(self) -> Self {
        Attention { causal: true, ..self }
    }

    /// `[N, T, width]` to the same shape.
    #[track_caller]
    pub fn forward(&self, x: &Tensor) -> Tensor {
        self.forward_masked(x, if self.causal { Mask::Causal } else { Mask::None })
    }

    /// `[N, T, width]` to the same shape, each place seeing what a mask shows it, of `[N, heads, T, T]`.
    ///
    /// ```
    /// use gradus::{DType, Key, Tensor};
    /// use gradus_nn::{Mask, layers::Attention};
    /// let layer = Attention::new(&Key::new(0), 8, 2);
    /// let x = Key::new(1).normal([1, 5, 8], DType::F32);
    /// // The last two places are padding.
    /// let there = Tensor::arange(5, DType::I64).less(3);
    /// let y = layer.forward_masked(&x, Mask::Of(&there));
    /// assert!((y.slice(1, ..3) - layer.forward(&x.slice(1, ..3))).abs().max(()).item::<f64>() < 1e-6);
    /// ```
    #[track_caller]
    pub fn forward_masked(&self, x: &Tensor, mask: Mask<'_>) -> Tensor {
        let (n, t, width) = (x.shape()[0], x.shape()[1], x.shape()[2]);
        let size = width / self.heads.max(1);
        let qkv = self.inputs.forward(x).reshape([n, t, 3, self.heads, size]).permute([2, 0, 3, 1, 4]);
        let (q, k, v) = (qkv.index(0, 0), qkv.index(0, 1), qkv.index(0, 2));
        let mixed = attention(&q, &k, &v, mask);
        self.output.forward(&mixed.permute([0, 2, 1, 3]).reshape([n, t, width]))
    }
}
