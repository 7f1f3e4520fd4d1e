//! Cutting and joining: slice, pad, concatenate, reverse.

use smallvec::{SmallVec, smallvec};

use crate::graph::Vars;
use crate::ops::movement::moved;
use crate::ops::{Axes, batch_all, distinct, jvp_linear, shifted};
use crate::primitive::{Arrays, Tangents, Types};
use crate::strided::{gather, scatter};
use crate::transforms::Lanes;
use crate::{
    Array, Batched, Buffer, Builder, Cost, DEAD, Doc, Element, ErrorKind, Jvp, Operand, Primitive, Result,
    Shape, Type, Var, with_elements,
};

fn per_axis(op: &'static str, given: [&Axes; 3], shape: &Shape) -> Result<(), ErrorKind> {
    let Some(wrong) = given.iter().find(|g| g.len() != shape.rank()) else { return Ok(()) };
    let detail = format!("bounds for {} axes, but the tensor {shape} has {}", wrong.len(), shape.rank());
    Err(ErrorKind::Argument { op, detail })
}

/// Along each axis every `step`-th element from `start` up to, not including, `stop`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Slice {
    /// First index of each axis.
    pub start: Axes,
    /// End of each axis, exclusive.
    pub stop: Axes,
    /// Step of each axis, at least 1.
    pub step: Axes,
}

impl Slice {
    /// The whole of `shape` but for `axis`, which is cut to `start..stop`.
    pub fn along(shape: &Shape, axis: usize, start: usize, stop: usize) -> Self {
        let mut slice = Slice {
            start: smallvec![0; shape.rank()],
            stop: SmallVec::from_slice(shape),
            step: smallvec![1; shape.rank()],
        };
        (slice.start[axis], slice.stop[axis]) = (start, stop);
        slice
    }

    /// The extents of the result.
    fn extents(&self) -> Shape {
        let bounds = self.start.iter().zip(&self.stop);
        bounds.zip(&self.step).map(|((start, stop), &step)| (stop - start).div_ceil(step)).collect()
    }

    /// How far apart two neighbours along an axis of the result are in the operand, whose elements are `stride` apart.
    /// A step beyond the end of the axis leads nowhere, and counts as one to there.
    pub fn stride(&self, axis: usize, stride: isize) -> isize {
        stride * self.step[axis].min(self.stop[axis].max(1)) as isize
    }
}

impl Primitive for Slice {
    fn doc(&self) -> Doc {
        Doc {
            name: "slice",
            formula: "x[start:stop:step]",
            derivative: "linear",
            domain: "bounds inside the axes",
        }
    }
    fn infer(&self, inputs: &[Type]) -> Result<Types, ErrorKind> {
        let from = &inputs[0].shape;
        per_axis("slice", [&self.start, &self.stop, &self.step], from)?;
        for axis in 0..from.rank() {
            let (start, stop, step) = (self.start[axis], self.stop[axis], self.step[axis]);
            if start > stop || stop > from[axis] || step == 0 {
                let detail = format!("{start}..{stop} step {step} does not fit axis {axis} of {from}");
                return Err(ErrorKind::Argument { op: "slice", detail });
            }
        }
        Ok(smallvec![inputs[0].with_shape("slice", self.extents())?])
    }
    fn eval(&self, inputs: &[&Array]) -> Result<Arrays, ErrorKind> {
        let x = inputs[0];
        let strides = x.shape().strides();
        let start = strides.iter().zip(&self.start).map(|(&s, &i)| s * i as isize).sum();
        let steps: SmallVec<[isize; 4]> =
            strides.iter().enumerate().map(|(axis, &s)| self.stride(axis, s)).collect();
        let shape = self.extents();
        Ok(smallvec![with_elements!(x.buffer(), v => {
            let out = gather(v, &shape, start, &steps);
            Array::of(shape, out)
        })])
    }
    fn jvp(&self, b: &mut Builder, _: Jvp, inputs: &[Var], t: &[Option<Var>]) -> Result<(Vars, Tangents)> {
        jvp_linear(self.clone(), b, inputs, t)
    }
    fn transpose(&self, b: &mut Builder, inputs: &[Operand], ct: &[Option<Var>]) -> Result<Tangents> {
        let (Operand::Linear(ty), Some(ct)) = (&inputs[0], ct[0]) else { return Ok(smallvec![None]) };
        let extents = b.shape(ct).clone();
        let covered = |a: usize| if extents[a] == 0 { 0 } else { (extents[a] - 1) * self.step[a] + 1 };
        let pad = Pad {
            dead: true,
            low: self.start.clone(),
            high: (0..extents.rank()).map(|a| ty.shape[a] - self.start[a] - covered(a)).collect(),
            interior: self.step.iter().map(|s| s - 1).collect(),
        };
        Ok(smallvec![Some(b.emit1(pad, &[ct])?)])
    }
    fn batch(&self, b: &mut Builder, inputs: &[Batched], lanes: Lanes<'_>) -> Result<SmallVec<[Batched; 4]>> {
        let front = |v: &Axes, first| std::iter::once(first).chain(v.iter().copied()).collect();
        let op = Slice {
            start: front(&self.start, 0),
            stop: front(&self.stop, lanes.size),
            step: front(&self.step, 1),
        };
        batch_all(op, b, inputs, lanes.size)
    }
    fn cost(&self, _: &[Type], outputs: &[Type]) -> Cost {
        let mut cost = moved(&[], outputs);
        cost.bytes *= 2.0;
        cost
    }
}

