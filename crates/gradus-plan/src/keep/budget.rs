//! The fastest plan within a budget.
//!
//! A set of plans that no budget changes is made in full, from the program that keeps much to those that keep little:
//! every choice of kept values written into the whole program, and schedules over its stages. The fastest that fits is
//! taken; what counts is the peak of the finished plan, not an estimate. So a smaller budget never gives a larger plan.
//! Then plans between the one taken and the next larger one are looked at; one smaller than what has been taken is not,
//! since a smaller budget may have to go without it.

use gradus_core::{ErrorKind, Graph, Result};

use super::boundary::Halves;
use super::chain::Chain;
use super::curve::{self, Choice};
use super::schedule::Table;
use super::{borders, cost, cut, replay, rewrite};
use crate::{Budget, Options, Plan};

/// How many plans are made at most, and how many at least, of schedules.
const PLANS: [usize; 2] = [10, 96];
/// About how many equations all plans together may have.
const EQUATIONS: usize = 160_000;
/// How many plans are looked at between two of those.
const FINE: usize = 5;

/// How many cuts into stages are scheduled at most, and how few stages a cut may have.
const TABLES: usize = 4;
const FEW: usize = 4;

/// A way to write the program.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Way {
    /// What a choice keeps is kept, throughout.
    Choice(usize),
    /// A rung of a table's ladder.
    Rung(usize, usize),
}

/// A finished plan.
struct Made {
    way: Way,
    plan: Plan,
    peak: usize,
    seconds: f64,
}

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
    let nanos = cost::nanos(graph);
    let choices = curve::choices(graph, halves, &nanos);
    let least = cut::kept(graph, halves, 0.0, &cost::prices(graph, &nanos, cut::cheap));
    let Some(starts) = borders::even(graph, halves, &least) else {
        return Err(too_small(limit, natural).into());
    };
    let chain = |starts: &[usize]| Chain::new(graph, halves, &nanos, starts, &choices);
    let mut chains = vec![chain(&starts)];
    for choice in 0..choices.len() {
        let longer = borders::apart(&chains[0], choice);
        let known = chains.iter().any(|c| c.stages.iter().map(|s| s.from).eq(longer.iter().copied()));
        if !known && longer.len() >= FEW && chains.len() < TABLES {
            chains.push(chain(&longer));
        }
    }
    let tables: Vec<Table<'_>> = chains.iter().map(Table::new).collect();
    let ladders: Vec<Vec<usize>> = tables.iter().map(Table::ladder).collect();
    let looked_at = vec![("no budget".to_string(), natural, fast.estimated_seconds())];
    let mut search =
        Search { tables: &tables, ladders: &ladders, choices: &choices, options, limit, looked_at };
    let plans = (EQUATIONS / graph.eqns().len().max(1)).clamp(PLANS[0], PLANS[1]);
    let all = ladders.iter().map(Vec::len).sum::<usize>().max(1);
    let rungs = |t: usize| (plans * ladders[t].len() / all).max(2).min(ladders[t].len());
    let rung = |t: usize, step: usize| step * (ladders[t].len() - 1) / (rungs(t) - 1).max(1);
    let whole = (0..choices.len()).map(|c| (Way::Choice(c), 0));
    let schedules = (0..tables.len())
        .flat_map(|t| (0..rungs(t)).map(move |step| (t, step)))
        .map(|(t, step)| (Way::Rung(t, rung(t, step)), step));
    let (mut smallest, mut best) = (natural, None::<(Made, usize)>);
    for (way, step) in whole.chain(schedules) {
        let made = search.plan(way)?;
        smallest = smallest.min(made.peak);
        let faster = |b: &(Made, usize)| (made.seconds, made.peak) < (b.0.seconds, b.0.peak);
        if made.peak <= limit && best.as_ref().is_none_or(faster) {
            best = Some((made, step));
        }
    }
    let Some((mut best, step)) = best else { return Err(too_small(limit, smallest).into()) };
    if let (Way::Rung(t, at), Some(before)) = (best.way, step.checked_sub(1)) {
        let (above, least) = (rung(t, before), best.peak);
        for part in 1..=FINE {
            let between = above + part * (at - above) / (FINE + 1);
            if between == above || between == at {
                continue;
            }
            let made = search.plan(Way::Rung(t, between))?;
            if (least..=limit).contains(&made.peak) && made.seconds < best.seconds {
                best = made;
            }
        }
    }
    let mut plan = best.plan;
    plan.decision.strategy = options.strategy;
    plan.decision.alternatives = search.looked_at;
    plan.decision.why = format!("the fastest plan found within {limit} bytes");
    Ok(plan)
}

struct Search<'a> {
    tables: &'a [Table<'a>],
    ladders: &'a [Vec<usize>],
    choices: &'a [Choice],
    options: &'a Options,
    limit: usize,
    looked_at: Vec<(String, usize, f64)>,
}

impl Search<'_> {
    fn plan(&mut self, way: Way) -> Result<Made> {
        let chain = self.tables[0].chain;
        let (staged, what) = match way {
            Way::Rung(t, rung) => {
                let table = &self.tables[t];
                let events = table.events(self.ladders[t][rung]);
                (replay::replay(table.chain, &events)?, table.described(&events))
            }
            Way::Choice(c) => {
                let choice = &self.choices[c];
                (rewrite::rewrite(chain.graph, chain.halves, &choice.kept)?, choice.described())
            }
        };
        let plan = Plan::staged(staged.graph, &staged.stages, self.options)?;
        let (peak, seconds) = (plan.peak(self.options), plan.estimated_seconds());
        let fits = if peak <= self.limit { "fits" } else { "does not fit" };
        self.looked_at.push((format!("{what}: {fits}"), peak, seconds));
        Ok(Made { way, plan, peak, seconds })
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
