//! A product whose result is only read transposed computes the transpose: no pass over memory for a permutation.

use gradus_core::ops::{Axes, Op};
use gradus_core::{Graph, Result, Var};

use super::Copier;

/// The graph with such products turned round.
pub(super) fn turn(graph: Graph) -> Result<Graph> {
    if !graph.eqns().iter().any(|e| matches!(e.op, Op::Dot(_))) {
        return Ok(graph);
    }
    let graph = &graph;
    let mut uses = vec![0usize; graph.types().len()];
    for v in graph.eqns().iter().flat_map(|e| &e.inputs).chain(graph.outputs()) {
        uses[v.index()] += 1;
    }
    let mut made = vec![None; graph.types().len()];
    for (i, eqn) in graph.eqns().iter().enumerate() {
        for v in &eqn.outputs {
            made[v.index()] = Some(i);
        }
    }
    let mut c = Copier::new(graph);
    for eqn in graph.eqns() {
        if let Op::Permute(permute) = &eqn.op
            && uses[eqn.inputs[0].index()] == 1
            && let Some(i) = made[eqn.inputs[0].index()]
            && let Op::Dot(dot) = &graph.eqns()[i].op
        {
            let product = &graph.eqns()[i];
            let rank = |v: Var| graph.ty(v).shape.rank();
            let batch = dot.lhs_batch.len();
            let left = dot.lhs_free(rank(product.inputs[0])).len();
            let total = permute.axes.len();
            let swapped: Axes = (0..batch).chain(batch + left..total).chain(batch..batch + left).collect();
            if permute.axes == swapped {
                let mut dot = (**dot).clone();
                std::mem::swap(&mut dot.lhs_batch, &mut dot.rhs_batch);
                std::mem::swap(&mut dot.lhs_contract, &mut dot.rhs_contract);
                dot.tangents.swap(0, 1);
                let out = c.emit(dot.into(), &[product.inputs[1], product.inputs[0]], &eqn.site)?;
                c.set(eqn.outputs[0], out[0]);
                continue;
            }
        }
        c.copy(eqn)?;
    }
    Ok(c.finish(graph.outputs()))
}
