//! The gradient of the kernel: channels are rows, output channels columns, tiles the inner dimension, a slab of them at
//! a time.

use std::sync::atomic::AtomicBool;

use super::DEPTH;
use super::transforms::{Cotangent, Gradient, Input, Stage, transform_raw};
use crate::conv::packed::Planes;
use crate::conv::room::{Need, bytes_of};
use crate::conv::{Conv, Job, micro};
use crate::matmul::{Element, transpose};
use crate::reduce::Shared;
use crate::scratch::{self, Slot};
use crate::vmath::Float;

/// Elements of a slab's transformed operands to aim for: what a last-level cache holds beside the sums.
const SLAB: usize = 1 << 21;

/// Rows of the product that a task takes.
const ROWS: usize = 64;

/// Channels whose planes a task transforms.
const CHANNELS: usize = 8;

/// The sizes of a gradient; from its shape alone.
struct Cut {
    /// Rows of tiles in an image, tiles in a row, panels of output channels.
    rows: usize,
    tiles: usize,
    panels: usize,
    /// Rows of tiles in a slab, and in all images.
    slab: usize,
    all: usize,
    /// Elements of each matrix.
    inputs: usize,
    cotangents: usize,
    sums: usize,
}

impl Cut {
    fn new(conv: &Conv, width: usize) -> Self {
        let (channels, outputs) = (conv.batch, conv.outputs);
        let (rows, tiles) = (conv.kernel[1].div_ceil(2), conv.kernel[2].div_ceil(2));
        let panels = outputs.div_ceil(width);
        // A slab is whole images where several fit, else some rows of tiles of one; rows are counted through all images.
        let all = conv.channels * rows;
        let slab = (SLAB / (16 * (channels + panels * width) * tiles)).clamp(1, all);
        let most = slab * tiles;
        let (inputs, cotangents, sums) = (channels * most, panels * most * width, channels * panels * width);
        Cut { rows, tiles, panels, slab, all, inputs, cotangents, sums }
    }
}

/// What it needs.
pub(super) fn need<T: Float + Element>(conv: &Conv) -> Need {
    let cut = Cut::new(conv, T::width());
    let most = cut.slab * cut.tiles;
    let tables = bytes_of::<u32>(most) + bytes_of::<u32>(conv.batch.min(ROWS));
    let matrices = [cut.inputs, cut.cotangents, cut.sums].map(|m| bytes_of::<T>(16 * m));
    let task = ((2 * cut.slab + 2) * (2 * cut.tiles + 2)).max(4 * cut.tiles * T::width());
    Need {
        room: tables + matrices.iter().sum::<usize>(),
        patches: bytes_of::<T>(task),
        ..Need::default()
    }
}

