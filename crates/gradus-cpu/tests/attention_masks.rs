//! Attention under masks: columns that a mask hides from a block of rows are not computed, and nothing changes.

#[allow(dead_code, reason = "other tests use the rest")]
mod programs;

use std::sync::Arc;

use gradus_core::ops::*;
use gradus_core::transforms::value_and_grad;
use gradus_core::{Array, Binary, Builder, DType, Graph, Type, Unary, Var, interpret};
use gradus_cpu::Pool;
use gradus_cpu::exec::Executable;
use gradus_plan::kernel::{self, Masked, Work};
use gradus_plan::{Options, plan};
use programs::Rng;

fn axes<const N: usize>(a: [usize; N]) -> Axes {
    a.into_iter().collect()
}

/// Queries look at keys: `heads` of the former share each of `groups` of the latter.
#[derive(Clone, Copy, Debug)]
struct Sizes {
    examples: usize,
    heads: usize,
    groups: usize,
    queries: usize,
    keys: usize,
    features: usize,
}

/// What a query sees, beside what an argument says.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Mask {
    /// Keys up to its own place, counted from the end; other scores are this number.
    Causal(f64),
    /// The same said as what it does not see, in shorter integers and the other order.
    Future,
    /// Of those the last few only.
    Window(f64),
    /// Causal; of what is seen, the keys that an argument tells for each example.
    Padded(f64),
    /// Causal, and shares are dropped where an argument says.
    Dropped,
    /// Causal; minus infinity is added instead of written.
    Added,
    /// The place itself is left out.
    Before,
    /// What an argument says of each query and key.
    Given(f64),
    /// What an argument says of each query and key of each head.
    GivenHeads(f64),
    /// What an argument says it does not see.
    Hidden(f64),
    /// The keys that an argument tells for each example.
    Keys(f64),
    /// Causal and, selected after that, what an argument says.
    Both(f64),
}

