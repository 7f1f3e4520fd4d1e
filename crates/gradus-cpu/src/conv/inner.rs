//! Convolutions with few results and a long inner dimension, which weight gradients are: the kernel's spatial extent is
//! that of an image, and what is contiguous is a line of taps, not a line of results.
//!
//! Results (example, position) are rows of a matrix of patches, lines of taps its columns; the kernel is transposed
//! slab by slab. The inner dimension is cut into slices from the shape alone, whose products are added in a tree.

use super::Conv;
use super::segments::{Line, write};
use crate::Pool;
use crate::matmul::{Element, product, transpose};
use crate::reduce::{Reduction, Shared, columns_raw};
use crate::scratch::{self, Slot};
use crate::vmath::Float;

/// Elements of the inner dimension packed together.
const SLAB: usize = 512;

/// Rows of patches packed together.
const ROWS: usize = 192;

/// Tasks to aim for, and the shortest slice worth one.
const TASKS: usize = 16;
const MIN_SLICE: usize = 1024;

/// Convolves; lengths have been checked and the input is not dilated.
pub(super) fn run<T: Float + Element>(conv: &Conv, pool: &Pool, x: &[T], kernel: &[T], out: &mut [T]) {
    let (groups, outputs) = (conv.group_count(), conv.group_outputs());
    let positions = conv.positions();
    let rows = conv.result_batch() * positions;
    let row_blocks = rows.div_ceil(ROWS);
    // The inner dimension in lines of taps: (channel, depth, height).
    let line = conv.kernel[2];
    let lines = conv.group_channels() * conv.kernel[0] * conv.kernel[1];
    let most = (lines * line / MIN_SLICE).max(1);
    let slices = (TASKS / (groups * row_blocks)).clamp(1, most).min(lines);
    let slice_lines = lines.div_ceil(slices);
    let slices = lines.div_ceil(slice_lines);
    // For each group and slice a matrix of results, (row, output channel).
    let size = rows * outputs;
    let mut partial = vec![T::default(); groups * slices * size];
    let store = Shared(partial.as_mut_ptr());
    pool.run(groups * slices * row_blocks, &|task| {
        let (block, rest) = (task % row_blocks, task / row_blocks);
        let (slice, g) = (rest % slices, rest / slices);
        let r0 = block * ROWS;
        let count = (rows - r0).min(ROWS);
        let q0 = slice * slice_lines;
        let q1 = (q0 + slice_lines).min(lines);
        let [x0, k0, _] = conv.group_offsets(g);
        let results = store.at((g * slices + slice) * size + r0 * outputs);
        let slab_lines = (SLAB / line).max(1);
        let depth = slab_lines * line;
        scratch::with(Slot::Patches, (count + outputs.next_multiple_of(16)) * depth, |patches: *mut T| {
            // SAFETY: the scratch has room for both parts.
            let weights = unsafe { patches.add(count * depth) };
            let mut q = q0;
            while q < q1 {
                let here = (q1 - q).min(slab_lines);
                // SAFETY: lines below `lines`, rows below `rows`; both packed matrices fit the scratch, and the results
                // of these rows belong to this task alone.
                unsafe {
                    pack_rows(conv, &x[x0..], r0, count, q, here, patches);
                    pack_kernel(conv, &kernel[k0..], q, here, outputs, weights);
                    let beta = if q == q0 { <T as Element>::ZERO } else { <T as Element>::ONE };
                    let inner = here * line;
                    product(
                        count,
                        outputs,
                        inner,
                        <T as Element>::ONE,
                        (patches, inner as isize, 1),
                        (weights, outputs.next_multiple_of(16) as isize, 1),
                        beta,
                        (results, outputs as isize, 1),
                    );
                }
                q += here;
            }
        });
    });
    let out = Shared(out.as_mut_ptr());
    let partial = &partial;
    pool.run(groups * conv.result_batch(), &|task| {
        let (n, g) = (task % conv.result_batch(), task / conv.result_batch());
        let [_, _, out0] = conv.group_offsets(g);
        scratch::with(Slot::Patches, positions * outputs, |sums: *mut T| {
            // SAFETY: `slices` matrices of `size`, of which the rows of example `n` are joined; each result is written
            // by the task of its example and group.
            unsafe {
                let from = partial.as_ptr().add(g * slices * size + n * positions * outputs);
                columns_raw(Reduction::Sum, from, size, slices, positions * outputs, sums);
                let to = out.at(out0 + n * conv.out_strides[0]);
                for o in 0..outputs {
                    for p in 0..positions {
                        *to.add(o * conv.out_strides[1] + p) = *sums.add(p * outputs + o);
                    }
                }
            }
        });
    });
}

/// Packs `count` rows of patches from `r0`: the lines of taps `q..q + lines`, side by side.
///
/// # Safety
/// `to` has room; the convolution's lengths have been checked.
unsafe fn pack_rows<T: Float>(
    conv: &Conv,
    x: &[T],
    r0: usize,
    count: usize,
    q: usize,
    lines: usize,
    to: *mut T,
) {
    let output = conv.output();
    let line = conv.kernel[2];
    for r in 0..count {
        let (n, p) = ((r0 + r) / conv.positions(), (r0 + r) % conv.positions());
        let at = [p / output[2] / output[1], p / output[2] % output[1], p % output[2]];
        let along = Line {
            first: (at[2] * conv.stride[2]) as isize - conv.low[2],
            step: conv.rhs_dilation[2],
            extent: conv.input[2],
        };
        for j in 0..lines {
            let (kh, rest) = ((q + j) % conv.kernel[1], (q + j) / conv.kernel[1]);
            let (kd, c) = (rest % conv.kernel[0], rest / conv.kernel[0]);
            let index = |d: usize, k: usize| {
                (at[d] * conv.stride[d] + k * conv.rhs_dilation[d]) as isize - conv.low[d]
            };
            let (id, ih) = (index(0, kd), index(1, kh));
            let inside = id >= 0 && id < conv.input[0] as isize && ih >= 0 && ih < conv.input[1] as isize;
            let mut segment = along.segment(line, 0, 0);
            let mut from = n * conv.x_strides[0] + c * conv.x_strides[1];
            if inside {
                from += (id as usize * conv.input[1] + ih as usize) * conv.input[2];
            } else {
                (segment.before, segment.len, segment.after) = (line, 0, 0);
            }
            // SAFETY: the caller's promise; the segment stays inside one line of the input.
            unsafe {
                write(&[segment], conv.rhs_dilation[2], x.as_ptr().add(from), to.add((r * lines + j) * line))
            };
        }
    }
}

/// Packs the kernel's lines `q..q + lines` as rows of (tap) by (output channel).
///
/// # Safety
/// `to` has room; the convolution's lengths have been checked.
unsafe fn pack_kernel<T: Float>(
    conv: &Conv,
    kernel: &[T],
    q: usize,
    lines: usize,
    outputs: usize,
    to: *mut T,
) {
    let line = conv.kernel[2];
    let in_channel = conv.kernel[0] * conv.kernel[1];
    let width = outputs.next_multiple_of(16);
    let mut done = 0;
    while done < lines {
        let (c, at) = ((q + done) / in_channel, (q + done) % in_channel);
        let here = (in_channel - at).min(lines - done);
        let from = c * conv.k_strides[1] + at * line;
        // SAFETY: `here` lines that follow one another inside channel `c` of every output channel.
        unsafe {
            let corner = (kernel.as_ptr().add(from).cast_mut(), conv.k_strides[0] as isize, 1);
            transpose(outputs, here * line, corner, to.add(done * line * width), width);
        }
        done += here;
    }
}
