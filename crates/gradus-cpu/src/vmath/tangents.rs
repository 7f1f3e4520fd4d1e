//! Products of residuals and tangents, in vectors of 128 bits.
//!
//! A tangent is dead by the sign of its zero, which is a comparison of integers and a selection of floats. Written element
//! by element the compiler makes branches of that, whatever the instruction set; in vectors it cannot.

/// 16 bytes of elements.
pub trait Vector: Copy {
    /// The elements.
    type Element: Copy;
    /// How many.
    const LANES: usize;
    /// # Safety
    /// The elements are valid for reads.
    unsafe fn load(from: *const Self::Element) -> Self;
    /// # Safety
    /// The elements are valid for writes.
    unsafe fn store(self, to: *mut Self::Element);
    /// Element by element, each rounded.
    fn add(self, other: Self) -> Self;
    /// As `add`.
    fn sub(self, other: Self) -> Self;
    /// As `add`.
    fn mul(self, other: Self) -> Self;
    /// As `add`.
    fn div(self, other: Self) -> Self;
    /// Zeros.
    fn zero() -> Self;
    /// Dead where the tangent is.
    fn unless_dead(self, tangent: Self) -> Self;

    /// The product of a residual and a tangent: see [`LinearMul`](gradus_core::ops::LinearMul). Adding zero makes a zero a
    /// number.
    #[inline(always)]
    fn linear(residual: Self, tangent: Self) -> Self {
        residual.mul(tangent).add(Self::zero()).unless_dead(tangent)
    }
    /// The product of two tangents.
    #[inline(always)]
    fn tangents(x: Self, y: Self) -> Self {
        Self::linear(x, y).unless_dead(x)
    }
}

#[cfg(target_arch = "x86_64")]
mod x86 {
    use std::arch::x86_64::*;

    use super::Vector;

    // SAFETY, for all of this module: every processor of this architecture has SSE2.
    macro_rules! vector {
        ($vector:ident, $element:ident, $lanes:literal, $load:ident, $store:ident, $add:ident, $sub:ident, $mul:ident,
         $div:ident, $zero:ident, |$dead:ident, $tangent:ident| $mask:expr, $set:ident, $and:ident, $andnot:ident,
         $or:ident, $bits:ident, $back:ident) => {
            impl Vector for $vector {
                type Element = $element;
                const LANES: usize = $lanes;
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
                fn add(self, other: Self) -> Self {
                    // SAFETY: as above.
                    unsafe { $add(self, other) }
                }
                #[inline(always)]
                fn sub(self, other: Self) -> Self {
                    // SAFETY: as above.
                    unsafe { $sub(self, other) }
                }
                #[inline(always)]
                fn mul(self, other: Self) -> Self {
                    // SAFETY: as above.
                    unsafe { $mul(self, other) }
                }
                #[inline(always)]
                fn div(self, other: Self) -> Self {
                    // SAFETY: as above.
                    unsafe { $div(self, other) }
                }
                #[inline(always)]
                fn zero() -> Self {
                    // SAFETY: as above.
                    unsafe { $zero() }
                }
                #[inline(always)]
                fn unless_dead(self, tangent: Self) -> Self {
                    // SAFETY: as above.
                    unsafe {
                        let dead = $set(gradus_core::DEAD as $element);
                        let mask = {
                            let ($dead, $tangent) = ($bits(dead), $bits(tangent));
                            $back($mask)
                        };
                        $or($and(mask, dead), $andnot(mask, self))
                    }
                }
            }
        };
    }
    vector!(
        __m128,
        f32,
        4,
        _mm_loadu_ps,
        _mm_storeu_ps,
        _mm_add_ps,
        _mm_sub_ps,
        _mm_mul_ps,
        _mm_div_ps,
        _mm_setzero_ps,
        |dead, tangent| _mm_cmpeq_epi32(dead, tangent),
        _mm_set1_ps,
        _mm_and_ps,
        _mm_andnot_ps,
        _mm_or_ps,
        _mm_castps_si128,
        _mm_castsi128_ps
    );
    vector!(
        __m128d,
        f64,
        2,
        _mm_loadu_pd,
        _mm_storeu_pd,
        _mm_add_pd,
        _mm_sub_pd,
        _mm_mul_pd,
        _mm_div_pd,
        _mm_setzero_pd,
        |dead, tangent| {
            // Both halves of a double.
            let halves = _mm_cmpeq_epi32(dead, tangent);
            _mm_and_si128(halves, _mm_shuffle_epi32::<0b10_11_00_01>(halves))
        },
        _mm_set1_pd,
        _mm_and_pd,
        _mm_andnot_pd,
        _mm_or_pd,
        _mm_castpd_si128,
        _mm_castsi128_pd
    );
}

#[cfg(target_arch = "x86_64")]
pub use std::arch::x86_64::{__m128 as Singles, __m128d as Doubles};

/// Elements side by side, where the architecture is left to the compiler.
#[cfg(not(target_arch = "x86_64"))]
mod plain {
    use super::Vector;

    macro_rules! vector {
        ($name:ident, $element:ident, $lanes:literal) => {
            /// Elements side by side.
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
                const LANES: usize = $lanes;
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
                fn add(self, other: Self) -> Self {
                    self.with(other, |x, y| x + y)
                }
                #[inline(always)]
                fn sub(self, other: Self) -> Self {
                    self.with(other, |x, y| x - y)
                }
                #[inline(always)]
                fn mul(self, other: Self) -> Self {
                    self.with(other, |x, y| x * y)
                }
                #[inline(always)]
                fn div(self, other: Self) -> Self {
                    self.with(other, |x, y| x / y)
                }
                #[inline(always)]
                fn zero() -> Self {
                    $name([0.0; $lanes])
                }
                #[inline(always)]
                fn unless_dead(self, tangent: Self) -> Self {
                    let dead = gradus_core::DEAD as $element;
                    self.with(tangent, |x, t| if t.to_bits() == dead.to_bits() { dead } else { x })
                }
            }
        };
    }
    vector!(Singles, f32, 4);
    vector!(Doubles, f64, 2);
}

#[cfg(not(target_arch = "x86_64"))]
pub use plain::{Doubles, Singles};
