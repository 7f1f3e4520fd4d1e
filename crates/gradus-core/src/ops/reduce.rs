//! Reductions over axes: sum, product, maximum, minimum.

use smallvec::{SmallVec, smallvec};

use crate::graph::Vars;
use crate::ops::cumulative::shift;
use crate::ops::{
    Axes, Broadcast, Compare, Cumulative, CumulativeKind, LinearMul, Permute, Reshape, Select, jvp_linear,
    shifted,
};
use crate::primitive::{Arrays, Tangents, Types, not_linear};
use crate::transforms::Lanes;
use crate::{
    Array, Batched, Binary, Buffer, Builder, Cost, DEAD, Doc, Element, ErrorKind, Jvp, Operand, Primitive,
    Result, Shape, Type, Unary, Var,
};

/// What a reduction combines with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ReduceKind {
    /// `Σ x`; 0 of nothing.
    Sum,
    /// `Π x`; 1 of nothing.
    Prod,
    /// The largest; NaN if any is. An error of nothing.
    Max,
    /// The smallest; NaN if any is. An error of nothing.
    Min,
}

impl ReduceKind {
    /// Every kind.
    pub const ALL: [ReduceKind; 4] = [ReduceKind::Sum, ReduceKind::Prod, ReduceKind::Max, ReduceKind::Min];
}

/// A reduction over axes, which disappear.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Reduce {
    /// What it combines with.
    pub kind: ReduceKind,
    /// The axes, increasing.
    pub axes: Axes,
}

/// Repeats a reduced value along the axes it was reduced over.
pub(crate) fn unreduce(b: &mut Builder, reduced: Var, shape: &Shape, axes: &[usize]) -> Result<Var> {
    let kept = (0..shape.rank()).filter(|a| !axes.contains(a)).collect();
    b.emit1(Broadcast { shape: shape.clone(), axes: kept }, &[reduced])
}

impl Reduce {
    /// The product of all elements but each one, without dividing, so that zeros are harmless; linear in their number.
    fn others(&self, b: &mut Builder, x: Var) -> Result<Var> {
        let shape = b.shape(x).clone();
        let order: Axes =
            (0..shape.rank()).filter(|a| !self.axes.contains(a)).chain(self.axes.iter().copied()).collect();
        let ordered = shape.select(&order);
        let n: usize = shape.select(&self.axes).size();
        let rows: usize = shape.without(&self.axes).size();
        let flat = b.emit1(Permute { axes: order.clone() }, &[x])?;
        let flat = b.emit1(Reshape([rows, n].into()), &[flat])?;
        // The product of all before each element, times that of all after it.
        let mut sides = [flat; 2];
        for (side, reverse) in sides.iter_mut().zip([false, true]) {
            let running = b.emit1(Cumulative { kind: CumulativeKind::Prod, axis: 1, reverse }, &[flat])?;
            *side = shift(b, running, 1, !reverse, 1.0)?;
        }
        let product = b.emit1(Binary::Mul, &sides)?;
        let product = b.emit1(Reshape(ordered), &[product])?;
        let mut inverse: Axes = smallvec![0; order.len()];
        for (to, &from) in order.iter().enumerate() {
            inverse[from] = to;
        }
        b.emit1(Permute { axes: inverse }, &[product])
    }

    fn rows<T: Element>(
        &self,
        x: &Array,
        v: &[T],
        zero: T,
        combine: impl Fn(T, T) -> T,
        first: bool,
    ) -> Array {
        let out_shape = x.shape().without(&self.axes);
        let reduced = x.shape().select(&self.axes);
        let strides = x.shape().strides();
        let kept: SmallVec<[isize; 4]> =
            (0..x.shape().rank()).filter(|a| !self.axes.contains(a)).map(|a| strides[a]).collect();
        let inner: SmallVec<[isize; 4]> = self.axes.iter().map(|&a| strides[a]).collect();
        let mut out = Vec::with_capacity(out_shape.size());
        crate::strided::for_each(&out_shape, 0, &kept, |_, base| {
            let mut acc = if first { v[base as usize] } else { zero };
            let mut skip = first;
            crate::strided::for_each(&reduced, base, &inner, |_, at| {
                if !std::mem::take(&mut skip) {
                    acc = combine(acc, v[at as usize]);
                }
            });
            out.push(acc);
        });
        Array::of(out_shape, out)
    }
}

