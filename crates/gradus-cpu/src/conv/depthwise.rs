//! Convolutions with few output channels per group, mainly depthwise ones, where each packed patch would be used for
//! few products. At step 1 a plane is copied with its zeros around it, and a run of results is summed tap by tap in
//! registers, across the ends of lines; other steps sum each line of results where it lies.
//!
//! Invariant: the convolution is sized and fits its operands; scratch has complete runs beyond the last result.

use super::packed::Planes;
use super::segments::Line;
use super::workspace::{WorkspaceSizes, bytes_of};
use super::{Conv, Job};
use crate::matmul::Element;
use crate::memory::scratch::{self, Slot};
use crate::vmath::isa::{dispatch, fma};
use crate::vmath::{Float, Isa};

/// The most output channels of a group; with more, packing its patches pays.
pub(super) const MAX_OUTPUTS: usize = 4;

/// Results of a task before it is worth handing out.
const GRAIN: usize = 1 << 12;

/// Taps of the group's channels, side by side at the beginning of the scratch.
fn weights_of(conv: &Conv) -> usize {
    (conv.group_channels() * conv.taps()).next_multiple_of(RUN)
}

/// Its workspace sizes.
pub(super) fn workspace_sizes<T>(conv: &Conv) -> WorkspaceSizes {
    let flat = Flat::sizes(conv);
    let task = weights_of(conv) + if conv.stride == [1; 3] { flat.padded + flat.results } else { 0 };
    WorkspaceSizes {
        workspace: bytes_of::<usize>(conv.taps()),
        patches: bytes_of::<T>(task),
        ..WorkspaceSizes::default()
    }
}

/// Convolves; the input is not dilated.
pub(super) fn run<T: Float + Element>(job: &Job<'_, T>) {
    let (conv, mut workspace) = (job.conv, job.workspace);
    let planes = conv.result_batch() * conv.outputs;
    let grain = (GRAIN / (conv.positions() * conv.group_channels())).max(1);
    let mut flat = Flat::sizes(conv);
    // SAFETY: the workspace is valid until the convolution is done.
    flat.taps = unsafe { workspace.table(conv.taps(), |t| flat.tap(conv, t)) };
    let (taps, count) = (conv.taps(), weights_of(conv));
    let size = count + if conv.stride == [1; 3] { flat.padded + flat.results } else { 0 };
    // The taps of a group are contiguous where they are read.
    let dense = Conv { k_strides: [0, taps], k_steps: conv.dense_steps(), ..*conv };
    job.pool.run_ranges(planes, grain, &|range| {
        scratch::with(Slot::Patches, size, |weights: *mut T| {
            for plane in range.clone() {
                let (n, o) = (plane / conv.outputs, plane % conv.outputs);
                let g = o / conv.group_outputs();
                let [x0, ..] = conv.group_offsets(g);
                let from = job.x.at(x0 + n * conv.x_strides[0]);
                // SAFETY: the group's planes of the input and their taps, both checked, the plane of the result that
                // belongs to this task alone, and the parts of the scratch.
                unsafe {
                    for i in 0..conv.group_channels() * taps {
                        let at = o * conv.k_strides[0] + i / taps * conv.k_strides[1];
                        *weights.add(i) = *job.kernel.at(at).wrapping_offset(conv.tap(i % taps));
                    }
                    let to = job.out.at(n * conv.out_strides[0] + o * conv.out_strides[1]);
                    if conv.stride == [1; 3] {
                        flat.run(conv, from, weights, to, weights.add(count));
                    } else {
                        plane_raw(&dense, from, weights, to);
                    }
                }
            }
        });
    });
}

/// Results that a run takes together.
const RUN: usize = 64;

/// Planes at step 1: result `i` and tap `t` meet at `i + taps[t]`, where `i` counts over full padded lines.
struct Flat<'a> {
    planes: Planes,
    taps: &'a [usize],
    /// The number of results counted so, in complete runs, and of the elements that these read.
    results: usize,
    padded: usize,
}

impl Flat<'_> {
    fn sizes(conv: &Conv) -> Self {
        let output = conv.output();
        let planes = Planes::of(conv, [0; 3], output);
        let last = planes.at(conv, std::array::from_fn(|d| output[d] - 1), [0; 3]);
        let results = (last + 1).next_multiple_of(RUN);
        let mut flat = Flat { planes, taps: &[], results, padded: 0 };
        flat.padded = (results + flat.tap(conv, conv.taps() - 1)).max(planes.size());
        flat
    }

    /// Where tap `t` lies in a padded plane.
    fn tap(&self, conv: &Conv, t: usize) -> usize {
        let [_, height, width] = conv.kernel;
        self.planes.at(conv, [0; 3], [t / width / height, t / width % height, t % width])
    }

    /// One plane of results.
    ///
    /// # Safety
    /// `x` begins at the group's first plane and `weights` at its taps; `out` is valid for a plane of results, `padded`
    /// for the padded plane and its results.
    unsafe fn run<T: Float + Element>(
        &self,
        conv: &Conv,
        x: *const T,
        weights: *const T,
        out: *mut T,
        padded: *mut T,
    ) {
        let output = conv.output();
        // SAFETY: the caller's promise.
        unsafe {
            let sums = padded.add(self.padded);
            padded.add(self.planes.size()).write_bytes(0, self.padded - self.planes.size());
            for c in 0..conv.group_channels() {
                self.planes.copy(conv, x.wrapping_add(c * conv.x_strides[1]), padded);
                let weights = std::slice::from_raw_parts(weights.add(c * self.taps.len()), self.taps.len());
                flat_raw(padded, weights, self.taps, self.results, sums, c > 0);
            }
            for line in 0..output[0] * output[1] {
                let at = [line / output[1], line % output[1], 0];
                let from = sums.add(self.planes.at(conv, at, [0; 3]));
                std::ptr::copy_nonoverlapping(from, out.add(line * output[2]), output[2]);
            }
        }
    }
}

