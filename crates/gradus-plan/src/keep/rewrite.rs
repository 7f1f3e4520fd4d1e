//! Writes the choice into the program: recomputed equations of the forward pass become equations of the backward pass.

use gradus_core::{Graph, Result, Var};

use super::Staged;
use super::boundary::Boundary;
use crate::passes::Copier;
use crate::work;

/// The program that keeps the marked values and recomputes the others, each just before its first reader.
pub(super) fn rewrite(graph: &Graph, boundary: &Boundary, kept: &[bool]) -> Result<Staged> {
    let mut wanted = vec![false; graph.types().len()];
    for (v, &k) in kept.iter().enumerate() {
        wanted[v] = k;
    }
    let mut returned = vec![false; graph.types().len()];
    for v in graph.outputs().iter().filter(|v| boundary.available[v.index()]) {
        (wanted[v.index()], returned[v.index()]) = (true, true);
    }
    // The forward pass: the kept and returned values, and their operands.
    let is_wanted = |i: usize, wanted: &[bool]| graph.eqns()[i].outputs.iter().any(|v| wanted[v.index()]);
    let mut first = vec![false; graph.eqns().len()];
    for i in (0..graph.eqns().len()).rev() {
        let here = boundary.available[graph.eqns()[i].outputs[0].index()] && is_wanted(i, &wanted);
        if here {
            first[i] = true;
            for v in &graph.eqns()[i].inputs {
                wanted[v.index()] = true;
            }
        }
    }
    let mut copy = Copier::new(graph);
    let mut at_hand = vec![false; graph.types().len()];
    for v in graph.inputs() {
        at_hand[v.index()] = true;
    }
    for i in (0..graph.eqns().len()).filter(|&i| first[i]) {
        copy.copy(&graph.eqns()[i])?;
        for v in &graph.eqns()[i].outputs {
            at_hand[v.index()] = kept[v.index()] || returned[v.index()];
        }
    }
    let results: Vec<(Var, Var)> =
        graph.outputs().iter().filter(|v| boundary.available[v.index()]).map(|&v| (v, copy.get(v))).collect();
    let split = copy.b.graph().eqns().len();
    let second = (0..graph.eqns().len()).filter(|&i| !boundary.available[graph.eqns()[i].outputs[0].index()]);
    for i in second {
        let mut pending: Vec<Var> = graph.eqns()[i].inputs.iter().copied().rev().collect();
        while let Some(&v) = pending.last() {
            work::count(1);
            let made = boundary.made[v.index()].filter(|_| !at_hand[v.index()]);
            let Some(again) = made else {
                pending.pop();
                continue;
            };
            let eqn = &graph.eqns()[again];
            let missing: Vec<Var> = eqn.inputs.iter().copied().filter(|u| !at_hand[u.index()]).collect();
            if missing.is_empty() {
                // Recomputation for an equation has the phase of that equation.
                copy.copy_in(eqn, graph.eqns()[i].phase)?;
                for v in &eqn.outputs {
                    at_hand[v.index()] = true;
                }
                pending.pop();
            } else {
                pending.extend(missing);
            }
        }
        copy.copy(&graph.eqns()[i])?;
        for v in &graph.eqns()[i].outputs {
            at_hand[v.index()] = true;
        }
    }
    // Results of the forward pass are its own values, not later copies.
    for (v, first) in results {
        copy.set(v, first);
    }
    let stages = (0..copy.b.graph().eqns().len()).map(|i| u32::from(i >= split)).collect();
    let (graph, stages) = copy.finish_staged(graph.outputs(), stages);
    Ok(Staged { graph, stages })
}
