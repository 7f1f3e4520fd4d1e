//! Attention from ordinary graphs: heads are taken apart and put together without copies, and products, softmax and
//! what is between them run slab by slab.

#[path = "support/attention.rs"]
mod attention;
#[allow(dead_code, reason = "other tests use the rest")]
mod programs;

use std::sync::Arc;

use attention::{Mask, Sizes, attention, gradient};
use gradus_core::ops::*;
use gradus_core::transforms::value_and_grad;
use gradus_core::{Array, Binary, Builder, DType, Graph, Type, Unary, interpret};
use gradus_cpu::Pool;
use gradus_cpu::exec::Executable;
use gradus_plan::kernel::Work;
use gradus_plan::{Budget, Options, Strategy, plan};
use programs::Rng;

fn arguments(graph: &Graph, seed: u64) -> Vec<Array> {
    let mut rng = Rng::new(seed);
    graph.input_types().iter().map(|ty| rng.array(ty)).collect()
}

fn close(got: &Array, want: &Array, tolerance: f64, what: &dyn std::fmt::Debug) {
    let (g, w) = (got.to_f64(), want.to_f64());
    assert_eq!(g.len(), w.len());
    let scale = w.iter().filter(|x| x.is_finite()).fold(1.0f64, |m, x| m.max(x.abs()));
    for (i, (g, w)) in g.iter().zip(&w).enumerate() {
        let same = g == w || (g.is_nan() && w.is_nan()) || (g - w).abs() <= tolerance * scale;
        assert!(same, "{what:?}: element {i} is {g}, should be {w}");
    }
}

fn ready(graph: &Graph) -> Executable {
    Executable::new(plan(graph, &Options::default()).unwrap())
}

/// Sizes that cut evenly and sizes that do not.
const SIZES: [Sizes; 4] = [
    Sizes { examples: 2, heads: 3, places: 40, features: 8 },
    Sizes { examples: 3, heads: 1, places: 33, features: 5 },
    Sizes { examples: 1, heads: 2, places: 70, features: 1 },
    Sizes { examples: 2, heads: 2, places: 1, features: 4 },
];

#[test]
fn values_and_gradients_are_those_of_the_interpreter() {
    for (dtype, tolerance) in [(DType::F32, 2e-5), (DType::F64, 1e-12)] {
        for s in SIZES {
            for mask in [Mask::All, Mask::Causal, Mask::Given, Mask::Dropped, Mask::Added] {
                let graph = gradient(&attention(s, mask, dtype));
                let args = arguments(&graph, 7);
                let want = interpret(&graph, &args).unwrap();
                let executable = ready(&graph);
                let got = executable.run(&args).unwrap();
                for (g, w) in got.iter().zip(&want) {
                    close(g, w, tolerance, &(s, mask, dtype));
                }
                let again = executable.run(&args).unwrap();
                for (g, w) in again.iter().zip(&got) {
                    close(g, w, 0.0, &"a second run");
                }
            }
        }
    }
}

#[test]
fn heads_and_cotangents_are_not_copied() {
    let graph = gradient(&attention(SIZES[0], Mask::Causal, DType::F32));
    let executable = ready(&graph);
    let copies = executable.plan().kernels().iter().filter(|k| matches!(k.work, Work::Assemble(_))).count();
    assert_eq!(copies, 0, "{:?}", executable.plan().kernels());
}

/// The groups of a plan: slabs, rows, rows at once, parts.
fn groups(executable: &Executable) -> Vec<(usize, usize, usize, usize)> {
    let group = |k: &gradus_plan::Kernel| match &k.work {
        Work::Blocked(s) => Some((s.count, s.rows, s.block, s.parts.len())),
        _ => None,
    };
    executable.plan().kernels().iter().filter_map(group).collect()
}

/// Long enough that heads are gone through block by block, the last one shorter, and that scores are computed again.
const LONG: [(Sizes, DType, f64); 2] = [
    (Sizes { examples: 1, heads: 2, places: 401, features: 3 }, DType::F32, 5e-5),
    (Sizes { examples: 1, heads: 2, places: 310, features: 4 }, DType::F64, 1e-12),
];

