//! Arithmetic in registers: one loop runs several operations on a block of elements, whose intermediate results stay in
//! registers.
//!
//! An operation works on one accumulator, a few registers wide, and on operands in memory; the [table](Code) has those of one
//! function and those of two that follow one another. Each result is rounded as by a step of its own. Masks are bytes in
//! memory, and 1 or 0 in registers.
//!
//! Invariant: a place holds `n` elements, or one block where it stays; an operation reads what an earlier one wrote, or what
//! none of them writes.

use smallvec::SmallVec;

use super::float::Float;
use super::isa::{Isa, dispatch};
use super::step::BLOCK;
use crate::vector::Vector;

/// Most elements that the accumulator holds: what a value takes that is needed inside of the program only.
pub const LENGTH: usize = 128;

/// An operand or a result in memory.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Place {
    /// Which of the pointers says where it begins.
    pub slot: u16,
    /// Bytes from one element to the next; 0 where one block stands for all.
    pub step: u8,
    /// Whether all elements are the same.
    pub same: bool,
}

/// One operation, on the accumulator and operands in memory.
#[derive(Clone, Copy, Debug)]
pub struct Op {
    /// What it computes.
    pub code: Code,
    /// Its operands.
    pub args: [Place; 2],
    /// Where the result is stored, if it is.
    pub out: Option<Place>,
    /// Whether the result is a mask.
    pub mask: bool,
}

