//! Instruction sets, and the few primitives that the functions are written in.
//!
//! A function is ordinary code generic over an [`Isa`]; inlined into a loop inside a `#[target_feature]` function it
//! is vectorised for that instruction set. [`Isa::FMA`] says whether a fused multiply-add is one instruction there:
//! where it is not, `mul_add` would be a call into the C library for every element, so product and sum are rounded
//! apart instead. Every element goes through the same arithmetic wherever it stands in a slice.
//!
//! Invariant: a kernel of an instruction set is called only where the machine has it.

use std::ops::{Add, Div, Mul, Neg, Sub};
use std::sync::OnceLock;

use thiserror::Error;

use gradus_core::dtype::F16;

use super::loops::WIDTH;
use crate::vector::{Doubles, Singles, Vector};

/// An instruction set, as far as the functions care.
pub trait Isa {
    /// Whether a fused multiply-add is one instruction.
    const FMA: bool;
    /// How many registers it has.
    const REGISTERS: usize;
    /// Its registers of `f32`.
    type Singles: Vector<Element = f32>;
    /// Its registers of `f64`.
    type Doubles: Vector<Element = f64>;
    /// The numbers of these half-precision bits.
    #[inline(always)]
    fn of_halves(bits: [u16; WIDTH]) -> [f32; WIDTH] {
        let mut out = [0.0; WIDTH];
        for j in 0..WIDTH {
            out[j] = F16(bits[j]).to_f32();
        }
        out
    }
    /// The half-precision bits of the nearest numbers.
    #[inline(always)]
    fn to_halves(x: [f32; WIDTH]) -> [u16; WIDTH] {
        let mut out = [0; WIDTH];
        for j in 0..WIDTH {
            out[j] = F16::from_f32(x[j]).0;
        }
        out
    }
}

/// What every processor of the architecture has, where that has no fused multiply-add.
pub struct Baseline;
impl Isa for Baseline {
    const FMA: bool = cfg!(target_arch = "aarch64");
    const REGISTERS: usize = if cfg!(target_arch = "aarch64") { 32 } else { 16 };
    type Singles = Singles;
    type Doubles = Doubles;
}

/// x86-64 with 256-bit vectors and fused multiply-add.
#[cfg(target_arch = "x86_64")]
pub struct Avx2;
#[cfg(target_arch = "x86_64")]
impl Isa for Avx2 {
    const FMA: bool = true;
    const REGISTERS: usize = 16;
    type Singles = std::arch::x86_64::__m256;
    type Doubles = std::arch::x86_64::__m256d;
    #[inline(always)]
    fn of_halves(bits: [u16; WIDTH]) -> [f32; WIDTH] {
        use std::arch::x86_64::{_mm_loadu_si128, _mm256_cvtph_ps, _mm256_storeu_ps};
        let mut out = [0.0; WIDTH];
        for k in (0..WIDTH).step_by(8) {
            // SAFETY: eight elements of each from `k` on; the level says that the machine has F16C.
            unsafe {
                let half = _mm_loadu_si128(bits.as_ptr().add(k).cast());
                _mm256_storeu_ps(out.as_mut_ptr().add(k), _mm256_cvtph_ps(half));
            }
        }
        out
    }
    #[inline(always)]
    fn to_halves(x: [f32; WIDTH]) -> [u16; WIDTH] {
        use std::arch::x86_64::{
            _MM_FROUND_TO_NEAREST_INT, _mm_storeu_si128, _mm256_cvtps_ph, _mm256_loadu_ps,
        };
        let mut out = [0; WIDTH];
        for k in (0..WIDTH).step_by(8) {
            // SAFETY: eight elements of each from `k` on; the level says that the machine has F16C.
            unsafe {
                let half = _mm256_cvtps_ph::<_MM_FROUND_TO_NEAREST_INT>(_mm256_loadu_ps(x.as_ptr().add(k)));
                _mm_storeu_si128(out.as_mut_ptr().add(k).cast(), half);
            }
        }
        out
    }
}

