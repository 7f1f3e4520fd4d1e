//! Layer normalisation over rows, and its gradient.

use super::softmax::dot;
use super::{expect_all, over_rows};
use crate::Pool;
use crate::reduce::{LengthError, Reduction, Shared, Sum, columns_raw, expect_len, fold};
use crate::vmath::isa::{dispatch, fma};
use crate::vmath::loops::{Many, Source, WIDTH, each, keep_blocks, store};
use crate::vmath::{Float, Isa};

/// The shape of a layer normalisation, and the constant under its root.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct LayerNorm {
    /// How many rows are normalised, each on its own.
    pub rows: usize,
    /// Elements of a row, which is also the length of scale and shift.
    pub len: usize,
    /// Added to the variance.
    pub eps: f64,
}

/// Rows whose contributions to the gradients of scale and shift are summed together.
const GROUP: usize = 64;

/// `out[r, j] = (x[r, j] - mean[r]) · inverse[r] · scale[j] + shift[j]` with `inverse = 1/√(variance + eps)`; `mean` and
/// `inverse` are kept for the gradient.
///
/// # Errors
/// When a slice does not have the shape's number of elements.
pub fn layer_norm<T: Float>(
    pool: &Pool,
    norm: LayerNorm,
    x: &[T],
    scale: &[T],
    shift: &[T],
    out: &mut [T],
    mean: &mut [T],
    inverse: &mut [T],
) -> Result<(), LengthError> {
    let LayerNorm { rows, len, .. } = norm;
    expect_all(rows * len, &[("the input of a normalisation", x.len()), ("the result of one", out.len())])?;
    expect_all(len, &[("the scale of a normalisation", scale.len()), ("the shift of one", shift.len())])?;
    expect_all(
        rows,
        &[("the means of a normalisation", mean.len()), ("the inverses of one", inverse.len())],
    )?;
    let (out, mean, inverse) =
        (Shared(out.as_mut_ptr()), Shared(mean.as_mut_ptr()), Shared(inverse.as_mut_ptr()));
    over_rows(pool, rows, len, &|first, count| {
        for r in first..first + count {
            // SAFETY: row `r` and its two statistics belong to this task alone.
            unsafe {
                let x = x.as_ptr().wrapping_add(r * len);
                let (scale, shift) = (scale.as_ptr(), shift.as_ptr());
                norm_raw(len, norm.eps, x, scale, shift, out.at(r * len), mean.at(r), inverse.at(r));
            }
        }
    });
    Ok(())
}

dispatch! {
    /// One row; `out` may be `x`.
    ///
    /// # Safety
    /// Operands are valid for reads of `len` elements, `out` for writes of `len`, the statistics of one each.
    pub unsafe fn norm_raw<T: Float>(
        len: usize,
        eps: f64,
        x: *const T,
        scale: *const T,
        shift: *const T,
        out: *mut T,
        mean: *mut T,
        inverse: *mut T,
    ) = norm_row in NormKernel
}

#[inline(always)]
unsafe fn norm_row<T: Float, I: Isa>(
    len: usize,
    eps: f64,
    x: *const T,
    scale: *const T,
    shift: *const T,
    out: *mut T,
    mean: *mut T,
    inverse: *mut T,
) {
    let n = T::from_f64(len as f64);
    // SAFETY: the caller's promise; the borrow ends before the row is written.
    let average = fold::<T, Sum>(unsafe { std::slice::from_raw_parts(x, len) }) / n;
    let source = Many(x);
    // The differences go where the result will be, so that the second pass does not subtract again.
    each!(len, out, |v: source| v - average);
    // SAFETY: as above.
    let root = unsafe { T::ONE / (dot(out, out, len) / n + T::from_f64(eps)).sqrt() };
    let (centred, scale, shift) = (Many(out.cast_const()), Many(scale), Many(shift));
    each!(len, out, |v: centred, s: scale, t: shift| fma::<I, T>(v * root, s, t));
    // SAFETY: as above.
    unsafe {
        *mean = average;
        *inverse = root;
    }
}

