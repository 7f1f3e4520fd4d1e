//! Where the two halves of a program meet, and which of its values the first half can provide.

use gradus_core::ops::Op;
use gradus_core::{Graph, Var};

use super::Staged;
use crate::fuse::{is_elementwise, is_movement};

/// The halves of a program.
pub(super) struct Halves {
    /// The first equation of the second half.
    pub(super) at: usize,
    /// For each value, whether it is computed in the first half or can be had from there by cheap equations.
    pub(super) available: Vec<bool>,
    /// For each value, the equation that defines it.
    pub(super) made: Vec<Option<usize>>,
}

/// For each value, the equation that defines it.
pub(super) fn definitions(graph: &Graph) -> Vec<Option<usize>> {
    let mut made = vec![None; graph.types().len()];
    for (i, eqn) in graph.eqns().iter().enumerate() {
        for v in &eqn.outputs {
            made[v.index()] = Some(i);
        }
    }
    made
}

/// Whether an equation may be run twice without anybody minding.
pub(super) fn is_cheap(op: &Op) -> bool {
    is_elementwise(op)
        || is_movement(op)
        || matches!(op, Op::Full(_) | Op::Reduce(_) | Op::Pad(_) | Op::Concat(_) | Op::Clamp(_))
}

impl Halves {
    /// Finds the halves: the second begins where most bytes are alive. `None` for a program whose values are not
    /// waited for.
    pub(super) fn find(graph: &Graph) -> Option<Self> {
        let made = definitions(graph);
        let n = graph.eqns().len();
        // A view is its operand, a constant nothing.
        let mut root: Vec<Option<Var>> = vec![None; graph.types().len()];
        for eqn in graph.eqns() {
            for &v in &eqn.outputs {
                root[v.index()] = match &eqn.op {
                    Op::Full(_) => None,
                    op if is_movement(op) => root[eqn.inputs[0].index()],
                    _ => Some(v),
                };
            }
        }
        let mut last: Vec<usize> = vec![0; graph.types().len()];
        for (i, eqn) in graph.eqns().iter().enumerate() {
            for v in &eqn.inputs {
                if let Some(r) = root[v.index()] {
                    last[r.index()] = i;
                }
            }
        }
        let mut change = vec![0isize; n + 1];
        for (i, eqn) in graph.eqns().iter().enumerate() {
            for &v in eqn.outputs.iter().filter(|v| root[v.index()] == Some(**v)) {
                if last[v.index()] > i + 1 {
                    change[i + 1] += graph.ty(v).bytes() as isize;
                    change[last[v.index()]] -= graph.ty(v).bytes() as isize;
                }
            }
        }
        let (mut now, mut most, mut at) = (0, 0, None);
        for (i, c) in change.iter().enumerate() {
            now += c;
            if now > most {
                (most, at) = (now, Some(i));
            }
        }
        let at = at?;
        let mut available = vec![true; graph.types().len()];
        for eqn in &graph.eqns()[at..] {
            let here = is_cheap(&eqn.op) && eqn.inputs.iter().all(|v| available[v.index()]);
            for v in &eqn.outputs {
                available[v.index()] = here;
            }
        }
        Some(Halves { at, available, made })
    }

    /// The program as it is, divided at the boundary.
    pub(super) fn as_it_is(&self, graph: &Graph) -> Staged {
        let stages = (0..graph.eqns().len()).map(|i| u32::from(i >= self.at)).collect();
        Staged { graph: graph.clone(), stages }
    }
}
