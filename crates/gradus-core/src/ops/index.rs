//! Reading and adding at indices held in a tensor: gather, and scatter-add, its transpose.

use smallvec::{SmallVec, smallvec};

use crate::graph::Vars;
use crate::ops::movement::moved;
use crate::ops::{Axes, Permute, materialize_batch};
use crate::primitive::{Arrays, Tangents, Types, not_linear};
use crate::transforms::Lanes;
use crate::{
    Array, Batched, Buffer, Builder, Cost, DEAD, DType, Doc, Element, ErrorKind, Jvp, Operand, Primitive,
    Result, Shape, Type, Var, with_elements,
};

/// The slices of a tensor along an axis that an index tensor names.
///
/// The first `batch` axes of operand and indices are paired: with batch index `b`,
/// `out[b, p.., i.., q..] = x[b, p.., indices[b, i..], q..]`, where `p` are the axes between the batch and `axis`
/// and `q` those after it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Gather {
    /// The axis of the operand that is indexed, at least `batch`.
    pub axis: usize,
    /// The number of leading axes that operand and indices share.
    pub batch: usize,
    /// Whether negative indices count from the end; else they are out of range.
    pub from_end: bool,
}

/// Adds slices to a tensor at the places along an axis that an index tensor names; the transpose of [`Gather`].
///
/// Operands are the tensor, the indices and the updates: `out = x`, then
/// `out[b, p.., indices[b, i..], q..] += updates[b, p.., i.., q..]` for every `i` in row-major order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ScatterAdd {
    /// The axis of the tensor that is indexed, at least `batch`.
    pub axis: usize,
    /// The number of leading axes that all operands share.
    pub batch: usize,
    /// As for [`Gather`].
    pub from_end: bool,
}

/// The shape of a gathered result; checks axis, shared axes and index dtype.
fn gathered(
    op: &'static str,
    axis: usize,
    batch: usize,
    x: &Type,
    indices: &Type,
) -> Result<Shape, ErrorKind> {
    if axis >= x.shape.rank() {
        return Err(ErrorKind::Axis { op, axis: axis as isize, rank: x.shape.rank() });
    }
    if !matches!(indices.dtype, DType::I32 | DType::I64) {
        let detail = "indices are i32 or i64; cast them first".into();
        return Err(ErrorKind::DType { op, dtypes: vec![indices.dtype], detail });
    }
    if batch > axis || batch > indices.shape.rank() || x.shape[..batch] != indices.shape[..batch] {
        let shapes = vec![x.shape.clone(), indices.shape.clone()];
        let detail = format!(
            "the first {batch} axes are shared, so they must be equal and come before axis {axis}; \
             broadcast the indices along them"
        );
        return Err(ErrorKind::Shape { op, shapes, detail });
    }
    Ok(Shape::from(&x.shape[..axis]).concat(&indices.shape[batch..]).concat(&x.shape[axis + 1..]))
}

/// How a gather walks its operand: `batches` blocks of `rows` rows of `extent` slices of `width` elements, and
/// `count` indices a batch.
struct GatherLoop {
    batches: usize,
    rows: usize,
    extent: usize,
    width: usize,
    count: usize,
}

impl GatherLoop {
    fn new(axis: usize, batch: usize, x: &Shape, indices: &Shape) -> Self {
        GatherLoop {
            batches: x[..batch].iter().product(),
            rows: x[batch..axis].iter().product(),
            extent: x[axis],
            width: x[axis + 1..].iter().product(),
            count: indices[batch..].iter().product(),
        }
    }

    /// Calls `f(slice of the operand, slice of the result)` for every pair of slices, in order of the result.
    fn pairs(&self, indices: &[usize], mut f: impl FnMut(usize, usize)) {
        for b in 0..self.batches {
            for r in 0..self.rows {
                let row = b * self.rows + r;
                for i in 0..self.count {
                    f(row * self.extent + indices[b * self.count + i], row * self.count + i);
                }
            }
        }
    }
}

/// The indices resolved to `0..extent`.
///
/// # Errors
/// If one is out of range.
fn resolved(
    op: &'static str,
    indices: &Array,
    extent: usize,
    from_end: bool,
) -> Result<Vec<usize>, ErrorKind> {
    let resolve = |(at, index): (usize, i64)| {
        let from_start = if index < 0 && from_end { index.checked_add(extent as i64) } else { Some(index) };
        match from_start {
            Some(i) if (0..extent as i64).contains(&i) => Ok(i as usize),
            _ => Err(ErrorKind::Index { op, index, at: Some(at), extent, from_end }),
        }
    };
    match indices.buffer() {
        Buffer::I32(v) => v.iter().map(|&i| i64::from(i)).enumerate().map(resolve).collect(),
        Buffer::I64(v) => v.iter().copied().enumerate().map(resolve).collect(),
        _ => unreachable!("excluded by the shape rule"),
    }
}

