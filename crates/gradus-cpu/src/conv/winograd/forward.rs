//! The convolution itself: tiles are columns, output channels rows, channels the inner dimension.

use std::sync::atomic::AtomicBool;

use super::DEPTH;
use super::transforms::{Input, Kernel, Output, Stage, transform_raw};
use crate::Pool;
use crate::conv::packed::Planes;
use crate::conv::{Conv, micro};
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
struct Job<'a, T> {
    conv: &'a Conv,
    /// Rows of tiles in an image, tiles in a row.
    rows: usize,
    tiles: usize,
    /// Rows of tiles in a block; all rows of all images are counted through.
    block: usize,
    blocks: usize,
    /// Panels of a block.
    panels: usize,
    x: &'a [T],
    /// The transformed kernel: a matrix of output channels by channels for each place.
    weights: Vec<T>,
    out: Shared<T>,
    doubt: AtomicBool,
}

pub(super) fn run<T: Float + Element>(
    conv: &Conv,
    pool: &Pool,
    x: &[T],
    kernel: &[T],
    out: Shared<T>,
) -> bool {
    let output = conv.output();
    let (rows, tiles) = (output[1].div_ceil(2), output[2].div_ceil(2));
    let all = conv.batch * rows;
    let width = T::width();
    let wanted = (BLOCK / (16 * conv.channels)).max(2 * width) / width * width;
    let block = (wanted / tiles).clamp(1, all);
    let job = Job {
        conv,
        rows,
        tiles,
        block,
        blocks: all.div_ceil(block),
        panels: (block * tiles).div_ceil(width),
        x,
        weights: transformed(conv, pool, kernel),
        out,
        doubt: AtomicBool::new(false),
    };
    let groups = conv.outputs.div_ceil(OUTPUTS);
    if job.blocks >= TASKS || groups == 1 {
        pool.run(job.blocks, &|b| {
            scratch::with(Slot::Transform, job.size(), |v: *mut T| {
                // SAFETY: the scratch has room for a block.
                unsafe {
                    job.input(b, 0..conv.channels, v);
                    (0..groups).for_each(|group| job.multiply(b, group, v));
                }
            });
        });
    } else {
        // Few blocks: all of them first, then their products with a few output channels each.
        let mut v = vec![<T as Float>::ZERO; job.blocks * job.size()];
        let v = Shared(v.as_mut_ptr());
        let pieces = conv.channels.div_ceil(OUTPUTS);
        pool.run(job.blocks * pieces, &|task| {
            let (piece, b) = (task % pieces, task / pieces);
            let channels = piece * OUTPUTS..((piece + 1) * OUTPUTS).min(conv.channels);
            // SAFETY: the channels of a block, which belong to this task alone.
            unsafe { job.input(b, channels, v.at(b * job.size())) };
        });
        pool.run(job.blocks * groups, &|task| {
            let (b, group) = (task % job.blocks, task / job.blocks);
            // SAFETY: the block is complete.
            unsafe { job.multiply(b, group, v.at(b * job.size())) };
        });
    }
    !job.doubt.into_inner()
}

/// `G g Gᵀ` for every pair of channels.
fn transformed<T: Float + Element>(conv: &Conv, pool: &Pool, kernel: &[T]) -> Vec<T> {
    let place = conv.outputs * conv.channels;
    let mut weights = vec![<T as Float>::ZERO; 16 * place];
    let to = Shared(weights.as_mut_ptr());
    pool.run_ranges(conv.outputs, (4096 / conv.channels).max(1), &|range| {
        for o in range {
            let stage = Stage::Kernel(Kernel {
                kernel: kernel[o * conv.k_strides[0]..].as_ptr(),
                stride: conv.k_strides[1],
                channels: conv.channels,
                to: to.at(o * conv.channels),
                place,
            });
            // SAFETY: the kernels of output channel `o`, and its row in each matrix, which belongs to this task.
            unsafe { transform_raw(&stage) };
        }
    });
    weights
}

impl<T: Float + Element> Job<'_, T> {
    /// Elements of a block's transformed input: for each place and panel a row of columns for each channel.
    fn size(&self) -> usize {
        16 * self.panels * self.conv.channels * T::width()
    }

    /// Calls `f(image, first row of tiles, rows of tiles, first tile of the block)` for each image of a block.
    fn images(&self, b: usize, mut f: impl FnMut(usize, usize, usize, usize)) {
        let (begin, end) = (b * self.block, ((b + 1) * self.block).min(self.conv.batch * self.rows));
        let mut at = begin;
        while at < end {
            let (n, row) = (at / self.rows, at % self.rows);
            let rows = (self.rows - row).min(end - at);
            f(n, row, rows, (at - begin) * self.tiles);
            at += rows;
        }
    }

    /// Transforms channels of a block.
    ///
    /// # Safety
    /// `v` has room for a block, and nobody else writes its rows of these channels.
    unsafe fn input(&self, b: usize, channels: std::ops::Range<usize>, v: *mut T) {
        let (conv, width) = (self.conv, T::width());
        let pitch = 2 * self.tiles + 2;
        scratch::with(Slot::Patches, (2 * self.block + 2) * pitch, |plane: *mut T| {
            for c in channels {
                self.images(b, |n, row, rows, t| {
                    let planes = Planes { extent: [1, 2 * rows + 2, pitch], first: [0, 2 * row, 0] };
                    let stage = Stage::Input(Input {
                        plane,
                        rows,
                        tiles: self.tiles,
                        to: v.wrapping_add(c * width),
                        t,
                        width,
                        place: self.panels * conv.channels * width,
                        panel: conv.channels * width,
                    });
                    let from = n * conv.x_strides[0] + c * conv.x_strides[1];
                    // SAFETY: a plane of the input, room for the rows of it, and the caller's promise.
                    unsafe {
                        planes.copy(conv, self.x[from..].as_ptr(), plane);
                        transform_raw(&stage);
                    }
                });
            }
        });
    }

    /// The products of a block with a group of output channels, mapped back.
    ///
    /// # Safety
    /// `v` holds the block's transformed input.
    unsafe fn multiply(&self, b: usize, group: usize, v: *const T) {
        let (conv, width) = (self.conv, T::width());
        let channels = conv.channels;
        let o0 = group * OUTPUTS;
        let outputs = (conv.outputs - o0).min(OUTPUTS);
        let columns = self.panels * width;
        let rows: [u32; OUTPUTS] = std::array::from_fn(|o| (o * channels) as u32);
        let inner: Vec<u32> = (0..channels.min(DEPTH) as u32).collect();
        let place = outputs * columns;
        scratch::with(Slot::Patches, 16 * place, |products: *mut T| {
            for f in 0..16 {
                for (piece, c0) in (0..channels).step_by(DEPTH).enumerate() {
                    for panel in 0..self.panels {
                        let work = micro::Task {
                            x: self.weights[(f * conv.outputs + o0) * channels + c0..].as_ptr(),
                            rows: &rows[..outputs],
                            inner: &inner[..(channels - c0).min(DEPTH)],
                            b: v.wrapping_add(((f * self.panels + panel) * channels + c0) * width),
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
                        tiles: self.tiles,
                        out: self.out.at(to),
                        first: 2 * row,
                        extent: [conv.output()[1], conv.output()[2]],
                        doubt: &self.doubt,
                    });
                    // SAFETY: products of the block, and the rows of a plane that belong to this task alone.
                    unsafe { transform_raw(&stage) };
                });
            }
        });
    }
}
