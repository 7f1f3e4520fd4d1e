//! [`Tracked`]: what drivers put into dual numbers when a first attempt left a NaN.
//!
//! A plain number that is 0 does not say whether a tangent is 0 because nothing depends on that direction, in which case no
//! infinite derivative changes that, or because a derivative happens to be 0, which times infinity is NaN. This one does.

use crate::{Binary, Real, Scalar, Unary};

/// An `f64` and whether anything has reached it. Products and quotients take that from their left side, which in a dual
/// number is the tangent.
#[derive(Clone, Copy)]
pub(crate) struct Tracked {
    value: f64,
    reached: bool,
}

impl Tracked {
    const fn constant(value: f64) -> Self {
        Tracked { value, reached: value != 0.0 }
    }
}

impl Scalar for Tracked {
    type Mask = bool;

    fn lit(&self, value: f64) -> Self {
        Tracked::constant(value)
    }
    fn unary(&self, op: Unary) -> Self {
        Tracked { value: self.value.unary(op), reached: self.reached || op != Unary::Neg }
    }
    fn binary(&self, op: Binary, rhs: &Self) -> Self {
        let reached = match op {
            Binary::Add | Binary::Sub => self.reached || rhs.reached,
            Binary::Mul | Binary::Div => self.reached,
            _ => true,
        };
        Tracked { value: self.value.binary(op, &rhs.value), reached }
    }
    fn lt(&self, rhs: &Self) -> bool {
        self.value < rhs.value
    }
    fn le(&self, rhs: &Self) -> bool {
        self.value <= rhs.value
    }
    fn eq(&self, rhs: &Self) -> bool {
        self.value == rhs.value
    }
    fn decided(mask: &bool) -> Option<bool> {
        Some(*mask)
    }
    fn select(mask: &bool, on_true: &Self, on_false: &Self) -> Self {
        if *mask { *on_true } else { *on_false }
    }
}

impl Real for Tracked {
    const TRACKED: bool = true;

    fn from_f64(value: f64) -> Self {
        Tracked::constant(value)
    }
    fn value(&self) -> f64 {
        self.value
    }
    fn parts_zero(&self) -> bool {
        !self.reached
    }
}

crate::operators::real_operators!([] Tracked);
