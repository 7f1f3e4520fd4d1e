//! The closed set of element-wise operations that have a derivative.
//!
//! Each variant has exactly one derivative formula, in [`crate::rules`]; the same variant is evaluated on
//! `f64`, on dual numbers, on tape variables and on whole tensors.

use core::fmt;

use Curve::{Step, Straight};
use Domain::{AboveMinusOne, AboveOne, NonZero, Positive, Unit};
use Kind::{Division, Elementary, Product, Special, Sum};
use Reads::{Both, Nothing, Output};

use crate::entry::{Curve, Domain, Entry, Kind};
use crate::for_each_unary;
use crate::math::{elementary, special};

macro_rules! unary {
    ($($name:ident $Op:ident $family:ident {
        $formula:literal, $derivative:literal, $domain:literal; $($field:ident: $value:expr),* $(,)?
    })*) => {
        /// An element-wise function of one argument: value, derivative, domain.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub enum Unary {
            /// `-x`; `-1`; all x.
            Neg,
            /// `xⁿ` for a fixed integer `n`; `n xⁿ⁻¹`; all x, x ≠ 0 for n < 0.
            Powi(i32),
            /// `ψ⁽ⁿ⁾(x)`, the `n`-th derivative of digamma; `ψ⁽ⁿ⁺¹⁾(x)`; x not 0, -1, -2, ….
            Polygamma(u32),
            $(#[doc = concat!("`", $formula, "`; `", $derivative, "`; ", $domain, ".")] $Op,)*
        }

        impl Unary {
            /// Every function once; those with a parameter at a representative value.
            pub const ALL: &'static [Self] = &[Self::Neg, Self::Powi(3), Self::Polygamma(0), $(Self::$Op),*];

            /// All there is to say of it.
            #[inline]
            pub const fn entry(self) -> &'static Entry {
                match self {
                    Self::Neg => &NEG,
                    Self::Powi(_) => &POWI,
                    Self::Polygamma(_) => &POLYGAMMA,
                    $(Self::$Op => const {
                        &Entry {
                            name: stringify!($name),
                            formula: $formula,
                            derivative: $derivative,
                            domain: $domain,
                            $($field: $value,)*
                            ..Entry::USUAL
                        }
                    },)*
                }
            }
        }
    };
}
for_each_unary!(unary);

const INF: f64 = f64::INFINITY;
const STEPS: &[&str] = &["0 everywhere, the steps included"];
/// Steps of the functions that round, and what lies between.
const FLAT: &[(f64, f64, f64)] = &[(-1.0, 0.0, 0.0), (0.0, 0.0, 0.0), (0.5, 0.0, 0.0), (2.0, 0.0, 0.0)];

const NEG: Entry = Entry {
    name: "neg",
    formula: "-x",
    derivative: "-1",
    domain: "all x",
    reads: Nothing,
    curve: Straight,
    cost: (Sum, 1.0),
    sample: &[(-2.0, 2.0)],
    exact: true,
    reference: |x| -x,
    mpmath: "-x",
    ..Entry::USUAL
};

const POWI: Entry = Entry {
    name: "powi",
    formula: "xⁿ",
    derivative: "n xⁿ⁻¹",
    domain: "all x; x ≠ 0 for n < 0",
    cost: (Product, 1.0),
    within: NonZero,
    sample: &[(-2.0, -0.4), (0.4, 2.0)],
    mpmath: "x**n",
    ..Entry::USUAL
};

const POLYGAMMA: Entry = Entry {
    name: "polygamma",
    formula: "ψ⁽ⁿ⁾(x)",
    derivative: "ψ⁽ⁿ⁺¹⁾(x)",
    domain: "x not 0, -1, -2, …",
    cost: (Special, 80.0),
    within: Positive,
    sample: &[(0.7, 6.0)],
    edges: &[1.0, 2.0, 0.01, 0.5, 30.0, 1e4, f64::NAN],
    units: 4.0,
    mpmath: "psi(n, x)",
    ..Entry::USUAL
};

impl Unary {
    /// The name of the method that applies it.
    pub const fn name(self) -> &'static str {
        self.entry().name
    }

    /// Whether the function is a step function: what it gives depends on nothing, as far as derivatives are concerned.
    #[inline]
    pub const fn is_step(self) -> bool {
        matches!(self.curve(), Curve::Step)
    }

    /// Whether the function is linear, so that it is its own derivative.
    pub const fn is_linear(self) -> bool {
        matches!(self, Self::Neg)
    }

    /// Whether it bends, its parameter counted.
    #[inline]
    pub const fn curve(self) -> Curve {
        match self {
            Self::Powi(0) => Curve::Step,
            Self::Powi(1) => Curve::Straight,
            _ => self.entry().curve,
        }
    }

    /// What [`derivative`](Self::derivative) reads.
    pub const fn reads(self) -> Reads {
        self.entry().reads
    }

    /// Whether the value is exact by nature, its parameter counted.
    pub const fn is_exact(self) -> bool {
        matches!(self, Self::Powi(0 | 1)) || self.entry().exact
    }
}

impl fmt::Display for Unary {
    /// The name, with the parameter of those that have one: `powi(3)`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Powi(n) => write!(f, "powi({n})"),
            Self::Polygamma(n) => write!(f, "polygamma({n})"),
            _ => f.pad(self.name()),
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

    /// Whether the value is exact by nature.
    pub const fn is_exact(self) -> bool {
        matches!(self, Self::Rem | Self::Max | Self::Min)
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