/// x86-64 with 512-bit vectors.
#[cfg(target_arch = "x86_64")]
pub struct Avx512;
#[cfg(target_arch = "x86_64")]
impl Isa for Avx512 {
    const FMA: bool = true;
    const REGISTERS: usize = 32;
    type Singles = std::arch::x86_64::__m512;
    type Doubles = std::arch::x86_64::__m512d;
    #[inline(always)]
    fn of_halves(bits: [u16; WIDTH]) -> [f32; WIDTH] {
        use std::arch::x86_64::{_mm256_loadu_si256, _mm512_cvtph_ps, _mm512_storeu_ps};
        let mut out = [0.0; WIDTH];
        // SAFETY: sixteen elements of each; the level says that the machine has AVX-512.
        unsafe {
            _mm512_storeu_ps(out.as_mut_ptr(), _mm512_cvtph_ps(_mm256_loadu_si256(bits.as_ptr().cast())));
        }
        out
    }
    #[inline(always)]
    fn to_halves(x: [f32; WIDTH]) -> [u16; WIDTH] {
        use std::arch::x86_64::{
            _MM_FROUND_TO_NEAREST_INT, _mm256_storeu_si256, _mm512_cvtps_ph, _mm512_loadu_ps,
        };
        let mut out = [0; WIDTH];
        // SAFETY: sixteen elements of each; the level says that the machine has AVX-512.
        unsafe {
            let half = _mm512_cvtps_ph::<_MM_FROUND_TO_NEAREST_INT>(_mm512_loadu_ps(x.as_ptr()));
            _mm256_storeu_si256(out.as_mut_ptr().cast(), half);
        }
        out
    }
}

/// The instruction sets that kernels are compiled for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum InstructionSet {
    /// The architecture's baseline: SSE2 on x86-64, NEON on aarch64.
    Baseline,
    /// AVX2, FMA and F16C.
    Avx2,
    /// AVX-512 F, BW, DQ and VL.
    Avx512,
}

impl InstructionSet {
    /// The best level of this machine, or the one named by `GRADUS_ISA`; read once. A result's bits may differ between
    /// levels. A value that names no level of this machine is reported once on standard error and ignored; use
    /// [`from_env`](InstructionSet::from_env) to treat it as an error.
    pub fn current() -> InstructionSet {
        static LEVEL: OnceLock<InstructionSet> = OnceLock::new();
        *LEVEL.get_or_init(|| {
            let asked = InstructionSet::from_env().unwrap_or_else(|error| {
                eprintln!("gradus: {error}; using the best");
                None
            });
            asked.unwrap_or_else(InstructionSet::best)
        })
    }

    fn best() -> InstructionSet {
        InstructionSet::available().last().copied().unwrap_or(InstructionSet::Baseline)
    }

    /// The level that `GRADUS_ISA` asks for, if it is set: `baseline`, `avx2` or `avx512`.
    ///
    /// # Errors
    /// When the variable names no level, or one that this machine does not have.
    pub fn from_env() -> Result<Option<InstructionSet>, InstructionSetError> {
        match std::env::var_os("GRADUS_ISA") {
            None => Ok(None),
            Some(value) => InstructionSet::parse(&value.to_string_lossy()).map(Some),
        }
    }

    /// The level of a name, if this machine has it.
    ///
    /// # Errors
    /// When it is none of [`available`](InstructionSet::available).
    ///
    /// ```
    /// use gradus_cpu::vmath::InstructionSet;
    /// assert_eq!(InstructionSet::parse("baseline"), Ok(InstructionSet::Baseline));
    /// let error = InstructionSet::parse("sse9").unwrap_err().to_string();
    /// assert!(error.contains("`sse9`") && error.contains("baseline"));
    /// ```
    pub fn parse(name: &str) -> Result<InstructionSet, InstructionSetError> {
        let found = InstructionSet::available().iter().find(|level| level.name() == name.trim());
        found.copied().ok_or_else(|| InstructionSetError { value: name.to_owned() })
    }

