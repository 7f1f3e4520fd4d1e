//! The forward pass as a chain of stages: the values that cross from one to the next, and those that the backward pass
//! through each reads.
//!
//! A stage can be recomputed from the values that cross into it; its part of the backward pass can run once its *kept*
//! values are available: those from which everything it reads is computed again. Each of several choices of kept values
//! ([`super::curve`]) has its own bytes and time.

use std::collections::HashSet;

use gradus_core::{Graph, PhaseKind, Var};

use super::back::Back;
use super::borders::{Life, lives};
use super::boundary::{Boundary, roots};
use super::curve::Choice;
use crate::packed::waiting_bytes;

/// The share of the time of the forward pass above which an equation is expensive.
const DEAR: f64 = 0.004;

/// Distinct buffers with their bytes, in the order of their values.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Buffers(Vec<(usize, usize)>);

impl Buffers {
    /// Bytes of the buffers that are not among those of `other`.
    pub(super) fn beyond(&self, other: &Buffers) -> usize {
        let mut rest = other.0.iter().peekable();
        let mut total = 0;
        for &(root, bytes) in &self.0 {
            while rest.next_if(|o| o.0 < root).is_some() {}
            if rest.peek().is_none_or(|o| o.0 != root) {
                total += bytes;
            }
        }
        total
    }

    /// All bytes.
    pub(super) fn bytes(&self) -> usize {
        self.0.iter().map(|b| b.1).sum()
    }
}

/// One choice of the values that the backward pass through a stage reads or recomputes from.
#[derive(Clone, Debug)]
pub(super) struct RecomputeOption {
    /// Kept values, from which the rest is computed again.
    pub(super) kept: Vec<Var>,
    /// Their buffers.
    pub(super) held: Buffers,
    /// Seconds of computing the rest.
    pub(super) again: f64,
    /// Seconds of computing them from what crosses into the stage.
    pub(super) alone: f64,
    /// Seconds of computing them and what crosses into the next stage.
    pub(super) both: f64,
    /// The equations among it that take long.
    pub(super) dear: Vec<usize>,
    /// The most bytes alive, besides the kept values.
    pub(super) bytes: usize,
}

/// A stage.
pub(super) struct Stage {
    /// Its first equation.
    pub(super) from: usize,
    /// Values that cross into it.
    pub(super) crossing: Vec<Var>,
    /// Their buffers.
    pub(super) held: Buffers,
    /// Seconds of computing the values that cross into the next stage from those.
    pub(super) seconds: f64,
    /// The different options for its backward pass.
    pub(super) options: Vec<RecomputeOption>,
    /// For each choice of kept values, its option.
    pub(super) option_of: Vec<usize>,
    /// The equations of its backward pass.
    pub(super) back: Vec<usize>,
}

/// The forward pass, cut into stages.
pub(super) struct Chain<'a> {
    pub(super) graph: &'a Graph,
    pub(super) boundary: &'a Boundary,
    pub(super) stages: Vec<Stage>,
    /// Values that are read so late that they are kept throughout.
    pub(super) always: Vec<Var>,
    /// For each value, its stage; for one recomputed from others, the last of their stages.
    pub(super) stage_of: Vec<usize>,
    /// For each value, the one in whose buffer it lies.
    root: Vec<Option<Var>>,
    /// For each value, whether it is a result, whose buffer is allocated in any case.
    pub(super) returned: Vec<bool>,
}

impl<'a> Chain<'a> {
    /// Cuts the forward pass at `starts`; `choices` are sets of kept values.
    pub(super) fn new(
        graph: &'a Graph,
        boundary: &'a Boundary,
        nanos: &[f64],
        starts: &[usize],
        choices: &[Choice],
    ) -> Self {
        let n = graph.types().len();
        let mut returned = vec![false; n];
        graph.outputs().iter().for_each(|v| returned[v.index()] = true);
        let mut chain = Chain {
            graph,
            boundary,
            stages: Vec::new(),
            always: Vec::new(),
            stage_of: vec![0; n],
            root: roots(graph),
            returned,
        };
        let lives = lives(graph, boundary, &chain.root);
        let stage = |&from: &usize| {
            let crossing = crossing(graph, &lives, from);
            let held = chain.buffers(&crossing);
            Stage {
                from,
                crossing,
                held,
                seconds: 0.0,
                options: Vec::new(),
                option_of: Vec::new(),
                back: Vec::new(),
            }
        };
        chain.stages = starts.iter().map(stage).collect();
        chain.place();
        chain.find_back(&lives);
        chain.find_options(nanos, choices);
        chain
    }

    /// The buffers of values, without those of results, which are allocated in any case.
    fn buffers(&self, values: &[Var]) -> Buffers {
        let roots = values.iter().filter_map(|v| self.root[v.index()]);
        let mut all: Vec<(usize, usize)> = roots
            .filter(|r| !self.returned[r.index()])
            .map(|r| (r.index(), waiting_bytes(self.graph.ty(r))))
            .collect();
        all.sort_unstable();
        all.dedup();
        Buffers(all)
    }

    /// Sets the stage of each value.
    fn place(&mut self) {
        let starts: Vec<usize> = self.stages.iter().map(|s| s.from).collect();
        for (i, eqn) in self.graph.eqns().iter().enumerate() {
            let stage = if i < self.boundary.at {
                starts.partition_point(|&s| s <= i) - 1
            } else {
                eqn.inputs.iter().map(|v| self.stage_of[v.index()]).max().unwrap_or(0)
            };
            for v in &eqn.outputs {
                self.stage_of[v.index()] = stage;
            }
        }
    }

