//! Activations as a part of a model's structure.

use gradus::{Tensor, Tree};

/// An element-wise function between layers. It is part of a model's structure, so another choice is another program.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Tree)]
#[non_exhaustive]
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
    /// `x tanh(ln(1 + eˣ))`.
    Mish,
    /// A function as its formula says, without a derivative of its own and without a guard at infinity.
    Formula(Formula),
    /// The hyperbolic tangent.
    Tanh,
    /// `1 / (1 + e⁻ˣ)`.
    Sigmoid,
}

/// Activations composed of primitives, as a user would write them: what their derivatives keep is left to the strategy.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Tree)]
pub enum Formula {
    /// GELU by tanh: `x / (1 + e^(-2u))` with `u = √(2/π) (x + 0.044715 x³)`.
    GeluTanh,
    /// `x / (1 + e⁻ˣ)`.
    Silu,
    /// `x tanh(softplus(x))`.
    Mish,
    /// The same with softplus written out: `x tanh(max(x, 0) + ln(1 + e^-|x|))`, four primitives more.
    MishWrittenOut,
}

impl Formula {
    #[track_caller]
    fn apply(self, x: &Tensor) -> Tensor {
        match self {
            Formula::GeluTanh => {
                let twice = (x + x.powi(3) * 0.044715) * (2.0 * (2.0 / std::f64::consts::PI).sqrt());
                x * twice.sigmoid()
            }
            Formula::Silu => x * x.sigmoid(),
            Formula::Mish => x * x.softplus().tanh(),
            Formula::MishWrittenOut => {
                let softplus = x.maximum(0.0) + (-x.abs()).exp().log1p();
                x * softplus.tanh()
            }
        }
    }
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
            Activation::Formula(formula) => formula.apply(x),
            Activation::Tanh => x.tanh(),
            Activation::Sigmoid => x.sigmoid(),
        }
    }
}
