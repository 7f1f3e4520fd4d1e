//! The element types of matrix products, each with its serial kernel.

use gemm_common::Parallelism;

use super::repack;

/// A matrix operand of a kernel: the place of element (0, 0), the distance between rows and between columns.
pub(crate) type Operand<T> = (*mut T, isize, isize);

/// A type that matrices can be made of: `f32`, `f64`, and integers, whose arithmetic wraps.
pub trait Element: Copy + Send + Sync + PartialEq + 'static + sealed::Kernel {
    /// 0.
    const ZERO: Self;
    /// 1.
    const ONE: Self;
    /// `self + rhs`
    fn add(self, rhs: Self) -> Self;
    /// `self · rhs`
    fn mul(self, rhs: Self) -> Self;
}

pub(super) mod sealed {
    use super::Operand;

    /// The serial product of the type.
    pub trait Kernel: Sized {
        /// `C = alpha A·B + beta C` with a register-blocked kernel; false when the type has none.
        ///
        /// # Safety
        /// Every element the operands reach is valid, and C is apart from A and B.
        unsafe fn blocked(
            size: [usize; 3],
            alpha: Self,
            a: Operand<Self>,
            b: Operand<Self>,
            beta: Self,
            c: Operand<Self>,
        ) -> bool;
    }
}

macro_rules! float_element {
    ($type:ident, $gemm:path) => {
        impl Element for $type {
            const ZERO: Self = 0.0;
            const ONE: Self = 1.0;
            #[inline(always)]
            fn add(self, rhs: Self) -> Self {
                self + rhs
            }
            #[inline(always)]
            fn mul(self, rhs: Self) -> Self {
                self * rhs
            }
        }

        impl sealed::Kernel for $type {
            unsafe fn blocked(
                [m, n, k]: [usize; 3],
                alpha: Self,
                a: Operand<Self>,
                b: Operand<Self>,
                beta: Self,
                c: Operand<Self>,
            ) -> bool {
                // The kernels store columns of C, so a row-major C is computed as its transpose.
                let ([m, n], a, b, c) = if c.2.abs() < c.1.abs() {
                    ([n, m], (b.0, b.2, b.1), (a.0, a.2, a.1), (c.0, c.2, c.1))
                } else {
                    ([m, n], a, b, c)
                };
                let serial = $gemm();
                let call = |k: usize, a: Operand<Self>, b: Operand<Self>, beta: Self| {
                    // SAFETY: the caller's promise, for the whole inner dimension or a part of it; the family names
                    // our `beta` alpha and our `alpha` beta.
                    unsafe {
                        serial(
                            m,
                            n,
                            k,
                            c.0,
                            c.2,
                            c.1,
                            beta != 0.0,
                            a.0,
                            a.2,
                            a.1,
                            b.0,
                            b.2,
                            b.1,
                            beta,
                            alpha,
                            false,
                            false,
                            false,
                            Parallelism::None,
                        );
                    }
                };
                if repack::pays(m, n, k, a.1) {
                    // SAFETY: A is valid for reads over `m` by `k`.
                    unsafe {
                        repack::by_depth(m, k, a, |from, depth, packed| {
                            let beta = if from == 0 { beta } else { 1.0 };
                            let b = (b.0.offset(from as isize * b.1), b.1, b.2);
                            call(depth, packed, b, beta);
                        });
                    }
                } else {
                    call(k, a, b, beta);
                }
                true
            }
        }
    };
}

float_element!(f32, gemm_f32::gemm::f32::get_gemm_fn);
float_element!(f64, gemm_f64::gemm::f64::get_gemm_fn);

macro_rules! integer_element {
    ($($type:ident)*) => {$(
        impl Element for $type {
            const ZERO: Self = 0;
            const ONE: Self = 1;
            #[inline(always)]
            fn add(self, rhs: Self) -> Self {
                self.wrapping_add(rhs)
            }
            #[inline(always)]
            fn mul(self, rhs: Self) -> Self {
                self.wrapping_mul(rhs)
            }
        }

        impl sealed::Kernel for $type {
            unsafe fn blocked(
                _: [usize; 3],
                _: Self,
                _: Operand<Self>,
                _: Operand<Self>,
                _: Self,
                _: Operand<Self>,
            ) -> bool {
                false
            }
        }
    )*};
}

integer_element!(u8 i8 i32 u32 i64 u64);
