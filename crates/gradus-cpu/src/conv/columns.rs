//! Convolution by packed patches: the results of a group, counted through all examples, are columns; a tile of them is
//! packed as a matrix of (channel, tap) by column and multiplied by the kernel. The whole batch is never unrolled.

use super::segments::{Line, Segment, write};
use super::{Conv, Target};
use crate::Pool;
use crate::matmul::{Element, product};
use crate::reduce::Shared;
use crate::scratch::{self, Slot};
use crate::vmath::Float;

/// Elements of packed patches to keep in the second-level cache.
const PATCHES: usize = 96 * 1024;

/// Columns in a tile: at least enough for the product's registers, at most what packs well.
const MIN_COLUMNS: usize = 96;
const MAX_COLUMNS: usize = 768;

/// Tasks to aim for.
const TASKS: usize = 16;

/// The sizes a convolution is cut into; from its shape alone.
struct Cut {
    columns: usize,
    tile: usize,
    tiles: usize,
    outputs: usize,
    blocks: usize,
    /// Channels packed together.
    channels: usize,
}

impl Cut {
    fn new(conv: &Conv) -> Self {
        let columns = conv.result_batch() * conv.positions();
        let inner = conv.group_channels() * conv.taps();
        let fair = columns.div_ceil(TASKS).next_multiple_of(16);
        let tile = (PATCHES / inner).min(fair).clamp(MIN_COLUMNS, MAX_COLUMNS) / 16 * 16;
        let tiles = columns.div_ceil(tile);
        // Few tiles: output channels are divided too, as long as packing stays a small part of the work.
        let mut blocks = 1;
        while conv.group_count() * tiles * blocks < TASKS && conv.group_outputs() / (blocks * 2) >= 96 {
            blocks *= 2;
        }
        let outputs = conv.group_outputs().div_ceil(blocks).next_multiple_of(8);
        let blocks = conv.group_outputs().div_ceil(outputs);
        let channels = (2 * PATCHES / (conv.taps() * tile)).clamp(1, conv.group_channels());
        Cut { columns, tile, tiles, outputs, blocks, channels }
    }
}

/// Convolves; lengths have been checked.
pub(super) fn run<T: Float + Element>(
    conv: &Conv,
    pool: &Pool,
    x: &[T],
    kernel: &[T],
    out: &mut [T],
    target: Target,
) {
    let cut = Cut::new(conv);
    let taps = conv.taps();
    let inner = conv.group_channels() * taps;
    // The kernel of each output channel has to be one row of a matrix.
    let gathered: Vec<T>;
    let (weights, row) = if conv.k_strides[1] == taps || conv.group_channels() == 1 {
        (kernel, conv.k_strides[0])
    } else {
        gathered = gather_kernel(conv, kernel);
        (&gathered[..], inner)
    };
    let out = Shared(out.as_mut_ptr());
    pool.run(conv.group_count() * cut.blocks * cut.tiles, &|task| {
        let (tile, rest) = (task % cut.tiles, task / cut.tiles);
        let (block, g) = (rest % cut.blocks, rest / cut.blocks);
        let first = tile * cut.tile;
        let count = (cut.columns - first).min(cut.tile);
        let o0 = block * cut.outputs;
        let outputs = (conv.group_outputs() - o0).min(cut.outputs);
        let [x0, _, out0] = conv.group_offsets(g);
        let rows = cut.channels * taps;
        // Padded to whole vectors, which the product then reads where they lie.
        let width = cut.tile;
        let input = &x[x0..];
        scratch::with(Slot::Patches, rows * width + outputs * width, |patches: *mut T| {
            // SAFETY: the scratch has room for both parts.
            let results = unsafe { patches.add(rows * width) };
            let mut segments = Vec::new();
            let mut c0 = 0;
            while c0 < conv.group_channels() {
                let channels = (conv.group_channels() - c0).min(cut.channels);
                // SAFETY: the tile's patches fit the scratch and read inside the input, the kernel's rows hold
                // `inner` elements each, and the results fit the scratch.
                unsafe {
                    pack(conv, input, c0, channels, first, count, width, patches, &mut segments);
                    let beta = if c0 == 0 { <T as Element>::ZERO } else { <T as Element>::ONE };
                    let from =
                        weights.as_ptr().add((g * conv.group_outputs() + o0) * row + c0 * taps).cast_mut();
                    product(
                        outputs,
                        count.next_multiple_of(16).min(width),
                        channels * taps,
                        <T as Element>::ONE,
                        (from, row as isize, 1),
                        (patches, width as isize, 1),
                        beta,
                        (results, width as isize, 1),
                    );
                }
                c0 += channels;
            }
            // SAFETY: the columns of this tile and the output channels of this block belong to this task alone.
            unsafe {
                scatter(
                    conv,
                    target,
                    results,
                    width,
                    first,
                    count,
                    outputs,
                    out.at(out0 + o0 * conv.out_strides[1]),
                )
            };
        });
    });
}

/// The kernel with the channels of each output channel side by side.
fn gather_kernel<T: Float>(conv: &Conv, kernel: &[T]) -> Vec<T> {
    let taps = conv.taps();
    let mut all = Vec::with_capacity(conv.outputs * conv.group_channels() * taps);
    for o in 0..conv.outputs {
        for c in 0..conv.group_channels() {
            all.extend_from_slice(&kernel[o * conv.k_strides[0] + c * conv.k_strides[1]..][..taps]);
        }
    }
    all
}