/// Declares [`Code`] and what runs it, from a table: expressions of the accumulator `x`, operands `a` and `b` and a mask `m`, and
/// which of them are combined into one.
macro_rules! table {
    (
        one { $($one:ident |$x1:ident| $f1:expr;)* }
        two { $($two:ident |$x2:ident, $a2:ident| $f2:expr;)* }
        three { $($three:ident |$x3:ident, $a3:ident, $b3:ident| $f3:expr;)* }
        mask { $($mask:ident |$x4:ident, $m4:ident| $f4:expr;)* }
        masked { $($masked:ident |$x5:ident, $m5:ident, $b5:ident| $f5:expr;)* }
        begin { $($beginning:ident $begin:ident;)* }
        product { $($around:ident: $($factors:ident $product:ident),*;)* }
        after { $($single:ident: $($second:ident $after:ident),*;)* }
        then { $($inner:ident: $($outer:ident $both:ident),*;)* }
    ) => {
        /// What an operation computes.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        #[repr(u8)]
        pub enum Code {
            $($one,)* $($two,)* $($three,)* $($mask,)* $($masked,)*
            $($begin,)* $($($product,)*)* $($($after,)*)* $($($both,)*)*
        }

        impl Code {
            /// `self(a, b)`, of two operands in memory.
            pub fn begin(self) -> Option<Code> {
                match self {
                    $(Code::$beginning => Some(Code::$begin),)*
                    _ => None,
                }
            }
            /// `self(x, factors(a, b))`
            pub fn with_product(self, factors: Code) -> Option<Code> {
                match (self, factors) {
                    $($((Code::$around, Code::$factors) => Some(Code::$product),)*)*
                    _ => None,
                }
            }
            /// `outer(self(x, a), b)`, or `outer(self(x), a)`.
            pub fn then(self, outer: Code) -> Option<Code> {
                match (self, outer) {
                    $($((Code::$single, Code::$second) => Some(Code::$after),)*)*
                    $($((Code::$inner, Code::$outer) => Some(Code::$both),)*)*
                    _ => None,
                }
            }
        }

        /// An expression of the table.
        macro_rules! apply {
            $(($one, $v:expr) => {{ let $x1 = $v; $f1 }};)*
            $(($two, $v:expr, $w:expr) => {{ let ($x2, $a2) = ($v, $w); $f2 }};)*
        }

        /// All operations on `R` registers of elements from `at` on.
        ///
        /// # Safety
        /// As for [`fused_raw`].
        #[inline(always)]
        #[expect(clippy::almost_swapped, reason = "one of the operations gives back what it reads")]
        unsafe fn block<T: Float, I: Isa, const R: usize>(ops: &[Op], pointers: &[*mut u8], at: usize) {
            let width = T::Vector::<I>::LANES;
            // SAFETY: the caller's promise.
            unsafe {
                let mut acc = [T::Vector::<I>::zero(); 8];
                // Written out: a loop that the compiler did not unroll would keep the accumulator in memory.
                macro_rules! registers {
                    (|$k:ident| $body:block) => {{
                        macro_rules! one { ($n:literal) => {{ let $k: usize = $n; $body }}; }
                        one!(0);
                        if R > 1 {
                            one!(1);
                            one!(2);
                            one!(3);
                        }
                        if R > 4 {
                            one!(4);
                            one!(5);
                            one!(6);
                            one!(7);
                        }
                    }};
                }
                for op in ops {
                    let place = |place: Place| {
                        pointers.get_unchecked(usize::from(place.slot)).add(at * usize::from(place.step))
                    };
                    let [a, b] = op.args;
                    // A register of an operand: the same for all, or the next one.
                    macro_rules! operand {
                        ($from:ident, true, $k:ident) => { $from };
                        ($from:ident, false, $k:ident) => { T::Vector::<I>::load($from.add($k * width)) };
                    }
                    macro_rules! each {
                        (|$x:ident| $f:expr) => {
                            registers!(|k| {
                                let $x = acc[k];
                                acc[k] = $f;
                            })
                        };
                        (|$x:ident, $a:ident| $f:expr) => {{
                            let from = place(a).cast::<T>();
                            if R > 1 && a.same {
                                let from = T::Vector::<I>::load(from);
                                each!(@ true, from, |$x, $a| $f)
                            } else {
                                each!(@ false, from, |$x, $a| $f)
                            }
                        }};
                        (|$x:ident, $a:ident, $b:ident| $f:expr) => {{
                            let (p, q) = (place(a).cast::<T>(), place(b).cast::<T>());
                            match [a.same, b.same] {
                                [false, true] if R > 1 => {
                                    let q = T::Vector::<I>::load(q);
                                    each!(@ false, true, p, q, |$x, $a, $b| $f)
                                }
                                [true, false] if R > 1 => {
                                    let p = T::Vector::<I>::load(p);
                                    each!(@ true, false, p, q, |$x, $a, $b| $f)
                                }
                                [true, true] if R > 1 => {
                                    let (p, q) = (T::Vector::<I>::load(p), T::Vector::<I>::load(q));
                                    each!(@ true, true, p, q, |$x, $a, $b| $f)
                                }
                                _ => each!(@ false, false, p, q, |$x, $a, $b| $f),
                            }
                        }};
                        (@ $sa:tt, $p:ident, |$x:ident, $a:ident| $f:expr) => {
                            registers!(|k| {
                                let $x = acc[k];
                                let $a = operand!($p, $sa, k);
                                acc[k] = $f;
                            })
                        };
                        (@ $sa:tt, $sb:tt, $p:ident, $q:ident, |$x:ident, $a:ident, $b:ident| $f:expr) => {
                            registers!(|k| {
                                let $x = acc[k];
                                let $b = operand!($q, $sb, k);
                                let $a = operand!($p, $sa, k);
                                acc[k] = $f;
                            })
                        };
                    }
                    match op.code {
                        $(Code::$one => each!(|$x1| $f1),)*
                        $(Code::$two => each!(|$x2, $a2| $f2),)*
                        $(Code::$three => each!(|$x3, $a3, $b3| $f3),)*
                        $(Code::$begin => each!(|_x, a, b| apply!($beginning, a, b)),)*
                        $($(Code::$product => each!(|x, a, b| apply!($around, x, apply!($factors, a, b))),)*)*
                        $($(Code::$after => each!(|x, a| apply!($second, apply!($single, x), a)),)*)*
                        $($(Code::$both => each!(|x, a, b| apply!($outer, apply!($inner, x, a), b)),)*)*
                        $(Code::$mask => {
                            let from = place(a);
                            registers!(|k| {
                                let ($x4, $m4) = (acc[k], T::Vector::<I>::load_mask(from.add(k * width)));
                                acc[k] = $f4;
                            })
                        })*
                        $(Code::$masked => {
                            let (from, other) = (place(a), place(b).cast::<T>());
                            let (step, first) = if b.same { (0, other) } else { (width, other) };
                            registers!(|k| {
                                let ($x5, $m5) = (acc[k], T::Vector::<I>::load_mask(from.add(k * width)));
                                let $b5 = T::Vector::<I>::load(first.add(k * step));
                                acc[k] = $f5;
                            })
                        })*
                    }
                    if let Some(out) = op.out {
                        let to = place(out);
                        if op.mask {
                            registers!(|k| {
                                acc[k].store_mask(to.add(k * width));
                            })
                        } else {
                            registers!(|k| {
                                acc[k].store(to.cast::<T>().add(k * width));
                            })
                        }
                    }
                }
            }
        }
    };
}

