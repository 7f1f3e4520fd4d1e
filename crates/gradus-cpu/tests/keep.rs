//! What is kept and what is computed again never changes a result, and a budget is kept to.

#[allow(dead_code, reason = "other tests use the rest")]
#[path = "../examples/steps/models.rs"]
mod models;
#[allow(dead_code, reason = "other tests use the rest")]
mod programs;

use gradus_core::ops::*;
use gradus_core::transforms::value_and_grad;
use gradus_core::{Array, Binary, Builder, DType, Graph, Type, interpret};
use gradus_cpu::exec::Executable;
use gradus_plan::{Budget, Options, Plan, Strategy, plan};
use programs::arguments;

fn with(strategy: Strategy, memory_budget: Option<Budget>) -> Options {
    Options { strategy, memory_budget, ..Options::default() }
}

fn run(plan: Plan, args: &[Array]) -> Vec<Array> {
    Executable::new(plan).run(args).unwrap()
}

fn bits(x: &[Array]) -> Vec<Vec<u64>> {
    x.iter().map(|a| a.to_f64().iter().map(|v| if v.is_nan() { 1 } else { v.to_bits() }).collect()).collect()
}

fn agree(got: &[Array], want: &[Array], tolerance: f64, what: &str) {
    for (g, w) in got.iter().zip(want) {
        let (g, w) = (g.to_f64(), w.to_f64());
        let scale = w.iter().filter(|x| x.is_finite()).fold(1.0f64, |m, x| m.max(x.abs()));
        for (g, w) in g.iter().zip(&w) {
            assert!(
                g == w || (g.is_nan() && w.is_nan()) || (g - w).abs() <= tolerance * scale,
                "{g} {w} {what}"
            );
        }
    }
}

/// Every strategy agrees with the interpreter; `auto` is the same to the bit at every budget, its peak monotone.
fn check(graph: &Graph, args: &[Array], tolerance: f64) {
    let want = interpret(graph, args).unwrap();
    for strategy in [Strategy::Plain, Strategy::Recompute, Strategy::Nested, Strategy::Auto] {
        let got = run(plan(graph, &with(strategy, None)).unwrap(), args);
        agree(&got, &want, tolerance, &format!("{strategy:?}\n{graph}"));
    }
    let free = plan(graph, &with(Strategy::Auto, None)).unwrap();
    let full = free.planned_peak_bytes();
    let first = bits(&run(free, args));
    let mut peak = full;
    for percent in (5..100).rev().step_by(10) {
        let budget = full * percent / 100;
        match plan(graph, &with(Strategy::Auto, Some(Budget::Bytes(budget)))) {
            Ok(p) => {
                assert!(p.planned_peak_bytes() <= budget);
                assert!(p.planned_peak_bytes() <= peak, "the peak grew with a smaller budget\n{graph}");
                peak = p.planned_peak_bytes();
                assert_eq!(bits(&run(p, args)), first, "at {percent} %\n{graph}");
            }
            Err(e) => {
                let text = e.to_string();
                let smallest: usize =
                    text.split("needs ").nth(1).unwrap().split(' ').next().unwrap().parse().unwrap();
                assert!(smallest > budget, "{text}");
                let p = plan(graph, &with(Strategy::Auto, Some(Budget::Bytes(smallest)))).unwrap();
                assert_eq!(p.planned_peak_bytes(), smallest);
                assert_eq!(bits(&run(p, args)), first);
                break;
            }
        }
    }
}

#[test]
fn networks() {
    for activation in [models::mish_of, models::gelu] {
        let g = models::mlp(&[16, 64, 64, 64, 64, 64, 64, 64, 64, 10], 48, activation);
        check(&g, &arguments(&g, 3), 2e-5);
    }
}

