//! Scalar functions as programs: a function written over [`Real64`](gradus_num::Real64) recorded into a [`Graph`], so that it can be
//! vectorised over data points and run in SIMD tiles.

use std::cell::RefCell;
use std::cmp::Ordering;
use std::fmt;
use std::iter::{Product, Sum};
use std::ops::{Add, AddAssign, Div, DivAssign, Mul, MulAssign, Neg, Rem, RemAssign, Sub, SubAssign};
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};

use gradus_num::{Binary, Real, Scalar, Unary, VectorFn};

use crate::ops::{Compare, Op, Select};
use crate::{Builder, DType, ErrorKind, Graph, Result, Type, Var};

/// Records a scalar function of `inputs` numbers: the program takes and returns that many scalars of `dtype`.
///
/// Control flow that does not look at the numbers is unrolled. A branch on them cannot be recorded: write it as
/// `R::select(&Scalar::lt(&a, &b), &x, &y)`.
///
/// # Errors
/// If the function compares or reads a recorded number, or `dtype` is no float.
///
/// ```
/// use gradus_core::{Array, DType, interpret, record_scalar};
/// use gradus_num::{Real64, VectorFn};
///
/// struct Polar;
/// impl VectorFn for Polar {
///     fn outputs(&self, _: usize) -> usize { 2 }
///     fn call<R: Real64>(&self, x: &[R], y: &mut [R]) {
///         y[0] = x[0] * x[1].cos();
///         y[1] = x[0] * x[1].sin();
///     }
/// }
/// let program = record_scalar(&Polar, 2, DType::F64)?;
/// let out = interpret(&program, &[Array::scalar(2.0), Array::scalar(0.0)])?;
/// assert_eq!(out[0].to_f64(), [2.0]);
/// # Ok::<(), gradus_core::Error>(())
/// ```
pub fn record_scalar(f: &impl VectorFn, inputs: usize, dtype: DType) -> Result<Graph> {
    if !dtype.is_float() {
        let detail = "scalar functions are recorded in f32 or f64".into();
        return Err(ErrorKind::DType { op: "record_scalar", dtypes: vec![dtype], detail }.into());
    }
    let ty = Type::new(dtype, []);
    let mut builder = Builder::new();
    let vars: Vec<Var> = (0..inputs).map(|_| builder.input(ty.clone())).collect();
    let recorder = Recorder { builder: RefCell::new(builder), ty };
    let x: Vec<Recorded<'_>> = vars.into_iter().map(|v| Recorded::Value(&recorder, v)).collect();
    let mut y = vec![Recorded::Constant(0.0); f.outputs(inputs)];
    if let Err(payload) = catch_unwind(AssertUnwindSafe(|| f.call(&x, &mut y))) {
        return Err(payload
            .downcast::<ReadWhileRecording>()
            .map_or_else(|other| resume_unwind(other), |l| l.error()));
    }
    let outputs = y.iter().map(|y| y.on(&recorder)).collect();
    Ok(recorder.builder.into_inner().finish(outputs))
}

/// What a function did that cannot be recorded; the payload it unwinds with.
struct ReadWhileRecording(&'static str);

impl ReadWhileRecording {
    fn error(&self) -> crate::Error {
        let detail = format!(
            "{} a number that is only recorded has no answer; write the branch as `R::select(&Scalar::lt(&a, &b), &x, &y)`",
            self.0
        );
        ErrorKind::Argument { op: "record_scalar", detail }.into()
    }
}

fn read_while_recording(how: &'static str) -> ! {
    resume_unwind(Box::new(ReadWhileRecording(how)))
}

struct Recorder {
    builder: RefCell<Builder>,
    ty: Type,
}

/// A number of a function being recorded.
#[derive(Clone, Copy)]
enum Recorded<'r> {
    /// The same in every run.
    Constant(f64),
    Value(&'r Recorder, Var),
}

/// A comparison of recorded numbers.
#[derive(Clone, Copy)]
enum Mask<'r> {
    Constant(bool),
    Value(&'r Recorder, Var),
}

impl<'r> Recorded<'r> {
    fn on(&self, recorder: &'r Recorder) -> Var {
        match *self {
            Recorded::Constant(value) => recorder.builder.borrow_mut().full(&recorder.ty, value),
            Recorded::Value(_, var) => var,
        }
    }

    fn emit(recorder: &'r Recorder, op: impl Into<Op>, inputs: &[Var]) -> Var {
        recorder.builder.borrow_mut().emit1(op, inputs).expect("scalars of one float type")
    }

    /// Applies a primitive to two numbers, at least one of them recorded; `None` if both are constants.
    fn both(&self, rhs: &Self, op: impl Into<Op>) -> Option<(&'r Recorder, Var)> {
        let recorder = match (self, rhs) {
            (Recorded::Value(r, _), _) | (_, Recorded::Value(r, _)) => *r,
            (Recorded::Constant(_), Recorded::Constant(_)) => return None,
        };
        Some((recorder, Self::emit(recorder, op, &[self.on(recorder), rhs.on(recorder)])))
    }

    fn compare(&self, rhs: &Self, op: Compare, constants: fn(f64, f64) -> bool) -> Mask<'r> {
        match (self, rhs, self.both(rhs, op)) {
            (_, _, Some((r, v))) => Mask::Value(r, v),
            (Recorded::Constant(x), Recorded::Constant(y), None) => Mask::Constant(constants(*x, *y)),
            _ => unreachable!("only two constants record nothing"),
        }
    }

    fn known(&self, how: &'static str) -> f64 {
        match self {
            Recorded::Constant(value) => *value,
            Recorded::Value(..) => read_while_recording(how),
        }
    }
}

