//! Movement without arithmetic: reshape, permute, broadcast.

use smallvec::{SmallVec, smallvec};

use crate::array::same_size;
use crate::graph::Vars;
use crate::ops::{Axes, Reduce, ReduceKind, batch_all, jvp_linear, shifted};
use crate::primitive::{Arrays, Tangents, Types};
use crate::strided::gather;
use crate::transforms::Lanes;
use crate::{
    Array, Batched, Builder, Cost, Doc, ErrorKind, Jvp, Operand, Primitive, Result, Shape, Type, Var,
    with_elements,
};

/// Work of a primitive that only moves elements.
pub(crate) fn moved(inputs: &[Type], outputs: &[Type]) -> Cost {
    Cost { flops: 0.0, bytes: inputs.iter().chain(outputs).map(|ty| ty.bytes() as f64).sum() }
}

/// The same elements, in order, under another shape of the same size.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Reshape(
    /// The new shape.
    pub Shape,
);

impl Primitive for Reshape {
    fn doc(&self) -> Doc {
        Doc { name: "reshape", formula: "x under another shape", derivative: "linear", domain: "equal sizes" }
    }
    fn infer(&self, inputs: &[Type]) -> Result<Types, ErrorKind> {
        let ty = inputs[0].with_shape("reshape", self.0.clone())?;
        same_size(&inputs[0].shape, &ty.shape)?;
        Ok(smallvec![ty])
    }
    fn eval(&self, inputs: &[&Array]) -> Result<Arrays, ErrorKind> {
        Ok(smallvec![inputs[0].reshaped(self.0.clone())?])
    }
    fn jvp(&self, b: &mut Builder, _: Jvp, inputs: &[Var], t: &[Option<Var>]) -> Result<(Vars, Tangents)> {
        jvp_linear(self.clone(), b, inputs, t)
    }
    fn transpose(&self, b: &mut Builder, inputs: &[Operand], ct: &[Option<Var>]) -> Result<Tangents> {
        let (Operand::Linear(ty), Some(ct)) = (&inputs[0], ct[0]) else { return Ok(smallvec![None]) };
        Ok(smallvec![Some(b.emit1(Reshape(ty.shape.clone()), &[ct])?)])
    }
    fn batch(&self, b: &mut Builder, inputs: &[Batched], lanes: Lanes<'_>) -> Result<SmallVec<[Batched; 4]>> {
        batch_all(Reshape(self.0.insert(0, lanes.size)), b, inputs, lanes.size)
    }
    fn cost(&self, _: &[Type], _: &[Type]) -> Cost {
        Cost::default()
    }
}

/// Axes in another order: axis `i` of the result is axis `axes[i]` of the operand.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Permute {
    /// The order.
    pub axes: Axes,
}

impl Primitive for Permute {
    fn doc(&self) -> Doc {
        Doc {
            name: "permute",
            formula: "axes in another order",
            derivative: "linear",
            domain: "each axis once",
        }
    }
    fn infer(&self, inputs: &[Type]) -> Result<Types, ErrorKind> {
        let rank = inputs[0].shape.rank();
        let mut sorted = self.axes.to_vec();
        sorted.sort_unstable();
        if !sorted.iter().copied().eq(0..rank) {
            let detail =
                format!("{:?} does not name each of the {rank} axes exactly once", self.axes.as_slice());
            return Err(ErrorKind::Argument { op: "permute", detail });
        }
        Ok(smallvec![inputs[0].with_shape("permute", inputs[0].shape.select(&self.axes))?])
    }
    fn eval(&self, inputs: &[&Array]) -> Result<Arrays, ErrorKind> {
        let x = inputs[0];
        let strides = x.shape().strides();
        let strides: SmallVec<[isize; 4]> = self.axes.iter().map(|&a| strides[a]).collect();
        let shape = x.shape().select(&self.axes);
        Ok(smallvec![with_elements!(x.buffer(), v => {
            let out = gather(v, &shape, 0, &strides);
            Array::of(shape, out)
        })])
    }
    fn jvp(&self, b: &mut Builder, _: Jvp, inputs: &[Var], t: &[Option<Var>]) -> Result<(Vars, Tangents)> {
        jvp_linear(self.clone(), b, inputs, t)
    }
    fn transpose(&self, b: &mut Builder, _: &[Operand], ct: &[Option<Var>]) -> Result<Tangents> {
        let Some(ct) = ct[0] else { return Ok(smallvec![None]) };
        let mut inverse: Axes = smallvec![0; self.axes.len()];
        for (i, &a) in self.axes.iter().enumerate() {
            inverse[a] = i;
        }
        Ok(smallvec![Some(b.emit1(Permute { axes: inverse }, &[ct])?)])
    }
    fn batch(&self, b: &mut Builder, inputs: &[Batched], lanes: Lanes<'_>) -> Result<SmallVec<[Batched; 4]>> {
        let axes = std::iter::once(0).chain(shifted(&self.axes)).collect();
        batch_all(Permute { axes }, b, inputs, lanes.size)
    }
    fn cost(&self, inputs: &[Type], outputs: &[Type]) -> Cost {
        moved(inputs, outputs)
    }
}

