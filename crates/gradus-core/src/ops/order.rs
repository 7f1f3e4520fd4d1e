//! Order along an axis: sorting, and the index of an extremum.

use std::cmp::Ordering;

use smallvec::{SmallVec, smallvec};

use crate::graph::Vars;
use crate::ops::index::take_along;
use crate::ops::jvp_zero;
use crate::ops::movement::moved;
use crate::primitive::{Arrays, Tangents, Types, not_linear};
use crate::strided::around;
use crate::transforms::Lanes;
use crate::{
    Array, Batched, Buffer, Builder, Cost, DType, Doc, Element, ErrorKind, Jvp, Operand, Primitive, Result,
    Type, Var,
};

/// Elements sorted along an axis, and where each came from: `(values, indices)`, the indices `i64`.
///
/// Equal elements keep their order, in descending order too; NaN counts as largest, as it does in [`ArgReduce`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Sort {
    /// The axis.
    pub axis: usize,
    /// Largest first.
    pub descending: bool,
}

/// The index of the largest or smallest element along an axis, which disappears; an `i64`.
///
/// The first of equal elements counts; a NaN counts as the extremum, as it does in the maximum itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ArgReduce {
    /// The largest, not the smallest.
    pub max: bool,
    /// The axis.
    pub axis: usize,
}

/// Whether `x` is not a number: the only values that differ from themselves.
fn is_nan<T: PartialEq>(x: &T) -> bool {
    #[allow(clippy::eq_op)]
    {
        x != x
    }
}

fn check(op: &'static str, axis: usize, ty: &Type) -> Result<(), ErrorKind> {
    if axis >= ty.shape.rank() {
        return Err(ErrorKind::Axis { op, axis: axis as isize, rank: ty.shape.rank() });
    }
    if !(ty.dtype.is_float() || ty.dtype.is_int()) {
        let detail = "it orders floats or integers; cast first".into();
        return Err(ErrorKind::DType { op, dtypes: vec![ty.dtype], detail });
    }
    Ok(())
}

/// Runs an expression with the elements of an ordered dtype bound to a name.
macro_rules! ordered {
    ($buffer:expr, $v:ident => $body:expr) => {
        match $buffer {
            Buffer::F32($v) => $body,
            Buffer::F64($v) => $body,
            Buffer::I32($v) => $body,
            Buffer::I64($v) => $body,
            Buffer::U8($v) => $body,
            Buffer::Bool(_) | Buffer::Bf16(_) | Buffer::F16(_) => {
                unreachable!("excluded by the shape rule, or wider here")
            }
        }
    };
}

impl Sort {
    fn order<T: PartialOrd>(&self, x: &T, y: &T) -> Ordering {
        let ascending = x.partial_cmp(y).unwrap_or_else(|| is_nan(x).cmp(&is_nan(y)));
        if self.descending { ascending.reverse() } else { ascending }
    }

    fn sorted<T: Element + PartialOrd>(&self, x: &Array, v: &[T]) -> Arrays {
        let (outer, extent, inner) = around(x.shape(), self.axis);
        let mut values = v.to_vec();
        let mut indices = vec![0i64; v.len()];
        let mut order: Vec<usize> = Vec::with_capacity(extent);
        for o in 0..outer {
            for i in 0..inner {
                let at = |k: usize| (o * extent + k) * inner + i;
                order.clear();
                order.extend(0..extent);
                order.sort_by(|&a, &b| self.order(&v[at(a)], &v[at(b)]));
                for (to, &from) in order.iter().enumerate() {
                    values[at(to)] = v[at(from)];
                    indices[at(to)] = from as i64;
                }
            }
        }
        smallvec![Array::of(x.shape().clone(), values), Array::of(x.shape().clone(), indices)]
    }
}

