//! The contribution of terms that are not finite to the results of a convolution, found term by term from the elements
//! that are not.
//!
//! Invariant: the convolution is sized and fits its operands.

use std::sync::atomic::{AtomicUsize, Ordering};

use gradus_core::memory::filled;

use super::absorbing::Elements;
use super::{Conv, MAX_SPATIAL, Spatial, along};
use crate::Pool;
use crate::matmul::{Element, counts};
use crate::memory::fail;
use crate::reduce::Shared;
use crate::vmath::Float;

/// Multiplications of a convolution that take as long as one term here.
pub(super) const SLOW: f64 = 24.0;

/// Elements that a task looks at, or results.
const GRAIN: usize = 1 << 14;

/// Output channels of a task.
const OUTPUTS: usize = 32;

/// A term of a result is NaN, positive or negative infinity.
const NAN: u8 = 1;
const UP: u8 = 2;
const DOWN: u8 = 4;

/// The elements of both operands that are not finite, a list a plane each: of an example and channel of the input, of an
/// output channel and channel of the kernel.
pub(super) struct NonFinite([Vec<Vec<usize>>; 2]);

impl NonFinite {
    /// Lists them in the operands marked by `some`; `None` if their terms take longer than the convolution.
    ///
    /// # Safety
    /// The operands are what the convolution reads.
    pub unsafe fn find<T: Float + Element>(
        conv: &Conv,
        pool: &Pool,
        [x, kernel]: [Elements<T>; 2],
        some: [bool; 2],
    ) -> Option<Self> {
        // SAFETY: the caller's promise.
        let of_x = |plane: usize, i: usize| unsafe {
            let [n, c] = [plane / conv.channels, plane % conv.channels];
            *x.at.at(n * conv.x_strides[0] + c * conv.x_strides[1] + i)
        };
        let channels = conv.group_channels();
        let dense = conv.has_dense_taps();
        // SAFETY: as above.
        let of_kernel = |plane: usize, i: usize| unsafe {
            let [o, c] = [plane / channels, plane % channels];
            let first = conv.k_first + o * conv.k_strides[0] + c * conv.k_strides[1];
            *kernel.at.at(first.wrapping_add_signed(if dense { i as isize } else { conv.tap(i) }))
        };
        let output = conv.output();
        let meets: usize = (0..MAX_SPATIAL).map(|d| output[d].min(conv.kernel[d])).product();
        let mut left = conv.flops() / 2.0 / SLOW;
        let mut fits = |each: usize, count: usize| {
            left -= count as f64 * each as f64;
            left >= 0.0
        };
        let mut planes = [Vec::new(), Vec::new()];
        if some[0] {
            let size = [conv.batch * conv.channels, conv.input.iter().product()];
            if !fits(conv.group_outputs() * meets, counted(pool, size, of_x)) {
                return None;
            }
            planes[0] = listed(pool, size, of_x);
        }
        if some[1] {
            let size = [conv.outputs * channels, conv.taps()];
            if !fits(conv.result_batch() * conv.positions(), counted(pool, size, of_kernel)) {
                return None;
            }
            planes[1] = listed(pool, size, of_kernel);
        }
        Some(NonFinite(planes))
    }

    /// Whether operand `i` holds some.
    pub fn holds(&self, i: usize) -> bool {
        self.0[i].iter().any(|list| !list.is_empty())
    }

    /// The sum of the terms of each result that are not finite, plane by plane; zero where all are finite.
    ///
    /// # Safety
    /// As for [`find`](Self::find).
    pub unsafe fn sums<T: Float + Element>(
        &self,
        conv: &Conv,
        pool: &Pool,
        [x, kernel]: [Elements<T>; 2],
        tangents: [bool; 2],
    ) -> Vec<u8> {
        let positions = conv.positions();
        let [examples, outputs] = [conv.result_batch(), conv.group_outputs()];
        let mut kinds =
            filled("conv", examples * conv.outputs * positions, 0u8).unwrap_or_else(|kind| fail(kind));
        let to = Shared(kinds.as_mut_ptr());
        let linear = tangents != [false; 2];
        let map = Map { conv, output: conv.output() };
        let first = |n: usize, g: usize, o: usize, c: usize| {
            let [x0, k0, _] = conv.group_offsets(g);
            [
                x0 + n * conv.x_strides[0] + c * conv.x_strides[1],
                conv.k_first + k0 + o * conv.k_strides[0] + c * conv.k_strides[1],
                (n * conv.outputs + g * outputs + o) * positions,
            ]
        };
        let term = |[q0, tap0, p0]: [usize; 3], [q, tap, p]: Meeting| {
            // SAFETY: places of the operands and of the kinds; each kind belongs to the task that calls.
            unsafe {
                let left = *x.at.at(q0.wrapping_add_signed(q));
                let right = *kernel.at.at(tap0.wrapping_add_signed(tap));
                if linear && !counts(tangents, left, right) {
                    return;
                }
                let product = left * right;
                *to.at(p0.wrapping_add_signed(p)) |= match product > <T as Element>::ZERO {
                    _ if product.is_nan() => NAN,
                    true => UP,
                    false => DOWN,
                };
            }
        };
        let channels = conv.group_channels();
        if !self.0[0].is_empty() {
            let parts = outputs.div_ceil(OUTPUTS);
            pool.run_ranges(examples * conv.group_count() * parts, 1, &|range| {
                let mut axes = Axes::default();
                for task in range {
                    let (task, part) = (task / parts, task % parts * OUTPUTS);
                    let (n, g) = (task / conv.group_count(), task % conv.group_count());
                    let planes = match conv.batch_groups {
                        1 => n * conv.channels + g * channels,
                        _ => (n + g * examples) * conv.channels,
                    };
                    for c in 0..channels {
                        for &q in &self.0[0][planes + c] {
                            map.of_input(q, &mut axes);
                            for o in part..(part + OUTPUTS).min(outputs) {
                                let first = first(n, g, o, c);
                                axes.each(|meeting| term(first, meeting));
                            }
                        }
                    }
                }
            });
        }
        if !self.0[1].is_empty() {
            pool.run_ranges(conv.outputs, 1, &|range| {
                let mut axes = Axes::default();
                for plane in range {
                    let (g, o) = (plane / outputs, plane % outputs);
                    for c in 0..channels {
                        for &tap in &self.0[1][plane * channels + c] {
                            map.of_tap(tap, &mut axes);
                            for n in 0..examples {
                                let first = first(n, g, o, c);
                                axes.each(|meeting| term(first, meeting));
                            }
                        }
                    }
                }
            });
        }
        kinds
    }
}

