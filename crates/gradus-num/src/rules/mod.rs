//! Every derivative formula, once.
//!
//! A rule takes the argument `x` and the result `y` of one element-wise function and gives the local
//! derivative `dy/dx`. It is written over [`Scalar`], so at `f64` it is the derivative, at a dual number it
//! is differentiated again, at a traced tensor it is recorded. A rule uses `y` only where that is accurate over
//! the whole domain, and each is written so that its *own* derivatives are accurate too: no difference of
//! nearly equal terms may appear when it is differentiated.
//!
//! Conventions at points without a derivative: `max`/`min` share a tie equally, `abs` has 0 at 0, steps have
//! 0 everywhere, `hypot` has 0 at the origin, `x^y` at `x = 0` the limits from the right. A vertical tangent is infinite
//! (`sqrt` at 0). They are formulas like the others, so that they hold to any order: what a rule says at such a point is
//! differentiated like all it says, and both orders of differentiation have to agree there.

pub mod binary;
pub mod exponential;
pub mod hyperbolic;
pub mod kinks;
pub mod powers;
pub mod special;
pub mod trig;

use crate::{Binary, Scalar, Unary, for_each_unary};

macro_rules! dispatch {
    ($($name:ident $op:ident $family:ident $entry:tt)*) => {
        impl Unary {
            /// The local derivative `dy/dx` at the argument `x` with result `y`.
            ///
            /// ```
            /// use gradus_num::{Scalar, Unary};
            ///
            /// let x = 20.0_f64;
            /// let slope = Unary::Tanh.derivative(&x, &Scalar::tanh(&x));
            /// assert!((slope / 1.6993417021166356e-17 - 1.0).abs() < 1e-14);
            /// ```
            #[inline]
            pub fn derivative<S: Scalar>(self, x: &S, y: &S) -> S {
                match self {
                    Self::Neg => x.lit(-1.0),
                    Self::Powi(n) => powers::powi(x, y, n),
                    Self::Polygamma(n) => special::polygamma(x, y, n),
                    $(Self::$op => $family::$name(x, y),)*
                }
            }
        }
    };
}
for_each_unary!(dispatch);

/// `on_true` where the mask holds, else `on_false`; only that one is computed where the mask is decided.
#[inline(always)]
pub(crate) fn pick<S: Scalar>(
    mask: &S::Mask,
    on_true: impl FnOnce() -> S,
    on_false: impl FnOnce() -> S,
) -> S {
    match S::decided(mask) {
        Some(true) => on_true(),
        Some(false) => on_false(),
        None => S::select(mask, &on_true(), &on_false()),
    }
}

/// The value and the derivative of an operation whose value and derivative share their work: sine and cosine, and what
/// a plain number type says of its own.
#[inline(always)]
pub(crate) fn joint<S: Scalar>(op: Unary, x: &S) -> Option<(S, S)> {
    match op {
        Unary::Sin => Some(x.sin_cos()),
        Unary::Cos => {
            let (sin, cos) = x.sin_cos();
            Some((cos, -sin))
        }
        Unary::Sigmoid | Unary::Tanh => x.with_slope(op),
        _ => None,
    }
}

impl Binary {
    /// The local derivatives `(∂out/∂x, ∂out/∂y)` at the arguments `x`, `y` with result `out`.
    ///
    /// ```
    /// use gradus_num::Binary;
    ///
    /// assert_eq!(Binary::Mul.partials(&2.0, &3.0, &6.0), (3.0, 2.0));
    /// assert_eq!(Binary::Max.partials(&1.0, &1.0, &1.0), (0.5, 0.5));
    /// ```
    #[inline]
    pub fn partials<S: Scalar>(self, x: &S, y: &S, out: &S) -> (S, S) {
        match self {
            Self::Add => (x.lit(1.0), x.lit(1.0)),
            Self::Sub => (x.lit(1.0), x.lit(-1.0)),
            Self::Mul => (y.clone(), x.clone()),
            Self::Div => binary::div(x, y, out),
            Self::Rem => binary::rem(x, y, out),
            Self::Pow => binary::powf(x, y, out),
            Self::Atan2 => binary::atan2(x, y, out),
            Self::Hypot => binary::hypot(x, y, out),
            Self::Max => binary::max(x, y, out),
            Self::Min => binary::min(x, y, out),
        }
    }
}
