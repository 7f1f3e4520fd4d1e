//! The fastest plan within a budget.
//!
//! Plans are looked at in an order that no budget changes, from fast and large to slow and small; the first that fits
//! is taken. So a smaller budget never gives a larger plan. Every plan is made in full before it is judged: what counts
//! is the peak of the finished plan, not an estimate.

use gradus_core::{ErrorKind, Graph, Result};

use super::boundary::Halves;
use super::chain::Chain;
use super::schedule::Table;
use super::{FAST, cut, replay, rewrite};
use crate::{Budget, Options, Plan};

/// How many plans of a long program are looked at first.
const COARSE: usize = 14;
/// Programs up to this many equations are planned in every way that the schedules offer.
const SHORT: usize = 1500;
/// How many plans are looked at between two of those.
const FINE: usize = 5;

/// A plan within the budget, where `fast` is the plan without one.
pub(super) fn fit(
    graph: &Graph,
    halves: &Halves,
    fast: Plan,
    budget: Budget,
    options: &Options,
) -> Result<Plan> {
    let natural = fast.peak(options);
    let limit = match budget {
        Budget::Bytes(bytes) => bytes,
        Budget::Share(share) => (natural as f64 * share) as usize,
    };
    if natural <= limit {
        return Ok(fast);
    }
    let mut choices: Vec<Vec<bool>> = Vec::new();
    for worth in [FAST, 0.5, 0.0] {
        let kept = cut::kept(graph, halves, worth, cut::cheap);
        if !choices.contains(&kept) {
            choices.push(kept);
        }
    }
    let Some(chain) = Chain::new(graph, halves, &choices) else {
        return Err(too_small(limit, natural).into());
    };
    let table = Table::new(&chain);
    // Among the schedules, the one that keeps least without running a product again.
    let mut ladder: Vec<Option<usize>> = table.ladder().into_iter().map(Some).collect();
    let slower = |m: &Option<usize>| m.is_some_and(|m| table.time(m) > table.time_of_least());
    ladder.insert(ladder.iter().position(slower).unwrap_or(ladder.len()), None);
    let least = choices.last().map_or(&[][..], |kept| kept);
    let mut search = Search {
        chain: &chain,
        table: &table,
        least,
        options,
        limit,
        looked_at: vec![("no budget".to_string(), natural, fast.estimated_seconds())],
    };
    let coarse = if graph.eqns().len() <= SHORT { ladder.len().max(2) } else { COARSE };
    let rung = |step: usize| step * ladder.len().saturating_sub(1) / (coarse - 1);
    let mut smallest = natural;
    let mut above = 0;
    for step in 0..coarse {
        let at = rung(step);
        if step > 0 && at == rung(step - 1) {
            continue;
        }
        let (plan, peak) = search.plan(ladder[at])?;
        smallest = smallest.min(peak);
        if peak > limit {
            above = at;
            continue;
        }
        // Between the last that does not fit and this one there may be a faster one; one smaller than this is not
        // taken, since a smaller budget may have to go without it.
        let mut best = plan;
        for part in 1..=FINE {
            let between = above + part * at.saturating_sub(above) / (FINE + 1);
            if between == above || between == at {
                continue;
            }
            let (plan, other) = search.plan(ladder[between])?;
            if (peak..=limit).contains(&other) {
                best = plan;
                break;
            }
        }
        best.decision.strategy = options.strategy;
        best.decision.alternatives = search.looked_at;
        best.decision.why = format!("the fastest plan found within {limit} bytes");
        return Ok(best);
    }
    Err(too_small(limit, smallest).into())
}

struct Search<'a> {
    chain: &'a Chain<'a>,
    table: &'a Table<'a>,
    least: &'a [bool],
    options: &'a Options,
    limit: usize,
    looked_at: Vec<(String, usize, f64)>,
}

impl Search<'_> {
    /// The plan within so many units, or the one that keeps least.
    fn plan(&mut self, units: Option<usize>) -> Result<(Plan, usize)> {
        let (staged, what) = match units {
            Some(units) => {
                let events = self.table.events(units);
                (replay::replay(self.chain, &events)?, self.table.described(&events))
            }
            None => {
                let staged = rewrite::rewrite(self.chain.graph, self.chain.halves, self.least)?;
                (staged, "all that is cheap is computed again".into())
            }
        };
        let plan = Plan::staged(staged.graph, &staged.stages, self.options)?;
        let peak = plan.peak(self.options);
        let fits = if peak <= self.limit { "fits" } else { "does not fit" };
        self.looked_at.push((format!("{what}: {fits}"), peak, plan.estimated_seconds()));
        Ok((plan, peak))
    }
}

pub(super) fn too_small(limit: usize, smallest: usize) -> ErrorKind {
    ErrorKind::Argument {
        op: "memory_budget",
        detail: format!(
            "no plan for this program stays within {limit} bytes; the smallest that was found needs {smallest} bytes"
        ),
    }
}

/// A budget on a plan that has no choice.
pub(super) fn within(options: &Options, plan: &Plan) -> Result<()> {
    let peak = plan.peak(options);
    let limit = match options.memory_budget {
        None => return Ok(()),
        Some(Budget::Bytes(bytes)) => bytes,
        Some(Budget::Share(share)) => (peak as f64 * share) as usize,
    };
    if peak <= limit { Ok(()) } else { Err(too_small(limit, peak).into()) }
}
