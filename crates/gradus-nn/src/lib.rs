//! Neural networks on `gradus`: layers, losses, optimisers, data, files, and the training loop.
//!
//! A model is a struct of tensors with `#[derive(Tree)]` and a [`Model::forward`]; gradients and the states of optimisers
//! are trees of the same structure. Nothing here knows a derivative: everything is ordinary code on tensors.
//!
//! ```
//! use gradus::{Key, Tensor, value_and_grad};
//! use gradus_nn::{Adam, Model, Optimizer, State, layers::{Activation, Mlp}, loss};
//!
//! let mut model = Mlp::new(&Key::new(0), &[2, 16, 2], Activation::Tanh);
//! let x = Tensor::from([[0f32, 0.0], [0.0, 1.0], [1.0, 0.0], [1.0, 1.0]]);
//! let y = Tensor::from([0i64, 1, 1, 0]);
//! let adam = Adam::default();
//! let mut state = State::new(&adam, &model);
//! for _ in 0..60 {
//!     let (_, slope) = value_and_grad(|m: &Mlp| loss::cross_entropy(&m.forward(&x, None), &y))(&model);
//!     (model, state) = adam.update(&model, &slope, &state, &Tensor::from(0.05f32));
//! }
//! assert_eq!(model.forward(&x, None).argmax(-1), y);
//! ```

#![forbid(unsafe_code)]

mod attention;
pub mod data;
mod entry;
mod error;
mod file;
mod header;
mod init;
pub mod layers;
pub mod loss;
mod model;
pub mod models;
pub mod optim;
mod schedule;
mod train;

pub use attention::{Mask, attention};
pub use entry::Entry;
pub use error::{Error, Result};
pub use file::{check_writable, write_atomically};
pub use file::{load, load_cast, load_renamed, read, read_each, save, write};
pub use header::Stored;
pub use init::Init;
pub use model::{Model, accuracy, count_parameters, global_norm};
pub use optim::{Adam, Optimizer, Sgd, State, clip_by_norm};
pub use schedule::Schedule;
pub use train::{Epoch, Event, Outcome, Training, fit};
