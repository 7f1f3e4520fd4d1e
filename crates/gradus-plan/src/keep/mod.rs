//! What to keep between the two halves of a reverse-mode program, and what to compute again.
//!
//! A program of values and gradients computes values first and comes back through them later; what the second half
//! reads of the first is kept meanwhile. [`boundary`] finds where the halves meet. [`nested`] multiplies local
//! derivatives out while their operands are at hand, so that an element-wise region keeps its derivative only.
//! [`cut`] chooses what crosses: a minimum cut over bytes and time. [`segments`] gives memory back by recomputing
//! whole stretches, matrix products included. [`rewrite`] writes the choice into the program: what is computed again
//! becomes equations of the second half.
//!
//! The derivative program is fixed before a budget is read: a budget only moves values between kept and computed
//! again, by the same equations.

mod boundary;
mod cut;
mod nested;
mod rewrite;
mod segments;

use gradus_core::{ErrorKind, Graph, Result};

use crate::{Budget, Options, Plan, Strategy};
use boundary::Halves;

/// Bytes that a nanosecond is worth where time is all that counts: keeping a byte costs its writing and reading.
const FAST: f64 = 10.0;

/// A program with its equations divided between the halves.
pub(crate) struct Staged {
    pub(crate) graph: Graph,
    pub(crate) stages: Vec<u32>,
}

impl Staged {
    fn whole(graph: Graph) -> Self {
        let stages = vec![0; graph.eqns().len()];
        Staged { graph, stages }
    }
}

/// Plans a simplified graph by the strategy and budget of `options`.
pub(crate) fn choose(graph: Graph, options: &Options) -> Result<Plan> {
    let staged = |s: Staged| Plan::staged(s.graph, &s.stages, options);
    let halves = Halves::find(&graph);
    let Some(halves) = halves else {
        let plan = staged(Staged::whole(graph))?;
        return within(options, &plan, plan.planned_peak_bytes()).map(|()| plan);
    };
    let plan = match options.strategy {
        Strategy::Plain => staged(halves.as_it_is(&graph))?,
        Strategy::Recompute => {
            let kept = cut::kept(&graph, &halves, 0.0, cut::elementwise);
            staged(rewrite::rewrite(&graph, &halves, &kept)?)?
        }
        Strategy::Nested | Strategy::Auto => {
            let graph = nested::preaccumulate(&graph, &halves)?;
            let Some(halves) = Halves::find(&graph) else { return staged(Staged::whole(graph)) };
            let kept = cut::kept(&graph, &halves, FAST, cut::cheap);
            let fast = staged(rewrite::rewrite(&graph, &halves, &kept)?)?;
            match options.memory_budget {
                Some(budget) if options.strategy == Strategy::Auto => {
                    return fit(&graph, &halves, fast, budget, options);
                }
                _ => fast,
            }
        }
    };
    within(options, &plan, plan.planned_peak_bytes()).map(|()| plan)
}

/// The fastest plan within the budget.
fn fit(graph: &Graph, halves: &Halves, fast: Plan, budget: Budget, options: &Options) -> Result<Plan> {
    let limit = match budget {
        Budget::Bytes(bytes) => bytes,
        Budget::Share(share) => (fast.planned_peak_bytes() as f64 * share) as usize,
    };
    if fast.planned_peak_bytes() <= limit {
        return Ok(fast);
    }
    let mut smallest = fast.planned_peak_bytes();
    let mut best: Option<Plan> = None;
    let mut consider = |kept: &[bool]| -> Result<bool> {
        let s = rewrite::rewrite(graph, halves, kept)?;
        let plan = Plan::staged(s.graph, &s.stages, options)?;
        smallest = smallest.min(plan.planned_peak_bytes());
        let fits = plan.planned_peak_bytes() <= limit;
        if fits && best.as_ref().is_none_or(|b| plan.estimated_seconds() < b.estimated_seconds()) {
            best = Some(plan);
        }
        Ok(fits)
    };
    // Dearer and dearer ways to save, in an order that no budget changes; the first that fits is the fastest.
    for worth in [2.0, 0.5, 0.1, 0.0] {
        if consider(&cut::kept(graph, halves, worth, cut::cheap))? {
            return Ok(best.expect("a plan that fits"));
        }
    }
    let base = cut::kept(graph, halves, 0.0, cut::cheap);
    for kept in segments::choices(graph, halves, &base) {
        consider(&kept)?;
    }
    best.ok_or_else(|| too_small(limit, smallest).into())
}

fn too_small(limit: usize, smallest: usize) -> ErrorKind {
    ErrorKind::Argument {
        op: "memory_budget",
        detail: format!(
            "no plan for this program stays within {limit} bytes; the smallest that was found needs {smallest} bytes"
        ),
    }
}

/// A budget on a plan that has no choice.
fn within(options: &Options, plan: &Plan, natural: usize) -> Result<()> {
    let limit = match options.memory_budget {
        None => return Ok(()),
        Some(Budget::Bytes(bytes)) => bytes,
        Some(Budget::Share(share)) => (natural as f64 * share) as usize,
    };
    let peak = plan.planned_peak_bytes();
    if peak <= limit { Ok(()) } else { Err(too_small(limit, peak).into()) }
}
