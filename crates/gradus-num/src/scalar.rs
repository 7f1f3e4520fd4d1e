//! The number traits: [`Scalar`], in which rules are written, [`Real`], which every number is, and [`Real64`], in which
//! users write.

use core::fmt::Debug;
use core::iter::{Product, Sum};
use core::ops::{Add, AddAssign, Div, DivAssign, Mul, MulAssign, Neg, Rem, RemAssign, Sub, SubAssign};

use crate::table::binary_table;
use crate::{Binary, Unary, composed, for_each_unary};

macro_rules! provide_unary {
    ($($name:ident $op:ident $family:ident {
        $formula:literal, $derivative:literal, $domain:literal; $($rest:tt)*
    })*) => {$(
        #[doc = concat!("`", $formula, "`; derivative `", $derivative, "`; ", $domain, ".")]
        #[inline]
        fn $name(&self) -> Self {
            self.unary(Unary::$op)
        }
    )*};
}

macro_rules! provide_binary {
    ($($name:ident $op:ident $doc:literal;)*) => {$(
        #[doc = $doc]
        #[inline]
        fn $name(&self, rhs: &Self) -> Self {
            self.binary(Binary::$op, rhs)
        }
    )*};
}

/// A number that derivative rules can be written in: `f64`, a dual number, a tape variable, a traced tensor.
///
/// There is no `bool` here, because a traced number has no truth value while it is recorded: comparisons
/// give a [`Mask`](Scalar::Mask) and branches are [`select`](Scalar::select)s. Every elementary function is a
/// provided method over [`unary`](Scalar::unary) or [`binary`](Scalar::binary), so that a number type states
/// a handful of methods and the operation enum stays the only list. (A type for which matching on the enum at
/// run time would cost, such as a dual number, overrides the provided methods from the same list.)
///
/// ```
/// use gradus_num::Scalar;
///
/// fn swish<S: Scalar>(x: &S) -> S {
///     x.clone() * x.sigmoid()
/// }
/// assert_eq!(swish(&0.0_f64), 0.0);
/// ```
pub trait Scalar:
    Clone + Add<Output = Self> + Sub<Output = Self> + Mul<Output = Self> + Div<Output = Self> + Neg<Output = Self>
{
    /// The result of a comparison: `bool` for numbers, a boolean tensor for tensors.
    type Mask: Clone;

    /// The constant `value`, in the number type (and, for tensors, the dtype) of `self`.
    fn lit(&self, value: f64) -> Self;
    /// Applies an element-wise function.
    fn unary(&self, op: Unary) -> Self;
    /// Applies an element-wise function of two arguments.
    fn binary(&self, op: Binary, rhs: &Self) -> Self;
    /// The value and the derivative of `op` where they share their work and `self` is a plain number, whose derivative is
    /// not differentiated again; otherwise `None`, and the rule gives the derivative.
    #[doc(hidden)]
    #[inline]
    fn with_slope(&self, op: Unary) -> Option<(Self, Self)> {
        let _ = op;
        None
    }
    /// `self < rhs`, on primal values.
    fn lt(&self, rhs: &Self) -> Self::Mask;
    /// `self <= rhs`, on primal values.
    fn le(&self, rhs: &Self) -> Self::Mask;
    /// `self == rhs`, on primal values.
    fn eq(&self, rhs: &Self) -> Self::Mask;
    /// The truth of a mask, where it is one for the whole number: `None` for masks that are recorded, or whose lanes differ.
    #[doc(hidden)]
    #[inline]
    fn decided(mask: &Self::Mask) -> Option<bool> {
        let _ = mask;
        None
    }
    /// `on_true` where the mask holds, else `on_false`; tangents are selected with their primals.
    fn select(mask: &Self::Mask, on_true: &Self, on_false: &Self) -> Self;

    /// `self > rhs`, on primal values.
    #[inline]
    fn gt(&self, rhs: &Self) -> Self::Mask {
        rhs.lt(self)
    }
    /// `self >= rhs`, on primal values.
    #[inline]
    fn ge(&self, rhs: &Self) -> Self::Mask {
        rhs.le(self)
    }

    for_each_unary!(provide_unary);
    binary_table!(provide_binary);

    /// `x^n` for an integer `n`; derivative `n x^(n-1)`.
    #[inline]
    fn powi(&self, n: i32) -> Self {
        self.unary(Unary::Powi(n))
    }
    /// `ψ⁽ⁿ⁾(x)`, the `n`-th derivative of digamma; derivative `ψ⁽ⁿ⁺¹⁾(x)`.
    #[inline]
    fn polygamma(&self, n: u32) -> Self {
        self.unary(Unary::Polygamma(n))
    }
    /// `x - y trunc(x/y)`, the sign of `x`; derivatives `1` and `-trunc(x/y)`.
    #[inline]
    fn rem(&self, rhs: &Self) -> Self {
        self.binary(Binary::Rem, rhs)
    }

    /// `k x` for a constant `k`.
    #[inline]
    fn scale(&self, k: f64) -> Self {
        self.clone() * self.lit(k)
    }
    /// `x + k` for a constant `k`.
    #[inline]
    fn shift(&self, k: f64) -> Self {
        self.clone() + self.lit(k)
    }
    /// `x²`.
    #[inline]
    fn square(&self) -> Self {
        self.clone() * self.clone()
    }
    /// `ψ(x)`, the derivative of `ln |Γ(x)|`.
    #[inline]
    fn digamma(&self) -> Self {
        self.polygamma(0)
    }
    /// `x^p` for a constant exponent.
    #[inline]
    fn pow_f64(&self, p: f64) -> Self {
        self.powf(&self.lit(p))
    }
    /// `log₁₀ x`.
    #[inline]
    fn log10(&self) -> Self {
        composed::log10(self)
    }
    /// `x` where positive, else 0 (NaN at NaN); derivative 0 at 0.
    #[inline]
    fn relu(&self) -> Self {
        composed::relu(self)
    }
    /// `ln(p/(1 - p))`, the inverse of [`sigmoid`](Scalar::sigmoid).
    #[inline]
    fn logit(&self) -> Self {
        composed::logit(self)
    }
    /// `sin(x)/x`, 1 at 0; every derivative is accurate near 0.
    #[inline]
    fn sinc(&self) -> Self {
        composed::sinc(self)
    }
    /// `ln(e^x + e^y)` without overflow, smooth at a tie.
    #[inline]
    fn log_add_exp(&self, rhs: &Self) -> Self {
        composed::log_add_exp(self, rhs)
    }
    /// `x ln y`, 0 where `x = 0` whatever `y`.
    #[inline]
    fn xlogy(&self, y: &Self) -> Self {
        composed::xlogy(self, y)
    }
    /// `x` limited to `[low, high]`, NaN if any of the three is; the derivative in `x` is 1 on the closed interval and 0
    /// outside, where that of the bound is 1.
    #[inline]
    fn clip(&self, low: &Self, high: &Self) -> Self {
        composed::clip(self, low, high)
    }
    /// `sin x` and `cos x`.
    #[inline]
    fn sin_cos(&self) -> (Self, Self) {
        (self.sin(), self.cos())
    }
    /// `ln x`, under the standard library's name.
    #[inline]
    fn ln(&self) -> Self {
        self.log()
    }
    /// `ln(1 + x)`, under the standard library's name.
    #[inline]
    fn ln_1p(&self) -> Self {
        self.log1p()
    }
    /// `e^x - 1`, under the standard library's name.
    #[inline]
    fn exp_m1(&self) -> Self {
        self.expm1()
    }
}

