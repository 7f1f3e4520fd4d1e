//! The Gaussian error linear unit and its gradient.

use std::f64::consts::FRAC_1_SQRT_2;

use super::{GRAIN, expect_all};
use crate::Pool;
use crate::reduce::{LengthError, Shared};
use crate::vmath::isa::{dispatch, fma};
use crate::vmath::loops::{Many, Source, WIDTH, each, keep_blocks, store};
use crate::vmath::{Float, Isa};

/// Which formula.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Gelu {
    /// `x Φ(x)`, with `Φ(x) = ½ erfc(-x/√2)`, which keeps its digits for large negative `x`.
    Erf,
    /// `½ x (1 + tanh u)` with `u = √(2/π) (x + 0.044715 x³)`, computed as `x σ(2u)`, which keeps them too.
    Tanh,
}

/// `√(2/π)` doubled, and the cubic's coefficient.
const TWICE_ROOT: f64 = 1.595_769_121_605_730_7;
const CUBIC: f64 = 0.044_715;
/// `1/√(2π)`
const DENSITY: f64 = 0.398_942_280_401_432_7;

/// `out[i] = gelu(x[i])`.
///
/// ```
/// use gradus_cpu::{Pool, fused::{Gelu, gelu}};
/// let mut y = [0.0f64; 2];
/// gelu(Pool::global(), Gelu::Erf, &[1.0, -20.0], &mut y)?;
/// assert!((y[0] - 0.841_344_746_068_542_9).abs() < 1e-15);
/// assert!((y[1] / -5.507_248_237_212_466e-88 - 1.0).abs() < 1e-13);
/// # Ok::<(), gradus_cpu::reduce::LengthError>(())
/// ```
///
/// # Errors
/// When the slices differ in length.
pub fn gelu<T: Float>(pool: &Pool, which: Gelu, x: &[T], out: &mut [T]) -> Result<(), LengthError> {
    expect_all(x.len(), &[("the result of a GELU", out.len())])?;
    let out = Shared(out.as_mut_ptr());
    pool.run_ranges(x.len(), GRAIN, &|range| {
        // SAFETY: this range of both slices, the second of which belongs to this task alone.
        unsafe { gelu_raw(which, x.as_ptr().wrapping_add(range.start), out.at(range.start), range.len()) }
    });
    Ok(())
}

/// `out[i] = dy[i] · gelu'(x[i])`.
///
/// # Errors
/// When the slices differ in length.
pub fn gelu_gradient<T: Float>(
    pool: &Pool,
    which: Gelu,
    x: &[T],
    dy: &[T],
    out: &mut [T],
) -> Result<(), LengthError> {
    expect_all(x.len(), &[("the cotangent of a GELU", dy.len()), ("the gradient of a GELU", out.len())])?;
    let out = Shared(out.as_mut_ptr());
    pool.run_ranges(x.len(), GRAIN, &|range| {
        let at = range.start;
        // SAFETY: this range of all slices, the last of which belongs to this task alone.
        unsafe {
            let (x, dy) = (x.as_ptr().wrapping_add(at), dy.as_ptr().wrapping_add(at));
            gelu_gradient_raw(which, x, dy, out.at(at), range.len());
        }
    });
    Ok(())
}

dispatch! {
    /// [`gelu`] on pointers; `out` may be `x`.
    ///
    /// # Safety
    /// `x` is valid for reads and `out` for writes of `n` elements.
    pub unsafe fn gelu_raw<T: Float>(which: Gelu, x: *const T, out: *mut T, n: usize) = forward in GeluKernel
}

dispatch! {
    /// [`gelu_gradient`] on pointers; `out` may be `x` or `dy`.
    ///
    /// # Safety
    /// `x` and `dy` are valid for reads and `out` for writes of `n` elements.
    pub unsafe fn gelu_gradient_raw<T: Float>(which: Gelu, x: *const T, dy: *const T, out: *mut T, n: usize)
        = gradient in GeluGradientKernel
}

/// `σ(2u)`, which is `½ (1 + tanh u)`.
#[inline(always)]
fn gate<T: Float, I: Isa>(v: T) -> T {
    let square = v * v;
    (v * fma::<I, T>(square, T::from_f64(TWICE_ROOT * CUBIC), T::from_f64(TWICE_ROOT))).sigmoid::<I>()
}

#[inline(always)]
unsafe fn forward<T: Float, I: Isa>(which: Gelu, x: *const T, out: *mut T, n: usize) {
    let x = Many(x);
    match which {
        Gelu::Erf => {
            let (k, half) = (T::from_f64(-FRAC_1_SQRT_2), T::from_f64(0.5));
            each!(n, out, |v: x| v * (half * (v * k).erfc::<I>()))
        }
        Gelu::Tanh => each!(n, out, |v: x| v * gate::<T, I>(v)),
    }
}

#[inline(always)]
unsafe fn gradient<T: Float, I: Isa>(which: Gelu, x: *const T, dy: *const T, out: *mut T, n: usize) {
    let (x, dy) = (Many(x), Many(dy));
    match which {
        Gelu::Erf => {
            let (k, half) = (T::from_f64(-FRAC_1_SQRT_2), T::from_f64(0.5));
            let density = T::from_f64(DENSITY);
            each!(n, out, |v: x, d: dy| {
                let gauss = (-half * v * v).exp::<I>() * density;
                // Far out the density is zero, and infinity times zero would be NaN.
                let slope = if gauss > T::ZERO { v * gauss } else { gauss };
                d * (half * (v * k).erfc::<I>() + slope)
            })
        }
        Gelu::Tanh => {
            let (linear, cubic) = (T::from_f64(TWICE_ROOT), T::from_f64(3.0 * TWICE_ROOT * CUBIC));
            each!(n, out, |v: x, d: dy| {
                let s = gate::<T, I>(v);
                // 1 - s without cancellation is the gate of -v.
                let rest = s * gate::<T, I>(-v);
                let slope = if rest > T::ZERO { v * fma::<I, T>(v * v, cubic, linear) * rest } else { rest };
                d * (s + slope)
            })
        }
    }
}
