//! Stretches of the first half computed again as a whole, matrix products included.
//!
//! The first half is divided where little is alive; only what crosses a division is kept, and the values of a stretch
//! are computed again when the second half comes to it. The last stretch keeps its values: it is come back to at once.

use gradus_core::Graph;
use gradus_core::ops::Op;

use super::boundary::Halves;
use crate::fuse::is_movement;

/// Sets of kept values with fewer and fewer divisions, from `base`, which keeps the least without running products
/// again.
pub(super) fn choices(graph: &Graph, halves: &Halves, base: &[bool]) -> Vec<(usize, Vec<bool>)> {
    let forward = Forward::new(graph, halves);
    let total: usize = (0..base.len()).filter(|&v| base[v]).map(|v| graph.types()[v].bytes()).sum();
    let mut out = Vec::new();
    let mut last = Vec::new();
    for pieces in [32, 24, 16, 12, 10, 8, 7, 6, 5, 4, 3, 2] {
        let divisions = forward.divisions(graph, base, total, pieces);
        if divisions.is_empty() || divisions == last {
            continue;
        }
        let mut kept = vec![false; base.len()];
        for &at in &divisions {
            for v in forward.alive(at) {
                kept[v] = true;
            }
        }
        let end = *divisions.last().unwrap_or(&0);
        let small = total / base.iter().filter(|k| **k).count().max(1) / 16;
        for v in (0..base.len()).filter(|&v| base[v]) {
            let late = halves.made[v].is_some_and(|i| i >= end);
            kept[v] |= late || graph.types()[v].bytes() <= small;
        }
        out.push((divisions.len(), kept));
        last = divisions;
    }
    out
}

/// Lifetimes inside the first half.
struct Forward {
    /// First equation after the definition, and the last that reads it, of values that take memory.
    life: Vec<Option<(usize, usize)>>,
    /// Bytes alive before each equation.
    alive: Vec<usize>,
}

impl Forward {
    fn new(graph: &Graph, halves: &Halves) -> Self {
        let mut life: Vec<Option<(usize, usize)>> = vec![None; graph.types().len()];
        for (i, eqn) in graph.eqns()[..halves.at].iter().enumerate() {
            for v in &eqn.inputs {
                if let Some(life) = &mut life[v.index()] {
                    life.1 = i;
                }
            }
            for v in &eqn.outputs {
                let constant = matches!(eqn.op, Op::Full(_));
                life[v.index()] = (!constant).then_some((i + 1, i));
            }
            // A view keeps its operand's buffer; it is the view that is read on.
            if is_movement(&eqn.op) && life[eqn.inputs[0].index()].is_none() {
                life[eqn.outputs[0].index()] = None;
            }
        }
        let mut change = vec![0isize; halves.at + 2];
        for (v, life) in life.iter().enumerate() {
            if let Some((from, to)) = *life
                && to >= from
            {
                change[from] += graph.types()[v].bytes() as isize;
                change[to + 1] -= graph.types()[v].bytes() as isize;
            }
        }
        let mut now = 0;
        let alive = change
            .iter()
            .map(|c| {
                now += c;
                now as usize
            })
            .collect();
        Forward { life, alive }
    }

    /// The values alive before equation `at`.
    fn alive(&self, at: usize) -> impl Iterator<Item = usize> + '_ {
        let crosses =
            move |life: &Option<(usize, usize)>| life.is_some_and(|(from, to)| from <= at && at <= to);
        self.life.iter().enumerate().filter(move |(_, life)| crosses(life)).map(|(v, _)| v)
    }

    /// Equations before which to divide: `pieces` stretches with about equally many kept bytes, each division moved
    /// to where the fewest bytes are alive nearby.
    fn divisions(&self, graph: &Graph, base: &[bool], total: usize, pieces: usize) -> Vec<usize> {
        let end = self.alive.len().saturating_sub(2);
        let mut marks = Vec::new();
        let mut sum = 0;
        for (v, life) in self.life.iter().enumerate().filter(|(v, _)| base[*v]) {
            sum += graph.types()[v].bytes();
            if let Some((from, _)) = life
                && sum * pieces > total * (marks.len() + 1)
                && marks.len() + 1 < pieces
            {
                marks.push(*from);
            }
        }
        let reach = (end / (2 * pieces)).max(2);
        let mut out: Vec<usize> = marks
            .into_iter()
            .filter_map(|m| {
                let near = m.saturating_sub(reach).max(1)..(m + reach).min(end);
                near.min_by_key(|&i| (self.alive[i], i.abs_diff(m)))
            })
            .collect();
        out.sort_unstable();
        out.dedup();
        out
    }
}