/// A real number that users write functions over: `fn f<R: Real>(x: &[R]) -> R`.
///
/// Comparisons look at the primal value, so ordinary control flow works. (Write `a < b` rather than
/// `a.lt(&b)`: [`PartialOrd`] and [`Scalar`] both have a method of that name.)
///
/// A branch has the derivative of the code it runs, and of nothing else. One on *equality* therefore runs, at a single
/// point, code whose derivative need not be the function's: `if x == 0 { 0 } else { x * g(x) }` has the derivative
/// 0 at 0 and not `g(0)`. Write such a branch so that both sides are the function near the point, as
/// [`sinc`](Scalar::sinc) is a series on a whole interval.
///
/// ```
/// use gradus_num::Real;
///
/// fn norm<R: Real>(x: &[R]) -> R {
///     let mut sum = R::zero();
///     for &xi in x {
///         sum += xi * xi;
///     }
///     sum.sqrt()
/// }
/// assert_eq!(norm(&[3.0_f64, 4.0]), 5.0);
/// ```
pub trait Real:
    Scalar
    + Copy
    + PartialOrd
    + Debug
    + Rem<Output = Self>
    + AddAssign
    + SubAssign
    + MulAssign
    + DivAssign
    + Sum
    + Product
{
    /// The constant `value`.
    fn from_f64(value: f64) -> Self;
    /// The primal value.
    fn value(&self) -> f64;

    /// How many points the number is for: 1, but for [`Lanes`](crate::Lanes) and what is built on them.
    const LANES: usize = 1;

    /// Whether dual numbers made of this type keep a zero tangent zero under an infinite local derivative. They do,
    /// but for numbers with which a driver makes a first attempt.
    const GUARDED: bool = true;

    /// Whether the type tells a structural zero, on which nothing depends, from a number that is 0. Where it does,
    /// [`parts_zero`](Real::parts_zero) is that fact; a plain number has no place for it and answers by its value.
    const TRACKED: bool = false;

    /// The constant that has `value(lane)` in each lane.
    #[inline]
    fn from_lanes(mut value: impl FnMut(usize) -> f64) -> Self {
        Self::from_f64(value(0))
    }

    /// The constant 0.
    #[inline]
    fn zero() -> Self {
        Self::from_f64(0.0)
    }
    /// The constant 1.
    #[inline]
    fn one() -> Self {
        Self::from_f64(1.0)
    }
    /// The constant π.
    #[inline]
    fn pi() -> Self {
        Self::from_f64(core::f64::consts::PI)
    }
    /// The constant with the value of an integer.
    #[inline]
    fn from_i32(value: i32) -> Self {
        Self::from_f64(f64::from(value))
    }
    /// The constant with the value of a count (rounded above 2⁵³).
    #[inline]
    fn from_usize(value: usize) -> Self {
        Self::from_f64(value as f64)
    }
    /// Whether the primal is neither infinite nor NaN.
    #[inline]
    fn is_finite(&self) -> bool {
        self.value().is_finite()
    }
    /// Whether the primal is NaN.
    #[inline]
    fn is_nan(&self) -> bool {
        self.value().is_nan()
    }
    /// The product without the rule that a part which is exactly zero stays zero under an infinite factor: for number
    /// types that have made sure, once for a whole operation, that the factors are finite.
    #[inline]
    fn mul_finite(self, rhs: Self) -> Self {
        self * rhs
    }
    /// The tangent `self` times a finite local derivative; a structural zero stays one.
    #[inline]
    fn mul_part(self, slope: Self) -> Self {
        if Self::TRACKED && self.parts_zero() { self } else { self.mul_finite(slope) }
    }
    /// The tangent `self` times the local derivative `slope`: 0 where the tangent is exactly zero, whatever the slope.
    #[inline]
    fn mul_guarded(self, slope: Self) -> Self {
        if self.parts_zero() { self } else { self * slope }
    }
    /// Whether the value and every derivative part it carries are finite.
    #[inline]
    fn parts_finite(&self) -> bool {
        self.value().is_finite()
    }
    /// Whether the value and every derivative part it carries are zero: structurally where the type tells
    /// ([`TRACKED`](Real::TRACKED)), else by their values.
    #[inline]
    fn parts_zero(&self) -> bool {
        self.value() == 0.0
    }
}

