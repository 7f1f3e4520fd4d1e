//! Attention from ordinary graphs: heads are taken apart and put together without copies.

#[allow(dead_code, reason = "other tests use the rest")]
mod programs;

use gradus_core::ops::*;
use gradus_core::transforms::value_and_grad;
use gradus_core::{Array, Binary, Builder, DType, Graph, Type, Unary, Var, interpret};
use gradus_cpu::exec::Executable;
use gradus_plan::kernel::Work;
use gradus_plan::{Options, plan};
use programs::Rng;

fn axes<const N: usize>(a: [usize; N]) -> Axes {
    a.into_iter().collect()
}

/// The sizes of an attention.
#[derive(Clone, Copy, Debug)]
struct Sizes {
    examples: usize,
    heads: usize,
    places: usize,
    features: usize,
}

/// Which scores count.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Mask {
    All,
    /// Those of a place itself and of what is before it.
    Causal,
    /// Those that an argument says, for each example.
    Given,
}

/// `softmax(Q Kᵀ / √d) V` in each head, of queries, keys and values that stand side by side, and the merged heads times
/// weights as one number. Arguments: `[examples, places, 3 · heads · features]`, weights, and a mask if one is given.
fn attention(s: Sizes, mask: Mask, dtype: DType) -> Graph {
    let Sizes { examples, heads, places, features } = s;
    let mut b = Builder::new();
    let x = b.input(Type::new(dtype, [examples, places, 3 * heads * features]));
    let weights = b.input(Type::new(dtype, [examples, places, heads * features]));
    let mut e = |op: Op, args: &[Var]| b.emit1(op, args).unwrap();
    let split = e(Reshape([examples, places, 3, heads, features].into()).into(), &[x]);
    let split = e(Permute { axes: axes([2, 0, 3, 1, 4]) }.into(), &[split]);
    let shape = [3, examples, heads, places, features].into();
    let [q, k, v] = [0, 1, 2].map(|i| {
        let part = e(Slice::along(&shape, 0, i, i + 1).into(), &[split]);
        e(Reshape([examples, heads, places, features].into()).into(), &[part])
    });
    let k = e(Permute { axes: axes([0, 1, 3, 2]) }.into(), &[k]);
    let scores = e(Dot::matmul(2).into(), &[q, k]);
    let full = Type::new(dtype, [examples, heads, places, places]);
    let scale = b.full(&full, 1.0 / (features as f64).sqrt());
    let mut scores = b.emit1(Binary::Mul, &[scores, scale]).unwrap();
    let seen = match mask {
        Mask::All => None,
        Mask::Causal => {
            let iota = |axis| Iota { shape: [places, places].into(), axis, dtype: DType::I64 };
            let (i, j) = (b.emit1(iota(0), &[]).unwrap(), b.emit1(iota(1), &[]).unwrap());
            let past = b.emit1(Compare::Ge, &[i, j]).unwrap();
            Some(b.emit1(Broadcast { shape: full.shape.clone(), axes: axes([2, 3]) }, &[past]).unwrap())
        }
        Mask::Given => {
            let given = b.input(Type::new(DType::Bool, [examples, places, places]));
            Some(b.emit1(Broadcast { shape: full.shape.clone(), axes: axes([0, 2, 3]) }, &[given]).unwrap())
        }
    };
    if let Some(seen) = seen {
        let never = b.full(&full, f64::NEG_INFINITY);
        scores = b.emit1(Select, &[seen, scores, never]).unwrap();
    }
    let mut e = |op: Op, args: &[Var]| b.emit1(op, args).unwrap();
    let repeat = |shape: &gradus_core::Shape| Broadcast { shape: shape.clone(), axes: axes([0, 1, 2]) };
    let top = e(Reduce { kind: ReduceKind::Max, axes: axes([3]) }.into(), &[scores]);
    let top = e(StopGradient.into(), &[top]);
    let top = e(repeat(&full.shape).into(), &[top]);
    let below = e(Binary::Sub.into(), &[scores, top]);
    let grown = e(Unary::Exp.into(), &[below]);
    let sum = e(Reduce { kind: ReduceKind::Sum, axes: axes([3]) }.into(), &[grown]);
    let sum = e(repeat(&full.shape).into(), &[sum]);
    let shares = e(Binary::Div.into(), &[grown, sum]);
    let mixed = e(Dot::matmul(2).into(), &[shares, v]);
    let mixed = e(Permute { axes: axes([0, 2, 1, 3]) }.into(), &[mixed]);
    let merged = e(Reshape([examples, places, heads * features].into()).into(), &[mixed]);
    let weighed = e(Binary::Mul.into(), &[merged, weights]);
    let loss = e(Reduce { kind: ReduceKind::Sum, axes: axes([0, 1, 2]) }.into(), &[weighed]);
    b.finish(vec![loss])
}

fn arguments(graph: &Graph, seed: u64) -> Vec<Array> {
    let mut rng = Rng::new(seed);
    graph.input_types().iter().map(|ty| rng.array(ty)).collect()
}

fn gradient(graph: &Graph) -> Graph {
    let wrt: Vec<bool> = graph.input_types().iter().map(|ty| ty.dtype.is_float()).collect();
    value_and_grad(graph, &wrt).unwrap()
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
            for mask in [Mask::All, Mask::Causal, Mask::Given] {
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
        Work::Slabs(s) => Some((s.count, s.rows, s.block, s.parts.len())),
        _ => None,
    };
    executable.plan().kernels().iter().filter_map(group).collect()
}

#[test]
fn forward_and_backward_are_one_group_each() {
    let graph = gradient(&attention(SIZES[0], Mask::Causal, DType::F32));
    let executable = ready(&graph);
    assert_eq!(groups(&executable), [(6, 40, 40, 3), (6, 40, 40, 6)], "{:?}", executable.plan().kernels());
}
