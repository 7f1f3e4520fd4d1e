//! Constants, casts, and the two primitives that exist for derivatives: the linear product and the stop.

use gradus_num::Real;
use smallvec::{SmallVec, smallvec};

use crate::graph::Vars;
use crate::ops::elementwise::same_types;
use crate::ops::{batch_all, jvp_zero};
use crate::primitive::{Arrays, Tangents, Types, not_linear};
use crate::transforms::Lanes;
use crate::{
    Array, Batched, Binary, Buffer, Builder, Cost, DType, Doc, Element, ErrorKind, Jvp, Operand, Primitive,
    Result, Shape, Type, Var,
};

/// A constant repeated to a shape.
#[derive(Clone, Debug)]
pub struct Full {
    /// The value, converted to the dtype.
    pub value: f64,
    /// Its dtype.
    pub dtype: DType,
    /// The shape.
    pub shape: Shape,
}

impl PartialEq for Full {
    /// By bits, so that NaN equals itself and the zeros differ.
    fn eq(&self, other: &Self) -> bool {
        self.value.to_bits() == other.value.to_bits()
            && self.dtype == other.dtype
            && self.shape == other.shape
    }
}

impl std::hash::Hash for Full {
    fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
        (self.value.to_bits(), self.dtype, &self.shape).hash(state);
    }
}

impl Primitive for Full {
    fn doc(&self) -> Doc {
        Doc { name: "full", formula: "c", derivative: "0", domain: "no operand" }
    }
    fn infer(&self, _: &[Type]) -> Result<Types, ErrorKind> {
        Ok(smallvec![Type::checked("full", self.dtype, self.shape.clone())?])
    }
    fn eval(&self, _: &[&Array]) -> Result<Arrays, ErrorKind> {
        Ok(smallvec![Array::full(self.shape.clone(), self.dtype, self.value)])
    }
    fn jvp(&self, b: &mut Builder, _: Jvp, inputs: &[Var], _: &[Option<Var>]) -> Result<(Vars, Tangents)> {
        jvp_zero(self.clone(), b, inputs)
    }
    fn transpose(&self, _: &mut Builder, _: &[Operand], _: &[Option<Var>]) -> Result<Tangents> {
        Ok(Tangents::new())
    }
    fn batch(&self, b: &mut Builder, _: &[Batched], _: Lanes<'_>) -> Result<SmallVec<[Batched; 4]>> {
        Ok(smallvec![(b.emit1(self.clone(), &[])?, false)])
    }
    fn cost(&self, _: &[Type], outputs: &[Type]) -> Cost {
        Cost { flops: 0.0, bytes: outputs[0].bytes() as f64 }
    }
}

/// The index along one axis: `0, 1, 2, …`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Iota {
    /// The dtype of the result.
    pub dtype: DType,
    /// Its shape.
    pub shape: Shape,
    /// The axis along which it counts.
    pub axis: usize,
}

impl Primitive for Iota {
    fn doc(&self) -> Doc {
        Doc { name: "iota", formula: "the index along an axis", derivative: "0", domain: "no operand" }
    }
    fn infer(&self, _: &[Type]) -> Result<Types, ErrorKind> {
        if self.axis >= self.shape.rank() {
            return Err(ErrorKind::Axis { op: "iota", axis: self.axis as isize, rank: self.shape.rank() });
        }
        if !(self.dtype.is_float() || self.dtype.is_int()) {
            let detail = "it counts in floats or integers".into();
            return Err(ErrorKind::DType { op: "iota", dtypes: vec![self.dtype], detail });
        }
        let ty = Type::checked("iota", self.dtype, self.shape.clone())?;
        let (last, most) = (self.shape[self.axis].saturating_sub(1), self.dtype.counts_to());
        if most.is_some_and(|most| last as u64 > most) {
            let detail = format!(
                "axis {} of {} counts to {last}, which {} does not hold",
                self.axis, self.shape, self.dtype
            );
            return Err(ErrorKind::Argument { op: "iota", detail });
        }
        Ok(smallvec![ty])
    }
    fn eval(&self, _: &[&Array]) -> Result<Arrays, ErrorKind> {
        let (_, extent, inner) = crate::strided::around(&self.shape, self.axis);
        let counts = (0..self.shape.size()).map(|i| (i / inner % extent) as i64).collect();
        Ok(smallvec![Array::of::<i64>(self.shape.clone(), counts).cast(self.dtype)])
    }
    fn jvp(&self, b: &mut Builder, _: Jvp, inputs: &[Var], _: &[Option<Var>]) -> Result<(Vars, Tangents)> {
        jvp_zero(self.clone(), b, inputs)
    }
    fn transpose(&self, _: &mut Builder, _: &[Operand], _: &[Option<Var>]) -> Result<Tangents> {
        Ok(Tangents::new())
    }
    fn batch(&self, b: &mut Builder, _: &[Batched], _: Lanes<'_>) -> Result<SmallVec<[Batched; 4]>> {
        Ok(smallvec![(b.emit1(self.clone(), &[])?, false)])
    }
    fn cost(&self, _: &[Type], outputs: &[Type]) -> Cost {
        Cost { flops: outputs[0].shape.size() as f64, bytes: outputs[0].bytes() as f64 }
    }
}

