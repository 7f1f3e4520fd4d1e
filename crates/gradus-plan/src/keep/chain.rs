//! The first half as a chain of stages: what crosses from one to the next, and what the way back through each reads.
//!
//! Stages begin where little is alive. A stage can be run again from what crosses into it; its part of the second half
//! can be run when what it *needs* is at hand: the kept values from which everything it reads is computed cheaply. Each
//! of several choices of kept values ([`super::cut`]) needs other bytes and other time.

use gradus_core::ops::Op;
use gradus_core::{Graph, Type, Var};

use super::boundary::{Halves, Part, is_cheap, roots};
use super::cut::nanos;
use crate::fuse::{is_elementwise, is_movement};
use crate::packed::waiting_bytes;

/// The most stages; longer programs have longer stages.
const MOST: usize = 48;

/// A stage.
pub(super) struct Stage {
    /// Its first equation.
    pub(super) from: usize,
    /// Values that cross into it.
    pub(super) crossing: Vec<Var>,
    /// Seconds of running it.
    pub(super) seconds: f64,
    /// For each choice of kept values, those that its way back needs.
    pub(super) needs: Vec<Vec<Var>>,
    /// For each choice, seconds of computing the rest from them.
    pub(super) again: Vec<f64>,
    /// The equations of its way back.
    pub(super) back: Vec<usize>,
    /// Bytes alive at most on its way back, besides what it needs.
    pub(super) back_bytes: usize,
}

/// The first half, cut into stages.
pub(super) struct Chain<'a> {
    pub(super) graph: &'a Graph,
    pub(super) halves: &'a Halves,
    pub(super) stages: Vec<Stage>,
    /// Values that are read so late that they are kept throughout.
    pub(super) always: Vec<Var>,
    /// For each value, its stage; for what is computed later from others, the last of theirs.
    pub(super) stage_of: Vec<usize>,
    /// For each value, the one in whose buffer it lies.
    root: Vec<Option<Var>>,
    /// For each value, whether it is a result: its buffer is there anyway.
    pub(super) returned: Vec<bool>,
}

/// The first and the last reader of a buffer within the first half.
#[derive(Clone, Copy)]
struct Life {
    made: usize,
    last: usize,
}

impl<'a> Chain<'a> {
    /// Cuts the first half; `choices` are sets of kept values, the last of which keeps least. `None` if nothing is
    /// kept.
    pub(super) fn new(graph: &'a Graph, halves: &'a Halves, choices: &[Vec<bool>]) -> Option<Self> {
        let n = graph.types().len();
        let root = roots(graph);
        let mut returned = vec![false; n];
        graph.outputs().iter().for_each(|v| returned[v.index()] = true);
        let mut chain = Chain {
            graph,
            halves,
            stages: Vec::new(),
            always: Vec::new(),
            stage_of: vec![0; n],
            root,
            returned,
        };
        let lives = chain.lives();
        let starts = chain.starts(&lives, choices.last()?)?;
        chain.stages = starts
            .iter()
            .map(|&from| Stage {
                from,
                crossing: crossing(graph, &lives, from),
                seconds: 0.0,
                needs: Vec::new(),
                again: Vec::new(),
                back: Vec::new(),
                back_bytes: 0,
            })
            .collect();
        chain.place();
        chain.find_back(&lives);
        for kept in choices {
            chain.find_needs(kept);
        }
        chain.measure_back(choices.last()?);
        Some(chain)
    }

    /// Bytes of the buffers of these values that are not among `but`.
    pub(super) fn bytes(&self, values: &[Var], but: &[Var]) -> usize {
        let mut seen: Vec<Var> = but.iter().filter_map(|v| self.root[v.index()]).collect();
        let mut total = 0;
        for r in values.iter().filter_map(|v| self.root[v.index()]) {
            if !seen.contains(&r) && !self.returned[r.index()] {
                seen.push(r);
                total += waiting_bytes(self.graph.ty(r));
            }
        }
        total
    }

