//! Phases after equations have been merged or folded: what is not backward follows from what it reads.

use crate::{Graph, Op, Phase};

/// The program with an update wherever something that is not backward reads a gradient, and nowhere else: where a gradient
/// has turned out to be a constant, or the value of an earlier phase, nothing is left to be an update of.
pub fn settled(mut graph: Graph) -> Graph {
    let mut phases = vec![Phase::FORWARD; graph.types.len()];
    for eqn in &mut graph.eqns {
        if !eqn.phase.is_backward() && !matches!(eqn.op, Op::Full(_)) {
            eqn.phase = Phase::reading(eqn.inputs.iter().map(|v| phases[v.index()]));
        }
        eqn.outputs.iter().for_each(|v| phases[v.index()] = eqn.phase);
    }
    graph.answers = Default::default();
    graph
}
