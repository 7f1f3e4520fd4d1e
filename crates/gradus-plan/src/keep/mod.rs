//! What to keep between the two halves of a reverse-mode program, and what to compute again.
//!
//! A program of values and gradients computes values first and comes back through them later; what the second half
//! reads of the first is kept meanwhile. [`boundary`] finds where the halves meet. [`early`] lets an update of
//! parameters follow each gradient at once. [`nested`] multiplies local
//! derivatives out while their operands are at hand, so that an element-wise region keeps its derivative only.
//! [`cut`] chooses what crosses: a minimum cut over bytes and time. [`rewrite`] writes the choice into the program: what
//! is computed again becomes equations of the second half.
//!
//! Under a [`budget`] more is computed again, matrix products included: the [`curve`] of bytes over time gives choices of
//! what is kept; the first half is cut at its [`borders`] into a [`chain`] of stages, each of which has a way
//! [`back`] by every choice; a [`schedule`] says which way each stage takes and when it is run again, and [`replay`]
//! writes that into the program. What an equation [`cost`]s is an estimate; what counts is the finished plan.
//!
//! The derivative program is fixed before a budget is read: a budget only moves values between kept and computed
//! again, by the same equations.

mod back;
mod borders;
mod boundary;
mod budget;
mod chain;
mod cost;
mod curve;
mod cut;
mod early;
#[cfg(test)]
mod exact;
mod nested;
mod replay;
mod rewrite;
mod schedule;
mod scores;

use gradus_core::{Graph, Result, transforms};

use crate::{Options, Plan, Strategy};
use boundary::Halves;
pub(crate) use boundary::definitions;

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
pub(crate) fn choose(mut graph: Graph, options: &Options) -> Result<Plan> {
    let costs = &options.target.costs;
    let staged = |s: Staged, why: &str| -> Result<Plan> {
        let mut plan = Plan::staged(s.graph, &s.stages, options)?;
        plan.decision.strategy = options.strategy;
        plan.decision.why = why.into();
        budget::within(options, &plan)?;
        Ok(plan)
    };
    const STRAIGHT: &str = "nothing is kept for later: the program has no second half";
    let Some(mut halves) = Halves::find(&graph) else { return staged(Staged::whole(graph), STRAIGHT) };
    if let Some(order) = early::order(&graph, &halves) {
        graph = transforms::reordered(graph, &order);
        let Some(again) = Halves::find(&graph) else { return staged(Staged::whole(graph), STRAIGHT) };
        halves = again;
    }
    match options.strategy {
        Strategy::Plain => staged(halves.as_it_is(&graph), "each primitive keeps what its rule reads"),
        Strategy::Recompute => {
            let prices = cost::prices(&graph, &cost::nanos(&graph, costs), cut::elementwise);
            let kept = cut::kept(&graph, &halves, 0.0, &prices);
            let s = rewrite::rewrite(&graph, &halves, &kept)?;
            staged(s, "element-wise regions keep what enters them and are computed again")
        }
        Strategy::Rederive => {
            let prices = cost::prices(&graph, &cost::nanos(&graph, costs), cut::elementwise);
            let mut kept = cut::kept(&graph, &halves, 0.0, &prices);
            halves.read_whole(&graph).into_iter().for_each(|v| kept[v.index()] = true);
            let s = rewrite::rewrite(&graph, &halves, &kept)?;
            staged(
                s,
                "element-wise regions keep what enters them and what products read; derivatives are computed again",
            )
        }
        Strategy::Nested | Strategy::Auto => {
            // Long programs are large: each is dropped when the next one is there.
            if let Some(nested) = nested::preaccumulate(&graph, &halves)? {
                drop((std::mem::replace(&mut graph, nested), halves));
                let Some(again) = Halves::find(&graph) else { return staged(Staged::whole(graph), STRAIGHT) };
                halves = again;
            }
            let prices = cost::cheap_prices(&graph, &cost::nanos(&graph, costs));
            let kept = cut::kept(&graph, &halves, costs.worth(), &prices);
            let s = rewrite::rewrite(&graph, &halves, &kept)?;
            let why = "local derivatives are multiplied out in the first half; what is cheaper to compute than to \
                       store and load is computed again";
            match options.memory_budget {
                Some(budget) if options.strategy == Strategy::Auto => {
                    let mut fast = Plan::staged(s.graph, &s.stages, options)?;
                    fast.decision.why = why.into();
                    budget::fit(&graph, &halves, fast, budget, options)
                }
                _ => {
                    drop((graph, halves));
                    staged(s, why)
                }
            }
        }
    }
}
