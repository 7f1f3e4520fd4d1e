//! Softmax, its logarithm, cross-entropy, and their gradients, row by row.

use super::{expect_all, over_rows};
use crate::Pool;
use crate::reduce::{LengthError, Max, Shared, Sum, expect_len, fold};
use crate::vmath::isa::dispatch;
use crate::vmath::loops::{Many, Source, WIDTH, each, keep_blocks, store};
use crate::vmath::{Float, Isa};

/// `out[r, j] = e^(x[r, j] - m) / Σₖ e^(x[r, k] - m)` with `m` the row's largest element. `out` and `x` are `rows` rows
/// of `len`.
///
/// ```
/// use gradus_cpu::{Pool, fused};
/// let mut y = [0.0f64; 4];
/// fused::softmax(Pool::global(), 2, 2, &[0.0, 0.0, 1000.0, -1000.0], &mut y)?;
/// assert_eq!(y, [0.5, 0.5, 1.0, 0.0]);
/// # Ok::<(), gradus_cpu::reduce::LengthError>(())
/// ```
///
/// # Errors
/// When a slice does not have `rows · len` elements.
pub fn softmax<T: Float>(
    pool: &Pool,
    rows: usize,
    len: usize,
    x: &[T],
    out: &mut [T],
) -> Result<(), LengthError> {
    run(pool, false, rows, len, x, out)
}

/// `out[r, j] = x[r, j] - m - ln Σₖ e^(x[r, k] - m)` with `m` the row's largest element.
///
/// # Errors
/// When a slice does not have `rows · len` elements.
pub fn log_softmax<T: Float>(
    pool: &Pool,
    rows: usize,
    len: usize,
    x: &[T],
    out: &mut [T],
) -> Result<(), LengthError> {
    run(pool, true, rows, len, x, out)
}

fn run<T: Float>(
    pool: &Pool,
    log: bool,
    rows: usize,
    len: usize,
    x: &[T],
    out: &mut [T],
) -> Result<(), LengthError> {
    expect_all(rows * len, &[("the input of a softmax", x.len()), ("the result of a softmax", out.len())])?;
    let out = Shared(out.as_mut_ptr());
    over_rows(pool, rows, len, &|first, count| {
        // SAFETY: these rows of both slices, the second of which belong to this task alone.
        unsafe { softmax_raw(log, x.as_ptr().wrapping_add(first * len), len, count, out.at(first * len)) }
    });
    Ok(())
}

dispatch! {
    /// Softmax of rows, or its logarithm; `out` may be `x`.
    ///
    /// # Safety
    /// `x` is valid for reads and `out` for writes of `rows · len` elements.
    pub unsafe fn softmax_raw<T: Float>(log: bool, x: *const T, len: usize, rows: usize, out: *mut T)
        = softmax_rows in SoftmaxKernel
}

#[inline(always)]
unsafe fn softmax_rows<T: Float, I: Isa>(log: bool, x: *const T, len: usize, rows: usize, out: *mut T) {
    for r in 0..rows {
        // SAFETY: row `r` of both.
        let (x, out) = unsafe { (x.add(r * len), out.add(r * len)) };
        // SAFETY: as above; the borrow ends before the row is written.
        let largest = fold::<T, Max>(unsafe { std::slice::from_raw_parts(x, len) });
        if log {
            // SAFETY: as above.
            let sum = unsafe { sum_exp::<T, I>(x, len, largest) };
            let shift = sum.log::<I>();
            let x = Many(x);
            each!(len, out, |v: x| (v - largest) - shift);
        } else {
            let source = Many(x);
            each!(len, out, |v: source| (v - largest).exp::<I>());
            // SAFETY: as above.
            let inverse = T::ONE / fold::<T, Sum>(unsafe { std::slice::from_raw_parts(out, len) });
            let source = Many(out.cast_const());
            each!(len, out, |v: source| v * inverse);
        }
    }
}

/// Elements summed lane by lane before the lanes are joined to the total.
const LAYER: usize = 1024;

/// `Σ e^(x - shift)`
///
/// # Safety
/// `x` is valid for reads of `len` elements.
#[inline(always)]
unsafe fn sum_exp<T: Float, I: Isa>(x: *const T, len: usize, shift: T) -> T {
    let mut total = [T::ZERO; WIDTH];
    let mut start = 0;
    while start < len {
        let end = (start + LAYER).min(len);
        let mut lanes = [T::ZERO; WIDTH];
        while start < end {
            let count = (end - start).min(WIDTH);
            // SAFETY: the caller's promise.
            let block = unsafe { Many(x).block(start, count) };
            let mut terms = [T::ZERO; WIDTH];
            for j in 0..WIDTH {
                terms[j] = (block[j] - shift).exp::<I>();
            }
            for j in 0..WIDTH {
                lanes[j] = lanes[j] + if j < count { terms[j] } else { T::ZERO };
            }
            keep_blocks();
            start += count;
        }
        for j in 0..WIDTH {
            total[j] = total[j] + lanes[j];
        }
    }
    fold::<T, Sum>(&total)
}