impl Primitive for Reduce {
    fn doc(&self) -> Doc {
        let (name, formula, derivative, domain) = match self.kind {
            ReduceKind::Sum => ("sum", "Σ xᵢ", "linear", "all x; 0 of nothing"),
            ReduceKind::Prod => ("prod", "Π xᵢ", "Π of the others", "all x, zeros included; 1 of nothing"),
            ReduceKind::Max => {
                ("reduce_max", "max xᵢ", "1/k for each of the k largest", "NaN if any is; ties share")
            }
            ReduceKind::Min => {
                ("reduce_min", "min xᵢ", "1/k for each of the k smallest", "NaN if any is; ties share")
            }
        };
        Doc { name, formula, derivative, domain }
    }
    fn infer(&self, inputs: &[Type]) -> Result<Types, ErrorKind> {
        let (op, ty) = (self.doc().name, &inputs[0]);
        let rank = ty.shape.rank();
        if let Some(&axis) = self.axes.iter().find(|&&a| a >= rank) {
            return Err(ErrorKind::Axis { op, axis: axis as isize, rank });
        }
        if !self.axes.windows(2).all(|w| w[0] < w[1]) {
            let detail = format!("axes {:?} must be distinct", self.axes.as_slice());
            return Err(ErrorKind::Argument { op, detail });
        }
        if !(ty.dtype.is_float() || ty.dtype.is_int()) {
            let detail = "it takes floats or integers; cast first".into();
            return Err(ErrorKind::DType { op, dtypes: vec![ty.dtype], detail });
        }
        let orders = matches!(self.kind, ReduceKind::Max | ReduceKind::Min);
        if orders && ty.shape.select(&self.axes).size() == 0 && ty.shape.without(&self.axes).size() > 0 {
            let detail = format!("there is no extremum of nothing (shape {})", ty.shape);
            return Err(ErrorKind::Argument { op, detail });
        }
        Ok(smallvec![ty.with_shape(op, ty.shape.without(&self.axes))?])
    }
    fn eval(&self, inputs: &[&Array]) -> Result<Arrays, ErrorKind> {
        let x = inputs[0];
        macro_rules! reduce {
            ($v:expr, $t:ty, $nothing:expr, $add:expr, $mul:expr, $max:expr, $min:expr) => {
                match self.kind {
                    ReduceKind::Sum => self.rows(x, $v, $nothing, $add, false),
                    ReduceKind::Prod => self.rows(x, $v, 1 as $t, $mul, false),
                    ReduceKind::Max => self.rows(x, $v, 0 as $t, $max, true),
                    ReduceKind::Min => self.rows(x, $v, 0 as $t, $min, true),
                }
            };
        }
        macro_rules! ints {
            ($v:expr, $t:ty) => {
                reduce!(
                    $v,
                    $t,
                    0,
                    |a, b| a.wrapping_add(b),
                    |a, b| a.wrapping_mul(b),
                    |a, b| a.max(b),
                    |a, b| a.min(b)
                )
            };
        }
        macro_rules! floats {
            ($v:expr, $t:ty) => {
                reduce!(
                    $v,
                    $t,
                    if x.shape().select(&self.axes).size() == 0 { 0.0 } else { -0.0 },
                    |a, b| a + b,
                    |a, b| a * b,
                    |a, b| gradus_num::Scalar::binary(&a, Binary::Max, &b),
                    |a, b| gradus_num::Scalar::binary(&a, Binary::Min, &b)
                )
            };
        }
        Ok(smallvec![match x.buffer() {
            Buffer::F32(v) => floats!(v, f32),
            Buffer::F64(v) => floats!(v, f64),
            Buffer::I32(v) => ints!(v, i32),
            Buffer::I64(v) => ints!(v, i64),
            Buffer::U8(v) => ints!(v, u8),
            Buffer::Bool(_) | Buffer::Bf16(_) | Buffer::F16(_) =>
                unreachable!("excluded by the shape rule, or wider here"),
        }])
    }
    fn jvp(&self, b: &mut Builder, _: Jvp, inputs: &[Var], t: &[Option<Var>]) -> Result<(Vars, Tangents)> {
        let (x, Some(dx)) = (inputs[0], t[0]) else { unreachable!("some tangent is not zero") };
        let sum =
            |b: &mut Builder, v| b.emit1(Reduce { kind: ReduceKind::Sum, axes: self.axes.clone() }, &[v]);
        match self.kind {
            ReduceKind::Sum => jvp_linear(self.clone(), b, inputs, t),
            ReduceKind::Prod => {
                let out = b.emit1(self.clone(), inputs)?;
                let others = self.others(b, x)?;
                let terms = b.emit1(LinearMul::RESIDUAL, &[others, dx])?;
                Ok((smallvec![out], smallvec![Some(sum(b, terms)?)]))
            }
            ReduceKind::Max | ReduceKind::Min => {
                let out = b.emit1(self.clone(), inputs)?;
                let ty = b.ty(x).clone();
                let extremum = unreduce(b, out, &ty.shape, &self.axes)?;
                // Of a NaN nobody loses, and the share is NaN.
                let loses = if self.kind == ReduceKind::Max { Compare::Lt } else { Compare::Gt };
                let loses = b.emit1(loses, &[x, extremum])?;
                let (one, zero, dead) = (b.full(&ty, 1.0), b.full(&ty, 0.0), b.full(&ty, DEAD));
                let ones = b.emit1(Select, &[loses, zero, one])?;
                let count = sum(b, ones)?;
                let share = b.emit1(Unary::Recip, &[count])?;
                let number = b.emit1(Compare::Eq, &[out, out])?;
                let nan = b.full(&b.ty(out).clone(), f64::NAN);
                let share = b.emit1(Select, &[number, share, nan])?;
                let chosen = b.emit1(Select, &[loses, dead, dx])?;
                let total = sum(b, chosen)?;
                let tangent = b.emit1(LinearMul::RESIDUAL, &[share, total])?;
                Ok((smallvec![out], smallvec![Some(tangent)]))
            }
        }
    }
    fn transpose(&self, b: &mut Builder, inputs: &[Operand], ct: &[Option<Var>]) -> Result<Tangents> {
        if self.kind != ReduceKind::Sum {
            return Err(not_linear(self.doc().name));
        }
        let (Operand::Linear(ty), Some(ct)) = (&inputs[0], ct[0]) else { return Ok(smallvec![None]) };
        Ok(smallvec![Some(unreduce(b, ct, &ty.shape, &self.axes)?)])
    }
    fn batch(&self, b: &mut Builder, inputs: &[Batched], _: Lanes<'_>) -> Result<SmallVec<[Batched; 4]>> {
        let (x, batched) = inputs[0];
        let axes = if batched { shifted(&self.axes) } else { self.axes.clone() };
        Ok(smallvec![(b.emit1(Reduce { kind: self.kind, axes }, &[x])?, batched)])
    }
    fn cost(&self, inputs: &[Type], outputs: &[Type]) -> Cost {
        let bytes = inputs[0].bytes() as f64 + outputs[0].bytes() as f64;
        Cost { flops: inputs[0].shape.size() as f64, bytes }
    }
}
