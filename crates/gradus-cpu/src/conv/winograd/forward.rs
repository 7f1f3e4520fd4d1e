//! The convolution itself: tiles are columns, output channels rows, channels the inner dimension.
//!
//! With many tiles a task transforms a block of them and multiplies it by the kernel, which has been transformed for
//! all. With few tiles and many channels the kernel is large: then all tiles are transformed first, and a task
//! transforms the kernels of a few output channels, in cache, and multiplies them by all tiles.
//!
//! Invariant: that of the [module](super); tables of offsets have 32 bits, and fail if that is too few.

use std::ops::Range;
use std::sync::atomic::{AtomicBool, Ordering};

use super::transforms::{Collect, Input, Kernel, Output, PLACES, Stage, transform_raw};
use super::{DEPTH, Grid, offset, side, strips, tiles};
use crate::conv::workspace::{WorkspaceSizes, bytes_of};
use crate::conv::{Conv, Job, micro};
use crate::matmul::{Element, Sum};
use crate::memory::scratch::{self, Slot};
use crate::reduce::Shared;
use crate::vmath::Float;

/// Elements of a block's transformed input to aim for: a part of the second-level cache.
const BLOCK: usize = 160 * 1024;

/// Elements of a group's transformed kernels to aim for, where tasks transform them.
const KERNELS: usize = 160 * 1024;

/// Elements of all transformed kernels up to which they are transformed for all tasks.
const SMALL: usize = 1 << 20;

/// Output channels of a group, and the least.
const OUTPUTS: usize = 16;
const LEAST: usize = 8;

/// Channels that are transformed together where blocks are few.
const CHANNELS: usize = 16;

/// Tasks to aim for.
const TASKS: usize = 16;

/// The sizes of a convolution; from its shape alone.
struct Cut {
    grid: Grid,
    /// Rows of tiles in an image, in all, and in a block.
    rows: usize,
    all: usize,
    block: usize,
    blocks: usize,
    /// Panels of a block.
    panels: usize,
    /// Output channels of a group.
    outputs: usize,
    /// Elements of a block's transformed input, of the kernels of `outputs` output channels.
    size: usize,
    /// Whether a task takes a full block; else it takes a group of output channels.
    whole: bool,
}

impl Cut {
    fn new(conv: &Conv, width: usize) -> Self {
        let m = side(conv.kernel).expect("there is a tile for the taps");
        let [rows, tiles] = tiles(m, conv.output()).expect("tiles cover the plane");
        let all = conv.batch * rows;
        let wanted = (BLOCK / (PLACES * conv.channels)).max(width) / width * width;
        let mut block = (wanted / tiles).clamp(1, all);
        let kernels = PLACES * conv.channels * conv.outputs;
        let whole = kernels <= SMALL && all.div_ceil(block) >= TASKS;
        let mut outputs = OUTPUTS;
        if !whole {
            block = (2 * width / tiles).clamp(1, all);
            outputs = (KERNELS / (PLACES * conv.channels) / LEAST * LEAST).clamp(LEAST, OUTPUTS);
        }
        let panels = (block * tiles).div_ceil(width);
        let size = PLACES * panels * conv.channels * width;
        let blocks = all.div_ceil(block);
        Cut { grid: Grid { m, tiles }, rows, all, block, blocks, panels, outputs, size, whole }
    }

    /// Elements of the scratch that transforming a block takes: a plane and its tiles, dealt out.
    fn dealing(&self) -> usize {
        self.grid.size(self.block.min(self.rows)) + PLACES * self.block * self.grid.tiles
    }

    /// Elements of the products of a group and a block.
    fn products(&self, width: usize) -> usize {
        PLACES * self.outputs * self.panels * width
    }

    /// Elements of the kernels of a group.
    fn kernels(&self, conv: &Conv) -> usize {
        PLACES * self.outputs * conv.channels
    }
}

/// A convolution in progress.
struct Work<'a, T> {
    job: &'a Job<'a, T>,
    cut: Cut,
    /// Where each tap lies, rows of the kernels, channels.
    taps: &'a [isize],
    row: &'a [u32],
    inner: &'a [u32],
    doubt: AtomicBool,
}

