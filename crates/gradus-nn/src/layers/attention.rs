//! Multi-head self-attention.

use gradus::{Axes, DType, Key, Tensor, Tree};

use super::Linear;
use crate::Init;

/// Self-attention of `[N, T, width]`: `softmax(Q Kᵀ / √d) V` in each of `heads` heads (Vaswani et al. 2017).
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
        let (n, t, width) = (x.shape()[0], x.shape()[1], x.shape()[2]);
        let size = width / self.heads.max(1);
        let qkv = self.inputs.forward(x).reshape([n, t, 3, self.heads, size]).permute([2, 0, 3, 1, 4]);
        let (q, k, v) = (qkv.index(0, 0), qkv.index(0, 1), qkv.index(0, 2));
        let scores = q.matmul(&k.t()) * (size as f64).sqrt().recip();
        let mixed = if self.causal { causal(&scores, &v) } else { scores.softmax(-1).matmul(&v) };
        self.output.forward(&mixed.permute([0, 2, 1, 3]).reshape([n, t, width]))
    }
}

/// `softmax(scores) v` over the places up to a row's own. What comes later has the weight 0 and may be infinite or NaN: values
/// that are no numbers are taken out of the product, and come back as NaN in the rows that see them.
#[track_caller]
fn causal(scores: &Tensor, v: &Tensor) -> Tensor {
    let t = v.shape()[v.rank() - 2];
    let past = Tensor::iota([t, 1], 0, DType::I64).greater_equal(Tensor::iota([1, t], 1, DType::I64));
    let weights = past.select(scores, f64::NEG_INFINITY).softmax(-1);
    let (finite, place) = (v.is_finite(), Tensor::iota([t, 1], 0, v.dtype()));
    let first_seen = finite.select(t as f64, &place).min(Axes::keep(-2));
    let mixed = weights.matmul(&finite.select(v, 0.0));
    place.less(first_seen).select(mixed, f64::NAN)
}
