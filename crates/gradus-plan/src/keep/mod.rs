//! Chooses the residuals that the forward pass of a reverse-mode program keeps for the backward pass; all else is
//! recomputed.
//!
//! A program of values and gradients computes values first, and keeps those that the backward pass reads. [`boundary`]
//! finds where the backward pass begins. Where derivatives nest, each level has such a boundary: the equations before
//! that of the highest level are a program of their own, whose results are the kept values, and which is divided in
//! turn. [`early`] schedules each update of parameters right after its gradient. [`nested`] multiplies local
//! derivatives out while their operands are available, so that an element-wise region keeps its derivative only.
//! [`cut`] chooses the kept values: a minimum cut over bytes and time. [`rewrite`] writes the choice into the program:
//! recomputation becomes equations of the backward pass.
//!
//! Under a [`budget`] more is recomputed, matrix products included: the [`curve`] of bytes over time gives choices of
//! kept values; the forward pass is cut at its [`borders`] into a [`chain`] of stages, each of which has a backward
//! pass ([`back`]) for every choice; a [`schedule`] says which choice each stage takes and when it is run again, and
//! [`replay`] writes that into the program. The [`cost`] of an equation is an estimate; finished plans decide.
//!
//! The derivative program is fixed before a budget is read: a budget only decides which values are kept and which are
//! recomputed by the same equations.

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

use gradus_core::{Eqn, Graph, Op, Result, Var, transforms};

use crate::passes::Copier;
use crate::{Costs, Options, Plan, Strategy};
use boundary::Boundary;
pub(crate) use boundary::definitions;

/// How much longer, as a share, a plan may take than another and still be preferred for using less memory.
const SLOWER: f64 = 0.02;

/// A program with its equations divided between forward and backward passes.
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

impl Staged {
    /// The program with its first stage divided further, if `deeper` divides it. The parts have to provide all values
    /// of the first stage that later stages read.
    fn deepened(self, deeper: impl FnOnce(&Graph) -> Result<Option<Staged>>) -> Result<Staged> {
        let eqns = self.graph.eqns();
        let (first, second) = eqns.split_at(self.stages.partition_point(|&stage| stage == 0));
        if !first.iter().any(|eqn| eqn.phase.is_backward()) {
            return Ok(self);
        }
        let mut crosses = vec![false; self.graph.types().len()];
        let read = second.iter().flat_map(|eqn| &eqn.inputs).chain(self.graph.outputs());
        read.for_each(|v| crosses[v.index()] = true);
        let constant = |eqn: &&Eqn| matches!(eqn.op, Op::Full(_));
        let computed = first.iter().filter(|eqn| !constant(eqn)).flat_map(|eqn| eqn.outputs.iter().copied());
        let crossing: Vec<Var> = computed.filter(|v| crosses[v.index()]).collect();
        let mut copy = Copier::new(&self.graph);
        first.iter().try_for_each(|eqn| copy.copy(eqn))?;
        let Some(inner) = deeper(&copy.finish(&crossing))? else { return Ok(self) };
        let mut copy = Copier::new(&self.graph);
        let given: Vec<Var> = self.graph.inputs().iter().map(|&v| copy.get(v)).collect();
        let results = copy.b.inline(&inner.graph, &given)?;
        crossing.iter().zip(results).for_each(|(&v, result)| copy.set(v, result));
        let mut stages = inner.stages;
        let last = stages.last().map_or(0, |stage| stage + 1);
        first.iter().filter(constant).chain(second).try_for_each(|eqn| copy.copy(eqn))?;
        stages.resize(copy.b.graph().eqns().len(), last);
        let (graph, stages) = copy.finish_staged(self.graph.outputs(), stages);
        Ok(Staged { graph, stages })
    }
}

/// Divides a program at its levels below one, the highest first, each by `keep`; `None` if there is none. The values
/// that a level keeps are results of the program before it, which is divided in turn.
fn divided(
    graph: &Graph,
    below: u8,
    keep: &dyn Fn(&Graph, &Boundary) -> Result<Staged>,
) -> Result<Option<Staged>> {
    let Some(boundary) = Boundary::below(graph, below) else { return Ok(None) };
    let staged = keep(graph, &boundary)?;
    staged.deepened(|first| divided(first, boundary.level, keep)).map(Some)
}

