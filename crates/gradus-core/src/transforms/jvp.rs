//! Forward mode: a program that carries a tangent beside each value.

use crate::graph::Vars;
use crate::nest::inside;
use crate::primitive::Tangents;
use crate::{Builder, Graph, Jvp, Result, Var};

/// Emits `graph` and its tangents. `None` is a symbolic zero, which costs nothing to carry.
pub fn jvp_inline(
    b: &mut Builder,
    graph: &Graph,
    args: &[Var],
    tangents: &[Option<Var>],
    mode: Jvp,
) -> Result<(Vec<Var>, Vec<Option<Var>>)> {
    let n = graph.types().len();
    let (mut primal, mut tangent) = (vec![None; n], vec![None; n]);
    for ((input, &arg), &t) in graph.inputs().iter().zip(args).zip(tangents) {
        primal[input.index()] = Some(arg);
        tangent[input.index()] = t;
    }
    for eqn in graph.eqns() {
        if eqn.inputs.iter().all(|v| tangent[v.index()].is_none()) {
            b.copy_eqn(graph, eqn, &mut primal)?;
            continue;
        }
        let inputs: Vars =
            eqn.inputs.iter().map(|v| primal[v.index()].expect("operands come first")).collect();
        let dots: Tangents = eqn.inputs.iter().map(|v| tangent[v.index()]).collect();
        let outer = b.set_origin(eqn.origin());
        let emitted = inside(&eqn.op, || eqn.op.row().jvp(b, mode, &inputs, &dots));
        b.set_origin(outer);
        let (outputs, dots) = emitted?;
        for ((v, out), t) in eqn.outputs.iter().zip(outputs).zip(dots) {
            primal[v.index()] = Some(out);
            tangent[v.index()] = t;
        }
    }
    let outputs = graph.outputs().iter().map(|v| primal[v.index()].expect("outputs are defined")).collect();
    Ok((outputs, graph.outputs().iter().map(|v| tangent[v.index()]).collect()))
}

/// The forward-mode program `(x, dx) -> (f(x), f'(x) dx)`.
///
/// Its inputs are those of `graph`, then a tangent for each input marked in `wrt`; its outputs are those of
/// `graph`, then the tangent of every differentiable output (zeros where it does not depend on a marked input).
pub fn jvp(graph: &Graph, wrt: &[bool]) -> Result<Graph> {
    let mut b = Builder::new();
    let args: Vec<Var> = graph.input_types().into_iter().map(|ty| b.input(ty)).collect();
    let mut tangents = marked_inputs(&mut b, graph, wrt);
    for t in tangents.iter_mut().flatten() {
        *t = b.seed(*t)?;
    }
    let (mut outputs, tangents) = jvp_inline(&mut b, graph, &args, &tangents, Jvp::Forward)?;
    let types = graph.output_types();
    let (tangents, types): (Vec<_>, Vec<_>) =
        tangents.into_iter().zip(types).filter(|(_, ty)| ty.dtype.is_differentiable()).unzip();
    outputs.extend(b.outside(tangents, &types)?);
    Ok(b.finish(outputs))
}

/// A new input of the same type for every marked input of `graph`, as the tangent of it.
pub(super) fn marked_inputs(b: &mut Builder, graph: &Graph, marked: &[bool]) -> Vec<Option<Var>> {
    let types = graph.input_types();
    types.into_iter().zip(marked).map(|(ty, &m)| m.then(|| b.input(ty))).collect()
}
