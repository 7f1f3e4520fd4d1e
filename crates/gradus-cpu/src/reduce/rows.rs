//! Reductions of contiguous rows: lanes side by side, joined in pairs at the end.
//!
//! Invariant: the rows follow one another, as long as is said.

use super::Reduction;
use crate::vmath::isa::dispatch;
use crate::vmath::{Float, Isa};

/// Accumulators: several vectors, so that additions do not wait for one another.
const LANES: usize = 64;

/// A way of joining two elements, with its identity.
pub(crate) trait Join {
    fn identity<T: Float>() -> T;
    fn join<T: Float>(a: T, b: T) -> T;
}

pub(crate) struct Sum;
pub(crate) struct Prod;
pub(crate) struct Max;
pub(crate) struct Min;

impl Join for Sum {
    #[inline(always)]
    fn identity<T: Float>() -> T {
        T::DEAD
    }
    #[inline(always)]
    fn join<T: Float>(a: T, b: T) -> T {
        a + b
    }
}

impl Join for Prod {
    #[inline(always)]
    fn identity<T: Float>() -> T {
        T::ONE
    }
    #[inline(always)]
    fn join<T: Float>(a: T, b: T) -> T {
        a * b
    }
}

impl Join for Max {
    #[inline(always)]
    fn identity<T: Float>() -> T {
        T::from_f64(f64::NEG_INFINITY)
    }
    #[inline(always)]
    fn join<T: Float>(a: T, b: T) -> T {
        if (a > b) | a.is_nan() { a } else { b }
    }
}

impl Join for Min {
    #[inline(always)]
    fn identity<T: Float>() -> T {
        T::from_f64(f64::INFINITY)
    }
    #[inline(always)]
    fn join<T: Float>(a: T, b: T) -> T {
        if (a < b) | a.is_nan() { a } else { b }
    }
}

dispatch! {
    /// `out[r]` = reduction of row `r` of `x`, rows of `len` one after another.
    ///
    /// # Safety
    /// `x` is valid for reads of `rows · len` elements, `out` for writes of `rows`, apart from each other.
    pub unsafe fn rows_raw<T: Float>(op: Reduction, x: *const T, len: usize, rows: usize, out: *mut T)
        = generic in RowsKernel
}

#[allow(clippy::extra_unused_type_parameters, reason = "every kernel names its instruction set")]
#[inline(always)]
unsafe fn generic<T: Float, I: Isa>(op: Reduction, x: *const T, len: usize, rows: usize, out: *mut T) {
    for r in 0..rows {
        // SAFETY: row `r` is inside `x`, element `r` inside `out`.
        unsafe {
            let row = std::slice::from_raw_parts(x.add(r * len), len);
            *out.add(r) = match op {
                Reduction::Sum => fold::<T, Sum>(row),
                Reduction::Prod => fold::<T, Prod>(row),
                Reduction::Max => fold::<T, Max>(row),
                Reduction::Min => fold::<T, Min>(row),
            };
        }
    }
}

/// Blocks joined lane by lane before the lanes are joined to the total: keeps the tree of a sum flat.
const LAYER: usize = 16;

/// The reduction of one row.
#[inline(always)]
pub(crate) fn fold<T: Float, J: Join>(row: &[T]) -> T {
    let mut total = [J::identity::<T>(); LANES];
    let mut layers = row.chunks_exact(LANES * LAYER);
    for layer in &mut layers {
        let lanes = lanes::<T, J>(layer);
        for j in 0..LANES {
            total[j] = J::join(total[j], lanes[j]);
        }
    }
    let lanes = lanes::<T, J>(layers.remainder());
    for j in 0..LANES {
        total[j] = J::join(total[j], lanes[j]);
    }
    let mut width = LANES;
    while width > 1 {
        width /= 2;
        for j in 0..width {
            total[j] = J::join(total[j], total[j + width]);
        }
    }
    total[0]
}

/// Lane `j` joins the elements `j`, `j + LANES`, and so on.
#[inline(always)]
fn lanes<T: Float, J: Join>(row: &[T]) -> [T; LANES] {
    let mut lanes = [J::identity::<T>(); LANES];
    let mut blocks = row.chunks_exact(LANES);
    for block in &mut blocks {
        for j in 0..LANES {
            lanes[j] = J::join(lanes[j], block[j]);
        }
    }
    let rest = blocks.remainder();
    for j in 0..rest.len() {
        lanes[j] = J::join(lanes[j], rest[j]);
    }
    lanes
}
