//! Steps: loops over the operands of one function, or of two with nothing between them, each compiled on its own for
//! every instruction set, so that whoever runs a program finds the loop once and then only calls it.
//!
//! Invariant: operands that move, and the output, hold `n` elements; others hold one.

use std::marker::PhantomData;

use gradus_num::{Binary, Scalar, Unary};

use super::binary::Compare;
use super::float::Float;
use super::isa::{InstructionSet, Isa};
use super::loops::{Along, Many, One, Source, WIDTH, each, each_vector, keep_blocks, store};
use super::sum::{self, Summand};
use super::twin::{self, Twin};
use crate::vector::Vector;

/// Operands and result of a step.
#[derive(Clone, Copy, Debug)]
pub struct Call {
    /// Where the operands begin.
    pub args: [*const u8; OPERANDS],
    /// For each operand, 1; or 0 where one block of [`BLOCK`] elements stands for all of them. Functions of one argument read all
    /// elements in any case.
    pub moves: [u8; OPERANDS],
    /// Where the result begins; it may be an operand.
    pub out: *mut u8,
    /// Where the second result begins, of steps that have one.
    pub second: *mut u8,
    /// How many elements.
    pub n: usize,
    /// An integer that belongs to the function: an exponent, an order.
    pub number: i32,
}

/// The most operands that a step has.
pub const OPERANDS: usize = 3;

/// Elements of a block that stands for all elements of an operand.
pub const BLOCK: usize = WIDTH;

impl Call {
    /// All operands move along with the one result.
    pub(super) fn moving(args: [*const u8; OPERANDS], out: *mut u8, n: usize) -> Self {
        Call { args, moves: [1; OPERANDS], out, second: out, n, number: 0 }
    }
    /// An operand that may be one block for all.
    #[inline(always)]
    fn along<T>(&self, i: usize) -> Along<T> {
        Along { from: self.args[i].cast(), moves: usize::from(self.moves[i]) }
    }
    #[inline(always)]
    pub(super) fn arg<T>(&self, i: usize) -> *const T {
        self.args[i].cast()
    }
    #[inline(always)]
    pub(super) fn out<T>(&self) -> *mut T {
        self.out.cast()
    }
    #[inline(always)]
    pub(super) fn second<T>(&self) -> *mut T {
        self.second.cast()
    }
}

/// A step ready to be called.
///
/// # Safety
/// Operands are valid for reads of `n` elements (those said to be scalars, of one; those that do not move, of a block) and the result for writes, of the
/// types the step was made for; each operand is the result, moving along with it, or apart from it.
pub type StepFn = unsafe fn(&Call);

/// Which operands are one element for all of the result.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Scalars {
    /// The first.
    pub first: bool,
    /// The second.
    pub second: bool,
}

/// The arithmetic that two steps are made one from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Simple {
    /// `x + y`
    Add,
    /// `x - y`
    Sub,
    /// `y - x`
    Less,
    /// `x y`
    Mul,
    /// `x / y`
    Div,
    /// `y / x`
    Over,
    /// The product of a residual `x` and a tangent `y`.
    Linear,
    /// The product of a tangent `x` and a residual `y`.
    Linked,
    /// The product of two tangents.
    Tangents,
}

/// Arithmetic and functions that often follow one another, as one step; every result on the way is rounded as in steps of their
/// own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Chain {
    /// `exp(a - b)`
    ExpDifference,
    /// `exp(a b)`
    ExpProduct,
    /// `exp((a a) b)`
    ExpSquare,
    /// `exp(-(a a))`
    Gaussian,
    /// `erf(a b)`
    ErfProduct,
    /// `erfc(a b)`
    ErfcProduct,
}

