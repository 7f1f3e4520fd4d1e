//! Step functions: one operation over the elements of a tile, for every dtype.
//!
//! Floats go through [`crate::vmath`], whose loops are found once, when a region is prepared; integers, booleans and
//! conversions are plain loops that the compiler vectorises. An output may be the same memory as an operand of its
//! width: every element is read before it is written.
//!
//! Invariant: operands and result hold as many elements of the step's dtypes as it says.

use gradus_core::dtype::{Bf16, CastTo, F16};
use gradus_core::ops::{Compare, Logic};
use gradus_core::{Binary, DType, Unary};
use gradus_plan::kernel::StepOp;

use crate::vmath::short::Change;
use crate::vmath::step::{Chain, Scalars, StepFn, Steps, number};
use crate::vmath::sum::Summand;
use crate::vmath::twin::Twin;
use crate::vmath::{self, InstructionSet};

/// Pointers of one step: operands, result, number of elements.
#[derive(Clone, Copy)]
pub(super) struct Operands {
    pub(super) args: [*const u8; 3],
    pub(super) out: *mut u8,
    pub(super) n: usize,
}

impl Operands {
    fn arg<T>(&self, i: usize) -> *const T {
        self.args[i].cast()
    }
    fn out<T>(&self) -> *mut T {
        self.out.cast()
    }

    /// `out[i] = f(a[i])`
    ///
    /// # Safety
    /// Operand and result hold `n` elements of these types.
    #[inline(always)]
    unsafe fn map<A: Copy, R>(&self, f: impl Fn(A) -> R) {
        let (a, out) = (self.arg::<A>(0), self.out::<R>());
        for i in 0..self.n {
            // SAFETY: the caller's promise.
            unsafe { out.add(i).write(f(*a.add(i))) };
        }
    }

    /// `out[i] = f(a[i], b[i])`
    ///
    /// # Safety
    /// Operands and result hold `n` elements of these types.
    #[inline(always)]
    unsafe fn zip<A: Copy, R>(&self, f: impl Fn(A, A) -> R) {
        let (a, b, out) = (self.arg::<A>(0), self.arg::<A>(1), self.out::<R>());
        for i in 0..self.n {
            // SAFETY: the caller's promise.
            unsafe { out.add(i).write(f(*a.add(i), *b.add(i))) };
        }
    }
}

/// Runs a step that is computed element by element.
///
/// # Safety
/// Operands and result hold `n` elements of the types that the step states.
pub(super) unsafe fn run(op: StepOp, dtype: DType, out: DType, x: Operands) {
    // SAFETY: the caller's promise, for each dtype.
    unsafe {
        match dtype {
            DType::F32 => float::<f32>(op, out, x),
            DType::F64 => float::<f64>(op, out, x),
            DType::I32 => int::<i32>(op, out, x),
            DType::I64 => int::<i64>(op, out, x),
            DType::U8 => int::<u8>(op, out, x),
            DType::Bool => boolean(op, out, x),
            DType::Bf16 => short::<Bf16>(op, out, x),
            DType::F16 => short::<F16>(op, out, x),
        }
    }
}

/// Conversions from `T` to every dtype.
trait Converts:
    Copy
    + CastTo<f32>
    + CastTo<f64>
    + CastTo<i32>
    + CastTo<i64>
    + CastTo<u8>
    + CastTo<bool>
    + CastTo<Bf16>
    + CastTo<F16>
{
}
impl Converts for f32 {}
impl Converts for f64 {}
impl Converts for i32 {}
impl Converts for i64 {}
impl Converts for u8 {}
impl Converts for bool {}
impl Converts for Bf16 {}
impl Converts for F16 {}

