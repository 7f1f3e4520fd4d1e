//! Random programs, and properties that hold for every program.

use std::collections::BTreeSet;

use gradus_cli::programs::{Coverage, Verdict, check_program, recorded};
use gradus_core::ops::{Axes, Op, Reduce, ReduceKind};
use gradus_core::table::Rng;
use gradus_core::transforms::{jvp, prune, value_and_grad};
use gradus_core::{Array, Binary, Builder, DType, Graph, Unary, interpret};
use gradus_cpu::exec::Executable;
use gradus_plan::{Budget, Options, Plan, plan};

#[test]
fn programs_pass_and_meet_every_primitive() {
    let mut coverage = Coverage::default();
    let mut rejected = 0;
    for seed in 0..1200 {
        match check_program(seed, &mut coverage) {
            Verdict::Passed => {}
            Verdict::Rejected(_) => rejected += 1,
            Verdict::Failed { what, detail, source } => panic!("seed {seed}: {what}: {detail}\n{source}"),
        }
    }
    assert!(rejected * 20 <= 1200, "{rejected} rejected");
    let hits = coverage.hits();
    let families =
        Op::VARIANTS.iter().filter(|v| !["Unary", "Binary"].contains(v)).map(|v| format!("op {v}"));
    let unary = Unary::ALL.iter().map(|u| format!("op Unary {}", u.name()));
    let binary = Binary::ALL.iter().map(|b| format!("op Binary {}", b.name()));
    let missing: BTreeSet<String> =
        families.chain(unary).chain(binary).filter(|name| !hits.contains_key(name)).collect();
    assert!(missing.is_empty(), "never met: {missing:?}");
    for path in ["small", "region", "region, shared", "rows", "columns", "blockwise", "convolution winograd"]
    {
        assert!(hits.contains_key(&format!("kernel {path}")), "{path} is not among {:?}", hits.keys());
    }
}

/// The float results of a program, summed.
fn total(graph: &Graph) -> Graph {
    let mut b = Builder::new();
    let inputs: Vec<_> = graph.input_types().into_iter().map(|ty| b.input(ty)).collect();
    let out = b.inline(graph, &inputs).unwrap();
    let mut sum = None;
    for v in out {
        if b.dtype(v) != DType::F64 {
            continue;
        }
        let axes: Axes = (0..b.shape(v).rank()).collect();
        let part = b.emit1(Reduce { kind: ReduceKind::Sum, axes }, &[v]).unwrap();
        sum = b.add_tangents(sum, Some(part)).unwrap();
    }
    b.finish(sum.into_iter().collect())
}

/// Whether a program, those inside it included, computes in double precision: a shorter type makes it a function of steps.
fn is_double(graph: &Graph) -> bool {
    graph.types().iter().all(|ty| !ty.dtype.is_float() || ty.dtype == DType::F64)
        && graph.eqns().iter().all(|eqn| eqn.op.graphs().into_iter().all(|inner| is_double(inner)))
}

/// Programs in double precision with a result that is summed, and arguments.
fn sums(count: u64) -> impl Iterator<Item = (u64, Graph, Vec<Array>)> {
    (0..count).filter_map(|seed| {
        let (graph, args) = recorded(seed)?;
        let double = is_double(&graph);
        // Its derivative is 0 by definition, whatever the slope is.
        let stopped = graph.to_string().contains("stop_gradient");
        let sum = total(&graph);
        (double && !stopped && sum.outputs().len() == 1).then_some((seed, sum, args))
    })
}