/// A [`Real`] that takes `f64` constants on the right of its operators: `x * 2.0`, `x -= 0.5`, `if x > 1.0`.
///
/// This is the trait to write functions over; the traits that drivers take ([`ScalarFn`](crate::ScalarFn) and its kin)
/// promise it. Every number here is one, of whatever depth, but for the plain `f32`, which Rust does not let this crate
/// teach to multiply with an `f64`: `Dual<f32, N>` and `Var<'_, f32>` are, and a function that shall take plain `f32`s as
/// well is written over [`Real`], with [`Real::from_f64`]. On the left a constant is a number first:
/// `R::from_f64(2.0) / x`, or [`recip`](Scalar::recip) and [`neg`](core::ops::Neg::neg).
///
/// A constant has no derivative and takes no tape entry: `x * 2.0` computes what `x * R::from_f64(2.0)` does.
///
/// ```
/// use gradus_num::{Dual, Real64, forward, reverse};
///
/// fn rosenbrock<R: Real64>(x: &[R]) -> R {
///     let (a, b) = (x[0] - 1.0, x[1] - x[0] * x[0]);
///     a * a + b * b * 100.0
/// }
/// assert_eq!(rosenbrock(&[2.0, 1.0]), 901.0);
/// assert_eq!(forward::gradient::<_, 2>(rosenbrock, &[2.0, 1.0]), [2402.0, -600.0]);
/// assert_eq!(reverse::gradient(|x| rosenbrock(x), &[2.0, 1.0]), [2402.0, -600.0]);
/// assert_eq!(forward::gradient::<_, 2>(rosenbrock, &[2.0_f32, 1.0]), [2402.0, -600.0]);
/// ```
pub trait Real64:
    Real
    + Add<f64, Output = Self>
    + Sub<f64, Output = Self>
    + Mul<f64, Output = Self>
    + Div<f64, Output = Self>
    + Rem<f64, Output = Self>
    + AddAssign<f64>
    + SubAssign<f64>
    + MulAssign<f64>
    + DivAssign<f64>
    + RemAssign<f64>
    + PartialOrd<f64>
{
}

impl<R> Real64 for R where
    R: Real
        + Add<f64, Output = R>
        + Sub<f64, Output = R>
        + Mul<f64, Output = R>
        + Div<f64, Output = R>
        + Rem<f64, Output = R>
        + AddAssign<f64>
        + SubAssign<f64>
        + MulAssign<f64>
        + DivAssign<f64>
        + RemAssign<f64>
        + PartialOrd<f64>
{
}
