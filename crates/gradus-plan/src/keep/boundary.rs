//! Where the two halves of a program meet, and which of its values the first half can provide.
//!
//! Transposition marks what it makes ([`Site::transposed`](gradus_core::Site)). The first half is what neither is
//! marked nor depends on what is; the second half is the rest: what brings cotangents back, and what is done with the
//! gradients afterwards, an update of parameters for example. Gradients that wait for their update are not kept by the
//! first half for the second, however large they are.

use gradus_core::ops::Op;
use gradus_core::{Graph, Var};

use super::Staged;
use crate::fuse::{is_elementwise, is_movement};

/// The halves of a program.
pub(super) struct Halves {
    /// The first equation of the second half.
    pub(super) at: usize,
    /// For each value, whether it is computed in the first half or can be had from there by cheap equations.
    pub(super) available: Vec<bool>,
    /// For each value, the equation that defines it.
    pub(super) made: Vec<Option<usize>>,
    /// What each equation has to do with the way back.
    pub(super) parts: Vec<Part>,
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

/// For each value, the one whose buffer it is read from: a view is its operand, a constant nothing.
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

/// Whether an equation may be run twice without anybody minding.
pub(super) fn is_cheap(op: &Op) -> bool {
    is_elementwise(op)
        || is_movement(op)
        || matches!(op, Op::Full(_) | Op::Reduce(_) | Op::Pad(_) | Op::Concat(_) | Op::Clamp(_))
}

/// What an equation has to do with the way back.
#[derive(Clone, Copy, PartialEq)]
pub(super) enum Part {
    /// Nothing: it computes values.
    First,
    /// It brings cotangents back.
    Back,
    /// It works on what has come back.
    After,
}

/// The part of each equation, where the way back is what `times` transpositions or more have made.
fn parts(graph: &Graph, times: u8) -> Vec<Part> {
    let mut later = vec![false; graph.types().len()];
    let part = |eqn: &gradus_core::Eqn, later: &mut [bool]| {
        let part = match &eqn.op {
            Op::Full(_) => Part::First,
            _ if eqn.site.transposed >= times => Part::Back,
            _ if eqn.inputs.iter().any(|v| later[v.index()]) => Part::After,
            _ => Part::First,
        };
        for v in &eqn.outputs {
            later[v.index()] = part != Part::First;
        }
        part
    };
    graph.eqns().iter().map(|eqn| part(eqn, &mut later)).collect()
}

/// The equation of the way back before which the first half keeps most bytes for the rest, and those bytes.
fn most_kept(graph: &Graph, parts: &[Part], root: &[Option<Var>]) -> Option<(usize, usize)> {
    let mut last: Vec<usize> = vec![0; graph.types().len()];
    for (i, eqn) in graph.eqns().iter().enumerate().filter(|(i, _)| parts[*i] != Part::First) {
        for r in eqn.inputs.iter().filter_map(|v| root[v.index()]) {
            last[r.index()] = i;
        }
    }
    let mut change = vec![0isize; graph.eqns().len() + 1];
    for (i, eqn) in graph.eqns().iter().enumerate().filter(|(i, _)| parts[*i] == Part::First) {
        for &v in eqn.outputs.iter().filter(|v| root[v.index()] == Some(**v) && last[v.index()] > i) {
            change[i + 1] += graph.ty(v).bytes() as isize;
            change[last[v.index()] + 1] -= graph.ty(v).bytes() as isize;
        }
    }
    let (mut now, mut most) = (0, None);
    for (i, c) in change.iter().enumerate() {
        now += c;
        if parts.get(i) == Some(&Part::Back) && now > most.map_or(0, |m: (usize, isize)| m.1) {
            most = Some((i, now));
        }
    }
    most.map(|(at, bytes)| (at, bytes as usize))
}

impl Halves {
    /// Finds the halves; where derivatives were taken several times, those that keep most. `None` for a program
    /// without a way back, or one whose way back reads nothing but arguments.
    pub(super) fn find(graph: &Graph) -> Option<Self> {
        let root = roots(graph);
        let deepest = graph.eqns().iter().map(|e| e.site.transposed).max().unwrap_or(0);
        let mut best: Option<(usize, usize, Vec<Part>)> = None;
        for times in 1..=deepest {
            let parts = parts(graph, times);
            if let Some((at, bytes)) = most_kept(graph, &parts, &root)
                && best.as_ref().is_none_or(|b| bytes > b.1)
            {
                best = Some((at, bytes, parts));
            }
        }
        let (at, _, parts) = best?;
        let mut available = vec![true; graph.types().len()];
        for (eqn, part) in graph.eqns().iter().zip(&parts).skip(at) {
            let here =
                *part == Part::First && is_cheap(&eqn.op) && eqn.inputs.iter().all(|v| available[v.index()]);
            for v in &eqn.outputs {
                available[v.index()] = here;
            }
        }
        Some(Halves { at, available, made: definitions(graph), parts })
    }

    /// The values of the first half that the second reads as a whole, not element by element.
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
