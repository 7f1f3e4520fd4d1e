//! Programs on a few elements: every value is one block of [`FEW`] or [`LANES`] elements, and one loop with one branch a
//! step runs the whole program, so that a step costs a few nanoseconds.
//!
//! A step is the same arithmetic as the loops over slices; lanes beyond the program's elements hold copies of others,
//! and take the same way through it. What limits a chain of steps is not arithmetic but the time until a result has gone
//! through memory to the step that reads it: arithmetic steps come in pairs, functions with their derivatives.
//!
//! Invariant: operands and results of a step are blocks inside the memory of the program; unused operands name a
//! block too.

use gradus_num::{Binary, Unary};

use super::binary::Compare;
use super::float::Float;
use super::isa::{Isa, dispatch};
use super::step::{Linear, Simple, Tangents, arithmetic_block};
use super::twin::Twin;

/// Most elements of a block.
pub const LANES: usize = 16;
/// Elements of a small block.
pub const FEW: usize = 8;

/// How the lanes of a block are combined to one value in all of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fold {
    /// The sum.
    Sum,
    /// The product.
    Prod,
    /// The largest, NaN if there is one.
    Max,
    /// The smallest, NaN if there is one.
    Min,
}

/// One step: what it computes, and where its operands and its result lie in memory, in bytes.
#[derive(Clone, Copy, Debug)]
pub struct Instruction {
    code: Code,
    /// Whether the first operand is what the step before computed.
    chained: bool,
    /// An integer that belongs to the operation: an exponent, a number of lanes.
    number: i32,
    /// Operands.
    pub args: [u32; 3],
    /// Result.
    pub out: u32,
    /// Second result, of steps that have one.
    pub second: u32,
}

macro_rules! codes {
    ($($name:ident)*) => {
        /// All operations, without payload: one branch finds the one to run.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        #[repr(u8)]
        enum Code { $($name),* }
    };
}
codes! {
    Neg Abs Sign Floor Ceil Round Recip Powi One Square Cube Fourth InverseSquare Sqrt Rsqrt Cbrt Exp Exp2 Expm1 Log Log2 Log1p Sin Cos Tan Asin Acos
    Atan Sinh Cosh Tanh Asinh Acosh Atanh Sech2 Sigmoid Softplus Erf Erfc
    Add Sub Mul Div Rem Pow Atan2 Hypot Max Min
    Linear Tangents Lt Le Gt Ge Eq Ne Select And Or Xor Not Copy
    Sum Prod Largest Smallest
    SinCos TanhSech2 SigmoidSech2 SoftplusSigmoid
    AddAdd AddSub AddLess AddMul AddLinear AddLinked AddTangents SubAdd SubSub SubLess SubMul SubLinear SubLinked SubTangents
    MulAdd MulSub MulLess MulMul MulLinear MulLinked MulTangents
    LinearAdd LinearSub LinearLess LinearMul LinearLinear LinearLinked LinearTangents
    TangentsAdd TangentsSub TangentsLess TangentsMul TangentsLinear TangentsLinked TangentsTangents
}

/// Notes which steps read what the step before them has just computed: it need not go through memory.
pub fn chain(steps: &mut [Instruction]) {
    for i in 1..steps.len() {
        let before = steps[i - 1];
        steps[i].chained = before.gives_floats() && steps[i].args[0] == before.out;
    }
}

impl Instruction {
    fn gives_floats(&self) -> bool {
        use Code::*;
        !matches!(self.code, Lt | Le | Gt | Ge | Eq | Ne | And | Or | Xor | Not)
    }

    fn new(code: Code) -> Self {
        Instruction { code, chained: false, number: 0, args: [0; 3], out: 0, second: 0 }
    }

