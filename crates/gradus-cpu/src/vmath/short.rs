//! 16-bit floats: widened to `f32`, and `f32` rounded to them, to nearest with ties to even, by the same bits on every
//! instruction set.
//!
//! Invariant: operand and result hold `n` elements.

use std::marker::PhantomData;

use gradus_core::DType;
use gradus_core::dtype::{Bf16, F16};

use super::isa::{InstructionSet, Isa};
use super::loops::{Many, Source, WIDTH, keep_blocks, store};
use super::step::{Call, Kernel, StepFn, pick};

/// What is done with the elements.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    /// From 16 bits to `f32`, exactly.
    Widen,
    /// From `f32` to 16 bits.
    Shorten,
    /// From `f32` to the nearest number of 16 bits, as an `f32`.
    Round,
}

/// The loop of a change; `None` for types of other widths.
pub fn step(level: InstructionSet, change: Change, short: DType) -> Option<StepFn> {
    match short {
        DType::Bf16 => Some(of::<Bf16>(level, change)),
        DType::F16 => Some(of::<F16>(level, change)),
        DType::F32 | DType::F64 | DType::I32 | DType::I64 | DType::Bool | DType::U8 => None,
    }
}

fn of<S: Short>(level: InstructionSet, change: Change) -> StepFn {
    match change {
        Change::Widen => pick::<Each<S, Widen>>(level),
        Change::Shorten => pick::<Each<S, Shorten>>(level),
        Change::Round => pick::<Each<S, Round>>(level),
    }
}

/// A 16-bit float type, by blocks.
pub(crate) trait Short {
    /// The numbers of these bits.
    fn wide<I: Isa>(bits: [u16; WIDTH]) -> [f32; WIDTH];
    /// The bits of the nearest numbers.
    fn bits<I: Isa>(x: [f32; WIDTH]) -> [u16; WIDTH];
}

impl Short for Bf16 {
    #[inline(always)]
    fn wide<I: Isa>(bits: [u16; WIDTH]) -> [f32; WIDTH] {
        let mut out = [0.0; WIDTH];
        for j in 0..WIDTH {
            out[j] = Bf16(bits[j]).to_f32();
        }
        out
    }
    #[inline(always)]
    fn bits<I: Isa>(x: [f32; WIDTH]) -> [u16; WIDTH] {
        let mut out = [0; WIDTH];
        for j in 0..WIDTH {
            out[j] = Bf16::from_f32(x[j]).0;
        }
        out
    }
}

impl Short for F16 {
    #[inline(always)]
    fn wide<I: Isa>(bits: [u16; WIDTH]) -> [f32; WIDTH] {
        I::of_halves(bits)
    }
    #[inline(always)]
    fn bits<I: Isa>(x: [f32; WIDTH]) -> [u16; WIDTH] {
        I::to_halves(x)
    }
}

trait Changes {
    type From: Copy + Default;
    type To: Copy;
    fn block<S: Short, I: Isa>(x: [Self::From; WIDTH]) -> [Self::To; WIDTH];
}
struct Widen;
impl Changes for Widen {
    type From = u16;
    type To = f32;
    #[inline(always)]
    fn block<S: Short, I: Isa>(x: [u16; WIDTH]) -> [f32; WIDTH] {
        S::wide::<I>(x)
    }
}
struct Shorten;
impl Changes for Shorten {
    type From = f32;
    type To = u16;
    #[inline(always)]
    fn block<S: Short, I: Isa>(x: [f32; WIDTH]) -> [u16; WIDTH] {
        S::bits::<I>(x)
    }
}
struct Round;
impl Changes for Round {
    type From = f32;
    type To = f32;
    #[inline(always)]
    fn block<S: Short, I: Isa>(x: [f32; WIDTH]) -> [f32; WIDTH] {
        S::wide::<I>(S::bits::<I>(x))
    }
}

struct Each<S, C>(PhantomData<(S, C)>);
impl<S: Short, C: Changes> Kernel for Each<S, C> {
    #[inline(always)]
    unsafe fn run<I: Isa>(call: &Call) {
        let (x, out) = (Many(call.arg::<C::From>(0)), call.out::<C::To>());
        let whole = call.n / WIDTH * WIDTH;
        let mut start = 0;
        while start < call.n {
            let len = if start < whole { WIDTH } else { call.n - start };
            // SAFETY: `start + len <= n`, and the caller vouches for `n` elements.
            unsafe {
                if len == WIDTH {
                    store(out.add(start), &C::block::<S, I>(x.block(start, WIDTH)), WIDTH);
                } else {
                    store(out.add(start), &C::block::<S, I>(x.block(start, len)), len);
                }
            }
            keep_blocks();
            start += WIDTH;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Numbers of all sizes, ties and what is beside them, and none.
    fn singles() -> Vec<f32> {
        let all = (0..=u16::MAX).map(|bits| u32::from(bits) << 16);
        let around =
            |b: u32| [0, 1, 0x0fff, 0x1000, 0x1001, 0x7fff, 0x8000, 0x8001, 0xffff].map(|low| b | low);
        all.flat_map(around).map(f32::from_bits).collect()
    }

    #[test]
    fn every_instruction_set_gives_the_same_bits() {
        let singles = singles();
        let shorts: Vec<u16> = (0..=u16::MAX).collect();
        for short in [DType::Bf16, DType::F16] {
            let bits = |x: f32| if short == DType::F16 { F16::from_f32(x).0 } else { Bf16::from_f32(x).0 };
            let wide = |b: u16| if short == DType::F16 { F16(b).to_f32() } else { Bf16(b).to_f32() };
            for &level in InstructionSet::available() {
                let run = |change, from: *const u8, out: *mut u8, n| {
                    let call = Call::moving([from; super::super::step::OPERANDS], out, n);
                    // SAFETY: `n` elements of the types of the change.
                    unsafe { step(level, change, short).unwrap()(&call) }
                };
                let n = singles.len() - 3;
                let (mut narrow, mut near, mut back) =
                    (vec![0u16; n], vec![0f32; n], vec![0f32; shorts.len()]);
                run(Change::Shorten, singles.as_ptr().cast(), narrow.as_mut_ptr().cast(), n);
                run(Change::Round, singles.as_ptr().cast(), near.as_mut_ptr().cast(), n);
                run(Change::Widen, shorts.as_ptr().cast(), back.as_mut_ptr().cast(), shorts.len());
                for ((&x, &b), near) in singles.iter().zip(&narrow).zip(near) {
                    assert_eq!(
                        (b, near.to_bits()),
                        (bits(x), wide(bits(x)).to_bits()),
                        "{short} {level:?} {x:e}"
                    );
                }
                for (&b, x) in shorts.iter().zip(back) {
                    assert_eq!(x.to_bits(), wide(b).to_bits(), "{short} {level:?} {b:x}");
                }
            }
        }
    }
}
