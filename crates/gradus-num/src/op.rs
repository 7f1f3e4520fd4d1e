//! The closed set of element-wise operations that have a derivative.
//!
//! Each variant has exactly one derivative formula, in [`crate::rules`]; the same variant is evaluated on
//! `f64`, on dual numbers, on tape variables and on whole tensors.

/// An element-wise function of one argument.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Unary {
    /// `-x`
    Neg,
    /// `|x|`; derivative 0 at 0
    Abs,
    /// `-1`, `0` or `1` (0 at ±0, NaN at NaN); derivative 0
    Sign,
    /// Largest integer not above `x`; derivative 0
    Floor,
    /// Smallest integer not below `x`; derivative 0
    Ceil,
    /// Nearest integer, ties to even; derivative 0
    Round,
    /// `1/x`
    Recip,
    /// `x^n` for a fixed integer `n`
    Powi(i32),
    /// `√x`
    Sqrt,
    /// `1/√x`
    Rsqrt,
    /// `∛x`, odd
    Cbrt,
    /// `e^x`
    Exp,
    /// `2^x`
    Exp2,
    /// `e^x - 1`
    Expm1,
    /// `ln x`
    Log,
    /// `log₂ x`
    Log2,
    /// `ln(1 + x)`
    Log1p,
    /// `sin x`
    Sin,
    /// `cos x`
    Cos,
    /// `tan x`
    Tan,
    /// `arcsin x`
    Asin,
    /// `arccos x`
    Acos,
    /// `arctan x`
    Atan,
    /// `sinh x`
    Sinh,
    /// `cosh x`
    Cosh,
    /// `tanh x`
    Tanh,
    /// `arsinh x`
    Asinh,
    /// `arcosh x`
    Acosh,
    /// `artanh x`
    Atanh,
    /// `1/(1 + e^-x)`
    Sigmoid,
    /// `ln(1 + e^x)`
    Softplus,
    /// `2/√π ∫₀ˣ e^-t² dt`
    Erf,
    /// `1 - erf x`
    Erfc,
    /// `ln |Γ(x)|`
    Lgamma,
    /// `ψ⁽ⁿ⁾(x)`, the `n`-th derivative of digamma
    Polygamma(u32),
}

/// An element-wise function of two arguments.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Binary {
    /// `x + y`
    Add,
    /// `x - y`
    Sub,
    /// `x y`
    Mul,
    /// `x / y`
    Div,
    /// `x - y trunc(x/y)`, the sign of `x`
    Rem,
    /// `x^y`
    Pow,
    /// The angle of the point `(y: second, x: first)`: `atan2(first, second)`
    Atan2,
    /// `√(x² + y²)`
    Hypot,
    /// The larger; NaN if either is; at a tie each argument has derivative ½
    Max,
    /// The smaller; NaN if either is; at a tie each argument has derivative ½
    Min,
}

/// What a derivative formula reads: what reverse mode has to keep until it comes back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reads {
    /// Neither: the derivative is a constant.
    Nothing,
    /// The arguments.
    Input,
    /// The result.
    Output,
    /// Arguments and result.
    Both,
}
