//! Linearisation: the program split into one that computes values and residuals, and a linear one that maps
//! tangents to tangents. Reverse mode is this, then transposition (Radul et al., "You Only Linearize Once", 2023).

use super::jvp::{jvp_inline, marked_inputs};
use crate::{Builder, Graph, Jvp, Op, Result, Var};

/// A function split at a point that is not yet known.
#[derive(Clone, Debug)]
pub struct Linearized {
    /// `x -> (f(x), residuals)`.
    pub forward: Graph,
    /// `(residuals, dx) -> dy`, linear in `dx`; only for the marked inputs and the active outputs.
    pub linear: Graph,
    /// Number of outputs of the original function; what follows them in `forward` are the residuals.
    pub outputs: usize,
    /// For each output, whether its tangent is in `linear` (the others are zero).
    pub active: Vec<bool>,
}

/// Linearises `graph` with respect to the inputs marked in `wrt`.
pub fn linearize(graph: &Graph, wrt: &[bool]) -> Result<Linearized> {
    let mut b = Builder::new();
    let args: Vec<Var> = graph.input_types().into_iter().map(|ty| b.input(ty)).collect();
    let tangents = marked_inputs(&mut b, graph, wrt);
    let (mut outputs, dots) = jvp_inline(&mut b, graph, &args, &tangents, Jvp::Split)?;
    let active: Vec<bool> = dots.iter().map(Option::is_some).collect();
    let n = outputs.len();
    for (dot, ty) in dots.into_iter().zip(graph.output_types()) {
        if let Some(dot) = dot {
            outputs.push(b.cast(dot, ty.dtype)?);
        }
    }
    let (forward, linear, residuals) = split(b.finish(outputs), args.len(), n, |_| false);
    debug_assert!(residuals.iter().all(|r| matches!(r, Residual::Computed)));
    Ok(Linearized { forward, linear, outputs: n, active })
}

/// Where a residual of a [`split`] comes from.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Residual {
    /// It is an extra output of the forward part, in order.
    Computed,
    /// It is the input of this position, which the caller has at hand.
    Input(usize),
}

/// Splits a joint program with inputs `(x, dx)` and outputs `(y, dy)` into `x -> (y, residuals)` and
/// `(residuals, dx) -> dy`. An input of `x` for which `keeps` holds is not output again as a residual: the linear
/// part refers to it as [`Residual::Input`].
pub(crate) fn split(
    mut joint: Graph,
    primal_inputs: usize,
    primal_outputs: usize,
    keeps: impl Fn(usize) -> bool,
) -> (Graph, Graph, Vec<Residual>) {
    let marked: Vec<bool> = (0..joint.inputs().len()).map(|i| i >= primal_inputs).collect();
    let linear_var = joint.depends_on(&marked);
    let mut constant = vec![false; joint.types().len()];
    for eqn in joint.eqns() {
        if let Op::Full(_) = eqn.op {
            constant[eqn.outputs[0].index()] = true;
        }
    }
    let reads = joint
        .eqns()
        .iter()
        .filter(|e| linear_var[e.outputs[0].index()])
        .flat_map(|e| e.inputs.iter())
        .chain(&joint.outputs()[primal_outputs..]);
    let mut seen = vec![false; joint.types().len()];
    let mut residual_vars = Vec::new();
    for &v in reads {
        if !linear_var[v.index()] && !constant[v.index()] && !std::mem::replace(&mut seen[v.index()], true) {
            residual_vars.push(v);
        }
    }
    let mut position = vec![None; joint.types().len()];
    for (i, v) in joint.inputs()[..primal_inputs].iter().enumerate().rev() {
        position[v.index()] = Some(i);
    }
    let origin = |v: &Var| match position[v.index()] {
        Some(i) if keeps(i) => Residual::Input(i),
        _ => Residual::Computed,
    };
    let residuals: Vec<Residual> = residual_vars.iter().map(origin).collect();

    // Each equation goes into one of the two; constants are in both.
    let (mut first, mut second) = (Vec::new(), Vec::new());
    for eqn in std::mem::take(&mut joint.eqns) {
        let out = eqn.outputs[0].index();
        if linear_var[out] {
            second.push(eqn);
            continue;
        }
        if constant[out] {
            second.push(eqn.clone());
        }
        first.push(eqn);
    }
    let (x, dx) = joint.inputs.split_at(primal_inputs);
    let (y, dy) = joint.outputs.split_at(primal_outputs);
    let computed =
        residual_vars.iter().zip(&residuals).filter(|(_, r)| **r == Residual::Computed).map(|(v, _)| *v);
    let part = |types, inputs: Vec<Var>, eqns, outputs: Vec<Var>| {
        let (depth, answers) = (joint.depth, Default::default());
        super::prune(Graph { types, inputs, eqns, outputs, depth, answers })
    };
    let outputs = y.iter().copied().chain(computed).collect();
    let forward = part(joint.types.clone(), x.to_vec(), first, outputs);
    let inputs = residual_vars.iter().chain(dx).copied().collect();
    let linear = part(std::mem::take(&mut joint.types), inputs, second, dy.to_vec());
    (forward, linear, residuals)
}
