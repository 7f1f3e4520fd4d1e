//! Places groups among the other kernels.

use std::collections::{BinaryHeap, HashMap};

use gradus_core::Var;
use smallvec::SmallVec;

use crate::kernel::Kernel;

/// The number of groups that are dissolved one by one before all that depend on each other are.
const TRIES: usize = 8;

/// The kernels in order, each group at the position of its last member or as soon after as its operands are complete.
pub(super) fn ordered(kernels: Vec<Kernel>, mut groups: Vec<(Vec<usize>, Kernel)>) -> Vec<Kernel> {
    let mut tries = 0;
    loop {
        // Nodes: groups, then kernels of their own.
        let mut node_of: Vec<usize> = (0..kernels.len()).map(|k| groups.len() + k).collect();
        for (g, (members, _)) in groups.iter().enumerate() {
            members.iter().for_each(|&m| node_of[m] = g);
        }
        let nodes = groups.len() + kernels.len();
        let mut key = vec![0; nodes];
        let mut waits = vec![0usize; nodes];
        let mut readers: Vec<Vec<usize>> = vec![Vec::new(); nodes];
        let mut edges: Vec<(usize, usize)> = Vec::new();
        let mut writers: HashMap<Var, SmallVec<[usize; 1]>> = Default::default();
        for (k, kernel) in kernels.iter().enumerate() {
            let node = node_of[k];
            key[node] = k;
            let from = kernel.reads.iter().filter_map(|v| writers.get(v)).flatten();
            edges.extend(from.filter(|&&from| from != node).map(|&from| (from, node)));
            for v in &kernel.writes {
                let own = writers.entry(*v).or_default();
                if !own.contains(&node) {
                    own.push(node);
                }
            }
        }
        edges.sort_unstable();
        edges.dedup();
        for &(from, node) in &edges {
            readers[from].push(node);
            waits[node] += 1;
        }
        let mut present: Vec<usize> = node_of.clone();
        present.sort_unstable();
        present.dedup();
        let next = |node: usize| std::cmp::Reverse((kernels[key[node]].stage, key[node], node));
        let mut ready: BinaryHeap<_> = present.iter().copied().filter(|&n| waits[n] == 0).map(next).collect();
        let mut order = Vec::with_capacity(present.len());
        while let Some(std::cmp::Reverse((_, _, node))) = ready.pop() {
            order.push(node);
            for &r in &readers[node] {
                waits[r] -= 1;
                if waits[r] == 0 {
                    ready.push(next(r));
                }
            }
        }
        if order.len() < present.len() {
            // Two groups depend on each other: the later one is dissolved.
            let stuck = (0..groups.len()).rev().find(|&g| waits[g] > 0);
            groups.remove(stuck.expect("kernels alone form no cycle"));
            tries += 1;
            if tries == TRIES {
                // So many are left as they were.
                let mut at = 0;
                groups.retain(|_| {
                    at += 1;
                    waits[at - 1] == 0
                });
            }
            continue;
        }
        let count = groups.len();
        let mut of_groups: Vec<Option<Kernel>> = groups.into_iter().map(|(_, kernel)| Some(kernel)).collect();
        let mut alone: Vec<Option<Kernel>> = kernels.into_iter().map(Some).collect();
        let taken = order.into_iter().filter_map(|node| {
            if node < count { of_groups[node].take() } else { alone[node - count].take() }
        });
        return taken.collect();
    }
}
