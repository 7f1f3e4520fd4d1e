//! Named models, each written once and shared by the command, the tests and the benchmarks.

mod cnn;

pub use cnn::Cnn;