fn scene(s: Sizes, mask: Mask, dtype: DType) -> Graph {
    let Sizes { examples, heads, groups, queries, keys, features } = s;
    let share = heads / groups;
    let mut b = Builder::new();
    let q = b.input(Type::new(dtype, [examples, groups, share, queries, features]));
    let k = b.input(Type::new(dtype, [examples, groups, keys, features]));
    let v = b.input(Type::new(dtype, [examples, groups, keys, features]));
    let weights = b.input(Type::new(dtype, [examples, groups, share, queries, features]));
    // A product of two arguments might be a layer with weights.
    let [q, k] = [q, k].map(|x| {
        let two = b.full(&b.ty(x).clone(), 2.0);
        b.emit1(Binary::Mul, &[x, two]).unwrap()
    });
    let many = |b: &mut Builder, x: Var, rows: usize, cols: usize| {
        let shape = [examples, groups, share, rows, cols].into();
        b.emit1(Broadcast { shape, axes: axes([0, 1, 3, 4]) }, &[x]).unwrap()
    };
    let k = b.emit1(Permute { axes: axes([0, 1, 3, 2]) }, &[k]).unwrap();
    let k = many(&mut b, k, features, keys);
    let v = many(&mut b, v, keys, features);
    let scores = b.emit1(Dot::matmul(3), &[q, k]).unwrap();
    let full = Type::new(dtype, [examples, groups, share, queries, keys]);
    let scale = b.full(&full, 1.0 / (features as f64).sqrt());
    let mut scores = b.emit1(Binary::Mul, &[scores, scale]).unwrap();

    let integers = if mask == Mask::Future { DType::I32 } else { DType::I64 };
    let flat = Type::new(integers, [queries, keys]);
    let index = |b: &mut Builder, axis| {
        b.emit1(Iota { shape: [queries, keys].into(), axis, dtype: integers }, &[]).unwrap()
    };
    let (i, j) = (index(&mut b, 0), index(&mut b, 1));
    let more = b.full(&flat, keys as f64 - queries as f64);
    let last = b.emit1(Binary::Add, &[i, more]).unwrap();
    let everywhere = |b: &mut Builder, x: Var| {
        b.emit1(Broadcast { shape: full.shape.clone(), axes: axes([3, 4]) }, &[x]).unwrap()
    };
    let infinite = f64::NEG_INFINITY;
    match mask {
        Mask::Future => {
            let future = b.emit1(Compare::Gt, &[j, last]).unwrap();
            let future = everywhere(&mut b, future);
            let never = b.full(&full, infinite);
            scores = b.emit1(Select, &[future, never, scores]).unwrap();
        }
        Mask::Added => {
            let past = b.emit1(Compare::Le, &[j, last]).unwrap();
            let flat = Type::new(dtype, [queries, keys]);
            let (none, never) = (b.full(&flat, 0.0), b.full(&flat, infinite));
            let more = b.emit1(Select, &[past, none, never]).unwrap();
            let more = everywhere(&mut b, more);
            scores = b.emit1(Binary::Add, &[scores, more]).unwrap();
        }
        Mask::Given(never) | Mask::GivenHeads(never) | Mask::Hidden(never) | Mask::Keys(never) => {
            let (shape, along) = match mask {
                Mask::GivenHeads(_) => (full.shape.clone(), axes([0, 1, 2, 3, 4])),
                Mask::Keys(_) => ([examples, keys].into(), axes([0, 4])),
                _ => ([queries, keys].into(), axes([3, 4])),
            };
            let given = b.input(Type::new(DType::Bool, shape));
            let given = b.emit1(Broadcast { shape: full.shape.clone(), axes: along }, &[given]).unwrap();
            let never = b.full(&full, never);
            let hidden = matches!(mask, Mask::Hidden(_));
            let order = if hidden { [given, never, scores] } else { [given, scores, never] };
            scores = b.emit1(Select, &order).unwrap();
        }
        _ => {
            let compare = if mask == Mask::Before { Compare::Gt } else { Compare::Ge };
            let past = b.emit1(compare, &[last, j]).unwrap();
            let mut past = everywhere(&mut b, past);
            if let Mask::Window(_) = mask {
                let few = b.full(&flat, 20.0);
                let far = b.emit1(Binary::Add, &[j, few]).unwrap();
                let near = b.emit1(Compare::Gt, &[far, last]).unwrap();
                let near = everywhere(&mut b, near);
                past = b.emit1(Logic::And, &[past, near]).unwrap();
            }
            if let Mask::Padded(_) = mask {
                let there = b.input(Type::new(DType::Bool, [examples, keys]));
                let shape = full.shape.clone();
                let there = b.emit1(Broadcast { shape, axes: axes([0, 4]) }, &[there]).unwrap();
                past = b.emit1(Logic::And, &[past, there]).unwrap();
            }
            let never = match mask {
                Mask::Causal(x) | Mask::Window(x) | Mask::Padded(x) | Mask::Both(x) => x,
                _ => infinite,
            };
            let never = b.full(&full, never);
            scores = b.emit1(Select, &[past, scores, never]).unwrap();
            if let Mask::Both(_) = mask {
                let given = b.input(Type::new(DType::Bool, [queries, keys]));
                let given = everywhere(&mut b, given);
                scores = b.emit1(Select, &[given, scores, never]).unwrap();
            }
        }
    }

    let repeat = || Broadcast { shape: full.shape.clone(), axes: axes([0, 1, 2, 3]) };
    let top = b.emit1(Reduce { kind: ReduceKind::Max, axes: axes([4]) }, &[scores]).unwrap();
    let top = b.emit1(StopGradient, &[top]).unwrap();
    let top = b.emit1(repeat(), &[top]).unwrap();
    let below = b.emit1(Binary::Sub, &[scores, top]).unwrap();
    let grown = b.emit1(Unary::Exp, &[below]).unwrap();
    let sum = b.emit1(Reduce { kind: ReduceKind::Sum, axes: axes([4]) }, &[grown]).unwrap();
    let sum = b.emit1(repeat(), &[sum]).unwrap();
    let mut shares = b.emit1(Binary::Div, &[grown, sum]).unwrap();
    if mask == Mask::Dropped {
        let stays = b.input(Type::new(DType::Bool, full.shape.clone()));
        let (more, none) = (b.full(&full, 1.25), b.full(&full, 0.0));
        shares = b.emit1(Binary::Mul, &[shares, more]).unwrap();
        shares = b.emit1(Select, &[stays, shares, none]).unwrap();
    }
    let mixed = b.emit1(Dot::matmul(3), &[shares, v]).unwrap();
    let weighed = b.emit1(Binary::Mul, &[mixed, weights]).unwrap();
    let loss = b.emit1(Reduce { kind: ReduceKind::Sum, axes: axes([0, 1, 2, 3, 4]) }, &[weighed]).unwrap();
    b.finish(vec![loss, mixed])
}

