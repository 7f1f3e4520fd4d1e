//! Dead code: equations whose results nobody reads.

use crate::{Builder, Graph};

/// The program without equations that no output depends on. Inputs stay, used or not.
pub fn prune(graph: &Graph) -> Graph {
    let mut live = vec![false; graph.types().len()];
    for v in graph.outputs() {
        live[v.index()] = true;
    }
    for eqn in graph.eqns().iter().rev() {
        if eqn.outputs.iter().any(|v| live[v.index()]) {
            for v in &eqn.inputs {
                live[v.index()] = true;
            }
        }
    }
    let mut b = Builder::new();
    let mut map = vec![None; graph.types().len()];
    for &v in graph.inputs() {
        map[v.index()] = Some(b.input(graph.ty(v).clone()));
    }
    for eqn in graph.eqns().iter().filter(|e| e.outputs.iter().any(|v| live[v.index()])) {
        b.copy_eqn(eqn, &mut map).expect("a well-typed equation stays so");
    }
    b.finish(graph.outputs().iter().map(|v| map[v.index()].expect("outputs are live")).collect())
}
