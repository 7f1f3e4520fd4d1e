//! Input dilation without multiplying zeros: results whose positions leave the same remainder meet the same taps, so
//! each remainder is a convolution of its own, undilated, with every so many-th tap.

use super::{Conv, Job, MAX_SPATIAL, Target, WorkspaceSizes};
use crate::matmul::Element;
use crate::reduce::Shared;
use crate::vmath::Float;

/// Whether a convolution is split into phases: its input is dilated, with step 1 along every dilated axis.
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

/// The greatest common divisor.
pub(crate) fn gcd(a: usize, b: usize) -> usize {
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
                rhs_dilation: rhs / gcd(rhs, spread),
            }
        })
        .collect()
}

/// Calls `f(convolution, where its kernel begins, where its results go)` for each phase that has taps; returns whether
/// some results have no taps.
fn each(conv: &Conv, mut f: impl FnMut(&Conv, isize, Target)) -> bool {
    let output = conv.output();
    let steps = [output[1] * output[2], output[2], 1];
    let axes: [Vec<Phase>; MAX_SPATIAL] = std::array::from_fn(|d| along(conv, d));
    for a in &axes[0] {
        for b in &axes[1] {
            for c in &axes[2] {
                let phase = [a, b, c];
                if phase.iter().any(|p| p.taps == 0) {
                    continue;
                }
                let mut sub = *conv;
                sub.lhs_dilation = [1; MAX_SPATIAL];
                for d in 0..MAX_SPATIAL {
                    let taps = phase[d].taps;
                    sub.kernel[d] = taps;
                    sub.k_steps[d] = conv.k_steps[d] * phase[d].tap_step as isize;
                    sub.low[d] = phase[d].low;
                    sub.rhs_dilation[d] = phase[d].rhs_dilation;
                    // Whatever padding gives this phase its number of results.
                    let reach =
                        (phase[d].positions - 1) * sub.stride[d] + (taps - 1) * sub.rhs_dilation[d] + 1;
                    sub.high[d] = reach as isize - sub.input[d] as isize - sub.low[d];
                }
                let first = (0..MAX_SPATIAL).map(|d| phase[d].tap as isize * conv.k_steps[d]).sum();
                let target = Target {
                    step: std::array::from_fn(|d| steps[d] * conv.lhs_dilation[d]),
                    offset: (0..MAX_SPATIAL).map(|d| phase[d].position * steps[d]).sum(),
                };
                f(&sub, first, target);
            }
        }
    }
    axes.iter().flatten().any(|phase| phase.taps == 0)
}

/// The largest workspace sizes of all phases.
pub(super) fn workspace_sizes<T: Float + Element>(conv: &Conv, width: usize) -> WorkspaceSizes {
    let mut sizes = WorkspaceSizes::default();
    each(conv, |sub, _, target| sizes = sizes.either(sub.algorithm(target).workspace_sizes::<T>(sub, width)));
    sizes
}

/// Convolves phase by phase; true when all results are known to be finite.
pub(super) fn run<T: Float + Element>(job: &Job<'_, T>) -> bool {
    if each(job.conv, |_, _, _| ()) {
        job.clear();
    }
    let mut finite = true;
    each(job.conv, |sub, first, target| {
        let kernel = Shared(job.kernel.0.wrapping_offset(first));
        finite &= Job { conv: sub, kernel, target, ..*job }.dispatch();
    });
    finite
}
