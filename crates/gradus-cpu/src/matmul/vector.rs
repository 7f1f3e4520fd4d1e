//! Registers of floats, as far as the kernels of products and convolutions need them.
//!
//! Invariant: a register is read and written where all its lanes are.

/// Lanes of one register.
pub(crate) trait Vector: Copy {
    type Element: Copy;
    const LANES: usize;
    /// # Safety
    /// The processor has the instruction set, and pointers are valid for the lanes read or written.
    unsafe fn zero() -> Self;
    /// # Safety
    /// As for [`zero`](Self::zero).
    unsafe fn load(from: *const Self::Element) -> Self;
    /// # Safety
    /// As for [`zero`](Self::zero).
    unsafe fn store(self, to: *mut Self::Element);
    /// # Safety
    /// As for [`zero`](Self::zero).
    unsafe fn splat(from: *const Self::Element) -> Self;
    /// `self + a · b`
    ///
    /// # Safety
    /// As for [`zero`](Self::zero).
    unsafe fn add_product(self, a: Self, b: Self) -> Self;
    /// # Safety
    /// As for [`zero`](Self::zero).
    unsafe fn add(self, other: Self) -> Self;
    /// # Safety
    /// As for [`zero`](Self::zero).
    unsafe fn mul(self, other: Self) -> Self;
    /// The lanes of both by turns: those of the first halves, and those of the second halves.
    ///
    /// # Safety
    /// As for [`zero`](Self::zero).
    unsafe fn interleave(self, other: Self) -> (Self, Self);
}

#[cfg(target_arch = "x86_64")]
macro_rules! vector {
    ($type:ident $element:ident $lanes:literal $zero:ident $load:ident $store:ident $splat:ident $fma:ident $add:ident $mul:ident
     |$x:ident, $y:ident| $interleave:expr) => {
        impl Vector for std::arch::x86_64::$type {
            type Element = $element;
            const LANES: usize = $lanes;
            #[inline(always)]
            unsafe fn zero() -> Self {
                // SAFETY: the caller's promise, here and below.
                unsafe { std::arch::x86_64::$zero() }
            }
            #[inline(always)]
            unsafe fn load(from: *const $element) -> Self {
                // SAFETY: the caller's promise.
                unsafe { std::arch::x86_64::$load(from) }
            }
            #[inline(always)]
            unsafe fn store(self, to: *mut $element) {
                // SAFETY: the caller's promise.
                unsafe { std::arch::x86_64::$store(to, self) }
            }
            #[inline(always)]
            unsafe fn splat(from: *const $element) -> Self {
                // SAFETY: the caller's promise.
                unsafe { std::arch::x86_64::$splat(*from) }
            }
            #[inline(always)]
            unsafe fn add_product(self, a: Self, b: Self) -> Self {
                // SAFETY: the caller's promise.
                unsafe { std::arch::x86_64::$fma(a, b, self) }
            }
            #[inline(always)]
            unsafe fn add(self, other: Self) -> Self {
                // SAFETY: the caller's promise.
                unsafe { std::arch::x86_64::$add(self, other) }
            }
            #[inline(always)]
            unsafe fn mul(self, other: Self) -> Self {
                // SAFETY: the caller's promise.
                unsafe { std::arch::x86_64::$mul(self, other) }
            }
            #[inline(always)]
            unsafe fn interleave(self, other: Self) -> (Self, Self) {
                use std::arch::x86_64::*;
                let ($x, $y) = (self, other);
                // SAFETY: the caller's promise.
                unsafe { $interleave }
            }
        }
    };
}

