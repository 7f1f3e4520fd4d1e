//! Where the forward pass is cut into stages.
//!
//! Stages begin where few bytes are alive, and contain about equally many kept bytes. Where much of a stage is
//! recomputed from few values, a border inside would make both sides recompute it, so choices that keep less have
//! longer stages, without those borders.

use std::collections::HashMap;

use gradus_core::{Graph, Var};

use super::boundary::{Boundary, roots};
use super::chain::Chain;

/// The most stages; longer programs have longer stages.
const MOST: usize = 48;

/// The first and the last reader of a buffer within the forward pass.
#[derive(Clone, Copy)]
pub(super) struct Life {
    pub(super) made: usize,
    pub(super) last: usize,
}

/// The lifetimes of the buffers of the forward pass within it.
pub(super) fn lives(graph: &Graph, boundary: &Boundary, root: &[Option<Var>]) -> Vec<Option<Life>> {
    let mut lives: Vec<Option<Life>> = vec![None; graph.types().len()];
    for (i, eqn) in graph.eqns()[..boundary.at].iter().enumerate() {
        for r in eqn.inputs.iter().filter_map(|v| root[v.index()]) {
            if let Some(life) = &mut lives[r.index()] {
                life.last = i;
            }
        }
        for v in eqn.outputs.iter().filter(|v| root[v.index()] == Some(**v)) {
            lives[v.index()] = Some(Life { made: i, last: i });
        }
    }
    lives
}

/// Where stages begin: each contains about equally many of the bytes that `kept` keeps, with borders moved to where few
/// bytes are alive. `None` if nothing is kept.
pub(super) fn even(graph: &Graph, boundary: &Boundary, kept: &[bool]) -> Option<Vec<usize>> {
    let at = boundary.at;
    let mut change = vec![0isize; at + 1];
    let mut kept_at = vec![0usize; at];
    let lives = lives(graph, boundary, &roots(graph));
    let mut returned = vec![false; graph.types().len()];
    graph.outputs().iter().for_each(|v| returned[v.index()] = true);
    for (v, ty) in graph.types().iter().enumerate() {
        if let Some(life) = lives[v].filter(|_| !returned[v]) {
            change[life.made + 1] += ty.bytes() as isize;
            change[life.last + 1] -= ty.bytes() as isize;
        }
        if let Some(i) = boundary.made[v].filter(|&i| kept[v] && i < at) {
            kept_at[i] += ty.bytes();
        }
    }
    let total: usize = kept_at.iter().sum();
    if total == 0 {
        return None;
    }
    let mut now = 0;
    let mut sum_up = |c: &isize| {
        now += c;
        now
    };
    let alive: Vec<isize> = change.iter().map(&mut sum_up).collect();
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

/// The starts of the stages of a chain for a choice, without those where both adjacent stages would recompute much.
pub(super) fn apart(chain: &Chain<'_>, choice: usize) -> Vec<usize> {
    let stages = &chain.stages;
    // For each equation, the first stage that runs it again.
    let mut first: HashMap<usize, usize> = HashMap::new();
    let mut joined = vec![false; stages.len()];
    for (s, stage) in stages.iter().enumerate() {
        for &i in &stage.options[stage.option_of[choice]].dear {
            let from = *first.entry(i).or_insert(s);
            joined[from + 1..=s].fill(true);
        }
    }
    let starts = stages.iter().zip(&joined).filter(|(_, joined)| !**joined);
    starts.map(|(stage, _)| stage.from).collect()
}