dispatch! {
    /// `sums[i] (+)= Σ_t weights[t] · x[i + taps[t]]` for complete runs of `results`.
    ///
    /// # Safety
    /// `x` is valid for reads of every element named, `sums` for writes of `results`.
    pub unsafe fn flat_raw<T: Float>(x: *const T, weights: &[T], taps: &[usize], results: usize, sums: *mut T, add: bool)
        = flat in FlatKernel
}

#[inline(always)]
unsafe fn flat<T: Float, I: Isa>(
    x: *const T,
    weights: &[T],
    taps: &[usize],
    results: usize,
    sums: *mut T,
    add: bool,
) {
    for begin in (0..results).step_by(RUN) {
        // SAFETY: the caller's promise.
        unsafe {
            let to = std::slice::from_raw_parts_mut(sums.add(begin), RUN);
            let mut run = [T::ZERO; RUN];
            if add {
                run.copy_from_slice(to);
            }
            for (&weight, &tap) in weights.iter().zip(taps) {
                let from = std::slice::from_raw_parts(x.add(begin + tap), RUN);
                for i in 0..RUN {
                    run[i] = fma::<I, T>(from[i], weight, run[i]);
                }
            }
            to.copy_from_slice(&run);
        }
    }
}

dispatch! {
    /// One plane of results.
    ///
    /// # Safety
    /// The convolution's lengths have been checked against what the pointers point to.
    pub unsafe fn plane_raw<T: Float>(conv: &Conv, x: *const T, kernel: *const T, out: *mut T)
        = plane in DepthwiseKernel
}

#[inline(always)]
unsafe fn plane<T: Float, I: Isa>(conv: &Conv, x: *const T, kernel: *const T, out: *mut T) {
    let output = conv.output();
    for od in 0..output[0] {
        for oh in 0..output[1] {
            // SAFETY: a line of the plane of results.
            let line = unsafe {
                std::slice::from_raw_parts_mut(out.add((od * output[1] + oh) * output[2]), output[2])
            };
            line.fill(T::ZERO);
            for c in 0..conv.group_channels() {
                let (x, kernel) =
                    (x.wrapping_add(c * conv.x_strides[1]), kernel.wrapping_add(c * conv.k_strides[1]));
                // SAFETY: the planes and the taps of channel `c`.
                unsafe { line_of::<T, I>(conv, od, oh, x, kernel, line) };
            }
        }
    }
}

/// Adds one channel's part of a line of results.
///
/// # Safety
/// As for [`plane_raw`], from the channel on.
#[inline(always)]
unsafe fn line_of<T: Float, I: Isa>(
    conv: &Conv,
    od: usize,
    oh: usize,
    x: *const T,
    kernel: *const T,
    line: &mut [T],
) {
    for kd in 0..conv.kernel[0] {
        for kh in 0..conv.kernel[1] {
            let index = |d: usize, p: usize, k: usize| {
                (p * conv.stride[d] + k * conv.rhs_dilation[d]) as isize - conv.low[d]
            };
            let (id, ih) = (index(0, od, kd), index(1, oh, kh));
            if id < 0 || id >= conv.input[0] as isize || ih < 0 || ih >= conv.input[1] as isize {
                continue;
            }
            let base = (id as usize * conv.input[1] + ih as usize) * conv.input[2];
            for kw in 0..conv.kernel[2] {
                let along = Line { first: index(2, 0, kw), step: conv.stride[2], extent: conv.input[2] };
                let (begin, len) = along.inside(line.len());
                if len == 0 {
                    continue;
                }
                let tap = (kd * conv.kernel[1] + kh) * conv.kernel[2] + kw;
                // SAFETY: the tap is one of the kernel's, and `inside` keeps the line inside the input.
                unsafe {
                    let weight = *kernel.add(tap);
                    let from = x.add(base).offset(along.first + (begin * along.step) as isize);
                    add_line::<T, I>(&mut line[begin..begin + len], weight, from, along.step);
                }
            }
        }
    }
}

/// `line[j] += weight · from[j · step]`
///
/// # Safety
/// `from` is valid for reads of every element named.
#[inline(always)]
unsafe fn add_line<T: Float, I: Isa>(line: &mut [T], weight: T, from: *const T, step: usize) {
    if step == 1 {
        // SAFETY: the caller's promise.
        let from = unsafe { std::slice::from_raw_parts(from, line.len()) };
        for (sum, &value) in line.iter_mut().zip(from) {
            *sum = fma::<I, T>(value, weight, *sum);
        }
    } else {
        for (j, sum) in line.iter_mut().enumerate() {
            // SAFETY: the caller's promise.
            *sum = fma::<I, T>(unsafe { *from.add(j * step) }, weight, *sum);
        }
    }
}
