//! Copies a graph equation by equation, with changes.

use gradus_core::graph::{Eqn, Vars};
use gradus_core::ops::Op;
use gradus_core::{Builder, Graph, Origin, Phase, Result, Type, Var, transforms};

use crate::work;

/// A copy of a graph under construction: old values, and their new ones.
pub(crate) struct Copier<'a> {
    graph: &'a Graph,
    pub(crate) b: Builder,
    map: Vec<Option<Var>>,
}

impl<'a> Copier<'a> {
    /// A copy with the inputs of `graph`.
    pub(crate) fn new(graph: &'a Graph) -> Self {
        let mut b = Builder::sized(graph);
        let mut map = vec![None; graph.types().len()];
        for &v in graph.inputs() {
            map[v.index()] = Some(b.input(graph.ty(v).clone()));
        }
        Copier { graph, b, map }
    }

    /// What an old value has become.
    pub(crate) fn get(&self, v: Var) -> Var {
        self.map[v.index()].expect("operands come first")
    }

    /// Says what an old value has become.
    pub(crate) fn set(&mut self, v: Var, new: Var) {
        self.map[v.index()] = Some(new);
    }

    /// Emits an equation on old values.
    pub(crate) fn emit(&mut self, op: Op, inputs: &[Var], origin: Origin) -> Result<Vars> {
        if let Op::Full(full) = &op {
            let ty = Type::new(full.dtype, full.shape.clone());
            return Ok(Vars::from_slice(&[self.b.full(&ty, full.value)]));
        }
        work::count(1 + inputs.len());
        let args: Vars = inputs.iter().map(|&v| self.get(v)).collect();
        let outer = self.b.set_origin(origin);
        let out = self.b.emit(op, &args);
        self.b.set_origin(outer);
        out
    }

    /// Copies an equation of the graph as it is.
    pub(crate) fn copy(&mut self, eqn: &Eqn) -> Result<()> {
        self.copy_in(eqn, eqn.phase)
    }

    /// Copies an equation of the graph for a phase.
    pub(crate) fn copy_in(&mut self, eqn: &Eqn, phase: Phase) -> Result<()> {
        let origin = Origin { phase, ..eqn.origin() };
        let out = match &eqn.op {
            Op::Full(_) => self.emit(eqn.op.clone(), &[], origin)?,
            _ => {
                work::count(1 + eqn.inputs.len());
                let args: Vars = eqn.inputs.iter().map(|&v| self.get(v)).collect();
                let outer = self.b.set_origin(origin);
                let out = self.b.emit_same(self.graph, eqn, &args);
                self.b.set_origin(outer);
                out
            }
        };
        for (&old, &new) in eqn.outputs.iter().zip(&out) {
            self.set(old, new);
        }
        Ok(())
    }

    /// Closes the copy, without dead code.
    pub(crate) fn finish(self, outputs: &[Var]) -> Graph {
        let outputs = outputs.iter().map(|&v| self.get(v)).collect();
        transforms::prune(self.b.finish(outputs))
    }

    /// Finishes the copy, without dead code; also returns the `stages` of the remaining equations.
    pub(crate) fn finish_staged(self, outputs: &[Var], stages: Vec<u32>) -> (Graph, Vec<u32>) {
        let outputs: Vec<Var> = outputs.iter().map(|&v| self.get(v)).collect();
        let whole = self.b.finish(outputs);
        let mut live = vec![false; whole.types().len()];
        for v in whole.outputs() {
            live[v.index()] = true;
        }
        let mut left = Vec::with_capacity(stages.len());
        for (eqn, stage) in whole.eqns().iter().zip(stages).rev() {
            if eqn.outputs.iter().any(|v| live[v.index()]) {
                left.push(stage);
                for v in &eqn.inputs {
                    live[v.index()] = true;
                }
            }
        }
        left.reverse();
        (transforms::prune(whole), left)
    }
}
