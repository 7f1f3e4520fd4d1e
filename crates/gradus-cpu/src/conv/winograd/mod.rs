//! 3 × 3 convolutions at step 1 with 2.25 times fewer multiplications, in single precision.
//!
//! Two results in a row need six products by definition and four after Winograd: with `d` four neighbouring inputs,
//! `g` the kernel and `∘` element by element, `y = Aᵀ ((G g) ∘ (Bᵀ d))`; in two dimensions 16 products do the work of
//! 36 (Lavin and Gray, "Fast Algorithms for Convolutional Neural Networks", 2015, F(2 × 2, 3 × 3)). Over all tiles and
//! channels that is 16 matrix products. The gradient of the kernel is the same map transposed:
//! `dg = Gᵀ ((Bᵀ d) ∘ (A dy))`; that of the input is a convolution again.
//!
//! The maps add at most four numbers and multiply by ½ and 1 only, so errors stay within a small factor of those of the
//! definition, relative to the largest numbers of a tile; larger tiles would lose digits, and are not used. An
//! infinity would reach its neighbours as NaN, and a large number could overflow: a result that is not finite sends
//! the whole convolution back to the definition. Double precision always takes the definition.

mod forward;
mod transforms;
mod weights;

use super::{Conv, Job, Need};
use crate::matmul::Element;
use crate::vmath::Float;
pub(crate) use transforms::WinogradKernel;

/// Channels and output channels from which the products outweigh the maps.
const CHANNELS: usize = 32;

/// Inner indices that the products take together.
const DEPTH: usize = 384;

/// Whether a convolution can be taken this way at all: two axes, step 1, no dilation, no groups.
fn plain(conv: &Conv) -> bool {
    conv.stride == [1; 3]
        && conv.lhs_dilation == [1; 3]
        && conv.rhs_dilation == [1; 3]
        && conv.group_count() == 1
        && conv.input[0] == 1
        && conv.kernel[0] == 1
        && conv.output()[0] == 1
        && conv.low[0] == 0
}

/// Which form of the method serves.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Form {
    /// The convolution itself.
    Forward,
    /// A kernel's gradient: examples are channels, the cotangent is the kernel.
    Weights,
}

fn form<T>(conv: &Conv) -> Option<Form> {
    let output = conv.output();
    if size_of::<T>() != 4 || !plain(conv) {
        return None;
    }
    let forward = conv.kernel[1..] == [3, 3]
        && conv.channels.min(conv.outputs) >= CHANNELS
        && conv.result_batch() * conv.positions() >= 64
        && output[1] > 1;
    let weights = output[1..] == [3, 3]
        && conv.batch.min(conv.outputs) >= CHANNELS
        && conv.channels * conv.taps() >= 64
        && conv.kernel[1] > 1
        && conv.has_dense_taps();
    if forward { Some(Form::Forward) } else { weights.then_some(Form::Weights) }
}

/// What it needs.
pub(super) fn need<T: Float + Element>(conv: &Conv) -> Need {
    match form::<T>(conv) {
        Some(Form::Forward) => forward::need::<T>(conv),
        Some(Form::Weights) => weights::need::<T>(conv),
        None => Need::default(),
    }
}

/// Convolves; false when the method does not serve, or its result is not finite. Results lie one after another in their
/// planes.
pub(super) fn run<T: Float + Element>(job: &Job<'_, T>) -> bool {
    match form::<T>(job.conv) {
        Some(Form::Forward) => forward::run(job),
        Some(Form::Weights) => weights::run(job),
        None => false,
    }
}
