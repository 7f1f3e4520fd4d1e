//! A run never needs more memory than its plan says: every allocation of the process is counted.

#[allow(dead_code)]
#[path = "support/attention.rs"]
mod attention;
mod counting;
#[allow(dead_code)]
#[path = "../examples/steps/models.rs"]
mod models;
#[allow(dead_code)]
mod programs;

use std::sync::Arc;

use attention::{Mask, Sizes, attention, gradient};
use counting::peak_of;
use gradus_core::ops::{Conv, MaxPool, Reduce, ReduceKind, Window};
use gradus_core::transforms::value_and_grad;
use gradus_core::{Builder, DType, Graph, Type, Unary, Var};
use gradus_cpu::Pool;
use gradus_cpu::{
    exec::{Executable, needs},
    release,
};
use gradus_plan::{Budget, Options, Strategy, plan};
use programs::arguments;

fn threads() -> usize {
    std::thread::available_parallelism().map_or(1, |n| n.get())
}

/// Bytes that a run allocates at its peak, its arguments not counted, and what the plan says. The run has threads of its
/// own, so that what threads keep is counted too.
fn measured(graph: &Graph, options: &Options) -> (usize, usize) {
    // Results find no memory that others have left.
    release();
    let args = arguments(graph, 1);
    let planned = plan(graph, options).unwrap();
    let peak =
        if options.donate { planned.planned_peak_donated_bytes() } else { planned.planned_peak_bytes() };
    // The tiles of each thread are as little planned as its stack.
    let tiles = threads() * 24 * 1024;
    let claim = peak - planned.argument_bytes() + tiles;
    let pool = Arc::new(Pool::new(threads()));
    let executable = Executable::with_pool(planned, pool);
    let run = || if options.donate { executable.run_owned(args) } else { executable.run(&args) };
    let peak = std::thread::scope(|scope| scope.spawn(|| peak_of(run).0).join().unwrap());
    (peak, claim)
}

fn close(graph: &Graph, options: &Options) {
    let (peak, claim) = measured(graph, options);
    assert!(peak <= claim, "{options:?}: measured {peak}, planned {claim}");
    assert!(
        peak * 10 >= claim * 9,
        "{options:?}: measured {peak}, planned {claim}: the plan claims too much"
    );
}

#[test]
fn measured_peaks_stay_within_planned_ones() {
    let g = models::mlp(&[256, 512, 512, 512, 512, 512, 10], 1024, models::mish_of);
    let options = |strategy, memory_budget| Options { strategy, memory_budget, needs, ..Options::default() };
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
    measured(&long, &all[3]);
    let (peak, claim) = measured(&long, &all[3]);
    assert!(peak <= claim, "attention: measured {peak}, planned {claim}");
    let scores = 4 * sizes.heads * sizes.places * sizes.places;
    assert!(claim < scores / 2, "attention: planned {claim}, the scores of all heads are {scores}");
    // A second run allocates results only.
    let args = arguments(&g, 1);
    let executable = Executable::new(plan(&g, &all[0]).unwrap());
    drop(executable.run(&args).unwrap());
    let (peak, out) = peak_of(|| executable.run(&args).unwrap());
    assert!(peak <= executable.plan().result_bytes() + executable.plan().outside_bound(), "{peak}");
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
