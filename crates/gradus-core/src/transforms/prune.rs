//! Removes dead code: equations whose results have no reader.

use crate::graph::{Eqn, Var};
use crate::nest::level;
use crate::quick::Map;
use crate::{Graph, Op, Site, Type};

/// The program with its equations in another order, each after those it reads: `order` names them all. Without dead code.
pub fn reordered(mut graph: Graph, order: &[usize]) -> Graph {
    let mut eqns: Vec<Option<Eqn>> = std::mem::take(&mut graph.eqns).into_iter().map(Some).collect();
    graph.eqns = order.iter().filter_map(|&i| eqns[i].take()).collect();
    prune(graph)
}

/// The program without equations that no output depends on, constants that are equal made one. Inputs stay, used or not.
pub fn prune(mut graph: Graph) -> Graph {
    let mut live = vec![false; graph.types.len()];
    for v in &graph.outputs {
        live[v.index()] = true;
    }
    for eqn in graph.eqns.iter().rev() {
        if eqn.outputs.iter().any(|v| live[v.index()]) {
            for v in &eqn.inputs {
                live[v.index()] = true;
            }
        }
    }
    let types = std::mem::take(&mut graph.types);
    let mut new: Vec<Type> = Vec::with_capacity(types.len());
    let mut map = vec![Var(u32::MAX); types.len()];
    let mut fresh = |v: &mut Var, map: &mut [Var]| {
        let to = Var(new.len() as u32);
        new.push(types[v.index()].clone());
        map[v.index()] = to;
        *v = to;
    };
    graph.inputs.iter_mut().for_each(|v| fresh(v, &mut map));
    let mut constants: Map<(Type, u64), Var> = Map::default();
    let mut depth = 0;
    let mut kept = |eqn: &mut Eqn| {
        if !eqn.outputs.iter().any(|v| live[v.index()]) {
            return false;
        }
        if let Op::Full(full) = &eqn.op {
            let old = eqn.outputs[0];
            let key = (types[old.index()].clone(), full.value.to_bits());
            if let Some(&known) = constants.get(&key) {
                map[old.index()] = known;
                return false;
            }
            fresh(&mut eqn.outputs[0], &mut map);
            constants.insert(key, eqn.outputs[0]);
            eqn.site = Site::default();
            return true;
        }
        depth = eqn.op.graphs().iter().map(|g| g.depth() + 1).fold(depth, usize::max);
        eqn.inputs.iter_mut().for_each(|v| *v = map[v.index()]);
        eqn.outputs.iter_mut().for_each(|v| fresh(v, &mut map));
        true
    };
    if graph.depth > 0 {
        level(|| graph.eqns.retain_mut(kept));
    } else {
        graph.eqns.retain_mut(&mut kept);
    }
    graph.outputs.iter_mut().for_each(|v| *v = map[v.index()]);
    graph.types = new;
    graph.depth = depth;
    graph.answers = Default::default();
    graph
}
