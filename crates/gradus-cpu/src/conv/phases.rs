//! Input dilation without multiplying zeros: results whose positions leave the same remainder meet the same taps, so
//! each remainder is a convolution of its own, undilated, with every so many-th tap.

use super::{Conv, MAX_SPATIAL, Spatial, Target};
use crate::Pool;
use crate::matmul::Element;
use crate::reduce::Shared;
use crate::vmath::Float;

/// Whether a convolution is taken apart: it is dilated, and steps by 1 wherever it is.
pub(super) fn apply(conv: &Conv) -> bool {
    conv.lhs_dilation != [1; MAX_SPATIAL]
        && (0..MAX_SPATIAL).all(|d| conv.lhs_dilation[d] == 1 || conv.stride[d] == 1)
}

/// One remainder along one axis.
#[derive(Clone, Copy)]
struct Phase {
    /// First position, and how many at a distance of the dilation.
    position: usize,
    positions: usize,
    /// First tap, distance between taps, how many.
    tap: usize,
    tap_step: usize,
    taps: usize,
    /// The undilated convolution's padding and kernel dilation.
    low: isize,
    rhs_dilation: usize,
}

fn gcd(a: usize, b: usize) -> usize {
    if b == 0 { a } else { gcd(b, a % b) }
}

/// The remainders along axis `d`.
fn along(conv: &Conv, d: usize) -> Vec<Phase> {
    let (spread, rhs) = (conv.lhs_dilation[d], conv.rhs_dilation[d]);
    let extent = conv.output()[d];
    if spread == 1 {
        return vec![Phase {
            position: 0,
            positions: extent,
            tap: 0,
            tap_step: 1,
            taps: conv.kernel[d],
            low: conv.low[d],
            rhs_dilation: rhs,
        }];
    }
    let tap_step = spread / gcd(rhs, spread);
    (0..spread.min(extent))
        .map(|position| {
            let meets = |k: &usize| {
                (position as isize + (k * rhs) as isize - conv.low[d]).rem_euclid(spread as isize) == 0
            };
            let tap = (0..tap_step.min(conv.kernel[d])).find(meets);
            let taps = tap.map_or(0, |tap| (conv.kernel[d] - tap).div_ceil(tap_step));
            let tap = tap.unwrap_or(0);
            let offset = (position as isize + (tap * rhs) as isize - conv.low[d]).div_euclid(spread as isize);
            Phase {
                position,
                positions: (extent - position).div_ceil(spread),
                tap,
                tap_step,
                taps,
                low: -offset,
                rhs_dilation: tap_step * rhs / spread,
            }
        })
        .collect()
}

/// Convolves phase by phase; lengths have been checked.
pub(super) fn run<T: Float + Element>(conv: &Conv, pool: &Pool, x: &[T], kernel: &[T], out: Shared<T>) {
    let output = conv.output();
    let steps = [output[1] * output[2], output[2], 1];
    let axes: [Vec<Phase>; MAX_SPATIAL] = std::array::from_fn(|d| along(conv, d));
    if axes.iter().flatten().any(|phase| phase.taps == 0) {
        conv.clear(out);
    }
    for a in &axes[0] {
        for b in &axes[1] {
            for c in &axes[2] {
                let phase = [a, b, c];
                if phase.iter().any(|p| p.taps == 0) {
                    continue;
                }
                let taps: Spatial = std::array::from_fn(|d| phase[d].taps);
                let part = gather(conv, kernel, &phase);
                let count: usize = taps.iter().product();
                let mut sub = *conv;
                sub.kernel = taps;
                sub.lhs_dilation = [1; MAX_SPATIAL];
                sub.k_strides = [conv.group_channels() * count, count];
                for d in 0..MAX_SPATIAL {
                    sub.low[d] = phase[d].low;
                    sub.rhs_dilation[d] = phase[d].rhs_dilation;
                    // Whatever padding gives this phase its number of results.
                    let reach =
                        (phase[d].positions - 1) * sub.stride[d] + (taps[d] - 1) * sub.rhs_dilation[d] + 1;
                    sub.high[d] = reach as isize - sub.input[d] as isize - sub.low[d];
                }
                let target = Target {
                    step: std::array::from_fn(|d| steps[d] * conv.lhs_dilation[d]),
                    offset: (0..MAX_SPATIAL).map(|d| phase[d].position * steps[d]).sum(),
                };
                sub.dispatch(pool, x, &part, out, target);
            }
        }
    }
}

/// The taps of a phase, contiguous.
fn gather<T: Float>(conv: &Conv, kernel: &[T], phase: &[&Phase; MAX_SPATIAL]) -> Vec<T> {
    let mut part = Vec::new();
    for o in 0..conv.outputs {
        for c in 0..conv.group_channels() {
            let base = o * conv.k_strides[0] + c * conv.k_strides[1];
            for d in 0..phase[0].taps {
                for h in 0..phase[1].taps {
                    for w in 0..phase[2].taps {
                        let tap = |axis: usize, i: usize| phase[axis].tap + i * phase[axis].tap_step;
                        let place = (tap(0, d) * conv.kernel[1] + tap(1, h)) * conv.kernel[2] + tap(2, w);
                        part.push(kernel[base + place]);
                    }
                }
            }
        }
    }
    part
}
