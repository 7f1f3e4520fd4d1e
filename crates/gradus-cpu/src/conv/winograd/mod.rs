//! 3 × 3 and 5 × 5 convolutions at step 1 with fewer multiplications, in single precision.
//!
//! Four results in a row need twelve products by definition and six after Winograd: with `d` six neighbouring inputs,
//! `g` the kernel and `∘` element by element, `y = Aᵀ ((G g) ∘ (Bᵀ d))`; in two dimensions 36 products do the work of
//! 144 (Lavin and Gray, "Fast Algorithms for Convolutional Neural Networks", 2015). With five taps two results in a row
//! need the same six products, 36 for 100 in two dimensions. Over all tiles and channels that is 36 matrix products.
//! The gradient of a kernel of nine taps is the same map transposed: `dg = Gᵀ ((Bᵀ d) ∘ (A dy))`; that of the input is a
//! convolution again. The gradient of 25 taps would lose digits, and is left to the definition.
//!
//! The points of the [maps] keep the error small: in the root mean square 6e-7 of a result's own size with 32 channels
//! and 2e-6 with 256, some five times that of the definition. An infinity would reach its neighbours as NaN, and a
//! large number could overflow: where a result is not finite the convolution is computed again by the definition.
//! Double precision always takes the definition.
//!
//! Invariant: the convolution is sized and fits its operands; what is transformed lies in the workspace that `workspace_sizes`
//! counts.

mod forward;
mod maps;
mod transforms;
mod weights;

use super::packed::Planes;
use super::{Conv, Job, Spatial, WorkspaceSizes};
use crate::matmul::Element;
use crate::vmath::Float;
use maps::POINTS;
pub(crate) use transforms::WinogradKernel;
use transforms::{Deal, PLACES, Stage, transform_raw};

/// Channels and output channels from which the products outweigh the maps.
const CHANNELS: usize = 32;

/// Inner indices that the products take together.
const DEPTH: usize = 384;

/// A place in a table of the inner kernel.
fn offset(place: usize) -> u32 {
    u32::try_from(place).expect("places of the inner kernel have 32 bits")
}

/// Whether the method applies to a convolution: two axes, step 1, no dilation, no groups.
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

/// Results a side of a tile, with so many taps; `None` where there is no tile for them.
fn side(taps: Spatial) -> Option<usize> {
    (taps == [1, 3, 3] || taps == [1, 5, 5]).then(|| POINTS + 1 - taps[2])
}

/// Tiles down and across that cover a plane of results, if that takes clearly fewer products than the definition.
fn tiles(m: usize, plane: Spatial) -> Option<[usize; 2]> {
    let [_, height, width] = plane;
    let (rows, tiles, taps) = (height.div_ceil(m), width.div_ceil(m), (POINTS + 1 - m) * (POINTS + 1 - m));
    (2 * PLACES * rows * tiles <= taps * height * width).then_some([rows, tiles])
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
    let covered = |taps, plane| side(taps).is_some_and(|m| tiles(m, plane).is_some());
    let forward = conv.channels.min(conv.outputs) >= CHANNELS
        && conv.result_batch() * conv.positions() >= 64
        && covered(conv.kernel, output);
    let weights = output == [1, 3, 3]
        && conv.batch.min(conv.outputs) >= CHANNELS
        && conv.channels * conv.taps() >= 64
        && covered(output, conv.kernel)
        && conv.has_dense_taps();
    if forward { Some(Form::Forward) } else { weights.then_some(Form::Weights) }
}

/// Whether there is a form for the convolution.
pub(super) fn applies<T>(conv: &Conv) -> bool {
    form::<T>(conv).is_some()
}

/// Its workspace sizes.
pub(super) fn workspace_sizes<T: Float + Element>(conv: &Conv, width: usize) -> WorkspaceSizes {
    match form::<T>(conv) {
        Some(Form::Forward) => forward::workspace_sizes::<T>(conv, width),
        Some(Form::Weights) => weights::workspace_sizes::<T>(conv, width),
        None => WorkspaceSizes::default(),
    }
}

/// Convolves; false when the method does not apply, or its result is not finite. Results are contiguous in their
/// planes.
pub(super) fn run<T: Float + Element>(job: &Job<'_, T>) -> bool {
    match form::<T>(job.conv) {
        Some(Form::Forward) => forward::run(job),
        Some(Form::Weights) => weights::run(job),
        None => false,
    }
}

/// Rows of tiles, counted through all images, from `begin` to `end`: calls `f(image, first row, rows, first tile)`.
fn strips(
    [rows, tiles]: [usize; 2],
    (begin, end): (usize, usize),
    mut f: impl FnMut(usize, usize, usize, usize),
) {
    let mut at = begin;
    while at < end {
        let (n, row) = (at / rows, at % rows);
        let here = (rows - row).min(end - at);
        f(n, row, here, (at - begin) * tiles);
        at += here;
    }
}

/// The padded planes that strips of tiles are dealt out of: results a side of a tile, tiles in a row.
#[derive(Clone, Copy)]
struct Grid {
    m: usize,
    tiles: usize,
}

impl Grid {
    fn pitch(&self) -> usize {
        self.m * (self.tiles - 1) + POINTS
    }

    fn height(&self, rows: usize) -> usize {
        self.m * (rows - 1) + POINTS
    }

    /// Elements of a plane of so many rows of tiles.
    fn size(&self, rows: usize) -> usize {
        self.height(rows) * self.pitch()
    }

    /// Copies `rows` rows of tiles, from row `row` on, of the plane at `x`, and deals them out `to` places `place` apart.
    ///
    /// # Safety
    /// `x` begins a plane of the convolution's input, `plane` can hold the rows, `to` their tiles.
    unsafe fn deal<T: Float>(
        &self,
        conv: &Conv,
        x: *const T,
        (row, rows): (usize, usize),
        plane: *mut T,
        (to, place): (*mut T, usize),
    ) {
        let pitch = self.pitch();
        let planes = Planes { extent: [1, self.height(rows), pitch], first: [0, self.m * row, 0] };
        let part = Deal { m: self.m, plane, pitch, rows, tiles: self.tiles, to, place };
        // SAFETY: the caller's promise.
        unsafe {
            planes.copy(conv, x, plane);
            transform_raw(&Stage::Deal(part));
        }
    }
}
