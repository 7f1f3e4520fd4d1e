//! The maps over whole tiles, many of them, or many channels, side by side.
//!
//! Places of a tile are counted row by row; a transformed operand has a matrix for each of the [`PLACES`].

use std::array::from_fn;
use std::sync::atomic::{AtomicBool, Ordering};

use super::maps::{POINTS, collapse, divide, evaluate, inputs};
use crate::vmath::isa::dispatch;
use crate::vmath::{Float, Isa};

/// Places of a transformed tile.
pub const PLACES: usize = POINTS * POINTS;

/// Lanes taken together.
pub const LANES: usize = 32;

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

/// `A y Aᵀ` of a row of tiles: `m` lines of `m · tiles` places, each with `width` output channels.
pub struct Cotangent<T> {
    pub m: usize,
    pub lines: *const T,
    pub tiles: usize,
    pub width: usize,
    pub to: *mut T,
    pub place: usize,
}

/// `Gᵀ u G` of one channel and `outputs` output channels, whose taps go to places `stride` apart.
pub struct Gradient<'a, T> {
    pub m: usize,
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
            Stage::Cotangent(p) if p.m == 4 => cotangent::<T, I, 4>(p),
            Stage::Cotangent(p) => cotangent::<T, I, 2>(p),
            Stage::Gradient(p) if p.m == 4 => gradient::<T, I, 3>(p),
            Stage::Gradient(p) => gradient::<T, I, 5>(p),
        }
    }
}

/// A map over the columns and then over the rows of a tile.
#[inline(always)]
fn both<T: Float, const P: usize, const Q: usize>(
    x: &Tile<T, P>,
    to: &mut Tile<T, Q>,
    map: impl Fn([T; P]) -> [T; Q],
) {
    let mut half = [[[T::ZERO; LANES]; P]; Q];
    for j in 0..P {
        for l in 0..LANES {
            let y = map(from_fn(|i| x[i][j][l]));
            for q in 0..Q {
                half[q][j][l] = y[q];
            }
        }
    }
    for i in 0..Q {
        for l in 0..LANES {
            let y = map(from_fn(|j| half[i][j][l]));
            for q in 0..Q {
                to[i][q][l] = y[q];
            }
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
    let mut tile = [[[T::ZERO; LANES]; POINTS]; POINTS];
    let mut mapped = tile;
    for t in (0..p.tiles).step_by(LANES) {
        let len = (p.tiles - t).min(LANES);
        for f in 0..PLACES {
            // SAFETY: the caller's promise.
            let from = unsafe { std::slice::from_raw_parts(p.from.add(f * p.dealt + t), len) };
            tile[f / POINTS][f % POINTS][..len].copy_from_slice(from);
        }
        both(&tile, &mut mapped, inputs::<T, I>);
        let mut done = 0;
        while done < len {
            let here = (p.width - (t + done) % p.width).min(len - done);
            let to = p.to.wrapping_add((t + done) / p.width * p.panel + (t + done) % p.width);
            for f in 0..PLACES {
                let from = &mapped[f / POINTS][f % POINTS][done..done + here];
                // SAFETY: the caller's promise.
                unsafe {
                    std::ptr::copy_nonoverlapping(from.as_ptr(), to.wrapping_add(f * p.place), here)
                };
            }
            done += here;
        }
    }
}

/// # Safety
/// As for [`transform_raw`].
#[inline(always)]
unsafe fn kernel<T: Float, I: Isa, const R: usize>(p: &Kernel<'_, T>) {
    let mut taps = [[[T::ZERO; LANES]; R]; R];
    let mut mapped = [[[T::ZERO; LANES]; POINTS]; POINTS];
    for c in (0..p.channels).step_by(LANES) {
        let len = (p.channels - c).min(LANES);
        for l in 0..len {
            let from = p.kernel.wrapping_add((c + l) * p.stride);
            for (k, &at) in p.taps.iter().enumerate() {
                // SAFETY: the caller's promise.
                taps[k / R][k % R][l] = unsafe { *from.wrapping_offset(at) };
            }
        }
        both(&taps, &mut mapped, |g| divide(evaluate::<T, I, R>(g)));
        for f in 0..PLACES {
            let from = &mapped[f / POINTS][f % POINTS];
            // SAFETY: the caller's promise.
            unsafe { std::ptr::copy_nonoverlapping(from.as_ptr(), p.to.add(f * p.place + c), len) };
        }
    }
}

/// # Safety
/// As for [`transform_raw`].
#[inline(always)]
unsafe fn output<T: Float, I: Isa, const M: usize>(p: &Output<T>) {
    let mut tile = [[[T::ZERO; LANES]; POINTS]; POINTS];
    let mut mapped = [[[T::ZERO; LANES]; M]; M];
    for t in (0..p.tiles).step_by(LANES) {
        let len = (p.tiles - t).min(LANES);
        for f in 0..PLACES {
            // SAFETY: the caller's promise.
            let from = unsafe { std::slice::from_raw_parts(p.at.add(f * p.place + t), len) };
            tile[f / POINTS][f % POINTS][..len].copy_from_slice(from);
        }
        both(&tile, &mut mapped, collapse::<T, I, M>);
        for f in 0..M * M {
            let from = &mapped[f / M][f % M];
            // SAFETY: the caller's promise; these places have been read.
            unsafe { std::ptr::copy_nonoverlapping(from.as_ptr(), p.at.add(f * p.place + t), len) };
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
                let from: [*const T; M] =
                    from_fn(|j| p.from.add((M * i + j) * p.place + row * p.tiles));
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
    let mut tile = [[[T::ZERO; LANES]; M]; M];
    let mut mapped = [[[T::ZERO; LANES]; POINTS]; POINTS];
    let line = M * p.tiles * p.width;
    for t in 0..p.tiles {
        for o in (0..p.width).step_by(LANES) {
            let len = (p.width - o).min(LANES);
            for i in 0..M {
                for j in 0..M {
                    let from = p.lines.wrapping_add(i * line + (M * t + j) * p.width + o);
                    // SAFETY: the caller's promise.
                    let from = unsafe { std::slice::from_raw_parts(from, len) };
                    tile[i][j][..len].copy_from_slice(from);
                }
            }
            both(&tile, &mut mapped, evaluate::<T, I, M>);
            for f in 0..PLACES {
                let to = p.to.wrapping_add(f * p.place + t * p.width + o);
                let from = &mapped[f / POINTS][f % POINTS];
                // SAFETY: the caller's promise.
                unsafe { std::ptr::copy_nonoverlapping(from.as_ptr(), to, len) };
            }
        }
    }
}

/// # Safety
/// As for [`transform_raw`].
#[inline(always)]
unsafe fn gradient<T: Float, I: Isa, const R: usize>(p: &Gradient<'_, T>) {
    let mut tile = [[[T::ZERO; LANES]; POINTS]; POINTS];
    let mut taps = [[[T::ZERO; LANES]; R]; R];
    let mut wild = T::ZERO;
    for o in (0..p.outputs).step_by(LANES) {
        let len = (p.outputs - o).min(LANES);
        for f in 0..PLACES {
            // SAFETY: the caller's promise.
            let from = unsafe { std::slice::from_raw_parts(p.from.add(f * p.place + o), len) };
            tile[f / POINTS][f % POINTS][..len].copy_from_slice(from);
        }
        both(&tile, &mut taps, |u| collapse::<T, I, R>(divide(u)));
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