impl<'r> Scalar for Recorded<'r> {
    type Mask = Mask<'r>;

    fn lit(&self, value: f64) -> Self {
        Recorded::Constant(value)
    }
    fn unary(&self, op: Unary) -> Self {
        match self {
            Recorded::Constant(x) => Recorded::Constant(x.unary(op)),
            Recorded::Value(r, v) => Recorded::Value(r, Self::emit(r, op, &[*v])),
        }
    }
    fn binary(&self, op: Binary, rhs: &Self) -> Self {
        match (self, rhs, self.both(rhs, op)) {
            (_, _, Some((r, v))) => Recorded::Value(r, v),
            (Recorded::Constant(x), Recorded::Constant(y), None) => Recorded::Constant(x.binary(op, y)),
            _ => unreachable!("only two constants record nothing"),
        }
    }
    fn lt(&self, rhs: &Self) -> Mask<'r> {
        self.compare(rhs, Compare::Lt, |x, y| x < y)
    }
    fn le(&self, rhs: &Self) -> Mask<'r> {
        self.compare(rhs, Compare::Le, |x, y| x <= y)
    }
    fn eq(&self, rhs: &Self) -> Mask<'r> {
        self.compare(rhs, Compare::Eq, |x, y| x == y)
    }
    fn select(mask: &Mask<'r>, on_true: &Self, on_false: &Self) -> Self {
        match *mask {
            Mask::Constant(true) => *on_true,
            Mask::Constant(false) => *on_false,
            Mask::Value(r, m) => {
                Recorded::Value(r, Self::emit(r, Select, &[m, on_true.on(r), on_false.on(r)]))
            }
        }
    }
}

impl Real for Recorded<'_> {
    fn from_f64(value: f64) -> Self {
        Recorded::Constant(value)
    }
    fn value(&self) -> f64 {
        self.known("reading")
    }
}

impl PartialEq for Recorded<'_> {
    fn eq(&self, other: &Self) -> bool {
        self.known("comparing") == other.known("comparing")
    }
}

impl PartialOrd for Recorded<'_> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        self.known("comparing").partial_cmp(&other.known("comparing"))
    }
}

impl PartialEq<f64> for Recorded<'_> {
    fn eq(&self, other: &f64) -> bool {
        self.known("comparing") == *other
    }
}

impl PartialOrd<f64> for Recorded<'_> {
    fn partial_cmp(&self, other: &f64) -> Option<Ordering> {
        self.known("comparing").partial_cmp(other)
    }
}

impl fmt::Debug for Recorded<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Recorded::Constant(value) => write!(f, "{value}"),
            Recorded::Value(_, var) => write!(f, "{var}"),
        }
    }
}

macro_rules! operators {
    ($($trait:ident $method:ident $assign:ident $assign_method:ident;)+) => { $(
        impl $trait for Recorded<'_> {
            type Output = Self;
            fn $method(self, rhs: Self) -> Self { self.binary(Binary::$trait, &rhs) }
        }
        impl $assign for Recorded<'_> {
            fn $assign_method(&mut self, rhs: Self) { *self = $trait::$method(*self, rhs) }
        }
        impl $trait<f64> for Recorded<'_> {
            type Output = Self;
            fn $method(self, rhs: f64) -> Self { self.binary(Binary::$trait, &Recorded::Constant(rhs)) }
        }
        impl $assign<f64> for Recorded<'_> {
            fn $assign_method(&mut self, rhs: f64) { *self = $trait::$method(*self, rhs) }
        }
    )+ };
}
operators! {
    Add add AddAssign add_assign;
    Sub sub SubAssign sub_assign;
    Mul mul MulAssign mul_assign;
    Div div DivAssign div_assign;
    Rem rem RemAssign rem_assign;
}

impl Neg for Recorded<'_> {
    type Output = Self;
    fn neg(self) -> Self {
        self.unary(Unary::Neg)
    }
}
impl Sum for Recorded<'_> {
    fn sum<I: Iterator<Item = Self>>(items: I) -> Self {
        items.reduce(|a, b| a + b).unwrap_or(Recorded::Constant(0.0))
    }
}
impl Product for Recorded<'_> {
    fn product<I: Iterator<Item = Self>>(items: I) -> Self {
        items.reduce(|a, b| a * b).unwrap_or(Recorded::Constant(1.0))
    }
}
