//! Causal masks that the graph computes: comparisons of a row's index with a column's, and windows, which combine two
//! of them.
//!
//! Such a mask takes no memory: the region that reads it computes it row by row.

use gradus_core::ops::{Compare, Logic, Op};
use gradus_core::{Binary, DType, Graph, Var};
use smallvec::SmallVec;

use crate::View;
use crate::kernel::{Domain, Level, Region, Slot, Step, StepOp};

/// Which columns of row `i` a mask shows.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Causal {
    /// The columns up to `i + offset`, or those beyond.
    Up { offset: isize, beyond: bool },
    /// The columns visible under both masks, or under either.
    Two(Logic, Box<[Causal; 2]>),
}

impl Causal {
    fn not(self) -> Causal {
        match self {
            Causal::Up { offset, beyond } => Causal::Up { offset, beyond: !beyond },
            Causal::Two(logic, both) => {
                let logic = if logic == Logic::And { Logic::Or } else { Logic::And };
                Causal::Two(logic, Box::new(both.map(Causal::not)))
            }
        }
    }

    /// Appends the steps that compute it, given `before` slots before the steps; returns the slot.
    fn steps(&self, rows: usize, before: usize, steps: &mut Vec<Step>) -> Slot {
        let add = |op: StepOp, args: &[Slot], steps: &mut Vec<Step>| {
            let args = args.iter().copied().collect();
            let dtype = DType::Bool;
            steps.push(Step { op, dtype, out: dtype, level: Level::Full, args, eqn: usize::MAX });
            (before + steps.len() - 1) as Slot
        };
        match self {
            &Causal::Up { offset, beyond } => {
                let slot = add(StepOp::Causal { rows, offset }, &[], steps);
                if beyond { add(StepOp::Not, &[slot], steps) } else { slot }
            }
            Causal::Two(logic, both) => {
                let [a, b] = [&both[0], &both[1]].map(|one| one.steps(rows, before, steps));
                add(StepOp::Logic(*logic), &[a, b], steps)
            }
        }
    }
}

/// The index along an axis plus a constant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Index {
    axis: usize,
    more: isize,
}

/// The most equations that a mask is recognised through.
const MOST: usize = 16;

/// Looks for masks in a graph.
pub(super) struct Masks<'a> {
    graph: &'a Graph,
    /// The equation that makes each value.
    made: Vec<Option<usize>>,
}

impl<'a> Masks<'a> {
    pub(super) fn new(graph: &'a Graph) -> Self {
        let mut made = vec![None; graph.types().len()];
        for (i, eqn) in graph.eqns().iter().enumerate() {
            eqn.outputs.iter().for_each(|v| made[v.index()] = Some(i));
        }
        Masks { graph, made }
    }

    /// A region of a group over `all` rows, `rows` in a slab, that computes its causal masks: `None` if it has none.
    pub(super) fn made_inside(&self, region: &Region, all: usize, rows: usize) -> Option<Region> {
        let points = region.domain.points();
        let cols = points / all;
        let fits = matches!(region.domain, Domain::Rows { rows, .. } if rows == all)
            || matches!(region.domain, Domain::Flat { .. });
        if !fits || cols < 2 || !points.is_multiple_of(all) {
            return None;
        }
        let mut found: Vec<(usize, Causal)> = Vec::new();
        for (i, load) in region.loads.iter().enumerate() {
            if load.dtype == DType::Bool
                && load.level == Level::Full
                && slab_by_slab(&load.view, rows * cols)
                && let Some(causal) = self.causal(load.value, rows, cols, &mut { MOST })
            {
                found.push((i, causal));
            }
        }
        for (i, step) in region.steps.iter().enumerate() {
            if matches!(step.op, StepOp::Compare(_) | StepOp::Logic(_))
                && step.out == DType::Bool
                && step.level == Level::Full
                && let Some(eqn) = self.graph.eqns().get(step.eqn)
                && let Some(causal) = self.causal(eqn.outputs[0], rows, cols, &mut { MOST })
            {
                found.push((region.first_step() + i, causal));
            }
        }
        (!found.is_empty()).then(|| replaced(region, &found, Domain::Rows { rows: all, cols }, rows))
    }

