//! The cotangents and the batched form of a convolution, each a convolution again.
//!
//! Channels and examples change places as needed; the spatial axes only change padding, stride and dilation.

use smallvec::smallvec;

use super::{Conv, Padding, dilated};
use crate::ops::index::move_axis;
use crate::ops::{Axes, Permute, Reshape, Reverse};
use crate::{Batched, Builder, Primitive, Result, Shape, Var};

/// Axis `axis` cut into `outer` parts: the part becomes an axis of its own before it.
fn split_axis(b: &mut Builder, x: Var, axis: usize, outer: usize) -> Result<Var> {
    let mut shape = b.shape(x).clone();
    shape[axis] /= outer;
    let shape = shape.insert(axis, outer);
    b.emit1(Reshape(shape), &[x])
}

/// Axis `axis` and the one after it as one.
fn join_axes(b: &mut Builder, x: Var, axis: usize) -> Result<Var> {
    let mut shape: Shape = b.shape(x).remove(axis);
    shape[axis] *= b.shape(x)[axis];
    b.emit1(Reshape(shape), &[x])
}

/// Axes 0 and 1 exchanged.
fn swap(b: &mut Builder, x: Var) -> Result<Var> {
    let axes: Axes = [1, 0].into_iter().chain(2..b.shape(x).rank()).collect();
    b.emit1(Permute { axes }, &[x])
}

impl Conv {
    /// `ct * reversed kernel`, with stride and input dilation exchanged.
    pub(super) fn input_cotangent(&self, b: &mut Builder, ct: Var, x: &Shape, kernel: Var) -> Result<Var> {
        let (out, window) = (b.shape(ct).clone(), b.shape(kernel).clone());
        let groups = self.feature_groups * self.batch_groups;
        let mut low = Padding::new();
        let mut high = Padding::new();
        for d in 0..self.dims() {
            let from = dilated(x[d + 2], self.lhs_dilation[d]) as isize;
            let to = dilated(out[d + 2], self.stride[d]) as isize;
            let window = dilated(window[d + 2], self.rhs_dilation[d]) as isize;
            let before = window - 1 - self.low[d];
            low.push(before);
            high.push(from + window - 1 - to - before);
        }
        // [O, C, …] -> [groups C, O / groups, …]
        let mut flipped = b.emit1(Reverse { axes: (2..self.dims() + 2).collect() }, &[kernel])?;
        if groups > 1 {
            let grouped = split_axis(b, flipped, 0, groups)?;
            let grouped = move_axis(b, grouped, 2, 1)?;
            flipped = join_axes(b, grouped, 0)?;
        } else {
            flipped = swap(b, flipped)?;
        }
        let back = Conv {
            stride: self.lhs_dilation.clone(),
            low,
            high,
            lhs_dilation: self.stride.clone(),
            rhs_dilation: self.rhs_dilation.clone(),
            feature_groups: groups,
            batch_groups: 1,
            tangents: [true, self.tangents[1]],
            numbers: false,
        };
        let back = b.emit1(back, &[ct, flipped])?;
        if self.batch_groups == 1 {
            return Ok(back);
        }
        // [N / groups, groups C, …] -> [N, C, …]
        let parts = split_axis(b, back, 1, self.batch_groups)?;
        let parts = move_axis(b, parts, 1, 0)?;
        join_axes(b, parts, 0)
    }

    /// `x * ct`, summed over examples, with stride and kernel dilation exchanged.
    pub(super) fn kernel_cotangent(&self, b: &mut Builder, ct: Var, x: Var, kernel: &Shape) -> Result<Var> {
        let (from, out) = (b.shape(x).clone(), b.shape(ct).clone());
        let mut high = Padding::new();
        for d in 0..self.dims() {
            let from = dilated(from[d + 2], self.lhs_dilation[d]) as isize;
            let to = dilated(out[d + 2], self.stride[d]) as isize;
            let window = dilated(kernel[d + 2], self.rhs_dilation[d]) as isize;
            high.push(to - from + window - self.low[d] - 1);
        }
        let back = Conv {
            stride: self.rhs_dilation.clone(),
            low: self.low.clone(),
            high,
            lhs_dilation: self.lhs_dilation.clone(),
            rhs_dilation: self.stride.clone(),
            feature_groups: self.batch_groups,
            batch_groups: self.feature_groups,
            tangents: [self.tangents[0], true],
            numbers: false,
        };
        let (x, ct) = (swap(b, x)?, swap(b, ct)?);
        let back = b.emit1(back, &[x, ct])?;
        swap(b, back)
    }

    /// The convolution of a whole batch; the result has the batch as axis 0.
    pub(super) fn emit_batch(&self, b: &mut Builder, inputs: &[Batched], size: usize) -> Result<Var> {
        let ((x, in_x), (kernel, in_kernel)) = (inputs[0], inputs[1]);
        if size == 0 {
            // Nothing can be a group: the result is empty.
            let own = |b: &Builder, (v, batched): Batched| {
                let ty = b.ty(v);
                if batched { ty.with_shape("conv", ty.shape.remove(0)) } else { Ok(ty.clone()) }
            };
            let ty = self.infer(&[own(b, inputs[0])?, own(b, inputs[1])?])?.swap_remove(0);
            return Ok(b.full(&ty.with_shape("conv", ty.shape.insert(0, 0))?, 0.0));
        }
        let mut op = self.clone();
        if in_x && in_kernel {
            // Every example is a group of its own.
            let x = if self.batch_groups > 1 {
                op.batch_groups = op.batch_groups.saturating_mul(size);
                join_axes(b, x, 0)?
            } else {
                op.feature_groups = op.feature_groups.saturating_mul(size);
                let x = move_axis(b, x, 0, 1)?;
                join_axes(b, x, 1)?
            };
            let kernel = join_axes(b, kernel, 0)?;
            let out = b.emit1(op, &[x, kernel])?;
            let out = split_axis(b, out, 1, size)?;
            return move_axis(b, out, 1, 0);
        }
        if in_x {
            // The batch joins the examples, inside their groups.
            let groups = split_axis(b, x, 1, self.batch_groups)?;
            let groups = move_axis(b, groups, 0, 1)?;
            let groups = join_axes(b, groups, 1)?;
            let x = join_axes(b, groups, 0)?;
            let out = b.emit1(op, &[x, kernel])?;
            return split_axis(b, out, 0, size);
        }
        // The batch joins the out channels, inside their groups.
        let count = self.feature_groups * self.batch_groups;
        let groups = split_axis(b, kernel, 1, count)?;
        let groups = move_axis(b, groups, 0, 1)?;
        let groups = join_axes(b, groups, 1)?;
        let kernel = join_axes(b, groups, 0)?;
        let out = b.emit1(op, &[x, kernel])?;
        let out = split_axis(b, out, 1, count)?;
        let out = split_axis(b, out, 2, size)?;
        let axes: Axes = smallvec![2, 0, 1, 3];
        let axes = axes.into_iter().chain(4..b.shape(out).rank()).collect();
        let out = b.emit1(Permute { axes }, &[out])?;
        join_axes(b, out, 2)
    }
}
