//! A decoder-only transformer for text.

use gradus::{DType, Key, Tensor, Tree, scope};

use crate::layers::{Activation, Attention, Embedding, LayerNorm, Linear};
use crate::{Init, Model};

/// One layer: `x + attention(norm(x))`, then `x + f₂(gelu(f₁(norm(x))))`.
#[derive(Clone, Debug, Tree)]
pub struct Block {
    /// Before the attention.
    pub norm_1: LayerNorm,
    /// Each place sees itself and what is before it.
    pub attention: Attention,
    /// Before the two linear layers.
    pub norm_2: LayerNorm,
    /// `[width, 4 width]`, then `[4 width, width]`.
    pub linear: [Linear; 2],
    /// Between the two.
    pub activation: Activation,
}

impl Block {
    fn new(key: &Key, width: usize, heads: usize) -> Self {
        let (keys, wide) = (key.split_n(3), width.saturating_mul(4));
        Block {
            norm_1: LayerNorm::new(width),
            attention: Attention::new(&keys[0], width, heads).causal(),
            norm_2: LayerNorm::new(width),
            linear: [Linear::new(&keys[1], width, wide), Linear::new(&keys[2], wide, width)],
            activation: Activation::Gelu,
        }
    }

    /// `[N, T, width]` to the same shape.
    #[track_caller]
    pub fn forward(&self, x: &Tensor) -> Tensor {
        let x = x + scope("attention", || self.attention.forward(&self.norm_1.forward(x)));
        let hidden =
            scope("linear.0", || self.activation.apply(&self.linear[0].forward(&self.norm_2.forward(&x))));
        &x + scope("linear.1", || self.linear[1].forward(&hidden))
    }
}

/// A GPT with normalisation before each part (Radford et al. 2019): embeddings of tokens and of places, blocks, a last
/// normalisation, and a linear layer to the vocabulary.
///
/// ```
/// use gradus::{Key, Tensor};
/// use gradus_nn::{Model, models::Gpt};
/// let model = Gpt::new(&Key::new(0), 2, 16, 2, 8, 11);
/// assert_eq!(model.forward(&Tensor::from([[1i64, 5, 10]]), None).shape(), &[1, 3, 11].into());
/// ```
#[derive(Clone, Debug, Tree)]
pub struct Gpt {
    /// `[vocabulary, width]`.
    pub tokens: Embedding,
    /// `[context, width]`.
    pub places: Tensor,
    /// The layers, first to last.
    pub blocks: Vec<Block>,
    /// After the last block.
    pub norm: LayerNorm,
    /// `[width, vocabulary]`.
    pub head: Linear,
}

impl Gpt {
    /// `layers` blocks of `heads` heads over `width` features, for texts of up to `context` tokens.
    pub fn new(
        key: &Key,
        layers: usize,
        width: usize,
        heads: usize,
        context: usize,
        vocabulary: usize,
    ) -> Self {
        let keys = key.split_n(layers.saturating_add(3));
        Gpt {
            tokens: Embedding::new(&keys[layers], vocabulary, width),
            places: Init::Normal(0.02).sample(&keys[layers + 1], [context, width], context, width),
            blocks: keys[..layers].iter().map(|key| Block::new(key, width, heads)).collect(),
            norm: LayerNorm::new(width),
            head: Linear::with(&keys[layers + 2], width, vocabulary, Init::Glorot),
        }
    }
}

impl Model for Gpt {
    /// `[N, T]` tokens to `[N, T, vocabulary]` logits; `T` is at most the context.
    #[track_caller]
    fn forward(&self, x: &Tensor, _: Option<&Key>) -> Tensor {
        let length = x.shape()[1] as isize;
        let mut h = scope("embedding", || self.tokens.forward(x) + self.places.slice(0, ..length));
        for (i, block) in self.blocks.iter().enumerate() {
            h = scope(format!("blocks.{i}"), || block.forward(&h));
        }
        scope("head", || self.head.forward(&self.norm.forward(&h)))
    }
}

/// Parameters of [`Gpt::new`].
pub(super) fn parameters(layers: usize, width: usize, context: usize, vocabulary: usize) -> usize {
    let linear = |i: usize, o: usize| (i + 1) * o;
    let attention = linear(width, 3 * width) + linear(width, width);
    let block = 4 * width + attention + linear(width, 4 * width) + linear(4 * width, width);
    (vocabulary + context) * width + layers * block + 2 * width + linear(width, vocabulary)
}

/// Tokens and the tokens that follow them, drawn evenly.
pub(super) fn texts(key: &Key, n: usize, context: usize, vocabulary: usize) -> (Tensor, Tensor) {
    let drawn = (key.uniform([n, context + 1], DType::F32) * vocabulary as f64).floor().cast(DType::I64);
    // A product rounded up to the vocabulary would be no token.
    let drawn = drawn.minimum(vocabulary as i64 - 1);
    (drawn.slice(1, ..-1), drawn.slice(1, 1..))
}
