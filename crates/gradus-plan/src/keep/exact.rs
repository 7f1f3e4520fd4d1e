//! Tests on small programs: the plans found under a budget against the best of all sets of kept values, each with
//! everything else recomputed.

use gradus_core::ops::{Axes, Dot, Op, Reduce, ReduceKind};
use gradus_core::transforms::{self, value_and_grad};
use gradus_core::{Binary, Builder, DType, Graph, Type, Unary, Var};

use super::boundary::Boundary;
use super::{cost, curve, early, nested, rewrite};
use crate::{Budget, Costs, Options, Plan, passes, plan};

/// The gradient of the sum of a chain of products with a function after each; with `residual`, layers of one width add
/// to what they read.
fn chain(widths: &[usize], batch: usize, f: Unary, residual: bool) -> Graph {
    let mut b = Builder::new();
    let mut h = b.input(Type::new(DType::F32, [batch, widths[0]]));
    let mut wrt = vec![false];
    for w in widths.windows(2) {
        let weight = b.input(Type::new(DType::F32, w));
        wrt.push(true);
        let z = b.emit1(Dot::matmul(0), &[h, weight]).unwrap();
        let a = b.emit1(f, &[z]).unwrap();
        h = if residual && w[0] == w[1] { b.emit1(Binary::Add, &[h, a]).unwrap() } else { a };
    }
    let axes: Axes = [0, 1].into_iter().collect();
    let sum = b.emit1(Reduce { kind: ReduceKind::Sum, axes }, &[h]).unwrap();
    value_and_grad(&b.finish(vec![sum]), &wrt).unwrap()
}

/// Peak and estimated seconds of the sets of kept values that no other set beats in both.
fn all(graph: &Graph, options: &Options) -> Vec<(usize, f64)> {
    let simple = passes::simplify(graph).unwrap();
    let boundary = Boundary::find(&simple).unwrap();
    let simple = match early::order(&simple, &boundary) {
        Some(order) => transforms::reordered(simple, &order),
        None => simple,
    };
    let boundary = Boundary::find(&simple).unwrap();
    let graph = nested::preaccumulate(&simple, &boundary).unwrap().unwrap_or(simple);
    let boundary = Boundary::find(&graph).unwrap();
    // Products, and the values kept at any worth; other sets keep values computed from those, with at least as many
    // bytes.
    let choices = curve::choices(
        &graph,
        &boundary,
        &cost::nanos(&graph, &Costs::default()),
        Costs::default().worth(),
        curve::MOST,
    );
    let outputs = graph.eqns()[..boundary.at].iter().flat_map(|e| e.outputs.iter().map(move |v| (e, *v)));
    let worth = |v: Var| choices.iter().any(|c| c.kept[v.index()]);
    let values: Vec<Var> = outputs
        .filter(|(e, v)| matches!(e.op, Op::Dot(_)) || worth(*v))
        .map(|(_, v)| v)
        .filter(|v| graph.ty(*v).bytes() > 4096 && !graph.outputs().contains(v))
        .collect();
    assert!((4..=13).contains(&values.len()), "{} values", values.len());
    let mut found: Vec<(usize, f64)> = Vec::new();
    for set in 0..1usize << values.len() {
        let mut kept = vec![false; graph.types().len()];
        values.iter().enumerate().for_each(|(k, v)| kept[v.index()] = set >> k & 1 == 1);
        let staged = rewrite::rewrite(&graph, &boundary, &kept).unwrap();
        let plan = Plan::staged(staged.graph, &staged.stages, options).unwrap();
        found.push((plan.peak(options), plan.estimated_seconds()));
    }
    found.sort_by(|a, b| a.0.cmp(&b.0).then(a.1.total_cmp(&b.1)));
    let mut best = f64::INFINITY;
    found.retain(|f| {
        f.1 < best && {
            best = f.1;
            true
        }
    });
    found
}

#[test]
fn small_programs_are_planned_about_as_well_as_by_trying_everything() {
    let programs = [
        chain(&[256, 256, 256, 256], 2048, Unary::Tanh, false),
        chain(&[256, 1024, 256, 1024], 2048, Unary::Sin, false),
        chain(&[128, 512, 64, 512], 4096, Unary::Sigmoid, false),
        chain(&[256, 256, 256, 512], 2048, Unary::Sin, true),
    ];
    let (mut ratios, mut refused) = (Vec::new(), Vec::new());
    for (at, graph) in programs.iter().enumerate() {
        let options = Options::default();
        let best = all(graph, &options);
        let smallest = plan(graph, &Options { memory_budget: Some(Budget::Bytes(1)), ..options.clone() });
        let text = smallest.unwrap_err().to_string();
        let smallest: usize =
            text.split("needs ").nth(1).unwrap().split(' ').next().unwrap().parse().unwrap();
        refused.push(smallest as f64 / best[0].0 as f64);
        for &(peak, seconds) in best.iter().filter(|b| b.0 >= smallest) {
            let options = Options { memory_budget: Some(Budget::Bytes(peak)), ..options.clone() };
            let planned = plan(graph, &options).unwrap();
            assert!(planned.peak(&options) <= peak);
            ratios.push(planned.estimated_seconds() / seconds);
            println!("program {at}, {peak} bytes: {:.3} times the best time", ratios[ratios.len() - 1]);
        }
    }
    println!("smallest peak, to the smallest of all sets: {refused:.3?}");
    let mean = ratios.iter().sum::<f64>() / ratios.len() as f64;
    let worst = ratios.iter().fold(0.0f64, |a, &b| a.max(b));
    println!("{} budgets: mean {mean:.3}, worst {worst:.3}", ratios.len());
    assert!(mean < 1.03 && worst < 1.1, "mean {mean}, worst {worst}");
    assert!(refused.iter().all(|&r| r < 1.05), "{refused:?}");
}
