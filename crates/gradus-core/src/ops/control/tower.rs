//! Replays under construction: levels of any direction, put in order before they become a primitive.
//!
//! What nobody reads is left out, a level without state with it, and neighbours that then go the same way become one
//! level: transposing a transposed loop gives a loop forward again.

use std::sync::Arc;

use super::Replay;
use crate::graph::Vars;
use crate::ops::call::inputs_like;
use crate::{Builder, Graph, Result, Type, Var};

/// A level: which way it goes, its initial state, and a step
/// `(t, constants, rows, states of the levels below, own state) -> own state`; the last level also gives rows.
pub(super) struct TowerLevel {
    pub(super) backward: bool,
    pub(super) initial: Vec<Var>,
    pub(super) step: Graph,
}

/// A replay and its operands.
pub(super) struct Tower {
    pub(super) trips: Var,
    pub(super) constants: Vec<Var>,
    pub(super) stacked: Vec<Var>,
    pub(super) length: usize,
    pub(super) slots: Option<usize>,
    pub(super) levels: Vec<TowerLevel>,
}

/// The equations of `graph` that the marked outputs need, with the marked inputs only, which must be enough.
pub(super) fn restrict(graph: &Graph, inputs: &[bool], outputs: &[bool]) -> Result<Graph> {
    let read = reads(graph, outputs);
    let mut b = Builder::new();
    let mut map: Vec<Option<Var>> = vec![None; graph.types().len()];
    for (v, _) in graph.inputs().iter().zip(inputs).filter(|(_, m)| **m) {
        map[v.index()] = Some(b.input(graph.ty(*v).clone()));
    }
    for eqn in graph.eqns().iter().filter(|e| e.outputs.iter().any(|v| read[v.index()])) {
        b.copy_eqn(graph, eqn, &mut map)?;
    }
    let kept = graph.outputs().iter().zip(outputs).filter(|(_, m)| **m);
    let outputs = kept.map(|(v, _)| map[v.index()].expect("outputs need marked inputs only")).collect();
    Ok(b.finish(outputs))
}

/// For each value, whether a marked output depends on it.
fn reads(graph: &Graph, outputs: &[bool]) -> Vec<bool> {
    let mut read = vec![false; graph.types().len()];
    for (v, &m) in graph.outputs().iter().zip(outputs) {
        read[v.index()] |= m;
    }
    for eqn in graph.eqns().iter().rev().filter(|e| !e.outputs.is_empty()) {
        if eqn.outputs.iter().any(|v| read[v.index()]) {
            for v in &eqn.inputs {
                read[v.index()] = true;
            }
        }
    }
    read
}

fn count(marks: &[bool]) -> usize {
    marks.iter().filter(|m| **m).count()
}

fn kept<T: Clone>(values: &[T], marks: &[bool]) -> Vec<T> {
    values.iter().zip(marks).filter(|(_, m)| **m).map(|(v, _)| v.clone()).collect()
}

/// Which parts of a tower somebody reads.
struct Required {
    constants: Vec<bool>,
    stacked: Vec<bool>,
    states: Vec<Vec<bool>>,
}

impl Tower {
    /// Emits the replay; gives those results of the last level, states then rows, that are `wanted`.
    pub(super) fn emit(mut self, b: &mut Builder, wanted: &[bool]) -> Result<Vec<Option<Var>>> {
        if count(wanted) == 0 {
            return Ok(vec![None; wanted.len()]);
        }
        let last = self.levels.len() - 1;
        let (states, rows) = wanted.split_at(self.levels[last].initial.len());
        let required = self.required(states, rows);
        self.restrict(&required, rows)?;
        // The results: states of the last level that it requires, then the rows wanted.
        let own = &required.states[last];
        self.merge()?;
        let before = self.levels[self.levels.len() - 1].initial.len() - count(own);
        let results = self.finish(b)?;
        let mut at = before;
        let mut out = Vec::new();
        for (&needed, &wanted) in own.iter().zip(states) {
            out.push(wanted.then(|| results[at]));
            at += usize::from(needed);
        }
        for &wanted in rows {
            out.push(wanted.then(|| results[at]));
            at += usize::from(wanted);
        }
        Ok(out)
    }