/// The gradient of [`softmax`] from its result `y`: `out = (dy - Σₖ dy[k] y[k]) y`.
///
/// # Errors
/// When a slice does not have `rows · len` elements.
pub fn softmax_gradient<T: Float>(
    pool: &Pool,
    rows: usize,
    len: usize,
    y: &[T],
    dy: &[T],
    out: &mut [T],
) -> Result<(), LengthError> {
    gradient(pool, false, rows, len, y, dy, out)
}

/// The gradient of [`log_softmax`] from its result `y`: `out = dy - e^y Σₖ dy[k]`.
///
/// # Errors
/// When a slice does not have `rows · len` elements.
pub fn log_softmax_gradient<T: Float>(
    pool: &Pool,
    rows: usize,
    len: usize,
    y: &[T],
    dy: &[T],
    out: &mut [T],
) -> Result<(), LengthError> {
    gradient(pool, true, rows, len, y, dy, out)
}

fn gradient<T: Float>(
    pool: &Pool,
    log: bool,
    rows: usize,
    len: usize,
    y: &[T],
    dy: &[T],
    out: &mut [T],
) -> Result<(), LengthError> {
    let slices = [
        ("a softmax", y.len()),
        ("the cotangent of a softmax", dy.len()),
        ("the gradient of a softmax", out.len()),
    ];
    expect_all(rows * len, &slices)?;
    let out = Shared(out.as_mut_ptr());
    over_rows(pool, rows, len, &|first, count| {
        let at = first * len;
        // SAFETY: these rows of all slices, the last of which belong to this task alone.
        unsafe {
            let (y, dy) = (y.as_ptr().wrapping_add(at), dy.as_ptr().wrapping_add(at));
            softmax_gradient_raw(log, y, dy, len, count, out.at(at));
        }
    });
    Ok(())
}

dispatch! {
    /// The gradient of a softmax of rows, or of its logarithm; `out` may be `y` or `dy`.
    ///
    /// # Safety
    /// `y` and `dy` are valid for reads and `out` for writes of `rows · len` elements.
    pub unsafe fn softmax_gradient_raw<T: Float>(
        log: bool,
        y: *const T,
        dy: *const T,
        len: usize,
        rows: usize,
        out: *mut T,
    ) = gradient_rows in SoftmaxGradientKernel
}

#[inline(always)]
unsafe fn gradient_rows<T: Float, I: Isa>(
    log: bool,
    y: *const T,
    dy: *const T,
    len: usize,
    rows: usize,
    out: *mut T,
) {
    for r in 0..rows {
        // SAFETY: row `r` of all three.
        let (y, dy, out) = unsafe { (y.add(r * len), dy.add(r * len), out.add(r * len)) };
        let (ys, dys) = (Many(y), Many(dy));
        if log {
            // SAFETY: as above; the borrow ends before the row is written.
            let sum = fold::<T, Sum>(unsafe { std::slice::from_raw_parts(dy, len) });
            each!(len, out, |v: ys, d: dys| d - v.exp::<I>() * sum);
        } else {
            // SAFETY: as above.
            let dot = unsafe { dot(y, dy, len) };
            each!(len, out, |v: ys, d: dys| (d - dot) * v);
        }
    }
}

/// `Σ a b`, in layers of lanes.
///
/// # Safety
/// Both are valid for reads of `len` elements.
#[inline(always)]
pub(super) unsafe fn dot<T: Float>(a: *const T, b: *const T, len: usize) -> T {
    const LANES: usize = 4 * WIDTH;
    // SAFETY: the caller's promise.
    let (a, b) = unsafe { (std::slice::from_raw_parts(a, len), std::slice::from_raw_parts(b, len)) };
    let mut total = [T::ZERO; LANES];
    for (a, b) in a.chunks(16 * LANES).zip(b.chunks(16 * LANES)) {
        let mut lanes = [T::ZERO; LANES];
        let (mut left, mut right) = (a.chunks_exact(LANES), b.chunks_exact(LANES));
        for (a, b) in (&mut left).zip(&mut right) {
            for j in 0..LANES {
                lanes[j] = lanes[j] + a[j] * b[j];
            }
        }
        for (j, (&a, &b)) in left.remainder().iter().zip(right.remainder()).enumerate() {
            lanes[j] = lanes[j] + a * b;
        }
        for j in 0..LANES {
            total[j] = total[j] + lanes[j];
        }
    }
    fold::<T, Sum>(&total)
}