    fn lives(&self) -> Vec<Option<Life>> {
        let mut lives: Vec<Option<Life>> = vec![None; self.graph.types().len()];
        for (i, eqn) in self.graph.eqns()[..self.halves.at].iter().enumerate() {
            for r in eqn.inputs.iter().filter_map(|v| self.root[v.index()]) {
                if let Some(life) = &mut lives[r.index()] {
                    life.last = i;
                }
            }
            for v in eqn.outputs.iter().filter(|v| self.root[v.index()] == Some(**v)) {
                lives[v.index()] = Some(Life { made: i, last: i });
            }
        }
        lives
    }

    /// Where stages begin: about equally many kept bytes in each, moved to where little is alive.
    fn starts(&self, lives: &[Option<Life>], least: &[bool]) -> Option<Vec<usize>> {
        let at = self.halves.at;
        let mut change = vec![0isize; at + 1];
        let mut kept_at = vec![0usize; at];
        for (v, life) in lives.iter().enumerate() {
            if let Some(life) = life.filter(|_| !self.returned[v]) {
                change[life.made + 1] += self.graph.types()[v].bytes() as isize;
                change[life.last + 1] -= self.graph.types()[v].bytes() as isize;
            }
            if least[v]
                && let Some(i) = self.halves.made[v].filter(|&i| i < at)
            {
                kept_at[i] += self.graph.types()[v].bytes();
            }
        }
        let total: usize = kept_at.iter().sum();
        if total == 0 {
            return None;
        }
        let mut now = 0;
        let alive: Vec<isize> = change
            .iter()
            .map(|c| {
                now += c;
                now
            })
            .collect();
        let reach = at / (2 * MOST) + 2;
        let mut starts = vec![0];
        let (mut sum, mut marks) = (0, 1);
        for (i, bytes) in kept_at.iter().enumerate() {
            sum += bytes;
            if sum * MOST >= total * marks && *bytes > 0 {
                marks = sum * MOST / total + 1;
                let m = i + 1;
                let near = m.saturating_sub(reach).max(1)..(m + reach).min(at);
                starts.extend(near.min_by_key(|&i| (alive[i], i.abs_diff(m))));
            }
        }
        starts.sort_unstable();
        starts.dedup();
        Some(starts)
    }

    /// Says for each value which stage it belongs to, and what stages take.
    fn place(&mut self) {
        let starts: Vec<usize> = self.stages.iter().map(|s| s.from).collect();
        for (i, eqn) in self.graph.eqns().iter().enumerate() {
            let stage = if i < self.halves.at {
                let stage = starts.partition_point(|&s| s <= i) - 1;
                self.stages[stage].seconds += seconds(self.graph, i);
                stage
            } else {
                eqn.inputs.iter().map(|v| self.stage_of[v.index()]).max().unwrap_or(0)
            };
            for v in &eqn.outputs {
                self.stage_of[v.index()] = stage;
            }
        }
    }

    /// Divides the second half: an equation belongs to the last stage that it or one after it reads.
    fn find_back(&mut self, lives: &[Option<Life>]) {
        let (graph, halves) = (self.graph, self.halves);
        let second: Vec<usize> = (halves.at..graph.eqns().len())
            .filter(|&i| !halves.available[graph.eqns()[i].outputs[0].index()])
            .collect();
        let mut stage = 0;
        let mut always = vec![false; graph.types().len()];
        for &i in second.iter().rev() {
            let eqn = &graph.eqns()[i];
            let made = |v: &Var| halves.made[v.index()].is_some() && halves.available[v.index()];
            let of_first: Vec<Var> = eqn.inputs.iter().copied().filter(made).collect();
            if halves.parts[i] == Part::Back {
                stage = of_first.iter().map(|v| self.stage_of[v.index()]).max().unwrap_or(0).max(stage);
            }
            for v in of_first {
                let own = self.stage_of[v.index()];
                let crosses = |r: Var| lives[r.index()].is_some_and(|l| l.last >= self.stages[stage].from);
                let at_hand = own == stage || own < stage && self.root[v.index()].is_none_or(crosses);
                always[v.index()] |= !at_hand && halves.made[v.index()].is_some_and(|m| m < halves.at);
            }
            self.stages[stage].back.push(i);
        }
        self.stages.iter_mut().for_each(|s| s.back.reverse());
        self.always = graph.eqns().iter().flat_map(|e| e.outputs.iter().copied()).collect();
        self.always.retain(|v| always[v.index()]);
    }

