//! A product whose result is only read transposed computes the transpose: no pass over memory for a permutation.

use gradus_core::ops::{Axes, Op};
use gradus_core::{Eqn, Graph, Result, Var};

use super::Copier;

/// The graph with such products turned round.
pub(super) fn turn(graph: Graph) -> Result<Graph> {
    if !graph.eqns().iter().any(|e| matches!(e.op, Op::Dot(_))) {
        return Ok(graph);
    }
    let mut uses = vec![0u32; graph.types().len()];
    for v in graph.eqns().iter().flat_map(|e| &e.inputs).chain(graph.outputs()) {
        uses[v.index()] += 1;
    }
    let mut made = vec![None; graph.types().len()];
    for (i, eqn) in graph.eqns().iter().enumerate() {
        for v in &eqn.outputs {
            made[v.index()] = Some(i as u32);
        }
    }
    let turned: Vec<Option<(Op, [Var; 2])>> =
        graph.eqns().iter().map(|eqn| transposed(&graph, eqn, &uses, &made)).collect();
    if turned.iter().all(Option::is_none) {
        return Ok(graph);
    }
    let mut c = Copier::new(&graph);
    for (eqn, turned) in graph.eqns().iter().zip(turned) {
        match turned {
            Some((dot, operands)) => {
                let out = c.emit(dot, &operands, &eqn.site)?;
                c.set(eqn.outputs[0], out[0]);
            }
            None => c.copy(eqn)?,
        }
    }
    Ok(c.finish(graph.outputs()))
}

/// The product that gives the result of `eqn`, if that is the transpose of a product that nobody else reads.
fn transposed(graph: &Graph, eqn: &Eqn, uses: &[u32], made: &[Option<u32>]) -> Option<(Op, [Var; 2])> {
    let Op::Permute(permute) = &eqn.op else { return None };
    let of = eqn.inputs[0].index();
    let product = &graph.eqns()[made[of].filter(|_| uses[of] == 1)? as usize];
    let Op::Dot(dot) = &product.op else { return None };
    let rank = |v: Var| graph.ty(v).shape.rank();
    let batch = dot.lhs_batch.len();
    let left = dot.lhs_free(rank(product.inputs[0])).len();
    let total = permute.axes.len();
    let swapped: Axes = (0..batch).chain(batch + left..total).chain(batch..batch + left).collect();
    if permute.axes != swapped {
        return None;
    }
    let mut dot = (**dot).clone();
    std::mem::swap(&mut dot.lhs_batch, &mut dot.rhs_batch);
    std::mem::swap(&mut dot.lhs_contract, &mut dot.rhs_contract);
    dot.tangents.swap(0, 1);
    Some((dot.into(), [product.inputs[1], product.inputs[0]]))
}
