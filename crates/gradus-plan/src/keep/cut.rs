//! The minimum cut between the values of the forward pass that are kept and those that are recomputed.
//!
//! Every value that the forward pass can provide is a pair of nodes. The edge between them has the bytes of keeping it
//! as its weight; an edge from the source has the time of recomputing it. Values that must not be recomputed have an
//! edge of infinite weight from the source, values that the backward pass reads one to the sink. The cut of least
//! weight is the choice.

use std::collections::VecDeque;

use gradus_core::Graph;
use gradus_core::ops::Op;

use super::boundary::{Boundary, is_cheap};
use super::scores;
use crate::fuse::{is_elementwise, is_movement};
use crate::packed::waiting_bytes;
use crate::work;

/// Equations that may be run again: element-wise ones and movement.
pub(super) fn elementwise(op: &Op) -> bool {
    is_elementwise(op) || is_movement(op) || matches!(op, Op::Full(_))
}

/// Equations that may be run again: all but products and equations as expensive as those.
pub(super) fn cheap(op: &Op) -> bool {
    is_cheap(op)
}

/// Equations that may be run again at their price: all but those that contain programs.
pub(super) fn single(op: &Op) -> bool {
    op.graphs().is_empty()
}

/// The values to keep if a nanosecond is worth `worth` bytes and running an equation again takes `prices` nanoseconds,
/// infinitely many for one that may not be run again.
pub(super) fn kept(graph: &Graph, boundary: &Boundary, worth: f64, prices: &[f64]) -> Vec<bool> {
    let large = scores::values(graph, &scores::products(graph));
    let n = graph.types().len();
    let mut free = vec![false; n];
    for v in graph.inputs() {
        free[v.index()] = true;
    }
    let mut returned = vec![false; n];
    for v in graph.outputs() {
        returned[v.index()] = true;
    }
    let (source, sink) = (2 * n, 2 * n + 1);
    let mut net = Network::new(2 * n + 2);
    for (i, eqn) in graph.eqns().iter().enumerate() {
        for &v in &eqn.outputs {
            if !boundary.available[v.index()] {
                continue;
            }
            if let Op::Full(_) = eqn.op {
                free[v.index()] = true;
                continue;
            }
            let mut bytes = if returned[v.index()] { 0.0 } else { waiting_bytes(graph.ty(v)) as f64 };
            if large[v.index()] && prices[i].is_finite() {
                bytes *= scores::DEARER;
            }
            // A tie goes to the earlier value.
            net.edge(2 * v.index(), 2 * v.index() + 1, bytes * (1.0 + 1e-6 * i as f64 / n as f64));
            let dear = prices[i].is_infinite();
            net.edge(source, 2 * v.index(), if dear { INFINITE } else { prices[i] * worth });
            if !dear {
                for &u in eqn.inputs.iter().filter(|u| !free[u.index()]) {
                    net.edge(2 * u.index() + 1, 2 * v.index(), INFINITE);
                }
            }
        }
    }
    for eqn in &graph.eqns()[boundary.at..] {
        if boundary.available[eqn.outputs[0].index()] {
            continue;
        }
        for u in eqn.inputs.iter().filter(|u| boundary.available[u.index()] && !free[u.index()]) {
            net.edge(2 * u.index() + 1, sink, INFINITE);
        }
    }
    let before = net.cut(source, sink);
    (0..n).map(|v| before[2 * v] && !before[2 * v + 1] && boundary.available[v] && !free[v]).collect()
}

const INFINITE: f64 = f64::INFINITY;
/// Flow below this is rounding.
const DUST: f64 = 1e-6;
/// The number of searches of the network after which a cut between levels is taken.
const PHASES: usize = 64;

/// A flow network; the maximum flow is found by Dinic's algorithm.
struct Network {
    /// The target and the remaining capacity of each edge; an edge is next to its reverse.
    edges: Vec<(u32, f64)>,
    /// Where the edges of each node begin in the list ordered by node.
    starts: Vec<u32>,
    by_node: Vec<u32>,
}

impl Network {
    fn new(nodes: usize) -> Self {
        Network { edges: Vec::new(), starts: vec![0; nodes + 1], by_node: Vec::new() }
    }

    fn edge(&mut self, a: usize, b: usize, capacity: f64) {
        self.edges.push((b as u32, capacity));
        self.edges.push((a as u32, 0.0));
    }