/// Packs the patches of `channels` channels from `c0` and of `count` columns from `first`: row (channel, tap), `width`
/// elements apart, zeros up to a whole vector.
///
/// # Safety
/// `to` has room for all rows; the convolution's lengths have been checked.
unsafe fn pack<T: Float>(
    conv: &Conv,
    x: &[T],
    c0: usize,
    channels: usize,
    first: usize,
    count: usize,
    width: usize,
    to: *mut T,
    segments: &mut Vec<Segment>,
) {
    let output = conv.output();
    let taps = conv.taps();
    let padded = count.next_multiple_of(16).min(width);
    for tap in 0..taps {
        let k = [
            tap / conv.kernel[2] / conv.kernel[1],
            tap / conv.kernel[2] % conv.kernel[1],
            tap % conv.kernel[2],
        ];
        // The same for all channels.
        segments.clear();
        let mut column = first;
        while column < first + count {
            let (n, p) = (column / conv.positions(), column % conv.positions());
            let (pd, ph, pw) = (p / output[2] / output[1], p / output[2] % output[1], p % output[2]);
            let run = (output[2] - pw).min(first + count - column);
            push(conv, k, n, [pd, ph, pw], run, column - first, segments);
            column += run;
        }
        if padded > count {
            segments.push(Segment { to: count, before: padded - count, len: 0, after: 0, from: 0 });
        }
        for c in 0..channels {
            // SAFETY: the segments stay inside a plane of the input and inside a row of the patches.
            unsafe {
                let plane = x.as_ptr().add((c0 + c) * conv.x_strides[1]);
                write(segments, conv.stride[2] / step_divisor(conv), plane, to.add((c * taps + tap) * width));
            }
        }
    }
}

/// With an input dilation every element read advances the input by `stride / dilation` when that is whole; other
/// combinations are packed element by element.
fn step_divisor(conv: &Conv) -> usize {
    if conv.stride[2].is_multiple_of(conv.lhs_dilation[2]) { conv.lhs_dilation[2] } else { conv.stride[2] }
}

/// The segments of one run of results for one tap.
fn push(
    conv: &Conv,
    k: [usize; 3],
    n: usize,
    p: [usize; 3],
    run: usize,
    to: usize,
    segments: &mut Vec<Segment>,
) {
    let zeros = Segment { to, before: run, len: 0, after: 0, from: 0 };
    let index =
        |d: usize, p: usize| (p * conv.stride[d] + k[d] * conv.rhs_dilation[d]) as isize - conv.low[d];
    let mut base = n * conv.x_strides[0];
    let mut plane = 0;
    for d in 0..2 {
        let (i, spread) = (index(d, p[d]), conv.lhs_dilation[d] as isize);
        if i < 0 || i % spread != 0 || i / spread >= conv.input[d] as isize {
            segments.push(zeros);
            return;
        }
        plane = plane * conv.input[d] + (i / spread) as usize;
    }
    base += plane * conv.input[2];
    let spread = conv.lhs_dilation[2] as isize;
    let first = index(2, p[2]);
    if conv.stride[2].is_multiple_of(conv.lhs_dilation[2]) {
        if first.rem_euclid(spread) != 0 {
            segments.push(zeros);
            return;
        }
        let line = Line {
            first: first.div_euclid(spread),
            step: conv.stride[2] / conv.lhs_dilation[2],
            extent: conv.input[2],
        };
        segments.push(line.segment(run, to, base));
        return;
    }
    for j in 0..run {
        let i = first + (j * conv.stride[2]) as isize;
        let inside = i >= 0 && i % spread == 0 && i / spread < conv.input[2] as isize;
        let (len, from) = if inside { (1, base + (i / spread) as usize) } else { (0, 0) };
        segments.push(Segment { to: to + j, before: 1 - len, len, after: 0, from });
    }
}

/// Writes the results of a tile to their places.
///
/// # Safety
/// `results` holds `outputs` rows of `width`; `out` points to the first output channel's first result.
unsafe fn scatter<T: Float>(
    conv: &Conv,
    target: Target,
    results: *const T,
    width: usize,
    first: usize,
    count: usize,
    outputs: usize,
    out: *mut T,
) {
    let output = conv.output();
    let positions = conv.positions();
    let plain = target.is_contiguous(&output);
    let mut column = first;
    while column < first + count {
        let (n, p) = (column / positions, column % positions);
        let line = if plain { positions - p } else { output[2] - p % output[2] };
        let run = line.min(first + count - column);
        for o in 0..outputs {
            // SAFETY: the caller's promise; the run stays inside one plane (or line) of the result.
            unsafe {
                let from = results.add(o * width + column - first);
                let to =
                    out.add(n * conv.out_strides[0] + o * conv.out_strides[1] + target.place(&output, p));
                if target.step[2] == 1 {
                    std::ptr::copy_nonoverlapping(from, to, run);
                } else {
                    for j in 0..run {
                        *to.add(j * target.step[2]) = *from.add(j);
                    }
                }
            }
        }
        column += run;
    }
}