    /// The mask that `v` is over its last two axes, recognised through at most `most` equations.
    fn causal(&self, v: Var, rows: usize, cols: usize, most: &mut usize) -> Option<Causal> {
        *most = most.checked_sub(1)?;
        let shape = &self.graph.ty(v).shape;
        let live: SmallVec<[usize; 4]> = (0..shape.rank()).filter(|&a| shape[a] != 1).collect();
        let [.., row, col] = live[..] else { return None };
        if (shape[row], shape[col]) != (rows, cols) {
            return None;
        }
        let eqn = &self.graph.eqns()[self.made[v.index()]?];
        match &eqn.op {
            Op::Not(_) => Some(self.causal(eqn.inputs[0], rows, cols, most)?.not()),
            Op::Broadcast(b) => {
                // The last two axes stay what they are.
                let from = &self.graph.ty(eqn.inputs[0]).shape;
                let kept = |&a: &usize| from[a] != 1;
                let old: SmallVec<[usize; 4]> = (0..from.rank()).filter(kept).map(|a| b.axes[a]).collect();
                if !old.ends_with(&[row, col]) {
                    return None;
                }
                self.causal(eqn.inputs[0], rows, cols, most)
            }
            Op::Logic(logic @ (Logic::And | Logic::Or)) => {
                let a = self.causal(eqn.inputs[0], rows, cols, most)?;
                let b = self.causal(eqn.inputs[1], rows, cols, most)?;
                Some(Causal::Two(*logic, Box::new([a, b])))
            }
            Op::Compare(compare) => {
                let (x, y) = (self.index(eqn.inputs[0], *most)?, self.index(eqn.inputs[1], *most)?);
                // As a comparison of the column's index with the row's.
                let (compare, r, c) = match (x.axis, y.axis) {
                    (a, b) if (a, b) == (col, row) => (*compare, y, x),
                    (a, b) if (a, b) == (row, col) => {
                        let turned = match compare {
                            Compare::Lt => Compare::Gt,
                            Compare::Le => Compare::Ge,
                            Compare::Gt => Compare::Lt,
                            Compare::Ge => Compare::Le,
                            same @ (Compare::Eq | Compare::Ne) => *same,
                        };
                        (turned, x, y)
                    }
                    _ => return None,
                };
                let offset = r.more - c.more;
                match compare {
                    Compare::Le => Some(Causal::Up { offset, beyond: false }),
                    Compare::Lt => Some(Causal::Up { offset: offset - 1, beyond: false }),
                    Compare::Gt => Some(Causal::Up { offset, beyond: true }),
                    Compare::Ge => Some(Causal::Up { offset: offset - 1, beyond: true }),
                    Compare::Eq | Compare::Ne => None,
                }
            }
            _ => None,
        }
    }

    /// The index along an axis that `v` is, recognised through at most `most` equations.
    fn index(&self, v: Var, most: usize) -> Option<Index> {
        let most = most.checked_sub(1)?;
        let ty = self.graph.ty(v);
        if !ty.dtype.is_int() {
            return None;
        }
        let eqn = &self.graph.eqns()[self.made[v.index()]?];
        match &eqn.op {
            Op::Iota(iota) => Some(Index { axis: iota.axis, more: 0 }),
            // Narrow integers might wrap.
            Op::Cast(_) if ty.dtype.size() >= 4 => self.index(eqn.inputs[0], most),
            Op::Broadcast(b) => {
                let index = self.index(eqn.inputs[0], most)?;
                let (from, axis) = (&self.graph.ty(eqn.inputs[0]).shape, b.axes[index.axis]);
                (from[index.axis] == ty.shape[axis]).then_some(Index { axis, ..index })
            }
            Op::Reshape(_) => {
                let index = self.index(eqn.inputs[0], most)?;
                let from = &self.graph.ty(eqn.inputs[0]).shape;
                let live = |s: &gradus_core::Shape| -> SmallVec<[usize; 4]> {
                    (0..s.rank()).filter(|&a| s[a] != 1).collect()
                };
                let (old, new) = (live(from), live(&ty.shape));
                let same =
                    old.len() == new.len() && old.iter().zip(&new).all(|(&a, &b)| from[a] == ty.shape[b]);
                let at = old.iter().position(|&a| a == index.axis).filter(|_| same)?;
                Some(Index { axis: new[at], ..index })
            }
            Op::Binary(op @ (Binary::Add | Binary::Sub)) => {
                let (x, y) = (eqn.inputs[0], eqn.inputs[1]);
                match (self.index(x, most), self.constant(y, most), op) {
                    (Some(index), Some(more), Binary::Add) => {
                        Some(Index { more: index.more + more, ..index })
                    }
                    (Some(index), Some(more), _) => Some(Index { more: index.more - more, ..index }),
                    (None, _, Binary::Add) => {
                        let (more, index) = (self.constant(x, most)?, self.index(y, most)?);
                        Some(Index { more: index.more + more, ..index })
                    }
                    _ => None,
                }
            }
            _ => None,
        }
    }