/// # Safety
/// As for [`run`].
unsafe fn cast<T: Converts>(out: DType, x: Operands) {
    // SAFETY: the caller's promise.
    unsafe {
        match out {
            DType::F32 => x.map(|v: T| CastTo::<f32>::cast(v)),
            DType::F64 => x.map(|v: T| CastTo::<f64>::cast(v)),
            DType::I32 => x.map(|v: T| CastTo::<i32>::cast(v)),
            DType::I64 => x.map(|v: T| CastTo::<i64>::cast(v)),
            DType::U8 => x.map(|v: T| CastTo::<u8>::cast(v)),
            DType::Bool => x.map(|v: T| CastTo::<bool>::cast(v)),
            DType::Bf16 => x.map(|v: T| CastTo::<Bf16>::cast(v)),
            DType::F16 => x.map(|v: T| CastTo::<F16>::cast(v)),
        }
    }
}

/// # Safety
/// As for [`run`].
unsafe fn copy_or_select<T: Copy>(op: StepOp, x: Operands) {
    // SAFETY: the caller's promise; a mask is one byte an element.
    unsafe {
        match op {
            StepOp::Copy => x.map(|v: T| v),
            StepOp::Select => {
                let (m, a, b, out) = (x.arg::<u8>(0), x.arg::<T>(1), x.arg::<T>(2), x.out::<T>());
                for i in 0..x.n {
                    out.add(i).write(if *m.add(i) != 0 { *a.add(i) } else { *b.add(i) });
                }
            }
            _ => unreachable!("excluded by the shape rules"),
        }
    }
}

/// The remaining operations on floats: those without a loop of their own in [`step`].
///
/// # Safety
/// As for [`run`].
unsafe fn float<T: vmath::Float + Converts>(op: StepOp, out: DType, x: Operands) {
    // SAFETY: the caller's promise; a mask is one byte an element.
    unsafe {
        match op {
            StepOp::Cast => cast::<T>(out, x),
            _ => copy_or_select::<T>(op, x),
        }
    }
}

/// Operations on 16-bit floats without a loop of their own: copies, and conversions to types other than `f32`.
///
/// # Safety
/// As for [`run`].
unsafe fn short<T: Converts>(op: StepOp, out: DType, x: Operands) {
    // SAFETY: the caller's promise.
    unsafe {
        match op {
            StepOp::Cast => cast::<T>(out, x),
            _ => copy_or_select::<u16>(op, x),
        }
    }
}

/// The loop of a step on floats, found once; `scalar` has a bit for each operand that is a single repeated element.
pub(super) fn step(op: StepOp, dtype: DType, out: DType, scalar: u8) -> Option<(StepFn, i32)> {
    let change = |change, narrow| Some((vmath::short::step(InstructionSet::current(), change, narrow)?, 0));
    match (op, dtype, out) {
        (StepOp::Round(narrow), ..) => change(Change::Round, narrow),
        (StepOp::Cast, narrow, DType::F32) => change(Change::Widen, narrow),
        (StepOp::Cast, DType::F32, narrow) => change(Change::Shorten, narrow),
        (_, DType::F32, _) => step_of::<f32>(op, scalar),
        (_, DType::F64, _) => step_of::<f64>(op, scalar),
        (_, DType::I32 | DType::I64 | DType::Bool | DType::U8 | DType::Bf16 | DType::F16, _) => None,
    }
}

fn step_of<T: Steps>(op: StepOp, scalar: u8) -> Option<(StepFn, i32)> {
    let level = InstructionSet::current();
    let scalars = |from: u8| Scalars { first: scalar >> from & 1 == 1, second: scalar >> from & 2 == 2 };
    Some(match op {
        StepOp::Unary(f) => (T::unary(level, f), number(f)),
        StepOp::Binary(f) => (T::binary(level, f, scalars(0)), 0),
        StepOp::LinearMul { both } => (T::linear_mul(level, both), 0),
        StepOp::Compare(c) => (T::compare(level, comparison(c), scalars(0)), 0),
        StepOp::Select => (T::select(level, scalars(1)), 0),
        _ => return None,
    })
}

/// The loop of several steps on floats.
pub(super) fn chain(chain: Chain, dtype: DType) -> Option<(StepFn, i32)> {
    match dtype {
        DType::F32 => Some((f32::chain(InstructionSet::current(), chain), 0)),
        DType::F64 => Some((f64::chain(InstructionSet::current(), chain), 0)),
        DType::I32 | DType::I64 | DType::Bool | DType::U8 | DType::Bf16 | DType::F16 => None,
    }
}

