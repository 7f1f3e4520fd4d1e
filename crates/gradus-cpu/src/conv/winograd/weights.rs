//! The gradient of the kernel: channels are rows, output channels columns, tiles the inner dimension.
//!
//! With many tiles a slab of them is transformed at a time, and its products are added to sums that lie in the
//! workspace. With few tiles and many channels the sums are large: then a task computes those of a few channels, in
//! cache, and maps them back at once.
//!
//! Invariant: that of the [module](super); tables of offsets have 32 bits, and fail if that is too few.

use std::sync::atomic::AtomicBool;

use super::transforms::{Cotangent, Gradient, Input, PLACES, Stage, transform_raw};
use super::{DEPTH, Grid, offset, side, strips, tiles};
use crate::conv::workspace::{WorkspaceSizes, bytes_of};
use crate::conv::{Conv, Job, micro};
use crate::matmul::{Element, Sum, transpose};
use crate::memory::scratch::{self, Slot};
use crate::reduce::Shared;
use crate::vmath::Float;

/// Elements of a slab's transformed operands to aim for: what a last-level cache holds beside the sums.
const SLAB: usize = 5 << 19;

/// Rows of the product that a task takes.
const ROWS: usize = 64;

/// Rows of a task that maps its sums back, the least, and elements of these sums to aim for.
const MAPPED: usize = 16;
const LEAST: usize = 8;
const SUMS: usize = 160 * 1024;

/// Channels whose planes a task transforms.
const CHANNELS: usize = 8;

/// The sizes of a gradient; from its shape alone.
struct Cut {
    grid: Grid,
    /// Rows of tiles in an image, in all images, and in a slab.
    rows: usize,
    all: usize,
    slab: usize,
    /// Tiles of a slab, panels of output channels.
    most: usize,
    panels: usize,
    /// Elements of each matrix.
    inputs: usize,
    cotangents: usize,
    sums: usize,
    /// Rows of the product that a task takes, and whether it maps them back itself.
    block: usize,
    mapped: bool,
}

impl Cut {
    fn new(conv: &Conv, width: usize) -> Self {
        let (channels, outputs) = (conv.batch, conv.outputs);
        let m = side(conv.output()).expect("there is a tile for the taps");
        let [rows, tiles] = tiles(m, conv.kernel).expect("tiles cover the plane");
        let panels = outputs.div_ceil(width);
        // A slab is several complete images where they fit, else some rows of tiles of one; rows are counted through
        // all images.
        let all = conv.channels * rows;
        let slab = (SLAB / (PLACES * (channels + panels * width) * tiles)).clamp(1, all);
        let most = slab * tiles;
        let mapped = slab == all && PLACES * channels * panels * width > SUMS;
        let few = (SUMS / (PLACES * panels * width) / LEAST * LEAST).clamp(LEAST, MAPPED);
        let block = if mapped { few } else { ROWS };
        Cut {
            block,
            mapped,
            grid: Grid { m, tiles },
            rows,
            all,
            slab,
            most,
            panels,
            inputs: channels * most,
            cotangents: panels * most * width,
            sums: if mapped { block } else { channels } * panels * width,
        }
    }

    /// Elements of the scratch of a task: a plane and its tiles dealt out, or lines of the cotangent.
    fn task(&self, width: usize) -> usize {
        let dealing = self.grid.size(self.slab.min(self.rows)) + PLACES * self.most;
        let sums = if self.mapped { PLACES * self.sums } else { 0 };
        dealing.max(self.grid.m * self.grid.m * self.grid.tiles * width).max(sums)
    }
}

/// Its workspace sizes.
pub(super) fn workspace_sizes<T: Float + Element>(conv: &Conv, width: usize) -> WorkspaceSizes {
    let cut = Cut::new(conv, width);
    let tables = bytes_of::<u32>(cut.most) + bytes_of::<u32>(cut.block);
    let sums = if cut.mapped { 0 } else { cut.sums };
    let matrices = [cut.inputs, cut.cotangents, sums].map(|m| bytes_of::<T>(PLACES * m));
    let workspace = tables + matrices.iter().sum::<usize>();
    WorkspaceSizes { workspace, patches: bytes_of::<T>(cut.task(width)), ..WorkspaceSizes::default() }
}

