//! The element types of matrix products, each with its kernels.

use super::tile::{Floating, Kernels};

/// A matrix operand of a kernel: the place of element (0, 0), the distance between rows and between columns.
pub(crate) type Operand<T> = (*mut T, isize, isize);

/// How the sums of a product begin, and what becomes of what its result held.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Sum {
    /// They begin with zero and replace it.
    New,
    /// They begin with zero and are added to it.
    Added,
    /// They begin with it, and go on as if an inner dimension had not been cut in two.
    Continued,
}

impl Sum {
    pub(crate) fn added(added: bool) -> Sum {
        if added { Sum::Added } else { Sum::New }
    }
}

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
    /// `self + a · b`, rounded once where the kernels of the machine do so.
    #[doc(hidden)]
    fn add_product<const FUSED: bool>(self, a: Self, b: Self) -> Self;
}

pub(super) mod sealed {
    use super::Kernels;

    /// The kernels of the type.
    pub trait Kernel: Sized {
        /// Those for this machine; none where plain loops have to do.
        fn kernels() -> Option<&'static Kernels<Self>>;
    }
}

macro_rules! float_element {
    ($type:ident) => {
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
            #[inline(always)]
            fn add_product<const FUSED: bool>(self, a: Self, b: Self) -> Self {
                if FUSED { a.mul_add(b, self) } else { a * b + self }
            }
        }

        impl sealed::Kernel for $type {
            fn kernels() -> Option<&'static Kernels<Self>> {
                Some(<$type as Floating>::kernels())
            }
        }
    };
}

float_element!(f32);
float_element!(f64);

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
            #[inline(always)]
            fn add_product<const FUSED: bool>(self, a: Self, b: Self) -> Self {
                self.wrapping_add(a.wrapping_mul(b))
            }
        }

        impl sealed::Kernel for $type {
            fn kernels() -> Option<&'static Kernels<Self>> {
                None
            }
        }
    )*};
}

integer_element!(u8 i8 i32 u32 i64 u64);
