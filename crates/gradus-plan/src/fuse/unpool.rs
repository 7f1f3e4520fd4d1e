//! A scatter of cotangents at the indices of a pooling becomes the transpose of the pooling, without a copy of its
//! zeros.

use gradus_core::ops::{MaxPool, Op, ScatterAdd};
use gradus_core::{DEAD, Var};

use super::{Fuser, Source};
use crate::kernel::{Level, Unpool, Work};

impl Fuser<'_> {
    /// Makes the kernel of equation `i`, a scatter; false when it is not the transpose of a pooling.
    pub(super) fn unpool(&mut self, i: usize) -> bool {
        let graph = self.graph;
        let eqn = &graph.eqns()[i];
        let (Op::ScatterAdd(scatter), &[x, indices, updates]) = (&eqn.op, &eqn.inputs[..]) else {
            return false;
        };
        let out = eqn.outputs[0];
        let dtype = graph.ty(out).dtype;
        let dead =
            matches!(&self.sources[x.index()], Source::Constant(c, _) if c.to_bits() == DEAD.to_bits());
        if !dead || !dtype.is_wide_float() {
            return false;
        }
        let Source::View(root, view) = &self.sources[indices.index()] else { return false };
        let whole = view.is_contiguous() && view.size() == graph.ty(*root).shape.size();
        let Some((pool, operand)) = self.pooling(*root).filter(|_| whole) else { return false };
        if !self.walks_planes(scatter, pool, operand, indices, out) {
            return false;
        }
        let (window, shape, indices) = (pool.window.clone(), graph.ty(operand).shape.clone(), *root);
        let updates = self.whole(updates);
        let work = Work::Unpool(Unpool { window, shape, indices, updates, out, dtype });
        let g = self.groups.barrier(work, self.stages[i], i, Some(i), &[indices, updates]);
        self.define(out, g, Level::Full, false);
        true
    }

    /// The pooling whose indices `v` are, and its operand.
    fn pooling(&self, v: Var) -> Option<(&MaxPool, Var)> {
        let eqn = &self.graph.eqns()[*self.poolings.get(&v)?];
        match &eqn.op {
            Op::MaxPool(pool) => Some((pool, eqn.inputs[0])),
            _ => None,
        }
    }

    /// Whether the scatter covers the operand of the pooling plane by plane.
    fn walks_planes(&self, s: &ScatterAdd, pool: &MaxPool, operand: Var, indices: Var, out: Var) -> bool {
        let [operand, indices, out] = [operand, indices, out].map(|v| &self.graph.ty(v).shape);
        let (lead, spatial) = operand.split_at(operand.rank() - pool.window.dims());
        let (planes, plane): (usize, usize) = (lead.iter().product(), spatial.iter().product());
        let size = |extents: &[usize]| extents.iter().product::<usize>();
        s.axis == s.batch
            && s.axis + 1 == out.rank()
            && size(&out[..s.batch]) == planes
            && size(&indices[..s.batch]) == planes
            && out[s.axis] == plane
    }
}
