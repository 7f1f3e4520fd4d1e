//! The two number traits: [`Scalar`], in which rules are written, and [`Real`], in which users write.

use core::ops::{Add, Div, Mul, Neg, Sub};

use crate::{Binary, Unary};

/// A number that derivative rules can be written in: `f64`, a dual number, a tape variable, a traced tensor.
///
/// There is no `bool` here, because a traced number has no truth value while it is recorded: comparisons
/// give a [`Mask`](Scalar::Mask) and branches are [`select`](Scalar::select)s. Every elementary function is a
/// provided method over [`unary`](Scalar::unary) or [`binary`](Scalar::binary), so that a number type states
/// a handful of methods and the operation enum stays the only list.
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
    /// `self < rhs`, on primal values.
    fn lt(&self, rhs: &Self) -> Self::Mask;
    /// `self <= rhs`, on primal values.
    fn le(&self, rhs: &Self) -> Self::Mask;
    /// `self == rhs`, on primal values.
    fn eq(&self, rhs: &Self) -> Self::Mask;
    /// `on_true` where the mask holds, else `on_false`; tangents are selected with their primals.
    fn select(mask: &Self::Mask, on_true: &Self, on_false: &Self) -> Self;
}

/// A real number that users write functions over: `fn f<R: Real>(x: &[R]) -> R`.
///
/// Comparisons look at the primal value, so ordinary control flow works.
pub trait Real: Scalar<Mask = bool> + Copy + PartialOrd {
    /// The constant `value`.
    fn from_f64(value: f64) -> Self;
    /// The primal value.
    fn value(&self) -> f64;
}