/// Its workspace sizes.
pub(super) fn workspace_sizes<T: Float + Element>(conv: &Conv, width: usize) -> WorkspaceSizes {
    let cut = Cut::new(conv, width);
    let (kernels, inputs, task) = if cut.whole {
        let task = cut.size + cut.dealing().max(cut.products(width));
        (PLACES * conv.outputs * conv.channels, 0, task)
    } else {
        (0, cut.blocks * cut.size, cut.dealing().max(cut.kernels(conv) + cut.products(width)))
    };
    let tables = bytes_of::<isize>(conv.taps())
        + bytes_of::<u32>(cut.outputs)
        + bytes_of::<u32>(conv.channels.min(DEPTH));
    let workspace = tables + bytes_of::<T>(kernels) + bytes_of::<T>(inputs);
    WorkspaceSizes { workspace, patches: bytes_of::<T>(task), ..WorkspaceSizes::default() }
}

/// Convolves; false when a result is not finite.
pub(super) fn run<T: Float + Element>(job: &Job<'_, T>) -> bool {
    let (conv, pool, mut workspace, width) = (job.conv, job.pool, job.workspace, T::width());
    let cut = Cut::new(conv, width);
    // SAFETY: the workspace is valid until the convolution is done.
    let (taps, row, inner) = unsafe {
        let taps = workspace.table(conv.taps(), |t| conv.tap(t));
        let row = workspace.table(cut.outputs, |o| offset(o * conv.channels));
        (taps, row, workspace.table(conv.channels.min(DEPTH), offset))
    };
    let work = Work { job, cut, taps, row, inner, doubt: AtomicBool::new(false) };
    let cut = &work.cut;
    let group = |i: usize| i * cut.outputs..((i + 1) * cut.outputs).min(conv.outputs);
    let (groups, size) = (conv.outputs.div_ceil(cut.outputs), cut.size);
    if cut.whole {
        let place = conv.outputs * conv.channels;
        let kernels: Shared<T> = workspace.take(PLACES * place);
        pool.run(groups, &|i| {
            // SAFETY: the rows of these output channels in each matrix, which belong to this task.
            unsafe { work.kernels(group(i), kernels.at(group(i).start * conv.channels), place) };
        });
        let task = size + cut.dealing().max(cut.products(width));
        pool.run(cut.blocks, &|b| {
            // The definition takes over anyway.
            if work.doubt.load(Ordering::Relaxed) {
                return;
            }
            scratch::with(Slot::Patches, task, |v: *mut T| {
                // SAFETY: the scratch can hold a block and then for a task.
                unsafe {
                    let rest = v.add(size);
                    work.input(b, 0..conv.channels, v, rest);
                    for outputs in (0..groups).map(group) {
                        let u = kernels.at(outputs.start * conv.channels);
                        work.multiply(b, outputs, (u, place), v, rest);
                    }
                }
            });
        });
    } else {
        let inputs: Shared<T> = workspace.take(cut.blocks * size);
        let pieces = conv.channels.div_ceil(CHANNELS);
        pool.run(cut.blocks * pieces, &|i| {
            let (piece, b) = (i % pieces, i / pieces);
            let channels = piece * CHANNELS..((piece + 1) * CHANNELS).min(conv.channels);
            scratch::with(Slot::Patches, cut.dealing(), |rest: *mut T| {
                // SAFETY: the channels of a block, which belong to this task alone.
                unsafe { work.input(b, channels.clone(), inputs.at(b * size), rest) };
            });
        });
        let (kernels, place) = (cut.kernels(conv), cut.outputs * conv.channels);
        pool.run(groups, &|i| {
            scratch::with(Slot::Patches, kernels + cut.products(width), |u: *mut T| {
                // SAFETY: the scratch can hold the group's kernels and then for its products; blocks are complete.
                unsafe {
                    work.kernels(group(i), u, place);
                    for b in (0..cut.blocks).take_while(|_| !work.doubt.load(Ordering::Relaxed)) {
                        work.multiply(b, group(i), (u, place), inputs.at(b * size), u.add(kernels));
                    }
                }
            });
        });
    }
    !work.doubt.into_inner()
}