    /// The name of the level.
    pub fn name(self) -> &'static str {
        match self {
            InstructionSet::Baseline => "baseline",
            InstructionSet::Avx2 => "avx2",
            InstructionSet::Avx512 => "avx512",
        }
    }

    /// The levels of this machine, worst first.
    pub fn available() -> &'static [InstructionSet] {
        #[cfg(target_arch = "x86_64")]
        {
            let avx2 = is_x86_feature_detected!("avx2")
                && is_x86_feature_detected!("fma")
                && is_x86_feature_detected!("f16c");
            let avx512 = is_x86_feature_detected!("avx512f")
                && is_x86_feature_detected!("avx512bw")
                && is_x86_feature_detected!("avx512dq")
                && is_x86_feature_detected!("avx512vl");
            match (avx2, avx512) {
                (true, true) => &[InstructionSet::Baseline, InstructionSet::Avx2, InstructionSet::Avx512],
                (true, false) => &[InstructionSet::Baseline, InstructionSet::Avx2],
                _ => &[InstructionSet::Baseline],
            }
        }
        #[cfg(not(target_arch = "x86_64"))]
        &[InstructionSet::Baseline]
    }
}

/// `GRADUS_ISA` holds something that is no instruction set of this machine.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("GRADUS_ISA is `{value}`, which is no instruction set of this machine (those are {})", names())]
pub struct InstructionSetError {
    /// What the variable holds.
    pub value: String,
}

fn names() -> String {
    InstructionSet::available().iter().map(|level| level.name()).collect::<Vec<_>>().join(", ")
}

