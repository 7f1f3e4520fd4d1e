//! Registers of floats, for kernels whose code the compiler does not vectorise well by itself: products, convolutions, and
//! products with tangents.
//!
//! A tangent is dead by the sign of its zero, which is a comparison of integers and a selection of floats. Written element
//! by element the compiler makes branches of that, whatever the instruction set; in registers it cannot.
//!
//! Invariant: a register is read and written where all its lanes are, by code compiled for its instruction set.

/// Lanes of one register.
///
/// # Safety
/// Of all methods: the processor has the instruction set, and pointers are valid for the lanes read or written.
#[allow(clippy::missing_safety_doc, reason = "said once, for all of them")]
pub trait Vector: Copy {
    /// A lane.
    type Element: Copy;
    /// The register of half as many lanes, or this one where there is none.
    type Half: Vector<Element = Self::Element>;
    /// How many.
    const LANES: usize;
    /// Zeros.
    unsafe fn zero() -> Self;
    /// The lanes at a pointer, which need not be aligned.
    unsafe fn load(from: *const Self::Element) -> Self;
    /// The same, written.
    unsafe fn store(self, to: *mut Self::Element);
    /// One element in all lanes.
    unsafe fn splat(from: *const Self::Element) -> Self;
    /// `self + a · b`, rounded once where the instruction set has that.
    unsafe fn add_product(self, a: Self, b: Self) -> Self;
    /// `self + other`
    unsafe fn add(self, other: Self) -> Self;
    /// `self - other`
    unsafe fn sub(self, other: Self) -> Self;
    /// `self · other`
    unsafe fn mul(self, other: Self) -> Self;
    /// `self / other`
    unsafe fn div(self, other: Self) -> Self;
    /// The lanes of both by turns: those of the first halves, and those of the second halves.
    unsafe fn interleave(self, other: Self) -> (Self, Self);
    /// [Dead](gradus_core::DEAD) where the tangent is.
    unsafe fn unless_dead(self, tangent: Self) -> Self;

    /// The product of a residual and a tangent: see [`LinearMul`](gradus_core::ops::LinearMul). Adding zero makes a zero a
    /// number.
    #[inline(always)]
    unsafe fn linear(residual: Self, tangent: Self) -> Self {
        // SAFETY: the caller's promise.
        unsafe { residual.mul(tangent).add(Self::zero()).unless_dead(tangent) }
    }
    /// The product of two tangents.
    #[inline(always)]
    unsafe fn tangents(x: Self, y: Self) -> Self {
        // SAFETY: the caller's promise.
        unsafe { Self::linear(x, y).unless_dead(x) }
    }
}

/// Registers of x86-64.
#[cfg(target_arch = "x86_64")]
mod x86 {
    use std::arch::x86_64::*;

    use super::Vector;

    macro_rules! vector {
        ($type:ident $half:ident $element:ident $lanes:literal $zero:ident $load:ident $store:ident $splat:ident $add:ident $sub:ident
         $mul:ident $div:ident |$a:ident, $b:ident, $c:ident| $fma:expr, |$x:ident, $y:ident| $interleave:expr,
         |$value:ident, $tangent:ident| $unless_dead:expr) => {
            impl Vector for $type {
                type Element = $element;
                type Half = $half;
                const LANES: usize = $lanes;
                #[inline(always)]
                unsafe fn zero() -> Self {
                    // SAFETY: the caller's promise, here and below.
                    unsafe { $zero() }
                }
                #[inline(always)]
                unsafe fn load(from: *const $element) -> Self {
                    // SAFETY: the caller's promise.
                    unsafe { $load(from) }
                }
                #[inline(always)]
                unsafe fn store(self, to: *mut $element) {
                    // SAFETY: the caller's promise.
                    unsafe { $store(to, self) }
                }
                #[inline(always)]
                unsafe fn splat(from: *const $element) -> Self {
                    // SAFETY: the caller's promise.
                    unsafe { $splat(*from) }
                }
                #[inline(always)]
                unsafe fn add_product(self, $a: Self, $b: Self) -> Self {
                    let $c = self;
                    // SAFETY: the caller's promise.
                    unsafe { $fma }
                }
                #[inline(always)]
                unsafe fn add(self, other: Self) -> Self {
                    // SAFETY: the caller's promise.
                    unsafe { $add(self, other) }
                }
                #[inline(always)]
                unsafe fn sub(self, other: Self) -> Self {
                    // SAFETY: the caller's promise.
                    unsafe { $sub(self, other) }
                }
                #[inline(always)]
                unsafe fn mul(self, other: Self) -> Self {
                    // SAFETY: the caller's promise.
                    unsafe { $mul(self, other) }
                }
                #[inline(always)]
                unsafe fn div(self, other: Self) -> Self {
                    // SAFETY: the caller's promise.
                    unsafe { $div(self, other) }
                }
                #[inline(always)]
                unsafe fn interleave(self, other: Self) -> (Self, Self) {
                    let ($x, $y) = (self, other);
                    // SAFETY: the caller's promise.
                    unsafe { $interleave }
                }
                #[inline(always)]
                unsafe fn unless_dead(self, $tangent: Self) -> Self {
                    let $value = self;
                    // SAFETY: the caller's promise.
                    unsafe { $unless_dead }
                }
            }
        };
    }