/// The gradient of `sum(y²)`, where `y` comes from `x` by selections with running sums between them.
fn masks(shape: &[usize]) -> Graph {
    let mut b = Builder::new();
    let ty = Type::new(DType::F32, shape);
    let mut y = b.input(ty.clone());
    for limit in [0.5, 0.9, 2.0] {
        let (zero, limit) = (b.zeros_like(y), b.full(&ty, limit));
        let stays = b.emit1(Compare::Gt, &[y, limit]).unwrap();
        y = b.emit1(Select, &[stays, y, zero]).unwrap();
        // It runs by itself, so that masks have to wait.
        let last = shape.len() - 1;
        y = b.emit1(Cumulative { kind: CumulativeKind::Sum, axis: last, reverse: false }, &[y]).unwrap();
    }
    let y = b.emit1(Binary::Mul, &[y, y]).unwrap();
    let axes: Axes = (0..shape.len()).collect();
    let y = b.emit1(Reduce { kind: ReduceKind::Sum, axes }, &[y]).unwrap();
    value_and_grad(&b.finish(vec![y]), &[true]).unwrap()
}

#[test]
fn masks_wait_as_bits() {
    for shape in [&[1][..], &[7], &[8], &[1000], &[5, 13], &[33, 129], &[3, 5, 7], &[64, 512]] {
        let g = masks(shape);
        let args = arguments(&g, 9);
        check(&g, &args, 1e-5);
        let n: usize = shape.iter().product();
        let masks = |strategy| {
            let p = plan(&g, &with(strategy, None)).unwrap();
            let kept = p.residuals();
            let masks = kept.into_iter().filter(|r| r.ty.dtype == DType::Bool);
            masks.map(|r| (r.bytes, p.packed(r.value))).collect::<Vec<_>>()
        };
        assert!(masks(Strategy::Plain).into_iter().all(|m| m == (n, false)));
        if n >= 1000 {
            let nested = masks(Strategy::Nested);
            assert!(
                !nested.is_empty() && nested.into_iter().all(|m| m == (n.div_ceil(8), true)),
                "{shape:?}"
            );
        }
    }
}

/// The gradient of `sum(y²)`, where `y` are the maxima of windows.
fn maxima(shape: &[usize], window: &Window) -> Graph {
    let mut b = Builder::new();
    let x = b.input(Type::new(DType::F32, shape));
    let y = b.emit(MaxPool { window: window.clone() }, &[x]).unwrap()[0];
    let y = b.emit1(Binary::Mul, &[y, y]).unwrap();
    let axes: Axes = (0..b.shape(y).rank()).collect();
    let y = b.emit1(Reduce { kind: ReduceKind::Sum, axes }, &[y]).unwrap();
    value_and_grad(&b.finish(vec![y]), &[true]).unwrap()
}

#[test]
fn places_of_maxima_wait_as_bytes() {
    let window = |size: &[usize], stride: &[usize], low: &[usize], dilation: &[usize]| Window {
        size: size.into(),
        stride: stride.into(),
        low: low.into(),
        high: low.into(),
        dilation: dilation.into(),
    };
    let cases: [(&[usize], Window); 9] = [
        (&[3, 5, 28, 28], Window::tiles(&[2, 2])),
        (&[3, 5, 29, 31], Window::tiles(&[2, 2])),
        (&[4, 30, 48], Window::tiles(&[3, 3])),
        (&[2, 4, 19, 21], window(&[3, 3], &[2, 2], &[1, 1], &[1, 1])),
        (&[2, 40, 41], window(&[2, 2], &[4, 5], &[1, 0], &[2, 3])),
        (&[7, 300], Window::tiles(&[1])),
        (&[5, 200], window(&[3], &[1], &[2], &[1])),
        (&[2, 8, 10, 12], Window::tiles(&[2, 1, 4])),
        (&[300, 40], Window::tiles(&[40])),
    ];
    for (shape, window) in cases {
        let g = maxima(shape, &window);
        let args = arguments(&g, 4);
        check(&g, &args, 1e-5);
        let p = plan(&g, &with(Strategy::Nested, None)).unwrap();
        let kept = p.residuals();
        let indices = kept.iter().find(|r| r.ty.dtype == DType::I32).expect("where the maxima came from");
        assert_eq!((indices.bytes, p.packed(indices.value)), (indices.ty.shape.size(), true), "{window:?}");
    }
    // Too many elements for a byte.
    let g = maxima(&[2, 600], &Window::tiles(&[300]));
    check(&g, &arguments(&g, 4), 1e-5);
}