/// Zeros before, after and between the elements along each axis.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Pad {
    /// Inside linear programs: the zeros are [`DEAD`].
    pub dead: bool,
    /// Zeros before the first element of each axis.
    pub low: Axes,
    /// Zeros after the last.
    pub high: Axes,
    /// Zeros between neighbours.
    pub interior: Axes,
}

impl Pad {
    /// The extent of the result; `usize::MAX` if it is too large for a `usize`.
    fn extent(&self, axis: usize, from: usize) -> usize {
        let between = from.saturating_sub(1).saturating_mul(self.interior[axis]);
        self.low[axis].saturating_add(self.high[axis]).saturating_add(from).saturating_add(between)
    }

    /// How far apart two neighbours of the operand, which has `from` of them along an axis, are in the result, whose
    /// elements are `stride` apart. A single one has no neighbour.
    pub fn stride(&self, axis: usize, from: usize, stride: isize) -> isize {
        if from > 1 { stride * (self.interior[axis] as isize + 1) } else { stride }
    }
}

impl Primitive for Pad {
    fn doc(&self) -> Doc {
        Doc { name: "pad", formula: "x with zeros around and between", derivative: "linear", domain: "all x" }
    }
    fn infer(&self, inputs: &[Type]) -> Result<Types, ErrorKind> {
        let from = &inputs[0].shape;
        per_axis("pad", [&self.low, &self.high, &self.interior], from)?;
        let shape: Shape = (0..from.rank()).map(|a| self.extent(a, from[a])).collect();
        Ok(smallvec![inputs[0].with_shape("pad", shape)?])
    }
    fn eval(&self, inputs: &[&Array]) -> Result<Arrays, ErrorKind> {
        fn spread<T: Element>(pad: &Pad, x: &Shape, v: &[T], fill: T) -> Array {
            let shape: Shape = (0..x.rank()).map(|a| pad.extent(a, x[a])).collect();
            let mut out = vec![fill; shape.size()];
            let strides = shape.strides();
            let start = strides.iter().zip(&pad.low).map(|(&s, &i)| s * i as isize).sum();
            let steps: SmallVec<[isize; 4]> =
                strides.iter().enumerate().map(|(axis, &s)| pad.stride(axis, x[axis], s)).collect();
            scatter(&mut out, v, x, start, &steps);
            Array::of(shape, out)
        }
        let x = inputs[0].shape();
        Ok(smallvec![match inputs[0].buffer() {
            Buffer::F32(v) if self.dead => spread(self, x, v, DEAD as f32),
            Buffer::F64(v) if self.dead => spread(self, x, v, DEAD),
            Buffer::Bf16(v) if self.dead => spread(self, x, v, DEAD.into()),
            Buffer::F16(v) if self.dead => spread(self, x, v, DEAD.into()),
            buffer => with_elements!(buffer, v => spread(self, x, v, Default::default())),
        }])
    }
    fn jvp(&self, b: &mut Builder, _: Jvp, inputs: &[Var], t: &[Option<Var>]) -> Result<(Vars, Tangents)> {
        let out = b.emit1(self.clone(), inputs)?;
        let tangent = t[0].map(|t| b.emit1(Pad { dead: true, ..self.clone() }, &[t])).transpose()?;
        Ok((smallvec![out], smallvec![tangent]))
    }
    fn transpose(&self, b: &mut Builder, _: &[Operand], ct: &[Option<Var>]) -> Result<Tangents> {
        let Some(ct) = ct[0] else { return Ok(smallvec![None]) };
        let shape = b.shape(ct).clone();
        let slice = Slice {
            start: self.low.clone(),
            stop: (0..shape.rank()).map(|a| shape[a] - self.high[a]).collect(),
            step: self.interior.iter().map(|i| i.saturating_add(1)).collect(),
        };
        Ok(smallvec![Some(b.emit1(slice, &[ct])?)])
    }
    fn batch(&self, b: &mut Builder, inputs: &[Batched], lanes: Lanes<'_>) -> Result<SmallVec<[Batched; 4]>> {
        let front = |v: &Axes| std::iter::once(0).chain(v.iter().copied()).collect();
        let op = Pad {
            dead: self.dead,
            low: front(&self.low),
            high: front(&self.high),
            interior: front(&self.interior),
        };
        batch_all(op, b, inputs, lanes.size)
    }
    fn cost(&self, inputs: &[Type], outputs: &[Type]) -> Cost {
        moved(inputs, outputs)
    }
}

