//! Operators, comparisons and functions of two tensors, with broadcasting.

use std::iter::{Product, Sum};
use std::ops::{
    Add, AddAssign, BitAnd, BitAndAssign, BitOr, BitOrAssign, BitXor, BitXorAssign, Div, DivAssign, Mul,
    MulAssign, Neg, Not, Rem, RemAssign, Sub, SubAssign,
};

use gradus_core::ops::{Broadcast, Compare, Logic, Not as NotOp, Op, Select};
use gradus_core::{Binary, Error, ErrorKind, Result, Shape, Site, Unary};

use crate::literal::Literal;
use crate::trace::{OrFail, elementwise_at_once, here, meeting};
use crate::{Number, Tensor};

/// Stretches a tensor to `shape` by NumPy's rule.
pub(crate) fn broadcast_at(x: &Tensor, shape: &Shape, site: &Site) -> Result<Tensor> {
    if x.shape() == shape {
        return Ok(x.clone());
    }
    let skip = shape.rank() - x.rank();
    let op = Broadcast { shape: shape.clone(), axes: (skip..shape.rank()).collect() };
    Tensor::apply_at(op, &[x], site)
}

/// The common shape of operands.
pub(crate) fn common_shape(op: &'static str, operands: &[&Tensor], site: &Site) -> Result<Shape> {
    let mut shape = Shape::scalar();
    for x in operands {
        shape = shape.broadcast(x.shape()).ok_or_else(|| {
            let shapes: Vec<Shape> = operands.iter().map(|x| x.shape().clone()).collect();
            let detail =
                "operands cannot be broadcast together: aligned from the last axis, extents must be equal \
                          or 1; reshape or use `expand_dims` to line the axes up"
                    .into();
            Error::new(ErrorKind::Shape { op, shapes, detail }, site.clone())
        })?;
    }
    Ok(shape)
}

/// An element-wise primitive on broadcast operands.
pub(crate) fn broadcasting(op: impl Into<Op>, operands: &[&Tensor], site: &Site) -> Result<Tensor> {
    let op = op.into();
    if let Some(done) = elementwise_at_once(&op, operands) {
        return Ok(done);
    }
    if operands.windows(2).all(|pair| pair[0].shape() == pair[1].shape()) {
        return Tensor::apply_at(op, operands, site);
    }
    let shape = common_shape(op.name(), operands, site)?;
    let operands = meeting(operands, op.name()).map_err(|e| e.or_at(site))?;
    let operands = operands.iter().map(|x| broadcast_at(x, &shape, site)).collect::<Result<Vec<_>>>()?;
    Tensor::apply_at(op, &operands.iter().collect::<Vec<_>>(), site)
}

impl Tensor {
    #[track_caller]
    pub(crate) fn binary(&self, op: impl Into<Op>, rhs: impl Literal) -> Tensor {
        let rhs = rhs.beside(self);
        broadcasting(op, &[self, &rhs], &here()).or_fail()
    }

    /// With a constant of the library's own.
    #[track_caller]
    pub(crate) fn with_constant(&self, op: impl Into<Op>, constant: f64) -> Tensor {
        self.binary(op, Number::Float(constant).constant(self))
    }
}

macro_rules! operators {
    ($($trait:ident :: $method:ident => $op:expr),+ $(,)?) => { $(
        impl $trait<&Tensor> for &Tensor {
            type Output = Tensor;
            #[track_caller]
            fn $method(self, rhs: &Tensor) -> Tensor { self.binary($op, rhs) }
        }
        impl $trait<Tensor> for &Tensor {
            type Output = Tensor;
            #[track_caller]
            fn $method(self, rhs: Tensor) -> Tensor { self.binary($op, &rhs) }
        }
        impl $trait<&Tensor> for Tensor {
            type Output = Tensor;
            #[track_caller]
            fn $method(self, rhs: &Tensor) -> Tensor { (&self).binary($op, rhs) }
        }
        impl $trait<Tensor> for Tensor {
            type Output = Tensor;
            #[track_caller]
            fn $method(self, rhs: Tensor) -> Tensor { (&self).binary($op, &rhs) }
        }
    )+ };
}

macro_rules! number_operators {
    ($($trait:ident :: $method:ident => $op:expr; $($t:ty),+);+ $(;)?) => { $( $(
        impl $trait<$t> for &Tensor {
            type Output = Tensor;
            #[track_caller]
            fn $method(self, rhs: $t) -> Tensor { self.binary($op, rhs) }
        }
        impl $trait<$t> for Tensor {
            type Output = Tensor;
            #[track_caller]
            fn $method(self, rhs: $t) -> Tensor { (&self).binary($op, rhs) }
        }
        impl $trait<&Tensor> for $t {
            type Output = Tensor;
            #[track_caller]
            fn $method(self, rhs: &Tensor) -> Tensor { self.beside(rhs).binary($op, rhs) }
        }
        impl $trait<Tensor> for $t {
            type Output = Tensor;
            #[track_caller]
            fn $method(self, rhs: Tensor) -> Tensor { self.beside(&rhs).binary($op, &rhs) }
        }
    )+ )+ };
}

operators! {
    Add::add => Binary::Add, Sub::sub => Binary::Sub, Mul::mul => Binary::Mul, Div::div => Binary::Div,
    Rem::rem => Binary::Rem, BitAnd::bitand => Logic::And, BitOr::bitor => Logic::Or, BitXor::bitxor => Logic::Xor,
}
number_operators! {
    Add::add => Binary::Add; f64, i64;
    Sub::sub => Binary::Sub; f64, i64;
    Mul::mul => Binary::Mul; f64, i64;
    Div::div => Binary::Div; f64, i64;
    Rem::rem => Binary::Rem; f64, i64;
}

