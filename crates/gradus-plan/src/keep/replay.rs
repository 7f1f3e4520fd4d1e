//! A schedule written into the program: each run of a stage becomes equations of its own.

use std::collections::HashSet;

use gradus_core::{Phase, Result, Var};

use super::Staged;
use super::chain::Chain;
use super::schedule::Event;
use crate::passes::Copier;

/// A program in the making.
struct Replay<'a> {
    chain: &'a Chain<'a>,
    copy: Copier<'a>,
    /// For each value, whether its newest copy may be read.
    at_hand: Vec<bool>,
    /// How many events keep each value.
    held: Vec<u32>,
    /// Available values that are freed when nothing keeps them.
    passing: Vec<Var>,
    /// Marks of a search.
    seen: Vec<bool>,
}

/// The program that follows a schedule.
pub(super) fn replay(chain: &Chain<'_>, events: &[Event]) -> Result<Staged> {
    let graph = chain.graph;
    let n = graph.types().len();
    let mut at_hand = vec![false; n];
    graph.inputs().iter().for_each(|v| at_hand[v.index()] = true);
    let mut held = vec![0; n];
    chain.always.iter().for_each(|v| held[v.index()] += 1);
    let copy = Copier::new(graph);
    let mut r = Replay { chain, copy, at_hand, held, passing: Vec::new(), seen: vec![false; n] };
    // The first run also computes the results and the values kept throughout.
    let first_of = |v: &Var| chain.boundary.available[v.index()] && chain.boundary.made[v.index()].is_some();
    let mut wanted: Vec<Var> =
        graph.outputs().iter().chain(&chain.always).copied().filter(first_of).collect();
    // Recomputation for later and equations of the backward pass never share a kernel: one would have to stay in memory
    // until the other runs, with all operands.
    let mut stages: Vec<u32> = Vec::new();
    let mut stage = 0;
    for event in events {
        let back = matches!(event, Event::Back(_));
        if !matches!(event, Event::Release(_)) && back != (stage % 2 == 1) {
            if stage == 0 {
                r.demand(&std::mem::take(&mut wanted), None)?;
            }
            stages.resize(r.copy.b.graph().eqns().len(), stage);
            stage += 1;
        }
        match event {
            Event::Forward(range, keep) => {
                let next = chain.stages.get(range.end).map_or(&[][..], |s| &s.crossing);
                let mut targets: Vec<Var> = keep.iter().chain(next).copied().collect();
                wanted.retain(|v| {
                    let now = chain.stage_of[v.index()] < range.end;
                    if now {
                        targets.push(*v);
                    }
                    !now
                });
                r.demand(&targets, (stage > 0).then(|| Phase::backward(chain.boundary.level)))?;
                keep.iter().for_each(|v| r.held[v.index()] += 1);
                r.let_go(next);
            }
            Event::Back(stage) => {
                for &i in &chain.stages[*stage].back {
                    let eqn = &graph.eqns()[i];
                    r.demand(&eqn.inputs, Some(eqn.phase))?;
                    r.copy.copy(eqn)?;
                    eqn.outputs.iter().for_each(|v| r.at_hand[v.index()] = true);
                }
                r.let_go(&[]);
            }
            Event::Release(values) => {
                for v in values {
                    r.held[v.index()] -= 1;
                    r.passing.push(*v);
                }
                r.let_go(&[]);
            }
        }
    }
    stages.resize(r.copy.b.graph().eqns().len(), stage);
    let (graph, stages) = r.copy.finish_staged(graph.outputs(), stages);
    Ok(Staged { graph, stages })
}

impl Replay<'_> {
    /// Makes values available: recomputes those operands that are not, in the order of the program, for a phase if
    /// there is one.
    fn demand(&mut self, values: &[Var], again: Option<Phase>) -> Result<()> {
        let (graph, boundary) = (self.chain.graph, self.chain.boundary);
        let mut pending: Vec<Var> = values.to_vec();
        let mut eqns: Vec<usize> = Vec::new();
        while let Some(v) = pending.pop() {
            let Some(i) = boundary.made[v.index()].filter(|_| !self.at_hand[v.index()]) else { continue };
            if !std::mem::replace(&mut self.seen[v.index()], true) {
                eqns.push(i);
                pending.extend(&graph.eqns()[i].inputs);
            }
        }
        eqns.sort_unstable();
        eqns.dedup();
        for i in eqns {
            let eqn = &graph.eqns()[i];
            // One of several results may be available already and keeps its copy.
            let known = eqn.outputs.iter().filter(|v| self.at_hand[v.index()]);
            let known: Vec<(Var, Var)> = known.map(|&v| (v, self.copy.get(v))).collect();
            self.copy.copy_in(eqn, again.unwrap_or(eqn.phase))?;
            known.into_iter().for_each(|(v, copy)| self.copy.set(v, copy));
            for v in &eqn.outputs {
                self.seen[v.index()] = false;
                if !std::mem::replace(&mut self.at_hand[v.index()], true) {
                    self.passing.push(*v);
                }
            }
        }
        Ok(())
    }

    /// Frees values that nothing keeps, except `next`.
    fn let_go(&mut self, next: &[Var]) {
        let mut stay = Vec::new();
        let next: HashSet<Var> = next.iter().copied().collect();
        for v in std::mem::take(&mut self.passing) {
            if next.contains(&v) {
                stay.push(v);
            } else if self.held[v.index()] == 0 && !self.chain.returned[v.index()] {
                self.at_hand[v.index()] = false;
            }
        }
        self.passing = stay;
    }
}
