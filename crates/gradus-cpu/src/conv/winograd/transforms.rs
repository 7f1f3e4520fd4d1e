//! The maps over complete tiles, for many tiles or channels side by side.
//!
//! Places of a tile are counted row by row; a transformed operand has a matrix for each of the [`PLACES`].
//!
//! Invariant: a stage has memory for all tiles it names, in its own scratch or in the workspace of the convolution.

use std::array::from_fn;
use std::sync::atomic::{AtomicBool, Ordering};

use super::maps::{POINTS, collapse, divide, evaluate, inputs};
use crate::vmath::isa::dispatch;
use crate::vmath::{Float, Isa};

/// Places of a transformed tile.
pub const PLACES: usize = POINTS * POINTS;

/// Lanes taken together.
pub const LANES: usize = 16;

type Tile<T, const N: usize> = [[[T; LANES]; N]; N];

/// One piece of a transform; `m` results a side of a tile.
pub enum Stage<'a, T> {
    Deal(Deal<T>),
    Input(Input<T>),
    Kernel(Kernel<'a, T>),
    Output(Output<T>),
    Collect(Collect<'a, T>),
    Cotangent(Cotangent<T>),
    Gradient(Gradient<'a, T>),
}

/// The tiles of a padded plane, `rows` rows of `tiles`, dealt out place by place.
pub struct Deal<T> {
    pub m: usize,
    pub plane: *const T,
    pub pitch: usize,
    pub rows: usize,
    pub tiles: usize,
    pub to: *mut T,
    pub place: usize,
}

/// `Bᵀ d B` of `tiles` tiles that were dealt out, into panels `width` wide.
pub struct Input<T> {
    pub from: *const T,
    /// Distance between places of what was dealt out.
    pub dealt: usize,
    pub tiles: usize,
    pub to: *mut T,
    pub width: usize,
    /// Distances between places of a tile, and between panels.
    pub place: usize,
    pub panel: usize,
}

/// `G g Gᵀ` of the kernels between one output channel and `channels` channels, `stride` apart.
pub struct Kernel<'a, T> {
    pub kernel: *const T,
    /// Where the taps lie beside the first.
    pub taps: &'a [isize],
    pub stride: usize,
    pub channels: usize,
    pub to: *mut T,
    pub place: usize,
}

/// `Aᵀ m A` of `tiles` tiles, over the first of their places.
pub struct Output<T> {
    pub m: usize,
    pub at: *mut T,
    pub place: usize,
    pub tiles: usize,
}

/// Results of `rows` rows of `tiles` tiles into a plane of the given extents, from row `first` on.
pub struct Collect<'a, T> {
    pub m: usize,
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

/// `A y Aᵀ` of a row of tiles, four results a side: four lines of `4 · tiles` places, each with `width` output channels.
pub struct Cotangent<T> {
    pub lines: *const T,
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

#[inline(always)]
unsafe fn transform<T: Float, I: Isa>(stage: &Stage<'_, T>) {
    // SAFETY: the caller's promise.
    unsafe {
        match stage {
            Stage::Deal(p) if p.m == 4 => deal::<T, 4>(p),
            Stage::Deal(p) => deal::<T, 2>(p),
            Stage::Input(p) => input::<T, I>(p),
            Stage::Kernel(p) if p.taps.len() == 9 => kernel::<T, I, 3>(p),
            Stage::Kernel(p) => kernel::<T, I, 5>(p),
            Stage::Output(p) if p.m == 4 => output::<T, I, 4>(p),
            Stage::Output(p) => output::<T, I, 2>(p),
            Stage::Collect(p) if p.m == 4 => collect::<T, 4>(p),
            Stage::Collect(p) => collect::<T, 2>(p),
            Stage::Cotangent(p) => cotangent::<T, I, 4>(p),
            Stage::Gradient(p) => gradient::<T, I, 3>(p),
        }
    }
}

/// A map over the columns and then over the rows of [`LANES`] tiles, whose places lie `place` apart.
///
/// # Safety
/// All lanes of all places are valid; results may lie over the tiles.
#[inline(always)]
unsafe fn both<T: Float, const P: usize, const Q: usize>(
    (from, from_place): (*const T, usize),
    (to, to_place): (*mut T, usize),
    map: impl Fn([T; P]) -> [T; Q],
) {
    let mut half = [[[T::ZERO; LANES]; P]; Q];
    for j in 0..P {
        for l in 0..LANES {
            // SAFETY: the caller's promise.
            let y = map(from_fn(|i| unsafe { *from.add((P * i + j) * from_place + l) }));
            for q in 0..Q {
                half[q][j][l] = y[q];
            }
        }
    }
    for i in 0..Q {
        let mut row = [[T::ZERO; LANES]; Q];
        for l in 0..LANES {
            let y = map(from_fn(|j| half[i][j][l]));
            for q in 0..Q {
                row[q][l] = y[q];
            }
        }
        for (q, lanes) in row.iter().enumerate() {
            // SAFETY: the caller's promise.
            unsafe { to.add((Q * i + q) * to_place).cast::<[T; LANES]>().write_unaligned(*lanes) };
        }
    }
}

/// [`both`] for the first `len` lanes of places that have no more.
///
/// # Safety
/// As for [`both`], for these lanes.
#[inline(always)]
unsafe fn some<T: Float, const P: usize, const Q: usize>(
    len: usize,
    (from, from_place): (*const T, usize),
    (to, to_place): (*mut T, usize),
    map: impl Fn([T; P]) -> [T; Q],
) {
    let mut tile: Tile<T, P> = [[[T::ZERO; LANES]; P]; P];
    let mut mapped: Tile<T, Q> = [[[T::ZERO; LANES]; Q]; Q];
    // SAFETY: the caller's promise.
    unsafe {
        for f in 0..P * P {
            let lanes = tile[f / P][f % P].as_mut_ptr();
            std::ptr::copy_nonoverlapping(from.add(f * from_place), lanes, len);
        }
        both((tile.as_ptr().cast(), LANES), (mapped.as_mut_ptr().cast(), LANES), map);
        for f in 0..Q * Q {
            std::ptr::copy_nonoverlapping(mapped[f / Q][f % Q].as_ptr(), to.add(f * to_place), len);
        }
    }
}

/// # Safety
/// As for [`transform_raw`].
#[inline(always)]
unsafe fn deal<T: Float, const M: usize>(p: &Deal<T>) {
    for row in 0..p.rows {
        for i in 0..POINTS {
            // SAFETY: the caller's promise.
            unsafe {
                let line = p.plane.add((M * row + i) * p.pitch);
                for j in 0..POINTS {
                    let to = p.to.add((POINTS * i + j) * p.place + row * p.tiles);
                    for t in 0..p.tiles {
                        *to.add(t) = *line.add(M * t + j);
                    }
                }
            }
        }
    }
}

/// # Safety
/// As for [`transform_raw`].
#[inline(always)]
unsafe fn input<T: Float, I: Isa>(p: &Input<T>) {
    let mut t = 0;
    while t < p.tiles {
        // Up to the end of a panel at most.
        let len = (p.tiles - t).min(LANES).min(p.width - t % p.width);
        let to = p.to.wrapping_add(t / p.width * p.panel + t % p.width);
        // SAFETY: the caller's promise.
        unsafe {
            let from = (p.from.add(t), p.dealt);
            if len == LANES {
                both(from, (to, p.place), inputs::<T, I>);
            } else {
                some(len, from, (to, p.place), inputs::<T, I>);
            }
        }
        t += len;
    }
}

/// # Safety
/// As for [`transform_raw`].
#[inline(always)]
unsafe fn kernel<T: Float, I: Isa, const R: usize>(p: &Kernel<'_, T>) {
    let mut taps: Tile<T, R> = [[[T::ZERO; LANES]; R]; R];
    for c in (0..p.channels).step_by(LANES) {
        let len = (p.channels - c).min(LANES);
        for l in 0..len {
            let from = p.kernel.wrapping_add((c + l) * p.stride);
            for (k, &at) in p.taps.iter().enumerate() {
                // SAFETY: the caller's promise.
                taps[k / R][k % R][l] = unsafe { *from.wrapping_offset(at) };
            }
        }
        let map = |g| divide(evaluate::<T, I, R>(g));
        // SAFETY: the caller's promise.
        unsafe {
            let (from, to) = ((taps.as_ptr().cast(), LANES), (p.to.add(c), p.place));
            if len == LANES { both(from, to, map) } else { some(len, from, to, map) }
        }
    }
}

/// # Safety
/// As for [`transform_raw`].
#[inline(always)]
unsafe fn output<T: Float, I: Isa, const M: usize>(p: &Output<T>) {
    for t in (0..p.tiles).step_by(LANES) {
        let len = (p.tiles - t).min(LANES);
        let at = p.at.wrapping_add(t);
        // SAFETY: the caller's promise; what is written has been read.
        unsafe {
            if len == LANES {
                both((at, p.place), (at, p.place), collapse::<T, I, M>);
            } else {
                some(len, (at, p.place), (at, p.place), collapse::<T, I, M>);
            }
        }
    }
}

/// # Safety
/// As for [`transform_raw`].
#[inline(always)]
unsafe fn collect<T: Float, const M: usize>(p: &Collect<'_, T>) {
    let [height, width] = p.extent;
    let mut wild = [T::ZERO; M];
    for row in 0..p.rows {
        for i in 0..M {
            let y = p.first + M * row + i;
            if y >= height {
                break;
            }
            // SAFETY: the caller's promise; the rows and the places lie inside the plane.
            unsafe {
                let line = p.out.add(y * width);
                let from: [*const T; M] = from_fn(|j| p.from.add((M * i + j) * p.place + row * p.tiles));
                let whole = (width / M).min(p.tiles);
                for t in 0..whole {
                    for j in 0..M {
                        let v = *from[j].add(t);
                        *line.add(M * t + j) = v;
                        wild[j] = wild[j] + v * T::ZERO;
                    }
                }
                for t in whole..p.tiles {
                    for j in 0..(width - M * t).min(M) {
                        let v = *from[j].add(t);
                        *line.add(M * t + j) = v;
                        wild[j] = wild[j] + v * T::ZERO;
                    }
                }
            }
        }
    }
    if wild.iter().any(|&w| w != T::ZERO) {
        p.doubt.store(true, Ordering::Relaxed);
    }
}

/// # Safety
/// As for [`transform_raw`].
#[inline(always)]
unsafe fn cotangent<T: Float, I: Isa, const M: usize>(p: &Cotangent<T>) {
    let line = M * p.tiles * p.width;
    let mut tile: Tile<T, M> = [[[T::ZERO; LANES]; M]; M];
    for t in 0..p.tiles {
        for o in (0..p.width).step_by(LANES) {
            let len = (p.width - o).min(LANES);
            for i in 0..M {
                for j in 0..M {
                    let from = p.lines.wrapping_add(i * line + (M * t + j) * p.width + o);
                    // SAFETY: the caller's promise.
                    unsafe { std::ptr::copy_nonoverlapping(from, tile[i][j].as_mut_ptr(), len) };
                }
            }
            let (from, to) = ((tile.as_ptr().cast(), LANES), (p.to.wrapping_add(t * p.width + o), p.place));
            // SAFETY: the caller's promise.
            unsafe {
                if len == LANES {
                    both(from, to, evaluate::<T, I, M>);
                } else {
                    some(len, from, to, evaluate::<T, I, M>);
                }
            }
        }
    }
}

/// # Safety
/// As for [`transform_raw`].
#[inline(always)]
unsafe fn gradient<T: Float, I: Isa, const R: usize>(p: &Gradient<'_, T>) {
    let mut taps: Tile<T, R> = [[[T::ZERO; LANES]; R]; R];
    let mut wild = T::ZERO;
    for o in (0..p.outputs).step_by(LANES) {
        let len = (p.outputs - o).min(LANES);
        let map = |u| collapse::<T, I, R>(divide(u));
        // SAFETY: the caller's promise.
        unsafe {
            let (from, to) = ((p.from.add(o), p.place), (taps.as_mut_ptr().cast(), LANES));
            if len == LANES { both(from, to, map) } else { some(len, from, to, map) }
        }
        for l in 0..len {
            for k in 0..R * R {
                let v = taps[k / R][k % R][l];
                // SAFETY: the caller's promise.
                unsafe { *p.out.add((o + l) * p.stride + k) = v };
                wild = wild + v * T::ZERO;
            }
        }
    }
    if wild != T::ZERO {
        p.doubt.store(true, Ordering::Relaxed);
    }
}
