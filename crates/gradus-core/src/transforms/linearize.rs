//! Linearisation: the program split into one that computes values and residuals, and a linear one that maps
//! tangents to tangents. Reverse mode is this, then transposition (Radul et al., "You Only Linearize Once", 2023).

use super::jvp::{jvp_inline, marked_inputs};
use crate::{Builder, Graph, Mode, Op, Result, Var};

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
    let tangents = marked_inputs(&mut b, graph, wrt)?;
    let (mut outputs, dots) = jvp_inline(&mut b, graph, &args, &tangents, Mode::Split)?;
    let active: Vec<bool> = dots.iter().map(Option::is_some).collect();
    let n = outputs.len();
    for (dot, ty) in dots.into_iter().zip(graph.output_types()) {
        if let Some(dot) = dot {
            outputs.push(b.cast(dot, ty.dtype)?);
        }
    }
    let (forward, linear, residuals) = split(&b.finish(outputs), args.len(), n, |_| false)?;
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
    joint: &Graph,
    primal_inputs: usize,
    primal_outputs: usize,
    keeps: impl Fn(usize) -> bool,
) -> Result<(Graph, Graph, Vec<Residual>)> {
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

    let mut forward = Builder::sized(joint);
    let mut map = vec![None; joint.types().len()];
    for &v in &joint.inputs()[..primal_inputs] {
        map[v.index()] = Some(forward.input(joint.ty(v).clone()));
    }
    for eqn in joint.eqns().iter().filter(|e| !e.outputs.iter().any(|v| linear_var[v.index()])) {
        forward.copy_eqn(joint, eqn, &mut map)?;
    }
    let computed =
        residual_vars.iter().zip(&residuals).filter(|(_, r)| **r == Residual::Computed).map(|(v, _)| v);
    let outputs = joint.outputs()[..primal_outputs].iter().chain(computed);
    let outputs =
        outputs.map(|v| map[v.index()].expect("primal outputs do not depend on tangents")).collect();
    let forward = super::prune(forward.finish(outputs));

    let mut linear = Builder::sized(joint);
    let mut map = vec![None; joint.types().len()];
    for v in residual_vars.iter().chain(&joint.inputs()[primal_inputs..]) {
        map[v.index()] = Some(linear.input(joint.ty(*v).clone()));
    }
    for eqn in joint.eqns() {
        let out = eqn.outputs[0].index();
        if linear_var[out] || constant[out] {
            linear.copy_eqn(joint, eqn, &mut map)?;
        }
    }
    let outputs = joint.outputs()[primal_outputs..].iter();
    let outputs = outputs.map(|v| map[v.index()].expect("tangents are linear or residual")).collect();
    Ok((forward, super::prune(linear.finish(outputs)), residuals))
}
