//! Scratch memory of control flow: the arenas of the planned sub-programs, and the carried values of loops.
//!
//! A loop carries its state in two sets of buffers that take turns; the layout is shared with whoever runs it.

use std::sync::Arc;

use gradus_core::ops::Op;
use gradus_core::{Graph, Type};

use crate::Plan;
use crate::arena::ALIGN;

/// Bytes that values take, one after another, each aligned; and where each begins.
pub fn packed<'a>(types: impl IntoIterator<Item = &'a Type>) -> (Vec<usize>, usize) {
    let mut at = 0;
    let mut offsets = Vec::new();
    for ty in types {
        offsets.push(at);
        at += ty.bytes().next_multiple_of(ALIGN);
    }
    (offsets, at)
}

/// The types that a loop carries.
pub fn carried(op: &Op) -> Vec<Type> {
    let results = |graph: &Graph, n: usize| graph.output_types()[..n].to_vec();
    match op {
        Op::Scan(scan) => results(&scan.body, scan.carry),
        Op::While(w) => results(&w.body, w.body.outputs().len()),
        _ => Vec::new(),
    }
}

/// Where things lie in the scratch of a control-flow kernel.
#[derive(Clone, Debug)]
pub struct ControlLayout {
    /// Offsets of the carried values in each of the two sets.
    pub carry: Vec<usize>,
    /// Bytes of one set.
    pub set: usize,
    /// Where the sub-programs' arena begins: after both sets and a place for a condition.
    pub arena: usize,
    /// All bytes.
    pub bytes: usize,
}

impl ControlLayout {
    /// The layout for a primitive and the plans of its sub-programs.
    pub fn new(op: &Op, plans: &[Arc<Plan>]) -> Self {
        let (carry, set) = packed(&carried(op));
        let arena = 2 * set + ALIGN;
        let inner = plans.iter().map(|p| p.arena_bytes()).max().unwrap_or(0);
        ControlLayout { carry, set, arena, bytes: arena + inner }
    }
}

/// Scratch bytes of a control-flow kernel.
pub(crate) fn workspace(op: &Op, plans: &[Arc<Plan>]) -> usize {
    ControlLayout::new(op, plans).bytes
}