table! {
    one {
        Neg |x| x.neg();
        Abs |x| x.abs();
        Sign |x| {
            let (zero, one) = (Vector::zero(), Vector::one());
            let signed = x.lt(zero).choose(Vector::neg(one), x);
            Vector::lt(zero, x).choose(one, signed)
        };
        Recip |x| Vector::div(Vector::one(), x);
        Sqrt |x| x.sqrt();
        Rsqrt |x| Vector::div(Vector::one(), x.sqrt());
        Square |x| x.mul(x);
        Cube |x| x.mul(x).mul(x);
        Fourth |x| {
            let square = x.mul(x);
            square.mul(square)
        };
        InverseSquare |x| {
            let inverse = Vector::div(Vector::one(), x);
            Vector::mul(inverse, inverse)
        };
        Not |x| Vector::sub(Vector::one(), x);
        Same |x| x;
    }
    two {
        Load |_x, a| a;
        BeginSquare |_x, a| a.mul(a);
        Add |x, a| x.add(a);
        Sub |x, a| x.sub(a);
        Less |x, a| a.sub(x);
        Mul |x, a| x.mul(a);
        Div |x, a| x.div(a);
        Over |x, a| a.div(x);
        Linear |x, a| Vector::linear(x, a);
        Linked |x, a| Vector::linear(a, x);
        Tangents |x, a| Vector::tangents(x, a);
        Max |x, a| x.max(a);
        MaxOf |x, a| a.max(x);
        Min |x, a| x.min(a);
        MinOf |x, a| a.min(x);
        Lt |x, a| x.lt(a);
        Le |x, a| x.le(a);
        Gt |x, a| a.lt(x);
        Ge |x, a| a.le(x);
        Eq |x, a| x.eq(a);
        Ne |x, a| Vector::sub(Vector::one(), x.eq(a));
    }
    three {
        Choose |x, a, b| x.choose(a, b);
    }
    mask {
        LoadMask |_x, m| m;
        And |x, m| x.mul(m);
        Or |x, m| x.max(m);
        Xor |x, m| Vector::sub(Vector::one(), x.eq(m));
    }
    masked {
        Where |x, m, b| m.choose(x, b);
        Unless |x, m, b| m.choose(b, x);
    }
    begin {
        Add BeginAdd;
        Sub BeginSub;
        Mul BeginMul;
        Div BeginDiv;
        Max BeginMax;
        Min BeginMin;
        Linear BeginLinear;
        Tangents BeginTangents;
    }
    product {
        Add: Mul AddProduct, Linear AddTangent;
        Sub: Mul SubProduct, Linear SubTangent;
        Less: Mul LessProduct, Linear LessTangent;
        Over: Mul OverProduct;
    }
    after {
        Sqrt: Add SqrtAdd;
    }
    then {
        Add: Add AddAdd, Sub AddSub, Less AddLess, Mul AddMul, Linear AddLinear, Linked AddLinked;
        Sub: Add SubAdd, Sub SubSub, Less SubLess, Mul SubMul, Linear SubLinear, Linked SubLinked;
        Less: Add LessAdd, Sub LessSub, Less LessLess, Mul LessMul, Linear LessLinear, Linked LessLinked;
        Mul: Add MulAdd, Sub MulSub, Less MulLess, Mul MulMul, Linear MulLinear, Linked MulLinked;
        Linear: Add LinearAdd, Sub LinearSub, Less LinearLess, Mul LinearMul, Linear LinearLinear, Linked LinearLinked;
        Linked: Add LinkedAdd, Sub LinkedSub, Less LinkedLess, Mul LinkedMul, Linear LinkedLinear, Linked LinkedLinked;
        Div: Add DivAdd, Sub DivSub, Less DivLess;
        Over: Add OverAdd, Sub OverSub, Less OverLess;
    }
}

