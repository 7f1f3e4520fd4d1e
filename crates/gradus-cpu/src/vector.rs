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

    /// `√self`
    unsafe fn sqrt(self) -> Self;
    /// The absolute value.
    unsafe fn abs(self) -> Self;
    /// `-self`
    unsafe fn neg(self) -> Self;
    /// Ones.
    unsafe fn one() -> Self;
    /// `self` where it is greater than `other` or NaN, else `other`.
    unsafe fn max(self, other: Self) -> Self;
    /// `self` where it is less than `other` or NaN, else `other`.
    unsafe fn min(self, other: Self) -> Self;
    /// 1 where `self < other`, else 0: a mask.
    unsafe fn lt(self, other: Self) -> Self;
    /// 1 where `self <= other`, else 0.
    unsafe fn le(self, other: Self) -> Self;
    /// 1 where `self == other`, else 0.
    unsafe fn eq(self, other: Self) -> Self;
    /// `x` where this mask is 1, `y` where it is 0.
    unsafe fn choose(self, x: Self, y: Self) -> Self;
    /// A mask of bytes, one for each lane.
    unsafe fn load_mask(from: *const u8) -> Self;
    /// The bytes of a mask, one for each lane.
    unsafe fn store_mask(self, to: *mut u8);

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
         |$value:ident, $tangent:ident| $unless_dead:expr,
         $sqrt:ident $andnot:ident $xor:ident $max:ident $min:ident $less:expr, $less_or_equal:expr, $equal:expr, $unordered:expr,
         $blend:expr, |$bytes:ident| $load_mask:expr, |$mask:ident, $to:ident| $store_mask:expr) => {
            impl Vector for $type {
                type Element = $element;
                type Half = $half;
                #[inline(always)]
                unsafe fn sqrt(self) -> Self {
                    // SAFETY: the caller's promise, here and below.
                    unsafe { $sqrt(self) }
                }
                #[inline(always)]
                unsafe fn abs(self) -> Self {
                    // SAFETY: the caller's promise.
                    unsafe { $andnot($splat(-0.0), self) }
                }
                #[inline(always)]
                unsafe fn neg(self) -> Self {
                    // SAFETY: the caller's promise.
                    unsafe { $xor($splat(-0.0), self) }
                }
                #[inline(always)]
                unsafe fn one() -> Self {
                    // SAFETY: the caller's promise.
                    unsafe { $splat(1.0) }
                }
                #[inline(always)]
                unsafe fn max(self, other: Self) -> Self {
                    // SAFETY: the caller's promise; of a comparison with NaN the second is taken.
                    unsafe { $blend($unordered(self, self), self, $max(self, other)) }
                }
                #[inline(always)]
                unsafe fn min(self, other: Self) -> Self {
                    // SAFETY: the caller's promise.
                    unsafe { $blend($unordered(self, self), self, $min(self, other)) }
                }
                #[inline(always)]
                unsafe fn lt(self, other: Self) -> Self {
                    // SAFETY: the caller's promise.
                    unsafe { $blend($less(self, other), Self::one(), Self::zero()) }
                }
                #[inline(always)]
                unsafe fn le(self, other: Self) -> Self {
                    // SAFETY: the caller's promise.
                    unsafe { $blend($less_or_equal(self, other), Self::one(), Self::zero()) }
                }
                #[inline(always)]
                unsafe fn eq(self, other: Self) -> Self {
                    // SAFETY: the caller's promise.
                    unsafe { $blend($equal(self, other), Self::one(), Self::zero()) }
                }
                #[inline(always)]
                unsafe fn choose(self, x: Self, y: Self) -> Self {
                    // SAFETY: the caller's promise.
                    unsafe { $blend($less(Self::zero(), self), x, y) }
                }
                #[inline(always)]
                unsafe fn load_mask($bytes: *const u8) -> Self {
                    // SAFETY: the caller's promise.
                    unsafe { $load_mask }
                }
                #[inline(always)]
                unsafe fn store_mask(self, $to: *mut u8) {
                    let $mask = self;
                    // SAFETY: the caller's promise.
                    unsafe { $store_mask }
                }
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
    },
    _mm512_sqrt_ps _mm512_andnot_ps _mm512_xor_ps _mm512_max_ps _mm512_min_ps
    |a, b| _mm512_cmp_ps_mask::<_CMP_LT_OQ>(a, b), |a, b| _mm512_cmp_ps_mask::<_CMP_LE_OQ>(a, b),
    |a, b| _mm512_cmp_ps_mask::<_CMP_EQ_OQ>(a, b), |a, b| _mm512_cmp_ps_mask::<_CMP_UNORD_Q>(a, b),
    |mask, x, y| _mm512_mask_mov_ps(y, mask, x),
    |bytes| {
        let bytes = _mm_loadu_si128(bytes.cast());
        _mm512_maskz_mov_ps(_mm_test_epi8_mask(bytes, bytes), _mm512_set1_ps(1.0))
    },
    |mask, to| {
        let set = _mm512_cmp_ps_mask::<_CMP_NEQ_UQ>(mask, _mm512_setzero_ps());
        _mm_storeu_si128(to.cast(), _mm_maskz_set1_epi8(set, 1))
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
    },
    _mm512_sqrt_pd _mm512_andnot_pd _mm512_xor_pd _mm512_max_pd _mm512_min_pd
    |a, b| _mm512_cmp_pd_mask::<_CMP_LT_OQ>(a, b), |a, b| _mm512_cmp_pd_mask::<_CMP_LE_OQ>(a, b),
    |a, b| _mm512_cmp_pd_mask::<_CMP_EQ_OQ>(a, b), |a, b| _mm512_cmp_pd_mask::<_CMP_UNORD_Q>(a, b),
    |mask, x, y| _mm512_mask_mov_pd(y, mask, x),
    |bytes| {
        let bytes = _mm_loadl_epi64(bytes.cast());
        _mm512_maskz_mov_pd(_mm_test_epi8_mask(bytes, bytes) as u8, _mm512_set1_pd(1.0))
    },
    |mask, to| {
        let set = _mm512_cmp_pd_mask::<_CMP_NEQ_UQ>(mask, _mm512_setzero_pd());
        _mm_storel_epi64(to.cast(), _mm_maskz_set1_epi8(u16::from(set), 1))
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
    },
    _mm256_sqrt_ps _mm256_andnot_ps _mm256_xor_ps _mm256_max_ps _mm256_min_ps
    |a, b| _mm256_cmp_ps::<_CMP_LT_OQ>(a, b), |a, b| _mm256_cmp_ps::<_CMP_LE_OQ>(a, b),
    |a, b| _mm256_cmp_ps::<_CMP_EQ_OQ>(a, b), |a, b| _mm256_cmp_ps::<_CMP_UNORD_Q>(a, b),
    |mask, x, y| _mm256_blendv_ps(y, x, mask),
    |bytes| _mm256_cvtepi32_ps(_mm256_cvtepu8_epi32(_mm_loadl_epi64(bytes.cast()))),
    |mask, to| {
        let lanes = _mm256_cvttps_epi32(mask);
        let pairs = _mm_packs_epi32(_mm256_castsi256_si128(lanes), _mm256_extracti128_si256::<1>(lanes));
        _mm_storel_epi64(to.cast(), _mm_packus_epi16(pairs, pairs))
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
    },
    _mm256_sqrt_pd _mm256_andnot_pd _mm256_xor_pd _mm256_max_pd _mm256_min_pd
    |a, b| _mm256_cmp_pd::<_CMP_LT_OQ>(a, b), |a, b| _mm256_cmp_pd::<_CMP_LE_OQ>(a, b),
    |a, b| _mm256_cmp_pd::<_CMP_EQ_OQ>(a, b), |a, b| _mm256_cmp_pd::<_CMP_UNORD_Q>(a, b),
    |mask, x, y| _mm256_blendv_pd(y, x, mask),
    |bytes| {
        let bytes = _mm_cvtsi32_si128(bytes.cast::<i32>().read_unaligned());
        _mm256_cvtepi32_pd(_mm_cvtepu8_epi32(bytes))
    },
    |mask, to| {
        let lanes = _mm256_cvttpd_epi32(mask);
        let pairs = _mm_packs_epi32(lanes, lanes);
        to.cast::<i32>().write_unaligned(_mm_cvtsi128_si32(_mm_packus_epi16(pairs, pairs)))
    });
    vector!(__m128 __m128 f32 4 _mm_setzero_ps _mm_loadu_ps _mm_storeu_ps _mm_set1_ps _mm_add_ps _mm_sub_ps _mm_mul_ps _mm_div_ps
    |a, b, c| _mm_add_ps(c, _mm_mul_ps(a, b)),
    |x, y| (_mm_unpacklo_ps(x, y), _mm_unpackhi_ps(x, y)),
    |value, tangent| {
        let dead = _mm_cmpeq_epi32(_mm_castps_si128(tangent), _mm_set1_epi32(i32::MIN));
        let dead = _mm_castsi128_ps(dead);
        _mm_or_ps(_mm_and_ps(dead, tangent), _mm_andnot_ps(dead, value))
    },
    _mm_sqrt_ps _mm_andnot_ps _mm_xor_ps _mm_max_ps _mm_min_ps
    |a, b| _mm_cmplt_ps(a, b), |a, b| _mm_cmple_ps(a, b), |a, b| _mm_cmpeq_ps(a, b), |a, b| _mm_cmpunord_ps(a, b),
    |mask, x, y| _mm_or_ps(_mm_and_ps(mask, x), _mm_andnot_ps(mask, y)),
    |bytes| {
        let bytes = _mm_cvtsi32_si128(bytes.cast::<i32>().read_unaligned());
        let pairs = _mm_unpacklo_epi8(bytes, _mm_setzero_si128());
        _mm_cvtepi32_ps(_mm_unpacklo_epi16(pairs, _mm_setzero_si128()))
    },
    |mask, to| {
        let lanes = _mm_cvttps_epi32(mask);
        let pairs = _mm_packs_epi32(lanes, lanes);
        to.cast::<i32>().write_unaligned(_mm_cvtsi128_si32(_mm_packus_epi16(pairs, pairs)))
    });
    vector!(__m128d __m128d f64 2 _mm_setzero_pd _mm_loadu_pd _mm_storeu_pd _mm_set1_pd _mm_add_pd _mm_sub_pd _mm_mul_pd _mm_div_pd
    |a, b, c| _mm_add_pd(c, _mm_mul_pd(a, b)),
    |x, y| (_mm_unpacklo_pd(x, y), _mm_unpackhi_pd(x, y)),
    |value, tangent| {
        // SSE2 compares 32 bits at a time: a double is dead where both parts are.
        let parts = _mm_cmpeq_epi32(_mm_castpd_si128(tangent), _mm_set1_epi64x(i64::MIN));
        let dead = _mm_castsi128_pd(_mm_and_si128(parts, _mm_shuffle_epi32::<0b10_11_00_01>(parts)));
        _mm_or_pd(_mm_and_pd(dead, tangent), _mm_andnot_pd(dead, value))
    },
    _mm_sqrt_pd _mm_andnot_pd _mm_xor_pd _mm_max_pd _mm_min_pd
    |a, b| _mm_cmplt_pd(a, b), |a, b| _mm_cmple_pd(a, b), |a, b| _mm_cmpeq_pd(a, b), |a, b| _mm_cmpunord_pd(a, b),
    |mask, x, y| _mm_or_pd(_mm_and_pd(mask, x), _mm_andnot_pd(mask, y)),
    |bytes| _mm_set_pd(f64::from(*bytes.add(1)), f64::from(*bytes)),
    |mask, to| {
        to.write(_mm_cvttsd_si32(mask) as u8);
        to.add(1).write(_mm_cvttsd_si32(_mm_unpackhi_pd(mask, mask)) as u8)
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
                unsafe fn sqrt(self) -> Self {
                    $name(self.0.map($element::sqrt))
                }
                #[inline(always)]
                unsafe fn abs(self) -> Self {
                    $name(self.0.map($element::abs))
                }
                #[inline(always)]
                unsafe fn neg(self) -> Self {
                    $name(self.0.map(|x| -x))
                }
                #[inline(always)]
                unsafe fn one() -> Self {
                    $name([1.0; $lanes])
                }
                #[inline(always)]
                unsafe fn max(self, other: Self) -> Self {
                    self.with(other, |x, y| if (x > y) | x.is_nan() { x } else { y })
                }
                #[inline(always)]
                unsafe fn min(self, other: Self) -> Self {
                    self.with(other, |x, y| if (x < y) | x.is_nan() { x } else { y })
                }
                #[inline(always)]
                unsafe fn lt(self, other: Self) -> Self {
                    self.with(other, |x, y| if x < y { 1.0 } else { 0.0 })
                }
                #[inline(always)]
                unsafe fn le(self, other: Self) -> Self {
                    self.with(other, |x, y| if x <= y { 1.0 } else { 0.0 })
                }
                #[inline(always)]
                unsafe fn eq(self, other: Self) -> Self {
                    self.with(other, |x, y| if x == y { 1.0 } else { 0.0 })
                }
                #[inline(always)]
                unsafe fn choose(self, x: Self, y: Self) -> Self {
                    $name(std::array::from_fn(|i| if self.0[i] > 0.0 { x.0[i] } else { y.0[i] }))
                }
                #[inline(always)]
                unsafe fn load_mask(from: *const u8) -> Self {
                    // SAFETY: the caller's promise.
                    $name(std::array::from_fn(|i| $element::from(unsafe { *from.add(i) })))
                }
                #[inline(always)]
                unsafe fn store_mask(self, to: *mut u8) {
                    for i in 0..$lanes {
                        // SAFETY: the caller's promise.
                        unsafe { to.add(i).write(u8::from(self.0[i] > 0.0)) }
                    }
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