/// Operands one after another along an axis.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Concat {
    /// The axis along which they are joined.
    pub axis: usize,
}

impl Primitive for Concat {
    fn doc(&self) -> Doc {
        Doc {
            name: "concat",
            formula: "operands joined along an axis",
            derivative: "linear",
            domain: "other extents equal",
        }
    }
    fn infer(&self, inputs: &[Type]) -> Result<Types, ErrorKind> {
        let Some(first) = inputs.first() else {
            return Err(ErrorKind::Argument { op: "concat", detail: "needs at least one tensor".into() });
        };
        if self.axis >= first.shape.rank() {
            return Err(ErrorKind::Axis { op: "concat", axis: self.axis as isize, rank: first.shape.rank() });
        }
        let mut shape = first.shape.clone();
        shape[self.axis] = 0;
        for ty in inputs {
            if ty.dtype != first.dtype {
                let detail = "all tensors have one dtype; cast first".into();
                return Err(ErrorKind::DType { op: "concat", dtypes: vec![first.dtype, ty.dtype], detail });
            }
            if ty.shape.rank() != first.shape.rank()
                || ty.shape.remove(self.axis) != first.shape.remove(self.axis)
            {
                let shapes = vec![first.shape.clone(), ty.shape.clone()];
                let detail = format!("all axes but axis {} must agree", self.axis);
                return Err(ErrorKind::Shape { op: "concat", shapes, detail });
            }
            shape[self.axis] = shape[self.axis].saturating_add(ty.shape[self.axis]);
        }
        Ok(smallvec![first.with_shape("concat", shape)?])
    }
    fn eval(&self, inputs: &[&Array]) -> Result<Arrays, ErrorKind> {
        fn join<T: Element>(axis: usize, inputs: &[&Array], _: &[T]) -> Array {
            let mut shape = inputs[0].shape().clone();
            shape[axis] = inputs.iter().map(|x| x.shape()[axis]).sum();
            let outer: usize = shape[..axis].iter().product();
            let mut out = Vec::with_capacity(shape.size());
            for row in 0..outer {
                for x in inputs {
                    let v = x.elements::<T>().expect("all operands have one dtype");
                    let width = v.len() / outer;
                    out.extend_from_slice(&v[row * width..(row + 1) * width]);
                }
            }
            Array::of(shape, out)
        }
        Ok(smallvec![with_elements!(inputs[0].buffer(), v => join(self.axis, inputs, v))])
    }
    fn jvp(&self, b: &mut Builder, _: Jvp, inputs: &[Var], t: &[Option<Var>]) -> Result<(Vars, Tangents)> {
        jvp_linear(*self, b, inputs, t)
    }
    fn transpose(&self, b: &mut Builder, inputs: &[Operand], ct: &[Option<Var>]) -> Result<Tangents> {
        let Some(ct) = ct[0] else { return Ok(inputs.iter().map(|_| None).collect()) };
        let shape = b.shape(ct).clone();
        let mut at = 0;
        let mut out = Tangents::new();
        for input in inputs {
            let extent = match input {
                Operand::Linear(ty) => ty.shape[self.axis],
                Operand::Residual(v) => b.shape(*v)[self.axis],
            };
            out.push(if input.is_linear() {
                Some(b.emit1(Slice::along(&shape, self.axis, at, at + extent), &[ct])?)
            } else {
                None
            });
            at += extent;
        }
        Ok(out)
    }
    fn batch(&self, b: &mut Builder, inputs: &[Batched], lanes: Lanes<'_>) -> Result<SmallVec<[Batched; 4]>> {
        batch_all(Concat { axis: self.axis + 1 }, b, inputs, lanes.size)
    }
    fn cost(&self, inputs: &[Type], outputs: &[Type]) -> Cost {
        moved(inputs, outputs)
    }
}