dispatch! {
    /// Runs operations on `n` elements of every place that moves.
    ///
    /// # Safety
    /// The slots of places are among the pointers, which are valid for reads, those of results for writes, of `n` elements where
    /// a place moves, else of [`LENGTH`] (of [`BLOCK`], where all are the same), of `T` or of bytes as the operations use them.
    /// Places that move are apart from each other or the same.
    pub unsafe fn fused_raw<T: Float>(ops: &[Op], pointers: &[*mut u8], n: usize) = run in FusedKernel
}

#[inline(always)]
unsafe fn run<T: Float, I: Isa>(ops: &[Op], pointers: &[*mut u8], n: usize) {
    let width = T::Vector::<I>::LANES;
    let mut at = 0;
    // SAFETY: the caller's promise; blocks are whole.
    unsafe {
        // A quarter of the registers is the accumulator.
        while at + I::REGISTERS / 4 * width <= n {
            if I::REGISTERS == 32 {
                block::<T, I, 8>(ops, pointers, at);
            } else {
                block::<T, I, 4>(ops, pointers, at);
            }
            at += I::REGISTERS / 4 * width;
        }
        while at + width <= n {
            block::<T, I, 1>(ops, pointers, at);
            at += width;
        }
        if at < n {
            rest::<T, I>(ops, pointers, at, n - at);
        }
    }
}

/// The last elements, fewer than a register has, through blocks beside them.
///
/// # Safety
/// As for [`fused_raw`].
#[inline(always)]
unsafe fn rest<T: Float, I: Isa>(ops: &[Op], pointers: &[*mut u8], at: usize, count: usize) {
    let moving = |place: &Place| place.step != 0;
    let mut blocks: SmallVec<[(Place, [u64; BLOCK]); 16]> = SmallVec::new();
    for place in ops.iter().flat_map(|op| op.args.into_iter().chain(op.out)).filter(moving) {
        if blocks.iter().all(|(known, _)| known.slot != place.slot) {
            let mut block = [0; BLOCK];
            let (bytes, step) = (block.as_mut_ptr().cast::<u8>(), usize::from(place.step));
            // SAFETY: the elements that are left; a block holds more of any width.
            unsafe {
                std::ptr::copy_nonoverlapping(
                    pointers[usize::from(place.slot)].add(at * step),
                    bytes,
                    count * step,
                );
            }
            blocks.push((place, block));
        }
    }
    let mut beside: SmallVec<[*mut u8; 64]> = SmallVec::from_slice(pointers);
    for (place, block) in &mut blocks {
        beside[usize::from(place.slot)] = block.as_mut_ptr().cast();
    }
    // SAFETY: the caller's promise; blocks stand for what moves.
    unsafe {
        block::<T, I, 1>(ops, &beside, 0);
        for out in ops.iter().filter_map(|op| op.out).filter(moving) {
            let (slot, step) = (usize::from(out.slot), usize::from(out.step));
            std::ptr::copy_nonoverlapping(beside[slot], pointers[slot].add(at * step), count * step);
        }
    }
}