/// The product inside linear programs, of a residual and a tangent: a tangent that is [`DEAD`](crate::DEAD) stays so beside any residual.
///
/// All other zeros are numbers, in both modes alike: 0 · ∞ is NaN. Primal programs multiply with [`Binary::Mul`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct LinearMul {
    /// Whether the first factor is a tangent, too, as in the derivative of a linear program.
    pub both: bool,
}

impl LinearMul {
    /// The product of a residual and a tangent.
    pub const RESIDUAL: LinearMul = LinearMul { both: false };
    /// The product of two tangents.
    pub const BOTH: LinearMul = LinearMul { both: true };
}

/// The product of a tangent `t` and a residual `r`: the sum takes the sign of a zero, which is a number then.
#[inline]
pub(crate) fn linear_product<T: Real>(r: T, t: T) -> T {
    if is_dead(t) { t } else { r * t + T::zero() }
}

/// What a term of a contraction of linear programs is, given which factors are tangents. A residual of 0 selects nothing: in
/// a contraction with ones and zeros, its term does not count, whatever the tangent is.
pub(crate) fn linear_term<T: Real>(tangents: [bool; 2]) -> Option<impl Fn(T, T) -> T> {
    let nothing = move |i: usize, x: T| if tangents[i] { is_dead(x) } else { x.value() == 0.0 };
    let term = move |x: T, y: T| {
        if nothing(0, x) || nothing(1, y) { T::from_f64(crate::DEAD) } else { x * y + T::zero() }
    };
    (tangents != [false; 2]).then_some(term)
}

/// Whether a tangent is [`DEAD`](crate::DEAD).
#[inline]
pub(crate) fn is_dead<T: Real>(t: T) -> bool {
    t.value() == 0.0 && t.value().is_sign_negative()
}

impl Primitive for LinearMul {
    fn doc(&self) -> Doc {
        let formula = if self.both { "x y, dead where x or y is" } else { "x y, dead where y is" };
        Doc { name: "linear_mul", formula, derivative: "y, x", domain: "all x, y" }
    }
    fn infer(&self, inputs: &[Type]) -> Result<Types, ErrorKind> {
        same_types("linear_mul", inputs)?;
        if !inputs[0].dtype.is_float() {
            let detail = "tangents are floats".into();
            return Err(ErrorKind::DType { op: "linear_mul", dtypes: vec![inputs[0].dtype], detail });
        }
        Ok(smallvec![inputs[0].clone()])
    }
    fn eval(&self, inputs: &[&Array]) -> Result<Arrays, ErrorKind> {
        fn product<T: Element + Real>(both: bool, x: &[T], y: &[T]) -> Vec<T> {
            let one = |(&x, &y): (&T, &T)| if both && is_dead(x) { x } else { linear_product(x, y) };
            x.iter().zip(y).map(one).collect()
        }
        let shape = inputs[0].shape().clone();
        Ok(smallvec![match (inputs[0].buffer(), inputs[1].buffer()) {
            (Buffer::F32(x), Buffer::F32(y)) => Array::of(shape, product(self.both, x, y)),
            (Buffer::F64(x), Buffer::F64(y)) => Array::of(shape, product(self.both, x, y)),
            _ => unreachable!("excluded by the shape rule"),
        }])
    }
    fn jvp(
        &self,
        b: &mut Builder,
        _: Jvp,
        inputs: &[Var],
        tangents: &[Option<Var>],
    ) -> Result<(Vars, Tangents)> {
        let out = b.emit1(*self, inputs)?;
        let x = tangents[0].map(|t| b.emit1(LinearMul::BOTH, &[inputs[1], t])).transpose()?;
        let y = tangents[1].map(|t| b.emit1(*self, &[inputs[0], t])).transpose()?;
        Ok((smallvec![out], smallvec![b.add_tangents(x, y)?]))
    }
    fn transpose(&self, b: &mut Builder, inputs: &[Operand], cotangents: &[Option<Var>]) -> Result<Tangents> {
        let Some(ct) = cotangents[0] else { return Ok(smallvec![None, None]) };
        match (inputs[0].residual(), inputs[1].residual()) {
            (Some(x), None) => Ok(smallvec![None, Some(b.emit1(*self, &[x, ct])?)]),
            (None, Some(y)) => Ok(smallvec![Some(b.emit1(*self, &[y, ct])?), None]),
            _ => Err(not_linear("linear_mul")),
        }
    }
    fn batch(&self, b: &mut Builder, inputs: &[Batched], lanes: Lanes<'_>) -> Result<SmallVec<[Batched; 4]>> {
        batch_all(*self, b, inputs, lanes.size)
    }
    fn cost(&self, inputs: &[Type], outputs: &[Type]) -> Cost {
        Binary::Mul.cost(inputs, outputs)
    }
}