    /// What the way back through each stage needs when these values are kept, and what is computed from them.
    fn find_needs(&mut self, kept: &[bool]) {
        let (graph, halves) = (self.graph, self.halves);
        let mut seen = vec![usize::MAX; graph.types().len()];
        for s in 0..self.stages.len() {
            let (mut needs, mut nano) = (Vec::new(), 0.0);
            let mut pending: Vec<Var> =
                self.stages[s].back.iter().flat_map(|&i| graph.eqns()[i].inputs.iter().copied()).collect();
            while let Some(v) = pending.pop() {
                let Some(i) = halves.made[v.index()].filter(|_| halves.available[v.index()]) else {
                    continue;
                };
                if std::mem::replace(&mut seen[v.index()], s) == s {
                    continue;
                }
                let eqn = &graph.eqns()[i];
                if kept[v.index()] || !is_cheap(&eqn.op) {
                    needs.push(v);
                } else if !self.returned[v.index()] {
                    nano += nanos(graph, i);
                    pending.extend(&eqn.inputs);
                }
            }
            needs.sort_unstable();
            self.stages[s].needs.push(needs);
            self.stages[s].again.push(nano * 1e-9);
        }
    }

    /// How many bytes the way back through each stage has alive, besides what is kept.
    fn measure_back(&mut self, least: &[bool]) {
        let (graph, halves) = (self.graph, self.halves);
        let second = |v: Var| !halves.available[v.index()] && !self.returned[v.index()];
        let mut last = vec![0; graph.types().len()];
        for (i, eqn) in graph.eqns().iter().enumerate().skip(halves.at) {
            for r in eqn.inputs.iter().filter_map(|v| self.root[v.index()]) {
                last[r.index()] = i;
            }
        }
        let mut change = vec![0isize; graph.eqns().len() + 1];
        for (i, eqn) in graph.eqns().iter().enumerate().skip(halves.at) {
            for v in eqn.outputs.iter().filter(|v| second(**v) && self.root[v.index()] == Some(**v)) {
                change[i] += graph.ty(*v).bytes() as isize;
                change[last[v.index()].max(i) + 1] -= graph.ty(*v).bytes() as isize;
            }
        }
        let mut now = 0;
        let mut alive = vec![0usize; graph.eqns().len()];
        for (alive, c) in alive.iter_mut().zip(&change) {
            now += c;
            *alive = now as usize;
        }
        for s in 0..self.stages.len() {
            let one = |&i: &usize| {
                let eqn = &graph.eqns()[i];
                if is_elementwise(&eqn.op) || is_movement(&eqn.op) || matches!(eqn.op, Op::Reduce(_)) {
                    // Element by element: an operand's last read makes room for the result.
                    return alive[i] / 2;
                }
                let whole = |v: &&Var| halves.available[v.index()] && !least[v.index()];
                let again: Vec<Var> = eqn.inputs.iter().filter(whole).copied().collect();
                alive[i] + self.bytes(&again, &[])
            };
            self.stages[s].back_bytes = self.stages[s].back.iter().map(one).max().unwrap_or(0);
        }
    }
}

/// The values alive before equation `at`.
fn crossing(graph: &Graph, lives: &[Option<Life>], at: usize) -> Vec<Var> {
    let alive = |v: &Var| lives[v.index()].is_some_and(|l| l.last >= at);
    graph.eqns()[..at].iter().flat_map(|e| e.outputs.iter().copied()).filter(alive).collect()
}

/// Estimated seconds of an equation of the first half.
fn seconds(graph: &Graph, i: usize) -> f64 {
    let eqn = &graph.eqns()[i];
    if is_elementwise(&eqn.op) || is_movement(&eqn.op) || matches!(eqn.op, Op::Full(_)) {
        return nanos(graph, i) * 1e-9;
    }
    let types = |vars: &[Var]| vars.iter().map(|&v| graph.ty(v).clone()).collect::<Vec<Type>>();
    let (inputs, outputs) = (types(&eqn.inputs), types(&eqn.outputs));
    let bytes: usize = inputs.iter().chain(&outputs).map(Type::bytes).sum();
    crate::plan::kernel_seconds(
        matches!(eqn.op, Op::Dot(_)),
        eqn.op.row().cost(&inputs, &outputs).flops,
        bytes as f64,
    )
}