/// The cross-entropy of each row of logits against a class: `loss[r] = lse[r] - x[r, class[r]]`, with
/// `lse[r] = m + ln Σₖ e^(x[r, k] - m)` kept for the gradient.
///
/// # Errors
/// When a slice does not have the shape's number of elements, or a class is not one of the `len`.
pub fn cross_entropy<T: Float>(
    pool: &Pool,
    rows: usize,
    len: usize,
    x: &[T],
    classes: &[i64],
    loss: &mut [T],
    lse: &mut [T],
) -> Result<(), LengthError> {
    expect_len("the logits of a cross-entropy", x.len(), rows * len)?;
    let slices = [
        ("the classes of a cross-entropy", classes.len()),
        ("the losses of a cross-entropy", loss.len()),
        ("the normalisers of a cross-entropy", lse.len()),
    ];
    expect_all(rows, &slices)?;
    check_classes(classes, len)?;
    let (loss, lse) = (Shared(loss.as_mut_ptr()), Shared(lse.as_mut_ptr()));
    over_rows(pool, rows, len, &|first, count| {
        for r in first..first + count {
            let row = &x[r * len..][..len];
            // SAFETY: element `r` of both results belongs to this task alone.
            unsafe {
                // With one result a row, the log-softmax of the class is minus the loss, so the row's normaliser
                // is all that is needed.
                cross_entropy_raw(false, row.as_ptr(), len, classes[r] as usize, T::ONE, lse.at(r));
                *loss.at(r) = *lse.at(r) - row[classes[r] as usize];
            }
        }
    });
    Ok(())
}

fn check_classes(classes: &[i64], len: usize) -> Result<(), LengthError> {
    match classes.iter().find(|&&class| class < 0 || class >= len as i64) {
        None => Ok(()),
        Some(&class) => Err(LengthError {
            what: "a row of logits, for the class asked for,",
            want: usize::try_from(class).map_or(usize::MAX, |class| class.saturating_add(1)),
            got: len,
        }),
    }
}

/// The gradient of [`cross_entropy`] with respect to the logits: `out[r, j] = (e^(x[r, j] - lse[r]) - [j = class[r]])
/// · scale[r]`.
///
/// # Errors
/// When a slice does not have the shape's number of elements, or a class is not one of the `len`.
pub fn cross_entropy_gradient<T: Float>(
    pool: &Pool,
    rows: usize,
    len: usize,
    x: &[T],
    classes: &[i64],
    lse: &[T],
    scale: &[T],
    out: &mut [T],
) -> Result<(), LengthError> {
    let wide = [("the logits of a cross-entropy", x.len()), ("the gradient of a cross-entropy", out.len())];
    expect_all(rows * len, &wide)?;
    let slices = [
        ("the classes of a cross-entropy", classes.len()),
        ("the normalisers of a cross-entropy", lse.len()),
        ("the cotangents of a cross-entropy", scale.len()),
    ];
    expect_all(rows, &slices)?;
    check_classes(classes, len)?;
    let out = Shared(out.as_mut_ptr());
    over_rows(pool, rows, len, &|first, count| {
        for r in first..first + count {
            let row = out.at(r * len);
            // SAFETY: row `r` of the result belongs to this task alone; it begins with the row's normaliser.
            unsafe {
                *row = lse[r];
                let class = classes[r] as usize;
                cross_entropy_raw(true, x.as_ptr().wrapping_add(r * len), len, class, scale[r], row);
            }
        }
    });
    Ok(())
}

dispatch! {
    /// One row: its normaliser into `out[0]`; or, with `gradient`, from the normaliser in `out[0]` the row's gradient.
    ///
    /// # Safety
    /// `x` is valid for reads of `len` elements, `out` for writes of 1, or `len` with `gradient`; apart.
    pub unsafe fn cross_entropy_raw<T: Float>(
        gradient: bool,
        x: *const T,
        len: usize,
        class: usize,
        scale: T,
        out: *mut T,
    ) = cross_entropy_row in CrossEntropyGradientKernel
}

#[inline(always)]
unsafe fn cross_entropy_row<T: Float, I: Isa>(
    gradient: bool,
    x: *const T,
    len: usize,
    class: usize,
    scale: T,
    out: *mut T,
) {
    if gradient {
        // SAFETY: the caller's promise.
        let (lse, own) = unsafe { (*out, *x.add(class)) };
        let source = Many(x);
        each!(len, out, |v: source| (v - lse).exp::<I>() * scale);
        // SAFETY: the class is below `len`.
        unsafe { *out.add(class) = ((own - lse).exp::<I>() - T::ONE) * scale };
    } else {
        // SAFETY: the caller's promise.
        unsafe {
            let largest = fold::<T, Max>(std::slice::from_raw_parts(x, len));
            *out = largest + sum_exp::<T, I>(x, len, largest).log::<I>();
        }
    }
}
