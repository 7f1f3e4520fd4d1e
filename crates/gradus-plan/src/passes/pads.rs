//! Sums of zero-padded parts become concatenations.
//!
//! The transpose of a slice pads its cotangent with zeros. Where a value was split (queries, keys and values of one
//! product), the cotangents of the parts arrive as `pad(a) + pad(b) + …` over the same axis: the sum is the
//! concatenation of the parts, which passes over no zeros.

use gradus_core::ops::{Axes, Concat, Op, Pad};
use gradus_core::{Binary, Graph, Result, Var};

use super::Copier;
use crate::work;

/// The graph with such sums written as concatenations.
pub(super) fn joined(graph: Graph) -> Result<Graph> {
    let sums = Sums::new(&graph);
    let whole = sums.whole();
    if whole.iter().all(Option::is_none) {
        return Ok(graph);
    }
    let mut copy = Copier::new(&graph);
    for (eqn, whole) in graph.eqns().iter().zip(&whole) {
        match whole {
            Some((axis, parts)) => {
                let out = copy.emit(Concat { axis: *axis }.into(), parts, eqn.origin())?;
                copy.set(eqn.outputs[0], out[0]);
            }
            None => copy.copy(eqn)?,
        }
    }
    Ok(copy.finish(graph.outputs()))
}

/// An axis, and the values that are concatenated along it.
type Whole = (usize, Vec<Var>);

struct Sums<'a> {
    graph: &'a Graph,
    made: Vec<Option<usize>>,
    uses: Vec<usize>,
}

impl<'a> Sums<'a> {
    fn new(graph: &'a Graph) -> Self {
        let mut uses = vec![0usize; graph.types().len()];
        for v in graph.eqns().iter().flat_map(|e| &e.inputs).chain(graph.outputs()) {
            uses[v.index()] += 1;
        }
        let mut made = vec![None; graph.types().len()];
        for (i, eqn) in graph.eqns().iter().enumerate() {
            for v in &eqn.outputs {
                made[v.index()] = Some(i);
            }
        }
        Sums { graph, made, uses }
    }

    /// For each equation that is such a sum, its concatenation; sums inside it are not examined again.
    fn whole(&self) -> Vec<Option<Whole>> {
        let eqns = self.graph.eqns();
        let extents = self.extents();
        let mut inside = vec![false; eqns.len()];
        let mut found = vec![None; eqns.len()];
        for i in (0..eqns.len()).rev() {
            let full =
                |(axis, extent): (usize, usize)| self.graph.ty(eqns[i].outputs[0]).shape[axis] == extent;
            if inside[i] || !extents[i].is_some_and(full) {
                continue;
            }
            let (leaves, sums) = self.leaves(i);
            if let Some(whole) = self.side_by_side(&leaves) {
                found[i] = Some(whole);
                sums.into_iter().for_each(|s| inside[s] = true);
            }
        }
        found
    }

    /// The sum that computes `v`, if it has no other reader.
    fn inner(&self, v: Var) -> Option<usize> {
        let made = self.made[v.index()].filter(|_| self.uses[v.index()] == 1);
        made.filter(|&j| matches!(self.graph.eqns()[j].op, Op::Binary(Binary::Add)))
    }

    /// For each sum of only parts padded along one axis, that axis and their total extent along it.
    fn extents(&self) -> Vec<Option<(usize, usize)>> {
        let mut extents: Vec<Option<(usize, usize)>> = vec![None; self.graph.eqns().len()];
        for (i, eqn) in self.graph.eqns().iter().enumerate() {
            if !matches!(eqn.op, Op::Binary(Binary::Add)) {
                continue;
            }
            let of = |v: Var| match self.inner(v) {
                Some(j) => extents[j],
                None => {
                    let eqn = &self.graph.eqns()[self.made[v.index()]?];
                    let Op::Pad(pad) = &eqn.op else { return None };
                    let axis = padded_axis(pad)?;
                    Some((axis, self.graph.ty(eqn.inputs[0]).shape[axis]))
                }
            };
            if let (Some(x), Some(y)) = (of(eqn.inputs[0]), of(eqn.inputs[1]))
                && x.0 == y.0
            {
                extents[i] = Some((x.0, x.1 + y.1));
            }
        }
        extents
    }

    /// The summands of equation `i`, through sums that nobody else reads, and those sums.
    fn leaves(&self, i: usize) -> (Vec<Var>, Vec<usize>) {
        let (mut leaves, mut sums) = (Vec::new(), Vec::new());
        let operands = |i: usize| self.graph.eqns()[i].inputs.iter().rev().copied();
        let mut pending: Vec<Var> = operands(i).collect();
        while let Some(v) = pending.pop() {
            work::count(1);
            match self.inner(v) {
                Some(j) => {
                    sums.push(j);
                    pending.extend(operands(j));
                }
                None => leaves.push(v),
            }
        }
        (leaves, sums)
    }

    /// The axis and order in which padded summands cover their shape exactly once.
    fn side_by_side(&self, leaves: &[Var]) -> Option<Whole> {
        let mut axis = None;
        let mut parts: Vec<(isize, Var)> = Vec::new();
        for v in leaves {
            let eqn = &self.graph.eqns()[self.made[v.index()]?];
            let Op::Pad(pad) = &eqn.op else { return None };
            let own = padded_axis(pad)?;
            if *axis.get_or_insert(own) != own {
                return None;
            }
            parts.push((pad.low[own] as isize, eqn.inputs[0]));
        }
        let axis = axis?;
        parts.sort_by_key(|p| p.0);
        let mut at = 0;
        for &(low, v) in &parts {
            if low != at {
                return None;
            }
            at += self.graph.ty(v).shape[axis] as isize;
        }
        let all = self.graph.ty(leaves[0]).shape[axis] as isize;
        (at == all).then(|| (axis, parts.into_iter().map(|p| p.1).collect()))
    }
}

/// The only axis that is padded, at its ends alone.
fn padded_axis(pad: &Pad) -> Option<usize> {
    let touched: Axes =
        (0..pad.low.len()).filter(|&a| (pad.low[a], pad.high[a], pad.interior[a]) != (0, 0, 0)).collect();
    match touched[..] {
        [axis] if pad.interior[axis] == 0 => Some(axis),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use gradus_core::{Builder, DType, Type};

    fn sum(lows: [usize; 3], extents: [usize; 3], total: usize) -> Graph {
        let mut b = Builder::new();
        let mut all: Option<Var> = None;
        for (low, extent) in lows.into_iter().zip(extents) {
            let x = b.input(Type::new(DType::F32, [extent, 2]));
            let pad = Pad {
                dead: true,
                low: [low, 0].into_iter().collect(),
                high: [total - low - extent, 0].into_iter().collect(),
                interior: [0, 0].into_iter().collect(),
            };
            let x = b.emit1(pad, &[x]).unwrap();
            all = b.add_tangents(all, Some(x)).unwrap();
        }
        joined(b.finish(vec![all.unwrap()])).unwrap()
    }

    #[test]
    fn parts_that_fill_the_axis_are_put_side_by_side() {
        let g = sum([3, 0, 1], [4, 1, 2], 7);
        assert_eq!(g.eqns().len(), 1, "{g}");
        assert!(matches!(g.eqns()[0].op, Op::Concat(_)), "{g}");
    }

    #[test]
    fn overlaps_and_gaps_stay_sums() {
        for (lows, total) in [([0, 2, 4], 7), ([0, 1, 3], 6)] {
            assert_eq!(sum(lows, [2, 2, 2], total).eqns().len(), 5);
        }
    }
}