impl Primitive for Sort {
    fn doc(&self) -> Doc {
        Doc {
            name: "sort",
            formula: "x in order along an axis, and its permutation",
            derivative: "dx in the same permutation",
            domain: "all x; stable at ties, NaN counts as largest",
        }
    }
    fn infer(&self, inputs: &[Type]) -> Result<Types, ErrorKind> {
        check("sort", self.axis, &inputs[0])?;
        Ok(smallvec![inputs[0].clone(), inputs[0].with_dtype(DType::I64)])
    }
    fn eval(&self, inputs: &[&Array]) -> Result<Arrays, ErrorKind> {
        Ok(ordered!(inputs[0].buffer(), v => self.sorted(inputs[0], v)))
    }
    fn jvp(&self, b: &mut Builder, _: Jvp, inputs: &[Var], t: &[Option<Var>]) -> Result<(Vars, Tangents)> {
        let out = b.emit(*self, inputs)?;
        let tangent = t[0].map(|t| take_along(b, t, out[1], self.axis)).transpose()?;
        Ok((out, smallvec![tangent, None]))
    }
    fn transpose(&self, _: &mut Builder, _: &[Operand], _: &[Option<Var>]) -> Result<Tangents> {
        Err(not_linear("sort"))
    }
    fn batch(&self, b: &mut Builder, inputs: &[Batched], _: Lanes<'_>) -> Result<SmallVec<[Batched; 4]>> {
        let out = b.emit(Sort { axis: self.axis + 1, ..*self }, &[inputs[0].0])?;
        Ok(out.into_iter().map(|v| (v, true)).collect())
    }
    fn cost(&self, inputs: &[Type], outputs: &[Type]) -> Cost {
        let passes = (inputs[0].shape[self.axis].max(2) as f64).log2();
        Cost { flops: 2.0 * inputs[0].shape.size() as f64 * passes, bytes: moved(inputs, outputs).bytes }
    }
}

impl ArgReduce {
    fn name(&self) -> &'static str {
        if self.max { "argmax" } else { "argmin" }
    }

    fn find<T: Element + PartialOrd>(&self, x: &Array, v: &[T]) -> Array {
        let (outer, extent, inner) = around(x.shape(), self.axis);
        let better = |new: &T, best: &T| {
            !is_nan(best) && (is_nan(new) || if self.max { new > best } else { new < best })
        };
        let mut out = Vec::with_capacity(outer * inner);
        for o in 0..outer {
            for i in 0..inner {
                let at = |k: usize| &v[(o * extent + k) * inner + i];
                let best = (1..extent).fold(0, |best, k| if better(at(k), at(best)) { k } else { best });
                out.push(best as i64);
            }
        }
        Array::of(x.shape().remove(self.axis), out)
    }
}

impl Primitive for ArgReduce {
    fn doc(&self) -> Doc {
        Doc {
            name: self.name(),
            formula: if self.max { "index of the largest" } else { "index of the smallest" },
            derivative: "none: the result is an integer",
            domain: "all x but none; the first at ties, the first NaN if there is one",
        }
    }
    fn infer(&self, inputs: &[Type]) -> Result<Types, ErrorKind> {
        check(self.name(), self.axis, &inputs[0])?;
        let shape = inputs[0].shape.remove(self.axis);
        if inputs[0].shape[self.axis] == 0 && shape.size() > 0 {
            let detail = format!("there is no extremum of nothing (shape {})", inputs[0].shape);
            return Err(ErrorKind::Argument { op: self.name(), detail });
        }
        Ok(smallvec![Type::checked(self.name(), DType::I64, shape)?])
    }
    fn eval(&self, inputs: &[&Array]) -> Result<Arrays, ErrorKind> {
        Ok(smallvec![ordered!(inputs[0].buffer(), v => self.find(inputs[0], v))])
    }
    fn jvp(&self, b: &mut Builder, _: Jvp, inputs: &[Var], _: &[Option<Var>]) -> Result<(Vars, Tangents)> {
        jvp_zero(*self, b, inputs)
    }
    fn transpose(&self, _: &mut Builder, _: &[Operand], _: &[Option<Var>]) -> Result<Tangents> {
        Err(not_linear(self.name()))
    }
    fn batch(&self, b: &mut Builder, inputs: &[Batched], _: Lanes<'_>) -> Result<SmallVec<[Batched; 4]>> {
        Ok(smallvec![(b.emit1(ArgReduce { axis: self.axis + 1, ..*self }, &[inputs[0].0])?, true)])
    }
    fn cost(&self, inputs: &[Type], outputs: &[Type]) -> Cost {
        Cost { flops: inputs[0].shape.size() as f64, bytes: moved(inputs, outputs).bytes }
    }
}