#[cfg(target_arch = "x86_64")]
vector!(__m512 f32 16 _mm512_setzero_ps _mm512_loadu_ps _mm512_storeu_ps _mm512_set1_ps _mm512_fmadd_ps _mm512_add_ps _mm512_mul_ps
|x, y| {
    let low = _mm512_setr_epi32(0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23);
    let high = _mm512_add_epi32(low, _mm512_set1_epi32(8));
    (_mm512_permutex2var_ps(x, low, y), _mm512_permutex2var_ps(x, high, y))
});
#[cfg(target_arch = "x86_64")]
vector!(__m512d f64 8 _mm512_setzero_pd _mm512_loadu_pd _mm512_storeu_pd _mm512_set1_pd _mm512_fmadd_pd _mm512_add_pd _mm512_mul_pd
|x, y| {
    let low = _mm512_setr_epi64(0, 8, 1, 9, 2, 10, 3, 11);
    let high = _mm512_add_epi64(low, _mm512_set1_epi64(4));
    (_mm512_permutex2var_pd(x, low, y), _mm512_permutex2var_pd(x, high, y))
});
#[cfg(target_arch = "x86_64")]
vector!(__m256 f32 8 _mm256_setzero_ps _mm256_loadu_ps _mm256_storeu_ps _mm256_set1_ps _mm256_fmadd_ps _mm256_add_ps _mm256_mul_ps
|x, y| {
    let (even, odd) = (_mm256_unpacklo_ps(x, y), _mm256_unpackhi_ps(x, y));
    (_mm256_permute2f128_ps::<0x20>(even, odd), _mm256_permute2f128_ps::<0x31>(even, odd))
});
#[cfg(target_arch = "x86_64")]
vector!(__m256d f64 4 _mm256_setzero_pd _mm256_loadu_pd _mm256_storeu_pd _mm256_set1_pd _mm256_fmadd_pd _mm256_add_pd _mm256_mul_pd
|x, y| {
    let (even, odd) = (_mm256_unpacklo_pd(x, y), _mm256_unpackhi_pd(x, y));
    (_mm256_permute2f128_pd::<0x20>(even, odd), _mm256_permute2f128_pd::<0x31>(even, odd))
});

/// A register of 128 bits, of which the compiler makes what the architecture has.
#[derive(Clone, Copy)]
pub(crate) struct Plain<T, const N: usize>([T; N]);

macro_rules! plain {
    ($element:ident $lanes:literal) => {
        impl Vector for Plain<$element, $lanes> {
            type Element = $element;
            const LANES: usize = $lanes;
            #[inline(always)]
            unsafe fn zero() -> Self {
                Plain([0.0; $lanes])
            }
            #[inline(always)]
            unsafe fn load(from: *const $element) -> Self {
                // SAFETY: the caller's promise.
                Plain(unsafe { from.cast::<[$element; $lanes]>().read_unaligned() })
            }
            #[inline(always)]
            unsafe fn store(self, to: *mut $element) {
                // SAFETY: the caller's promise.
                unsafe { to.cast::<[$element; $lanes]>().write_unaligned(self.0) }
            }
            #[inline(always)]
            unsafe fn splat(from: *const $element) -> Self {
                // SAFETY: the caller's promise.
                Plain([unsafe { *from }; $lanes])
            }
            #[inline(always)]
            unsafe fn add_product(self, a: Self, b: Self) -> Self {
                let term = |i: usize| {
                    if cfg!(target_arch = "aarch64") {
                        a.0[i].mul_add(b.0[i], self.0[i])
                    } else {
                        a.0[i] * b.0[i] + self.0[i]
                    }
                };
                Plain(std::array::from_fn(term))
            }
            #[inline(always)]
            unsafe fn add(self, other: Self) -> Self {
                Plain(std::array::from_fn(|i| self.0[i] + other.0[i]))
            }
            #[inline(always)]
            unsafe fn mul(self, other: Self) -> Self {
                Plain(std::array::from_fn(|i| self.0[i] * other.0[i]))
            }
            #[inline(always)]
            unsafe fn interleave(self, other: Self) -> (Self, Self) {
                let lane = |i: usize| if i % 2 == 0 { self.0[i / 2] } else { other.0[i / 2] };
                (Plain(std::array::from_fn(lane)), Plain(std::array::from_fn(|i| lane(i + $lanes))))
            }
        }
    };
}
plain!(f32 4);
plain!(f64 2);
