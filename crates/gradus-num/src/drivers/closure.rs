//! Closures for drivers: a function at one number type that stands for all, [`AnyReal`].
//!
//! A closure has one argument type, a driver calls its function at many. So the numbers that a driver puts in stay in an
//! arena, and the closure computes with references to them: each operation goes through a virtual call to the arena, which
//! knows the type. The closure is compiled once, for all modes.

use core::cell::RefCell;
use core::fmt;
use std::vec::Vec;

use super::{ScalarFn, VectorFn};
use crate::{Binary, Real, Real64, Scalar, Unary};

/// A number of any type: what a closure wrapped by [`closure`] or [`vector_closure`] computes with.
///
/// `Copy`, with all operators, comparisons and functions of [`Real64`]; functions written over that trait accept it.
#[derive(Clone, Copy)]
pub struct AnyReal<'a>(Place<'a>);

#[derive(Clone, Copy)]
enum Place<'a> {
    Constant(f64),
    Held(&'a (dyn Work + 'a), usize),
}

/// The result of a comparison of [`AnyReal`]s.
#[derive(Clone, Copy)]
pub struct AnyMask<'a>(MaskPlace<'a>);

#[derive(Clone, Copy)]
enum MaskPlace<'a> {
    Known(bool),
    Held(&'a (dyn Work + 'a), usize),
}

/// Where an operand is.
#[derive(Clone, Copy)]
enum Operand {
    Constant(f64),
    Held(usize),
}

#[derive(Clone, Copy)]
enum Comparison {
    Lt,
    Le,
    Eq,
}

/// A mask that is decided, or the number of one that is held.
enum Decision {
    Known(bool),
    Held(usize),
}

/// An arena of numbers of one type, behind which the type is hidden. Results are numbers of places in it.
trait Work {
    fn unary(&self, op: Unary, x: usize) -> usize;
    fn binary(&self, op: Binary, x: Operand, y: Operand) -> usize;
    fn compare(&self, comparison: Comparison, x: Operand, y: Operand) -> Decision;
    fn select(&self, mask: usize, on_true: Operand, on_false: Operand) -> usize;
    fn value(&self, x: usize) -> f64;
}

struct Arena<R: Scalar> {
    numbers: RefCell<Vec<R>>,
    masks: RefCell<Vec<R::Mask>>,
}

impl<R: Real> Arena<R> {
    fn of(inputs: &[R]) -> Self {
        Arena { numbers: RefCell::new(inputs.to_vec()), masks: RefCell::default() }
    }

    fn input(&self, index: usize) -> AnyReal<'_> {
        AnyReal(Place::Held(self, index))
    }

    fn get(&self, operand: Operand) -> R {
        match operand {
            Operand::Constant(value) => R::from_f64(value),
            Operand::Held(at) => self.numbers.borrow()[at],
        }
    }

    fn push(&self, number: R) -> usize {
        let mut numbers = self.numbers.borrow_mut();
        numbers.push(number);
        numbers.len() - 1
    }
}

impl<R: Real> Work for Arena<R> {
    fn unary(&self, op: Unary, x: usize) -> usize {
        self.push(self.get(Operand::Held(x)).unary(op))
    }
    fn binary(&self, op: Binary, x: Operand, y: Operand) -> usize {
        self.push(self.get(x).binary(op, &self.get(y)))
    }
    fn compare(&self, comparison: Comparison, x: Operand, y: Operand) -> Decision {
        let (x, y) = (self.get(x), self.get(y));
        let mask = match comparison {
            Comparison::Lt => Scalar::lt(&x, &y),
            Comparison::Le => Scalar::le(&x, &y),
            Comparison::Eq => Scalar::eq(&x, &y),
        };
        if let Some(known) = R::decided(&mask) {
            return Decision::Known(known);
        }
        let mut masks = self.masks.borrow_mut();
        masks.push(mask);
        Decision::Held(masks.len() - 1)
    }
    fn select(&self, mask: usize, on_true: Operand, on_false: Operand) -> usize {
        let (on_true, on_false) = (self.get(on_true), self.get(on_false));
        let selected = R::select(&self.masks.borrow()[mask], &on_true, &on_false);
        self.push(selected)
    }
    fn value(&self, x: usize) -> f64 {
        self.get(Operand::Held(x)).value()
    }
}

impl<'a> AnyReal<'a> {
    /// The arena that holds the number, if one does, and where it is.
    fn parts(&self) -> (Option<&'a (dyn Work + 'a)>, Operand) {
        match self.0 {
            Place::Constant(value) => (None, Operand::Constant(value)),
            Place::Held(work, at) => (Some(work), Operand::Held(at)),
        }
    }

    fn compare(&self, rhs: &Self, comparison: Comparison, plain: fn(&f64, &f64) -> bool) -> AnyMask<'a> {
        let ((mine, x), (others, y)) = (self.parts(), rhs.parts());
        let Some(work) = mine.or(others) else {
            return AnyMask(MaskPlace::Known(plain(&self.value(), &rhs.value())));
        };
        AnyMask(match work.compare(comparison, x, y) {
            Decision::Known(known) => MaskPlace::Known(known),
            Decision::Held(at) => MaskPlace::Held(work, at),
        })
    }
}

impl<'a> Scalar for AnyReal<'a> {
    type Mask = AnyMask<'a>;

