//! Where the forward and the backward pass of a program meet, and which of its values the forward pass can provide.
//!
//! Every equation states its [`Phase`](gradus_core::Phase). At a level, the forward equations are those that neither
//! are backward at this level or above nor depend on a backward one. The others run later: those that compute
//! cotangents, and those that use the gradients, such as an update of parameters. Gradients that are stored until their
//! update do not count as kept by the forward pass.

use gradus_core::ops::Op;
use gradus_core::{Binary, Graph, PhaseKind, Var};

use super::Staged;
use crate::fuse::{is_elementwise, is_movement};

/// Where the backward pass of a program begins, and which values it can read.
pub(super) struct Boundary {
    /// The first equation of the backward pass.
    pub(super) at: usize,
    /// For each value, whether it is computed in the forward pass or by cheap equations from values of it.
    pub(super) available: Vec<bool>,
    /// For each value, the equation that defines it.
    pub(super) made: Vec<Option<usize>>,
    /// What each equation is for at this level.
    pub(super) parts: Vec<PhaseKind>,
    /// The level.
    pub(super) level: u8,
    /// Bytes that the forward pass would keep if the backward pass computed nothing again.
    bytes: usize,
}

/// For each value, the equation that defines it.
pub(crate) fn definitions(graph: &Graph) -> Vec<Option<usize>> {
    let mut made = vec![None; graph.types().len()];
    for (i, eqn) in graph.eqns().iter().enumerate() {
        for v in &eqn.outputs {
            made[v.index()] = Some(i);
        }
    }
    made
}

/// For each value, the one whose buffer it is read from: for a view its operand, for a constant none.
pub(super) fn roots(graph: &Graph) -> Vec<Option<Var>> {
    let mut root: Vec<Option<Var>> = vec![None; graph.types().len()];
    for eqn in graph.eqns() {
        for &v in &eqn.outputs {
            root[v.index()] = match &eqn.op {
                Op::Full(_) => None,
                op if is_movement(op) => root[eqn.inputs[0].index()],
                _ => Some(v),
            };
        }
    }
    root
}

/// Whether an equation is cheap enough to be recomputed.
pub(super) fn is_cheap(op: &Op) -> bool {
    is_elementwise(op)
        || is_movement(op)
        || matches!(op, Op::Full(_) | Op::Reduce(_) | Op::Pad(_) | Op::Concat(_) | Op::Clamp(_))
}

/// The phase of each equation at a level and those above: an equation is forward if it depends on no backward one.
fn parts(graph: &Graph, level: u8) -> Vec<PhaseKind> {
    let mut later = vec![false; graph.types().len()];
    let part = |eqn: &gradus_core::Eqn, later: &mut [bool]| {
        let part = match &eqn.op {
            Op::Full(_) => PhaseKind::Forward,
            _ if eqn.phase.is_backward() && eqn.phase.level >= level => PhaseKind::Backward,
            _ if eqn.inputs.iter().any(|v| later[v.index()]) => PhaseKind::Update,
            _ => PhaseKind::Forward,
        };
        for v in &eqn.outputs {
            later[v.index()] = part != PhaseKind::Forward;
        }
        part
    };
    graph.eqns().iter().map(|eqn| part(eqn, &mut later)).collect()
}

/// Counts the last equations of gradients as uses of them: those that move, cast or copy gradients for callers, and
/// that no other backward equation reads.
fn copies(graph: &Graph, parts: &mut [PhaseKind], made: &[Option<usize>]) {
    let eqns = graph.eqns();
    let constant = |v: &Var| made[v.index()].is_some_and(|i| matches!(eqns[i].op, Op::Full(_)));
    let plain = |eqn: &gradus_core::Eqn| match &eqn.op {
        Op::Binary(Binary::Add) => eqn.inputs.iter().any(constant),
        op => is_movement(op) || matches!(op, Op::Cast(_)),
    };
    let mut read = vec![false; graph.types().len()];
    for (eqn, part) in eqns.iter().zip(parts).rev().filter(|(_, part)| **part == PhaseKind::Backward) {
        if plain(eqn) && !read[eqn.outputs[0].index()] {
            *part = PhaseKind::Update;
        } else {
            eqn.inputs.iter().for_each(|v| read[v.index()] = true);
        }
    }
}

