//! Saves memory of loops: recomputes states instead of storing them.

use std::collections::HashMap;

use crate::graph::Vars;
use crate::ops::{Scan, recomputed};
use crate::{Builder, Graph, Op, Result, Var};

/// The same program with at most `slots` stored states a loop. `None` if it has no loop to change.
///
/// A `scan` that goes back over what another stacked becomes a replay: the stack disappears, the states of the first are
/// computed again, and what it stacked from them, by the same equations. Replays whose slots were left open get so
/// many. Loops inside loops stay as they are.
pub fn checkpoint_loops(graph: &Graph, slots: usize) -> Result<Option<Graph>> {
    let mut made: HashMap<Var, (usize, usize)> = HashMap::new();
    for (i, eqn) in graph.eqns().iter().enumerate() {
        if let Op::Scan(scan) = &eqn.op {
            for (k, &v) in eqn.outputs.iter().enumerate().skip(scan.carry) {
                made.insert(v, (i, k));
            }
        }
    }
    let mut changed = false;
    let mut b = Builder::new();
    let mut map: Vec<Option<Var>> = vec![None; graph.types().len()];
    for &v in graph.inputs() {
        map[v.index()] = Some(b.input(graph.ty(v).clone()));
    }
    let now = |map: &[Option<Var>], vars: &[Var]| -> Vars {
        vars.iter().map(|v| map[v.index()].expect("operands come first")).collect()
    };
    for eqn in graph.eqns() {
        let outer = b.set_origin(eqn.origin());
        let outputs = match &eqn.op {
            Op::Scan(scan) => match against(graph, scan, &eqn.inputs, &made) {
                Some((at, from)) => {
                    let Op::Scan(first) = &graph.eqns()[at].op else {
                        unreachable!("only scans are looked up")
                    };
                    let (before, inputs) = (now(&map, &graph.eqns()[at].inputs), now(&map, &eqn.inputs));
                    Some(recomputed(&mut b, (first, &before), (scan, &inputs), &from, slots)?)
                }
                None => None,
            },
            Op::Replay(replay) if replay.slots.is_none() => {
                Some(b.emit(replay.with_most(slots), &now(&map, &eqn.inputs))?)
            }
            _ => None,
        };
        b.set_origin(outer);
        match outputs {
            Some(outputs) => {
                changed = true;
                for (v, out) in eqn.outputs.iter().zip(outputs) {
                    map[v.index()] = Some(out);
                }
            }
            None => b.copy_eqn(graph, eqn, &mut map)?,
        }
    }
    if !changed {
        return Ok(None);
    }
    let outputs = graph.outputs().iter().map(|v| map[v.index()].expect("outputs are defined")).collect();
    without_stacks(&super::prune(b.finish(outputs))).map(Some)
}

/// The loop that `scan` runs over in reverse, and which of its results the stacked operands are.
fn against(
    graph: &Graph,
    scan: &Scan,
    inputs: &[Var],
    made: &HashMap<Var, (usize, usize)>,
) -> Option<(usize, Vec<Option<usize>>)> {
    let stacked = &inputs[scan.constants + scan.carry..];
    let at = stacked.iter().find_map(|v| {
        let &(i, _) = made.get(v)?;
        let Op::Scan(first) = &graph.eqns()[i].op else { return None };
        (first.reverse != scan.reverse && first.length == scan.length && scan.length > 1).then_some(i)
    })?;
    let from = stacked.iter().map(|v| made.get(v).filter(|m| m.0 == at).map(|m| m.1)).collect();
    Some((at, from))
}

/// The program without unread stacked results of loops.
fn without_stacks(graph: &Graph) -> Result<Graph> {
    let mut read = vec![false; graph.types().len()];
    for v in graph.outputs().iter().chain(graph.eqns().iter().flat_map(|e| &e.inputs)) {
        read[v.index()] = true;
    }
    let mut b = Builder::new();
    let mut map: Vec<Option<Var>> = vec![None; graph.types().len()];
    for &v in graph.inputs() {
        map[v.index()] = Some(b.input(graph.ty(v).clone()));
    }
    for eqn in graph.eqns() {
        match &eqn.op {
            Op::Scan(scan) if eqn.outputs[scan.carry..].iter().any(|v| !read[v.index()]) => {
                let marks: Vec<bool> = eqn.outputs[scan.carry..].iter().map(|v| read[v.index()]).collect();
                let inputs: Vars =
                    eqn.inputs.iter().map(|v| map[v.index()].expect("operands come first")).collect();
                let outer = b.set_origin(eqn.origin());
                let results = b.emit(scan.with_results(&marks)?, &inputs)?;
                b.set_origin(outer);
                let kept =
                    eqn.outputs.iter().enumerate().filter(|(i, _)| *i < scan.carry || marks[i - scan.carry]);
                for ((_, v), result) in kept.zip(results) {
                    map[v.index()] = Some(result);
                }
            }
            _ => b.copy_eqn(graph, eqn, &mut map)?,
        }
    }
    let outputs = graph.outputs().iter().map(|v| map[v.index()].expect("outputs are defined")).collect();
    Ok(super::prune(b.finish(outputs)))
}