/// A program divided according to a strategy.
fn kept_by(strategy: Strategy, costs: &Costs, graph: &Graph, boundary: &Boundary) -> Result<Staged> {
    let nanos = cost::nanos(graph, costs);
    let kept = match strategy {
        Strategy::Plain => return Ok(boundary.as_it_is(graph)),
        Strategy::Recompute => {
            cut::kept(graph, boundary, 0.0, &cost::prices(graph, &nanos, cut::elementwise))
        }
        Strategy::Rederive => {
            let mut kept = cut::kept(graph, boundary, 0.0, &cost::prices(graph, &nanos, cut::elementwise));
            boundary.read_whole(graph).into_iter().for_each(|v| kept[v.index()] = true);
            kept
        }
        Strategy::Nested | Strategy::Auto => {
            cut::kept(graph, boundary, costs.worth(), &cost::cheap_prices(graph, &nanos))
        }
    };
    rewrite::rewrite(graph, boundary, &kept)
}

/// What a strategy does, in words.
fn described(strategy: Strategy) -> &'static str {
    match strategy {
        Strategy::Plain => "each primitive keeps what its rule reads",
        Strategy::Recompute => "element-wise regions keep what enters them and are computed again",
        Strategy::Rederive => {
            "element-wise regions keep what enters them and what products read; derivatives are computed again"
        }
        Strategy::Nested | Strategy::Auto => {
            "local derivatives are multiplied out in the forward pass; what is cheaper to compute than to store and load is \
             computed again"
        }
    }
}

/// A simplified graph with its local derivatives multiplied out, if the strategy does so. This fixes every bit of the
/// results; it is the same for every budget, so it comes before all steps that depend on one.
pub(crate) fn fixed(mut graph: Graph, strategy: Strategy) -> Result<Graph> {
    // At the level that keeps most. Long programs are large, so each is dropped once the next one exists.
    let Some(mut boundary) = Boundary::find(&graph) else { return Ok(graph) };
    if let Some(order) = early::order(&graph, &boundary) {
        graph = transforms::reordered(graph, &order);
        let Some(again) = Boundary::find(&graph) else { return Ok(graph) };
        boundary = again;
    }
    if matches!(strategy, Strategy::Nested | Strategy::Auto)
        && let Some(nested) = nested::preaccumulate(&graph, &boundary)?
    {
        drop(boundary);
        graph = nested;
    }
    Ok(graph)
}

/// Plans the result of [`fixed`] by the strategy and budget of `options`.
pub(crate) fn choose(graph: Graph, options: &Options) -> Result<Plan> {
    let (strategy, costs) = (options.strategy, &options.target.costs);
    let staged = |s: Staged, why: &str| -> Result<Plan> {
        let mut plan = Plan::staged(s.graph, &s.stages, options)?;
        plan.decision.strategy = strategy;
        plan.decision.levels = s.stages.iter().copied().max().unwrap_or(0);
        plan.decision.why = why.into();
        Ok(plan)
    };
    let straight = |graph: Graph| {
        let plan =
            staged(Staged::whole(graph), "nothing is kept for later: the program has no backward pass")?;
        budget::within(options, &plan)?;
        Ok(plan)
    };
    let Some(boundary) = Boundary::find(&graph) else { return straight(graph) };
    let keep = |graph: &Graph, boundary: &Boundary| kept_by(strategy, costs, graph, boundary);
    let Some(s) = divided(&graph, u8::MAX, &keep)? else { return straight(graph) };
    let nested = s.stages.last().is_some_and(|&stage| stage > 1);
    let budget = options.memory_budget.filter(|_| strategy == Strategy::Auto);
    if !nested && budget.is_none() {
        drop((graph, boundary));
        let plan = staged(s, described(strategy))?;
        budget::within(options, &plan)?;
        return Ok(plan);
    }
    let mut plan = staged(s, described(strategy))?;
    if nested {
        // More stages fuse less, so a single boundary may be better.
        let one = staged(kept_by(strategy, costs, &graph, &boundary)?, described(strategy))?;
        let (levels, single) = (plan.estimated_seconds(), one.estimated_seconds());
        let close = (levels - single).abs() <= SLOWER * single;
        let better = if close { one.peak(options) < plan.peak(options) } else { single < levels };
        if better {
            plan = one;
        }
    }
    match budget {
        Some(budget) => budget::fit(&graph, &boundary, plan, budget, options),
        None => budget::within(options, &plan).map(|()| plan),
    }
}

#[cfg(test)]
mod tests {
    use gradus_core::ops::{Axes, Reduce, ReduceKind};
    use gradus_core::transforms::{jvp, value_and_grad};
    use gradus_core::{Array, Binary, Builder, DType, Phase, PhaseKind, Site, Type, Unary, interpret};

    use super::*;
    use crate::{passes, plan};

    fn sum(b: &mut Builder, x: Var) -> Var {
        let axes: Axes = (0..b.shape(x).rank()).collect();
        b.emit1(Reduce { kind: ReduceKind::Sum, axes }, &[x]).unwrap()
    }

