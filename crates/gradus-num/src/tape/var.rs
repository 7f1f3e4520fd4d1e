//! [`Var`]: a number that records its derivative.

use crate::rules::{self, binary, powers, special};
use crate::table::binary_table;
use crate::{Binary, Real, Scalar, Unary, for_each_unary};

use super::{CONSTANT, Entry, Tape};

/// A tape variable: a value, and its derivative (`weight`) with respect to one recorded node.
///
/// `Copy`, and a [`Real`]: functions written over `Real` accept it. A constant belongs to no tape and costs
/// nothing to combine with. Comparisons look at the primal value.
#[derive(Clone, Copy)]
pub struct Var<'t, T: Real = f64> {
    value: T,
    weight: T,
    node: u32,
    tape: Option<&'t Tape<T>>,
}

impl<'t, T: Real> Var<'t, T> {
    #[inline(always)]
    pub(super) fn from_parts(value: T, tape: Option<&'t Tape<T>>, node: u32, weight: T) -> Self {
        Var { value, weight, node, tape }
    }

    /// The variable that is node `node` itself.
    #[inline(always)]
    pub(super) fn node(tape: &'t Tape<T>, node: u32, value: T) -> Self {
        Var { value, weight: T::from_f64(1.0), node, tape: Some(tape) }
    }

    /// A constant: no tape, derivative zero.
    #[inline(always)]
    pub fn constant(value: T) -> Self {
        Var { value, weight: T::from_f64(0.0), node: CONSTANT, tape: None }
    }

    /// The value in the number type that is recorded (for nested types, itself a dual number or a variable).
    #[inline(always)]
    pub fn primal(&self) -> T {
        self.value
    }

    /// Whether the variable depends on no recorded input.
    #[inline(always)]
    pub fn is_constant(&self) -> bool {
        self.node == CONSTANT
    }

    /// The same value with its dependence on the inputs cut.
    #[inline(always)]
    pub fn detach(&self) -> Self {
        Var::constant(self.value)
    }

    pub(super) fn parts(&self) -> (u32, T, Option<&'t Tape<T>>) {
        (self.node, self.weight, self.tape)
    }

    pub(super) fn with_value(self, value: T) -> Self {
        Var { value, ..self }
    }

    /// A function of one variable: its rule multiplies the weight.
    #[inline(always)]
    pub(super) fn chained(&self, value: T, rule: impl FnOnce(&T, &T) -> T) -> Self {
        if self.node == CONSTANT {
            return Var::constant(value);
        }
        Var { value, weight: chain(self.weight, rule(&self.value, &value)), ..*self }
    }

    /// A function of two variables: its rule scales their weights.
    #[inline(always)]
    pub(super) fn joined(&self, rhs: &Self, value: T, rule: impl FnOnce(&T, &T, &T) -> (T, T)) -> Self {
        if self.node == CONSTANT && rhs.node == CONSTANT {
            return Var::constant(value);
        }
        let (da, db) = rule(&self.value, &rhs.value, &value);
        self.scaled_sum(da, rhs, db, value)
    }

    /// The variable with value `value` and differential `da d(self) + db d(rhs)`.
    #[inline(always)]
    pub(super) fn scaled_sum(&self, da: T, rhs: &Self, db: T, value: T) -> Self {
        if rhs.node == CONSTANT {
            return Var { value, weight: chain(self.weight, da), node: self.node, tape: self.tape };
        }
        if self.node == CONSTANT {
            return Var { value, weight: chain(rhs.weight, db), node: rhs.node, tape: rhs.tape };
        }
        let (Some(tape), Some(other)) = (self.tape, rhs.tape) else { unreachable_without_tape() };
        if !core::ptr::eq(tape, other) {
            two_tapes();
        }
        let (da, db) = (chain(self.weight, da), chain(rhs.weight, db));
        if self.node == rhs.node {
            return Var { value, weight: da + db, node: self.node, tape: self.tape };
        }
        Var::node(tape, tape.join(Entry { a: self.node, b: rhs.node, da, db }), value)
    }

    /// A selection lane by lane, which joins the two: each lane of the other's weight is 0.
    #[cold]
    fn blended(mask: &T::Mask, on_true: &Self, on_false: &Self) -> Self {
        let (zero, one) = (T::from_f64(0.0), T::from_f64(1.0));
        let value = T::select(mask, &on_true.value, &on_false.value);
        let (first, second) = (
            Var { weight: T::select(mask, &on_true.weight, &zero), ..*on_true },
            Var { weight: T::select(mask, &zero, &on_false.weight), ..*on_false },
        );
        let joined = first.scaled_sum(one, &second, one, value);
        if let Some(tape) = joined.tape {
            tape.blended.set(true);
        }
        joined
    }
}

/// `weight * derivative`: two numbers, of which a zero does not win over an infinity. (What is zero because nothing
/// depends on it is a constant, and has no weight.)
#[inline(always)]
pub(super) fn chain<T: Real>(weight: T, derivative: T) -> T {
    weight * derivative
}

#[cold]
fn two_tapes() -> ! {
    panic!(
        "an operation mixes variables of two tapes; record both on one tape, pass the value of one as a \
         constant (`detach`), or nest the recordings: `Tape<Var<'_, f64>>`"
    )
}

#[cold]
fn unreachable_without_tape() -> ! {
    unreachable!("a variable that is not a constant has a tape")
}