/// Moves axis `from` to the place `to`.
pub(crate) fn move_axis(b: &mut Builder, x: Var, from: usize, to: usize) -> Result<Var> {
    if from == to {
        return Ok(x);
    }
    let mut axes: Axes = (0..b.shape(x).rank()).filter(|&a| a != from).collect();
    axes.insert(to, from);
    b.emit1(Permute { axes }, &[x])
}

/// `out[.., i, ..] = x[.., indices[.., i, ..], ..]` along one axis, all other axes being shared.
pub(crate) fn take_along(b: &mut Builder, x: Var, indices: Var, axis: usize) -> Result<Var> {
    let last = b.shape(x).rank() - 1;
    let (x, indices) = (move_axis(b, x, axis, last)?, move_axis(b, indices, axis, last)?);
    let out = b.emit1(Gather { axis: last, batch: last, from_end: true }, &[x, indices])?;
    move_axis(b, out, last, axis)
}

impl Primitive for Gather {
    fn doc(&self) -> Doc {
        Doc {
            name: "gather",
            formula: "x[…, indices, …]",
            derivative: "dx[…, indices, …]",
            domain: "-n ≤ index < n, else an error",
        }
    }
    fn infer(&self, inputs: &[Type]) -> Result<Types, ErrorKind> {
        let shape = gathered("gather", self.axis, self.batch, &inputs[0], &inputs[1])?;
        Ok(smallvec![inputs[0].with_shape("gather", shape)?])
    }
    fn eval(&self, inputs: &[&Array]) -> Result<Arrays, ErrorKind> {
        let (x, indices) = (inputs[0], inputs[1]);
        let over = GatherLoop::new(self.axis, self.batch, x.shape(), indices.shape());
        let at = resolved("gather", indices, over.extent, self.from_end)?;
        let shape = Shape::from(&x.shape()[..self.axis])
            .concat(&indices.shape()[self.batch..])
            .concat(&x.shape()[self.axis + 1..]);
        Ok(smallvec![with_elements!(x.buffer(), v => {
            let mut out = Vec::with_capacity(shape.size());
            let w = over.width;
            over.pairs(&at, |from, _| out.extend_from_slice(&v[from * w..(from + 1) * w]));
            Array::of(shape, out)
        })])
    }
    fn jvp(&self, b: &mut Builder, _: Jvp, inputs: &[Var], t: &[Option<Var>]) -> Result<(Vars, Tangents)> {
        let out = b.emit1(*self, inputs)?;
        let tangent = t[0].map(|t| b.emit1(*self, &[t, inputs[1]])).transpose()?;
        Ok((smallvec![out], smallvec![tangent]))
    }
    fn transpose(&self, b: &mut Builder, inputs: &[Operand], ct: &[Option<Var>]) -> Result<Tangents> {
        let (Operand::Linear(ty), Some(ct)) = (&inputs[0], ct[0]) else { return Ok(smallvec![None, None]) };
        let Some(indices) = inputs[1].residual() else { return Err(not_linear("gather")) };
        let zeros = b.full(ty, DEAD);
        let scatter = ScatterAdd { axis: self.axis, batch: self.batch, from_end: self.from_end };
        Ok(smallvec![Some(b.emit1(scatter, &[zeros, indices, ct])?), None])
    }
    fn batch(&self, b: &mut Builder, inputs: &[Batched], _: Lanes<'_>) -> Result<SmallVec<[Batched; 4]>> {
        let ((x, in_x), (indices, in_indices)) = (inputs[0], inputs[1]);
        let out = if in_x && in_indices {
            b.emit1(Gather { axis: self.axis + 1, batch: self.batch + 1, ..*self }, &[x, indices])?
        } else if in_x {
            // The new axis joins those between the shared ones and the one indexed.
            let x = move_axis(b, x, 0, self.batch)?;
            let out = b.emit1(Gather { axis: self.axis + 1, ..*self }, &[x, indices])?;
            move_axis(b, out, self.batch, 0)?
        } else {
            // The new axis is one more axis of indices: the operand is not repeated.
            let indices = move_axis(b, indices, 0, self.batch)?;
            let out = b.emit1(*self, &[x, indices])?;
            move_axis(b, out, self.axis, 0)?
        };
        Ok(smallvec![(out, true)])
    }
    fn cost(&self, inputs: &[Type], outputs: &[Type]) -> Cost {
        let mut cost = moved(&inputs[1..], outputs);
        cost.bytes += outputs[0].bytes() as f64;
        cost
    }
}

