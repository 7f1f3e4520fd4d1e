//! Simplification of one equation, safe for floating point: infinities and NaNs are unchanged.

use gradus_core::graph::Vars;
use gradus_core::ops::{Axes, Full, Op, Reduce, Reshape};
use gradus_core::{Array, Binary, DEAD, DType, Result, Unary, Var};
use smallvec::smallvec;

use super::Rewriter;
use crate::fuse::reduction_domain;

impl Rewriter {
    /// The results of an equation, computed by a simpler one if possible.
    pub(super) fn simplified(&mut self, op: &Op, inputs: &[Var]) -> Result<Vars> {
        if let Some(same) = self.identity(op, inputs) {
            return Ok(smallvec![same]);
        }
        if let Some(value) = self.folded(op, inputs) {
            let ty = op.row().infer(&inputs.iter().map(|&v| self.b.ty(v).clone()).collect::<Vec<_>>())?;
            let full = Full { value, dtype: ty[0].dtype, shape: ty[0].shape.clone() };
            return self.emit(full.into(), &[]);
        }
        match (op, inputs) {
            // A product with one only turns a dead zero into a number.
            (Op::LinearMul(p), &[x, y]) if !p.both && self.constant(y) == Some(1.0) => {
                let zero = Full { value: 0.0, dtype: self.b.dtype(x), shape: self.b.shape(x).clone() };
                let zero = self.emit(zero.into(), &[])?[0];
                return self.simplified(&Binary::Add.into(), &[x, zero]);
            }
            (Op::Binary(Binary::Mul), &[x, y]) => {
                for (x, y) in [(x, y), (y, x)] {
                    if self.constant(y) == Some(-1.0) && self.b.dtype(x).is_float() {
                        return self.simplified(&Unary::Neg.into(), &[x]);
                    }
                }
            }
            // The definition, whose steps fuse with neighbouring equations.
            (Op::Clamp(_), &[x, low, high]) => {
                let raised = self.simplified(&Binary::Max.into(), &[x, low])?[0];
                return self.simplified(&Binary::Min.into(), &[raised, high]);
            }
            (Op::Reduce(r), &[x]) => {
                let shape = self.b.shape(x).clone();
                if r.axes.iter().all(|&a| shape[a] == 1) {
                    return self.simplified(&Reshape(shape.without(&r.axes)).into(), &[x]);
                }
                if shape.size() > 0 && reduction_domain(&shape, &r.axes).is_none() {
                    let (first, last) = split_axes(&shape, &r.axes);
                    let x = self.simplified(&Reduce { kind: r.kind, axes: last }.into(), &[x])?[0];
                    return self.simplified(&Reduce { kind: r.kind, axes: first }.into(), &[x]);
                }
            }
            (Op::Dot(dot), &[x, y]) => {
                if let Some((dot, operands)) = self.in_order(dot, [x, y])? {
                    return self.emit(dot.into(), &operands);
                }
            }
            (Op::Gather(g), &[x, indices]) => {
                if let Some(picked) = self.picked(g, x, indices)? {
                    return Ok(smallvec![picked]);
                }
            }
            (Op::ScatterAdd(s), _) => {
                if let Some(placed) = self.placed(s, inputs)? {
                    return Ok(smallvec![placed]);
                }
            }
            _ => {}
        }
        self.emit(op.clone(), inputs)
    }

    /// The operand that the result is equal to.
    fn identity(&self, op: &Op, inputs: &[Var]) -> Option<Var> {
        let is = |v: Var, value: f64| self.constant(v).is_some_and(|c| c.to_bits() == value.to_bits());
        let float = |v: Var| self.b.dtype(v).is_float();
        match (op, inputs) {
            (Op::Binary(Binary::Mul), &[x, y]) if is(y, 1.0) => Some(x),
            (Op::Binary(Binary::Mul) | Op::LinearMul(_), &[x, y]) if is(x, 1.0) => Some(y),
            // Of a residual that may be -0 the product is a number.
            (Op::LinearMul(p), &[x, y]) if is(y, 1.0) && p.both => Some(x),
            (Op::Binary(Binary::Div), &[x, y]) if is(y, 1.0) => Some(x),
            (Op::Binary(Binary::Sub), &[x, y]) if is(y, 0.0) => Some(x),
            (Op::Binary(Binary::Add), &[x, y]) if is(y, -0.0) && float(x) => Some(x),
            (Op::Binary(Binary::Add), &[x, y]) if is(x, -0.0) && float(x) => Some(y),
            // What is dead stays dead.
            (Op::LinearMul(p), &[x, _]) if p.both && is(x, DEAD) => Some(x),
            (Op::LinearMul(_), &[_, y]) if is(y, DEAD) => Some(y),
            (Op::Unary(Unary::Neg), &[x]) => match self.definition(x) {
                Some((Op::Unary(Unary::Neg), inner)) => Some(inner[0]),
                _ => None,
            },
            (Op::Unary(Unary::Powi(1)), &[x]) => Some(x),
            (Op::Select(_), &[_, x, y]) if x == y => Some(x),
            (Op::StopGradient(_), &[x]) => Some(x),
            (Op::Cast(to), &[x]) if self.b.dtype(x) == to.0 => Some(x),
            (Op::Reshape(to), &[x]) if *self.b.shape(x) == to.0 => Some(x),
            (Op::Permute(p), &[x]) if p.axes.iter().copied().eq(0..p.axes.len()) => Some(x),
            (Op::Broadcast(p), &[x]) if *self.b.shape(x) == p.shape => Some(x),
            (Op::Slice(p), &[x])
                if p.step.iter().all(|&s| s == 1)
                    && p.start.iter().all(|&s| s == 0)
                    && p.stop[..] == self.b.shape(x)[..] =>
            {
                Some(x)
            }
            (Op::Reduce(r), &[x]) if r.axes.is_empty() => Some(x),
            (Op::Concat(_), &[x]) => Some(x),
            _ => None,
        }
    }

    /// The constant that the result is equal to, if the operands are constants.
    fn folded(&self, op: &Op, inputs: &[Var]) -> Option<f64> {
        let &x = inputs.first()?;
        match op {
            Op::Reshape(_) | Op::Permute(_) | Op::Broadcast(_) | Op::Slice(_) | Op::Reverse(_) => {
                self.constant(x)
            }
            Op::Unary(_) | Op::Binary(_) | Op::LinearMul(_) | Op::Cast(_) => {
                let dtype = self.b.dtype(x);
                // Every value of these types is exactly an f64.
                let exact = |dtype: DType| dtype.is_float() || dtype == DType::I32;
                if !exact(dtype) || matches!(op, Op::Cast(c) if c.0 == DType::I64) {
                    return None;
                }
                let values: Option<Vec<f64>> = inputs.iter().map(|&v| self.constant(v)).collect();
                let arrays: Vec<Array> = values?.into_iter().map(|c| Array::full([], dtype, c)).collect();
                let arrays: Vec<&Array> = arrays.iter().collect();
                Some(op.evaluate(&arrays).ok()?[0].to_f64()[0])
            }
            _ => None,
        }
    }
}

/// The last run of neighbouring axes, and those before it.
fn split_axes(shape: &[usize], axes: &[usize]) -> (Axes, Axes) {
    let mut cut = axes.len() - 1;
    while cut > 0 && (axes[cut - 1] + 1..axes[cut]).all(|a| shape[a] == 1) {
        cut -= 1;
    }
    (axes[..cut].into(), axes[cut..].into())
}
