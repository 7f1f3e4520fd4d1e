//! Named models, each written once and shared by the command, the tests and the benchmarks.
//!
//! [`Named::find`] gives a [`Named`] model: a design of a network, a batch size, an optimiser. From it come parameters
//! ([`Named::start`]), batches ([`Named::batch`]), and the step of training as one function for [`jit`](gradus::jit)
//! ([`Named::step`]): forward, backward and update. The networks themselves are in the modules below.

mod batch;
mod cnn;
mod gpt;
mod lenet;
mod named;
mod network;
mod resnet;
mod separable;

pub use batch::Batch;
pub use cnn::Cnn;
pub use gpt::{Block, Gpt};
pub use lenet::Lenet;
pub use named::{Named, Progress, Rule};
pub use network::{Design, Network};
pub use resnet::{BasicBlock, ResNet};
pub use separable::{Separable, Unit};