    /// The small integer that all elements of `v` are equal to.
    fn constant(&self, v: Var, most: usize) -> Option<isize> {
        let most = most.checked_sub(1)?;
        let eqn = &self.graph.eqns()[self.made[v.index()]?];
        match &eqn.op {
            Op::Full(full) if full.value.fract() == 0.0 && full.value.abs() < 1e9 => {
                Some(full.value as isize)
            }
            Op::Broadcast(_) | Op::Reshape(_) => self.constant(eqn.inputs[0], most),
            _ => None,
        }
    }
}

/// Whether a view consists of complete slabs of this many elements.
fn slab_by_slab(view: &View, slab: usize) -> bool {
    let view = view.collapsed();
    let Some((&(n, step), outer)) = view.dims.split_last() else { return false };
    let whole = |at: isize| at.unsigned_abs().is_multiple_of(slab);
    step == 1 && n.is_multiple_of(slab) && whole(view.offset) && outer.iter().all(|d| whole(d.1))
}

/// The region with masks in place of some slots, and without the steps that are then unused.
fn replaced(region: &Region, found: &[(usize, Causal)], domain: Domain, rows: usize) -> Region {
    let first = region.first_step();
    let slots = first + region.steps.len();
    let mask = |slot: usize| found.iter().find(|f| f.0 == slot);
    let mut used = vec![false; slots];
    region.stores.iter().for_each(|s| used[s.slot as usize] = true);
    for (i, step) in region.steps.iter().enumerate().rev() {
        if used[first + i] && mask(first + i).is_none() {
            step.args.iter().for_each(|&a| used[a as usize] = true);
        }
    }
    let stays = |slot: usize| used[slot] && mask(slot).is_none();
    let mut new = vec![0 as Slot; slots];
    let loads: Vec<_> = (0..region.loads.len()).filter(|&i| stays(i)).collect();
    loads.iter().enumerate().for_each(|(to, &i)| new[i] = to as Slot);
    for i in 0..region.constants.len() {
        new[region.loads.len() + i] = (loads.len() + i) as Slot;
    }
    let before = loads.len() + region.constants.len();
    let mut steps: Vec<Step> = Vec::new();
    for (slot, causal) in found.iter().filter(|f| used[f.0]) {
        new[*slot] = causal.steps(rows, before, &mut steps);
    }
    for (i, old) in region.steps.iter().enumerate().filter(|(i, _)| stays(first + i)) {
        new[first + i] = (before + steps.len()) as Slot;
        let args = old.args.iter().map(|&a| new[a as usize]).collect();
        steps.push(Step { args, ..old.clone() });
    }
    let stores =
        region.stores.iter().map(|s| crate::kernel::Store { slot: new[s.slot as usize], ..s.clone() });
    Region {
        domain,
        loads: loads.iter().map(|&i| region.loads[i].clone()).collect(),
        constants: region.constants.clone(),
        stores: stores.collect(),
        steps,
    }
}