/// How far the element of the input, the tap and the result of a term lie from the first ones of their planes.
type Meeting = [isize; 3];

/// Terms, as sums of one meeting of each axis.
#[derive(Default)]
struct Axes([Vec<Meeting>; MAX_SPATIAL]);

impl Axes {
    fn each(&self, mut f: impl FnMut(Meeting)) {
        let sum = |a: &Meeting, b: &Meeting| std::array::from_fn(|i| a[i] + b[i]);
        for a in &self.0[0] {
            for b in &self.0[1] {
                let line = sum(a, b);
                self.0[2].iter().for_each(|c| f(sum(&line, c)));
            }
        }
    }
}

/// Which elements of the input, taps and results meet.
struct Map<'a> {
    conv: &'a Conv,
    output: Spatial,
}

impl Map<'_> {
    /// Element `q`, a tap and result `p` along axis `d`.
    fn meeting(&self, d: usize, [q, tap, p]: [usize; 3]) -> Meeting {
        let step = |extents: &Spatial| extents[d + 1..].iter().product::<usize>();
        let [q, p] = [q * step(&self.conv.input), p * step(&self.output)];
        [q as isize, tap as isize * self.conv.k_steps[d], p as isize]
    }

    /// The terms of an element of the input.
    fn of_input(&self, q: usize, axes: &mut Axes) {
        let conv = self.conv;
        let place = along(q, &conv.input);
        for (d, axis) in axes.0.iter_mut().enumerate() {
            axis.clear();
            let (taps, results) = (conv.kernel[d], self.output[d]);
            let (rhs, stride) = (conv.rhs_dilation[d], conv.stride[d]);
            let Some(at) = (place[d] * conv.lhs_dilation[d]).checked_add_signed(conv.low[d]) else {
                continue;
            };
            // `at` is the result times its stride and the tap times its dilation.
            let rest = |of: usize, step: usize, extent: usize| {
                let rest = at.checked_sub(of)?;
                (rest % step == 0 && rest / step < extent).then_some(rest / step)
            };
            let meets = |tap, p| self.meeting(d, [place[d], tap, p]);
            if taps <= results {
                axis.extend((0..taps).filter_map(|t| Some(meets(t, rest(t * rhs, stride, results)?))));
            } else {
                axis.extend((0..results).filter_map(|p| Some(meets(rest(p * stride, rhs, taps)?, p))));
            }
        }
    }

    /// The terms of a tap.
    fn of_tap(&self, tap: usize, axes: &mut Axes) {
        let conv = self.conv;
        let place = along(tap, &conv.kernel);
        for (d, axis) in axes.0.iter_mut().enumerate() {
            axis.clear();
            let (from, spread) = (place[d] * conv.rhs_dilation[d], conv.lhs_dilation[d]);
            axis.extend((0..self.output[d]).filter_map(|p| {
                let i = (p * conv.stride[d] + from).checked_add_signed(-conv.low[d])?;
                let inside = i % spread == 0 && i / spread < conv.input[d];
                inside.then(|| self.meeting(d, [i / spread, place[d], p]))
            }));
        }
    }
}

/// The sum of terms of these kinds.
pub(super) fn sum<T: Float>(kinds: u8) -> T {
    T::from_f64(match kinds {
        UP => f64::INFINITY,
        DOWN => f64::NEG_INFINITY,
        _ => f64::NAN,
    })
}

// Only what is finite is zero when taken from itself.
#[allow(clippy::eq_op)]
fn is_odd<T: Float + Element>(x: T) -> bool {
    x - x != <T as Element>::ZERO
}

/// How many elements of all planes are not finite.
fn counted<T: Float + Element>(
    pool: &Pool,
    [planes, len]: [usize; 2],
    at: impl Fn(usize, usize) -> T + Sync,
) -> usize {
    let all = AtomicUsize::new(0);
    pool.run_ranges(planes, (GRAIN / len.max(1)).max(1), &|range| {
        let of_plane = |plane: usize| (0..len).filter(|&i| is_odd(at(plane, i))).count();
        all.fetch_add(range.map(of_plane).sum(), Ordering::Relaxed);
    });
    all.into_inner()
}

/// Where the elements of each plane lie that are not finite.
fn listed<T: Float + Element>(
    pool: &Pool,
    [planes, len]: [usize; 2],
    at: impl Fn(usize, usize) -> T + Sync,
) -> Vec<Vec<usize>> {
    let mut lists = vec![Vec::new(); planes];
    let to = Shared(lists.as_mut_ptr());
    pool.run_ranges(planes, (GRAIN / len.max(1)).max(1), &|range| {
        for plane in range {
            let list = (0..len).filter(|&i| is_odd(at(plane, i))).collect();
            // SAFETY: each list belongs to one task.
            unsafe { *to.at(plane) = list };
        }
    });
    lists
}
