//! The convolution itself: tiles are columns, output channels rows, channels the inner dimension.

use std::sync::atomic::AtomicBool;

use super::DEPTH;
use super::transforms::{Input, Kernel, Output, Stage, transform_raw};
use crate::conv::packed::Planes;
use crate::conv::room::{Need, bytes_of};
use crate::conv::{Conv, Job, micro};
use crate::matmul::Element;
use crate::reduce::Shared;
use crate::scratch::{self, Slot};
use crate::vmath::Float;

/// Elements of a block's transformed input to aim for: a part of the second-level cache.
const BLOCK: usize = 128 * 1024;

/// Output channels whose products are mapped back together.
const OUTPUTS: usize = 32;

/// Tasks to aim for.
const TASKS: usize = 16;

/// The sizes of a convolution; from its shape alone.
struct Cut {
    /// Rows of tiles in an image, tiles in a row.
    rows: usize,
    tiles: usize,
    /// Rows of tiles in a block; all rows of all images are counted through.
    block: usize,
    blocks: usize,
    /// Panels of a block.
    panels: usize,
    /// Groups of output channels.
    groups: usize,
    /// Elements of a block's transformed input: for each place and panel a row of columns for each channel.
    size: usize,
    /// Whether a task takes a whole block; else all blocks are transformed first, then multiplied group by group.
    whole: bool,
}

impl Cut {
    fn new(conv: &Conv, width: usize) -> Self {
        let output = conv.output();
        let (rows, tiles) = (output[1].div_ceil(2), output[2].div_ceil(2));
        let all = conv.batch * rows;
        let wanted = (BLOCK / (16 * conv.channels)).max(2 * width) / width * width;
        let block = (wanted / tiles).clamp(1, all);
        let (blocks, panels) = (all.div_ceil(block), (block * tiles).div_ceil(width));
        let groups = conv.outputs.div_ceil(OUTPUTS);
        let (size, whole) = (16 * panels * conv.channels * width, blocks >= TASKS || groups == 1);
        Cut { rows, tiles, block, blocks, panels, groups, size, whole }
    }

    /// Elements of a task's scratch: a plane to transform, or the products of a group of output channels.
    fn task(&self, width: usize) -> usize {
        let plane = (2 * self.block + 2) * (2 * self.tiles + 2);
        plane.max(16 * OUTPUTS * self.panels * width)
    }
}

/// A convolution under way.
struct Work<'a, T> {
    job: &'a Job<'a, T>,
    cut: Cut,
    /// The transformed kernel: a matrix of output channels by channels for each place.
    weights: Shared<T>,
    doubt: AtomicBool,
}

/// What it needs.
pub(super) fn need<T: Float + Element>(conv: &Conv) -> Need {
    let cut = Cut::new(conv, T::width());
    let inputs = if cut.whole { 0 } else { cut.blocks * cut.size };
    let room = bytes_of::<T>(16 * conv.outputs * conv.channels) + bytes_of::<T>(inputs);
    let task = cut.task(T::width()) + if cut.whole { cut.size } else { 0 };
    Need { room, patches: bytes_of::<T>(task), ..Need::default() }
}

pub(super) fn run<T: Float + Element>(job: &Job<'_, T>) -> bool {
    let (conv, pool, mut room) = (job.conv, job.pool, job.room);
    let cut = Cut::new(conv, T::width());
    let (blocks, groups, size) = (cut.blocks, cut.groups, cut.size);
    let weights = room.take(16 * conv.outputs * conv.channels);
    transformed(job, weights);
    let work = Work { job, cut, weights, doubt: AtomicBool::new(false) };
    let task = work.cut.task(T::width());
    if work.cut.whole {
        pool.run(blocks, &|b| {
            scratch::with(Slot::Patches, size + task, |v: *mut T| {
                // SAFETY: the scratch has room for a block and then for a task.
                unsafe {
                    let rest = v.add(size);
                    work.input(b, 0..conv.channels, v, rest);
                    (0..groups).for_each(|group| work.multiply(b, group, v, rest));
                }
            });
        });
    } else {
        // Few blocks: all of them first, then their products with a few output channels each.
        let v: Shared<T> = room.take(blocks * size);
        let pieces = conv.channels.div_ceil(OUTPUTS);
        pool.run(blocks * pieces, &|i| {
            let (piece, b) = (i % pieces, i / pieces);
            let channels = piece * OUTPUTS..((piece + 1) * OUTPUTS).min(conv.channels);
            scratch::with(Slot::Patches, task, |rest: *mut T| {
                // SAFETY: the channels of a block, which belong to this task alone.
                unsafe { work.input(b, channels.clone(), v.at(b * size), rest) };
            });
        });
        pool.run(blocks * groups, &|i| {
            let (b, group) = (i % blocks, i / blocks);
            scratch::with(Slot::Patches, task, |rest: *mut T| {
                // SAFETY: the block is complete.
                unsafe { work.multiply(b, group, v.at(b * size), rest) };
            });
        });
    }
    !work.doubt.into_inner()
}