/// Repetition: axis `i` of the operand becomes axis `axes[i]` of the result, stretched if its extent is 1; the
/// axes of the result that are not named repeat the whole operand.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Broadcast {
    /// The shape of the result.
    pub shape: Shape,
    /// Where each axis of the operand goes, increasing.
    pub axes: Axes,
}

impl Broadcast {
    /// The result's axes that the operand does not fill, and those along which it is stretched.
    fn repeated(&self, operand: &Shape) -> (Axes, Axes) {
        let new = (0..self.shape.rank()).filter(|a| !self.axes.contains(a)).collect();
        let stretched = (0..operand.rank())
            .filter(|&i| operand[i] != self.shape[self.axes[i]])
            .map(|i| self.axes[i])
            .collect();
        (new, stretched)
    }
}

impl Primitive for Broadcast {
    fn doc(&self) -> Doc {
        Doc {
            name: "broadcast",
            formula: "x repeated along axes",
            derivative: "linear",
            domain: "extents equal or 1",
        }
    }
    fn infer(&self, inputs: &[Type]) -> Result<Types, ErrorKind> {
        let from = &inputs[0].shape;
        let increasing = self.axes.windows(2).all(|w| w[0] < w[1]);
        let inside = self.axes.iter().all(|&a| a < self.shape.rank());
        let fits = self.axes.len() == from.rank()
            && increasing
            && inside
            && from.iter().zip(&self.axes).all(|(&d, &a)| d == self.shape[a] || d == 1);
        if !fits {
            let shapes = vec![from.clone(), self.shape.clone()];
            let detail = format!(
                "an extent must be equal or 1 (axes go to {:?}); check which axis is meant to repeat",
                self.axes.as_slice()
            );
            return Err(ErrorKind::Shape { op: "broadcast", shapes, detail });
        }
        Ok(smallvec![inputs[0].with_shape("broadcast", self.shape.clone())?])
    }
    fn eval(&self, inputs: &[&Array]) -> Result<Arrays, ErrorKind> {
        let x = inputs[0];
        let mut strides: SmallVec<[isize; 4]> = smallvec![0; self.shape.rank()];
        for (i, (&axis, &stride)) in self.axes.iter().zip(&x.shape().strides()).enumerate() {
            strides[axis] = if x.shape()[i] == 1 { 0 } else { stride };
        }
        Ok(smallvec![with_elements!(x.buffer(), v => {
            Array::of(self.shape.clone(), gather(v, &self.shape, 0, &strides))
        })])
    }
    fn jvp(&self, b: &mut Builder, _: Jvp, inputs: &[Var], t: &[Option<Var>]) -> Result<(Vars, Tangents)> {
        jvp_linear(self.clone(), b, inputs, t)
    }
    fn transpose(&self, b: &mut Builder, inputs: &[Operand], ct: &[Option<Var>]) -> Result<Tangents> {
        let (Operand::Linear(ty), Some(mut ct)) = (&inputs[0], ct[0]) else { return Ok(smallvec![None]) };
        let (new, stretched) = self.repeated(&ty.shape);
        let mut axes: Axes = new.iter().chain(&stretched).copied().collect();
        axes.sort_unstable();
        if !axes.is_empty() {
            ct = b.emit1(Reduce { kind: ReduceKind::Sum, axes }, &[ct])?;
        }
        if !stretched.is_empty() {
            ct = b.emit1(Reshape(ty.shape.clone()), &[ct])?;
        }
        Ok(smallvec![Some(ct)])
    }
    fn batch(&self, b: &mut Builder, inputs: &[Batched], lanes: Lanes<'_>) -> Result<SmallVec<[Batched; 4]>> {
        let axes = std::iter::once(0).chain(shifted(&self.axes)).collect();
        batch_all(Broadcast { shape: self.shape.insert(0, lanes.size), axes }, b, inputs, lanes.size)
    }
    fn cost(&self, inputs: &[Type], outputs: &[Type]) -> Cost {
        moved(inputs, outputs)
    }
}