/// Convolves; the convolution has the channels as batch and the examples as channels.
pub(super) fn run<T: Float + Element>(job: &Job<'_, T>) -> bool {
    let (conv, pool, mut room) = (job.conv, job.pool, job.room);
    let (channels, outputs, width) = (conv.batch, conv.outputs, T::width());
    let Cut { rows, tiles, panels, slab, all, inputs, cotangents, sums } = Cut::new(conv, width);
    let most = slab * tiles;
    let (place_v, place_w, place_u) = (inputs, cotangents, sums);
    let v: Shared<T> = room.take(16 * place_v);
    let w: Shared<T> = room.take(16 * place_w);
    let u: Shared<T> = room.take(16 * place_u);
    // SAFETY: the room is there until the gradient is done.
    let (inner, row) = unsafe {
        (room.table(most, |t| t as u32), room.table(channels.min(ROWS), |r| (r * most) as u32))
    };
    let pieces = channels.div_ceil(CHANNELS);
    let blocks = channels.div_ceil(ROWS);
    for begin in (0..all).step_by(slab) {
        let end = (begin + slab).min(all);
        let strip = |at: usize| (at / rows, at % rows, (at - begin) * tiles);
        pool.run(pieces + (end - begin), &|task| {
            if task < pieces {
                let pitch = 2 * tiles + 2;
                scratch::with(Slot::Patches, (2 * slab + 2) * pitch, |plane: *mut T| {
                    for c in task * CHANNELS..((task + 1) * CHANNELS).min(channels) {
                        let mut at = begin;
                        while at < end {
                            let (n, first, t) = strip(at);
                            let here = (rows - first).min(end - at);
                            let planes =
                                Planes { extent: [1, 2 * here + 2, pitch], first: [0, 2 * first, 0] };
                            let to = v.at(c * most);
                            let (width, panel, place) = (usize::MAX, 0, place_v);
                            let from = c * conv.x_strides[0] + n * conv.x_strides[1];
                            let part = Input { plane, rows: here, tiles, to, t, width, place, panel };
                            // SAFETY: a plane of the input, room for rows of it, and the channel's row of each matrix,
                            // which belongs to this task.
                            unsafe {
                                planes.copy(conv, job.x.at(from), plane);
                                transform_raw(&Stage::Input(part));
                            }
                            at += here;
                        }
                    }
                });
            } else {
                let (n, first, t) = strip(begin + task - pieces);
                scratch::with(Slot::Patches, 4 * tiles * width, |lines: *mut T| {
                    for panel in 0..panels {
                        let from = panel * width * conv.k_strides[0] + n * conv.k_strides[1];
                        let count = (outputs - panel * width).min(width);
                        let to = w.at((panel * most + t) * width);
                        let part = Cotangent { rows: lines, tiles, width, to, place: place_w };
                        // SAFETY: two lines of the cotangent for each of the panel's output channels, room for them,
                        // and rows of each matrix that belong to this task.
                        unsafe {
                            gather(conv, job.kernel.at(from), first, tiles, count, lines);
                            transform_raw(&Stage::Cotangent(part));
                        }
                    }
                });
            }
        });
        let inner = &inner[..(end - begin) * tiles];
        pool.run(16 * blocks, &|task| {
            let (f, c0) = (task / blocks, task % blocks * ROWS);
            for (piece, inner) in inner.chunks(DEPTH).enumerate() {
                for panel in 0..panels {
                    let work = micro::Task {
                        x: v.at(f * place_v + c0 * most),
                        rows: &row[..(channels - c0).min(ROWS)],
                        inner,
                        b: w.at(f * place_w + (panel * most + piece * DEPTH) * width),
                        half: false,
                        to: u.at(f * place_u + c0 * panels * width + panel * width),
                        stride: panels * width,
                        add: piece > 0 || begin > 0,
                    };
                    // SAFETY: rows and tiles lie inside the matrices of place `f`; the sums belong to this task.
                    unsafe { T::multiply(&work) };
                }
            }
        });
    }
    let doubt = AtomicBool::new(false);
    pool.run_ranges(channels, (4096 / outputs).max(1), &|range| {
        for c in range {
            let from = u.at(c * panels * width);
            let to = job.out.at(c * conv.out_strides[0]);
            let stride = conv.out_strides[1];
            let part = Gradient { from, place: place_u, outputs, out: to, stride, doubt: &doubt };
            // SAFETY: the sums of channel `c`, and its taps of every output channel, which belong to this task.
            unsafe { transform_raw(&Stage::Gradient(part)) };
        }
    });
    !doubt.into_inner()
}

/// Two lines of the cotangent, `2 · tiles` places each, with the output channels of a panel side by side; zeros beyond
/// the cotangent's edges.
///
/// # Safety
/// `to` has room for `4 · tiles` rows of a panel's width, `from` begins at the panel's first plane, and `outputs` planes
/// are valid.
unsafe fn gather<T: Float + Element>(
    conv: &Conv,
    from: *const T,
    first: usize,
    tiles: usize,
    outputs: usize,
    to: *mut T,
) {
    let (width, [_, height, line]) = (T::width(), conv.kernel);
    // SAFETY: the caller's promise.
    unsafe {
        for r in 0..2 {
            let to = to.add(r * 2 * tiles * width);
            let inside = if 2 * first + r < height { line } else { 0 };
            if inside > 0 {
                let corner = from.add((2 * first + r) * line).cast_mut();
                transpose(outputs, inside, (corner, conv.k_strides[0] as isize, 1), to, width);
            }
            let rest = std::slice::from_raw_parts_mut(to, 2 * tiles * width);
            rest[inside * width..].fill(<T as Float>::ZERO);
            if outputs < width {
                rest[..inside * width]
                    .chunks_mut(width)
                    .for_each(|row| row[outputs..].fill(<T as Float>::ZERO));
            }
        }
    }
}