impl Primitive for ScatterAdd {
    fn doc(&self) -> Doc {
        Doc {
            name: "scatter_add",
            formula: "x, then x[…, indices, …] += updates",
            derivative: "linear in x and updates together",
            domain: "-n ≤ index < n, else an error; equal indices add up in order",
        }
    }
    fn infer(&self, inputs: &[Type]) -> Result<Types, ErrorKind> {
        let (x, updates) = (&inputs[0], &inputs[2]);
        let shape = gathered("scatter_add", self.axis, self.batch, x, &inputs[1])?;
        if x.dtype != updates.dtype || !(x.dtype.is_float() || x.dtype.is_int()) {
            let detail = "tensor and updates have one dtype, floats or integers; cast one of them".into();
            return Err(ErrorKind::DType { op: "scatter_add", dtypes: vec![x.dtype, updates.dtype], detail });
        }
        if updates.shape != shape {
            let shapes = vec![x.shape.clone(), inputs[1].shape.clone(), updates.shape.clone()];
            let detail = format!("the updates must have shape {shape}; broadcast them");
            return Err(ErrorKind::Shape { op: "scatter_add", shapes, detail });
        }
        Ok(smallvec![x.clone()])
    }
    fn eval(&self, inputs: &[&Array]) -> Result<Arrays, ErrorKind> {
        let over = GatherLoop::new(self.axis, self.batch, inputs[0].shape(), inputs[1].shape());
        let at = resolved("scatter_add", inputs[1], over.extent, self.from_end)?;
        fn add<T: Element>(
            x: &Array,
            v: &[T],
            updates: &Array,
            over: &GatherLoop,
            at: &[usize],
            f: impl Fn(T, T) -> T,
        ) -> Array {
            let updates = updates.elements::<T>().expect("one dtype by the shape rule");
            let (mut out, w) = (v.to_vec(), over.width);
            over.pairs(at, |to, from| {
                for k in 0..w {
                    out[to * w + k] = f(out[to * w + k], updates[from * w + k]);
                }
            });
            Array::of(x.shape().clone(), out)
        }
        let (x, u) = (inputs[0], inputs[2]);
        Ok(smallvec![match x.buffer() {
            Buffer::F32(v) => add(x, v, u, &over, &at, |a, b| a + b),
            Buffer::F64(v) => add(x, v, u, &over, &at, |a, b| a + b),
            Buffer::I32(v) => add(x, v, u, &over, &at, i32::wrapping_add),
            Buffer::I64(v) => add(x, v, u, &over, &at, i64::wrapping_add),
            Buffer::U8(v) => add(x, v, u, &over, &at, u8::wrapping_add),
            Buffer::Bool(_) | Buffer::Bf16(_) | Buffer::F16(_) =>
                unreachable!("excluded by the shape rule, or wider here"),
        }])
    }
    fn jvp(&self, b: &mut Builder, _: Jvp, inputs: &[Var], t: &[Option<Var>]) -> Result<(Vars, Tangents)> {
        let out = b.emit1(*self, inputs)?;
        let tangent = match (t[0], t[2]) {
            (tangent, None) => tangent,
            (tangent, Some(updates)) => {
                let ty = b.ty(inputs[0]).clone();
                let x = b.instantiate(tangent, &ty);
                Some(b.emit1(*self, &[x, inputs[1], updates])?)
            }
        };
        Ok((smallvec![out], smallvec![tangent]))
    }
    fn transpose(&self, b: &mut Builder, inputs: &[Operand], ct: &[Option<Var>]) -> Result<Tangents> {
        let Some(ct) = ct[0] else { return Ok(smallvec![None, None, None]) };
        let Some(indices) = inputs[1].residual() else { return Err(not_linear("scatter_add")) };
        let updates = if inputs[2].is_linear() {
            let gather = Gather { axis: self.axis, batch: self.batch, from_end: self.from_end };
            Some(b.emit1(gather, &[ct, indices])?)
        } else {
            None
        };
        Ok(smallvec![inputs[0].is_linear().then_some(ct), None, updates])
    }
    fn batch(&self, b: &mut Builder, inputs: &[Batched], lanes: Lanes<'_>) -> Result<SmallVec<[Batched; 4]>> {
        let x = materialize_batch(b, inputs[0], lanes.size)?;
        let updates = materialize_batch(b, inputs[2], lanes.size)?;
        let (indices, per_example) = inputs[1];
        let out = if per_example {
            let op = ScatterAdd { axis: self.axis + 1, batch: self.batch + 1, ..*self };
            b.emit1(op, &[x, indices, updates])?
        } else {
            let (x, updates) = (move_axis(b, x, 0, self.batch)?, move_axis(b, updates, 0, self.batch)?);
            let op = ScatterAdd { axis: self.axis + 1, ..*self };
            let out = b.emit1(op, &[x, indices, updates])?;
            move_axis(b, out, self.batch, 0)?
        };
        Ok(smallvec![(out, true)])
    }
    fn cost(&self, inputs: &[Type], outputs: &[Type]) -> Cost {
        let mut cost = moved(inputs, outputs);
        cost.flops = inputs[2].shape.size() as f64;
        cost.bytes += inputs[2].bytes() as f64;
        cost
    }
}