/// The elements in opposite order along axes.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Reverse {
    /// The axes.
    pub axes: Axes,
}

impl Primitive for Reverse {
    fn doc(&self) -> Doc {
        Doc { name: "reverse", formula: "x read backwards along axes", derivative: "linear", domain: "all x" }
    }
    fn infer(&self, inputs: &[Type]) -> Result<Types, ErrorKind> {
        let rank = inputs[0].shape.rank();
        if let Some(&axis) = self.axes.iter().find(|&&a| a >= rank) {
            return Err(ErrorKind::Axis { op: "reverse", axis: axis as isize, rank });
        }
        distinct("reverse", &self.axes)?;
        Ok(smallvec![inputs[0].clone()])
    }
    fn eval(&self, inputs: &[&Array]) -> Result<Arrays, ErrorKind> {
        let x = inputs[0];
        let mut strides = x.shape().strides();
        let mut start = 0;
        for &axis in &self.axes {
            start += strides[axis] * (x.shape()[axis] as isize - 1);
            strides[axis] = -strides[axis];
        }
        Ok(smallvec![with_elements!(x.buffer(), v => {
            Array::of(x.shape().clone(), gather(v, x.shape(), start, &strides))
        })])
    }
    fn jvp(&self, b: &mut Builder, _: Jvp, inputs: &[Var], t: &[Option<Var>]) -> Result<(Vars, Tangents)> {
        jvp_linear(self.clone(), b, inputs, t)
    }
    fn transpose(&self, b: &mut Builder, _: &[Operand], ct: &[Option<Var>]) -> Result<Tangents> {
        let Some(ct) = ct[0] else { return Ok(smallvec![None]) };
        Ok(smallvec![Some(b.emit1(self.clone(), &[ct])?)])
    }
    fn batch(&self, b: &mut Builder, inputs: &[Batched], lanes: Lanes<'_>) -> Result<SmallVec<[Batched; 4]>> {
        batch_all(Reverse { axes: shifted(&self.axes) }, b, inputs, lanes.size)
    }
    fn cost(&self, inputs: &[Type], outputs: &[Type]) -> Cost {
        moved(inputs, outputs)
    }
}