    vector!(__m512 __m256 f32 16 _mm512_setzero_ps _mm512_loadu_ps _mm512_storeu_ps _mm512_set1_ps _mm512_add_ps _mm512_sub_ps
    _mm512_mul_ps _mm512_div_ps
    |a, b, c| _mm512_fmadd_ps(a, b, c),
    |x, y| {
        let low = _mm512_setr_epi32(0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23);
        let high = _mm512_add_epi32(low, _mm512_set1_epi32(8));
        (_mm512_permutex2var_ps(x, low, y), _mm512_permutex2var_ps(x, high, y))
    },
    |value, tangent| {
        let dead = _mm512_cmpeq_epi32_mask(_mm512_castps_si512(tangent), _mm512_set1_epi32(i32::MIN));
        _mm512_mask_mov_ps(value, dead, tangent)
    });
    vector!(__m512d __m256d f64 8 _mm512_setzero_pd _mm512_loadu_pd _mm512_storeu_pd _mm512_set1_pd _mm512_add_pd _mm512_sub_pd
    _mm512_mul_pd _mm512_div_pd
    |a, b, c| _mm512_fmadd_pd(a, b, c),
    |x, y| {
        let low = _mm512_setr_epi64(0, 8, 1, 9, 2, 10, 3, 11);
        let high = _mm512_add_epi64(low, _mm512_set1_epi64(4));
        (_mm512_permutex2var_pd(x, low, y), _mm512_permutex2var_pd(x, high, y))
    },
    |value, tangent| {
        let dead = _mm512_cmpeq_epi64_mask(_mm512_castpd_si512(tangent), _mm512_set1_epi64(i64::MIN));
        _mm512_mask_mov_pd(value, dead, tangent)
    });
    vector!(__m256 __m128 f32 8 _mm256_setzero_ps _mm256_loadu_ps _mm256_storeu_ps _mm256_set1_ps _mm256_add_ps _mm256_sub_ps
    _mm256_mul_ps _mm256_div_ps
    |a, b, c| _mm256_fmadd_ps(a, b, c),
    |x, y| {
        let (even, odd) = (_mm256_unpacklo_ps(x, y), _mm256_unpackhi_ps(x, y));
        (_mm256_permute2f128_ps::<0x20>(even, odd), _mm256_permute2f128_ps::<0x31>(even, odd))
    },
    |value, tangent| {
        let dead = _mm256_cmpeq_epi32(_mm256_castps_si256(tangent), _mm256_set1_epi32(i32::MIN));
        _mm256_blendv_ps(value, tangent, _mm256_castsi256_ps(dead))
    });
    vector!(__m256d __m128d f64 4 _mm256_setzero_pd _mm256_loadu_pd _mm256_storeu_pd _mm256_set1_pd _mm256_add_pd _mm256_sub_pd
    _mm256_mul_pd _mm256_div_pd
    |a, b, c| _mm256_fmadd_pd(a, b, c),
    |x, y| {
        let (even, odd) = (_mm256_unpacklo_pd(x, y), _mm256_unpackhi_pd(x, y));
        (_mm256_permute2f128_pd::<0x20>(even, odd), _mm256_permute2f128_pd::<0x31>(even, odd))
    },
    |value, tangent| {
        let dead = _mm256_cmpeq_epi64(_mm256_castpd_si256(tangent), _mm256_set1_epi64x(i64::MIN));
        _mm256_blendv_pd(value, tangent, _mm256_castsi256_pd(dead))
    });
    vector!(__m128 __m128 f32 4 _mm_setzero_ps _mm_loadu_ps _mm_storeu_ps _mm_set1_ps _mm_add_ps _mm_sub_ps _mm_mul_ps _mm_div_ps
    |a, b, c| _mm_add_ps(c, _mm_mul_ps(a, b)),
    |x, y| (_mm_unpacklo_ps(x, y), _mm_unpackhi_ps(x, y)),
    |value, tangent| {
        let dead = _mm_cmpeq_epi32(_mm_castps_si128(tangent), _mm_set1_epi32(i32::MIN));
        let dead = _mm_castsi128_ps(dead);
        _mm_or_ps(_mm_and_ps(dead, tangent), _mm_andnot_ps(dead, value))
    });
    vector!(__m128d __m128d f64 2 _mm_setzero_pd _mm_loadu_pd _mm_storeu_pd _mm_set1_pd _mm_add_pd _mm_sub_pd _mm_mul_pd _mm_div_pd
    |a, b, c| _mm_add_pd(c, _mm_mul_pd(a, b)),
    |x, y| (_mm_unpacklo_pd(x, y), _mm_unpackhi_pd(x, y)),
    |value, tangent| {
        // SSE2 compares 32 bits at a time: a double is dead where both parts are.
        let parts = _mm_cmpeq_epi32(_mm_castpd_si128(tangent), _mm_set1_epi64x(i64::MIN));
        let dead = _mm_castsi128_pd(_mm_and_si128(parts, _mm_shuffle_epi32::<0b10_11_00_01>(parts)));
        _mm_or_pd(_mm_and_pd(dead, tangent), _mm_andnot_pd(dead, value))
    });
}

