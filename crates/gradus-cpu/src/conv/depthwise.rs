//! Convolutions with few output channels a group, depthwise ones above all: patches would be packed for hardly any
//! products, so each line of results is summed channel by channel and tap by tap where it lies.

use super::Conv;
use super::segments::Line;
use crate::Pool;
use crate::matmul::Element;
use crate::reduce::Shared;
use crate::vmath::isa::{dispatch, fma};
use crate::vmath::{Float, Isa};

/// With more output channels than these a group's patches are worth packing.
pub(super) const MAX_OUTPUTS: usize = 4;

/// Results of a task before it is worth handing out.
const GRAIN: usize = 1 << 12;

/// Convolves; lengths have been checked, the input is not dilated.
pub(super) fn run<T: Float + Element>(conv: &Conv, pool: &Pool, x: &[T], kernel: &[T], out: &mut [T]) {
    let planes = conv.result_batch() * conv.outputs;
    let grain = (GRAIN / (conv.positions() * conv.group_channels())).max(1);
    let out = Shared(out.as_mut_ptr());
    pool.run_ranges(planes, grain, &|range| {
        for plane in range {
            let (n, o) = (plane / conv.outputs, plane % conv.outputs);
            let g = o / conv.group_outputs();
            let [x0, ..] = conv.group_offsets(g);
            let from = &x[x0 + n * conv.x_strides[0]..];
            let weights = &kernel[o * conv.k_strides[0]..];
            // SAFETY: the group's planes of the input and their taps, both checked, and the plane of the result that
            // belongs to this task alone.
            unsafe {
                let to = out.at(n * conv.out_strides[0] + o * conv.out_strides[1]);
                plane_raw(conv, from.as_ptr(), weights.as_ptr(), to);
            }
        }
    });
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