const RULES: [models::Update; 4] =
    [models::Update::Sgd, models::Update::Momentum, models::Update::Adam, models::Update::Clipped];

#[test]
fn whole_steps() {
    let widths = [16, 64, 64, 64, 64, 64, 64, 10];
    for rule in RULES {
        let g = models::step(&widths, 48, models::mish_of, rule);
        check(&g, &arguments(&g, 3), 2e-4);
    }
}

#[test]
fn an_update_changes_nothing_about_what_is_kept() {
    // With a batch this small gradients are larger than activations.
    for batch in [8, 512] {
        let widths = [64, 128, 128, 128, 128, 10];
        let bare = models::mlp(&widths, batch, models::mish_of);
        for strategy in [Strategy::Plain, Strategy::Recompute, Strategy::Nested, Strategy::Auto] {
            let kept = |g: &Graph| plan(g, &with(strategy, None)).unwrap().saved_bytes();
            assert!(kept(&bare) > 0);
            for rule in RULES {
                let step = models::step(&widths, batch, models::mish_of, rule);
                assert_eq!(kept(&step), kept(&bare), "{strategy:?}, {rule:?}, batch {batch}");
            }
        }
    }
}

#[test]
fn gradients_do_not_wait_for_each_other() {
    let widths = [256; 12];
    for rule in [models::Update::Sgd, models::Update::Momentum, models::Update::Adam] {
        let g = models::step(&widths, 8, models::mish_of, rule);
        let p = plan(&g, &Options::default()).unwrap();
        let weights = 11 * 256 * 256 * 4;
        assert!(p.arena_bytes() < weights / 4, "{rule:?}: {} of {weights}", p.arena_bytes());
        // Every parameter and moment is written over.
        assert_eq!(p.donations().len(), g.outputs().len() - 1, "{rule:?}");
    }
}

#[test]
fn nested_keeps_half_of_what_plain_keeps() {
    let g = models::mlp(&[784, 256, 256, 256, 256, 256, 256, 10], 512, models::mish_of);
    let arena = |s| plan(&g, &with(s, None)).unwrap().arena_bytes() as f64;
    let (plain, nested, recompute) =
        (arena(Strategy::Plain), arena(Strategy::Nested), arena(Strategy::Recompute));
    assert!(plain / nested > 1.8, "plain {plain}, nested {nested}");
    assert!(recompute < nested, "recompute {recompute}, nested {nested}");
}

#[test]
fn an_explanation_names_what_runs_and_what_is_kept() {
    let g = models::mlp(&[784, 256, 256, 256, 10], 2048, models::mish_of);
    let p = plan(&g, &with(Strategy::Auto, Some(Budget::Share(0.85)))).unwrap();
    let text = p.explain();
    for word in [
        "product",
        "element-wise",
        "kept for the backward pass",
        "at the peak",
        "stages are run again",
        "tanh",
    ] {
        assert!(text.contains(word), "{word} is missing\n{text}");
    }
    let json = p.explain_json();
    for (open, close) in [('{', '}'), ('[', ']')] {
        assert_eq!(json.matches(open).count(), json.matches(close).count());
    }
    assert!(json.contains(&format!("\"planned_peak_bytes\":{}", p.planned_peak_bytes())));
    assert!(p.memory_svg().trim_end().ends_with("</svg>"));
    assert_eq!(p.saved_bytes(), p.residuals().iter().map(|r| r.bytes).sum::<usize>());
    assert!(p.memory_curve().into_iter().max().unwrap() <= p.arena_bytes());
}
