//! Constants, casts, and the two primitives that exist for derivatives: the linear product and the stop.

use smallvec::{SmallVec, smallvec};

use crate::graph::Vars;
use crate::ops::elementwise::same_types;
use crate::ops::{batch_all, jvp_zero};
use crate::primitive::{Arrays, Tangents, Types, not_linear};
use crate::{
    Array, Batched, Binary, Buffer, Builder, Cost, DType, Doc, ErrorKind, Mode, Operand, Primitive, Result,
    Shape, Type, Var,
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
    fn jvp(&self, b: &mut Builder, _: Mode, inputs: &[Var], _: &[Option<Var>]) -> Result<(Vars, Tangents)> {
        jvp_zero(self.clone(), b, inputs)
    }
    fn transpose(&self, _: &mut Builder, _: &[Operand], _: &[Option<Var>]) -> Result<Tangents> {
        Ok(Tangents::new())
    }
    fn batch(&self, b: &mut Builder, _: &[Batched], _: usize) -> Result<SmallVec<[Batched; 4]>> {
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
        let (last, most) = (self.shape[self.axis].saturating_sub(1), self.dtype.largest_integer());
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
    fn jvp(&self, b: &mut Builder, _: Mode, inputs: &[Var], _: &[Option<Var>]) -> Result<(Vars, Tangents)> {
        jvp_zero(self.clone(), b, inputs)
    }
    fn transpose(&self, _: &mut Builder, _: &[Operand], _: &[Option<Var>]) -> Result<Tangents> {
        Ok(Tangents::new())
    }
    fn batch(&self, b: &mut Builder, _: &[Batched], _: usize) -> Result<SmallVec<[Batched; 4]>> {
        Ok(smallvec![(b.emit1(self.clone(), &[])?, false)])
    }
    fn cost(&self, _: &[Type], outputs: &[Type]) -> Cost {
        Cost { flops: outputs[0].shape.size() as f64, bytes: outputs[0].bytes() as f64 }
    }
}

/// The product inside linear programs: 0 where either factor is 0, whatever the other is.
///
/// Derivative programs multiply residuals by tangents with it, so that a tangent that is exactly zero stays zero
/// beside an infinite local derivative, in both modes alike. Primal programs multiply with [`Binary::Mul`], which
/// hides no NaN.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct LinearMul;

impl Primitive for LinearMul {
    fn doc(&self) -> Doc {
        Doc {
            name: "linear_mul",
            formula: "x y, 0 where x = 0 or y = 0",
            derivative: "y, x",
            domain: "all x, y",
        }
    }
    fn infer(&self, inputs: &[Type]) -> Result<Types, ErrorKind> {
        same_types("linear_mul", inputs)?;
        if !inputs[0].dtype.is_float() {
            let detail = "tangents are f32 or f64".into();
            return Err(ErrorKind::DType { op: "linear_mul", dtypes: vec![inputs[0].dtype], detail });
        }
        Ok(smallvec![inputs[0].clone()])
    }
    fn eval(&self, inputs: &[&Array]) -> Result<Arrays, ErrorKind> {
        macro_rules! product {
            ($x:expr, $y:expr) => {
                Array::of(
                    inputs[0].shape().clone(),
                    $x.iter()
                        .zip($y.iter())
                        .map(|(&x, &y)| if x == 0.0 || y == 0.0 { 0.0 } else { x * y })
                        .collect(),
                )
            };
        }
        Ok(smallvec![match (inputs[0].buffer(), inputs[1].buffer()) {
            (Buffer::F32(x), Buffer::F32(y)) => product!(x, y),
            (Buffer::F64(x), Buffer::F64(y)) => product!(x, y),
            _ => unreachable!("excluded by the shape rule"),
        }])
    }
    fn jvp(
        &self,
        b: &mut Builder,
        _: Mode,
        inputs: &[Var],
        tangents: &[Option<Var>],
    ) -> Result<(Vars, Tangents)> {
        let out = b.emit1(LinearMul, inputs)?;
        let x = tangents[0].map(|t| b.emit1(LinearMul, &[inputs[1], t])).transpose()?;
        let y = tangents[1].map(|t| b.emit1(LinearMul, &[inputs[0], t])).transpose()?;
        Ok((smallvec![out], smallvec![b.add_tangents(x, y)?]))
    }
    fn transpose(&self, b: &mut Builder, inputs: &[Operand], cotangents: &[Option<Var>]) -> Result<Tangents> {
        let Some(ct) = cotangents[0] else { return Ok(smallvec![None, None]) };
        match (inputs[0].residual(), inputs[1].residual()) {
            (Some(x), None) => Ok(smallvec![None, Some(b.emit1(LinearMul, &[x, ct])?)]),
            (None, Some(y)) => Ok(smallvec![Some(b.emit1(LinearMul, &[y, ct])?), None]),
            _ => Err(not_linear("linear_mul")),
        }
    }
    fn batch(&self, b: &mut Builder, inputs: &[Batched], size: usize) -> Result<SmallVec<[Batched; 4]>> {
        batch_all(LinearMul, b, inputs, size)
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
        _: Mode,
        inputs: &[Var],
        tangents: &[Option<Var>],
    ) -> Result<(Vars, Tangents)> {
        let out = b.emit1(*self, inputs)?;
        let tangent = match tangents[0] {
            Some(t) if self.0.is_differentiable() => Some(b.cast(t, self.0.tangent())?),
            _ => None,
        };
        Ok((smallvec![out], smallvec![tangent]))
    }
    fn transpose(&self, b: &mut Builder, inputs: &[Operand], cotangents: &[Option<Var>]) -> Result<Tangents> {
        let Operand::Linear(ty) = &inputs[0] else { return Ok(smallvec![None]) };
        let ct = cotangents[0].map(|ct| b.cast(ct, ty.dtype.tangent())).transpose()?;
        Ok(smallvec![ct])
    }
    fn batch(&self, b: &mut Builder, inputs: &[Batched], size: usize) -> Result<SmallVec<[Batched; 4]>> {
        batch_all(*self, b, inputs, size)
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
    fn jvp(&self, b: &mut Builder, _: Mode, inputs: &[Var], _: &[Option<Var>]) -> Result<(Vars, Tangents)> {
        jvp_zero(StopGradient, b, inputs)
    }
    fn transpose(&self, _: &mut Builder, _: &[Operand], _: &[Option<Var>]) -> Result<Tangents> {
        Err(not_linear("stop_gradient"))
    }
    fn batch(&self, b: &mut Builder, inputs: &[Batched], size: usize) -> Result<SmallVec<[Batched; 4]>> {
        batch_all(StopGradient, b, inputs, size)
    }
    fn cost(&self, _: &[Type], _: &[Type]) -> Cost {
        Cost::default()
    }
}
