//! The four linear maps of the method, each over many tiles or channels side by side.
//!
//! Places of a 4 × 4 tile are counted row by row, `f = 4 i + j`; a transformed operand has a matrix for each.

use std::sync::atomic::{AtomicBool, Ordering};

use crate::vmath::isa::dispatch;
use crate::vmath::{Float, Isa};

/// Lanes taken together.
const LANES: usize = 32;

/// One piece of a transform.
pub enum Stage<'a, T> {
    Input(Input<T>),
    Kernel(Kernel<T>),
    Output(Output<'a, T>),
    Cotangent(Cotangent<T>),
    Gradient(Gradient<'a, T>),
}

/// `Bᵀ d B` of a padded plane: `rows` rows of `tiles` tiles, the first of which is column `t` of panels `width` wide.
pub struct Input<T> {
    pub plane: *const T,
    pub rows: usize,
    pub tiles: usize,
    pub to: *mut T,
    pub t: usize,
    pub width: usize,
    /// Distances between places of a tile, and between panels.
    pub place: usize,
    pub panel: usize,
}

/// `G g Gᵀ` of the kernels between one output channel and `channels` channels, `stride` apart.
pub struct Kernel<T> {
    pub kernel: *const T,
    /// Where the taps lie beside the first.
    pub taps: [isize; 9],
    pub stride: usize,
    pub channels: usize,
    pub to: *mut T,
    pub place: usize,
}

/// `Aᵀ m A` of one output channel: `rows` rows of `tiles` tiles, into a plane of results of the given extents from
/// row `first` on.
pub struct Output<'a, T> {
    pub from: *const T,
    pub place: usize,
    pub rows: usize,
    pub tiles: usize,
    pub out: *mut T,
    pub first: usize,
    pub extent: [usize; 2],
    /// Set when a result is not finite.
    pub doubt: &'a AtomicBool,
}

/// `A y Aᵀ` of a row of tiles: two rows of `2 · tiles` places, each with `width` output channels.
pub struct Cotangent<T> {
    pub rows: *const T,
    pub tiles: usize,
    pub width: usize,
    pub to: *mut T,
    pub place: usize,
}

/// `Gᵀ u G` of one channel and `outputs` output channels, whose nine taps go to places `stride` apart.
pub struct Gradient<'a, T> {
    pub from: *const T,
    pub place: usize,
    pub outputs: usize,
    pub out: *mut T,
    pub stride: usize,
    pub doubt: &'a AtomicBool,
}