macro_rules! chained_unary {
    ($($name:ident $op:ident $family:ident $entry:tt)*) => {
        #[inline(always)]
        fn unary(&self, op: Unary) -> Self {
            match op {
                Unary::Neg => -*self,
                Unary::Powi(n) => Scalar::powi(self, n),
                Unary::Polygamma(n) => Scalar::polygamma(self, n),
                $(Unary::$op => Scalar::$name(self),)*
            }
        }
        $(
            #[inline]
            fn $name(&self) -> Self {
                if const { Unary::$op.is_step() } {
                    return Var::constant(self.value.$name());
                }
                match rules::joint(Unary::$op, &self.value) {
                    Some((value, slope)) => self.chained(value, |_, _| slope),
                    None => self.chained(self.value.$name(), rules::$family::$name),
                }
            }
        )*
    };
}

macro_rules! dispatch_binary {
    ($($name:ident $op:ident $doc:literal;)*) => {
        #[inline(always)]
        fn binary(&self, op: Binary, rhs: &Self) -> Self {
            match op {
                Binary::Add => *self + *rhs,
                Binary::Sub => *self - *rhs,
                Binary::Mul => *self * *rhs,
                Binary::Div => *self / *rhs,
                Binary::Rem => *self % *rhs,
                $(Binary::$op => Scalar::$name(self, rhs),)*
            }
        }
    };
}

macro_rules! joined_binary {
    ($($name:ident)*) => {$(
        #[inline]
        fn $name(&self, rhs: &Self) -> Self {
            self.joined(rhs, self.value.$name(&rhs.value), binary::$name)
        }
    )*};
}

impl<'t, T: Real> Scalar for Var<'t, T> {
    type Mask = T::Mask;

    #[inline(always)]
    fn lit(&self, value: f64) -> Self {
        Var::constant(T::from_f64(value))
    }

    for_each_unary!(chained_unary);
    binary_table!(dispatch_binary);
    joined_binary!(atan2 hypot);

    #[inline]
    fn max(&self, rhs: &Self) -> Self {
        binary::chosen(self, rhs, &Scalar::gt(self, rhs), &Scalar::lt(self, rhs), |x, y| {
            x.joined(y, x.value.max(&y.value), binary::max)
        })
    }

    #[inline]
    fn min(&self, rhs: &Self) -> Self {
        binary::chosen(self, rhs, &Scalar::lt(self, rhs), &Scalar::gt(self, rhs), |x, y| {
            x.joined(y, x.value.min(&y.value), binary::min)
        })
    }

    #[inline]
    fn powi(&self, n: i32) -> Self {
        if n == 0 {
            return Var::constant(self.value.powi(n));
        }
        self.chained(self.value.powi(n), |x, y| powers::powi(x, y, n))
    }

    #[inline]
    fn polygamma(&self, n: u32) -> Self {
        self.chained(self.value.polygamma(n), |x, y| special::polygamma(x, y, n))
    }

    #[inline]
    fn rem(&self, rhs: &Self) -> Self {
        self.joined(rhs, self.value % rhs.value, binary::rem)
    }

    #[inline]
    fn powf(&self, rhs: &Self) -> Self {
        let value = self.value.powf(&rhs.value);
        // A constant base or exponent is the usual case; the other partial costs as much as the power.
        if rhs.parts_zero() {
            return Var::constant(value);
        }
        if rhs.is_constant() {
            return self.chained(value, |x, y| binary::pow_base(x, &rhs.value, y));
        }
        if self.is_constant() {
            return rhs.chained(value, |y, out| binary::pow_exponent(&self.value, y, out));
        }
        self.joined(rhs, value, binary::powf)
    }

    #[inline(always)]
    fn sin_cos(&self) -> (Self, Self) {
        // Each is the other's derivative: the rules would compute both twice.
        let (sin, cos) = self.value.sin_cos();
        (self.chained(sin, |_, _| cos), self.chained(cos, |_, _| -sin))
    }

    #[inline(always)]
    fn lt(&self, rhs: &Self) -> T::Mask {
        Scalar::lt(&self.value, &rhs.value)
    }

    #[inline(always)]
    fn le(&self, rhs: &Self) -> T::Mask {
        Scalar::le(&self.value, &rhs.value)
    }

    #[inline(always)]
    fn eq(&self, rhs: &Self) -> T::Mask {
        Scalar::eq(&self.value, &rhs.value)
    }

    #[inline(always)]
    fn decided(mask: &T::Mask) -> Option<bool> {
        T::decided(mask)
    }

    #[inline(always)]
    fn select(mask: &T::Mask, on_true: &Self, on_false: &Self) -> Self {
        match T::decided(mask) {
            Some(true) => *on_true,
            Some(false) => *on_false,
            None => Self::blended(mask, on_true, on_false),
        }
    }
}

impl<'t, T: Real> Real for Var<'t, T> {
    const LANES: usize = T::LANES;
    const TRACKED: bool = true;

    #[inline(always)]
    fn from_lanes(value: impl FnMut(usize) -> f64) -> Self {
        Var::constant(T::from_lanes(value))
    }

    #[inline(always)]
    fn from_f64(value: f64) -> Self {
        Var::constant(T::from_f64(value))
    }

    #[inline(always)]
    fn value(&self) -> f64 {
        self.value.value()
    }

    #[inline(always)]
    fn parts_finite(&self) -> bool {
        self.value.parts_finite() && self.weight.parts_finite()
    }

    /// Only a constant is zero: a variable whose value is 0 still has a derivative.
    #[inline(always)]
    fn parts_zero(&self) -> bool {
        self.node == CONSTANT && self.value.parts_zero()
    }
}