/// The highest level of the equations; nested programs have levels of their own.
fn deepest(graph: &Graph) -> u8 {
    graph.eqns().iter().map(|e| e.phase.level).max().unwrap_or(0)
}

/// The equation of the backward pass before which the forward pass keeps the most bytes for the remaining equations,
/// and those bytes.
fn most_kept(graph: &Graph, parts: &[PhaseKind], root: &[Option<Var>]) -> Option<(usize, usize)> {
    let mut last: Vec<usize> = vec![0; graph.types().len()];
    for (i, eqn) in graph.eqns().iter().enumerate().filter(|(i, _)| parts[*i] != PhaseKind::Forward) {
        for r in eqn.inputs.iter().filter_map(|v| root[v.index()]) {
            last[r.index()] = i;
        }
    }
    let mut change = vec![0isize; graph.eqns().len() + 1];
    for (i, eqn) in graph.eqns().iter().enumerate().filter(|(i, _)| parts[*i] == PhaseKind::Forward) {
        for &v in eqn.outputs.iter().filter(|v| root[v.index()] == Some(**v) && last[v.index()] > i) {
            change[i + 1] += graph.ty(v).bytes() as isize;
            change[last[v.index()] + 1] -= graph.ty(v).bytes() as isize;
        }
    }
    let (mut now, mut most) = (0, None);
    for (i, c) in change.iter().enumerate() {
        now += c;
        if parts.get(i) == Some(&PhaseKind::Backward) && now > most.map_or(0, |m: (usize, isize)| m.1) {
            most = Some((i, now));
        }
    }
    most.map(|(at, bytes)| (at, bytes as usize))
}

impl Boundary {
    /// The boundary at the level that keeps most. `None` for a program without a backward pass, or one whose backward passes
    /// read nothing but arguments.
    pub(super) fn find(graph: &Graph) -> Option<Self> {
        let levels = (1..=deepest(graph)).filter_map(|level| Boundary::of(graph, level));
        levels.reduce(|most, next| if next.bytes > most.bytes { next } else { most })
    }

    /// The boundary at the highest level below `level` that keeps something.
    pub(super) fn below(graph: &Graph, level: u8) -> Option<Self> {
        (1..level.min(deepest(graph).saturating_add(1))).rev().find_map(|level| Boundary::of(graph, level))
    }

    /// The boundary at a level: where the backward passes of this level and those above read the most bytes of earlier
    /// values.
    fn of(graph: &Graph, level: u8) -> Option<Self> {
        let mut parts = parts(graph, level);
        let (at, bytes) = most_kept(graph, &parts, &roots(graph))?;
        let mut available = vec![true; graph.types().len()];
        for (eqn, part) in graph.eqns().iter().zip(&parts).skip(at) {
            let here = *part == PhaseKind::Forward
                && is_cheap(&eqn.op)
                && eqn.inputs.iter().all(|v| available[v.index()]);
            for v in &eqn.outputs {
                available[v.index()] = here;
            }
        }
        let made = definitions(graph);
        copies(graph, &mut parts, &made);
        Some(Boundary { at, available, made, parts, level, bytes })
    }

    /// The values of the forward pass that the backward pass reads otherwise than element by element.
    pub(super) fn read_whole(&self, graph: &Graph) -> Vec<Var> {
        let root = roots(graph);
        let second = graph.eqns()[self.at..].iter().filter(|e| !self.available[e.outputs[0].index()]);
        let whole = second.filter(|e| !is_elementwise(&e.op) && !is_movement(&e.op));
        let read = whole.flat_map(|e| &e.inputs).filter_map(|v| root[v.index()]);
        read.filter(|r| self.available[r.index()] && self.made[r.index()].is_some()).collect()
    }

    /// The program as it is, divided at the boundary.
    pub(super) fn as_it_is(&self, graph: &Graph) -> Staged {
        let stages = (0..graph.eqns().len()).map(|i| u32::from(i >= self.at)).collect();
        Staged { graph: graph.clone(), stages }
    }
}
