//! The memory of the backward pass through a stage besides the kept values.
//!
//! The backward pass recomputes the values that it reads and that are not kept, each before its first reader, and frees
//! it after its last one. A value that only element-wise equations read never reaches memory; an element-wise result
//! takes the buffer of an operand that it reads last. The fused program behaves nearly the same: this estimate ranks
//! schedules, finished plans decide.

use gradus_core::ops::Op;
use gradus_core::{Graph, Var};

use super::boundary::{Boundary, roots};
use crate::fuse::{is_elementwise, is_movement};
use crate::packed::waiting_bytes;

/// Whether an equation can be a part of a fused kernel.
fn fuses(op: &Op) -> bool {
    is_elementwise(op) || is_movement(op) || matches!(op, Op::Full(_) | Op::Reduce(_))
}

/// When a value is computed and last read, by positions in a run of equations, and whether anything but element-wise
/// equations reads it.
#[derive(Clone, Copy)]
struct Span {
    from: usize,
    to: usize,
    whole: bool,
}

/// The backward pass, with the bytes alive in it.
pub(super) struct Back<'a> {
    graph: &'a Graph,
    boundary: &'a Boundary,
    root: Vec<Option<Var>>,
    returned: Vec<bool>,
    /// Bytes of the backward pass alive during each of its equations.
    alive: Vec<usize>,
    /// For each value, the last search that has visited it.
    seen: Vec<usize>,
    searches: usize,
    /// For each value of the current query, when it is alive; empty between queries.
    spans: Vec<Option<Span>>,
}

impl<'a> Back<'a> {
    pub(super) fn new(graph: &'a Graph, boundary: &'a Boundary) -> Self {
        let n = graph.types().len();
        let mut returned = vec![false; n];
        graph.outputs().iter().for_each(|v| returned[v.index()] = true);
        let (root, alive, seen, spans) = (roots(graph), Vec::new(), vec![0; n], vec![None; n]);
        let mut back = Back { graph, boundary, root, returned, alive, seen, searches: 0, spans };
        let all: Vec<usize> = (0..graph.eqns().len()).collect();
        back.alive = back.curve(&all, |v| !boundary.available[v.index()]);
        back
    }

    /// The most bytes alive in the backward pass through these equations when the `kept` values are available, and the
    /// equations that are recomputed for it.
    pub(super) fn peak(&mut self, back: &[usize], kept: &[Var]) -> (usize, Vec<usize>) {
        let (graph, boundary) = (self.graph, self.boundary);
        self.searches += 1;
        let search = self.searches;
        kept.iter().for_each(|v| self.seen[v.index()] = search);
        let (mut order, mut again) = (Vec::new(), Vec::new());
        let (mut pending, mut here) = (Vec::new(), Vec::new());
        for &i in back {
            pending.extend(graph.eqns()[i].inputs.iter().copied());
            while let Some(v) = pending.pop() {
                let unknown = boundary.available[v.index()] && !self.returned[v.index()];
                let Some(made) = boundary.made[v.index()].filter(|_| unknown) else { continue };
                if std::mem::replace(&mut self.seen[v.index()], search) != search {
                    here.push(made);
                    pending.extend(graph.eqns()[made].inputs.iter().copied());
                }
            }
            here.sort_unstable();
            here.dedup();
            again.extend(here.iter().copied());
            order.append(&mut here);
            order.push(i);
        }
        // Recomputed values are alive together with those of the backward pass at its next equation.
        let extra = self.curve(&order, |v| boundary.available[v.index()]);
        let mut second = 0;
        let mut most = 0;
        for (&i, extra) in order.iter().zip(&extra).rev() {
            if i >= boundary.at && !boundary.available[graph.eqns()[i].outputs[0].index()] {
                second = self.alive[i];
            }
            most = most.max(second + extra);
        }
        (most, again)
    }

    /// The bytes of the values selected by `counts` that are alive during each of a run of equations.
    fn curve(&mut self, order: &[usize], counts: impl Fn(Var) -> bool) -> Vec<usize> {
        let graph = self.graph;
        for (at, &i) in order.iter().enumerate() {
            let eqn = &graph.eqns()[i];
            let alone = !fuses(&eqn.op);
            for r in eqn.inputs.iter().filter_map(|v| self.root[v.index()]) {
                if let Some(span) = &mut self.spans[r.index()] {
                    span.to = at;
                    span.whole |= alone;
                }
            }
            for &v in eqn.outputs.iter().filter(|v| self.root[v.index()] == Some(**v)) {
                if counts(v) && !self.returned[v.index()] {
                    self.spans[v.index()] = Some(Span { from: at, to: at, whole: alone });
                }
            }
        }
        let in_memory = |v: &Var| self.spans[v.index()].filter(|s| s.whole);
        let mut change = vec![0isize; order.len() + 1];
        for v in order.iter().flat_map(|&i| &graph.eqns()[i].outputs) {
            if let Some(span) = in_memory(v) {
                change[span.from] += waiting_bytes(graph.ty(*v)) as isize;
                change[span.to + 1] -= waiting_bytes(graph.ty(*v)) as isize;
            }
        }
        let mut now = 0;
        let mut out = Vec::with_capacity(order.len());
        for (at, &i) in order.iter().enumerate() {
            now += change[at];
            let eqn = &graph.eqns()[i];
            let result = eqn.outputs[0];
            let bytes = waiting_bytes(graph.ty(result));
            let ends =
                |r: &Var| in_memory(r).is_some_and(|s| s.to == at) && waiting_bytes(graph.ty(*r)) == bytes;
            let takes_over = is_elementwise(&eqn.op)
                && in_memory(&result).is_some()
                && eqn.inputs.iter().filter_map(|v| self.root[v.index()]).any(|r| ends(&r));
            out.push((now - if takes_over { bytes as isize } else { 0 }) as usize);
        }
        for v in order.iter().flat_map(|&i| &graph.eqns()[i].outputs) {
            self.spans[v.index()] = None;
        }
        out
    }
}
