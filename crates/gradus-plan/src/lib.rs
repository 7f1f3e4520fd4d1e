//! From a graph to a plan: everything is decided before anything runs.
//!
//! [`plan`] takes a [`Graph`] and gives a [`Plan`]: kernels in order, a place in memory for every value, the peak in
//! bytes. In order: `passes` simplify the graph; `fuse` groups its equations into [kernels](kernel), reading operands
//! through [views](View) so that movement costs nothing; `arena` packs the remaining buffers into one block of memory.
//! A back end runs the plan; nothing here depends on one.

#![forbid(unsafe_code)]

mod arena;
mod bodies;
mod control;
mod explain;
mod fuse;
mod keep;
pub mod kernel;
mod packed;
mod passes;
mod plan;
mod requirements;
mod size;
mod target;
mod view;
mod work;

use gradus_core::{ErrorKind, Graph, Result, Type};

pub use arena::{ALIGN, Block};
pub use control::{ControlLayout, ReplayLayout, carried, packed};
pub use explain::{Alternative, Explanation, json_text};
pub use gradus_core::{Budget, Strategy};
pub use kernel::Kernel;
pub use plan::{Decision, Place, Plan, Residual, Return};
pub use requirements::{Requirements, RequirementsQuery, unknown};
pub use target::{Costs, Limits, Target};
pub use view::{Dim, View};

/// How reductions are divided into partial results, which decides their bits; shared with back ends.
pub mod chunks {
    pub use crate::fuse::{ROW_CHUNK, column_chunk, column_lanes, column_width};
}

/// Options of the planner.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// What the forward pass of a reverse-mode program keeps for the backward pass.
    pub strategy: Strategy,
    /// The most bytes one run may need, arguments and results included.
    pub memory_budget: Option<Budget>,
    /// Whether runs own their arguments, as a training step does: the budget then counts a result that is written over
    /// an argument once.
    pub donate: bool,
    /// The machine and the back end that will run the plan.
    pub target: Target,
}

/// Plans a graph.
///
/// # Errors
/// If the memory budget cannot be met; the error names the smallest that can. If the program's values, or the arena that
/// they would share, are [too large](gradus_core::ErrorKind::TooLarge) for any machine.
pub fn plan(graph: &Graph, options: &Options) -> Result<Plan> {
    check_size(graph)?;
    work::take_simpler();
    let _bodies = bodies::kept();
    let simple = passes::simplify(graph)?;
    let counts = (graph.eqns().len(), simple.eqns().len());
    let mut plan = control::choose(simple, options)?;
    (plan.decision.recorded, plan.decision.simplified) = counts;
    let simpler = Vec::from_iter(work::take_simpler());
    if !simpler.is_empty() {
        plan.decision.why += &format!("; planned more simply because of its size: {}", simpler.join(", "));
    }
    Ok(plan)
}

/// The most bytes of all values of a program together, so that sums and small multiples of them do not overflow.
const MOST_BYTES: u128 = 1 << 53;

/// Refuses programs with more bytes of values than any machine has.
fn check_size(graph: &Graph) -> Result<()> {
    let (mut graphs, mut bytes, mut largest) = (vec![graph], 0u128, None);
    while let Some(graph) = graphs.pop() {
        graphs.extend(graph.eqns().iter().flat_map(|eqn| eqn.op.graphs()).map(|inner| &**inner));
        for ty in graph.types() {
            bytes += ty.bytes() as u128;
            if largest.is_none_or(|most: &Type| most.bytes() < ty.bytes()) {
                largest = Some(ty);
            }
        }
    }
    match largest {
        Some(ty) if bytes > MOST_BYTES => {
            Err(ErrorKind::TooLarge { op: "plan", shape: ty.shape.clone(), bytes }.into())
        }
        _ => Ok(()),
    }
}
