//! Loops worth compiling as one: what a training step runs over all its activations and parameters.
//!
//! * [`softmax`], [`log_softmax`], [`cross_entropy`] and their gradients, over rows;
//! * [`layer_norm`] and its gradient, over rows;
//! * [`gelu`] and its gradient;
//! * [`Adam`] and [`Sgd`] updates in place.
//!
//! Each is a few passes over a row that stays in cache, or one pass over several streams, from the same vector
//! functions as [`vmath`](crate::vmath). Tasks are cut from shapes alone.

mod gelu;
mod norm;
mod optimiser;
mod softmax;

pub use gelu::{Gelu, gelu, gelu_gradient};
pub(crate) use gelu::{GeluGradientKernel, GeluKernel};
pub use norm::{LayerNorm, layer_norm, layer_norm_gradient};
pub(crate) use norm::{NormGradientKernel, NormKernel};
pub use optimiser::{Adam, Sgd};
pub(crate) use optimiser::{AdamKernel, SgdKernel};
pub(crate) use softmax::{CrossEntropyGradientKernel, SoftmaxGradientKernel, SoftmaxKernel};
pub use softmax::{
    cross_entropy, cross_entropy_gradient, log_softmax, log_softmax_gradient, softmax, softmax_gradient,
};

use crate::Pool;
use crate::reduce::{LengthError, expect_len};

/// Elements of a task before it is worth handing out.
const GRAIN: usize = 1 << 14;

/// Runs `body(first row, rows)` over groups of rows of `len` elements.
fn over_rows(pool: &Pool, rows: usize, len: usize, body: &(dyn Fn(usize, usize) + Sync)) {
    pool.run_ranges(rows, (GRAIN / len.max(1)).max(1), &|range| body(range.start, range.len()));
}

/// Checks that every slice has `want` elements.
fn expect_all(want: usize, slices: &[(&'static str, usize)]) -> Result<(), LengthError> {
    slices.iter().try_for_each(|&(what, got)| expect_len(what, got, want))
}