/// The loop of two functions of one argument on floats.
pub(super) fn twin(twin: Twin, dtype: DType) -> Option<(StepFn, i32)> {
    match dtype {
        DType::F32 => Some((f32::twin(InstructionSet::current(), twin), 0)),
        DType::F64 => Some((f64::twin(InstructionSet::current(), twin), 0)),
        DType::I32 | DType::I64 | DType::Bool | DType::U8 | DType::Bf16 | DType::F16 => None,
    }
}

/// The loop of the sums of rows of floats.
pub(super) fn sum(summand: Summand, dtype: DType) -> Option<(StepFn, i32)> {
    match dtype {
        DType::F32 => Some((f32::sum(InstructionSet::current(), summand), 0)),
        DType::F64 => Some((f64::sum(InstructionSet::current(), summand), 0)),
        DType::I32 | DType::I64 | DType::Bool | DType::U8 | DType::Bf16 | DType::F16 => None,
    }
}

pub(super) fn comparison(c: Compare) -> vmath::Compare {
    match c {
        Compare::Eq => vmath::Compare::Eq,
        Compare::Ne => vmath::Compare::Ne,
        Compare::Lt => vmath::Compare::Lt,
        Compare::Le => vmath::Compare::Le,
        Compare::Gt => vmath::Compare::Gt,
        Compare::Ge => vmath::Compare::Ge,
    }
}

/// # Safety
/// As for [`run`].
unsafe fn compare<T: PartialOrd + Copy>(op: Compare, x: Operands) {
    // SAFETY: the caller's promise.
    unsafe {
        match op {
            Compare::Eq => x.zip(|a: T, b: T| a == b),
            Compare::Ne => x.zip(|a: T, b: T| a != b),
            Compare::Lt => x.zip(|a: T, b: T| a < b),
            Compare::Le => x.zip(|a: T, b: T| a <= b),
            Compare::Gt => x.zip(|a: T, b: T| a > b),
            Compare::Ge => x.zip(|a: T, b: T| a >= b),
        }
    }
}

/// The wrapping arithmetic of integers.
trait Int: Converts + Copy + Ord + Default {
    fn add(self, rhs: Self) -> Self;
    fn sub(self, rhs: Self) -> Self;
    fn mul(self, rhs: Self) -> Self;
    fn neg(self) -> Self;
    fn power(self, n: u32) -> Self;
    fn and(self, rhs: Self) -> Self;
    fn or(self, rhs: Self) -> Self;
    fn xor(self, rhs: Self) -> Self;
    fn not(self) -> Self;
    fn from_index(i: usize) -> Self;
}

macro_rules! ints {
    ($($t:ty),+) => { $(
        impl Int for $t {
            #[inline(always)] fn add(self, rhs: Self) -> Self { self.wrapping_add(rhs) }
            #[inline(always)] fn sub(self, rhs: Self) -> Self { self.wrapping_sub(rhs) }
            #[inline(always)] fn mul(self, rhs: Self) -> Self { self.wrapping_mul(rhs) }
            #[inline(always)] fn neg(self) -> Self { self.wrapping_neg() }
            #[inline(always)] fn power(self, n: u32) -> Self { self.wrapping_pow(n) }
            #[inline(always)] fn and(self, rhs: Self) -> Self { self & rhs }
            #[inline(always)] fn or(self, rhs: Self) -> Self { self | rhs }
            #[inline(always)] fn xor(self, rhs: Self) -> Self { self ^ rhs }
            #[inline(always)] fn not(self) -> Self { !self }
            #[inline(always)] fn from_index(i: usize) -> Self { i as $t }
        }
    )+ };
}
ints!(i32, i64, u8);

