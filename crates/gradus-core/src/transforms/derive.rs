//! Reverse mode: linearise, then transpose.

use super::transpose::transpose_whole;
use super::{linearize, prune};
use crate::{Builder, ErrorKind, Graph, Result, Var};

/// The program `(x, cotangents of the differentiable outputs) -> (f(x), cotangents of the marked inputs)`.
pub fn vjp(graph: &Graph, wrt: &[bool]) -> Result<Graph> {
    let mut lin = linearize(graph, wrt)?;
    let forward = lin.forward.outputs().to_vec();
    let mut b = Builder::resume(std::mem::take(&mut lin.forward));
    let mut cts = Vec::new();
    for (ty, &active) in graph.output_types().into_iter().zip(&lin.active) {
        if ty.dtype.is_differentiable() {
            let ct = b.input(ty);
            cts.extend(active.then_some(Some(ct)));
        }
    }
    finish(b, graph, wrt, &lin, forward, &cts)
}

/// The program `x -> (f(x), gradient of f(x) for each marked input)`; the first output of `f` must be a float scalar
/// and is the one differentiated, the others ride along.
///
/// # Errors
/// If the first output is no float scalar, or a primitive on the way has no reverse mode.
pub fn value_and_grad(graph: &Graph, wrt: &[bool]) -> Result<Graph> {
    match graph.output_types().first() {
        Some(ty) if ty.shape.rank() == 0 && ty.dtype.is_differentiable() => {}
        other => {
            let found = other.map_or("nothing".to_string(), |ty| format!("{ty}"));
            return Err(ErrorKind::NonScalar { transform: "grad", found }.into());
        }
    }
    let mut lin = linearize(graph, wrt)?;
    let forward = lin.forward.outputs().to_vec();
    let mut b = Builder::resume(std::mem::take(&mut lin.forward));
    let one = b.full(&graph.output_types()[0], 1.0);
    let seeds = lin.active.iter().enumerate().filter(|(_, active)| **active);
    let cts: Vec<Option<Var>> = seeds.map(|(i, _)| (i == 0).then_some(one)).collect();
    finish(b, graph, wrt, &lin, forward, &cts)
}

fn finish(
    mut b: Builder,
    graph: &Graph,
    wrt: &[bool],
    lin: &super::Linearized,
    mut forward: Vec<Var>,
    cts: &[Option<Var>],
) -> Result<Graph> {
    let mut residuals: Vec<Option<Var>> = forward.split_off(lin.outputs).into_iter().map(Some).collect();
    residuals.resize(lin.linear.inputs().len(), None);
    let back = transpose_whole(&mut b, &lin.linear, graph.levels(), &residuals, cts)?;
    let types = graph.input_types().into_iter().zip(wrt).filter(|(_, m)| **m).map(|(ty, _)| ty);
    forward.extend(b.outside(back, &types.collect::<Vec<_>>())?);
    Ok(prune(b.finish(forward)))
}