    fn lit(&self, value: f64) -> Self {
        AnyReal::from_f64(value)
    }
    fn unary(&self, op: Unary) -> Self {
        AnyReal(match self.0 {
            Place::Constant(value) => Place::Constant(value.unary(op)),
            Place::Held(work, x) => Place::Held(work, work.unary(op, x)),
        })
    }
    fn binary(&self, op: Binary, rhs: &Self) -> Self {
        let ((mine, x), (others, y)) = (self.parts(), rhs.parts());
        AnyReal(match mine.or(others) {
            None => Place::Constant(self.value().binary(op, &rhs.value())),
            Some(work) => Place::Held(work, work.binary(op, x, y)),
        })
    }
    fn lt(&self, rhs: &Self) -> AnyMask<'a> {
        self.compare(rhs, Comparison::Lt, |x, y| x < y)
    }
    fn le(&self, rhs: &Self) -> AnyMask<'a> {
        self.compare(rhs, Comparison::Le, |x, y| x <= y)
    }
    fn eq(&self, rhs: &Self) -> AnyMask<'a> {
        self.compare(rhs, Comparison::Eq, |x, y| x == y)
    }
    fn decided(mask: &AnyMask<'a>) -> Option<bool> {
        match mask.0 {
            MaskPlace::Known(known) => Some(known),
            MaskPlace::Held(..) => None,
        }
    }
    fn select(mask: &AnyMask<'a>, on_true: &Self, on_false: &Self) -> Self {
        match mask.0 {
            MaskPlace::Known(true) => *on_true,
            MaskPlace::Known(false) => *on_false,
            MaskPlace::Held(work, at) => {
                AnyReal(Place::Held(work, work.select(at, on_true.parts().1, on_false.parts().1)))
            }
        }
    }
}

impl Real for AnyReal<'_> {
    fn from_f64(value: f64) -> Self {
        AnyReal(Place::Constant(value))
    }
    fn value(&self) -> f64 {
        match self.0 {
            Place::Constant(value) => value,
            Place::Held(work, x) => work.value(x),
        }
    }
}

crate::operators::real_operators!(['a] AnyReal<'a>);

impl fmt::Display for AnyReal<'_> {
    /// The primal value.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.value(), f)
    }
}

impl From<f64> for AnyReal<'_> {
    fn from(value: f64) -> Self {
        AnyReal::from_f64(value)
    }
}

/// A closure of several numbers to one as a [`ScalarFn`]: see [`closure`].
#[derive(Clone, Copy)]
pub struct Closure<F>(F);

/// A closure of several numbers to several as a [`VectorFn`]: see [`vector_closure`].
#[derive(Clone, Copy)]
pub struct VectorClosure<F> {
    f: F,
    outputs: usize,
}

/// A closure, with whatever it captures, as a function for drivers: its arguments are [`AnyReal`]s.
///
/// An operation costs a virtual call, and its result a place in memory until the function returns: small operations take
/// several times as long. Where that is too much, [`scalar_fn!`](crate::scalar_fn) names what is captured and compiles the function
/// for each mode.
///
/// ```
/// use gradus_num::{Scalar, closure, gradient, hessian};
///
/// let targets = vec![1.0, 2.0];
/// let loss = closure(|x| x.iter().zip(&targets).map(|(&x, &t)| (x - t).square()).sum());
/// assert_eq!(gradient(&loss, &[2.0, 2.0]), [2.0, 0.0]);
/// assert_eq!(hessian(&loss, &[2.0, 2.0]), [2.0, 0.0, 0.0, 2.0]);
/// ```
pub fn closure<F: for<'a> Fn(&[AnyReal<'a>]) -> AnyReal<'a>>(f: F) -> Closure<F> {
    Closure(f)
}

/// A closure that writes `outputs` numbers into its second argument, as a function for drivers: see [`closure`].
///
/// ```
/// use gradus_num::{Scalar, jacobian, vector_closure};
///
/// let radii = [2.0, 3.0];
/// let circles = vector_closure(2, |t, y| {
///     for (y, &r) in y.iter_mut().zip(&radii) {
///         *y = t[0].cos() * r;
///     }
/// });
/// let slopes = jacobian(&circles, &[0.5]);
/// assert_eq!(slopes, [-2.0 * 0.5f64.sin(), -3.0 * 0.5f64.sin()]);
/// ```
pub fn vector_closure<F: for<'a> Fn(&[AnyReal<'a>], &mut [AnyReal<'a>])>(
    outputs: usize,
    f: F,
) -> VectorClosure<F> {
    VectorClosure { f, outputs }
}

impl<F: for<'a> Fn(&[AnyReal<'a>]) -> AnyReal<'a>> ScalarFn for Closure<F> {
    fn call<R: Real64>(&self, x: &[R]) -> R {
        let arena = Arena::of(x);
        let inputs: Vec<_> = (0..x.len()).map(|i| arena.input(i)).collect();
        let (_, result) = (self.0)(&inputs).parts();
        arena.get(result)
    }
}

impl<F: for<'a> Fn(&[AnyReal<'a>], &mut [AnyReal<'a>])> VectorFn for VectorClosure<F> {
    fn outputs(&self, _inputs: usize) -> usize {
        self.outputs
    }
    fn call<R: Real64>(&self, x: &[R], y: &mut [R]) {
        let arena = Arena::of(x);
        let inputs: Vec<_> = (0..x.len()).map(|i| arena.input(i)).collect();
        let mut outputs = vec![AnyReal::from_f64(0.0); y.len()];
        (self.f)(&inputs, &mut outputs);
        for (y, output) in y.iter_mut().zip(&outputs) {
            *y = arena.get(output.parts().1);
        }
    }
}
