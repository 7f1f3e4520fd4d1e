//! One plane of pooling: each line of results is built tap by tap, side by side.

use super::{NOWHERE, Window};
use crate::conv::Line;
use crate::vmath::isa::dispatch;
use crate::vmath::{Float, Isa};

dispatch! {
    /// The largest elements of the windows of one plane, and their taps unless `taps` is null.
    ///
    /// # Safety
    /// `x` is a plane of the window's input; `out` and `taps` have room for its results.
    pub unsafe fn max_raw<T: Float>(window: &Window, x: *const T, out: *mut T, taps: *mut u16) = max in MaxKernel
}

dispatch! {
    /// The sums of the windows of one plane.
    ///
    /// # Safety
    /// `x` is a plane of the window's input; `out` has room for its results.
    pub unsafe fn sum_raw<T: Float>(window: &Window, x: *const T, out: *mut T) = sum in SumKernel
}

/// Calls `f(first result, tap, results, from, step)` for every stretch of a line of results that a tap reaches.
///
/// # Safety
/// `x` is a plane of the window's input.
#[inline(always)]
unsafe fn stretches<T: Float>(
    window: &Window,
    output: [usize; 3],
    line: usize,
    x: *const T,
    mut f: impl FnMut(usize, u16, usize, *const T, usize),
) {
    let (od, oh) = (line / output[1], line % output[1]);
    for kd in 0..window.size[0] {
        for kh in 0..window.size[1] {
            let d = (od * window.stride[0] + kd * window.dilation[0]).wrapping_sub(window.low[0]);
            let h = (oh * window.stride[1] + kh * window.dilation[1]).wrapping_sub(window.low[1]);
            // What lies before the plane has wrapped around.
            if d >= window.input[0] || h >= window.input[1] {
                continue;
            }
            let base = (d * window.input[1] + h) * window.input[2];
            for kw in 0..window.size[2] {
                let first = (kw * window.dilation[2]) as isize - window.low[2] as isize;
                let along = Line { first, step: window.stride[2], extent: window.input[2] };
                let (begin, len) = along.inside(output[2]);
                if len > 0 {
                    let tap = (kd * window.size[1] + kh) * window.size[2] + kw;
                    // SAFETY: the stretch is inside the line of the plane.
                    let from = unsafe { x.add(base).offset(first + (begin * along.step) as isize) };
                    f(begin, tap as u16, len, from, along.step);
                }
            }
        }
    }
}

#[allow(clippy::extra_unused_type_parameters, reason = "every kernel names its instruction set")]
#[inline(always)]
unsafe fn max<T: Float, I: Isa>(window: &Window, x: *const T, out: *mut T, taps: *mut u16) {
    let Ok(output) = window.output() else { return };
    for line in 0..output[0] * output[1] {
        // SAFETY: a line of the results, and the stretches of the plane that reach it.
        unsafe {
            let best = std::slice::from_raw_parts_mut(out.add(line * output[2]), output[2]);
            best.fill(T::from_f64(f64::NEG_INFINITY));
            if taps.is_null() {
                stretches(window, output, line, x, |begin, _, len, from, step| {
                    for j in 0..len {
                        let (value, place) = (*from.add(j * step), &mut best[begin + j]);
                        *place = if (value > *place) | value.is_nan() { value } else { *place };
                    }
                });
                continue;
            }
            let taps = std::slice::from_raw_parts_mut(taps.add(line * output[2]), output[2]);
            taps.fill(NOWHERE);
            stretches(window, output, line, x, |begin, tap, len, from, step| {
                for j in 0..len {
                    let value = *from.add(j * step);
                    let (place, at) = (&mut best[begin + j], &mut taps[begin + j]);
                    // The first tap counts even when it is -∞; a NaN beats all but an earlier NaN.
                    let better = (value > *place) | value.is_nan() | (*at == NOWHERE);
                    let take = better & !place.is_nan();
                    *place = if take { value } else { *place };
                    *at = if take { tap } else { *at };
                }
            });
        }
    }
}

#[allow(clippy::extra_unused_type_parameters, reason = "every kernel names its instruction set")]
#[inline(always)]
unsafe fn sum<T: Float, I: Isa>(window: &Window, x: *const T, out: *mut T) {
    let Ok(output) = window.output() else { return };
    for line in 0..output[0] * output[1] {
        // SAFETY: a line of the results, and the stretches of the plane that reach it.
        unsafe {
            let sums = std::slice::from_raw_parts_mut(out.add(line * output[2]), output[2]);
            sums.fill(T::ZERO);
            stretches(window, output, line, x, |begin, _, len, from, step| {
                for j in 0..len {
                    sums[begin + j] = sums[begin + j] + *from.add(j * step);
                }
            });
        }
    }
}
