//! Linear layers, and chains of them.

use gradus::{Key, Tensor, Tree, scope};

use super::Activation;
use crate::{Init, Model};

/// `y = x W + b` over the last axis.
///
/// ```
/// use gradus::{DType, Key, Tensor};
/// use gradus_nn::layers::Linear;
/// let layer = Linear::new(&Key::new(0), 3, 5);
/// assert_eq!(layer.forward(&Tensor::ones([2, 4, 3], DType::F32)).shape(), &[2, 4, 5].into());
/// ```
#[derive(Clone, Debug, Tree)]
pub struct Linear {
    /// `[inputs, outputs]`.
    pub weight: Tensor,
    /// `[outputs]`.
    pub bias: Option<Tensor>,
}

impl Linear {
    /// Weights by [`Init::He`], biases 0.
    pub fn new(key: &Key, inputs: usize, outputs: usize) -> Self {
        Self::with(key, inputs, outputs, Init::He)
    }

    /// Weights as told, biases 0.
    pub fn with(key: &Key, inputs: usize, outputs: usize, init: Init) -> Self {
        let weight = init.sample(key, [inputs, outputs], inputs, outputs);
        Linear { weight, bias: Some(Init::Constant(0.0).sample(key, [outputs], inputs, outputs)) }
    }

    /// The same without a bias.
    pub fn without_bias(self) -> Self {
        Linear { bias: None, ..self }
    }

    /// `x W + b`.
    #[track_caller]
    pub fn forward(&self, x: &Tensor) -> Tensor {
        let y = x.matmul(&self.weight);
        match &self.bias {
            Some(bias) => y + bias,
            None => y,
        }
    }
}

/// Linear layers with an activation between each two; inputs of more than two axes are flattened first.
///
/// ```
/// use gradus::{DType, Key, Tensor};
/// use gradus_nn::{Model, layers::{Activation, Mlp}};
/// let model = Mlp::new(&Key::new(0), &[64, 32, 10], Activation::Relu);
/// assert_eq!(model.forward(&Tensor::zeros([7, 1, 8, 8], DType::F32), None).shape(), &[7, 10].into());
/// ```
#[derive(Clone, Debug, Tree)]
pub struct Mlp {
    /// The layers, first to last.
    pub layers: Vec<Linear>,
    /// Between the layers, not after the last.
    pub activation: Activation,
    /// After each activation, in training.
    pub dropout: super::Dropout,
}

impl Mlp {
    /// A chain of layers from `widths[0]` inputs to `widths[last]` outputs, without dropout.
    pub fn new(key: &Key, widths: &[usize], activation: Activation) -> Self {
        let keys = key.split_n(widths.len().saturating_sub(1));
        let layers =
            widths.windows(2).zip(&keys).map(|(pair, key)| Linear::new(key, pair[0], pair[1])).collect();
        Mlp { layers, activation, dropout: super::Dropout { rate: 0.0 } }
    }

    /// The same with dropout.
    pub fn with_dropout(self, rate: f64) -> Self {
        Mlp { dropout: super::Dropout { rate }, ..self }
    }
}

impl Model for Mlp {
    #[track_caller]
    fn forward(&self, x: &Tensor, training: Option<&Key>) -> Tensor {
        let mut x = if x.rank() > 2 { x.flatten_from(1) } else { x.clone() };
        let last = self.layers.len().saturating_sub(1);
        for (i, layer) in self.layers.iter().enumerate() {
            x = scope(format!("layers.{i}"), || {
                let y = layer.forward(&x);
                if i == last {
                    return y;
                }
                let key = training.map(|key| key.fold_in(i));
                self.dropout.forward(&self.activation.apply(&y), key.as_ref())
            });
        }
        x
    }
}
