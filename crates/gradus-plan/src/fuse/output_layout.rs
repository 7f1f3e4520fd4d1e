//! Results written in the layout that their readers want.
//!
//! The heads of an attention come out of a batched product as `[batch, head, place, feature]` and go on as
//! `[batch, place, head · feature]`: a permutation followed by a reshape that strides cannot express, so a copy. Products
//! and assemblies of parts can be written through strides at no cost, so they are written in the order of
//! the permuted value: its buffer gives them their *output layout*, and they are a view of it. The gradient of a convolution's
//! kernel comes out with its channels exchanged, and is written in the layout of the kernel.

use gradus_core::ops::{Axes, Op};
use gradus_core::{Graph, Var};

use crate::View;

/// A permuted layout for a result: the buffer of the permuted value, which the result is written into.
pub(super) struct OutputLayout {
    /// The permuted value.
    buffer: Var,
    /// Which axis of the value written each axis of the buffer is.
    axes: Axes,
}

impl OutputLayout {
    /// The buffer, and the value written as a view of it.
    pub(super) fn view(&self, graph: &Graph) -> (Var, View) {
        let full = View::of(&graph.ty(self.buffer).shape);
        let mut dims = full.dims.clone();
        for (&axis, &dim) in self.axes.iter().zip(&full.dims) {
            dims[axis] = dim;
        }
        (self.buffer, View { offset: 0, dims })
    }
}

/// Whether axes 0 and 1 are exchanged, and only those.
fn exchanges(axes: &[usize]) -> bool {
    axes.starts_with(&[1, 0]) && axes[2..].iter().copied().eq(2..axes.len())
}

/// For each value that should be written in another order than its own, the value in that order.
pub(super) fn output_layouts(graph: &Graph) -> Vec<Option<OutputLayout>> {
    let n = graph.types().len();
    // For each value, the one that it is a permutation of, and how.
    let mut permuted: Vec<Option<(Var, Axes)>> = vec![None; n];
    let mut layouts: Vec<Option<OutputLayout>> = (0..n).map(|_| None).collect();
    let mut made: Vec<bool> = vec![false; n];
    let mut convolved: Vec<bool> = vec![false; n];
    let mut others: Vec<bool> = vec![false; n];
    for eqn in graph.eqns() {
        let writable = matches!(eqn.op, Op::Dot(_) | Op::Concat(_) | Op::Pad(_));
        for v in &eqn.outputs {
            made[v.index()] = writable;
            convolved[v.index()] = matches!(eqn.op, Op::Conv(_));
        }
        match &eqn.op {
            Op::Permute(p) => {
                let x = eqn.inputs[0];
                let (root, axes) = match &permuted[x.index()] {
                    Some((root, before)) => (*root, p.axes.iter().map(|&a| before[a]).collect()),
                    None => (x, p.axes.clone()),
                };
                if convolved[x.index()] && layouts[x.index()].is_none() && exchanges(&p.axes) {
                    layouts[x.index()] = Some(OutputLayout { buffer: eqn.outputs[0], axes: p.axes.clone() });
                }
                permuted[eqn.outputs[0].index()] = Some((root, axes));
            }
            Op::Reshape(to) => {
                let x = eqn.inputs[0];
                if let Some((root, axes)) = &permuted[x.index()]
                    && made[root.index()]
                    && layouts[root.index()].is_none()
                {
                    let own = View::of(&graph.ty(*root).shape);
                    let seen = View { offset: 0, dims: axes.iter().map(|&a| own.dims[a]).collect() };
                    // Only where neighbours stay neighbours: rows are then written as fast as before.
                    let whole_rows = axes.last().is_some_and(|&a| a + 1 == axes.len());
                    if whole_rows && seen.reshaped(&to.0).is_none() {
                        layouts[root.index()] = Some(OutputLayout { buffer: x, axes: axes.clone() });
                    }
                } else {
                    others[x.index()] = true;
                }
            }
            // These read through any strides.
            Op::Dot(_) | Op::Slice(_) | Op::Broadcast(_) => {}
            _ => eqn.inputs.iter().for_each(|v| others[v.index()] = true),
        }
    }
    for v in graph.outputs() {
        others[v.index()] = true;
    }
    // A value with a reader in its own order keeps that order.
    for (layout, other) in layouts.iter_mut().zip(others) {
        if other {
            *layout = None;
        }
    }
    layouts
}

#[cfg(test)]
mod tests {
    use crate::kernel::Work;
    use crate::{Options, plan};
    use gradus_core::ops::{Dot, Permute, Reshape};
    use gradus_core::{Builder, DType, Type};

    #[test]
    fn heads_are_merged_without_a_copy() {
        let mut b = Builder::new();
        let x = b.input(Type::new(DType::F32, [2, 3, 5, 7]));
        let y = b.input(Type::new(DType::F32, [2, 3, 7, 4]));
        let w = b.input(Type::new(DType::F32, [12, 6]));
        let heads = b.emit1(Dot::matmul(2), &[x, y]).unwrap();
        let merged = b.emit1(Permute { axes: [0, 2, 1, 3].into_iter().collect() }, &[heads]).unwrap();
        let rows = b.emit1(Reshape([10, 12].into()), &[merged]).unwrap();
        let out = b.emit1(Dot::matmul(0), &[rows, w]).unwrap();
        let plan = plan(&b.finish(vec![out]), &Options::default()).unwrap();
        let works: Vec<&Work> = plan.kernels().iter().map(|k| &k.work).collect();
        let [Work::Product(heads), Work::Product(_)] = works[..] else { panic!("{works:?}") };
        assert_eq!((heads.c, &heads.batch[..]), ((0, 12, 1), &[(2, [105, 84, 60]), (3, [35, 28, 4])][..]));
    }
}
