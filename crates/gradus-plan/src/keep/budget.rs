//! The fastest plan within a budget.
//!
//! A set of candidate plans that does not depend on the budget is made in full, from programs that keep much to those
//! that keep little: every choice of kept values written into the whole program, and schedules over its stages. The
//! fastest candidate that fits is taken, by the peak of the finished plan rather than an estimate. So a smaller budget
//! never gives a larger plan. Then plans between the one taken and the next larger candidate are tried, but none
//! smaller than the one taken, because smaller budgets depend on the same set.

use gradus_core::{ErrorKind, Graph, Result};

use super::boundary::Boundary;
use super::chain::Chain;
use super::curve::{self, Choice};
use super::schedule::Table;
use super::{Staged, borders, cost, cut, replay, rewrite};
use crate::{Budget, Options, Plan, work};

/// The most and the fewest plans that are made of schedules.
const PLANS: [usize; 2] = [10, 96];
/// Above this many equations fewer plans are made, so that all of them take no more than a few times as long as the
/// plan without a budget: this many choices, schedules over one cut into stages, and plans between two candidates.
const LONG: usize = 2_000;
const LONG_CHOICES: usize = 5;
const LONG_PLANS: usize = 3;
const LONG_FINE: usize = 1;
/// The approximate number of equations that all plans together may have.
const EQUATIONS: usize = 160_000;
/// The number of plans that are considered between two of those.
const FINE: usize = 5;
/// The approximate number of equations in the plans that are considered value by value.
const SINGLE: usize = 40_000;
/// The most cuts into stages that are scheduled, and the fewest stages of a cut.
const TABLES: usize = 4;
const FEW: usize = 4;

/// A finished plan.
struct Made {
    plan: Plan,
    peak: usize,
    seconds: f64,
    /// The table and the rung of its ladder that it comes from.
    rung: Option<(usize, usize)>,
}

/// What has been found within the limit.
struct Found {
    limit: usize,
    smallest: usize,
    best: Option<Made>,
}

impl Found {
    fn look(&mut self, made: Made) {
        self.smallest = self.smallest.min(made.peak);
        let faster = |b: &Made| (made.seconds, made.peak) < (b.seconds, b.peak);
        if made.peak <= self.limit && self.best.as_ref().is_none_or(faster) {
            self.best = Some(made);
        }
    }
}

/// A plan within the budget, where `fast` is the plan without one.
pub(super) fn fit(
    graph: &Graph,
    boundary: &Boundary,
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
    if graph.runs_once() {
        return Err(too_small(limit, natural).into());
    }
    let costs = &options.target.costs;
    let nanos = cost::nanos(graph, costs);
    let long = graph.eqns().len() > LONG;
    if long {
        work::simpler("fewer plans are considered");
    }
    let choices =
        curve::choices(graph, boundary, &nanos, costs.worth(), if long { LONG_CHOICES } else { curve::MOST });
    let tables = if long { 1 } else { TABLES };
    let Some(chains) = chains(graph, boundary, &nanos, &choices, tables) else {
        return Err(too_small(limit, natural).into());
    };
    let tables: Vec<Table<'_>> = chains.iter().map(Table::new).collect();
    let ladders: Vec<Vec<usize>> = tables.iter().map(Table::ladder).collect();
    let considered = vec![("no budget".to_string(), natural, fast.estimated_seconds())];
    let mut search =
        Search { graph, boundary, tables: &tables, ladders: &ladders, options, limit, considered };
    let mut found = Found { limit, smallest: natural, best: None };
    for choice in &choices {
        found.look(search.whole(&choice.kept, Some(choice.described()))?);
    }
    thin(&mut search, &mut found, &choices)?;
    let plans =
        if long { LONG_PLANS } else { (EQUATIONS / graph.eqns().len().max(1)).clamp(PLANS[0], PLANS[1]) };
    let fine = if long { LONG_FINE } else { FINE };
    let all = ladders.iter().map(Vec::len).sum::<usize>().max(1);
    let rungs = |t: usize| (plans * ladders[t].len() / all).max(2).min(ladders[t].len());
    let rung = |t: usize, step: usize| step * (ladders[t].len() - 1) / (rungs(t) - 1).max(1);
    for t in 0..tables.len() {
        for step in 0..rungs(t) {
            found.look(search.rung(t, rung(t, step))?);
        }
    }
    let Some(mut best) = found.best else { return Err(too_small(limit, found.smallest).into()) };
    if let Some((t, at)) = best.rung {
        let above = (0..rungs(t)).map(|step| rung(t, step)).filter(|&r| r < at).max().unwrap_or(at);
        let least = best.peak;
        for part in 1..=fine {
            let between = above + part * (at - above) / (fine + 1);
            if between == above || between == at {
                continue;
            }
            let made = search.rung(t, between)?;
            if (least..=limit).contains(&made.peak) && made.seconds < best.seconds {
                best = made;
            }
        }
    }
    let mut plan = best.plan;
    plan.decision.strategy = options.strategy;
    plan.decision.alternatives = search.considered;
    plan.decision.why = format!("the fastest plan found within {limit} bytes");
    // Arguments, results and allocations outside the arena do not depend on the kept values.
    let available = (limit + plan.arena_bytes()).saturating_sub(plan.peak(options));
    plan.decision.least_again =
        1e-9 * curve::least_again(graph, boundary, &nanos, costs.worth(), available as f64);
    Ok(plan)
}

