//! Scratch memory of control flow: the arenas of the planned sub-programs, and the carried values of loops.
//!
//! A loop carries its state in two sets of buffers that alternate; a replay also stores states, in as many slots as its
//! schedule has, independent of the number of its steps. Back ends use the same layouts.

use std::sync::Arc;

use gradus_core::ops::{Op, Replay};
use gradus_core::transforms::checkpoint_loops;
use gradus_core::{ErrorKind, Graph, Result, Type};

use crate::arena::ALIGN;
use crate::{Budget, Options, Plan, Strategy, keep, passes};

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

/// Where things lie in the scratch of a replay.
#[derive(Clone, Debug)]
pub struct ReplayLayout {
    /// Offsets of the states in each buffer after the result, in the numbering of [`gradus_core::ops::Sweep`].
    pub buffers: Vec<Vec<usize>>,
    /// Where the number of a step is.
    pub index: usize,
    /// Where the sub-programs' arena begins.
    pub arena: usize,
    /// All bytes.
    pub bytes: usize,
}

impl ReplayLayout {
    /// The layout for a primitive and the plans of its levels.
    pub fn new(replay: &Replay, plans: &[Arc<Plan>]) -> Self {
        let states = replay.states();
        let mut at = ALIGN;
        let mut buffers = Vec::new();
        for level in replay.sweep().buffers() {
            let (offsets, bytes) = packed(&states[level]);
            buffers.push(offsets.into_iter().map(|offset| at + offset).collect());
            at += bytes;
        }
        let inner = plans.iter().map(|p| p.arena_bytes()).max().unwrap_or(0);
        ReplayLayout { buffers, index: 0, arena: at, bytes: at + inner }
    }
}

/// Scratch bytes of a control-flow kernel.
pub(crate) fn workspace(op: &Op, plans: &[Arc<Plan>]) -> usize {
    match op {
        Op::Replay(replay) => ReplayLayout::new(replay, plans).bytes,
        _ => ControlLayout::new(op, plans).bytes,
    }
}

/// Plans a simplified graph; where no other plan meets a budget, loops store fewer states: as many as fit.
pub(crate) fn choose(graph: Graph, options: &Options) -> Result<Plan> {
    let graph = keep::fixed(graph, options.strategy)?;
    let (Some(budget), Strategy::Auto) = (options.memory_budget, options.strategy) else {
        return keep::choose(graph, options);
    };
    let Some(mut slots) = most_slots(&graph) else { return keep::choose(graph, options) };
    let mut error = match keep::choose(graph.clone(), options) {
        Err(e) if is_budget(e.kind()) => e,
        other => return other,
    };
    let limit = match budget {
        Budget::Bytes(bytes) => bytes,
        Budget::Share(share) => {
            let natural = keep::choose(graph.clone(), &Options { memory_budget: None, ..options.clone() })?;
            (natural.peak(options) as f64 * share) as usize
        }
    };
    let options = Options { memory_budget: Some(Budget::Bytes(limit)), ..options.clone() };
    while let Some(less) = checkpoint_loops(&graph, slots)? {
        match keep::choose(passes::simplify(&less)?, &options) {
            Ok(mut plan) => {
                let states = if slots == 1 { "state" } else { "states" };
                plan.decision.why = format!("{}; loops store {slots} {states} at most", plan.decision.why);
                return Ok(plan);
            }
            Err(e) if is_budget(e.kind()) => error = e,
            other => return other,
        }
        if slots == 1 {
            break;
        }
        slots = (slots * 2 / 3).max(1);
    }
    Err(error)
}

/// The most states that a loop can use: one for each step, or its own default.
fn most_slots(graph: &Graph) -> Option<usize> {
    let of = |op: &Op| match op {
        Op::Scan(scan) if scan.length > 1 => Some(scan.length),
        Op::Replay(replay) if replay.slots.is_none() => Some(replay.sweep().slots()),
        _ => None,
    };
    graph.eqns().iter().filter_map(|e| of(&e.op)).max()
}

fn is_budget(kind: &ErrorKind) -> bool {
    matches!(kind, ErrorKind::Argument { op: "memory_budget", .. })
}
