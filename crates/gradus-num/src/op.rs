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
    /// `sech² x = 1/cosh² x`
    Sech2,
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

impl Unary {
    /// Every function once; those with a parameter at a representative value.
    pub const ALL: &'static [Self] = &[
        Self::Neg,
        Self::Abs,
        Self::Sign,
        Self::Floor,
        Self::Ceil,
        Self::Round,
        Self::Recip,
        Self::Powi(3),
        Self::Sqrt,
        Self::Rsqrt,
        Self::Cbrt,
        Self::Exp,
        Self::Exp2,
        Self::Expm1,
        Self::Log,
        Self::Log2,
        Self::Log1p,
        Self::Sin,
        Self::Cos,
        Self::Tan,
        Self::Asin,
        Self::Acos,
        Self::Atan,
        Self::Sinh,
        Self::Cosh,
        Self::Tanh,
        Self::Asinh,
        Self::Acosh,
        Self::Atanh,
        Self::Sech2,
        Self::Sigmoid,
        Self::Softplus,
        Self::Erf,
        Self::Erfc,
        Self::Lgamma,
        Self::Polygamma(0),
    ];

    /// The name of the method that applies it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Neg => "neg",
            Self::Abs => "abs",
            Self::Sign => "sign",
            Self::Floor => "floor",
            Self::Ceil => "ceil",
            Self::Round => "round",
            Self::Recip => "recip",
            Self::Powi(_) => "powi",
            Self::Sqrt => "sqrt",
            Self::Rsqrt => "rsqrt",
            Self::Cbrt => "cbrt",
            Self::Exp => "exp",
            Self::Exp2 => "exp2",
            Self::Expm1 => "expm1",
            Self::Log => "log",
            Self::Log2 => "log2",
            Self::Log1p => "log1p",
            Self::Sin => "sin",
            Self::Cos => "cos",
            Self::Tan => "tan",
            Self::Asin => "asin",
            Self::Acos => "acos",
            Self::Atan => "atan",
            Self::Sinh => "sinh",
            Self::Cosh => "cosh",
            Self::Tanh => "tanh",
            Self::Asinh => "asinh",
            Self::Acosh => "acosh",
            Self::Atanh => "atanh",
            Self::Sech2 => "sech2",
            Self::Sigmoid => "sigmoid",
            Self::Softplus => "softplus",
            Self::Erf => "erf",
            Self::Erfc => "erfc",
            Self::Lgamma => "lgamma",
            Self::Polygamma(_) => "polygamma",
        }
    }

    /// Whether the function is a step function: what it gives depends on nothing, as far as derivatives are concerned.
    pub const fn is_step(self) -> bool {
        matches!(self, Self::Sign | Self::Floor | Self::Ceil | Self::Round | Self::Powi(0))
    }

    /// Whether the function is linear, so that it is its own derivative.
    pub const fn is_linear(self) -> bool {
        matches!(self, Self::Neg)
    }

    /// What [`derivative`](Self::derivative) reads.
    pub const fn reads(self) -> Reads {
        match self {
            Self::Neg | Self::Sign | Self::Floor | Self::Ceil | Self::Round => Reads::Nothing,
            Self::Abs
            | Self::Powi(_)
            | Self::Expm1
            | Self::Log
            | Self::Log2
            | Self::Log1p
            | Self::Sin
            | Self::Cos
            | Self::Asin
            | Self::Acos
            | Self::Atan
            | Self::Sinh
            | Self::Cosh
            | Self::Asinh
            | Self::Acosh
            | Self::Atanh
            | Self::Tanh
            | Self::Sigmoid
            | Self::Softplus
            | Self::Erf
            | Self::Erfc
            | Self::Lgamma
            | Self::Polygamma(_) => Reads::Input,
            Self::Recip | Self::Sqrt | Self::Rsqrt | Self::Cbrt | Self::Exp | Self::Exp2 | Self::Tan => {
                Reads::Output
            }
            Self::Sech2 => Reads::Both,
        }
    }
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

impl Binary {
    /// Every function once.
    pub const ALL: &'static [Self] = &[
        Self::Add,
        Self::Sub,
        Self::Mul,
        Self::Div,
        Self::Rem,
        Self::Pow,
        Self::Atan2,
        Self::Hypot,
        Self::Max,
        Self::Min,
    ];

    /// The name of the method that applies it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Add => "add",
            Self::Sub => "sub",
            Self::Mul => "mul",
            Self::Div => "div",
            Self::Rem => "rem",
            Self::Pow => "powf",
            Self::Atan2 => "atan2",
            Self::Hypot => "hypot",
            Self::Max => "max",
            Self::Min => "min",
        }
    }

    /// Whether the function is linear in both arguments taken together.
    pub const fn is_linear(self) -> bool {
        matches!(self, Self::Add | Self::Sub)
    }

    /// What [`partials`](Self::partials) read.
    pub const fn reads(self) -> Reads {
        match self {
            Self::Add | Self::Sub => Reads::Nothing,
            Self::Mul | Self::Atan2 | Self::Max | Self::Min => Reads::Input,
            Self::Div | Self::Rem | Self::Pow | Self::Hypot => Reads::Both,
        }
    }
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