/// Several cuts of the forward pass into stages: an even one, and ones with longer stages for choices that recompute
/// much. `None` if nothing is kept.
fn chains<'a>(
    graph: &'a Graph,
    boundary: &'a Boundary,
    nanos: &[f64],
    choices: &[Choice],
    most: usize,
) -> Option<Vec<Chain<'a>>> {
    let least = cut::kept(graph, boundary, 0.0, &cost::cheap_prices(graph, nanos));
    let chain = |starts: &[usize]| Chain::new(graph, boundary, nanos, starts, choices);
    let mut chains = vec![chain(&borders::even(graph, boundary, &least)?)];
    for choice in 0..if most > 1 { choices.len() } else { 0 } {
        let longer = borders::apart(&chains[0], choice);
        let known = chains.iter().any(|c| c.stages.iter().map(|s| s.from).eq(longer.iter().copied()));
        if !known && longer.len() >= FEW && chains.len() < most {
            chains.push(chain(&longer));
        }
    }
    Some(chains)
}

/// Tries sets of kept values of a short program: from all values that any choice keeps down to none, and from none up
/// to all, one value at a time, each time the one that gives the fastest program.
fn thin(search: &mut Search<'_>, found: &mut Found, choices: &[Choice]) -> Result<()> {
    let graph = search.graph;
    let any = |v: &usize| choices.iter().any(|c| c.kept[*v]);
    let values: Vec<usize> = (0..graph.types().len()).filter(any).collect();
    if values.len() * (values.len() + 1) * graph.eqns().len() > SINGLE {
        return Ok(());
    }
    for keep in [false, true] {
        let mut kept = vec![false; graph.types().len()];
        values.iter().for_each(|&v| kept[v] = !keep);
        let mut left = values.clone();
        while !left.is_empty() {
            let mut next = (f64::INFINITY, usize::MAX, 0);
            for (at, &v) in left.iter().enumerate() {
                kept[v] = keep;
                let made = search.whole(&kept, None)?;
                kept[v] = !keep;
                if (made.seconds, made.peak) < (next.0, next.1) {
                    next = (made.seconds, made.peak, at);
                }
                found.look(made);
            }
            kept[left.remove(next.2)] = keep;
        }
    }
    Ok(())
}

struct Search<'a> {
    graph: &'a Graph,
    boundary: &'a Boundary,
    tables: &'a [Table<'a>],
    ladders: &'a [Vec<usize>],
    options: &'a Options,
    limit: usize,
    considered: Vec<(String, usize, f64)>,
}

impl Search<'_> {
    /// The plan that keeps these values throughout.
    fn whole(&mut self, kept: &[bool], what: Option<String>) -> Result<Made> {
        let staged = rewrite::rewrite(self.graph, self.boundary, kept)?;
        self.made(staged, what, None)
    }

    /// The plan of a rung of a table's ladder.
    fn rung(&mut self, t: usize, rung: usize) -> Result<Made> {
        let table = &self.tables[t];
        let events = table.events(self.ladders[t][rung]);
        self.made(replay::replay(table.chain, &events)?, Some(table.described(&events)), Some((t, rung)))
    }

    fn made(&mut self, staged: Staged, what: Option<String>, rung: Option<(usize, usize)>) -> Result<Made> {
        let plan = Plan::staged(staged.graph, &staged.stages, self.options)?;
        let (peak, seconds) = (plan.peak(self.options), plan.estimated_seconds());
        if let Some(what) = what {
            let fits = if peak <= self.limit { "fits" } else { "does not fit" };
            self.considered.push((format!("{what}: {fits}"), peak, seconds));
        }
        Ok(Made { plan, peak, seconds, rung })
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
