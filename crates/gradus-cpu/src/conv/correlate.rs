//! Few results of few output channels, each a long sum: the weight gradients of depthwise convolutions.
//!
//! A plane of the input is copied with its zeros around it, a plane of the kernel is spread out at the same pitch; then
//! each result is one dot product of two runs of memory. The zeros between lines are multiplied by elements that are
//! not terms of the result, so where a result is not finite the convolution is left to the general algorithm.
//!
//! Invariant: the convolution is sized and fits its operands; scratch has complete lanes beyond the last tap.

use std::sync::atomic::{AtomicBool, Ordering};

use super::packed::Planes;
use super::workspace::{WorkspaceSizes, bytes_of};
use super::{Conv, Job, Spatial};
use crate::matmul::Element;
use crate::memory::scratch::{self, Slot};
use crate::vmath::isa::{dispatch, fma};
use crate::vmath::{Float, Isa};

/// Partial sums of a dot product, and results summed together.
const LANES: usize = 16;
const TOGETHER: usize = 3;

/// The place along each axis of a flattened index.
fn place(extent: &Spatial, i: usize) -> Spatial {
    [i / extent[2] / extent[1], i / extent[2] % extent[1], i % extent[2]]
}

/// Elements of the padded plane, and of the spread kernel.
fn sizes(conv: &Conv) -> (Planes, usize, usize) {
    let planes = Planes::of(conv, [0; 3], conv.output());
    // The spread kernel ends with its last tap, and is read, as is the input, in complete lanes.
    let reach = planes.at(conv, [0; 3], std::array::from_fn(|d| conv.kernel[d] - 1)) + 1;
    let length = reach.next_multiple_of(LANES);
    let last = planes.at(conv, place(&conv.output(), conv.positions() - 1), [0; 3]);
    (planes, (planes.size() + LANES).max(last + length), length)
}

/// Its workspace sizes.
pub(super) fn workspace_sizes<T>(conv: &Conv) -> WorkspaceSizes {
    let (_, padded, length) = sizes(conv);
    let task = padded + length + conv.positions() * LANES;
    let workspace = bytes_of::<usize>(conv.positions());
    WorkspaceSizes { workspace, patches: bytes_of::<T>(task), ..WorkspaceSizes::default() }
}

/// Convolves; false when a result is not finite. Results are contiguous in their planes.
pub(super) fn run<T: Float + Element>(job: &Job<'_, T>) -> bool {
    let (conv, mut workspace) = (job.conv, job.workspace);
    let output = conv.output();
    let (planes, padded_len, length) = sizes(conv);
    // SAFETY: the workspace is valid until the convolution is done.
    let offsets: &[usize] =
        unsafe { workspace.table(conv.positions(), |p| planes.at(conv, place(&output, p), [0; 3])) };
    let doubt = AtomicBool::new(false);
    job.pool.run(conv.result_batch() * conv.outputs, &|task| {
        let (n, o) = (task / conv.outputs, task % conv.outputs);
        let [x0, ..] = conv.group_offsets(o / conv.group_outputs());
        scratch::with(Slot::Patches, padded_len + length + offsets.len() * LANES, |padded: *mut T| {
            // SAFETY: the scratch can hold the three parts; planes of input and kernel have been checked, and the
            // plane of the result belongs to this task.
            unsafe {
                let (spread, sums) = (padded.add(padded_len), padded.add(padded_len + length));
                padded.write_bytes(0, padded_len + length + offsets.len() * LANES);
                for c in 0..conv.group_channels() {
                    planes.copy(conv, job.x.at(x0 + n * conv.x_strides[0] + c * conv.x_strides[1]), padded);
                    let weights = job.kernel.at(o * conv.k_strides[0] + c * conv.k_strides[1]);
                    for line in 0..conv.taps() / conv.kernel[2] {
                        let at = [line / conv.kernel[1], line % conv.kernel[1], 0];
                        let to = spread.add(planes.at(conv, [0; 3], at));
                        let from = weights.wrapping_offset(conv.tap(line * conv.kernel[2]));
                        for w in 0..conv.kernel[2] {
                            *to.add(w * conv.rhs_dilation[2]) =
                                *from.wrapping_offset(w as isize * conv.k_steps[2]);
                        }
                    }
                    correlate_raw(padded, spread, length, offsets, sums);
                }
                let to = job.out.at(n * conv.out_strides[0] + o * conv.out_strides[1]);
                for p in 0..offsets.len() {
                    let lanes = std::slice::from_raw_parts(sums.add(p * LANES), LANES);
                    let pairs = |i: usize| lanes[i] + lanes[i + 8];
                    let quads = |i: usize| pairs(i) + pairs(i + 4);
                    let sum = (quads(0) + quads(2)) + (quads(1) + quads(3));
                    // Only a finite number times zero is zero.
                    if sum * <T as Float>::ZERO != <T as Float>::ZERO {
                        doubt.store(true, Ordering::Relaxed);
                    }
                    to.add(p).write(sum);
                }
            }
        });
    });
    !doubt.into_inner()
}

dispatch! {
    /// `sums[p] += x[offsets[p] + i] · k[i]`, each sum in lanes by the remainder of `i`; `len` is a multiple of the
    /// lanes.
    ///
    /// # Safety
    /// `k` is valid for reads of `len` elements, `x` from every offset on, and `sums` for its lanes.
    pub unsafe fn correlate_raw<T: Float>(x: *const T, k: *const T, len: usize, offsets: &[usize], sums: *mut T)
        = correlate in CorrelateKernel
}

#[inline(always)]
unsafe fn correlate<T: Float, I: Isa>(x: *const T, k: *const T, len: usize, offsets: &[usize], sums: *mut T) {
    for (group, offsets) in offsets.chunks(TOGETHER).enumerate() {
        // SAFETY: the caller's promise.
        unsafe {
            let sums = sums.add(group * TOGETHER * LANES);
            if let [a, b, c] = *offsets {
                add_products::<T, I, TOGETHER>([x.add(a), x.add(b), x.add(c)], k, len, sums);
            } else {
                for (i, &at) in offsets.iter().enumerate() {
                    add_products::<T, I, 1>([x.add(at)], k, len, sums.add(i * LANES));
                }
            }
        }
    }
}

/// # Safety
/// As for [`correlate_raw`].
#[inline(always)]
unsafe fn add_products<T: Float, I: Isa, const N: usize>(
    x: [*const T; N],
    k: *const T,
    len: usize,
    sums: *mut T,
) {
    // SAFETY: the caller's promise.
    unsafe {
        let mut lanes: [[T; LANES]; N] =
            std::array::from_fn(|p| std::array::from_fn(|i| *sums.add(p * LANES + i)));
        for at in (0..len).step_by(LANES) {
            let right = std::slice::from_raw_parts(k.add(at), LANES);
            for p in 0..N {
                let left = std::slice::from_raw_parts(x[p].add(at), LANES);
                for i in 0..LANES {
                    lanes[p][i] = fma::<I, T>(left[i], right[i], lanes[p][i]);
                }
            }
        }
        for p in 0..N {
            for i in 0..LANES {
                *sums.add(p * LANES + i) = lanes[p][i];
            }
        }
    }
}
