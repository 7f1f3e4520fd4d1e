//! Functions of one tensor, element by element.

use gradus_core::ops::{Cast, Clamp, StopGradient};
use gradus_core::{Binary, Unary};

use crate::literal::Literal;
use crate::tensor::arith::broadcasting;
use crate::trace::{OrFail, here};
use crate::{DType, Tensor};

macro_rules! functions {
    ($($(#[$doc:meta])+ $name:ident => $op:ident),+ $(,)?) => {
        impl Tensor { $(
            $(#[$doc])+
            #[track_caller]
            pub fn $name(&self) -> Tensor { Tensor::apply(Unary::$op, &[self]) }
        )+ }
    };
}

functions! {
    /// `|x|`; derivative 0 at 0.
    abs => Abs,
    /// `-1`, `0` or `1`; derivative 0.
    sign => Sign,
    /// The largest integer not above `x`; derivative 0.
    floor => Floor,
    /// The smallest integer not below `x`; derivative 0.
    ceil => Ceil,
    /// The nearest integer, ties to even; derivative 0.
    round => Round,
    /// `1/x`.
    recip => Recip,
    /// `√x`.
    sqrt => Sqrt,
    /// `1/√x`.
    rsqrt => Rsqrt,
    /// `∛x`.
    cbrt => Cbrt,
    /// `eˣ`.
    exp => Exp,
    /// `2ˣ`.
    exp2 => Exp2,
    /// `eˣ - 1`, accurate near 0.
    expm1 => Expm1,
    /// `ln x`.
    log => Log,
    /// `log₂ x`.
    log2 => Log2,
    /// `ln(1 + x)`, accurate near 0.
    log1p => Log1p,
    /// `sin x`.
    sin => Sin,
    /// `cos x`.
    cos => Cos,
    /// `tan x`.
    tan => Tan,
    /// `arcsin x`.
    asin => Asin,
    /// `arccos x`.
    acos => Acos,
    /// `arctan x`.
    atan => Atan,
    /// `sinh x`.
    sinh => Sinh,
    /// `cosh x`.
    cosh => Cosh,
    /// `tanh x`.
    tanh => Tanh,
    /// `arsinh x`.
    asinh => Asinh,
    /// `arcosh x`.
    acosh => Acosh,
    /// `artanh x`.
    atanh => Atanh,
    /// `sech² x = 1/cosh² x`, accurate in both tails.
    sech2 => Sech2,
    /// `1/(1 + e⁻ˣ)`.
    sigmoid => Sigmoid,
    /// `ln(1 + eˣ)`.
    softplus => Softplus,
    /// `2/√π ∫₀ˣ e^(-t²) dt`.
    erf => Erf,
    /// `1 - erf x`, accurate for large `x`.
    erfc => Erfc,
    /// `ln |Γ(x)|`.
    lgamma => Lgamma,
}

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