/// # Safety
/// As for [`run`].
unsafe fn int<T: Int>(op: StepOp, out: DType, x: Operands) {
    let zero = T::default();
    let one = T::from_index(1);
    // SAFETY: the caller's promise.
    unsafe {
        match op {
            StepOp::Unary(Unary::Neg) => x.map(|v: T| v.neg()),
            StepOp::Unary(Unary::Abs) => x.map(|v: T| if v < zero { v.neg() } else { v }),
            StepOp::Unary(Unary::Sign) => x.map(|v: T| match v.cmp(&zero) {
                std::cmp::Ordering::Less => one.neg(),
                std::cmp::Ordering::Equal => zero,
                std::cmp::Ordering::Greater => one,
            }),
            StepOp::Unary(Unary::Powi(n)) => x.map(|v: T| v.power(n as u32)),
            StepOp::Binary(Binary::Add) => x.zip(|a: T, b: T| a.add(b)),
            StepOp::Binary(Binary::Sub) => x.zip(|a: T, b: T| a.sub(b)),
            StepOp::Binary(Binary::Mul) => x.zip(|a: T, b: T| a.mul(b)),
            StepOp::Binary(Binary::Max) => x.zip(|a: T, b: T| a.max(b)),
            StepOp::Binary(Binary::Min) => x.zip(|a: T, b: T| a.min(b)),
            StepOp::Compare(c) => compare::<T>(c, x),
            StepOp::Logic(Logic::And) => x.zip(|a: T, b: T| a.and(b)),
            StepOp::Logic(Logic::Or) => x.zip(|a: T, b: T| a.or(b)),
            StepOp::Logic(Logic::Xor) => x.zip(|a: T, b: T| a.xor(b)),
            StepOp::Not => x.map(|v: T| v.not()),
            StepOp::Cast => cast::<T>(out, x),
            _ => copy_or_select::<T>(op, x),
        }
    }
}

/// Booleans are bytes that are 0 or 1.
///
/// # Safety
/// As for [`run`].
unsafe fn boolean(op: StepOp, out: DType, x: Operands) {
    // SAFETY: the caller's promise.
    unsafe {
        match op {
            StepOp::Compare(c) => compare::<u8>(c, x),
            StepOp::Logic(Logic::And) => x.zip(|a: u8, b: u8| a & b),
            StepOp::Logic(Logic::Or) => x.zip(|a: u8, b: u8| a | b),
            StepOp::Logic(Logic::Xor) => x.zip(|a: u8, b: u8| a ^ b),
            StepOp::Not => x.map(|v: u8| v ^ 1),
            StepOp::Cast => match out {
                DType::F32 => x.map(|v: u8| f32::from(v)),
                DType::F64 => x.map(|v: u8| f64::from(v)),
                DType::I32 => x.map(|v: u8| i32::from(v)),
                DType::I64 => x.map(|v: u8| i64::from(v)),
                DType::U8 | DType::Bool => x.map(|v: u8| v),
                DType::Bf16 => x.map(|v: u8| CastTo::<Bf16>::cast(v)),
                DType::F16 => x.map(|v: u8| CastTo::<F16>::cast(v)),
            },
            _ => copy_or_select::<u8>(op, x),
        }
    }
}

/// `out[i] = ((start + i) / inner) % extent`
///
/// # Safety
/// `out` holds `n` elements of `dtype`.
pub(super) unsafe fn iota(dtype: DType, start: usize, inner: usize, extent: usize, out: *mut u8, n: usize) {
    let index = |i: usize| (start + i) / inner % extent;
    for i in 0..n {
        // SAFETY: the caller's promise.
        unsafe {
            match dtype {
                DType::F32 => out.cast::<f32>().add(i).write(index(i) as f32),
                DType::F64 => out.cast::<f64>().add(i).write(index(i) as f64),
                DType::I32 => out.cast::<i32>().add(i).write(index(i) as i32),
                DType::I64 => out.cast::<i64>().add(i).write(index(i) as i64),
                DType::U8 => out.cast::<u8>().add(i).write((index(i) as i64) as u8),
                DType::Bf16 => out.cast::<Bf16>().add(i).write((index(i) as f64).cast()),
                DType::F16 => out.cast::<F16>().add(i).write((index(i) as f64).cast()),
                DType::Bool => unreachable!("an index is a number"),
            }
        }
    }
}