#[test]
fn forward_and_backward_are_one_group_each() {
    for (s, rows) in [(SIZES[0], 40), (LONG[0].0, 51)] {
        let executable = ready(&gradient(&attention(s, Mask::Causal, DType::F32)));
        let found = groups(&executable);
        let slabs = s.examples * s.heads;
        assert_eq!(found.len(), 2, "{:?}", executable.plan().kernels());
        for (count, all, block, parts) in found {
            assert_eq!((count, all, block), (slabs, s.places, rows));
            assert!(parts >= 3, "{parts}");
        }
        assert!(executable.plan().explain().contains("blockwise"));
    }
}

#[test]
fn long_texts_keep_nothing_as_large_as_scores() {
    for (s, dtype, tolerance) in LONG {
        let graph = gradient(&attention(s, Mask::Causal, dtype));
        let args = arguments(&graph, 9);
        let executable = ready(&graph);
        let scores = s.examples * s.heads * s.places * s.places;
        let plan = executable.plan();
        for kernel in plan.kernels() {
            for &v in &kernel.writes {
                assert!(plan.graph().ty(v).shape.size() < scores, "{kernel:?}");
            }
        }
        let want = interpret(&graph, &args).unwrap();
        for (g, w) in executable.run(&args).unwrap().iter().zip(&want) {
            close(g, w, tolerance, &(s, dtype));
        }
    }
}

#[test]
fn threads_do_not_change_bits() {
    for (s, dtype) in [(SIZES[0], DType::F32), (LONG[0].0, DType::F32), (LONG[1].0, DType::F64)] {
        let graph = gradient(&attention(s, Mask::Causal, dtype));
        let args = arguments(&graph, 3);
        let run = |threads: usize| {
            let plan = plan(&graph, &Options::default()).unwrap();
            let out = Executable::with_pool(plan, Arc::new(Pool::new(threads))).run(&args).unwrap();
            out.iter().flat_map(|a| a.to_f64()).map(f64::to_bits).collect::<Vec<u64>>()
        };
        let one = run(1);
        for threads in [2, 3, 4, 8] {
            assert_eq!(run(threads), one, "{threads} threads");
        }
    }
}

#[test]
fn rows_that_see_nothing_are_what_the_interpreter_says() {
    for s in [SIZES[0], LONG[0].0] {
        let graph = gradient(&attention(s, Mask::Given, DType::F32));
        let mut args = arguments(&graph, 5);
        // Every third place of each example sees nothing.
        let seen = |i: usize| i / s.places % 3 != 1 && i % 7 != 3;
        let mask: Vec<bool> = (0..s.examples * s.places * s.places).map(seen).collect();
        args[2] = Array::new([s.examples, s.places, s.places], mask).unwrap();
        let want = interpret(&graph, &args).unwrap();
        let got = ready(&graph).run(&args).unwrap();
        assert!(want[1].to_f64().iter().any(|x| x.is_nan()));
        for (g, w) in got.iter().zip(&want) {
            close(g, w, 5e-5, &s);
        }
    }
}

#[test]
fn second_derivatives_equal_the_interpreter() {
    for s in [SIZES[0], SIZES[1]] {
        let first = gradient(&attention(s, Mask::Causal, DType::F64));
        let mut b = Builder::new();
        let args: Vec<_> = first.input_types().into_iter().map(|ty| b.input(ty)).collect();
        let out = b.inline(&first, &args).unwrap();
        // A sum with uneven weights: the square of each derivative.
        let mut total = None;
        for v in out {
            let square = b.emit1(Binary::Mul, &[v, v]).unwrap();
            let axes = (0..b.shape(v).rank()).collect();
            let sum = b.emit1(Reduce { kind: ReduceKind::Sum, axes }, &[square]).unwrap();
            total = b.add_tangents(total, Some(sum)).unwrap();
        }
        let second = gradient(&b.finish(vec![total.unwrap()]));
        let args = arguments(&second, 11);
        let want = interpret(&second, &args).unwrap();
        let executable = ready(&second);
        assert!(!groups(&executable).is_empty());
        for (g, w) in executable.run(&args).unwrap().iter().zip(&want) {
            close(g, w, 1e-10, &s);
        }
    }
}