macro_rules! assignments {
    ($($trait:ident :: $method:ident by $op:ident :: $by:ident on $($t:ty),+;)+) => { $( $(
        impl $trait<$t> for Tensor {
            #[track_caller]
            fn $method(&mut self, rhs: $t) { *self = $op::$by(&*self, rhs) }
        }
    )+ )+ };
}
assignments! {
    AddAssign::add_assign by Add::add on Tensor, &Tensor, f64, i64;
    SubAssign::sub_assign by Sub::sub on Tensor, &Tensor, f64, i64;
    MulAssign::mul_assign by Mul::mul on Tensor, &Tensor, f64, i64;
    DivAssign::div_assign by Div::div on Tensor, &Tensor, f64, i64;
    RemAssign::rem_assign by Rem::rem on Tensor, &Tensor, f64, i64;
    BitAndAssign::bitand_assign by BitAnd::bitand on Tensor, &Tensor;
    BitOrAssign::bitor_assign by BitOr::bitor on Tensor, &Tensor;
    BitXorAssign::bitxor_assign by BitXor::bitxor on Tensor, &Tensor;
}

macro_rules! folds {
    ($($trait:ident :: $method:ident by $op:ident :: $by:ident from $start:literal),+) => { $(
        impl $trait for Tensor {
            #[doc = concat!("Of no tensors the scalar ", stringify!($start), ".")]
            fn $method<I: Iterator<Item = Tensor>>(tensors: I) -> Tensor {
                tensors.reduce(|a, b| $op::$by(a, b)).unwrap_or_else(|| Tensor::from($start))
            }
        }
        impl<'a> $trait<&'a Tensor> for Tensor {
            #[doc = concat!("Of no tensors the scalar ", stringify!($start), ".")]
            fn $method<I: Iterator<Item = &'a Tensor>>(tensors: I) -> Tensor {
                tensors.cloned().$method()
            }
        }
    )+ };
}
folds!(Sum::sum by Add::add from 0.0, Product::product by Mul::mul from 1.0);

impl Neg for &Tensor {
    type Output = Tensor;
    #[track_caller]
    fn neg(self) -> Tensor {
        Tensor::apply(Unary::Neg, &[self])
    }
}
impl Neg for Tensor {
    type Output = Tensor;
    #[track_caller]
    fn neg(self) -> Tensor {
        -&self
    }
}
impl Not for &Tensor {
    type Output = Tensor;
    #[track_caller]
    fn not(self) -> Tensor {
        Tensor::apply(NotOp, &[self])
    }
}
impl Not for Tensor {
    type Output = Tensor;
    #[track_caller]
    fn not(self) -> Tensor {
        !&self
    }
}

macro_rules! two_arguments {
    ($($(#[$doc:meta])+ $name:ident => $op:expr),+ $(,)?) => {
        impl Tensor { $(
            $(#[$doc])+
            #[track_caller]
            pub fn $name(&self, other: impl Literal) -> Tensor { self.binary($op, other) }
        )+ }
    };
}

two_arguments! {
    /// `self = other`, element by element; for one truth value of whole tensors use `==`.
    equal => Compare::Eq,
    /// `self ≠ other`, element by element.
    not_equal => Compare::Ne,
    /// `self < other`, element by element; false at NaN.
    less => Compare::Lt,
    /// `self ≤ other`, element by element; false at NaN.
    less_equal => Compare::Le,
    /// `self > other`, element by element; false at NaN.
    greater => Compare::Gt,
    /// `self ≥ other`, element by element; false at NaN.
    greater_equal => Compare::Ge,
    /// The larger of two, NaN if either is. At a tie each operand has derivative ½.
    maximum => Binary::Max,
    /// The smaller of two, NaN if either is. At a tie each operand has derivative ½.
    minimum => Binary::Min,
    /// `self` to the power of a tensor. For a fixed integer exponent use [`powi`](Tensor::powi), for a fixed real one
    /// [`powf`](Tensor::powf).
    pow => Binary::Pow,
    /// The angle of the point `(x: other, y: self)`, in (-π, π].
    atan2 => Binary::Atan2,
    /// `√(self² + other²)` without overflow; derivatives 0 at the origin.
    hypot => Binary::Hypot,
}

impl Tensor {
    /// `on_true` where this mask holds, else `on_false`.
    ///
    /// Derivatives are selected with their values, so the branch that is not taken never disturbs:
    ///
    /// ```
    /// use gradus::{Tensor, grad};
    /// let f = |x: &Tensor| x.greater(0.0).select(x.sqrt(), 0.0).sum(());
    /// assert_eq!(grad(f)(&Tensor::from([0.0, 4.0])), Tensor::from([0.0, 0.25]));
    /// ```
    #[track_caller]
    pub fn select(&self, on_true: impl Literal, on_false: impl Literal) -> Tensor {
        // A number takes the dtype of the tensor in the other branch.
        let guess = on_false.beside(&on_true.beside(&Tensor::from(0.0)));
        let (x, y) = match (on_true.beside(&guess), &guess) {
            (x, y) if x.dtype() == y.dtype() => (x, guess.clone()),
            (x, _) => {
                let y = on_false.beside(&x);
                (on_true.beside(&y), y)
            }
        };
        broadcasting(Select, &[self, &x, &y], &here()).or_fail()
    }

    /// [`select`](Tensor::select) under NumPy's name: `where_(mask, x, y)`.
    #[track_caller]
    pub fn where_(mask: &Tensor, on_true: impl Literal, on_false: impl Literal) -> Tensor {
        mask.select(on_true, on_false)
    }
}