/// The gradients of [`layer_norm`]: with `h = (x - mean) · inverse` and `d = dy · scale`,
/// `dx = inverse · (d - Σ d / len - h Σ d h / len)`, `dscale = Σ_r dy h`, `dshift = Σ_r dy`.
///
/// # Errors
/// When a slice does not have the shape's number of elements.
pub fn layer_norm_gradient<T: Float>(
    pool: &Pool,
    norm: LayerNorm,
    x: &[T],
    scale: &[T],
    mean: &[T],
    inverse: &[T],
    dy: &[T],
    dx: &mut [T],
    dscale: &mut [T],
    dshift: &mut [T],
) -> Result<(), LengthError> {
    let LayerNorm { rows, len, .. } = norm;
    expect_all(
        rows * len,
        &[("the input of a normalisation", x.len()), ("its cotangent", dy.len()), ("its gradient", dx.len())],
    )?;
    expect_len("the scale of a normalisation", scale.len(), len)?;
    expect_all(len, &[("the gradient of a scale", dscale.len()), ("the gradient of a shift", dshift.len())])?;
    expect_all(
        rows,
        &[("the means of a normalisation", mean.len()), ("the inverses of one", inverse.len())],
    )?;
    if rows * len == 0 {
        dscale.fill(T::ZERO);
        dshift.fill(T::ZERO);
        return Ok(());
    }
    // Groups of rows are tasks: each sums its part of the two gradients, and the parts are summed in a tree.
    let groups = rows.div_ceil(GROUP);
    let mut parts = vec![T::ZERO; 2 * groups * len];
    let (scales, shifts) = parts.split_at_mut(groups * len);
    let (scales_at, shifts_at, dx) =
        (Shared(scales.as_mut_ptr()), Shared(shifts.as_mut_ptr()), Shared(dx.as_mut_ptr()));
    pool.run(groups, &|group| {
        for r in group * GROUP..((group + 1) * GROUP).min(rows) {
            // SAFETY: row `r` of the gradient and the group's parts belong to this task alone.
            unsafe {
                let (x, dy) = (x.as_ptr().wrapping_add(r * len), dy.as_ptr().wrapping_add(r * len));
                let at = group * len;
                let (ds, dt) = (scales_at.at(at), shifts_at.at(at));
                norm_gradient_raw(len, x, scale.as_ptr(), mean[r], inverse[r], dy, dx.at(r * len), ds, dt);
            }
        }
    });
    // SAFETY: `groups` rows of `len` each.
    unsafe {
        columns_raw(Reduction::Sum, scales.as_ptr(), len, groups, len, dscale.as_mut_ptr());
        columns_raw(Reduction::Sum, shifts.as_ptr(), len, groups, len, dshift.as_mut_ptr());
    }
    Ok(())
}

dispatch! {
    /// One row; adds its part to `dscale` and `dshift`.
    ///
    /// # Safety
    /// All pointers are valid for `len` elements; `dx` is apart from the operands.
    pub unsafe fn norm_gradient_raw<T: Float>(
        len: usize,
        x: *const T,
        scale: *const T,
        mean: T,
        inverse: T,
        dy: *const T,
        dx: *mut T,
        dscale: *mut T,
        dshift: *mut T,
    ) = gradient_row in NormGradientKernel
}

#[allow(clippy::extra_unused_type_parameters, reason = "every kernel names its instruction set")]
#[inline(always)]
unsafe fn gradient_row<T: Float, I: Isa>(
    len: usize,
    x: *const T,
    scale: *const T,
    mean: T,
    inverse: T,
    dy: *const T,
    dx: *mut T,
    dscale: *mut T,
    dshift: *mut T,
) {
    let n = T::from_f64(len as f64);
    let (xs, scales, dys) = (Many(x), Many(scale), Many(dy));
    let (old_scale, old_shift) = (Many(dscale.cast_const()), Many(dshift.cast_const()));
    each!(len, dscale, |s: old_scale, d: dys, v: xs| s + d * ((v - mean) * inverse));
    each!(len, dshift, |s: old_shift, d: dys| s + d);
    // d · scale goes where the result will be.
    each!(len, dx, |d: dys, s: scales| d * s);
    // SAFETY: the caller's promise.
    let (sum, with) = unsafe {
        let sum = fold::<T, Sum>(std::slice::from_raw_parts(dx, len));
        // Σ d h = inverse (Σ d x - mean Σ d) would cancel; so h is formed term by term.
        (sum, weighted(dx, x, mean, inverse, len))
    };
    let (a, b) = (sum / n, with / n);
    let scaled = Many(dx.cast_const());
    each!(len, dx, |d: scaled, v: xs| (d - a - ((v - mean) * inverse) * b) * inverse);
}

/// `Σ d (x - mean) inverse`
///
/// # Safety
/// Both are valid for reads of `len` elements.
#[inline(always)]
unsafe fn weighted<T: Float>(d: *const T, x: *const T, mean: T, inverse: T, len: usize) -> T {
    const LANES: usize = 4 * WIDTH;
    // SAFETY: the caller's promise.
    let (d, x) = unsafe { (std::slice::from_raw_parts(d, len), std::slice::from_raw_parts(x, len)) };
    let mut lanes = [T::ZERO; LANES];
    let (mut left, mut right) = (d.chunks_exact(LANES), x.chunks_exact(LANES));
    for (d, x) in (&mut left).zip(&mut right) {
        for j in 0..LANES {
            lanes[j] = lanes[j] + d[j] * ((x[j] - mean) * inverse);
        }
    }
    for (j, (&d, &x)) in left.remainder().iter().zip(right.remainder()).enumerate() {
        lanes[j] = lanes[j] + d * ((x - mean) * inverse);
    }
    fold::<T, Sum>(&lanes)
}
