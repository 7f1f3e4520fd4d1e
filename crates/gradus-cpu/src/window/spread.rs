//! The transpose of pooling by maxima, each element of the result written once: its window's cotangent, or zero.
//!
//! Invariant: windows have passed `Window::sizes`; recorded places lie inside their plane, which safe indexing checks
//! again.

use super::Window;
use super::bands::BLOCK;
use super::run::GRAIN;
use crate::Pool;
use crate::conv::MAX_SPATIAL;
use crate::reduce::Shared;
use crate::vmath::isa::dispatch;
use crate::vmath::{Float, Isa};

/// Where maxima came from.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Origin<'a> {
    /// The number of the tap in its window.
    Taps(&'a Window, &'a [u8]),
    /// The place in its plane.
    Places(&'a [i32]),
}

impl Origin<'_> {
    /// Sends cotangents to where their maxima came from, and zero everywhere else. What several windows chose adds up
    /// in order.
    ///
    /// # Safety
    /// There is a cotangent for each origin, as many in each of the planes; `out` can hold the planes, and places lie
    /// inside them.
    pub(crate) unsafe fn spread<T: Float>(
        self,
        pool: &Pool,
        planes: usize,
        plane: usize,
        updates: &[T],
        out: *mut T,
    ) {
        let results = updates.len() / planes.max(1);
        let owners = match self {
            Origin::Taps(window, _) => Owners::new(window),
            Origin::Places(_) => None,
        };
        let out = Shared(out);
        pool.run_ranges(planes, (GRAIN / plane.max(1)).max(1), &|range| {
            for p in range {
                let first = p * results;
                // SAFETY: plane `p` belongs to this task alone; elements are inside it.
                unsafe {
                    let to = std::slice::from_raw_parts_mut(out.at(p * plane), plane);
                    match (self, &owners) {
                        (Origin::Taps(_, taps), Some(owners)) => {
                            spread_raw(owners, &taps[first..], &updates[first..], to);
                        }
                        (Origin::Taps(window, taps), None) => {
                            to.fill(T::DEAD);
                            let output = window.output().unwrap_or([1; MAX_SPATIAL]);
                            for i in 0..results {
                                let place =
                                    [i / output[2] / output[1], i / output[2] % output[1], i % output[2]];
                                if let Some(at) = window.place_of(place, taps[first + i] as usize) {
                                    to[at] = to[at] + updates[first + i];
                                }
                            }
                        }
                        (Origin::Places(places), _) => {
                            to.fill(T::DEAD);
                            for (&at, &update) in places[first..][..results].iter().zip(&updates[first..]) {
                                let at = at as usize;
                                to[at] = to[at] + update;
                            }
                        }
                    }
                }
            }
        });
    }
}

/// For windows that do not overlap: which window, and which of its elements, each element of an axis is.
#[derive(Clone, Debug)]
pub struct Owners {
    /// Axis by axis, for each element the window and the tap, if there are any.
    axes: [Vec<Option<(usize, usize)>>; MAX_SPATIAL],
    output: [usize; MAX_SPATIAL],
    size: [usize; MAX_SPATIAL],
    /// Elements of a line in windows one beside the other, from the first element on; 0 if they do not lie so.
    tiled: usize,
}

impl Owners {
    fn new(window: &Window) -> Option<Self> {
        let output = window.output().ok()?;
        let Window { input, size, stride, low, dilation, .. } = *window;
        if (0..MAX_SPATIAL).any(|d| (size[d] - 1) * dilation[d] >= stride[d]) {
            return None;
        }
        let owner = |d: usize, i: usize| {
            let (p, rest) = ((i + low[d]) / stride[d], (i + low[d]) % stride[d]);
            let inside = p < output[d] && rest.is_multiple_of(dilation[d]) && rest / dilation[d] < size[d];
            inside.then_some((p, rest / dilation[d]))
        };
        let axes = std::array::from_fn(|d| (0..input[d]).map(|i| owner(d, i)).collect());
        let tiled = low[2] == 0 && dilation[2] == 1 && size[2] == stride[2];
        Some(Owners { axes, output, size, tiled: if tiled { output[2] * size[2] } else { 0 } })
    }
}

dispatch! {
    /// One plane.
    ///
    /// # Safety
    /// None but what the slices promise.
    pub unsafe fn spread_raw<T: Float>(owners: &Owners, taps: &[u8], updates: &[T], out: &mut [T]) = spread in SpreadKernel
}

#[allow(clippy::extra_unused_type_parameters, reason = "every kernel names its instruction set")]
#[inline(always)]
unsafe fn spread<T: Float, I: Isa>(owners: &Owners, taps: &[u8], updates: &[T], out: &mut [T]) {
    let [depths, rows, columns] = &owners.axes;
    let (size, width) = (owners.size, columns.len());
    let mut begin = 0;
    for depth in depths {
        for row in rows {
            // Whole blocks may be written where later rows follow.
            let to = &mut out[begin..];
            begin += width;
            let (Some((d, kd)), Some((r, kr))) = (*depth, *row) else {
                to[..width].fill(T::DEAD);
                continue;
            };
            let first = (d * owners.output[1] + r) * owners.output[2];
            let tap = (kd * size[1] + kr) * size[2];
            let (taps, updates) = (&taps[first..], &updates[first..]);
            let n = owners.output[2];
            match (owners.tiled > 0, size[2]) {
                (true, 1) => tiles::<T, 1>(taps, updates, tap, n, to),
                (true, 2) => tiles::<T, 2>(taps, updates, tap, n, to),
                (true, 3) => tiles::<T, 3>(taps, updates, tap, n, to),
                _ => {
                    for (to, owner) in to.iter_mut().zip(columns) {
                        let chosen = |&(p, k): &(usize, usize)| taps[p] as usize == tap + k;
                        *to = match owner.filter(chosen) {
                            Some((p, _)) => updates[p],
                            None => T::DEAD,
                        };
                    }
                    continue;
                }
            }
            to[owners.tiled..width].fill(T::DEAD);
        }
    }
}

/// A line of `n` windows of `SIZE` elements, one beside the other.
#[inline(always)]
fn tiles<T: Float, const SIZE: usize>(taps: &[u8], updates: &[T], first: usize, n: usize, out: &mut [T]) {
    let mut at = 0;
    while at < n {
        let whole = taps.len().min(updates.len()) >= at + BLOCK && out.len() >= (at + BLOCK) * SIZE;
        let len = if whole { BLOCK } else { n - at };
        if !whole {
            for j in at..at + len {
                for k in 0..SIZE {
                    let chosen = taps[j] as usize == first + k;
                    out[j * SIZE + k] = if chosen { updates[j] } else { T::DEAD };
                }
            }
            return;
        }
        // Copies, so that a loop selects from what has been read and does not ask whether to read.
        let (mut tap_block, mut block) = ([0u8; BLOCK], [T::DEAD; BLOCK]);
        tap_block.copy_from_slice(&taps[at..at + BLOCK]);
        block.copy_from_slice(&updates[at..at + BLOCK]);
        let mut lines = [[T::DEAD; BLOCK]; SIZE];
        for (k, line) in lines.iter_mut().enumerate() {
            let tap = (first + k) as u8;
            for j in 0..BLOCK {
                line[j] = if tap_block[j] == tap { block[j] } else { T::DEAD };
            }
        }
        let out = &mut out[at * SIZE..(at + BLOCK) * SIZE];
        for j in 0..BLOCK {
            for k in 0..SIZE {
                out[j * SIZE + k] = lines[k][j];
            }
        }
        at += BLOCK;
    }
}
