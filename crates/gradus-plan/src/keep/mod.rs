//! What to keep between the two halves of a reverse-mode program, and what to compute again.
//!
//! A program of values and gradients computes values first and comes back through them later; what the second half
//! reads of the first is kept meanwhile. [`boundary`] finds where the halves meet. [`early`] lets an update of
//! parameters follow each gradient at once. [`nested`] multiplies local
//! derivatives out while their operands are at hand, so that an element-wise region keeps its derivative only.
//! [`cut`] chooses what crosses: a minimum cut over bytes and time. [`segments`] gives memory back by recomputing
//! whole stretches, matrix products included. [`rewrite`] writes the choice into the program: what is computed again
//! becomes equations of the second half.
//!
//! The derivative program is fixed before a budget is read: a budget only moves values between kept and computed
//! again, by the same equations.

mod boundary;
mod cut;
mod early;
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
    let staged = |s: Staged, why: &str| -> Result<Plan> {
        let mut plan = Plan::staged(s.graph, &s.stages, options)?;
        plan.decision.strategy = options.strategy;
        plan.decision.why = why.into();
        within(options, &plan)?;
        Ok(plan)
    };
    const STRAIGHT: &str = "nothing is kept for later: the program has no second half";
    let Some(halves) = Halves::find(&graph) else { return staged(Staged::whole(graph), STRAIGHT) };
    let graph = early::as_they_come(&graph, &halves)?;
    let Some(halves) = Halves::find(&graph) else { return staged(Staged::whole(graph), STRAIGHT) };
    match options.strategy {
        Strategy::Plain => staged(halves.as_it_is(&graph), "each primitive keeps what its rule reads"),
        Strategy::Recompute => {
            let kept = cut::kept(&graph, &halves, 0.0, cut::elementwise);
            let s = rewrite::rewrite(&graph, &halves, &kept)?;
            staged(s, "element-wise regions keep what enters them and are computed again")
        }
        Strategy::Nested | Strategy::Auto => {
            let graph = nested::preaccumulate(&graph, &halves)?;
            let Some(halves) = Halves::find(&graph) else { return staged(Staged::whole(graph), STRAIGHT) };
            let kept = cut::kept(&graph, &halves, FAST, cut::cheap);
            let s = rewrite::rewrite(&graph, &halves, &kept)?;
            let why = "local derivatives are multiplied out in the first half; what is cheaper to compute than to \
                       store and load is computed again";
            match options.memory_budget {
                Some(budget) if options.strategy == Strategy::Auto => {
                    let mut fast = Plan::staged(s.graph, &s.stages, options)?;
                    fast.decision.why = why.into();
                    fit(&graph, &halves, fast, budget, options)
                }
                _ => staged(s, why),
            }
        }
    }
}

/// The fastest plan within the budget.
fn fit(graph: &Graph, halves: &Halves, fast: Plan, budget: Budget, options: &Options) -> Result<Plan> {
    let natural = fast.peak(options);
    let limit = match budget {
        Budget::Bytes(bytes) => bytes,
        Budget::Share(share) => (natural as f64 * share) as usize,
    };
    if natural <= limit {
        return Ok(fast);
    }
    let mut smallest = natural;
    let mut best: Option<Plan> = None;
    let mut looked_at = vec![("no budget".to_string(), natural, fast.estimated_seconds())];
    let mut consider = |kept: &[bool], what: String| -> Result<bool> {
        let s = rewrite::rewrite(graph, halves, kept)?;
        let mut plan = Plan::staged(s.graph, &s.stages, options)?;
        let (peak, seconds) = (plan.peak(options), plan.estimated_seconds());
        smallest = smallest.min(peak);
        looked_at.push((what.clone(), peak, seconds));
        let fits = peak <= limit;
        if fits && best.as_ref().is_none_or(|b| seconds < b.estimated_seconds()) {
            plan.decision.why = format!("the fastest plan found within {limit} bytes: {what}");
            best = Some(plan);
        }
        Ok(fits)
    };
    // Dearer and dearer ways to save, in an order that no budget changes; the first that fits is the fastest.
    let mut done = false;
    for worth in [2.0, 0.5, 0.1, 0.0] {
        let kept = cut::kept(graph, halves, worth, cut::cheap);
        if consider(&kept, format!("element-wise work is done again for {worth} bytes a nanosecond"))? {
            done = true;
            break;
        }
    }
    if !done {
        let base = cut::kept(graph, halves, 0.0, cut::cheap);
        for (pieces, kept) in segments::choices(graph, halves, &base) {
            consider(&kept, format!("{pieces} stretches are computed again, products included"))?;
        }
    }
    match best {
        Some(mut plan) => {
            plan.decision.strategy = options.strategy;
            plan.decision.alternatives = looked_at;
            Ok(plan)
        }
        None => Err(too_small(limit, smallest).into()),
    }
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
fn within(options: &Options, plan: &Plan) -> Result<()> {
    let peak = plan.peak(options);
    let limit = match options.memory_budget {
        None => return Ok(()),
        Some(Budget::Bytes(bytes)) => bytes,
        Some(Budget::Share(share)) => (peak as f64 * share) as usize,
    };
    if peak <= limit { Ok(()) } else { Err(too_small(limit, peak).into()) }
}
