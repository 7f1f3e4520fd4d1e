//! CPU kernels for Gradus: plain functions on slices and strided views, with no notion of a graph, and the executor
//! that runs a plan with them.
//!
//! * [`exec`]: plans run, the only part that knows them;
//! * [`pool`]: the threads, and how work is handed to them;
//! * [`matmul`]: batched matrix products on any strides;
//! * [`conv`]: convolution in its general form;
//! * [`window`]: pooling, and its transposes;
//! * [`vmath`]: element-wise functions, vectorised for the machine;
//! * [`reduce`]: sums, products, extremes and running sums along an axis;
//! * [`peaks`]: what the machine can do at best, measured;
//! * [`target`](mod@target): what a planner is told of it.
//!
//! Every kernel cuts its work from shapes alone, so the same inputs give the same bits on any number of threads.

mod backend;
pub mod conv;
pub mod exec;
pub mod matmul;
mod memory;
mod pages;
pub mod peaks;
pub mod pool;
pub mod reduce;
pub mod target;
mod vector;
pub mod vmath;
pub mod window;

pub use backend::Cpu;
pub use memory::{keep_within, release};
pub use pool::Pool;
pub use target::target;