/// Value, result and gradients by queries, keys, values and weights.
fn program(s: Sizes, mask: Mask, dtype: DType) -> Graph {
    let forward = scene(s, mask, dtype);
    let loss = {
        let mut b = Builder::new();
        let args: Vec<_> = forward.input_types().into_iter().map(|ty| b.input(ty)).collect();
        let out = b.inline(&forward, &args).unwrap();
        b.finish(vec![out[0]])
    };
    let wrt: Vec<bool> = loss.input_types().iter().map(|ty| ty.dtype.is_float()).collect();
    value_and_grad(&loss, &wrt).unwrap()
}

fn arguments(graph: &Graph, seed: u64) -> Vec<Array> {
    let mut rng = Rng::new(seed);
    graph.input_types().iter().map(|ty| rng.array(ty)).collect()
}

fn close(got: &[Array], want: &[Array], tolerance: f64, what: &dyn std::fmt::Debug) {
    for (n, (got, want)) in got.iter().zip(want).enumerate() {
        let (g, w) = (got.to_f64(), want.to_f64());
        assert_eq!(g.len(), w.len());
        let scale = w.iter().filter(|x| x.is_finite()).fold(1.0f64, |m, x| m.max(x.abs()));
        for (i, (g, w)) in g.iter().zip(&w).enumerate() {
            let same = g == w || (g.is_nan() && w.is_nan()) || (g - w).abs() <= tolerance * scale;
            assert!(same, "{what:?}: element {i} of result {n} is {g}, should be {w}");
        }
    }
}

fn ready(graph: &Graph) -> Executable {
    ready_from(graph, 48)
}

/// The program planned so that masks of at least this many columns leave work out.
fn ready_from(graph: &Graph, columns: usize) -> Executable {
    let mut target = gradus_cpu::target().unwrap();
    target.limits.columns = columns;
    Executable::new(plan(graph, &Options { target, ..Options::default() }).unwrap())
}

/// What masks leave out of the groups of a plan.
fn masked(executable: &Executable) -> Vec<Option<Masked>> {
    let group = |k: &gradus_plan::Kernel| match &k.work {
        Work::Blocked(s) => Some(s.masked.clone()),
        _ => None,
    };
    executable.plan().kernels().iter().filter_map(group).collect()
}

const INFINITE: f64 = f64::NEG_INFINITY;

/// Self-attention of odd lengths, few queries over many keys, and heads that share keys.
const SIZES: [Sizes; 7] = [
    Sizes { examples: 2, heads: 2, groups: 2, queries: 65, keys: 65, features: 8 },
    Sizes { examples: 1, heads: 1, groups: 1, queries: 127, keys: 127, features: 5 },
    Sizes { examples: 1, heads: 2, groups: 2, queries: 300, keys: 300, features: 4 },
    Sizes { examples: 2, heads: 2, groups: 1, queries: 90, keys: 131, features: 3 },
    Sizes { examples: 1, heads: 2, groups: 2, queries: 64, keys: 64, features: 64 },
    Sizes { examples: 2, heads: 1, groups: 1, queries: 1, keys: 1, features: 4 },
    Sizes { examples: 1, heads: 1, groups: 1, queries: 301, keys: 301, features: 4 },
];

#[test]
fn values_and_gradients_are_those_of_the_interpreter() {
    let masks = [
        Mask::Causal(INFINITE),
        Mask::Causal(-1e9),
        Mask::Future,
        Mask::Window(INFINITE),
        Mask::Window(-1e30),
        Mask::Padded(INFINITE),
        Mask::Padded(-1e9),
        Mask::Dropped,
        Mask::Added,
        Mask::Before,
        Mask::Given(INFINITE),
        Mask::Both(-1e9),
    ];
    for s in SIZES {
        for mask in masks {
            for (dtype, tolerance) in [(DType::F32, 5e-5), (DType::F64, 1e-12)] {
                let graph = program(s, mask, dtype);
                let args = arguments(&graph, 21);
                let want = interpret(&graph, &args).unwrap();
                close(&ready(&graph).run(&args).unwrap(), &want, tolerance, &(s, mask, dtype));
            }
        }
    }
}

#[test]
fn causal_masks_are_found() {
    for mask in [Mask::Causal(INFINITE), Mask::Causal(-1e9), Mask::Future] {
        for s in [SIZES[0], SIZES[2], SIZES[6]] {
            let executable = ready(&program(s, mask, DType::F32));
            let found = masked(&executable);
            assert_eq!(found.len(), 2, "{s:?}, {mask:?}: {:?}", executable.plan().kernels());
            let offset = s.keys as isize - s.queries as isize;
            for masked in found {
                let masked = masked.unwrap_or_else(|| panic!("{s:?}, {mask:?}"));
                assert_eq!(masked.mask, kernel::Mask::Causal { offset, beyond: false });
                assert_eq!(masked.columns, s.keys);
                assert!(!masked.guards.is_empty());
            }
        }
    }
}