    /// The step of a function of one argument; `None` for those that are computed element by element anyway.
    pub fn unary(op: Unary) -> Option<Self> {
        let code = match op {
            Unary::Neg => Code::Neg,
            Unary::Abs => Code::Abs,
            Unary::Sign => Code::Sign,
            Unary::Floor => Code::Floor,
            Unary::Ceil => Code::Ceil,
            Unary::Round => Code::Round,
            Unary::Recip | Unary::Powi(-1) => Code::Recip,
            Unary::Powi(1) => Code::Copy,
            Unary::Powi(2) => Code::Square,
            Unary::Powi(3) => Code::Cube,
            Unary::Powi(0) => Code::One,
            Unary::Powi(4) => Code::Fourth,
            Unary::Powi(-2) => Code::InverseSquare,
            Unary::Powi(n) => return Some(Instruction { number: n, ..Instruction::new(Code::Powi) }),
            Unary::Sqrt => Code::Sqrt,
            Unary::Rsqrt => Code::Rsqrt,
            Unary::Cbrt => Code::Cbrt,
            Unary::Exp => Code::Exp,
            Unary::Exp2 => Code::Exp2,
            Unary::Expm1 => Code::Expm1,
            Unary::Log => Code::Log,
            Unary::Log2 => Code::Log2,
            Unary::Log1p => Code::Log1p,
            Unary::Sin => Code::Sin,
            Unary::Cos => Code::Cos,
            Unary::Tan => Code::Tan,
            Unary::Asin => Code::Asin,
            Unary::Acos => Code::Acos,
            Unary::Atan => Code::Atan,
            Unary::Sinh => Code::Sinh,
            Unary::Cosh => Code::Cosh,
            Unary::Tanh => Code::Tanh,
            Unary::Asinh => Code::Asinh,
            Unary::Acosh => Code::Acosh,
            Unary::Atanh => Code::Atanh,
            Unary::Sech2 => Code::Sech2,
            Unary::Sigmoid => Code::Sigmoid,
            Unary::Softplus => Code::Softplus,
            Unary::Erf => Code::Erf,
            Unary::Erfc => Code::Erfc,
            // One without a loop of its own.
            _ => return None,
        };
        Some(Instruction::new(code))
    }

    /// The step of a function of two arguments.
    pub fn binary(op: Binary) -> Self {
        Instruction::new(match op {
            Binary::Add => Code::Add,
            Binary::Sub => Code::Sub,
            Binary::Mul => Code::Mul,
            Binary::Div => Code::Div,
            Binary::Rem => Code::Rem,
            Binary::Pow => Code::Pow,
            Binary::Atan2 => Code::Atan2,
            Binary::Hypot => Code::Hypot,
            Binary::Max => Code::Max,
            Binary::Min => Code::Min,
        })
    }

    /// The step of two functions of one argument.
    pub fn twin(twin: Twin) -> Self {
        Instruction::new(match twin {
            Twin::SinCos => Code::SinCos,
            Twin::TanhSech2 => Code::TanhSech2,
            Twin::SigmoidSech2 => Code::SigmoidSech2,
            Twin::SoftplusSigmoid => Code::SoftplusSigmoid,
        })
    }

    /// The step `second(first(a, b), c)`, for pairs that have one.
    pub fn pair(first: Simple, second: Simple) -> Option<Self> {
        use Simple::*;
        Some(Instruction::new(match (first, second) {
            (Add, Add) => Code::AddAdd,
            (Add, Sub) => Code::AddSub,
            (Add, Less) => Code::AddLess,
            (Add, Mul) => Code::AddMul,
            (Add, Linear) => Code::AddLinear,
            (Add, Linked) => Code::AddLinked,
            (Add, Tangents) => Code::AddTangents,
            (Sub, Add) => Code::SubAdd,
            (Sub, Sub) => Code::SubSub,
            (Sub, Less) => Code::SubLess,
            (Sub, Mul) => Code::SubMul,
            (Sub, Linear) => Code::SubLinear,
            (Sub, Linked) => Code::SubLinked,
            (Sub, Tangents) => Code::SubTangents,
            (Mul, Add) => Code::MulAdd,
            (Mul, Sub) => Code::MulSub,
            (Mul, Less) => Code::MulLess,
            (Mul, Mul) => Code::MulMul,
            (Mul, Linear) => Code::MulLinear,
            (Mul, Linked) => Code::MulLinked,
            (Mul, Tangents) => Code::MulTangents,
            (Linear, Add) => Code::LinearAdd,
            (Linear, Sub) => Code::LinearSub,
            (Linear, Less) => Code::LinearLess,
            (Linear, Mul) => Code::LinearMul,
            (Linear, Linear) => Code::LinearLinear,
            (Linear, Linked) => Code::LinearLinked,
            (Linear, Tangents) => Code::LinearTangents,
            (Tangents, Add) => Code::TangentsAdd,
            (Tangents, Sub) => Code::TangentsSub,
            (Tangents, Less) => Code::TangentsLess,
            (Tangents, Mul) => Code::TangentsMul,
            (Tangents, Linear) => Code::TangentsLinear,
            (Tangents, Linked) => Code::TangentsLinked,
            (Tangents, Tangents) => Code::TangentsTangents,
            (_, Div | Over) | (Less | Div | Over | Linked, _) => return None,
        }))
    }

