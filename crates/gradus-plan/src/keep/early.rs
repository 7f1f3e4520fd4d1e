//! Schedules each update right after its gradient.
//!
//! A training step updates its parameters when all gradients are known, so all gradients would stay in memory. Here an
//! update directly follows its own gradient, but not before the backward pass has read the old parameter for the last
//! time, so that the new parameter is written over it.

use gradus_core::{Graph, PhaseKind, Var};

use super::boundary::{Boundary, is_cheap};
use crate::fuse::is_movement;
use crate::work;

/// The order with the cheap equations behind the backward pass moved up to where their operands are complete; `None` if
/// they are there already.
pub(super) fn order(graph: &Graph, boundary: &Boundary) -> Option<Vec<usize>> {
    let eqns = graph.eqns();
    // Where derivatives nest, gradients have terms from the backward passes of several levels: each is added as soon as
    // it is computed.
    let nested = boundary.level > 1;
    let later = |i: usize| match boundary.parts[i] {
        PhaseKind::Forward => false,
        PhaseKind::Backward => nested,
        PhaseKind::Update => true,
    };
    let moves = |i: usize| i >= boundary.at && later(i) && is_cheap(&eqns[i].op);
    // Equations that do not depend on the backward pass are delayed until they are read.
    let idle = |i: usize| {
        i >= boundary.at && is_cheap(&eqns[i].op) && boundary.available[eqns[i].outputs[0].index()]
    };
    // The argument that a value is, or is a view of.
    let mut argument: Vec<Option<Var>> = vec![None; graph.types().len()];
    graph.inputs().iter().for_each(|v| argument[v.index()] = Some(*v));
    for eqn in eqns.iter().filter(|e| is_movement(&e.op)) {
        argument[eqn.outputs[0].index()] = argument[eqn.inputs[0].index()];
    }
    let arguments = |i: usize| {
        let reads = i >= boundary.at && !moves(i) && !idle(i);
        eqns[i].inputs.iter().filter(move |_| reads).filter_map(|v| argument[v.index()])
    };
    // The remaining reads of each argument.
    let mut unread = vec![0usize; graph.types().len()];
    (0..eqns.len()).flat_map(arguments).for_each(|v| unread[v.index()] += 1);
    // For each equation and each argument, those that wait for it.
    let mut waits = vec![0usize; eqns.len()];
    let mut frees: Vec<Vec<usize>> = vec![Vec::new(); eqns.len()];
    let mut replaces: Vec<Vec<usize>> = vec![Vec::new(); graph.types().len()];
    for i in (boundary.at..eqns.len()).filter(|&i| moves(i)) {
        let made = |v: &Var| boundary.made[v.index()].filter(|&j| j >= boundary.at && !idle(j));
        let mut before: Vec<usize> = eqns[i].inputs.iter().filter_map(made).collect();
        before.sort_unstable();
        before.dedup();
        // An argument that is read here may be written over.
        let mut over: Vec<usize> =
            eqns[i].inputs.iter().filter_map(|v| argument[v.index()]).map(Var::index).collect();
        over.retain(|&v| unread[v] > 0);
        over.sort_unstable();
        over.dedup();
        waits[i] = before.len() + over.len();
        before.into_iter().for_each(|j| frees[j].push(i));
        over.into_iter().for_each(|v| replaces[v].push(i));
    }
    let mut order = Vec::with_capacity(eqns.len());
    let mut done = vec![false; eqns.len()];
    let mut pending = Vec::new();
    for i in 0..eqns.len() {
        if !idle(i) {
            pending.push(i);
        }
        while let Some(i) = pending.pop() {
            work::count(1);
            if done[i] {
                continue;
            }
            let missing = |v: &Var| boundary.made[v.index()].filter(|&j| !done[j]);
            let missing: Vec<usize> = eqns[i].inputs.iter().filter_map(missing).collect();
            if !missing.is_empty() {
                pending.push(i);
                pending.extend(missing);
                continue;
            }
            order.push(i);
            done[i] = true;
            let mut ready = Vec::new();
            let mut free = |waiting: &[usize]| {
                for &next in waiting {
                    waits[next] -= 1;
                    if waits[next] == 0 {
                        ready.push(next);
                    }
                }
            };
            free(&frees[i]);
            for v in arguments(i) {
                unread[v.index()] -= 1;
                if unread[v.index()] == 0 {
                    free(&replaces[v.index()]);
                }
            }
            ready.sort_unstable_by_key(|&next| std::cmp::Reverse(next));
            pending.append(&mut ready);
        }
    }
    // Unread equations may still be results.
    order.extend((0..eqns.len()).filter(|&i| !done[i]));
    (!order.is_sorted()).then_some(order)
}