/// Queries and keys, whether a query sees a key.
type Sees = fn(usize, usize, usize) -> bool;

/// Masks of queries and keys, given the number of keys: a name, and the largest share of columns that should be computed where a few
/// blocks of rows have 300 columns.
const PATTERNS: [(&str, f64, Sees); 12] = [
    ("everything", 1.0, |_, _, _| true),
    ("up to itself", 0.7, |i, j, _| j <= i),
    ("from itself on", 0.7, |i, j, _| j >= i),
    ("near", 0.65, |i, j, _| i.abs_diff(j) < 10),
    ("documents", 0.65, |i, j, keys| 4 * i / keys.max(4) == 4 * j / keys.max(4)),
    ("a few keys", 0.3, |_, j, _| (70..90).contains(&j)),
    ("the last key", 0.4, |_, j, keys| j + 1 == keys),
    ("the first key", 0.2, |_, j, _| j == 0),
    ("all but the first key", 1.0, |_, j, keys| j > 0 || keys == 1),
    ("the outermost", 1.0, |_, j, keys| j == 0 || j + 1 == keys),
    ("here and there", 1.0, |i, j, _| (7 * i + 13 * j) % 5 < 2 || j == i % 4),
    ("some rows nothing", 1.0, |i, j, _| i % 90 != 40 && j <= i),
];

const GIVEN: [fn(f64) -> Mask; 5] = [Mask::Given, Mask::GivenHeads, Mask::Hidden, Mask::Keys, Mask::Both];

/// Arguments with a mask of a pattern for the last of them.
fn with_pattern(graph: &Graph, mask: Mask, sees: Sees, seed: u64) -> Vec<Array> {
    let mut args = arguments(graph, seed);
    let given = args.last_mut().unwrap();
    let shape = given.shape().clone();
    let keys = shape[shape.rank() - 1];
    // Keys alone: what the middle query sees.
    let query = |i: usize| if shape.rank() == 2 && matches!(mask, Mask::Keys(_)) { keys / 2 } else { i };
    let queries = shape[shape.rank() - 2];
    let hidden = matches!(mask, Mask::Hidden(_));
    let elements = (0..shape.size()).map(|p| sees(query(p / keys % queries), p % keys, keys) != hidden);
    *given = Array::new(shape.clone(), elements.collect::<Vec<bool>>()).unwrap();
    args
}

#[test]
fn masks_that_are_arguments_are_read_when_they_are_there() {
    for s in [SIZES[0], SIZES[2], SIZES[3], SIZES[5], SIZES[6]] {
        for kind in GIVEN {
            for never in [INFINITE, -1e9] {
                let (mask, dtype) = (kind(never), if s.features == 8 { DType::F64 } else { DType::F32 });
                let graph = program(s, mask, dtype);
                let executable = ready(&graph);
                let whole = ready_from(&graph, usize::MAX);
                if s.keys > 1 {
                    assert!(masked(&executable).iter().all(Option::is_some), "{s:?} {mask:?}");
                }
                assert_eq!(whole.masked_columns(), []);
                // One program, whatever the mask.
                for (n, (name, most, sees)) in PATTERNS.into_iter().enumerate() {
                    let args = with_pattern(&graph, mask, sees, n as u64);
                    let before = executable.masked_columns();
                    let got = executable.run(&args).unwrap();
                    let what = (name, s, mask);
                    if never == INFINITE {
                        let tolerance = if dtype == DType::F64 { 1e-12 } else { 5e-5 };
                        close(&got, &interpret(&graph, &args).unwrap(), tolerance, &what);
                    }
                    let all = whole.run(&args).unwrap();
                    for (n, (got, all)) in got.iter().zip(&all).enumerate() {
                        let (g, w) = (got.to_f64(), all.to_f64());
                        let same = |(g, w): (&f64, &f64)| g == w || g.is_nan() && w.is_nan();
                        assert!(g.iter().zip(&w).all(same), "{what:?}: bits of result {n}");
                    }
                    for (after, before) in executable.masked_columns().into_iter().zip(before) {
                        let share = (after.0 - before.0) as f64 / (after.1 - before.1) as f64;
                        if s.keys >= 300 {
                            let known = matches!(mask, Mask::Both(_)) && most > 0.7;
                            let most = if known { 1.0 } else { most };
                            assert!(share <= most, "{what:?}: {share} of the columns are computed");
                        }
                        if name == "everything" && !matches!(mask, Mask::Both(_)) {
                            assert_eq!(share, 1.0, "{what:?}");
                        }
                    }
                }
            }
        }
    }
}