#[test]
fn gradients_are_those_of_finite_differences() {
    let graph = attention(LONG[1].0, Mask::Causal, DType::F64);
    let args = arguments(&graph, 13);
    let value = |args: &[Array]| ready(&graph).run(args).unwrap()[0].to_f64()[0];
    let grad = ready(&gradient(&graph)).run(&args).unwrap()[1].to_f64();
    let mut rng = Rng::new(17);
    let direction: Vec<f64> = grad.iter().map(|_| rng.unit() - 0.5).collect();
    let moved = |step: f64| {
        let x = args[0].to_f64().iter().zip(&direction).map(|(x, d)| x + step * d).collect::<Vec<f64>>();
        let mut args = args.clone();
        args[0] = Array::new(args[0].shape().clone(), x).unwrap();
        value(&args)
    };
    let step = 1e-4;
    let slope = (moved(step) - moved(-step)) / (2.0 * step);
    let said: f64 = grad.iter().zip(&direction).map(|(g, d)| g * d).sum();
    assert!((slope - said).abs() < 1e-6 * said.abs().max(1.0), "{slope} {said}");
}

/// A program that also gives back everything that it computes, so that nothing is worth a group.
fn telling(graph: &Graph) -> Graph {
    let mut b = Builder::new();
    let mut new = vec![None; graph.types().len()];
    for &v in graph.inputs() {
        new[v.index()] = Some(b.input(graph.ty(v).clone()));
    }
    for eqn in graph.eqns() {
        let args: Vec<_> = eqn.inputs.iter().map(|v| new[v.index()].unwrap()).collect();
        let made = b.emit(eqn.op.clone(), &args).unwrap();
        eqn.outputs.iter().zip(made).for_each(|(v, made)| new[v.index()] = Some(made));
    }
    let own = graph.outputs().iter().map(|v| new[v.index()].unwrap());
    let all = graph.eqns().iter().flat_map(|eqn| &eqn.outputs).map(|v| new[v.index()].unwrap());
    b.finish(own.chain(all).collect())
}

/// The sum of the logarithms of normalizers of rows times weights, `[rows, inner]` times `[inner, width]`: one slab.
fn normalizers(rows: usize, inner: usize, width: usize) -> Graph {
    let mut b = Builder::new();
    let x = b.input(Type::new(DType::F32, [rows, inner]));
    let weights = b.input(Type::new(DType::F32, [inner, width]));
    let scores = b.emit1(Dot::matmul(0), &[x, weights]).unwrap();
    let exp = b.emit1(Unary::Exp, &[scores]).unwrap();
    let sum = |axes: &[usize]| Reduce { kind: ReduceKind::Sum, axes: axes.iter().copied().collect() };
    let sums = b.emit1(sum(&[1]), &[exp]).unwrap();
    let logs = b.emit1(Unary::Log, &[sums]).unwrap();
    let total = b.emit1(sum(&[0]), &[logs]).unwrap();
    let value = b.finish(vec![total]);
    value_and_grad(&value, &[true, true]).unwrap()
}

/// Few and many slabs, one stretch of rows and several, rows that cut evenly and some that do not.
fn grouped() -> Vec<(String, Graph)> {
    let sizes = |[examples, heads, places, features]: [usize; 4]| Sizes { examples, heads, places, features };
    let attentions = [
        (sizes([2, 3, 40, 8]), DType::F32),
        (sizes([40, 1, 17, 3]), DType::F32),
        (sizes([400, 1, 4, 2]), DType::F64),
        (sizes([1, 2, 200, 20]), DType::F64),
        (sizes([1, 3, 333, 4]), DType::F32),
        (sizes([1, 4, 384, 7]), DType::F32),
        (sizes([1, 3, 401, 33]), DType::F32),
        (sizes([1, 5, 520, 6]), DType::F32),
        (sizes([2, 1, 900, 16]), DType::F32),
    ];
    let masks = [Mask::All, Mask::Causal, Mask::Given, Mask::Added];
    let attentions = attentions.into_iter().flat_map(|(s, dtype)| {
        masks.map(|mask| (format!("{s:?} {mask:?}"), gradient(&attention(s, mask, dtype))))
    });
    let normalizers = [[300, 5, 700], [900, 7, 501], [2000, 3, 80]]
        .map(|[rows, inner, width]| (format!("{rows} {inner} {width}"), normalizers(rows, inner, width)));
    attentions.chain(normalizers).collect()
}