    /// Divides the backward pass among the stages: an equation belongs to the last stage that it or a later equation
    /// reads from.
    fn find_back(&mut self, lives: &[Option<Life>]) {
        let (graph, boundary) = (self.graph, self.boundary);
        let second: Vec<usize> = (boundary.at..graph.eqns().len())
            .filter(|&i| !boundary.available[graph.eqns()[i].outputs[0].index()])
            .collect();
        let mut stage = 0;
        let mut always = vec![false; graph.types().len()];
        for &i in second.iter().rev() {
            let eqn = &graph.eqns()[i];
            let made = |v: &Var| boundary.made[v.index()].is_some() && boundary.available[v.index()];
            let of_first: Vec<Var> = eqn.inputs.iter().copied().filter(made).collect();
            if boundary.parts[i] == PhaseKind::Backward {
                stage = of_first.iter().map(|v| self.stage_of[v.index()]).max().unwrap_or(0).max(stage);
            }
            for v in of_first {
                let own = self.stage_of[v.index()];
                let crosses = |r: Var| lives[r.index()].is_some_and(|l| l.last >= self.stages[stage].from);
                let at_hand = own == stage || own < stage && self.root[v.index()].is_none_or(crosses);
                always[v.index()] |= !at_hand && boundary.made[v.index()].is_some_and(|m| m < boundary.at);
            }
            self.stages[stage].back.push(i);
        }
        self.stages.iter_mut().for_each(|s| s.back.reverse());
        self.always = graph.eqns().iter().flat_map(|e| e.outputs.iter().copied()).collect();
        self.always.retain(|v| always[v.index()]);
    }

    /// Finds the options of each stage: which kept values its backward pass uses under each choice, and at what cost.
    fn find_options(&mut self, nanos: &[f64], choices: &[Choice]) {
        let (graph, boundary) = (self.graph, self.boundary);
        let mut seen = vec![usize::MAX; graph.types().len()];
        let mut searches = 0;
        let dear = nanos[..boundary.at].iter().sum::<f64>() * DEAR;
        let mut backs = Back::new(graph, boundary);
        for s in 0..self.stages.len() {
            let mut options: Vec<RecomputeOption> = Vec::with_capacity(choices.len());
            let mut option_of = Vec::with_capacity(choices.len());
            let next = self.stages.get(s + 1).map_or(&[][..], |s| &s.crossing);
            for choice in choices {
                let mut kept = Vec::new();
                let back = &self.stages[s].back;
                let mut pending: Vec<Var> =
                    back.iter().flat_map(|&i| graph.eqns()[i].inputs.iter().copied()).collect();
                while let Some(v) = pending.pop() {
                    let Some(i) = boundary.made[v.index()].filter(|_| boundary.available[v.index()]) else {
                        continue;
                    };
                    if std::mem::replace(&mut seen[v.index()], searches) == searches {
                        continue;
                    }
                    if choice.kept[v.index()] {
                        kept.push(v);
                    } else if !self.returned[v.index()] {
                        pending.extend(&graph.eqns()[i].inputs);
                    }
                }
                searches += 1;
                kept.sort_unstable();
                let same = options.iter().position(|w| w.kept == kept);
                option_of.push(same.unwrap_or(options.len()));
                if same.is_none() {
                    let (bytes, mut run) = backs.peak(back, &kept);
                    let again = run.iter().map(|&i| nanos[i]).sum::<f64>() * 1e-9;
                    run.retain(|&i| nanos[i] > dear);
                    let alone = self.seconds(s, nanos, &[&kept]);
                    let both = self.seconds(s, nanos, &[&kept, next]);
                    options.push(RecomputeOption {
                        held: self.buffers(&kept),
                        kept,
                        again,
                        alone,
                        both,
                        dear: run,
                        bytes,
                    });
                }
            }
            self.stages[s].seconds = self.seconds(s, nanos, &[next]);
            self.stages[s].options = options;
            self.stages[s].option_of = option_of;
        }
    }
}

impl Chain<'_> {
    /// Seconds of computing values from what crosses into a stage.
    fn seconds(&self, stage: usize, nanos: &[f64], targets: &[&[Var]]) -> f64 {
        let (graph, from) = (self.graph, self.stages[stage].from);
        let mut wanted: HashSet<usize> = HashSet::new();
        let mut pending: Vec<Var> = targets.iter().flat_map(|t| t.iter().copied()).collect();
        let mut total = 0.0;
        while let Some(v) = pending.pop() {
            // What is older is at hand, or is always.
            let Some(i) = self.boundary.made[v.index()].filter(|&i| i >= from) else { continue };
            if wanted.insert(i) {
                total += nanos[i];
                pending.extend(&graph.eqns()[i].inputs);
            }
        }
        total * 1e-9
    }
}

/// The values alive before equation `at`.
fn crossing(graph: &Graph, lives: &[Option<Life>], at: usize) -> Vec<Var> {
    let alive = |v: &Var| lives[v.index()].is_some_and(|l| l.last >= at);
    graph.eqns()[..at].iter().flat_map(|e| e.outputs.iter().copied()).filter(alive).collect()
}
