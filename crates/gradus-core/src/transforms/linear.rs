//! Whether a program is linear in some of its inputs: derivative rules of users have to be in the tangent.
//!
//! Every value is zero, fixed (it does not depend on the marked inputs), or linear in them. Whether a primitive is linear
//! in some of its operands together is what its transpose knows: an operand that could be marked beside the linear ones is
//! added to them, so that it has to be zero.

use crate::nest::level;
use crate::ops::Op;
use crate::primitive::Operand;
use crate::{Builder, Eqn, Error, ErrorKind, Graph, Result, Type, Var};

/// How a value depends on the marked inputs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Linearity {
    /// It is zero whatever they are.
    Zero,
    /// It does not depend on them.
    Fixed,
    /// It is linear in them.
    Linear,
}

use Linearity::{Fixed, Linear, Zero};

/// That a program is linear in the inputs that are said to be [`Linear`](Linearity::Linear): every output is so, or zero.
///
/// # Errors
/// The first equation that is not, with its line; `what` says what was asked to be linear.
pub fn check_linear(graph: &Graph, inputs: &[Linearity], what: &'static str) -> Result<()> {
    let outputs = outputs(graph, inputs, what)?;
    match outputs.iter().position(|&l| l == Fixed) {
        None => Ok(()),
        Some(i) => {
            let v = graph.outputs()[i];
            let maker = graph.eqns().iter().find(|e| e.outputs.contains(&v));
            Err(affine(what, maker))
        }
    }
}

fn affine(what: &'static str, eqn: Option<&Eqn>) -> Error {
    let detail = format!(
        "the rule must be linear in {what}, but it adds something that does not depend on it{}: for a zero {what} it has \
         to give zero",
        eqn.map_or(String::new(), |e| format!(" (`{}`)", e.op)),
    );
    let site = eqn.map(|e| e.site.clone()).unwrap_or_default();
    Error::new(ErrorKind::Argument { op: "custom rule", detail }, site)
}

fn not_linear(what: &'static str, eqn: &Eqn, reason: &str) -> Error {
    let detail = format!("the rule must be linear in {what}, but it applies `{}` to it{reason}", eqn.op);
    Error::new(ErrorKind::Argument { op: "custom rule", detail }, eqn.site.clone())
}

fn outputs(graph: &Graph, inputs: &[Linearity], what: &'static str) -> Result<Vec<Linearity>> {
    level(|| follow(graph, inputs, what))
}

fn follow(graph: &Graph, inputs: &[Linearity], what: &'static str) -> Result<Vec<Linearity>> {
    let mut of = vec![Fixed; graph.types().len()];
    for (v, &l) in graph.inputs().iter().zip(inputs) {
        of[v.index()] = l;
    }
    for eqn in graph.eqns() {
        let operands: Vec<Linearity> = eqn.inputs.iter().map(|v| of[v.index()]).collect();
        let results = results(graph, eqn, &operands, what)?;
        for (v, l) in eqn.outputs.iter().zip(results) {
            of[v.index()] = l;
        }
    }
    Ok(graph.outputs().iter().map(|v| of[v.index()]).collect())
}

fn results(graph: &Graph, eqn: &Eqn, operands: &[Linearity], what: &'static str) -> Result<Vec<Linearity>> {
    let places = |l: Linearity| (0..operands.len()).filter(|&i| operands[i] == l).collect::<Vec<_>>();
    let all = |l: Linearity| vec![l; eqn.outputs.len()];
    let linear = places(Linear);
    match &eqn.op {
        Op::Full(full) => return Ok(all(if full.value == 0.0 { Zero } else { Fixed })),
        Op::Call(call) => return outputs(&call.body, operands, what),
        Op::Cond(cond) if operands[0] != Linear => {
            let [a, b] = [&cond.on_true, &cond.on_false].map(|g| outputs(g, &operands[1..], what));
            return a?
                .into_iter()
                .zip(b?)
                .map(|(a, b)| join(a, b).ok_or_else(|| affine(what, Some(eqn))))
                .collect();
        }
        Op::Scan(scan) => {
            let mut operands = operands.to_vec();
            loop {
                let results = outputs(&scan.body, &operands, what)?;
                let mut changed = false;
                for (now, &then) in operands[scan.constants..].iter_mut().zip(&results[..scan.carry]) {
                    let both = join(*now, then).ok_or_else(|| affine(what, Some(eqn)))?;
                    changed |= both != *now;
                    *now = both;
                }
                if !changed {
                    return Ok(results);
                }
            }
        }
        _ => {}
    }
    if linear.is_empty() {
        let zeros = places(Zero);
        let sure = !zeros.is_empty()
            && (together(graph, eqn, &zeros).is_ok() && fixed_parts(graph, eqn, &zeros, operands).is_none()
                || zeros.iter().any(|&i| {
                    together(graph, eqn, &[i]).is_ok() && fixed_parts(graph, eqn, &[i], operands).is_none()
                }));
        return Ok(all(if sure { Zero } else { Fixed }));
    }
    if let Err(error) = together(graph, eqn, &linear) {
        let reason = if eqn.op.graphs().is_empty() { String::new() } else { format!(": {}", error.kind()) };
        return Err(not_linear(what, eqn, &reason));
    }
    match fixed_parts(graph, eqn, &linear, operands) {
        Some(()) => Err(affine(what, Some(eqn))),
        None => Ok(all(Linear)),
    }
}

/// What a value is that is one of two.
fn join(a: Linearity, b: Linearity) -> Option<Linearity> {
    match (a, b) {
        (Zero, l) | (l, Zero) => Some(l),
        (Fixed, Fixed) => Some(Fixed),
        (Linear, Linear) => Some(Linear),
        (Fixed, Linear) | (Linear, Fixed) => None,
    }
}

/// Whether a fixed operand is one that is added to those at `places`.
fn fixed_parts(graph: &Graph, eqn: &Eqn, places: &[usize], operands: &[Linearity]) -> Option<()> {
    let float = |i: usize| graph.ty(eqn.inputs[i]).dtype.is_differentiable();
    let added = |i: usize| {
        let both: Vec<usize> = places.iter().copied().chain([i]).collect();
        together(graph, eqn, &both).is_ok()
    };
    (0..operands.len()).any(|i| operands[i] == Fixed && float(i) && added(i)).then_some(())
}

/// Whether a primitive is linear in the operands at these places together.
fn together(graph: &Graph, eqn: &Eqn, places: &[usize]) -> Result<()> {
    let mut b = Builder::new();
    let tangent = |v: &Var| -> Type { graph.ty(*v).clone() };
    let operands: Vec<Operand> = eqn
        .inputs
        .iter()
        .enumerate()
        .map(|(i, v)| {
            if places.contains(&i) {
                Operand::Linear(tangent(v))
            } else {
                Operand::Residual(b.input(graph.ty(*v).clone()))
            }
        })
        .collect();
    let differentiable = |v: &Var| graph.ty(*v).dtype.is_differentiable();
    if !eqn.outputs.iter().any(differentiable) {
        return Err(crate::primitive::not_linear(eqn.op.name()));
    }
    let cts: Vec<Option<Var>> =
        eqn.outputs.iter().map(|v| differentiable(v).then(|| b.input(tangent(v)))).collect();
    eqn.op.row().transpose(&mut b, &operands, &cts).map(drop)
}
