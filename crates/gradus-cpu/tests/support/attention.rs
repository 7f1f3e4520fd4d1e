//! Attention as an ordinary graph.

use gradus_core::ops::*;
use gradus_core::transforms::value_and_grad;
use gradus_core::{Binary, Builder, DType, Graph, Type, Unary, Var};

fn axes<const N: usize>(a: [usize; N]) -> Axes {
    a.into_iter().collect()
}

/// The sizes of an attention.
#[derive(Clone, Copy, Debug)]
pub struct Sizes {
    pub examples: usize,
    pub heads: usize,
    pub places: usize,
    pub features: usize,
}

/// Which scores count.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Mask {
    All,
    /// Those of a place itself and of what is before it.
    Causal,
    /// Those that an argument says, for each example.
    Given,
    /// All; of the shares, those that an argument says, for each example and head, the rest dropped.
    Dropped,
    /// All; a number for each place that is attended to, an argument with a gradient, is added to its scores.
    Added,
}

/// `softmax(Q Kᵀ / √d) V` in each head, of queries, keys and values that stand side by side, and the merged heads times
/// weights as one number. Arguments: `[examples, places, 3 · heads · features]`, weights, and a mask if one is
/// given.
pub fn attention(s: Sizes, mask: Mask, dtype: DType) -> Graph {
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
        Mask::All | Mask::Dropped => None,
        Mask::Added => {
            let more = b.input(Type::new(dtype, [places]));
            let repeated = Broadcast { shape: full.shape.clone(), axes: axes([3]) };
            let more = b.emit1(repeated, &[more]).unwrap();
            scores = b.emit1(Binary::Add, &[scores, more]).unwrap();
            None
        }
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
    let mut shares = e(Binary::Div.into(), &[grown, sum]);
    if mask == Mask::Dropped {
        let stays = b.input(Type::new(DType::Bool, full.shape.clone()));
        let (more, none) = (b.full(&full, 1.25), b.full(&full, 0.0));
        shares = b.emit1(Binary::Mul, &[shares, more]).unwrap();
        shares = b.emit1(Select, &[stays, shares, none]).unwrap();
    }
    let mut e = |op: Op, args: &[Var]| b.emit1(op, args).unwrap();
    let mixed = e(Dot::matmul(2).into(), &[shares, v]);
    let mixed = e(Permute { axes: axes([0, 2, 1, 3]) }.into(), &[mixed]);
    let merged = e(Reshape([examples, places, heads * features].into()).into(), &[mixed]);
    let weighed = e(Binary::Mul.into(), &[merged, weights]);
    let loss = e(Reduce { kind: ReduceKind::Sum, axes: axes([0, 1, 2]) }.into(), &[weighed]);
    b.finish(vec![loss])
}

/// The value and its gradient by all arguments that have one.
pub fn gradient(graph: &Graph) -> Graph {
    let wrt: Vec<bool> = graph.input_types().iter().map(|ty| ty.dtype.is_float()).collect();
    value_and_grad(graph, &wrt).unwrap()
}
