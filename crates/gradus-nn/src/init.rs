//! First values of parameters.

use gradus::{DType, Key, Shape, Tensor, Tree};

/// How a parameter is first filled, from the number of its inputs (fan-in) and outputs (fan-out).
///
/// ```
/// use gradus::Key;
/// use gradus_nn::Init;
/// let w = Init::He.sample(&Key::new(0), [256, 64], 256, 64);
/// let variance = w.var((), 0).item::<f64>();
/// assert!((variance * 256.0 / 2.0 - 1.0).abs() < 0.05);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Tree)]
#[non_exhaustive]
pub enum Init {
    /// One value.
    Constant(f64),
    /// Normal with this standard deviation.
    Normal(f64),
    /// Uniform in (-bound, bound).
    Uniform(f64),
    /// Normal with variance `2 / fan-in`, for ReLU and its kin (He et al. 2015).
    He,
    /// Uniform with variance `2 / (fan-in + fan-out)`, for tanh and linear layers (Glorot and Bengio 2010).
    Glorot,
    /// Uniform in `±1/√fan-in`, for biases and as a plain default (LeCun et al. 1998, up to a factor).
    FanIn,
}

impl Init {
    /// An `f32` tensor of `shape`.
    #[track_caller]
    pub fn sample(self, key: &Key, shape: impl Into<Shape>, fan_in: usize, fan_out: usize) -> Tensor {
        let shape = shape.into();
        let uniform = |bound: f64| (key.uniform(&shape, DType::F32) * 2.0 - 1.0) * bound;
        let (inputs, outputs) = (fan_in.max(1) as f64, fan_out as f64);
        match self {
            Init::Constant(value) => Tensor::full(&shape, DType::F32, value),
            Init::Normal(deviation) => key.normal(&shape, DType::F32) * deviation,
            Init::Uniform(bound) => uniform(bound),
            Init::He => key.normal(&shape, DType::F32) * (2.0 / inputs).sqrt(),
            Init::Glorot => uniform((6.0 / (inputs + outputs)).sqrt()),
            Init::FanIn => uniform(inputs.sqrt().recip()),
        }
    }
}
