//! Transposition: a linear program run backwards, from cotangents of its outputs to cotangents of its inputs.

use crate::graph::Vars;
use crate::nest::inside;
use crate::primitive::Tangents;
use crate::{Builder, Graph, Operand, Origin, Result, Var};

/// Emits the transpose of `graph`, linear in the inputs for which `linear` is `None` and with the given residual
/// values for the others; returns the cotangents of the linear inputs (`None`: zero) in order. What is made is backward, of the level that `b`
/// has come to; in a builder that has not begun to go back it keeps the phases of `graph`.
pub fn transpose_inline(
    b: &mut Builder,
    graph: &Graph,
    residuals: &[Option<Var>],
    cotangents: &[Option<Var>],
) -> Result<Vec<Option<Var>>> {
    let marked: Vec<bool> = residuals.iter().map(Option::is_none).collect();
    let linear = graph.depends_on(&marked);
    let mut value = vec![None; graph.types().len()];
    for (v, &r) in graph.inputs().iter().zip(residuals) {
        value[v.index()] = r;
    }
    for eqn in graph.eqns().iter().filter(|e| !linear[e.outputs[0].index()]) {
        b.copy_eqn(graph, eqn, &mut value)?;
    }
    let mut ct = vec![None; graph.types().len()];
    for (v, &c) in graph.outputs().iter().zip(cotangents) {
        if linear[v.index()] {
            ct[v.index()] = b.add_tangents(ct[v.index()], c)?;
        }
    }
    for eqn in graph.eqns().iter().rev().filter(|e| linear[e.outputs[0].index()]) {
        let outer = b.set_origin(Origin { phase: b.transposed(eqn.phase), ..eqn.origin() });
        let cts: Tangents = eqn.outputs.iter().map(|v| ct[v.index()].take()).collect();
        if cts.iter().any(Option::is_some) {
            let operand = |v: &Var| match value[v.index()] {
                Some(r) => Operand::Residual(r),
                None => Operand::Linear(graph.ty(*v).clone()),
            };
            let operands: Vec<Operand> = eqn.inputs.iter().map(operand).collect();
            let back = inside(&eqn.op, || eqn.op.row().transpose(b, &operands, &cts));
            let back = back.map_err(|e| e.or_at(&eqn.site))?;
            for (v, c) in eqn.inputs.iter().zip(back) {
                if linear[v.index()] {
                    ct[v.index()] = b.add_tangents(ct[v.index()], c)?;
                }
            }
        }
        b.set_origin(outer);
    }
    let inputs = graph.inputs().iter().zip(residuals).filter(|(_, r)| r.is_none());
    Ok(inputs.map(|(v, _)| ct[v.index()]).collect())
}

/// The program `(residuals, cotangents of the outputs) -> cotangents of the linear inputs`.
pub fn transpose(graph: &Graph, linear: &[bool]) -> Result<Graph> {
    let mut b = Builder::new();
    let residuals: Vec<Option<Var>> =
        graph.input_types().into_iter().zip(linear).map(|(ty, &l)| (!l).then(|| b.input(ty))).collect();
    let cts: Vars = graph.output_types().into_iter().map(|ty| b.input(ty)).collect();
    let cts: Vec<Option<Var>> = cts.into_iter().map(Some).collect();
    let back = transpose_whole(&mut b, graph, graph.levels(), &residuals, &cts)?;
    let types = graph.input_types().into_iter().zip(linear).filter(|(_, l)| **l).map(|(ty, _)| ty);
    let outputs = b.outside(back, &types.collect::<Vec<_>>())?;
    Ok(b.finish(outputs))
}

/// The same program, linear in the marked inputs, as the rules for linear programs write it: with products of residuals and
/// tangents, and dead zeros. Its inputs are those that are not marked, then the marked ones.
pub fn linear_form(graph: &Graph, linear: &[bool]) -> Result<Graph> {
    let residuals = linear.iter().filter(|l| !**l).count();
    let back = transposed(graph, linear)?;
    let marks: Vec<bool> = (0..back.inputs().len()).map(|i| i >= residuals).collect();
    transposed(&back, &marks)
}

/// [`transpose`] inside a linear program, a rule for example: what is dead stays so, and phases are those of `graph`.
pub fn transposed(graph: &Graph, linear: &[bool]) -> Result<Graph> {
    let mut b = Builder::new();
    let inputs = graph.input_types();
    let residuals: Vec<Option<Var>> =
        inputs.iter().zip(linear).map(|(ty, &l)| (!l).then(|| b.input(ty.clone()))).collect();
    let mut cts = Vec::new();
    for ty in graph.output_types() {
        cts.push(Some(b.input(ty)));
    }
    let back = transpose_inline(&mut b, graph, &residuals, &cts)?;
    let mut outputs = Vec::new();
    for (ct, ty) in back.into_iter().zip(inputs.iter().zip(linear).filter(|(_, l)| **l).map(|(ty, _)| ty)) {
        outputs.push(b.instantiate(ct, ty));
    }
    Ok(b.finish(outputs))
}

/// A linear program as callers use it: `(residuals, dx) -> dy`; the first `residuals` inputs are residuals.
pub fn pushed(graph: &Graph, residuals: usize) -> Result<Graph> {
    let mut b = Builder::new();
    let mut args: Vec<Var> = graph.input_types().into_iter().map(|ty| b.input(ty)).collect();
    for arg in &mut args[residuals..] {
        *arg = b.seed(*arg)?;
    }
    let outputs = b.inline(graph, &args)?.into_iter().map(Some).collect();
    let outputs = b.outside(outputs, &graph.output_types())?;
    Ok(b.finish(outputs))
}

/// [`transpose_inline`] from cotangents as callers give them; what comes back is one level above
/// those of the program, `levels`.
pub(super) fn transpose_whole(
    b: &mut Builder,
    graph: &Graph,
    levels: u8,
    residuals: &[Option<Var>],
    cotangents: &[Option<Var>],
) -> Result<Vec<Option<Var>>> {
    let seed = |ct: &Option<Var>| ct.map(|ct| b.seed(ct)).transpose();
    let cotangents = cotangents.iter().map(seed).collect::<Result<Vec<_>>>()?;
    b.go_back(levels.saturating_add(1));
    transpose_inline(b, graph, residuals, &cotangents)
}
