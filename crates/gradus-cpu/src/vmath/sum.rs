//! Rows combined to one value, in an order that depends on their length alone; and sums of products, whose terms need not go
//! through memory.
//!
//! Invariant: rows hold as many elements as is said; nothing is read beyond.

use std::marker::PhantomData;

use super::float::Float;
use super::isa::{InstructionSet, Isa};
use super::step::{Arithmetic, Call, Kernel, Linear, StepFn, Times, arithmetic_block, pick};

/// Elements combined at once, before the lanes are folded.
pub(crate) const LEAF: usize = 512;

/// Elements beside one another, in memory or computed.
pub(crate) trait Row<T>: Copy {
    /// Those from `at` on.
    ///
    /// # Safety
    /// The row has them.
    unsafe fn block<const N: usize>(self, at: usize) -> [T; N];
    /// One of them.
    ///
    /// # Safety
    /// The row has it.
    unsafe fn element(self, at: usize) -> T;
}

impl<T: Copy> Row<T> for *const T {
    #[inline(always)]
    unsafe fn block<const N: usize>(self, at: usize) -> [T; N] {
        // SAFETY: the caller's promise.
        unsafe { self.add(at).cast::<[T; N]>().read_unaligned() }
    }
    #[inline(always)]
    unsafe fn element(self, at: usize) -> T {
        // SAFETY: the caller's promise.
        unsafe { *self.add(at) }
    }
}

/// Combines `total` with the first `n` elements of a row, [`LEAF`] by [`LEAF`].
///
/// # Safety
/// The row has them.
#[inline(always)]
pub(crate) unsafe fn row<T: Copy>(
    x: impl Row<T>,
    n: usize,
    start: T,
    mut total: T,
    f: impl Fn(T, T) -> T + Copy,
) -> T {
    let mut at = 0;
    while at < n {
        let end = (at + LEAF).min(n);
        // SAFETY: `end <= n`. Partial results are kept side by side, in 256 bytes (or 64 lanes), so that several vectors are
        // under way.
        let leaf = unsafe {
            if size_of::<T>() == 8 {
                lanes::<T, 32>(x, at, end, start, f)
            } else {
                lanes::<T, 64>(x, at, end, start, f)
            }
        };
        total = f(total, leaf);
        at = end;
    }
    total
}

/// Lanes are only named by constants, so that they stay in registers: what is left over is filled up to whole lanes with
/// `start`, which changes nothing. They go through memory before they are folded: the compiler would otherwise keep them in
/// pairs, as the last folds want them, and load two elements at a time.
#[inline(always)]
unsafe fn lanes<T: Copy, const N: usize>(
    x: impl Row<T>,
    mut at: usize,
    end: usize,
    start: T,
    f: impl Fn(T, T) -> T + Copy,
) -> T {
    let mut lanes = [start; N];
    while at + N <= end {
        // SAFETY: `at + N <= end`.
        let block = unsafe { x.block::<N>(at) };
        for j in 0..N {
            lanes[j] = f(lanes[j], block[j]);
        }
        at += N;
    }
    if at < end {
        let mut rest = [start; N];
        for (j, to) in rest.iter_mut().take(end - at).enumerate() {
            // SAFETY: `at + j < end`.
            *to = unsafe { x.element(at + j) };
        }
        for j in 0..N {
            lanes[j] = f(lanes[j], rest[j]);
        }
    }
    let mut lanes = std::hint::black_box(lanes);
    if N > 32 {
        fold::<T, N, 32>(&mut lanes, f);
    }
    fold::<T, N, 16>(&mut lanes, f);
    fold::<T, N, 8>(&mut lanes, f);
    fold::<T, N, 4>(&mut lanes, f);
    fold::<T, N, 2>(&mut lanes, f);
    f(lanes[0], lanes[1])
}

/// Joins the second `WIDTH` lanes to the first.
#[inline(always)]
fn fold<T: Copy, const N: usize, const WIDTH: usize>(lanes: &mut [T; N], f: impl Fn(T, T) -> T) {
    for j in 0..WIDTH {
        lanes[j] = f(lanes[j], lanes[j + WIDTH]);
    }
}

/// What is summed along a row. Each term is rounded as in a step of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Summand {
    /// `a b`
    Product,
    /// The product of a residual and a tangent.
    Linear,
    /// `(a c)²`, `c` the same for all
    ScaledSquare,
}

/// Sums of rows: `call.n` elements in each of `call.number` rows.
pub(super) fn of<T: Float>(level: InstructionSet, summand: Summand) -> StepFn {
    match summand {
        Summand::Product => pick::<Sums<T, Times>>(level),
        Summand::Linear => pick::<Sums<T, Linear>>(level),
        Summand::ScaledSquare => pick::<Squares<T>>(level),
    }
}

/// The products of two rows.
struct Products<T, I, P>(*const T, *const T, PhantomData<(I, P)>);
impl<T, I, P> Clone for Products<T, I, P> {
    fn clone(&self) -> Self {
        *self
    }
}
impl<T, I, P> Copy for Products<T, I, P> {}
impl<T: Float, I: Isa, P: Arithmetic> Row<T> for Products<T, I, P> {
    #[inline(always)]
    unsafe fn block<const N: usize>(self, at: usize) -> [T; N] {
        // SAFETY: the caller's promise.
        unsafe { arithmetic_block::<T, I, P, N>(self.0.block(at), self.1.block(at)) }
    }
    #[inline(always)]
    unsafe fn element(self, at: usize) -> T {
        // SAFETY: the caller's promise.
        let (x, y) = unsafe { (self.0.element(at), self.1.element(at)) };
        arithmetic_block::<T, I, P, 16>([x; 16], [y; 16])[0]
    }
}

struct Sums<T, P>(PhantomData<(T, P)>);
impl<T: Float, P: Arithmetic> Kernel for Sums<T, P> {
    #[inline(always)]
    unsafe fn run<I: Isa>(call: &Call) {
        for r in 0..call.number as usize {
            // SAFETY: the caller's promise, for row `r`.
            unsafe {
                let [a, b] = [0, 1].map(|i| call.arg::<T>(i).add(r * call.n));
                let terms = Products::<T, I, P>(a, b, PhantomData);
                *call.out::<T>().add(r) = row(terms, call.n, T::DEAD, T::DEAD, |x, y| x + y);
            }
        }
    }
}

/// The squares of a row, scaled.
#[derive(Clone, Copy)]
struct Scaled<T>(*const T, T);
impl<T: Float> Row<T> for Scaled<T> {
    #[inline(always)]
    unsafe fn block<const N: usize>(self, at: usize) -> [T; N] {
        // SAFETY: the caller's promise.
        let mut block = unsafe { self.0.block::<N>(at) };
        for x in &mut block {
            let scaled = *x * self.1;
            *x = scaled * scaled;
        }
        block
    }
    #[inline(always)]
    unsafe fn element(self, at: usize) -> T {
        // SAFETY: the caller's promise.
        let scaled = unsafe { self.0.element(at) } * self.1;
        scaled * scaled
    }
}

struct Squares<T>(PhantomData<T>);
impl<T: Float> Kernel for Squares<T> {
    #[inline(always)]
    unsafe fn run<I: Isa>(call: &Call) {
        for r in 0..call.number as usize {
            // SAFETY: the caller's promise, for row `r`.
            unsafe {
                let terms = Scaled(call.arg::<T>(0).add(r * call.n), *call.arg::<T>(1));
                *call.out::<T>().add(r) = row(terms, call.n, T::DEAD, T::DEAD, |x, y| x + y);
            }
        }
    }
}
