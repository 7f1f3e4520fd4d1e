//! Values much larger than their operands: the scores of an attention over a long text.
//!
//! A product of a `T × d` and a `d × T` matrix has `T / 2d` times as many elements as both. Kept for the backward pass,
//! it and its element-wise results would be most of the memory of the step, and would have to be written to memory and
//! read back where otherwise they stay in cache ([blocked groups](crate::kernel::Blocked)). So such products may be
//! recomputed, and keeping such values has a higher price. Where a softmax follows, recomputing pays as soon as the
//! values are no smaller than their operands.

use gradus_core::ops::{Op, ReduceKind};
use gradus_core::{Graph, Var};

use crate::fuse::{is_elementwise, is_movement};

/// A product expands if its result has this many times the bytes of its operands.
const EXPANDS: usize = 4;

/// The factor on the price of keeping a byte of such a value.
pub(super) const DEARER: f64 = 64.0;

/// For each equation, whether it is a product that expands.
pub(super) fn products(graph: &Graph) -> Vec<bool> {
    // A factor that is an argument, possibly moved, is the weight of a layer, whose products are features and not
    // scores.
    let mut made = vec![false; graph.types().len()];
    for eqn in graph.eqns() {
        let computed = !is_movement(&eqn.op) || made[eqn.inputs[0].index()];
        eqn.outputs.iter().for_each(|v| made[v.index()] = computed);
    }
    let computed = |v: Var| made[v.index()];
    // The size of a product relative to its operands, if it may compute scores.
    let grows = |eqn: &gradus_core::graph::Eqn| {
        let Op::Dot(dot) = &eqn.op else { return None };
        let bytes = |v: Var| graph.ty(v).bytes();
        let operands: usize = eqn.inputs.iter().map(|&v| bytes(v)).sum();
        let batched = dot.lhs_batch.iter().any(|&a| graph.ty(eqn.inputs[0]).shape[a] > 1);
        let scores = batched || eqn.inputs.iter().all(|&v| computed(v));
        Some((bytes(eqn.outputs[0]) / operands.max(1), batched)).filter(|_| scores)
    };
    let mut expands: Vec<bool> = Vec::with_capacity(graph.eqns().len());
    // For each value, the product that it is an element-wise function of.
    let mut of: Vec<Option<usize>> = vec![None; graph.types().len()];
    for (i, eqn) in graph.eqns().iter().enumerate() {
        let grown = grows(eqn);
        expands.push(grown.is_some_and(|(times, _)| times >= EXPANDS));
        let out = eqn.outputs[0];
        let size = |v: Var| graph.ty(v).shape.size();
        match &eqn.op {
            Op::Dot(_) if grown.is_some_and(|(times, batched)| batched && times >= 1) => {
                of[out.index()] = Some(i)
            }
            Op::Reduce(reduce) if reduce.kind == ReduceKind::Max => {
                // The largest of a row, as in a softmax.
                let x = eqn.inputs[0];
                let rows = reduce.axes[..] == [graph.ty(x).shape.rank().wrapping_sub(1)];
                if let Some(product) = of[x.index()].filter(|_| rows) {
                    expands[product] = true;
                }
            }
            op if is_elementwise(op) => {
                let same = eqn.inputs.iter().filter(|v| size(**v) == size(out));
                of[out.index()] = same.filter_map(|v| of[v.index()]).min();
            }
            _ => {}
        }
    }
    expands
}

/// For each value, whether it is the result of such a product, or as large and an element-wise function of one.
pub(super) fn values(graph: &Graph, products: &[bool]) -> Vec<bool> {
    let mut inside = vec![false; graph.types().len()];
    if !products.contains(&true) {
        return inside;
    }
    for (eqn, &expands) in graph.eqns().iter().zip(products) {
        let size = |v: Var| graph.ty(v).shape.size();
        let own = |out: Var| {
            let made_of = |v: &Var| inside[v.index()] && size(*v) == size(out);
            expands || (is_elementwise(&eqn.op) && eqn.inputs.iter().any(made_of))
        };
        let out = eqn.outputs[0];
        inside[out.index()] = own(out);
    }
    inside
}