/// Registers of 128 bits, of which the compiler makes what the architecture has.
#[cfg(not(target_arch = "x86_64"))]
mod plain {
    use super::Vector;

    macro_rules! vector {
        ($name:ident $element:ident $lanes:literal) => {
            /// Lanes side by side.
            #[derive(Clone, Copy)]
            pub struct $name([$element; $lanes]);
            impl $name {
                #[inline(always)]
                fn with(self, other: Self, f: impl Fn($element, $element) -> $element) -> Self {
                    $name(std::array::from_fn(|i| f(self.0[i], other.0[i])))
                }
            }
            impl Vector for $name {
                type Element = $element;
                type Half = $name;
                const LANES: usize = $lanes;
                #[inline(always)]
                unsafe fn zero() -> Self {
                    $name([0.0; $lanes])
                }
                #[inline(always)]
                unsafe fn load(from: *const $element) -> Self {
                    // SAFETY: the caller's promise.
                    $name(unsafe { from.cast::<[$element; $lanes]>().read_unaligned() })
                }
                #[inline(always)]
                unsafe fn store(self, to: *mut $element) {
                    // SAFETY: the caller's promise.
                    unsafe { to.cast::<[$element; $lanes]>().write_unaligned(self.0) }
                }
                #[inline(always)]
                unsafe fn splat(from: *const $element) -> Self {
                    // SAFETY: the caller's promise.
                    $name([unsafe { *from }; $lanes])
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
                    $name(std::array::from_fn(term))
                }
                #[inline(always)]
                unsafe fn add(self, other: Self) -> Self {
                    self.with(other, |x, y| x + y)
                }
                #[inline(always)]
                unsafe fn sub(self, other: Self) -> Self {
                    self.with(other, |x, y| x - y)
                }
                #[inline(always)]
                unsafe fn mul(self, other: Self) -> Self {
                    self.with(other, |x, y| x * y)
                }
                #[inline(always)]
                unsafe fn div(self, other: Self) -> Self {
                    self.with(other, |x, y| x / y)
                }
                #[inline(always)]
                unsafe fn interleave(self, other: Self) -> (Self, Self) {
                    let lane = |i: usize| if i % 2 == 0 { self.0[i / 2] } else { other.0[i / 2] };
                    ($name(std::array::from_fn(lane)), $name(std::array::from_fn(|i| lane(i + $lanes))))
                }
                #[inline(always)]
                unsafe fn unless_dead(self, tangent: Self) -> Self {
                    let dead = gradus_core::DEAD as $element;
                    self.with(tangent, |x, t| if t.to_bits() == dead.to_bits() { dead } else { x })
                }
            }
        };
    }
    vector!(Singles f32 4);
    vector!(Doubles f64 2);
}

/// What every processor of the architecture has.
#[cfg(not(target_arch = "x86_64"))]
pub use plain::{Doubles, Singles};
/// What every processor of the architecture has.
#[cfg(target_arch = "x86_64")]
pub use std::arch::x86_64::{__m128 as Singles, __m128d as Doubles};