    /// The step of a comparison, which gives a mask.
    pub fn compare(op: Compare) -> Self {
        Instruction::new(match op {
            Compare::Lt => Code::Lt,
            Compare::Le => Code::Le,
            Compare::Gt => Code::Gt,
            Compare::Ge => Code::Ge,
            Compare::Eq => Code::Eq,
            Compare::Ne => Code::Ne,
        })
    }

    /// The product of a residual and a tangent, or of two tangents.
    pub fn linear_mul(both: bool) -> Self {
        Instruction::new(if both { Code::Tangents } else { Code::Linear })
    }
    /// The first of two values where a mask is set, else the second.
    pub fn select() -> Self {
        Instruction::new(Code::Select)
    }
    /// Both of two masks.
    pub fn and() -> Self {
        Instruction::new(Code::And)
    }
    /// Either of two masks.
    pub fn or() -> Self {
        Instruction::new(Code::Or)
    }
    /// One of two masks and not the other.
    pub fn xor() -> Self {
        Instruction::new(Code::Xor)
    }
    /// The opposite of a mask.
    pub fn not() -> Self {
        Instruction::new(Code::Not)
    }
    /// The same value, or the same mask.
    pub fn copy() -> Self {
        Instruction::new(Code::Copy)
    }
    /// The first `n` lanes combined, in all lanes.
    pub fn fold(kind: Fold, n: usize) -> Self {
        let code = match kind {
            Fold::Sum => Code::Sum,
            Fold::Prod => Code::Prod,
            Fold::Max => Code::Largest,
            Fold::Min => Code::Smallest,
        };
        Instruction { number: n as i32, ..Instruction::new(code) }
    }
}

dispatch! {
    /// Runs `count` steps on blocks of [`LANES`] elements in `memory`.
    ///
    /// # Safety
    /// `steps` is valid for `count` of them; all their places are multiples of a block's bytes and hold blocks inside
    /// `memory`, which is aligned to 64 bytes, and every operand has been written before it is read.
    pub unsafe fn small_raw<T: Float>(steps: *const Instruction, count: usize, memory: *mut u8) = run_small in SmallKernel
}

dispatch! {
    /// The same on blocks of [`FEW`] elements.
    ///
    /// # Safety
    /// As for [`small_raw`].
    pub unsafe fn few_raw<T: Float>(steps: *const Instruction, count: usize, memory: *mut u8) = run_few in FewKernel
}

#[inline(always)]
unsafe fn run_small<T: Float, I: Isa>(steps: *const Instruction, count: usize, memory: *mut u8) {
    // SAFETY: the caller's promise.
    unsafe { run::<T, I, LANES>(steps, count, memory) }
}

#[inline(always)]
unsafe fn run_few<T: Float, I: Isa>(steps: *const Instruction, count: usize, memory: *mut u8) {
    // SAFETY: the caller's promise.
    unsafe { run::<T, I, FEW>(steps, count, memory) }
}

#[inline(always)]
fn lanes<T: Float, const L: usize>(a: [T; L], b: [T; L], f: impl Fn(T, T) -> T) -> [T; L] {
    let mut out = [T::ZERO; L];
    for j in 0..L {
        out[j] = f(a[j], b[j]);
    }
    out
}