/// Where two central differences agree, so does the tangent: away from kinks, that is.
#[test]
fn forward_mode_is_the_derivative() {
    let (mut compared, mut programs) = (0, 0);
    for (seed, graph, args) in sums(1500) {
        let wrt: Vec<bool> = args.iter().map(|a| a.dtype() == DType::F64).collect();
        let mut rng = Rng::new(seed);
        let direction: Vec<Array> = args
            .iter()
            .filter(|a| a.dtype() == DType::F64)
            .map(|a| {
                Array::new(a.shape().clone(), (0..a.size()).map(|_| rng.signed()).collect::<Vec<f64>>())
                    .unwrap()
            })
            .collect();
        let all = [args.clone(), direction.clone()].concat();
        let tangent = interpret(&jvp(&graph, &wrt).unwrap(), &all).unwrap()[1].to_f64()[0];
        let at = |h: f64| {
            let mut directions = direction.iter();
            let moved: Vec<Array> = args
                .iter()
                .map(|a| {
                    if a.dtype() != DType::F64 {
                        return a.clone();
                    }
                    let d = directions.next().unwrap().to_f64();
                    let v: Vec<f64> = a.to_f64().iter().zip(d).map(|(x, d)| x + h * d).collect();
                    Array::new(a.shape().clone(), v).unwrap()
                })
                .collect();
            interpret(&graph, &moved).unwrap()[0].to_f64()[0]
        };
        let slope = |h: f64| (at(h) - at(-h)) / (2.0 * h);
        programs += 1;
        let steps = [4e-5, 2e-5, 1e-5].map(slope);
        let sides = [1e-5, -1e-5].map(|h| (at(h) - at(0.0)) / h);
        let near = |a: f64, b: f64, t: f64| (a - b).abs() <= t * (1.0 + a.abs());
        let smooth = near(steps[0], steps[1], 1e-6) && near(steps[1], steps[2], 1e-6);
        if smooth && near(sides[0], sides[1], 1e-3) {
            compared += 1;
            assert!(near(steps[2], tangent, 1e-4), "seed {seed}: {steps:?}, tangent {tangent}\n{graph}");
        }
    }
    println!("{compared} of {programs}");
    assert!(compared * 2 > programs && programs > 100, "{compared} of {programs}");
}

#[test]
fn dead_code_changes_nothing() {
    for (seed, graph, args) in (0..200).filter_map(|seed| recorded(seed).map(|(g, a)| (seed, g, a))) {
        let lean = prune(graph.clone());
        assert_eq!(prune(lean.clone()), lean, "pruning twice is pruning once");
        let (a, b) = (interpret(&graph, &args).unwrap(), interpret(&lean, &args).unwrap());
        assert_eq!(bits(&a), bits(&b), "seed {seed}");
    }
}

fn bits(x: &[Array]) -> Vec<Vec<u64>> {
    x.iter().map(|a| a.to_f64().iter().map(|v| if v.is_nan() { 1 } else { v.to_bits() }).collect()).collect()
}

fn run(plan: Plan, args: &[Array]) -> Vec<Array> {
    Executable::new(plan).run(args).unwrap()
}

/// A smaller budget never needs more, the smallest named can be met, and the bits stay.
#[test]
fn budgets_are_kept() {
    let mut met = 0;
    for (seed, graph, args) in sums(400) {
        let wrt: Vec<bool> = args.iter().map(|a| a.dtype() == DType::F64).collect();
        let graph = value_and_grad(&graph, &wrt).unwrap();
        let free = plan(&graph, &Options::default()).unwrap();
        let mut peak = free.planned_peak_bytes();
        let full = peak;
        let first = bits(&run(free, &args));
        let within = |bytes| {
            plan(&graph, &Options { memory_budget: Some(Budget::Bytes(bytes)), ..Options::default() })
        };
        for percent in (35..100).rev().step_by(15) {
            let budget = full * percent / 100;
            match within(budget) {
                Ok(p) => {
                    assert!(
                        p.planned_peak_bytes() <= budget.min(peak),
                        "seed {seed}: the peak grew\n{graph}"
                    );
                    peak = p.planned_peak_bytes();
                    met += 1;
                    assert_eq!(bits(&run(p, &args)), first, "seed {seed} at {percent} %\n{graph}");
                }
                Err(e) => {
                    let text = e.to_string();
                    let smallest: usize =
                        text.split("needs ").nth(1).unwrap().split(' ').next().unwrap().parse().unwrap();
                    assert!(smallest > budget, "{text}");
                    let p = within(smallest).unwrap();
                    // It is the smallest that was found: a search within it may find a smaller one.
                    assert!(p.planned_peak_bytes() <= smallest, "seed {seed}: {text}\n{graph}");
                    assert_eq!(bits(&run(p, &args)), first);
                    break;
                }
            }
        }
    }
    assert!(met > 20, "{met}");
}
