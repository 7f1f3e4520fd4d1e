//! CPU kernels for Gradus: plain functions on slices and strided views, with no notion of a graph.
//!
//! * [`pool`]: the threads, and how work is handed to them;
//! * [`matmul`]: batched matrix products on any strides;
//! * [`vmath`]: element-wise functions, vectorised for the machine.
//!
//! Every kernel cuts its work from shapes alone, so the same inputs give the same bits on any number of threads.

pub mod matmul;
pub mod pool;
pub mod vmath;

pub use pool::Pool;