impl<T: Float + Element> Work<'_, T> {
    fn rows_of(&self, b: usize) -> (usize, usize) {
        (b * self.cut.block, ((b + 1) * self.cut.block).min(self.cut.all))
    }

    /// `G g Gᵀ` for output channels and all channels, to matrices `place` apart.
    ///
    /// # Safety
    /// `to` can hold them, and nobody else writes there.
    unsafe fn kernels(&self, outputs: Range<usize>, to: *mut T, place: usize) {
        let conv = self.job.conv;
        for (i, o) in outputs.enumerate() {
            let stage = Stage::Kernel(Kernel {
                kernel: self.job.kernel.at(o * conv.k_strides[0]),
                taps: self.taps,
                stride: conv.k_strides[1],
                channels: conv.channels,
                to: to.wrapping_add(i * conv.channels),
                place,
            });
            // SAFETY: the kernels of output channel `o`; the caller's promise.
            unsafe { transform_raw(&stage) };
        }
    }

    /// Transforms channels of a block.
    ///
    /// # Safety
    /// `v` can hold a block, and nobody else writes its rows of these channels; `rest` can hold the rearranged plane.
    unsafe fn input(&self, b: usize, channels: Range<usize>, v: *mut T, rest: *mut T) {
        let (conv, cut, width) = (self.job.conv, &self.cut, T::width());
        let grid = cut.grid;
        let most = cut.block * grid.tiles;
        let (dealt, plane) = (rest, rest.wrapping_add(PLACES * most));
        let (begin, end) = self.rows_of(b);
        for c in channels {
            strips([cut.rows, grid.tiles], (begin, end), |n, row, rows, t| {
                let from = self.job.x.at(n * conv.x_strides[0] + c * conv.x_strides[1]);
                // SAFETY: a plane of the input, memory for rows of it, and the tiles of this strip.
                unsafe { grid.deal(conv, from, (row, rows), plane, (dealt.add(t), most)) };
            });
            let stage = Stage::Input(Input {
                from: dealt,
                dealt: most,
                tiles: (end - begin) * grid.tiles,
                to: v.wrapping_add(c * width),
                width,
                place: cut.panels * conv.channels * width,
                panel: conv.channels * width,
            });
            // SAFETY: what was dealt out, and the caller's promise.
            unsafe { transform_raw(&stage) };
        }
    }

    /// The products of a block with output channels, whose kernels lie in matrices `place` apart, mapped back.
    ///
    /// # Safety
    /// `v` holds the block's transformed input and `u` the kernels; `products` can hold a group's.
    unsafe fn multiply(
        &self,
        b: usize,
        outputs: Range<usize>,
        (u, place): (*const T, usize),
        v: *const T,
        products: *mut T,
    ) {
        let (conv, cut, width) = (self.job.conv, &self.cut, T::width());
        let (channels, columns, grid) = (conv.channels, cut.panels * width, cut.grid);
        let matrix = outputs.len() * columns;
        for f in 0..PLACES {
            for (piece, inner) in (0..channels).step_by(DEPTH).map(|c| (c, (channels - c).min(DEPTH))) {
                for panel in 0..cut.panels {
                    let work = micro::Task {
                        x: u.wrapping_add(f * place + piece),
                        rows: &self.row[..outputs.len()],
                        inner: &self.inner[..inner],
                        b: v.wrapping_add(((f * cut.panels + panel) * channels + piece) * width),
                        half: false,
                        to: products.wrapping_add(f * matrix + panel * width),
                        stride: columns,
                        sum: Sum::added(piece > 0),
                    };
                    // SAFETY: rows and inner indices lie inside the matrix of place `f`, the panel holds them, and the
                    // scratch can hold the products.
                    unsafe { T::multiply(&work) };
                }
            }
        }
        let (begin, end) = self.rows_of(b);
        for (i, o) in outputs.enumerate() {
            let at = products.wrapping_add(i * columns);
            let tiles = (end - begin) * grid.tiles;
            // SAFETY: the products of the block with output channel `o`.
            unsafe { transform_raw(&Stage::Output(Output { m: grid.m, at, place: matrix, tiles })) };
            strips([cut.rows, grid.tiles], (begin, end), |n, row, rows, t| {
                let to = n * conv.out_strides[0] + o * conv.out_strides[1];
                let stage = Stage::Collect(Collect {
                    m: grid.m,
                    from: at.wrapping_add(t),
                    place: matrix,
                    rows,
                    tiles: grid.tiles,
                    out: self.job.out.at(to),
                    first: grid.m * row,
                    extent: [conv.output()[1], conv.output()[2]],
                    doubt: &self.doubt,
                });
                // SAFETY: results of the strip, and the rows of a plane that belong to this task alone.
                unsafe { transform_raw(&stage) };
            });
        }
    }
}