/// A loop, compiled for every instruction set by [`pick`].
pub(super) trait Kernel {
    /// # Safety
    /// As for [`StepFn`].
    unsafe fn run<I: Isa>(call: &Call);
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,fma,f16c")]
unsafe fn avx2<K: Kernel>(call: &Call) {
    // SAFETY: the caller's promise.
    unsafe { K::run::<super::isa::Avx2>(call) }
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,fma,f16c,avx512f,avx512bw,avx512dq,avx512vl")]
unsafe fn avx512<K: Kernel>(call: &Call) {
    // SAFETY: the caller's promise.
    unsafe { K::run::<super::isa::Avx512>(call) }
}

unsafe fn baseline<K: Kernel>(call: &Call) {
    // SAFETY: the caller's promise.
    unsafe { K::run::<super::isa::Baseline>(call) }
}

pub(super) fn pick<K: Kernel>(level: InstructionSet) -> StepFn {
    match level {
        #[cfg(target_arch = "x86_64")]
        InstructionSet::Avx512 => avx512::<K>,
        #[cfg(target_arch = "x86_64")]
        InstructionSet::Avx2 => avx2::<K>,
        _ => baseline::<K>,
    }
}

/// The steps of a type; methods of `f32` and `f64` so that they are compiled once, here.
#[doc(hidden)]
pub trait Steps: Sized {
    /// A function of one argument.
    fn unary(level: InstructionSet, op: Unary) -> StepFn;
    /// A function of two arguments.
    fn binary(level: InstructionSet, op: Binary, scalars: Scalars) -> StepFn;
    /// The product of a residual and a tangent, or of two tangents.
    fn linear_mul(level: InstructionSet, both: bool) -> StepFn;
    /// A comparison, whose result is a mask of bytes.
    fn compare(level: InstructionSet, op: Compare, scalars: Scalars) -> StepFn;
    /// The second operand where the mask is set, else the third; `scalars` speaks of these two.
    fn select(level: InstructionSet, scalars: Scalars) -> StepFn;
    /// Several steps in a row.
    fn chain(level: InstructionSet, chain: Chain) -> StepFn;
    /// Two functions of one argument.
    fn twin(level: InstructionSet, twin: Twin) -> StepFn;
    /// The sums of rows, `number` of them with `n` elements each.
    fn sum(level: InstructionSet, summand: Summand) -> StepFn;
}

/// A kernel of the loop body given, for `T` and `I` as the body names them.
macro_rules! kernel {
    ($level:expr, |$v:ident| $body:expr $(, far $far:ident => $again:expr)?) => {{
        struct K<T>(PhantomData<T>);
        impl<T: Float> Kernel for K<T> {
            #[inline(always)]
            unsafe fn run<I: Isa>(call: &Call) {
                let (x, out) = (Many(call.arg::<T>(0)), call.out::<T>());
                each!(call.n, out, |$v: x| $body $(, far $far => $again)?)
            }
        }
        pick::<K<Self>>($level)
    }};
    ($level:expr, $scalars:expr, $out:ty, |$x:ident, $y:ident| $body:expr) => {{
        struct K<T, A, B>(PhantomData<(T, A, B)>);
        impl<T: Float, A: Begin<T>, B: Begin<T>> Kernel for K<T, A, B> {
            #[inline(always)]
            unsafe fn run<I: Isa>(call: &Call) {
                // SAFETY: the caller's promise.
                let (a, b) = unsafe { (A::begin(call.along(0)), B::begin(call.along(1))) };
                let out = call.out::<$out>();
                each!(call.n, out, |$x: a, $y: b| $body)
            }
        }
        match ($scalars.first, $scalars.second) {
            (false, false) => pick::<K<Self, Along<Self>, Along<Self>>>($level),
            (false, true) => pick::<K<Self, Along<Self>, One<Self>>>($level),
            (true, false) => pick::<K<Self, One<Self>, Along<Self>>>($level),
            (true, true) => pick::<K<Self, One<Self>, One<Self>>>($level),
        }
    }};
}

/// A kernel of the loop body given, of operands in order.
macro_rules! several {
    ($level:expr, |$($v:ident),+| $body:expr) => {{
        struct K<T>(PhantomData<T>);
        impl<T: Float> Kernel for K<T> {
            #[inline(always)]
            unsafe fn run<I: Isa>(call: &Call) {
                let mut operands = (0..OPERANDS).map(|i| call.along::<T>(i));
                $(let Some($v) = operands.next() else { return };)+
                let out = call.out::<T>();
                each!(call.n, out, |$($v: $v),+| $body)
            }
        }
        pick::<K<Self>>($level)
    }};
}

/// A source of elements that begins at a pointer.
trait Begin<T>: Source<T> {
    /// # Safety
    /// The pointer is valid for a read.
    unsafe fn begin(from: Along<T>) -> Self;
}
impl<T: Float> Begin<T> for Along<T> {
    #[inline(always)]
    unsafe fn begin(from: Along<T>) -> Self {
        from
    }
}
impl<T: Float> Begin<T> for One<T> {
    #[inline(always)]
    unsafe fn begin(from: Along<T>) -> Self {
        // SAFETY: the caller's promise.
        One(unsafe { *from.from })
    }
}

/// Blocks of a product in registers: those of half the size where a block is smaller than one.
#[inline(always)]
pub(super) fn arithmetic_block<T: Float, I: Isa, P: Arithmetic, const N: usize>(
    x: [T; N],
    y: [T; N],
) -> [T; N] {
    #[inline(always)]
    fn by<V: Vector, P: Arithmetic, const N: usize>(
        x: [V::Element; N],
        y: [V::Element; N],
    ) -> [V::Element; N] {
        let mut out = y;
        for k in (0..N).step_by(V::LANES) {
            // SAFETY: blocks are of whole registers, of the instruction set that this is compiled for.
            unsafe {
                P::of(V::load(x.as_ptr().add(k)), V::load(y.as_ptr().add(k))).store(out.as_mut_ptr().add(k))
            }
        }
        out
    }
    if T::Vector::<I>::LANES <= N {
        by::<T::Vector<I>, P, N>(x, y)
    } else {
        by::<<T::Vector<I> as Vector>::Half, P, N>(x, y)
    }
}

/// A product as a type.
pub(super) trait Arithmetic {
    /// # Safety
    /// The processor has the instruction set of the registers.
    unsafe fn of<V: Vector>(x: V, y: V) -> V;
}
macro_rules! arithmetic {
    ($($name:ident |$x:ident, $y:ident| $body:expr),+) => { $(
        pub(super) struct $name;
        impl Arithmetic for $name {
            #[inline(always)]
            unsafe fn of<V: Vector>($x: V, $y: V) -> V {
                // SAFETY: the caller's promise.
                unsafe { $body }
            }
        }
    )+ };
}
arithmetic!(Times | x, y | x.mul(y), Linear | x, y | V::linear(x, y), Tangents | x, y | V::tangents(x, y));

struct Product<T, P>(PhantomData<(T, P)>);
impl<T: Float, P: Arithmetic> Kernel for Product<T, P> {
    #[inline(always)]
    unsafe fn run<I: Isa>(call: &Call) {
        let (a, b) = (call.along::<T>(0), call.along::<T>(1));
        let out = call.out::<T>();
        each_vector!(T, I, call.n, out, |x: a, y: b| P::of(x, y))
    }
}

struct Choose<T, A, B>(PhantomData<(T, A, B)>);
impl<T: Float, A: Begin<T>, B: Begin<T>> Kernel for Choose<T, A, B> {
    #[inline(always)]
    unsafe fn run<I: Isa>(call: &Call) {
        let mask = Many(call.arg::<u8>(0));
        // SAFETY: the caller's promise.
        let (a, b) = unsafe { (A::begin(call.along(1)), B::begin(call.along(2))) };
        let out = call.out::<T>();
        each!(call.n, out, |m: mask, x: a, y: b| if m != 0 { x } else { y })
    }
}

/// A function without a loop of its own: that of numbers, lane by lane.
struct ByLane<T>(PhantomData<T>);
impl<T: Float> Kernel for ByLane<T> {
    #[inline(always)]
    unsafe fn run<I: Isa>(call: &Call) {
        let (x, out) = (Many(call.arg::<T>(0)), call.out::<T>());
        let op = Unary::ALL[call.number as usize];
        each!(call.n, out, |v: x| T::from_f64(of_number(op, v.to_f64())))
    }
}

struct Polygamma<T>(PhantomData<T>);
impl<T: Float> Kernel for Polygamma<T> {
    #[inline(always)]
    unsafe fn run<I: Isa>(call: &Call) {
        let (x, out) = (Many(call.arg::<T>(0)), call.out::<T>());
        let op = Unary::Polygamma(call.number as u32);
        each!(call.n, out, |v: x| T::from_f64(of_number(op, v.to_f64())))
    }
}

/// Compiled once for all loops.
#[inline(never)]
fn of_number(op: Unary, x: f64) -> f64 {
    Scalar::unary(&x, op)
}

macro_rules! steps {
    ($($float:ty),+) => { $(
        impl Steps for $float {
            fn unary(level: InstructionSet, op: Unary) -> StepFn {
                match op {
                    Unary::Neg => kernel!(level, |v| -v),
                    Unary::Abs => kernel!(level, |v| v.abs()),
                    Unary::Sign => kernel!(level, |v| {
                        let signed = if v < T::ZERO { -T::ONE } else { v };
                        if v > T::ZERO { T::ONE } else { signed }
                    }),
                    Unary::Floor => kernel!(level, |v| v.floor()),
                    Unary::Ceil => kernel!(level, |v| v.ceil()),
                    Unary::Round => kernel!(level, |v| v.round()),
                    Unary::Recip => kernel!(level, |v| T::ONE / v),
                    Unary::Powi(power) => <Self as Powers>::power(level, power),
                    Unary::Sqrt => kernel!(level, |v| v.sqrt()),
                    Unary::Rsqrt => kernel!(level, |v| T::ONE / v.sqrt()),
                    Unary::Cbrt => kernel!(level, |v| v.cbrt::<I>()),
                    Unary::Exp => kernel!(level, |v| v.exp::<I>()),
                    Unary::Exp2 => kernel!(level, |v| v.exp2::<I>()),
                    Unary::Expm1 => kernel!(level, |v| v.expm1::<I>()),
                    Unary::Log => kernel!(level, |v| v.log::<I>()),
                    Unary::Log2 => kernel!(level, |v| v.log2::<I>()),
                    Unary::Log1p => kernel!(level, |v| v.log1p::<I>()),
                    Unary::Sin => kernel!(level, |v| v.sin::<I>(), far v => v.far_sin()),
                    Unary::Cos => kernel!(level, |v| v.cos::<I>(), far v => v.far_cos()),
                    Unary::Tan => kernel!(level, |v| v.tan::<I>(), far v => v.far_tan()),
                    Unary::Asin => kernel!(level, |v| v.asin::<I>()),
                    Unary::Acos => kernel!(level, |v| v.acos::<I>()),
                    Unary::Atan => kernel!(level, |v| v.atan::<I>()),
                    Unary::Sinh => kernel!(level, |v| v.sinh::<I>()),
                    Unary::Cosh => kernel!(level, |v| v.cosh::<I>()),
                    Unary::Tanh => kernel!(level, |v| v.tanh::<I>()),
                    Unary::Asinh => kernel!(level, |v| v.asinh::<I>()),
                    Unary::Acosh => kernel!(level, |v| v.acosh::<I>()),
                    Unary::Atanh => kernel!(level, |v| v.atanh::<I>()),
                    Unary::Sech2 => kernel!(level, |v| v.sech2::<I>()),
                    Unary::Sigmoid => kernel!(level, |v| v.sigmoid::<I>()),
                    Unary::Softplus => kernel!(level, |v| v.softplus::<I>()),
                    Unary::Erf => kernel!(level, |v| v.erf::<I>()),
                    Unary::Erfc => kernel!(level, |v| v.erfc::<I>()),
                    Unary::Polygamma(_) => pick::<Polygamma<Self>>(level),
                    _ => pick::<ByLane<Self>>(level),
                }
            }

            fn binary(level: InstructionSet, op: Binary, scalars: Scalars) -> StepFn {
                match op {
                    Binary::Add => kernel!(level, scalars, T, |x, y| x + y),
                    Binary::Sub => kernel!(level, scalars, T, |x, y| x - y),
                    Binary::Mul => kernel!(level, scalars, T, |x, y| x * y),
                    Binary::Div => kernel!(level, scalars, T, |x, y| x / y),
                    Binary::Rem => kernel!(level, scalars, T, |x, y| x.rem(y)),
                    Binary::Pow => kernel!(level, scalars, T, |x, y| x.pow::<I>(y)),
                    Binary::Atan2 => kernel!(level, scalars, T, |x, y| x.atan2::<I>(y)),
                    Binary::Hypot => kernel!(level, scalars, T, |x, y| x.hypot::<I>(y)),
                    // A comparison with NaN is false: the second argument's NaN is taken so, the first's by the second
                    // test.
                    Binary::Max => {
                        kernel!(level, scalars, T, |x, y| if (x > y) | x.is_nan() { x } else { y })
                    }
                    Binary::Min => {
                        kernel!(level, scalars, T, |x, y| if (x < y) | x.is_nan() { x } else { y })
                    }
                }
            }

            fn linear_mul(level: InstructionSet, both: bool) -> StepFn {
                if both { pick::<Product<Self, Tangents>>(level) } else { pick::<Product<Self, Linear>>(level) }
            }

            fn compare(level: InstructionSet, op: Compare, scalars: Scalars) -> StepFn {
                match op {
                    Compare::Lt => kernel!(level, scalars, u8, |x, y| u8::from(x < y)),
                    Compare::Le => kernel!(level, scalars, u8, |x, y| u8::from(x <= y)),
                    Compare::Gt => kernel!(level, scalars, u8, |x, y| u8::from(x > y)),
                    Compare::Ge => kernel!(level, scalars, u8, |x, y| u8::from(x >= y)),
                    Compare::Eq => kernel!(level, scalars, u8, |x, y| u8::from(x == y)),
                    Compare::Ne => kernel!(level, scalars, u8, |x, y| u8::from(x != y)),
                }
            }

            fn select(level: InstructionSet, scalars: Scalars) -> StepFn {
                match (scalars.first, scalars.second) {
                    (false, false) => pick::<Choose<Self, Along<Self>, Along<Self>>>(level),
                    (false, true) => pick::<Choose<Self, Along<Self>, One<Self>>>(level),
                    (true, false) => pick::<Choose<Self, One<Self>, Along<Self>>>(level),
                    (true, true) => pick::<Choose<Self, One<Self>, One<Self>>>(level),
                }
            }

            fn chain(level: InstructionSet, chain: Chain) -> StepFn {
                match chain {
                    Chain::ExpDifference => several!(level, |a, b| (a - b).exp::<I>()),
                    Chain::ExpProduct => several!(level, |a, b| (a * b).exp::<I>()),
                    Chain::ExpSquare => several!(level, |a, b| (a * a * b).exp::<I>()),
                    Chain::Gaussian => several!(level, |a| (-(a * a)).exp::<I>()),
                    Chain::ErfProduct => several!(level, |a, b| (a * b).erf::<I>()),
                    Chain::ErfcProduct => several!(level, |a, b| (a * b).erfc::<I>()),
                }
            }

            fn twin(level: InstructionSet, twin: Twin) -> StepFn {
                twin::of::<Self>(level, twin)
            }

            fn sum(level: InstructionSet, summand: Summand) -> StepFn {
                sum::of::<Self>(level, summand)
            }
        }
    )+ };
}
steps!(f32, f64);

/// Powers: products where at most two are needed, the general power otherwise, so that errors do not pile up.
trait Powers {
    fn power(level: InstructionSet, n: i32) -> StepFn;
}
impl<F: Float> Powers for F {
    fn power(level: InstructionSet, n: i32) -> StepFn {
        match n {
            0 => kernel!(level, |_v| T::ONE),
            1 => kernel!(level, |v| v),
            2 => kernel!(level, |v| v * v),
            3 => kernel!(level, |v| v * v * v),
            4 => kernel!(level, |v| {
                let square = v * v;
                square * square
            }),
            -1 => kernel!(level, |v| T::ONE / v),
            -2 => kernel!(level, |v| {
                let inverse = T::ONE / v;
                inverse * inverse
            }),
            _ => {
                struct Power<T>(PhantomData<T>);
                impl<T: Float> Kernel for Power<T> {
                    #[inline(always)]
                    unsafe fn run<I: Isa>(call: &Call) {
                        let (x, out) = (Many(call.arg::<T>(0)), call.out::<T>());
                        each!(call.n, out, |v: x| v.power::<I>(call.number))
                    }
                }
                pick::<Power<Self>>(level)
            }
        }
    }
}

/// The integer that belongs to a function of one argument: an exponent, an order, or else its place in the list of all.
pub fn number(op: Unary) -> i32 {
    match op {
        Unary::Powi(n) => n,
        Unary::Polygamma(order) => order as i32,
        _ => Unary::ALL.iter().position(|other| *other == op).unwrap_or_default() as i32,
    }
}