/// Convolves; the convolution has the channels as batch and the examples as channels. False when a result is not finite.
pub(super) fn run<T: Float + Element>(job: &Job<'_, T>) -> bool {
    let (conv, pool, mut workspace) = (job.conv, job.pool, job.workspace);
    let (channels, outputs, width) = (conv.batch, conv.outputs, T::width());
    let cut = Cut::new(conv, width);
    let Cut { grid, rows, all, slab, most, panels, inputs, cotangents, sums, block, mapped } = cut;
    let v: Shared<T> = workspace.take(PLACES * inputs);
    let w: Shared<T> = workspace.take(PLACES * cotangents);
    let u: Shared<T> = workspace.take(if mapped { 0 } else { PLACES * sums });
    // SAFETY: the workspace is valid until the gradient is done.
    let (inner, row) =
        unsafe { (workspace.table(most, offset), workspace.table(block, |r| offset(r * most))) };
    let pieces = channels.div_ceil(CHANNELS);
    let blocks = channels.div_ceil(block);
    let doubt = AtomicBool::new(false);
    // The products of place `f` for channels from `c0` on, to sums that begin at `u`.
    let multiply = |(f, c0): (usize, usize), inner: &[u32], u: *mut T, add: bool| {
        for (piece, inner) in inner.chunks(DEPTH).enumerate() {
            for panel in 0..panels {
                let work = micro::Task {
                    x: v.at(f * inputs + c0 * most),
                    rows: &row[..(channels - c0).min(block)],
                    inner,
                    b: w.at(f * cotangents + (panel * most + piece * DEPTH) * width),
                    half: false,
                    to: u.wrapping_add(f * sums + panel * width),
                    stride: panels * width,
                    sum: Sum::added(piece > 0 || add),
                };
                // SAFETY: rows and tiles lie inside the matrices of place `f`; the sums belong to the caller.
                unsafe { T::multiply(&work) };
            }
        }
    };
    let back = |c: usize, from: *const T| {
        let (out, stride) = (job.out.at(c * conv.out_strides[0]), conv.out_strides[1]);
        let part = Gradient { from, place: sums, outputs, out, stride, doubt: &doubt };
        // SAFETY: the sums of channel `c`, and its taps of every output channel, which belong to the caller.
        unsafe { transform_raw(&Stage::Gradient(part)) };
    };
    for begin in (0..all).step_by(slab) {
        let end = (begin + slab).min(all);
        pool.run(pieces + (end - begin), &|task| {
            scratch::with(Slot::Patches, cut.task(width), |rest: *mut T| {
                if task >= pieces {
                    // SAFETY: the scratch can hold the lines, and the row's tiles belong to this task.
                    unsafe { cotangent(job, &cut, (begin, begin + task - pieces), rest, w) };
                    return;
                }
                let plane = rest.wrapping_add(PLACES * most);
                for c in task * CHANNELS..((task + 1) * CHANNELS).min(channels) {
                    strips([rows, grid.tiles], (begin, end), |n, row, rows, t| {
                        let from = job.x.at(c * conv.x_strides[0] + n * conv.x_strides[1]);
                        // SAFETY: a plane of the input, memory for rows of it, and the tiles of this strip.
                        unsafe { grid.deal(conv, from, (row, rows), plane, (rest.add(t), most)) };
                    });
                    let stage = Stage::Input(Input {
                        from: rest,
                        dealt: most,
                        tiles: (end - begin) * grid.tiles,
                        to: v.at(c * most),
                        width: usize::MAX,
                        place: inputs,
                        panel: 0,
                    });
                    // SAFETY: what was dealt out, and the channel's row of each matrix, which belongs to this task.
                    unsafe { transform_raw(&stage) };
                }
            });
        });
        let inner = &inner[..(end - begin) * grid.tiles];
        if !mapped {
            pool.run(PLACES * blocks, &|task| {
                let (f, c0) = (task / blocks, task % blocks * block);
                multiply((f, c0), inner, u.at(c0 * panels * width), begin > 0);
            });
            continue;
        }
        pool.run(blocks, &|task| {
            scratch::with(Slot::Patches, PLACES * sums, |u: *mut T| {
                let c0 = task * block;
                (0..PLACES).for_each(|f| multiply((f, c0), inner, u, false));
                for c in c0..(c0 + block).min(channels) {
                    back(c, u.wrapping_add((c - c0) * panels * width));
                }
            });
        });
    }
    if !mapped {
        pool.run_ranges(channels, (4096 / outputs).max(1), &|range| {
            range.for_each(|c| back(c, u.at(c * panels * width)));
        });
    }
    !doubt.into_inner()
}

/// Transforms one row of tiles of the cotangent, of all output channels.
///
/// # Safety
/// `lines` can hold the lines of a row of tiles of a panel, `w` the slab that begins at `begin`, and nobody else
/// writes this row of it.
unsafe fn cotangent<T: Float + Element>(
    job: &Job<'_, T>,
    cut: &Cut,
    (begin, at): (usize, usize),
    lines: *mut T,
    w: Shared<T>,
) {
    let (conv, width, grid) = (job.conv, T::width(), cut.grid);
    let (n, row, t) = (at / cut.rows, at % cut.rows, (at - begin) * grid.tiles);
    for panel in 0..cut.panels {
        let from = panel * width * conv.k_strides[0] + n * conv.k_strides[1];
        let count = (conv.outputs - panel * width).min(width);
        let to = w.at((panel * cut.most + t) * width);
        let part = Cotangent { lines, tiles: grid.tiles, width, to, place: cut.cotangents };
        // SAFETY: lines of the cotangent for each of the panel's output channels, memory for them, and the caller's
        // promise.
        unsafe {
            gather(conv, job.kernel.at(from), grid, row, count, lines);
            transform_raw(&Stage::Cotangent(part));
        }
    }
}

/// The lines of the cotangent that row `row` of tiles covers, with the output channels of a panel side by side; zeros
/// beyond the cotangent's edges.
///
/// # Safety
/// `to` can hold the lines, `from` begins at the panel's first plane, and `outputs` planes are valid.
unsafe fn gather<T: Float + Element>(
    conv: &Conv,
    from: *const T,
    grid: Grid,
    row: usize,
    outputs: usize,
    to: *mut T,
) {
    let (width, [_, height, line]) = (T::width(), conv.kernel);
    let places = grid.m * grid.tiles;
    for i in 0..grid.m {
        let y = grid.m * row + i;
        let inside = if y < height { line } else { 0 };
        // SAFETY: the caller's promise.
        unsafe {
            let to = to.add(i * places * width);
            if outputs < width {
                to.write_bytes(0, inside * width);
            }
            if inside > 0 {
                let corner = from.add(y * line).cast_mut();
                transpose(outputs, inside, (corner, conv.k_strides[0] as isize, 1), to, width);
            }
            to.add(inside * width).write_bytes(0, (places - inside) * width);
        }
    }
}