    /// Sorts the edges by their origin, keeping the order of insertion.
    fn sort(&mut self) {
        let from = |edges: &[(u32, f64)], e: usize| edges[e ^ 1].0 as usize;
        self.starts.fill(0);
        (0..self.edges.len()).for_each(|e| self.starts[from(&self.edges, e) + 1] += 1);
        for node in 1..self.starts.len() {
            self.starts[node] += self.starts[node - 1];
        }
        let mut next = self.starts.clone();
        self.by_node = vec![0; self.edges.len()];
        for e in 0..self.edges.len() {
            let at = &mut next[from(&self.edges, e)];
            self.by_node[*at as usize] = e as u32;
            *at += 1;
        }
    }

    fn nodes(&self) -> usize {
        self.starts.len() - 1
    }

    fn from(&self, node: usize) -> &[u32] {
        &self.by_node[self.starts[node] as usize..self.starts[node + 1] as usize]
    }

    fn levels(&self, source: usize) -> Vec<u32> {
        let mut level = vec![u32::MAX; self.nodes()];
        level[source] = 0;
        let mut queue = VecDeque::from([source]);
        while let Some(a) = queue.pop_front() {
            let edges = self.from(a);
            work::count(edges.len());
            for &e in edges {
                let (b, capacity) = self.edges[e as usize];
                if capacity > DUST && level[b as usize] == u32::MAX {
                    level[b as usize] = level[a] + 1;
                    queue.push_back(b as usize);
                }
            }
        }
        level
    }

    /// The nodes on the side of the source: a cut of least capacity. Where the search takes long, the paths are so long
    /// that a cut between two levels is close to the least.
    fn cut(&mut self, source: usize, sink: usize) -> Vec<bool> {
        self.sort();
        let mut next = vec![0u32; self.nodes()];
        for phase in 1.. {
            let level = self.levels(source);
            if level[sink] == u32::MAX {
                return level.into_iter().map(|l| l != u32::MAX).collect();
            }
            if phase % PHASES == 0
                && let Some(last) = self.least_level(&level, level[sink])
            {
                work::simpler("what is kept is next to the least");
                return level.into_iter().map(|l| l <= last).collect();
            }
            next.fill(0);
            self.block(source, sink, &level, &mut next);
        }
        unreachable!("levels rise until the sink is cut off")
    }

    /// The level below the sink's after which least capacity is left.
    fn least_level(&self, level: &[u32], sink: u32) -> Option<u32> {
        let mut left = vec![0.0f64; sink as usize];
        for a in (0..self.nodes()).filter(|&a| level[a] < sink) {
            for &(b, capacity) in self.from(a).iter().map(|&e| &self.edges[e as usize]) {
                if capacity > DUST && level[b as usize] == level[a] + 1 {
                    left[level[a] as usize] += capacity;
                }
            }
        }
        let least = (0..sink).min_by(|&a, &b| left[a as usize].total_cmp(&left[b as usize]))?;
        left[least as usize].is_finite().then_some(least)
    }

    /// Augmenting paths along the levels until there are no more.
    fn block(&mut self, source: usize, sink: usize, level: &[u32], next: &mut [u32]) {
        let mut path: Vec<usize> = Vec::new();
        let mut at = source;
        loop {
            if at == sink {
                let flow = path.iter().map(|&e| self.edges[e].1).fold(INFINITE, f64::min);
                if flow.is_infinite() {
                    // A value that may not be recomputed is read directly, so it is kept at any cost.
                    return;
                }
                for &e in &path {
                    self.edges[e].1 -= flow;
                    self.edges[e ^ 1].1 += flow;
                }
                // The next path starts with the part of this one that has capacity left.
                let full = path.iter().position(|&e| self.edges[e].1 <= DUST).unwrap_or(0);
                at = self.edges[path[full] ^ 1].0 as usize;
                path.truncate(full);
            }
            work::count(1);
            let Some(&e) = self.from(at).get(next[at] as usize) else {
                let Some(e) = path.pop() else { return };
                at = self.edges[e ^ 1].0 as usize;
                next[at] += 1;
                continue;
            };
            let (e, (b, capacity)) = (e as usize, self.edges[e as usize]);
            if capacity > DUST && level[b as usize] == level[at] + 1 {
                path.push(e);
                at = b as usize;
            } else {
                next[at] += 1;
            }
        }
    }
}