#[inline(always)]
unsafe fn run<T: Float, I: Isa, const L: usize>(steps: *const Instruction, count: usize, memory: *mut u8) {
    let mut last = [T::ZERO; L];
    // SAFETY: the caller's promise.
    for step in unsafe { std::slice::from_raw_parts(steps, count) } {
        let before = last;
        // SAFETY: the places of a step hold blocks.
        let read = |i: usize| unsafe {
            if i == 0 && step.chained { before } else { *memory.add(step.args[i] as usize).cast::<[T; L]>() }
        };
        // SAFETY: as above.
        let mask = |i: usize| unsafe { *memory.add(step.args[i] as usize).cast::<[u8; L]>() };
        let mut write = |block: [T; L]| {
            last = block;
            // SAFETY: as above.
            unsafe { *memory.add(step.out as usize).cast::<[T; L]>() = block }
        };
        let write_second = |block: [T; L]| {
            // SAFETY: as above.
            unsafe { *memory.add(step.second as usize).cast::<[T; L]>() = block }
        };
        let plus = |a: [T; L], b: [T; L]| lanes(a, b, |x, y| x + y);
        let minus = |a: [T; L], b: [T; L]| lanes(a, b, |x, y| x - y);
        let less = |a: [T; L], b: [T; L]| lanes(a, b, |x, y| y - x);
        let times = |a: [T; L], b: [T; L]| lanes(a, b, |x, y| x * y);
        let linear = |a: [T; L], b: [T; L]| arithmetic_block::<T, I, Linear, L>(a, b);
        let linked = |a: [T; L], b: [T; L]| arithmetic_block::<T, I, Linear, L>(b, a);
        let tangents = |a: [T; L], b: [T; L]| arithmetic_block::<T, I, Tangents, L>(a, b);
        let write_mask = |block: [u8; L]| {
            // SAFETY: as above.
            unsafe { *memory.add(step.out as usize).cast::<[u8; L]>() = block }
        };
        // Functions are computed on sixteen lanes whatever the block: shorter loops would be unrolled before they could
        // be vectorised. What nobody reads of them is not computed.
        let wide = |x: [T; L]| {
            let mut lanes = [T::ZERO; LANES];
            for j in 0..LANES {
                lanes[j] = x[j % L];
            }
            lanes
        };
        let narrow = |lanes: [T; LANES]| {
            let mut x = [T::ZERO; L];
            x.copy_from_slice(&lanes[..L]);
            x
        };
        macro_rules! one {
            (|$v:ident| $body:expr $(, far $again:ident)?) => {{
                let x = read(0);
                let lanes = wide(x);
                let mut block = [T::ZERO; LANES];
                for j in 0..LANES {
                    let $v = lanes[j];
                    block[j] = $body;
                }
                #[allow(unused_mut, reason = "some functions have far arguments")]
                let mut block = narrow(block);
                $(
                    if x.iter().fold(false, |any, v| any | v.far()) {
                        for j in 0..L {
                            if x[j].far() {
                                block[j] = x[j].$again();
                            }
                        }
                    }
                )?
                write(block);
            }};
        }
        macro_rules! two {
            (|$x:ident, $y:ident| $body:expr) => {{
                let (a, b) = (read(0), read(1));
                let mut block = [T::ZERO; L];
                for j in 0..L {
                    let ($x, $y) = (a[j], b[j]);
                    block[j] = $body;
                }
                write(block);
            }};
        }
        macro_rules! both {
            (|$v:ident| $body:expr $(, far $again:ident $other:ident)?) => {{
                let x = read(0);
                let (mut first, mut second) = ([T::ZERO; L], [T::ZERO; L]);
                for j in 0..L {
                    let $v = x[j];
                    (first[j], second[j]) = $body;
                }
                $(
                    if x.iter().fold(false, |any, v| any | v.far()) {
                        for j in 0..L {
                            if x[j].far() {
                                (first[j], second[j]) = (x[j].$again(), x[j].$other());
                            }
                        }
                    }
                )?
                write(first);
                write_second(second);
            }};
        }
        macro_rules! pair {
            ($first:expr, $second:expr) => {
                write($second($first(read(0), read(1)), read(2)))
            };
        }
        macro_rules! test {
            (|$x:ident, $y:ident| $body:expr) => {{
                let (a, b) = (read(0), read(1));
                let mut block = [0u8; L];
                for j in 0..L {
                    let ($x, $y) = (a[j], b[j]);
                    block[j] = u8::from($body);
                }
                write_mask(block);
            }};
        }
        macro_rules! masks {
            (|$x:ident, $y:ident| $body:expr) => {{
                let (a, b) = (mask(0), mask(1));
                let mut block = [0u8; L];
                for j in 0..L {
                    let ($x, $y) = (a[j], b[j]);
                    block[j] = $body;
                }
                write_mask(block);
            }};
        }
        macro_rules! fold {
            ($start:expr, |$x:ident, $y:ident| $body:expr) => {{
                let x = read(0);
                let f = |$x: T, $y: T| $body;
                let mut lanes = [$start; L];
                for j in 0..L.min(step.number as usize) {
                    lanes[j] = f($start, x[j]);
                }
                let mut width = L / 2;
                while width > 0 {
                    for j in 0..width {
                        lanes[j] = f(lanes[j], lanes[j + width]);
                    }
                    width /= 2;
                }
                write([f($start, lanes[0]); L]);
            }};
        }
        match step.code {
            Code::Neg => one!(|v| -v),
            Code::Abs => one!(|v| v.abs()),
            Code::Sign => one!(|v| {
                let signed = if v < T::ZERO { -T::ONE } else { v };
                if v > T::ZERO { T::ONE } else { signed }
            }),
            Code::Floor => one!(|v| v.floor()),
            Code::Ceil => one!(|v| v.ceil()),
            Code::Round => one!(|v| v.round()),
            Code::Recip => one!(|v| T::ONE / v),
            Code::Powi => one!(|v| v.power::<I>(step.number)),
            Code::Square => one!(|v| v * v),
            Code::Cube => one!(|v| v * v * v),
            Code::One => write([T::ONE; L]),
            Code::Fourth => one!(|v| {
                let square = v * v;
                square * square
            }),
            Code::InverseSquare => one!(|v| {
                let inverse = T::ONE / v;
                inverse * inverse
            }),
            Code::Sqrt => one!(|v| v.sqrt()),
            Code::Rsqrt => one!(|v| T::ONE / v.sqrt()),
            Code::Cbrt => one!(|v| v.cbrt::<I>()),
            Code::Exp => one!(|v| v.exp::<I>()),
            Code::Exp2 => one!(|v| v.exp2::<I>()),
            Code::Expm1 => one!(|v| v.expm1::<I>()),
            Code::Log => one!(|v| v.log::<I>()),
            Code::Log2 => one!(|v| v.log2::<I>()),
            Code::Log1p => one!(|v| v.log1p::<I>()),
            Code::Sin => one!(|v| v.sin::<I>(), far far_sin),
            Code::Cos => one!(|v| v.cos::<I>(), far far_cos),
            Code::Tan => one!(|v| v.tan::<I>(), far far_tan),
            Code::Asin => one!(|v| v.asin::<I>()),
            Code::Acos => one!(|v| v.acos::<I>()),
            Code::Atan => one!(|v| v.atan::<I>()),
            Code::Sinh => one!(|v| v.sinh::<I>()),
            Code::Cosh => one!(|v| v.cosh::<I>()),
            Code::Tanh => one!(|v| v.tanh::<I>()),
            Code::Asinh => one!(|v| v.asinh::<I>()),
            Code::Acosh => one!(|v| v.acosh::<I>()),
            Code::Atanh => one!(|v| v.atanh::<I>()),
            Code::Sech2 => one!(|v| v.sech2::<I>()),
            Code::Sigmoid => one!(|v| v.sigmoid::<I>()),
            Code::Softplus => one!(|v| v.softplus::<I>()),
            Code::Erf => one!(|v| v.erf::<I>()),
            Code::Erfc => one!(|v| v.erfc::<I>()),
            Code::Add => two!(|x, y| x + y),
            Code::Sub => two!(|x, y| x - y),
            Code::Mul => two!(|x, y| x * y),
            Code::Div => two!(|x, y| x / y),
            Code::Rem => two!(|x, y| x.rem(y)),
            Code::Pow => two!(|x, y| x.pow::<I>(y)),
            Code::Atan2 => two!(|x, y| x.atan2::<I>(y)),
            Code::Hypot => two!(|x, y| x.hypot::<I>(y)),
            Code::Max => two!(|x, y| if (x > y) | x.is_nan() { x } else { y }),
            Code::Min => two!(|x, y| if (x < y) | x.is_nan() { x } else { y }),
            Code::Linear => write(linear(read(0), read(1))),
            Code::Tangents => write(tangents(read(0), read(1))),
            Code::Lt => test!(|x, y| x < y),
            Code::Le => test!(|x, y| x <= y),
            Code::Gt => test!(|x, y| x > y),
            Code::Ge => test!(|x, y| x >= y),
            Code::Eq => test!(|x, y| x == y),
            Code::Ne => test!(|x, y| x != y),
            Code::Select => {
                let (m, a, b) = (mask(0), read(1), read(2));
                let mut block = [T::ZERO; L];
                for j in 0..L {
                    block[j] = if m[j] != 0 { a[j] } else { b[j] };
                }
                write(block);
            }
            Code::And => masks!(|x, y| x & y),
            Code::Or => masks!(|x, y| x | y),
            Code::Xor => masks!(|x, y| x ^ y),
            Code::Not => {
                let mut block = mask(0);
                for j in 0..L {
                    block[j] ^= 1;
                }
                write_mask(block);
            }
            Code::Copy => write(read(0)),
            Code::Sum => fold!(T::DEAD, |x, y| x + y),
            Code::Prod => fold!(T::ONE, |x, y| x * y),
            Code::Largest => {
                fold!(T::from_f64(f64::NEG_INFINITY), |x, y| if (x > y) | x.is_nan() { x } else { y })
            }
            Code::Smallest => {
                fold!(T::from_f64(f64::INFINITY), |x, y| if (x < y) | x.is_nan() { x } else { y })
            }
            Code::SinCos => both!(|v| (v.sin::<I>(), v.cos::<I>()), far far_sin far_cos),
            Code::TanhSech2 => both!(|v| (v.tanh::<I>(), v.sech2::<I>())),
            Code::SigmoidSech2 => both!(|v| v.sigmoid_sech2::<I>()),
            Code::SoftplusSigmoid => both!(|v| (v.softplus::<I>(), v.sigmoid::<I>())),
            Code::AddAdd => pair!(plus, plus),
            Code::AddSub => pair!(plus, minus),
            Code::AddLess => pair!(plus, less),
            Code::AddMul => pair!(plus, times),
            Code::AddLinear => pair!(plus, linear),
            Code::AddLinked => pair!(plus, linked),
            Code::AddTangents => pair!(plus, tangents),
            Code::SubAdd => pair!(minus, plus),
            Code::SubSub => pair!(minus, minus),
            Code::SubLess => pair!(minus, less),
            Code::SubMul => pair!(minus, times),
            Code::SubLinear => pair!(minus, linear),
            Code::SubLinked => pair!(minus, linked),
            Code::SubTangents => pair!(minus, tangents),
            Code::MulAdd => pair!(times, plus),
            Code::MulSub => pair!(times, minus),
            Code::MulLess => pair!(times, less),
            Code::MulMul => pair!(times, times),
            Code::MulLinear => pair!(times, linear),
            Code::MulLinked => pair!(times, linked),
            Code::MulTangents => pair!(times, tangents),
            Code::LinearAdd => pair!(linear, plus),
            Code::LinearSub => pair!(linear, minus),
            Code::LinearLess => pair!(linear, less),
            Code::LinearMul => pair!(linear, times),
            Code::LinearLinear => pair!(linear, linear),
            Code::LinearLinked => pair!(linear, linked),
            Code::LinearTangents => pair!(linear, tangents),
            Code::TangentsAdd => pair!(tangents, plus),
            Code::TangentsSub => pair!(tangents, minus),
            Code::TangentsLess => pair!(tangents, less),
            Code::TangentsMul => pair!(tangents, times),
            Code::TangentsLinear => pair!(tangents, linear),
            Code::TangentsLinked => pair!(tangents, linked),
            Code::TangentsTangents => pair!(tangents, tangents),
        }
    }
}
