//! Functions of one tensor, element by element.

use gradus_core::ops::{Cast, Clamp, StopGradient};
use gradus_core::{Binary, Unary};
use gradus_num::for_each_unary;

use crate::literal::Literal;
use crate::tensor::arith::broadcasting;
use crate::trace::{OrFail, here};
use crate::{DType, Tensor};

macro_rules! functions {
    ($($name:ident $Op:ident $family:ident {
        $formula:literal, $derivative:literal, $domain:literal; $($rest:tt)*
    })*) => {
        impl Tensor { $(
            #[doc = concat!("`", $formula, "`; derivative `", $derivative, "`; ", $domain, ".")]
            #[track_caller]
            pub fn $name(&self) -> Tensor { Tensor::apply(Unary::$Op, &[self]) }
        )* }
    };
}
for_each_unary!(functions);

impl Tensor {
    /// `ψ⁽ⁿ⁾(x)`: digamma for `n = 0`, trigamma for `n = 1`.
    #[track_caller]
    pub fn polygamma(&self, n: u32) -> Tensor {
        Tensor::apply(Unary::Polygamma(n), &[self])
    }

    /// `xⁿ` for a fixed integer.
    #[track_caller]
    pub fn powi(&self, n: i32) -> Tensor {
        Tensor::apply(Unary::Powi(n), &[self])
    }

    /// `xᵖ` for a fixed real exponent.
    #[track_caller]
    pub fn powf(&self, p: f64) -> Tensor {
        self.of_floats("powf");
        // What is 1 for every number depends on none of them.
        if p == 0.0 { self.powi(0) } else { self.with_constant(Binary::Pow, p) }
    }

    /// `x²`.
    #[track_caller]
    pub fn square(&self) -> Tensor {
        self * self
    }

    /// `x` limited to `[low, high]`. The derivative is 1 on the whole interval, its bounds included.
    #[track_caller]
    pub fn clamp(&self, low: impl Literal, high: impl Literal) -> Tensor {
        let (low, high) = (low.beside(self), high.beside(self));
        broadcasting(Clamp, &[self, &low, &high], &here()).or_fail()
    }

    /// Converted to another dtype as Rust's `as` does it. Differentiable between floats.
    #[track_caller]
    pub fn cast(&self, dtype: DType) -> Tensor {
        if dtype == self.dtype() { self.clone() } else { Tensor::apply(Cast(dtype), &[self]) }
    }

    /// The same value with derivative zero.
    #[track_caller]
    pub fn stop_gradient(&self) -> Tensor {
        Tensor::apply(StopGradient, &[self])
    }

    /// Whether each element is NaN.
    #[track_caller]
    pub fn is_nan(&self) -> Tensor {
        self.not_equal(self)
    }

    /// Whether each element is neither NaN nor infinite.
    #[track_caller]
    pub fn is_finite(&self) -> Tensor {
        self.abs().less(f64::INFINITY)
    }
}
