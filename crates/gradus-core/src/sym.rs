//! A value of a graph under construction as a [`Scalar`], so that the scalar derivative rules emit equations.

use std::cell::RefCell;
use std::ops::{Add, Div, Mul, Neg, Sub};

use gradus_num::{Binary, Scalar, Unary};

use crate::ops::{Compare, Op, Select};
use crate::{Builder, Var};

/// A traced value. All values in one rule have the same float type, so emission cannot fail.
#[derive(Clone, Copy)]
pub(crate) struct Sym<'a, 'b> {
    builder: &'a RefCell<&'b mut Builder>,
    pub(crate) var: Var,
}

impl Sym<'_, '_> {
    fn emit(&self, op: impl Into<Op>, inputs: &[Var]) -> Self {
        let var = self.builder.borrow_mut().emit1(op, inputs).expect("operands of one float type");
        Sym { builder: self.builder, var }
    }
}

/// Runs a rule on values of a builder.
pub(crate) fn with_syms<const N: usize, R>(
    b: &mut Builder,
    vars: [Var; N],
    rule: impl for<'a, 'b> FnOnce([Sym<'a, 'b>; N]) -> R,
) -> R {
    let builder = RefCell::new(b);
    rule(vars.map(|var| Sym { builder: &builder, var }))
}

macro_rules! operators {
    ($($op:ident :: $method:ident),+) => { $(
        impl $op for Sym<'_, '_> {
            type Output = Self;
            fn $method(self, rhs: Self) -> Self { self.emit(Binary::$op, &[self.var, rhs.var]) }
        }
    )+ };
}
operators!(Add::add, Sub::sub, Mul::mul, Div::div);

impl Neg for Sym<'_, '_> {
    type Output = Self;
    fn neg(self) -> Self {
        self.emit(Unary::Neg, &[self.var])
    }
}

impl Scalar for Sym<'_, '_> {
    type Mask = Self;

    fn lit(&self, value: f64) -> Self {
        let mut b = self.builder.borrow_mut();
        let ty = b.ty(self.var).clone();
        let var = b.full(&ty, value);
        Sym { builder: self.builder, var }
    }
    fn unary(&self, op: Unary) -> Self {
        self.emit(op, &[self.var])
    }
    fn binary(&self, op: Binary, rhs: &Self) -> Self {
        self.emit(op, &[self.var, rhs.var])
    }
    fn lt(&self, rhs: &Self) -> Self {
        self.emit(Compare::Lt, &[self.var, rhs.var])
    }
    fn le(&self, rhs: &Self) -> Self {
        self.emit(Compare::Le, &[self.var, rhs.var])
    }
    fn eq(&self, rhs: &Self) -> Self {
        self.emit(Compare::Eq, &[self.var, rhs.var])
    }
    fn select(mask: &Self, on_true: &Self, on_false: &Self) -> Self {
        mask.emit(Select, &[mask.var, on_true.var, on_false.var])
    }
}