    fn required(&self, states: &[bool], rows: &[bool]) -> Required {
        let (n, m) = (self.constants.len(), self.stacked.len());
        let mut required = Required {
            constants: vec![false; n],
            stacked: vec![false; m],
            states: self.levels.iter().map(|l| vec![false; l.initial.len()]).collect(),
        };
        let last = self.levels.len() - 1;
        required.states[last].copy_from_slice(states);
        for k in (0..=last).rev() {
            let step = &self.levels[k].step;
            loop {
                let mut outputs = required.states[k].clone();
                if k == last {
                    outputs.extend(rows);
                }
                let read = reads(step, &outputs);
                let read: Vec<bool> = step.inputs().iter().map(|v| read[v.index()]).collect();
                let (constants, rest) = read[1..].split_at(n);
                let (stacked, mut rest) = rest.split_at(m);
                let mark = |marks: &mut [bool], read: &[bool]| {
                    marks.iter_mut().zip(read).for_each(|(m, r)| *m |= r);
                };
                mark(&mut required.constants, constants);
                mark(&mut required.stacked, stacked);
                let before = count(&required.states[k]);
                for states in &mut required.states[..=k] {
                    let (own, others) = rest.split_at(states.len());
                    mark(states, own);
                    rest = others;
                }
                if count(&required.states[k]) == before {
                    break;
                }
            }
        }
        required
    }

    /// Leaves out what is not needed, levels without state too, unless it is the last.
    fn restrict(&mut self, required: &Required, rows: &[bool]) -> Result<()> {
        let last = self.levels.len() - 1;
        let mut inputs = vec![true];
        inputs.extend(&required.constants);
        inputs.extend(&required.stacked);
        for (k, level) in self.levels.iter_mut().enumerate() {
            inputs.extend(&required.states[k]);
            let mut outputs = required.states[k].clone();
            if k == last {
                outputs.extend(rows);
            }
            level.step = restrict(&level.step, &inputs, &outputs)?;
            level.initial = kept(&level.initial, &required.states[k]);
        }
        self.constants = kept(&self.constants, &required.constants);
        self.stacked = kept(&self.stacked, &required.stacked);
        let mut at = 0;
        self.levels.retain(|level| {
            at += 1;
            at == last + 1 || !level.initial.is_empty()
        });
        Ok(())
    }

    /// Makes one level of neighbours that go the same way.
    fn merge(&mut self) -> Result<()> {
        let mut out: Vec<TowerLevel> = Vec::new();
        for level in self.levels.drain(..) {
            match out.last_mut() {
                Some(below) if below.backward == level.backward => {
                    let mut f = Builder::new();
                    let args = inputs_like(&mut f, level.step.input_types());
                    let without_own = args.len() - level.initial.len();
                    let mut results = f.inline(&below.step, &args[..without_own])?;
                    results.extend(f.inline(&level.step, &args)?);
                    below.step = f.finish(results);
                    below.initial.extend(level.initial);
                }
                _ => out.push(level),
            }
        }
        self.levels = out;
        Ok(())
    }

    fn finish(self, b: &mut Builder) -> Result<Vars> {
        let replay = Replay {
            constants: self.constants.len(),
            stacked: self.stacked.len(),
            length: self.length,
            reverse: self.levels[0].backward,
            slots: self.slots,
            levels: self.levels.iter().map(|l| Arc::new(l.step.clone())).collect(),
        };
        let states = self.levels.iter().flat_map(|l| l.initial.iter().copied());
        let operands: Vars =
            std::iter::once(self.trips).chain(self.constants).chain(self.stacked).chain(states).collect();
        b.emit(replay, &operands)
    }
}

/// The inputs of a level's step in a builder, kind by kind.
pub(super) struct Inputs {
    pub(super) t: Var,
    pub(super) constants: Vec<Var>,
    pub(super) rows: Vec<Var>,
    pub(super) states: Vec<Vec<Var>>,
}

impl Inputs {
    /// New inputs of these types.
    pub(super) fn new(f: &mut Builder, constants: &[Type], rows: &[Type], states: &[Vec<Type>]) -> Self {
        let t = f.input(Type::new(crate::DType::I64, []));
        let constants = inputs_like(f, constants.iter().cloned());
        let rows = inputs_like(f, rows.iter().cloned());
        let states = states.iter().map(|s| inputs_like(f, s.iter().cloned())).collect();
        Inputs { t, constants, rows, states }
    }
}
