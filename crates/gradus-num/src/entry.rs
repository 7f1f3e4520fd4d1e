//! The entry of an element-wise function of one argument: everything about it but its value and its rule.

use crate::Reads;

/// The entry of an element-wise function: all lists, checks and pages of documentation are made from these.
///
/// ```
/// use gradus_num::{Reads, Unary};
///
/// let entry = Unary::Log1p.entry();
/// assert_eq!((entry.name, entry.formula, entry.derivative), ("log1p", "ln(1 + x)", "1/(1 + x)"));
/// assert_eq!(entry.reads, Reads::Input);
/// assert!(((entry.reference)(1.0) - std::f64::consts::LN_2).abs() < 1e-15);
/// ```
#[derive(Clone, Copy, Debug)]
pub struct Entry {
    /// The name of the method that applies it.
    pub name: &'static str,
    /// The value, as a formula in `x`.
    pub formula: &'static str,
    /// The derivative, as a formula in `x`.
    pub derivative: &'static str,
    /// Where it is defined, and what it is where it has no derivative, in words.
    pub domain: &'static str,
    /// What its rule reads.
    pub reads: Reads,
    /// Whether it bends.
    pub curve: Curve,
    /// What an evaluation costs: its kind, and roughly how many arithmetic operations, as vectorised.
    pub cost: (Kind, f64),
    /// Where it is defined and smooth.
    pub within: Domain,
    /// Where checks sample it: one or two intervals inside the domain, away from kinks and poles.
    pub sample: &'static [(f64, f64)],
    /// The arguments of checks at the edges; none for zeros, ties, infinities, huge and tiny numbers.
    pub edges: &'static [f64],
    /// Whether the value is exact by nature, so that there is no table of more digits.
    pub exact: bool,
    /// How many units in the last place a value may be off.
    pub units: f64,
    /// The size of its waves, to whose last bit values near its zeros are held; 0 where they are held to their own.
    pub wave: fn(f64) -> f64,
    /// The value by another formula or another library, for checks: slower, and not to the last bit.
    pub reference: fn(f64) -> f64,
    /// The value to any number of digits, as an expression of Python's `mpmath` in `x`; tables are made from it.
    pub mpmath: &'static str,
    /// First and second derivative at arguments where they are a convention or a limit: `(x, first, second)`.
    pub at: &'static [(f64, f64, f64)],
    /// The sentence of `docs/kinks.md` that says what the derivative is where there is none.
    pub kinks: &'static [&'static str],
}

impl Entry {
    /// What most functions have in common.
    pub(crate) const USUAL: Entry = Entry {
        name: "",
        formula: "",
        derivative: "",
        domain: "",
        reads: Reads::Input,
        curve: Curve::Curved,
        cost: (Kind::Elementary, 20.0),
        within: Domain::All,
        sample: &[(-3.0, 3.0)],
        edges: &[],
        exact: false,
        units: 2.0,
        wave: |_| 0.0,
        reference: |_| f64::NAN,
        mpmath: "",
        at: &[],
        kinks: &[],
    };
}

/// Whether a function of one argument bends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Curve {
    /// A step function: its derivative is 0 wherever there is one.
    Step,
    /// Straight, but for a kink: its second derivative is 0 wherever there is one.
    Straight,
    /// Neither.
    Curved,
}

/// Kinds of operations by what they cost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// About as much as an addition.
    Sum,
    /// A multiplication.
    Product,
    /// A division or a root.
    Division,
    /// An exponential, logarithm, trigonometric or hyperbolic function.
    Elementary,
    /// A power, an error function, the gamma family, Bessel functions.
    Special,
}

/// Where a function is defined and smooth.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Domain {
    /// Everywhere.
    All,
    /// But for 0, or for poles of which none is near 0.
    NonZero,
    /// `x > 0`
    Positive,
    /// `x > -1`
    AboveMinusOne,
    /// `-1 < x < 1`
    Unit,
    /// `x > 1`
    AboveOne,
}
