//! Rewrites products into the form that kernels take.
//!
//! A product whose result is only read transposed computes the transpose: no pass over memory for a permutation.
//! Operands whose axes do not merge into rows, columns and an inner axis are permuted: so the kernels compute every
//! product of floats, and its sums have the same bits for every layout of operands.

use gradus_core::ops::{Axes, Dot, Op, Permute};
use gradus_core::{Eqn, Graph, Result, Var};

use super::{Copier, Rewriter};
use crate::fuse::MOST_BATCH;

impl Rewriter {
    /// The product with the axes of its operands in order, if they are not.
    pub(super) fn in_order(&mut self, dot: &Dot, operands: [Var; 2]) -> Result<Option<(Dot, [Var; 2])>> {
        let shapes = operands.map(|v| self.b.shape(v).clone());
        let float = self.b.dtype(operands[0]).is_float();
        if !float || shapes.iter().any(|shape| shape.size() == 0) {
            return Ok(None);
        }
        let free = [dot.lhs_free(shapes[0].rank()), dot.rhs_free(shapes[1].rank())];
        let (batch, contract) = ([&dot.lhs_batch, &dot.rhs_batch], [&dot.lhs_contract, &dot.rhs_contract]);
        // Whether axes are adjacent in memory, in this order.
        let merge = |i: usize, axes: &[usize]| {
            let long = |a: &usize| shapes[i][*a] != 1;
            let axes: Axes = axes.iter().copied().filter(long).collect();
            axes.windows(2).all(|w| w[0] < w[1] && !(w[0] + 1..w[1]).any(|a| long(&a)))
        };
        let few = dot.lhs_batch.iter().filter(|&&a| shapes[0][a] != 1).count() <= MOST_BATCH;
        let batches = few || (0..2).all(|i| merge(i, batch[i]));
        let fits = [0, 1].map(|i| batches && merge(i, contract[i]) && merge(i, &free[i]));
        if fits == [true; 2] {
            return Ok(None);
        }
        let (mut ordered, mut operands) = (dot.clone(), operands);
        for i in (0..2).filter(|&i| !fits[i]) {
            let (b, k, n) = (batch[i].len(), contract[i].len(), free[i].len());
            let inner = if i == 0 { b + n } else { b };
            let ([first, second], at) = match i {
                0 => ([&free[0], contract[0]], &mut ordered.lhs_contract),
                _ => ([contract[1], &free[1]], &mut ordered.rhs_contract),
            };
            let axes = batch[i].iter().chain(first.iter()).chain(second.iter()).copied().collect();
            *at = (inner..inner + k).collect();
            *(if i == 0 { &mut ordered.lhs_batch } else { &mut ordered.rhs_batch }) = (0..b).collect();
            operands[i] = self.simplified(&Permute { axes }.into(), &[operands[i]])?[0];
        }
        Ok(Some((ordered, operands)))
    }
}

/// The graph with such products transposed.
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
                let out = c.emit(dot, &operands, eqn.origin())?;
                c.set(eqn.outputs[0], out[0]);
            }
            None => c.copy(eqn)?,
        }
    }
    Ok(c.finish(graph.outputs()))
}

/// The product that computes the result of `eqn`, if that is the transpose of a product without other readers.
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

#[cfg(test)]
mod tests {
    use super::super::simplify;
    use super::*;
    use gradus_core::{Builder, DType, Type};

    #[test]
    fn axes_that_do_not_merge_are_put_in_order() {
        let axes = |a: &[usize]| a.iter().copied().collect::<Axes>();
        let ty = |shape: &[usize]| Type::new(DType::F64, shape);
        // Shapes, contracted axes, and how many operands are permuted.
        type Case<'a> = ([&'a [usize]; 2], [&'a [usize]; 2], usize);
        let cases: [Case; 6] = [
            ([&[2, 2, 5], &[2, 3, 2]], [&[0, 1], &[0, 2]], 1),
            ([&[2, 2, 5], &[2, 3, 2]], [&[1, 0], &[0, 2]], 2),
            ([&[2, 3, 4], &[3, 5]], [&[1], &[0]], 1),
            ([&[2, 3, 4], &[3, 5, 4]], [&[1, 2], &[0, 2]], 1),
            ([&[2, 1, 4], &[4, 1, 2]], [&[0, 2], &[2, 0]], 1),
            ([&[3, 4], &[4, 5]], [&[1], &[0]], 0),
        ];
        for (shapes, contract, permuted) in cases {
            let mut b = Builder::new();
            let (x, y) = (b.input(ty(shapes[0])), b.input(ty(shapes[1])));
            let dot = Dot {
                lhs_batch: axes(&[]),
                rhs_batch: axes(&[]),
                lhs_contract: axes(contract[0]),
                rhs_contract: axes(contract[1]),
                tangents: [false; 2],
                numbers: false,
            };
            let z = b.emit1(dot, &[x, y]).unwrap();
            let whole = b.finish(vec![z]);
            let graph = simplify(&whole).unwrap();
            let count = graph.eqns().iter().filter(|e| matches!(e.op, Op::Permute(_))).count();
            assert_eq!(count, permuted, "{graph}");
            assert_eq!(graph.output_types(), whole.output_types());
            let plan = crate::plan(&whole, &crate::Options::default()).unwrap();
            let primitive = |k: &crate::Kernel| matches!(k.work, crate::kernel::Work::Primitive(_));
            assert!(!plan.kernels().iter().any(primitive), "{}", plan.explain());
        }
    }
}