/// Conversion to another dtype, as Rust's `as` does it. Differentiable between floats.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Cast(
    /// The dtype to convert to.
    pub DType,
);

impl Primitive for Cast {
    fn doc(&self) -> Doc {
        Doc {
            name: "cast",
            formula: "x in another dtype",
            derivative: "1 between floats",
            domain: "all x; to integers: truncates and saturates, NaN gives 0",
        }
    }
    fn infer(&self, inputs: &[Type]) -> Result<Types, ErrorKind> {
        Ok(smallvec![inputs[0].with_dtype(self.0)])
    }
    fn eval(&self, inputs: &[&Array]) -> Result<Arrays, ErrorKind> {
        Ok(smallvec![inputs[0].cast(self.0)])
    }
    fn jvp(
        &self,
        b: &mut Builder,
        _: Jvp,
        inputs: &[Var],
        tangents: &[Option<Var>],
    ) -> Result<(Vars, Tangents)> {
        let out = b.emit1(*self, inputs)?;
        let tangent = match tangents[0] {
            Some(t) if self.0.is_differentiable() => Some(b.cast(t, self.0)?),
            _ => None,
        };
        Ok((smallvec![out], smallvec![tangent]))
    }
    fn transpose(&self, b: &mut Builder, inputs: &[Operand], cotangents: &[Option<Var>]) -> Result<Tangents> {
        let Operand::Linear(ty) = &inputs[0] else { return Ok(smallvec![None]) };
        let ct = cotangents[0].map(|ct| b.cast(ct, ty.dtype)).transpose()?;
        Ok(smallvec![ct])
    }
    fn batch(&self, b: &mut Builder, inputs: &[Batched], lanes: Lanes<'_>) -> Result<SmallVec<[Batched; 4]>> {
        batch_all(*self, b, inputs, lanes.size)
    }
    fn cost(&self, inputs: &[Type], outputs: &[Type]) -> Cost {
        let n = inputs[0].shape.size() as f64;
        Cost { flops: n, bytes: inputs[0].bytes() as f64 + outputs[0].bytes() as f64 }
    }
}

/// The identity with derivative zero.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct StopGradient;

impl Primitive for StopGradient {
    fn doc(&self) -> Doc {
        Doc { name: "stop_gradient", formula: "x", derivative: "0, by definition", domain: "all x" }
    }
    fn infer(&self, inputs: &[Type]) -> Result<Types, ErrorKind> {
        Ok(smallvec![inputs[0].clone()])
    }
    fn eval(&self, inputs: &[&Array]) -> Result<Arrays, ErrorKind> {
        Ok(smallvec![inputs[0].clone()])
    }
    fn jvp(&self, b: &mut Builder, _: Jvp, inputs: &[Var], _: &[Option<Var>]) -> Result<(Vars, Tangents)> {
        jvp_zero(StopGradient, b, inputs)
    }
    fn transpose(&self, _: &mut Builder, _: &[Operand], _: &[Option<Var>]) -> Result<Tangents> {
        Err(not_linear("stop_gradient"))
    }
    fn batch(&self, b: &mut Builder, inputs: &[Batched], lanes: Lanes<'_>) -> Result<SmallVec<[Batched; 4]>> {
        batch_all(StopGradient, b, inputs, lanes.size)
    }
    fn cost(&self, _: &[Type], _: &[Type]) -> Cost {
        Cost::default()
    }
}
