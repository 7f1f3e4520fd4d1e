//! A run never needs more memory than its plan says, with the scratch memory of threads and its books: every allocation of
//! the process is counted.

#[allow(dead_code, reason = "other tests use the rest")]
#[path = "support/attention.rs"]
mod attention;
mod counting;
#[allow(dead_code, reason = "other tests use the rest")]
#[path = "../examples/steps/models.rs"]
mod models;
#[allow(dead_code, reason = "other tests use the rest")]
mod programs;

use std::sync::Arc;

use attention::{Mask, Sizes, attention, gradient};
use counting::peak_of;
use gradus_core::ops::{Conv, Cumulative, CumulativeKind, MaxPool, Reduce, ReduceKind, Sort, Window};
use gradus_core::transforms::value_and_grad;
use gradus_core::{Builder, DType, Graph, Type, Unary, Var};
use gradus_cpu::Pool;
use gradus_cpu::{exec::Executable, release};
use gradus_plan::{Budget, Options, Plan, Strategy, plan};
use programs::arguments;

/// Tests that count run one after another, where they share a process.
fn alone() -> std::sync::MutexGuard<'static, ()> {
    static LOCK: std::sync::Mutex<()> = std::sync::Mutex::new(());
    LOCK.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}

fn threads() -> usize {
    std::thread::available_parallelism().map_or(1, |n| n.get())
}

/// What the books of a run take: handles of operands and results, and what a thread has the first time.
fn books(plan: &Plan) -> usize {
    4096 + 256 * (plan.input_types().len() + plan.output_types().len())
}

/// Bytes that a run allocates at its peak, its arguments not counted, and what the plan says without the scratch memory of
/// threads and with it. The run has threads of its own, so that what threads keep is counted too.
fn measured(graph: &Graph, options: &Options, threads: usize) -> (usize, usize, usize) {
    // Results find no memory that others have left, and programs no arena.
    release();
    let args = arguments(graph, 1);
    let planned = plan(graph, options).unwrap();
    let peak =
        if options.donate { planned.planned_peak_donated_bytes() } else { planned.planned_peak_bytes() };
    let claim = peak - planned.argument_bytes();
    let all = claim + threads * planned.scratch_bytes() + books(&planned);
    let pool = Arc::new(Pool::new(threads));
    let executable = Executable::with_pool(planned, pool);
    let run = || if options.donate { executable.run_owned(args) } else { executable.run(&args) };
    let peak = std::thread::scope(|scope| scope.spawn(|| peak_of(run).0).join().unwrap());
    (peak, claim, all)
}

fn close(graph: &Graph, options: &Options) {
    let (peak, claim, all) = measured(graph, options, threads());
    assert!(peak <= all, "{options:?}: measured {peak}, planned {claim}, with scratch {all}");
    assert!(
        peak * 10 >= claim * 9,
        "{options:?}: measured {peak}, planned {claim}: the plan claims too much"
    );
}

/// From one element to megabytes, on one thread and on several: what is planned is never exceeded.
#[test]
fn measured_peaks_stay_within_planned_ones_at_every_size() {
    let _alone = alone();
    let options = Options { target: gradus_cpu::target().unwrap(), ..Options::default() };
    for n in [1usize, 2, 3, 5, 8, 16, 17, 33, 64, 100, 256, 300, 1000, 5000, 40_000, 300_000, 2_000_000] {
        for threads in [1, 2, 8] {
            let side = n.isqrt().max(1);
            for graph in [chain(n), models::mlp(&[side, side, 3], side, models::mish_of), sorted(side)] {
                if graph.input_types().iter().map(Type::bytes).sum::<usize>() > 64 << 20 {
                    continue;
                }
                let (peak, claim, all) = measured(&graph, &options, threads);
                assert!(
                    peak <= all,
                    "{n}, {threads} threads: measured {peak}, planned {claim}, {all}\n{graph}"
                );
            }
        }
    }
}

/// Element-wise steps with a sum between them.
fn chain(n: usize) -> Graph {
    let mut b = Builder::new();
    let x = b.input(Type::new(DType::F32, [n]));
    let y = b.emit1(Unary::Tanh, &[x]).unwrap();
    let y = b.emit1(Reduce { kind: ReduceKind::Sum, axes: [0].into_iter().collect() }, &[y]).unwrap();
    let z = b.emit1(Unary::Exp, &[x]).unwrap();
    b.finish(vec![y, z])
}

/// Lines sorted, and summed up along the other axis.
fn sorted(n: usize) -> Graph {
    let mut b = Builder::new();
    let x = b.input(Type::new(DType::F32, [n, n]));
    let y = b.emit(Sort { axis: 1, descending: false }, &[x]).unwrap()[0];
    let z = b.emit1(Cumulative { kind: CumulativeKind::Sum, axis: 0, reverse: false }, &[y]).unwrap();
    b.finish(vec![z])
}

