//! Activations as a part of a model's structure.

use gradus::{Tensor, Tree};

/// An element-wise function between layers. It is part of a model's structure, so another choice is another program.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Tree)]
pub enum Activation {
    /// `x`.
    Identity,
    /// `max(x, 0)`.
    Relu,
    /// `x Φ(x)`, with erf.
    Gelu,
    /// GELU by its tanh approximation.
    GeluTanh,
    /// `x / (1 + e⁻ˣ)`.
    Silu,
    /// `x tanh(ln(1 + eˣ))`, the logarithm by the primitive softplus.
    Mish,
    /// The same function with softplus written out: `x tanh(max(x, 0) + ln(1 + e^-|x|))`, four primitives more.
    MishWrittenOut,
    /// The hyperbolic tangent.
    Tanh,
    /// `1 / (1 + e⁻ˣ)`.
    Sigmoid,
}

impl Activation {
    /// The function, element by element.
    ///
    /// ```
    /// use gradus::Tensor;
    /// use gradus_nn::layers::Activation;
    /// assert_eq!(Activation::Relu.apply(&Tensor::from([-1.0, 2.0])), Tensor::from([0.0, 2.0]));
    /// ```
    #[track_caller]
    pub fn apply(self, x: &Tensor) -> Tensor {
        match self {
            Activation::Identity => x.clone(),
            Activation::Relu => x.relu(),
            Activation::Gelu => x.gelu(),
            Activation::GeluTanh => x.gelu_tanh(),
            Activation::Silu => x.silu(),
            Activation::Mish => x.mish(),
            Activation::MishWrittenOut => {
                let softplus = x.maximum(0.0) + (-x.abs()).exp().log1p();
                x * softplus.tanh()
            }
            Activation::Tanh => x.tanh(),
            Activation::Sigmoid => x.sigmoid(),
        }
    }
}