#[test]
fn groups_do_not_change_bits() {
    let (mut in_turn, mut summed, mut met) = (0, 0, 0);
    for (name, graph) in grouped() {
        let args = arguments(&graph, 23);
        // With something that is not finite, sums are taken once more.
        let mut odd = args.clone();
        let mut values = odd[0].to_f64();
        values.iter_mut().step_by(997).for_each(|x| *x = f64::INFINITY);
        odd[0] = Array::new(odd[0].shape().clone(), values).unwrap().cast(odd[0].dtype());
        for strategy in [Strategy::Auto, Strategy::Recompute] {
            let plan = |graph, strategy| plan(graph, &Options { strategy, ..Options::default() }).unwrap();
            let with = plan(&graph, strategy);
            let plans = [plan(&telling(with.graph()), Strategy::Plain), with];
            let [alone, grouped] = plans.map(|plan| {
                [1, 3].map(|threads| Executable::with_pool(plan.clone(), Arc::new(Pool::new(threads))))
            });
            assert!(groups(&alone[0]).is_empty(), "{name}");
            let found = groups(&grouped[0]);
            met += usize::from(!found.is_empty());
            let sums = |k: &&gradus_plan::Kernel| matches!(&k.work, Work::Blocked(s) if s.adds_up() && s.block < s.rows);
            if let Some(kernel) = grouped[0].plan().kernels().iter().find(sums) {
                let few = matches!(&kernel.work, Work::Blocked(s) if s.count < 4 && s.rows <= 384);
                *(if few { &mut in_turn } else { &mut summed }) += 1;
            }
            let both = [(&args, true), (&odd, false)];
            for (args, finite) in both.into_iter().take(if strategy == Strategy::Auto { 2 } else { 1 }) {
                let want = alone[0].run(args).unwrap();
                for (executable, threads) in grouped.iter().zip([1, 3]) {
                    for (i, (g, w)) in executable.run(args).unwrap().iter().zip(&want).enumerate() {
                        let same =
                            |(g, w): (f64, f64)| g.to_bits() == w.to_bits() || g.is_nan() && w.is_nan();
                        let all = g.to_f64().into_iter().zip(w.to_f64()).all(same);
                        assert!(
                            all,
                            "{name} {strategy:?}: result {i} on {threads} threads, finite: {finite}"
                        );
                    }
                }
            }
        }
    }
    assert!(met >= 60 && in_turn >= 4 && summed >= 20, "{met} {in_turn} {summed}");
}

#[test]
fn budgets_do_not_change_bits() {
    for (s, dtype) in [(SIZES[0], DType::F32), (LONG[1].0, DType::F64)] {
        let graph = gradient(&attention(s, Mask::Causal, dtype));
        let args = arguments(&graph, 3);
        let run = |memory_budget| {
            let options = Options { memory_budget, strategy: Strategy::Auto, ..Options::default() };
            let plan = plan(&graph, &options).ok()?;
            let out = Executable::new(plan).run(&args).unwrap();
            Some(out.iter().flat_map(|a| a.to_f64()).map(f64::to_bits).collect::<Vec<u64>>())
        };
        let free = run(None).unwrap();
        for share in [0.95, 0.9, 0.8, 0.7] {
            if let Some(bits) = run(Some(Budget::Share(share))) {
                assert_eq!(bits, free, "{share}");
            }
        }
    }
}
