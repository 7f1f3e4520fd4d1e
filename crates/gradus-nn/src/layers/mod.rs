//! Layers: structs of tensors with a `forward`.
//!
//! Parameters start as `f32`; [`cast_floats`](crate::optim::cast_floats) makes a model of another precision. Weights are
//! stored `[inputs, outputs]` for linear layers and `[outputs, inputs, height, width]` for kernels.

mod activation;
mod attention;
mod conv;
mod dropout;
mod embedding;
mod linear;
mod norm;

pub use activation::{Activation, Formula};
pub use attention::Attention;
pub use conv::Conv2d;
pub use dropout::Dropout;
pub use embedding::Embedding;
pub use linear::{Linear, Mlp};
pub use norm::{BatchNorm, LayerNorm};