    /// The sum of sin(exp(x)) for three numbers.
    fn values() -> Graph {
        let mut b = Builder::new();
        let x = b.input(Type::new(DType::F64, [3]));
        let y = b.emit1(Unary::Exp, &[x]).unwrap();
        let y = b.emit1(Unary::Sin, &[y]).unwrap();
        let y = sum(&mut b, y);
        b.finish(vec![y])
    }

    /// The squared norm of a program's gradient.
    fn norm_of_gradient(graph: &Graph) -> Graph {
        let both = value_and_grad(graph, &[true]).unwrap();
        let mut b = Builder::new();
        let x = b.input(both.input_types()[0].clone());
        let g = b.inline(&both, &[x]).unwrap()[1];
        let square = b.emit1(Binary::Mul, &[g, g]).unwrap();
        let y = sum(&mut b, square);
        b.finish(vec![y])
    }

    /// The gradient of that `levels - 1` times over, simplified.
    fn nested(levels: u8) -> Graph {
        let f = (1..levels).fold(values(), |f, _| norm_of_gradient(&f));
        passes::simplify(&value_and_grad(&f, &[true]).unwrap()).unwrap()
    }

    /// One level: exp and sin, then back. Two: the first backward pass is a stage of its own, and what is done with its gradient
    /// belongs to it.
    #[test]
    fn every_level_has_a_stage() {
        for levels in 1..4 {
            let graph = nested(levels);
            let keep = |graph: &Graph, boundary: &Boundary| {
                kept_by(Strategy::Plain, &Costs::default(), graph, boundary)
            };
            let staged = divided(&graph, u8::MAX, &keep).unwrap().unwrap();
            assert!(staged.stages.is_sorted());
            assert_eq!(staged.stages.last(), Some(&u32::from(levels)), "{}", staged.graph);
            for (eqn, &stage) in staged.graph.eqns().iter().zip(&staged.stages) {
                if eqn.phase.is_backward() {
                    assert_eq!(stage, u32::from(eqn.phase.level), "{} in {}", eqn.op, staged.graph);
                } else if eqn.phase.kind == PhaseKind::Update {
                    assert!(stage >= u32::from(eqn.phase.level), "{} in {}", eqn.op, staged.graph);
                }
            }
        }
    }

    #[test]
    fn stages_compute_the_same_bits() {
        let x = Array::new([3], vec![0.3f64, -1.2, 0.9]).unwrap();
        for levels in 1..4 {
            let graph = nested(levels);
            let want = interpret(&graph, std::slice::from_ref(&x)).unwrap();
            for strategy in [Strategy::Plain, Strategy::Recompute, Strategy::Rederive, Strategy::Auto] {
                let keep = |graph: &Graph, boundary: &Boundary| {
                    kept_by(strategy, &Costs::default(), graph, boundary)
                };
                let staged = divided(&graph, u8::MAX, &keep).unwrap().unwrap();
                let found = interpret(&staged.graph, std::slice::from_ref(&x)).unwrap();
                assert_eq!(found, want, "{strategy:?}, {levels} levels");
            }
        }
    }

    /// What a stage computes again of an earlier one is for that stage.
    #[test]
    fn what_is_computed_again_is_backward() {
        let graph = nested(1);
        let boundary = Boundary::find(&graph).unwrap();
        let none = vec![false; graph.types().len()];
        let staged = rewrite::rewrite(&graph, &boundary, &none).unwrap();
        let again = staged.graph.eqns().iter().zip(&staged.stages);
        let again: Vec<&Eqn> =
            again.filter(|(e, s)| **s > 0 && !matches!(e.op, Op::Full(_))).map(|(e, _)| e).collect();
        assert!(again.iter().any(|e| matches!(e.op, Op::Unary(Unary::Exp))), "{}", staged.graph);
        assert!(again.iter().all(|e| e.phase == Phase::backward(1)), "{}", staged.graph);
    }

    /// Forward over reverse has one backward pass, with its tangents in it.
    #[test]
    fn tangents_make_no_level() {
        let graph = jvp(&value_and_grad(&values(), &[true]).unwrap(), &[true]).unwrap();
        let plan = plan(&graph, &Options::default()).unwrap();
        assert!(plan.decision().levels <= 1 && plan.kernels().iter().all(|k| k.stage <= 1));
        assert!(plan.phases().iter().all(|p| p.level <= 1));
    }

    #[test]
    fn a_name_decides_nothing() {
        let mut b = Builder::new();
        let x = b.input(Type::new(DType::F64, [3]));
        b.set_site(Site { scope: Some("update".into()), ..Site::caller() });
        let y = b.emit1(Unary::Exp, &[x]).unwrap();
        let plan = plan(&b.finish(vec![y]), &Options::default()).unwrap();
        assert_eq!(plan.phases(), [Phase::FORWARD]);
    }
}