/// The same bytes whatever the machine: kernels say what they need for every instruction set, and threads have scratch
/// memory of their own.
#[test]
fn plans_take_the_same_bytes_on_every_machine() {
    let _alone = alone();
    let sizes = Sizes { examples: 2, heads: 2, places: 300, features: 16 };
    let attention = gradient(&attention(sizes, Mask::Causal, DType::F32));
    let of = |graph: &Graph| {
        let plan =
            plan(graph, &Options { target: gradus_cpu::target().unwrap(), ..Options::default() }).unwrap();
        (plan.planned_peak_bytes(), plan.arena_bytes(), plan.outside_bound())
    };
    let here: Vec<_> = [network(), pointwise(), attention].iter().map(of).collect();
    // Another process, of another level and with other threads, plans the same.
    if let Ok(there) = std::env::var("PLANNED_BYTES") {
        assert_eq!(format!("{here:?}"), there);
        return;
    }
    for (level, threads) in [("baseline", "1"), ("avx2", "8"), ("avx512", "2")] {
        let done = std::process::Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "plans_take_the_same_bytes_on_every_machine"])
            .envs([
                ("GRADUS_ISA", level),
                ("GRADUS_THREADS", threads),
                ("PLANNED_BYTES", &format!("{here:?}")),
            ])
            .output()
            .unwrap();
        assert!(done.status.success(), "{level}: {}", String::from_utf8_lossy(&done.stdout));
    }
}

#[test]
fn measured_peaks_stay_within_planned_ones() {
    let _alone = alone();
    let g = models::mlp(&[256, 512, 512, 512, 512, 512, 10], 1024, models::mish_of);
    let options = |strategy, memory_budget| Options {
        strategy,
        memory_budget,
        target: gradus_cpu::target().unwrap(),
        ..Options::default()
    };
    let mut all = vec![];
    for strategy in [Strategy::Plain, Strategy::Recompute, Strategy::Nested, Strategy::Auto] {
        all.push(options(strategy, None));
    }
    for share in [0.9, 0.8, 0.7] {
        all.push(options(Strategy::Auto, Some(Budget::Share(share))));
    }
    for options in &all {
        close(&g, options);
    }
    // Whole steps, parameters written over.
    for rule in [models::Update::Sgd, models::Update::Adam] {
        let step = models::step(&[256, 512, 512, 512, 512, 512, 10], 1024, models::mish_of, rule);
        for options in &all[..5] {
            close(&step, &Options { donate: true, ..options.clone() });
        }
    }
    // Attention over a long text: the scores are never there all at once.
    let sizes = Sizes { examples: 1, heads: 4, places: 1500, features: 16 };
    let long = gradient(&attention(sizes, Mask::Causal, DType::F32));
    let (peak, claim, most) = measured(&long, &all[3], threads());
    assert!(peak <= most, "attention: measured {peak}, planned {claim}, with scratch {most}");
    let scores = 4 * sizes.heads * sizes.places * sizes.places;
    assert!(claim < scores / 2, "attention: planned {claim}, the scores of all heads are {scores}");
    // A second run allocates results only.
    let args = arguments(&g, 1);
    let executable = Executable::new(plan(&g, &all[0]).unwrap());
    drop(executable.run(&args).unwrap());
    let (peak, out) = peak_of(|| executable.run(&args).unwrap());
    let plan = executable.plan();
    assert!(peak <= plan.result_bytes() + plan.outside_bound() + books(plan), "{peak}");
    drop(out);
    for graph in [network(), pointwise()] {
        for options in &all[..4] {
            close(&graph, options);
        }
    }
}

/// Sums of squares of what a stack of operations makes of an image, with all gradients.
fn gradients(make: impl Fn(&mut Builder, Var) -> Vec<Var>) -> Graph {
    let mut b = Builder::new();
    let x = b.input(Type::new(DType::F32, [16, 3, 32, 32]));
    let outputs = make(&mut b, x);
    let y = outputs[outputs.len() - 1];
    let y = b.emit1(Unary::Powi(2), &[y]).unwrap();
    let axes = (0..b.shape(y).rank()).collect();
    let y = b.emit1(Reduce { kind: ReduceKind::Sum, axes }, &[y]).unwrap();
    let graph = b.finish(vec![y]);
    let wanted: Vec<bool> = (0..graph.inputs().len()).map(|i| i > 0).collect();
    value_and_grad(&graph, &wanted).unwrap()
}

/// A convolution with `o` output channels, then an activation.
fn layer(b: &mut Builder, x: Var, o: usize, [k, stride, pad]: [usize; 3], groups: usize) -> Var {
    let channels = b.shape(x)[1];
    let kernel = b.input(Type::new(DType::F32, [o, channels / groups, k, k]));
    let mut conv = Conv::new(2);
    (conv.stride, conv.feature_groups) = ([stride; 2].into_iter().collect(), groups);
    (conv.low, conv.high) =
        ([pad as isize; 2].into_iter().collect(), [pad as isize; 2].into_iter().collect());
    let y = b.emit1(conv, &[x, kernel]).unwrap();
    b.emit1(Unary::Tanh, &[y]).unwrap()
}

/// A residual network's convolutions, and pooling.
fn network() -> Graph {
    gradients(|b, x| {
        let x = layer(b, x, 32, [3, 1, 1], 1);
        let x = layer(b, x, 32, [3, 1, 1], 1);
        let x = layer(b, x, 64, [3, 2, 1], 1);
        let x = layer(b, x, 64, [5, 1, 2], 1);
        let x = b.emit(MaxPool { window: Window::tiles(&[2, 2]) }, &[x]).unwrap()[0];
        vec![layer(b, x, 128, [3, 1, 1], 1)]
    })
}

/// Depthwise convolutions and those of one tap, one of them with a step.
fn pointwise() -> Graph {
    gradients(|b, x| {
        let x = layer(b, x, 48, [1, 1, 0], 1);
        let x = layer(b, x, 48, [3, 1, 1], 48);
        let x = layer(b, x, 96, [1, 1, 0], 1);
        let x = layer(b, x, 96, [3, 2, 1], 96);
        vec![layer(b, x, 64, [1, 2, 0], 1)]
    })
}