/// Defines `$name(...)`, which runs `$generic::<T, I>(...)` compiled for the level in use, and `$at(level, ...)`, which
/// runs it for a given level. The copies for `f32` and `f64` are methods of `$kernel`, so that they are compiled once,
/// here, and not in every crate that calls them.
macro_rules! dispatch {
    ($(#[$doc:meta])* pub unsafe fn $name:ident $(/ $at:ident)? <$T:ident: $bound:path>
        ($($arg:ident: $type:ty),* $(,)?) = $generic:ident in $kernel:ident) => {
        $(#[$doc])*
        #[inline]
        pub unsafe fn $name<$T: $bound>($($arg: $type),*) {
            // SAFETY: the caller's promise; `current` is a level of this machine.
            unsafe { <$T as $kernel<$T>>::call($crate::vmath::InstructionSet::current() $(, $arg)*) }
        }

        $crate::vmath::isa::dispatch!(@at $($at,)? <$T: $bound> ($($arg: $type),*) $kernel);

        /// The compiled copies of a kernel.
        #[doc(hidden)]
        pub trait $kernel<$T> {
            /// Runs the copy for a level.
            ///
            /// # Safety
            /// As for the function that calls it.
            unsafe fn call(level: $crate::vmath::InstructionSet $(, $arg: $type)*);
        }

        $crate::vmath::isa::dispatch!(@for f32, $T, ($($arg: $type),*), $generic, $kernel);
        $crate::vmath::isa::dispatch!(@for f64, $T, ($($arg: $type),*), $generic, $kernel);
    };
    (@at <$T:ident: $bound:path> ($($arg:ident: $type:ty),*) $kernel:ident) => {};
    (@at $at:ident, <$T:ident: $bound:path> ($($arg:ident: $type:ty),*) $kernel:ident) => {
        /// The same, for a level of this machine.
        ///
        /// # Safety
        /// As for the function without a level; the level has to be [available]($crate::vmath::InstructionSet::available).
        #[inline]
        pub unsafe fn $at<$T: $bound>(level: $crate::vmath::InstructionSet $(, $arg: $type)*) {
            // SAFETY: the caller's promise.
            unsafe { <$T as $kernel<$T>>::call(level $(, $arg)*) }
        }
    };
    (@for $float:ident, $T:ident, ($($arg:ident: $type:ty),*), $generic:ident, $kernel:ident) => {
        const _: () = {
            type $T = $float;

            #[cfg(target_arch = "x86_64")]
            #[target_feature(enable = "avx2,fma")]
            unsafe fn avx2($($arg: $type),*) {
                // SAFETY: the caller's promise.
                unsafe { $generic::<$T, $crate::vmath::isa::Avx2>($($arg),*) }
            }

            #[cfg(target_arch = "x86_64")]
            #[target_feature(enable = "avx2,fma,avx512f,avx512bw,avx512dq,avx512vl")]
            unsafe fn avx512($($arg: $type),*) {
                // SAFETY: the caller's promise.
                unsafe { $generic::<$T, $crate::vmath::isa::Avx512>($($arg),*) }
            }

            impl $kernel<$T> for $T {
                unsafe fn call(level: $crate::vmath::InstructionSet $(, $arg: $type)*) {
                    // SAFETY: the caller's promise; the machine has the features of the level.
                    unsafe {
                        match level {
                            #[cfg(target_arch = "x86_64")]
                            $crate::vmath::InstructionSet::Avx512 => avx512($($arg),*),
                            #[cfg(target_arch = "x86_64")]
                            $crate::vmath::InstructionSet::Avx2 => avx2($($arg),*),
                            _ => $generic::<$T, $crate::vmath::isa::Baseline>($($arg),*),
                        }
                    }
                }
            }
        };
    };
}
pub(crate) use dispatch;

/// The arithmetic that functions of either width share.
pub trait Num:
    Copy
    + PartialOrd
    + Add<Output = Self>
    + Sub<Output = Self>
    + Mul<Output = Self>
    + Div<Output = Self>
    + Neg<Output = Self>
{
    /// `self · b + c`, rounded once.
    fn fused(self, b: Self, c: Self) -> Self;
}

impl Num for f32 {
    #[inline(always)]
    fn fused(self, b: f32, c: f32) -> f32 {
        self.mul_add(b, c)
    }
}

impl Num for f64 {
    #[inline(always)]
    fn fused(self, b: f64, c: f64) -> f64 {
        self.mul_add(b, c)
    }
}

/// `a · b + c`, rounded once where that is one instruction and twice where it is not.
#[inline(always)]
pub fn fma<I: Isa, T: Num>(a: T, b: T, c: T) -> T {
    if I::FMA { a.fused(b, c) } else { a * b + c }
}

/// `c[0] + c[1] x + c[2] x² + ...`
#[inline(always)]
pub fn horner<I: Isa, T: Num, const N: usize>(x: T, c: &[T; N]) -> T {
    let mut sum = c[N - 1];
    let mut k = N - 1;
    while k > 0 {
        k -= 1;
        sum = fma::<I, T>(sum, x, c[k]);
    }
    sum
}

/// `x` kept between `low` and `high`; NaN stays NaN, which is why the comparisons are written this way round.
#[inline(always)]
pub fn clamp<T: Num>(x: T, low: T, high: T) -> T {
    let x = if low > x { low } else { x };
    if high < x { high } else { x }
}

/// A product and its rounding error: `a · b = hi + lo` exactly, barring overflow and underflow.
#[inline(always)]
pub fn two_product<I: Isa>(a: f64, b: f64) -> (f64, f64) {
    let hi = a * b;
    if I::FMA {
        return (hi, a.mul_add(b, -hi));
    }
    // Dekker: halves of 26 bits have exact products.
    let head = |x: f64| f64::from_bits(x.to_bits() & 0xFFFF_FFFF_F800_0000);
    let (ah, bh) = (head(a), head(b));
    let (al, bl) = (a - ah, b - bh);
    (hi, ((ah * bh - hi) + ah * bl + al * bh) + al * bl)
}

/// The same in single precision.
#[inline(always)]
pub fn two_productf<I: Isa>(a: f32, b: f32) -> (f32, f32) {
    let hi = a * b;
    if I::FMA {
        return (hi, a.mul_add(b, -hi));
    }
    // Halves of 12 bits.
    let head = |x: f32| f32::from_bits(x.to_bits() & 0xFFFF_F000);
    let (ah, bh) = (head(a), head(b));
    let (al, bl) = (a - ah, b - bh);
    (hi, ((ah * bh - hi) + ah * bl + al * bh) + al * bl)
}

/// A sum and its rounding error, for `|a| >= |b|` or `a` zero.
#[inline(always)]
pub fn fast_two_sum<T: Num>(a: T, b: T) -> (T, T) {
    let sum = a + b;
    (sum, b - (sum - a))
}

/// A sum and its rounding error.
#[inline(always)]
pub fn two_sum(a: f64, b: f64) -> (f64, f64) {
    let sum = a + b;
    let shadow = sum - a;
    (sum, (a - (sum - shadow)) + (b - shadow))
}
