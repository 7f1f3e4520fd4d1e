//! Functions of one tensor, element by element.

use gradus_core::ops::{Cast, Clamp, StopGradient};
use gradus_core::{Binary, Unary};
use gradus_num::for_each_unary;

use crate::literal::Literal;
use crate::tensor::arith::broadcasting;
use crate::trace::{OrFail, here};
use crate::{Bf16, DType, F16, Tensor};

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

    /// `log x`, as Rust calls it: [`log`](Tensor::log).
    #[track_caller]
    pub fn ln(&self) -> Tensor {
        self.log()
    }

    /// The integer next to `x` towards 0; derivative 0.
    ///
    /// ```
    /// # use gradus::Tensor;
    /// assert_eq!(Tensor::from([1.7, -1.7]).trunc(), Tensor::from([1.0, -1.0]));
    /// ```
    #[track_caller]
    pub fn trunc(&self) -> Tensor {
        self.of_floats("trunc");
        self.less(0.0).select(self.ceil(), self.floor())
    }

    /// `|x|` with the sign of `y`, that of a zero included; a NaN counts as positive. Derivative by `x`: the product of both signs.
    ///
    /// ```
    /// # use gradus::Tensor;
    /// let x = Tensor::from([1.0, -2.0, 3.0]);
    /// assert_eq!(x.copysign(&Tensor::from([-0.0, 5.0, -1.0])), Tensor::from([-1.0, 2.0, -3.0]));
    /// ```
    #[track_caller]
    pub fn copysign(&self, sign: impl Literal) -> Tensor {
        self.of_floats("copysign");
        let sign = sign.beside(self).stop_gradient();
        let negative = sign.less(0.0) | (sign.equal(0.0) & sign.recip().less(0.0));
        let size = self.abs();
        negative.select(-&size, size)
    }

    /// `⌊x / y⌋`: the quotient rounded down, as `//` of Python; `/` of integers rounds towards 0. Derivative 0.
    ///
    /// ```
    /// # use gradus::Tensor;
    /// assert_eq!(Tensor::from([7i64, -7]).floor_divide(2), Tensor::from([3i64, -4]));
    /// ```
    #[track_caller]
    pub fn floor_divide(&self, divisor: impl Literal) -> Tensor {
        let y = divisor.beside(self);
        if !self.dtype().is_int() {
            return (self / y).floor();
        }
        let (quotient, rest) = (self / &y, self % &y);
        let other_side = rest.not_equal(0) & rest.less(0).not_equal(y.less(0));
        other_side.select(&quotient - 1, &quotient)
    }

    /// `x - y ⌊x / y⌋`: the rest with the sign of the divisor, as `%` of Python; the operator `%` has the sign of `x`. Derivatives
    /// 1 and `-⌊x / y⌋`.
    ///
    /// ```
    /// # use gradus::Tensor;
    /// assert_eq!(Tensor::from([7.0, -7.0]).remainder(4.0), Tensor::from([3.0, 1.0]));
    /// assert_eq!(Tensor::from([7i64, -7]) % 4, Tensor::from([3i64, -3]));
    /// ```
    #[track_caller]
    pub fn remainder(&self, divisor: impl Literal) -> Tensor {
        let y = divisor.beside(self);
        let rest = self % &y;
        let other_side = rest.not_equal(0) & rest.less(0).not_equal(y.less(0));
        other_side.select(&rest + &y, &rest)
    }

    /// `nan` where an element is NaN, and the largest or smallest number of its type where it is infinite. The derivative there
    /// is 0.
    ///
    /// ```
    /// # use gradus::Tensor;
    /// let x = Tensor::from([f64::NAN, f64::NEG_INFINITY, 1.0]);
    /// assert_eq!(x.nan_to_num(0.0), Tensor::from([0.0, f64::MIN, 1.0]));
    /// ```
    #[track_caller]
    pub fn nan_to_num(&self, nan: impl Literal) -> Tensor {
        self.of_floats("nan_to_num");
        let largest = match self.dtype() {
            DType::F64 => f64::MAX,
            DType::Bf16 => f64::from(Bf16(0x7f7f)),
            DType::F16 => f64::from(F16(0x7bff)),
            DType::F32 | DType::I32 | DType::I64 | DType::Bool | DType::U8 => f64::from(f32::MAX),
        };
        let infinite = self.greater(0.0).select(largest.beside(self), (-largest).beside(self));
        let other = self.is_nan().select(nan.beside(self), infinite);
        self.is_finite().select(self, other)
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