dispatch! {
    /// Runs one piece of a transform.
    ///
    /// # Safety
    /// Every element that the piece names is valid, and what is written is apart from what is read.
    pub unsafe fn transform_raw<T: Float>(stage: &Stage<'_, T>) = transform in WinogradKernel
}

#[allow(clippy::extra_unused_type_parameters, reason = "every kernel names its instruction set")]
#[inline(always)]
unsafe fn transform<T: Float, I: Isa>(stage: &Stage<'_, T>) {
    // SAFETY: the caller's promise.
    unsafe {
        match stage {
            Stage::Input(p) => input(p),
            Stage::Kernel(p) => kernel(p),
            Stage::Output(p) => output(p),
            Stage::Cotangent(p) => cotangent(p),
            Stage::Gradient(p) => gradient(p),
        }
    }
}

/// # Safety
/// As for [`transform_raw`].
#[inline(always)]
unsafe fn input<T: Float>(p: &Input<T>) {
    let pitch = 2 * p.tiles + 2;
    let mut lines = [[T::ZERO; 2 * LANES + 2]; 4];
    for i in 0..p.rows {
        let mut j = 0;
        while j < p.tiles {
            let t = p.t + i * p.tiles + j;
            let len = (p.tiles - j).min(LANES).min(p.width - t % p.width);
            // SAFETY: the caller's promise; rows `2i..2i+4` and columns `2j..2(j+len)+2` lie inside the plane.
            unsafe {
                let row = |r: usize| {
                    std::slice::from_raw_parts(p.plane.add((2 * i + r) * pitch + 2 * j), 2 * len + 2)
                };
                let (a, b, c, d) = (row(0), row(1), row(2), row(3));
                for x in 0..2 * len + 2 {
                    lines[0][x] = a[x] - c[x];
                    lines[1][x] = b[x] + c[x];
                    lines[2][x] = c[x] - b[x];
                    lines[3][x] = b[x] - d[x];
                }
                let to = p.to.add(t / p.width * p.panel + t % p.width);
                for (v, line) in lines.iter().enumerate() {
                    let out = |h: usize| std::slice::from_raw_parts_mut(to.add((4 * v + h) * p.place), len);
                    let (a, b, c, d) = (out(0), out(1), out(2), out(3));
                    for x in 0..len {
                        let quad = [line[2 * x], line[2 * x + 1], line[2 * x + 2], line[2 * x + 3]];
                        a[x] = quad[0] - quad[2];
                        b[x] = quad[1] + quad[2];
                        c[x] = quad[2] - quad[1];
                        d[x] = quad[1] - quad[3];
                    }
                }
            }
            j += len;
        }
    }
}

/// # Safety
/// As for [`transform_raw`].
#[inline(always)]
unsafe fn kernel<T: Float>(p: &Kernel<T>) {
    let half = T::from_f64(0.5);
    let mut taps = [[T::ZERO; LANES]; 9];
    let mut c = 0;
    while c < p.channels {
        let len = (p.channels - c).min(LANES);
        // SAFETY: the caller's promise.
        unsafe {
            for x in 0..len {
                let from = p.kernel.wrapping_add((c + x) * p.stride);
                for (tap, &at) in taps.iter_mut().zip(&p.taps) {
                    tap[x] = *from.wrapping_offset(at);
                }
            }
            let mut down = [[T::ZERO; LANES]; 12];
            for w in 0..3 {
                for x in 0..LANES {
                    let (a, b, c) = (taps[w][x], taps[3 + w][x], taps[6 + w][x]);
                    down[w][x] = a;
                    down[3 + w][x] = (a + c + b) * half;
                    down[6 + w][x] = (a + c - b) * half;
                    down[9 + w][x] = c;
                }
            }
            for v in 0..4 {
                let out = |h: usize| std::slice::from_raw_parts_mut(p.to.add((4 * v + h) * p.place + c), len);
                let (o0, o1, o2, o3) = (out(0), out(1), out(2), out(3));
                for x in 0..len {
                    let (a, b, c) = (down[3 * v][x], down[3 * v + 1][x], down[3 * v + 2][x]);
                    o0[x] = a;
                    o1[x] = (a + c + b) * half;
                    o2[x] = (a + c - b) * half;
                    o3[x] = c;
                }
            }
        }
        c += len;
    }
}

/// # Safety
/// As for [`transform_raw`].
#[inline(always)]
unsafe fn output<T: Float>(p: &Output<'_, T>) {
    let [height, width] = p.extent;
    let mut wild = [T::ZERO; LANES];
    for i in 0..p.rows {
        let mut j = 0;
        while j < p.tiles {
            let t = i * p.tiles + j;
            let len = (p.tiles - j).min(LANES);
            let mut down = [[[T::ZERO; LANES]; 4]; 2];
            for h in 0..4 {
                // SAFETY: the caller's promise.
                let m = |v: usize| unsafe {
                    std::slice::from_raw_parts(p.from.add((4 * v + h) * p.place + t), len)
                };
                let (a, b, c, d) = (m(0), m(1), m(2), m(3));
                for x in 0..len {
                    down[0][h][x] = a[x] + (b[x] + c[x]);
                    down[1][h][x] = (b[x] - c[x]) - d[x];
                }
            }
            for (v, down) in down.iter().enumerate() {
                let mut pairs = [T::ZERO; 2 * LANES];
                for x in 0..LANES {
                    let (a, b, c, d) = (down[0][x], down[1][x], down[2][x], down[3][x]);
                    pairs[2 * x] = a + (b + c);
                    pairs[2 * x + 1] = (b - c) - d;
                }
                let row = p.first + 2 * i + v;
                if row < height {
                    let count = (width - 2 * j).min(2 * len);
                    // SAFETY: the caller's promise; the row and its places lie inside the plane.
                    let to = unsafe { std::slice::from_raw_parts_mut(p.out.add(row * width + 2 * j), count) };
                    to.copy_from_slice(&pairs[..count]);
                    for x in 0..LANES {
                        let both = pairs[2 * x] + pairs[2 * x + 1];
                        wild[x] = wild[x] + both * T::ZERO;
                    }
                }
            }
            j += len;
        }
    }
    if wild.iter().any(|&w| w != T::ZERO) {
        p.doubt.store(true, Ordering::Relaxed);
    }
}

/// # Safety
/// As for [`transform_raw`].
#[inline(always)]
unsafe fn cotangent<T: Float>(p: &Cotangent<T>) {
    for j in 0..p.tiles {
        // SAFETY: the caller's promise: two rows of `2 · tiles` places with `width` lanes, and a row of each matrix.
        unsafe {
            let place = |r: usize, c: usize| {
                std::slice::from_raw_parts(p.rows.add((r * 2 * p.tiles + 2 * j + c) * p.width), p.width)
            };
            let (a, b, c, d) = (place(0, 0), place(0, 1), place(1, 0), place(1, 1));
            for v in 0..4 {
                let out = |h: usize| {
                    std::slice::from_raw_parts_mut(p.to.add((4 * v + h) * p.place + j * p.width), p.width)
                };
                let (o0, o1, o2, o3) = (out(0), out(1), out(2), out(3));
                for x in 0..p.width {
                    let (left, right) = match v {
                        0 => (a[x], b[x]),
                        1 => (a[x] + c[x], b[x] + d[x]),
                        2 => (a[x] - c[x], b[x] - d[x]),
                        _ => (-c[x], -d[x]),
                    };
                    o0[x] = left;
                    o1[x] = left + right;
                    o2[x] = left - right;
                    o3[x] = -right;
                }
            }
        }
    }
}

/// # Safety
/// As for [`transform_raw`].
#[inline(always)]
unsafe fn gradient<T: Float>(p: &Gradient<'_, T>) {
    let half = T::from_f64(0.5);
    let mut wild = [T::ZERO; LANES];
    let mut o = 0;
    while o < p.outputs {
        let len = (p.outputs - o).min(LANES);
        let mut down = [[[T::ZERO; LANES]; 4]; 3];
        for h in 0..4 {
            // SAFETY: the caller's promise.
            let u =
                |v: usize| unsafe { std::slice::from_raw_parts(p.from.add((4 * v + h) * p.place + o), len) };
            let (a, b, c, d) = (u(0), u(1), u(2), u(3));
            for x in 0..len {
                let (sum, difference) = ((b[x] + c[x]) * half, (b[x] - c[x]) * half);
                down[0][h][x] = a[x] + sum;
                down[1][h][x] = difference;
                down[2][h][x] = sum + d[x];
            }
        }
        for (v, down) in down.iter().enumerate() {
            let mut taps = [[T::ZERO; LANES]; 3];
            for x in 0..LANES {
                let (sum, difference) = ((down[1][x] + down[2][x]) * half, (down[1][x] - down[2][x]) * half);
                taps[0][x] = down[0][x] + sum;
                taps[1][x] = difference;
                taps[2][x] = sum + down[3][x];
                let all = taps[0][x] + taps[1][x] + taps[2][x];
                wild[x] = wild[x] + all * T::ZERO;
            }
            for x in 0..len {
                for (h, tap) in taps.iter().enumerate() {
                    // SAFETY: the caller's promise.
                    unsafe { *p.out.add((o + x) * p.stride + 3 * v + h) = tap[x] };
                }
            }
        }
        o += len;
    }
    if wild.iter().any(|&w| w != T::ZERO) {
        p.doubt.store(true, Ordering::Relaxed);
    }
}