#[test]
fn what_is_not_finite_beside_all_that_is_computed_is_seen() {
    let s = SIZES[2];
    for kind in [Mask::Given, Mask::Keys] {
        let graph = program(s, kind(INFINITE), DType::F64);
        let executable = ready(&graph);
        for (which, odd) in [(1, f64::NAN), (2, f64::INFINITY), (2, f64::NAN), (3, f64::NAN)] {
            for place in [0, 290 * 4, 300 * 4 + 500, 2 * 300 * 4 - 1] {
                let mut args = with_pattern(&graph, kind(INFINITE), |_, j, _| (70..90).contains(&j), 4);
                let mut x = args[which].to_f64();
                x[place] = odd;
                args[which] = Array::new(args[which].shape().clone(), x).unwrap();
                let want = interpret(&graph, &args).unwrap();
                close(&executable.run(&args).unwrap(), &want, 1e-12, &(which, odd, place));
            }
        }
    }
}

#[test]
fn masks_from_positions_take_no_memory() {
    let masks = [Mask::Causal(INFINITE), Mask::Window(INFINITE)];
    for (s, mask) in [SIZES[2], SIZES[6]].into_iter().flat_map(|s| masks.map(|mask| (s, mask))) {
        let executable = ready(&program(s, mask, DType::F32));
        let plan = executable.plan();
        for kernel in plan.kernels() {
            for v in kernel.writes.iter().chain(&kernel.reads) {
                assert_ne!(plan.graph().ty(*v).dtype, DType::Bool, "{kernel:?}");
            }
        }
    }
}

#[test]
fn rows_that_see_nothing_and_odd_numbers_are_what_the_interpreter_says() {
    for never in [INFINITE, -1e9] {
        for s in [SIZES[0], SIZES[2]] {
            let graph = program(s, Mask::Padded(never), DType::F32);
            let mut args = arguments(&graph, 5);
            // The first places of the first example are not there.
            let there: Vec<bool> = (0..s.examples * s.keys).map(|i| i > 9).collect();
            args[4] = Array::new([s.examples, s.keys], there).unwrap();
            let want = interpret(&graph, &args).unwrap();
            close(&ready(&graph).run(&args).unwrap(), &want, 5e-5, &(s, never));
        }
    }
    // One number among keys, values or cotangents.
    for (which, odd) in [(1, f64::NAN), (2, f64::INFINITY), (2, f64::NAN), (3, f64::INFINITY), (3, f64::NAN)]
    {
        for place in [0, 700, 1199] {
            let s = SIZES[2];
            let graph = program(s, Mask::Causal(INFINITE), DType::F64);
            let mut args = arguments(&graph, 6);
            let mut x = args[which].to_f64();
            x[place] = odd;
            args[which] = Array::new(args[which].shape().clone(), x).unwrap();
            let want = interpret(&graph, &args).unwrap();
            close(&ready(&graph).run(&args).unwrap(), &want, 1e-12, &(which, odd, place));
        }
    }
}

#[test]
fn threads_do_not_change_bits() {
    for s in [SIZES[2], SIZES[3], SIZES[6]] {
        let graph = program(s, Mask::Causal(INFINITE), DType::F32);
        let args = arguments(&graph, 3);
        let run = |threads: usize| {
            let options = Options { target: gradus_cpu::target().unwrap(), ..Options::default() };
            let plan = plan(&graph, &options).unwrap();
            let out = Executable::with_pool(plan, Arc::new(Pool::new(threads))).run(&args).unwrap();
            out.iter().flat_map(|a| a.to_f64()).map(f64::to_bits).collect::<Vec<u64>>()
        };
        let one = run(1);
        for threads in [2, 3, 4, 8] {
            assert_eq!(run(threads), one, "{s:?}: {threads} threads");
        }
    }
}

#[test]
fn the_peak_grows_with_the_length_and_no_faster() {
    let peak = |places| {
        let s = Sizes { examples: 1, heads: 1, groups: 1, queries: places, keys: places, features: 64 };
        let executable = ready(&program(s, Mask::Causal(INFINITE), DType::F32));
        assert_eq!(masked(&executable).len(), 2, "{places}");
        executable.plan().planned_peak_bytes()
    };
    let (short, long) = (peak(4096), peak(16384));
    assert!(long < 5 * short, "{short} {long}");
    assert!(long < 16384 * 16384, "{long}");
}
