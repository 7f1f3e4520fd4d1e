//! Reductions inside regions, in an order that depends on lengths alone.
//!
//! Invariant: callers give as many elements as they say; nothing is read or written beyond.

use gradus_core::ops::ReduceKind;

use super::versions::{Versioned, best};
pub(super) use crate::vmath::sum::LEAF;
use crate::vmath::sum::row;

/// What a reduction starts from and how it combines.
pub(super) trait Combine: Copy {
    fn start(kind: ReduceKind) -> Self;
    fn combine(kind: ReduceKind, a: Self, b: Self) -> Self;
}

macro_rules! float_combine {
    ($($t:ty),+) => { $(
        impl Combine for $t {
            #[inline(always)]
            fn start(kind: ReduceKind) -> Self {
                match kind {
                    // Its sum with a tangent that is dead is dead.
                    ReduceKind::Sum => gradus_core::DEAD as $t,
                    ReduceKind::Prod => 1.0,
                    ReduceKind::Max => <$t>::NEG_INFINITY,
                    ReduceKind::Min => <$t>::INFINITY,
                }
            }
            #[inline(always)]
            fn combine(kind: ReduceKind, a: Self, b: Self) -> Self {
                match kind {
                    ReduceKind::Sum => a + b,
                    ReduceKind::Prod => a * b,
                    ReduceKind::Max => if (a > b) | (a != a) { a } else { b },
                    ReduceKind::Min => if (a < b) | (a != a) { a } else { b },
                }
            }
        }
    )+ };
}
float_combine!(f32, f64);

macro_rules! int_combine {
    ($($t:ty),+) => { $(
        impl Combine for $t {
            #[inline(always)]
            fn start(kind: ReduceKind) -> Self {
                match kind {
                    ReduceKind::Sum => 0,
                    ReduceKind::Prod => 1,
                    ReduceKind::Max => <$t>::MIN,
                    ReduceKind::Min => <$t>::MAX,
                }
            }
            #[inline(always)]
            fn combine(kind: ReduceKind, a: Self, b: Self) -> Self {
                match kind {
                    ReduceKind::Sum => a.wrapping_add(b),
                    ReduceKind::Prod => a.wrapping_mul(b),
                    ReduceKind::Max => a.max(b),
                    ReduceKind::Min => a.min(b),
                }
            }
        }
    )+ };
}
int_combine!(i32, i64, u8);

/// Runs an expression with the Rust type of a dtype that reductions take.
macro_rules! with_number {
    ($dtype:expr, $T:ident => $body:expr) => {
        match $dtype {
            DType::F32 => {
                type $T = f32;
                $body
            }
            DType::F64 => {
                type $T = f64;
                $body
            }
            DType::I32 => {
                type $T = i32;
                $body
            }
            DType::I64 => {
                type $T = i64;
                $body
            }
            DType::U8 => {
                type $T = u8;
                $body
            }
            DType::Bool | DType::Bf16 | DType::F16 => {
                unreachable!("reductions are of numbers, in `f32` of short ones")
            }
        }
    };
}
pub(super) use with_number;

/// Combines `total` with `n` neighbours in an order that depends on `n` alone. A row may be handed over in parts of
/// whole [`LEAF`]s: the order stays the same.
///
/// # Safety
/// `x` holds `n` elements.
pub(super) unsafe fn reduce_row<T: Combine>(kind: ReduceKind, total: T, x: *const T, n: usize) -> T {
    // SAFETY: the caller's promise.
    unsafe { best(Row { kind, total, x, n }) }
}

struct Row<T> {
    kind: ReduceKind,
    total: T,
    x: *const T,
    n: usize,
}

impl<T: Combine> Versioned for Row<T> {
    type Output = T;
    #[inline(always)]
    unsafe fn run(self) -> T {
        let Row { kind, total, x, n } = self;
        let start = T::start(kind);
        // SAFETY: the caller's promise; one copy of the loop for each kind.
        unsafe {
            match kind {
                ReduceKind::Sum => row(x, n, start, total, |a, b| T::combine(ReduceKind::Sum, a, b)),
                ReduceKind::Prod => row(x, n, start, total, |a, b| T::combine(ReduceKind::Prod, a, b)),
                ReduceKind::Max => row(x, n, start, total, |a, b| T::combine(ReduceKind::Max, a, b)),
                ReduceKind::Min => row(x, n, start, total, |a, b| T::combine(ReduceKind::Min, a, b)),
            }
        }
    }
}

/// `out[r]` combines row `r` of `cols` neighbours, in the order of [`reduce_row`].
///
/// # Safety
/// `x` holds `rows * cols` elements, `out` can hold `rows`, apart from each other.
pub(super) unsafe fn reduce_rows<T: Combine>(
    kind: ReduceKind,
    x: *const T,
    out: *mut T,
    rows: usize,
    cols: usize,
) {
    // SAFETY: the caller's promise.
    unsafe { best(Rows { kind, x, out, rows, cols }) }
}

struct Rows<T> {
    kind: ReduceKind,
    x: *const T,
    out: *mut T,
    rows: usize,
    cols: usize,
}

impl<T: Combine> Versioned for Rows<T> {
    type Output = ();
    #[inline(always)]
    unsafe fn run(self) {
        let Rows { kind, x, out, rows, cols } = self;
        macro_rules! each {
            ($k:expr) => {
                for r in 0..rows {
                    let start = T::start($k);
                    // SAFETY: row `r` is inside `x`, element `r` inside `out`.
                    unsafe {
                        let total = row(x.add(r * cols), cols, start, start, |a, b| T::combine($k, a, b));
                        out.add(r).write(total);
                    }
                }
            };
        }
        match kind {
            ReduceKind::Sum => each!(ReduceKind::Sum),
            ReduceKind::Prod => each!(ReduceKind::Prod),
            ReduceKind::Max => each!(ReduceKind::Max),
            ReduceKind::Min => each!(ReduceKind::Min),
        }
    }
}

/// `acc[i] = f(acc[i], x[i])`
///
/// # Safety
/// Both hold `n` elements and are apart.
pub(super) unsafe fn accumulate<T: Combine>(kind: ReduceKind, acc: *mut T, x: *const T, n: usize) {
    // SAFETY: the caller's promise.
    unsafe { best(Accumulate { kind, acc, x, n }) }
}

struct Accumulate<T> {
    kind: ReduceKind,
    acc: *mut T,
    x: *const T,
    n: usize,
}

impl<T: Combine> Versioned for Accumulate<T> {
    type Output = ();
    #[inline(always)]
    unsafe fn run(self) {
        let Accumulate { kind, acc, x, n } = self;
        macro_rules! each {
            ($k:expr) => {
                for i in 0..n {
                    // SAFETY: the caller's promise.
                    unsafe { *acc.add(i) = T::combine($k, *acc.add(i), *x.add(i)) };
                }
            };
        }
        match kind {
            ReduceKind::Sum => each!(ReduceKind::Sum),
            ReduceKind::Prod => each!(ReduceKind::Prod),
            ReduceKind::Max => each!(ReduceKind::Max),
            ReduceKind::Min => each!(ReduceKind::Min),
        }
    }
}