/// `G g Gᵀ` for every pair of channels.
fn transformed<T: Float + Element>(job: &Job<'_, T>, to: Shared<T>) {
    let conv = job.conv;
    let place = conv.outputs * conv.channels;
    let taps: [isize; 9] = std::array::from_fn(|t| conv.tap(t));
    job.pool.run_ranges(conv.outputs, (4096 / conv.channels).max(1), &|range| {
        for o in range {
            let stage = Stage::Kernel(Kernel {
                kernel: job.kernel.at(o * conv.k_strides[0]),
                taps,
                stride: conv.k_strides[1],
                channels: conv.channels,
                to: to.at(o * conv.channels),
                place,
            });
            // SAFETY: the kernels of output channel `o`, and its row in each matrix, which belongs to this task.
            unsafe { transform_raw(&stage) };
        }
    });
}

impl<T: Float + Element> Work<'_, T> {
    /// Calls `f(image, first row of tiles, rows of tiles, first tile of the block)` for each image of a block.
    fn images(&self, b: usize, mut f: impl FnMut(usize, usize, usize, usize)) {
        let (cut, all) = (&self.cut, self.job.conv.batch * self.cut.rows);
        let (begin, end) = (b * cut.block, ((b + 1) * cut.block).min(all));
        let mut at = begin;
        while at < end {
            let (n, row) = (at / cut.rows, at % cut.rows);
            let rows = (cut.rows - row).min(end - at);
            f(n, row, rows, (at - begin) * cut.tiles);
            at += rows;
        }
    }

    /// Transforms channels of a block.
    ///
    /// # Safety
    /// `v` has room for a block, and nobody else writes its rows of these channels; `plane` has room for a task.
    unsafe fn input(&self, b: usize, channels: std::ops::Range<usize>, v: *mut T, plane: *mut T) {
        let (conv, cut, width) = (self.job.conv, &self.cut, T::width());
        let pitch = 2 * cut.tiles + 2;
            for c in channels {
                self.images(b, |n, row, rows, t| {
                    let planes = Planes { extent: [1, 2 * rows + 2, pitch], first: [0, 2 * row, 0] };
                    let stage = Stage::Input(Input {
                        plane,
                        rows,
                        tiles: cut.tiles,
                        to: v.wrapping_add(c * width),
                        t,
                        width,
                        place: cut.panels * conv.channels * width,
                        panel: conv.channels * width,
                    });
                    let from = n * conv.x_strides[0] + c * conv.x_strides[1];
                    // SAFETY: a plane of the input, room for the rows of it, and the caller's promise.
                    unsafe {
                        planes.copy(conv, self.job.x.at(from), plane);
                        transform_raw(&stage);
                    }
                });
            }
    }

    /// The products of a block with a group of output channels, mapped back.
    ///
    /// # Safety
    /// `v` holds the block's transformed input; `products` has room for a task.
    unsafe fn multiply(&self, b: usize, group: usize, v: *const T, products: *mut T) {
        let (conv, cut, width) = (self.job.conv, &self.cut, T::width());
        let channels = conv.channels;
        let o0 = group * OUTPUTS;
        let outputs = (conv.outputs - o0).min(OUTPUTS);
        let columns = cut.panels * width;
        let rows: [u32; OUTPUTS] = std::array::from_fn(|o| (o * channels) as u32);
        let inner: [u32; DEPTH] = std::array::from_fn(|i| i as u32);
        let place = outputs * columns;
            for f in 0..16 {
                for (piece, c0) in (0..channels).step_by(DEPTH).enumerate() {
                    for panel in 0..cut.panels {
                        let work = micro::Task {
                            x: self.weights.at((f * conv.outputs + o0) * channels + c0),
                            rows: &rows[..outputs],
                            inner: &inner[..(channels - c0).min(DEPTH)],
                            b: v.wrapping_add(((f * cut.panels + panel) * channels + c0) * width),
                            half: false,
                            to: products.wrapping_add(f * place + panel * width),
                            stride: columns,
                            add: piece > 0,
                        };
                        // SAFETY: rows and inner indices lie inside the matrix of place `f`, the panel holds them, and
                        // the scratch has room for the products.
                        unsafe { T::multiply(&work) };
                    }
                }
            }
            for o in 0..outputs {
                self.images(b, |n, row, rows, t| {
                    let to = n * conv.out_strides[0] + (o0 + o) * conv.out_strides[1];
                    let stage = Stage::Output(Output {
                        from: products.wrapping_add(o * columns + t),
                        place,
                        rows,
                        tiles: cut.tiles,
                        out: self.job.out.at(to),
                        first: 2 * row,
                        extent: [conv.output()[1], conv.output()[2]],
                        doubt: &self.doubt,
                    });
                    // SAFETY: products of the block, and the rows of a plane that belong to this task alone.
                    unsafe { transform_raw(&stage) };
                });
            }
    }
}
