//! Movement, reductions, products, indices, order and windows: shapes and values they are sampled at.

use smallvec::smallvec;

use crate::ops::{
    ArgReduce, Broadcast, Collective, CollectiveKind, Concat, Conv, Cumulative, CumulativeKind, Dot, FoldIn,
    Gather, MaxPool, Pad, Permute, RandomBits, Recurrence, Reduce, ReduceKind, Reshape, Reverse, ScatterAdd,
    Slice, Sort, SumPool, Window,
};
use crate::table::random::{Range, Sampled};
use crate::table::row::{Case, Row};
use crate::{Array, DType, Op};

fn x(shape: &[usize]) -> Sampled {
    Sampled::f64(shape, Range::Uniform(-2.0, 2.0))
}

fn spread(shape: &[usize]) -> Sampled {
    Sampled::f64(shape, Range::Distinct)
}

fn indices(shape: &[usize], extent: i64) -> Sampled {
    Sampled::of(DType::I64, shape, Range::Integers(-extent, extent - 1))
}

/// A primitive of one operand, linear in it.
fn moves(label: &'static str, op: impl Into<Op>, shape: &[usize]) -> Case {
    Case::new(label, op, &[x(shape)]).linear(&[&[0]])
}

fn movement() -> Vec<Row> {
    let pad = |low, high, interior| Pad { dead: false, low, high, interior };
    let slice = |start, stop, step| Slice { start, stop, step };
    vec![
        Row::of(vec![
            moves("", Reshape([3, 4].into()), &[2, 6]),
            moves("to a scalar", Reshape([].into()), &[1, 1]),
            moves("empty", Reshape([0].into()), &[2, 0]).edge(),
        ]),
        Row::of(vec![
            moves("", Permute { axes: smallvec![2, 0, 1] }, &[2, 3, 4]),
            moves("scalar", Permute { axes: smallvec![] }, &[]),
            moves("empty", Permute { axes: smallvec![1, 0] }, &[0, 3]).edge(),
        ]),
        Row::of(vec![
            moves("new axes", Broadcast { shape: [2, 3, 4].into(), axes: smallvec![1] }, &[3]),
            moves("stretched", Broadcast { shape: [2, 3].into(), axes: smallvec![0, 1] }, &[2, 1]),
            moves("from a scalar", Broadcast { shape: [2, 2].into(), axes: smallvec![] }, &[]),
            moves("to nothing", Broadcast { shape: [0, 3].into(), axes: smallvec![1] }, &[3]).edge(),
        ]),
        Row::of(vec![
            moves("", slice(smallvec![1, 0], smallvec![3, 5], smallvec![1, 2]), &[4, 6]),
            moves("past a step", slice(smallvec![0], smallvec![7], smallvec![3]), &[8]),
            moves("empty", slice(smallvec![2], smallvec![2], smallvec![1]), &[4]).edge(),
        ]),
        Row::of(vec![
            moves("", pad(smallvec![1, 0], smallvec![0, 2], smallvec![0, 1]), &[2, 3]),
            moves("of nothing", pad(smallvec![1], smallvec![1], smallvec![2]), &[0]).edge(),
        ]),
        Row::of(vec![
            Case::new("", Concat { axis: 1 }, &[x(&[2, 3]), x(&[2, 1])]).linear(&[&[0, 1], &[0], &[1]]),
            Case::new("one empty", Concat { axis: 0 }, &[x(&[0, 2]), x(&[2, 2])]).linear(&[&[0, 1]]),
            Case::new("all empty", Concat { axis: 1 }, &[x(&[0, 1]), x(&[0, 2])]).edge(),
        ]),
        Row::of(vec![
            moves("", Reverse { axes: smallvec![1] }, &[2, 3]),
            moves("empty", Reverse { axes: smallvec![0] }, &[0]).edge(),
        ]),
    ]
}

fn reductions() -> Vec<Row> {
    let mut rows = Vec::new();
    for kind in ReduceKind::ALL {
        let linear: &[&[usize]] = if kind == ReduceKind::Sum { &[&[0]] } else { &[] };
        let sample = |shape: &[usize]| match kind {
            ReduceKind::Max | ReduceKind::Min => spread(shape),
            ReduceKind::Sum | ReduceKind::Prod => x(shape),
        };
        let case = |label, axes: &[usize], shape: &[usize]| {
            Case::new(label, Reduce { kind, axes: axes.into() }, &[sample(shape)]).linear(linear)
        };
        let mut cases = vec![
            case("middle", &[1], &[2, 3, 2]),
            case("all", &[0, 1], &[2, 3]),
            case("outer and inner", &[0, 2], &[2, 3, 2]),
            case("one element", &[0], &[1, 3]),
            case("no axis", &[], &[3]),
            case("empty rows", &[1], &[0, 3]).edge(),
        ];
        match kind {
            ReduceKind::Sum => cases.push(case("of nothing", &[1], &[2, 0]).edge()),
            ReduceKind::Prod => {
                let zeros = Sampled::f64([2, 3], Range::Values(vec![0.0, 2.0, -1.0, 0.0, 0.0, 3.0]));
                cases.push(Case::new("zeros", Reduce { kind, axes: smallvec![1] }, &[zeros]));
                cases.push(case("of nothing", &[1], &[2, 0]).edge());
            }
            ReduceKind::Max | ReduceKind::Min => {}
        }
        rows.push(Row::of(cases));
    }
    for max in [true, false] {
        rows.push(Row::of(vec![
            Case::new("", ArgReduce { max, axis: 1 }, &[spread(&[2, 4, 2])]),
            Case::new(
                "ties",
                ArgReduce { max, axis: 0 },
                &[Sampled::f64([5], Range::Values(vec![2.0, 7.0]))],
            ),
            Case::new("empty rows", ArgReduce { max, axis: 1 }, &[x(&[0, 2])]).edge(),
        ]));
    }
    for kind in CumulativeKind::ALL {
        let linear: &[&[usize]] = if kind == CumulativeKind::Sum { &[&[0]] } else { &[] };
        let zeros = Sampled::f64([2, 5], Range::Values(vec![0.5, 0.0, -1.2, 2.0, 0.0, 0.0, 3.0]));
        let case = |label, axis, reverse, operand: Sampled| {
            Case::new(label, Cumulative { kind, axis, reverse }, &[operand]).linear(linear)
        };
        rows.push(Row::of(vec![
            case("", 1, false, x(&[2, 4, 2])),
            case("reverse", 0, true, x(&[4])),
            case("zeros", 1, false, zeros),
            case("one element", 0, false, x(&[1])),
            case("empty", 0, true, x(&[0, 2])).edge(),
        ]));
    }
    let recurrence = |label, reverse, linear, shape: &[usize]| {
        let op = Recurrence { axis: 0, reverse, linear };
        Case::new(label, op, &[x(shape), x(shape)]).linear(&[&[1]])
    };
    rows.push(Row::of(vec![
        recurrence("", false, false, &[4, 2]),
        recurrence("reverse", true, false, &[4, 2]),
        recurrence("linear program", false, true, &[4]),
        recurrence("one element", false, false, &[1]),
        recurrence("empty", true, false, &[0]).edge(),
    ]));
    rows
}

fn products() -> Vec<Row> {
    let case =
        |label, op: Dot, a: &[usize], b: &[usize]| Case::new(label, op, &[x(a), x(b)]).linear(&[&[0], &[1]]);
    let general = Dot {
        lhs_batch: smallvec![2],
        rhs_batch: smallvec![0],
        lhs_contract: smallvec![0, 3],
        rhs_contract: smallvec![3, 1],
        tangents: [false; 2],
        numbers: false,
    };
    vec![Row::of(vec![
        case("matrices", Dot::matmul(0), &[2, 3], &[3, 4]),
        case("batch", Dot::matmul(1), &[2, 2, 3], &[2, 3, 2]),
        case("general", general, &[2, 2, 3, 4], &[3, 4, 2, 2]),
        case(
            "outer product",
            Dot { lhs_contract: smallvec![], rhs_contract: smallvec![], ..Dot::matmul(0) },
            &[2],
            &[3],
        ),
        case("linear program", Dot { tangents: [true, false], ..Dot::matmul(0) }, &[1, 3], &[3, 1]),
        case("over nothing", Dot::matmul(0), &[2, 0], &[0, 2]).edge(),
        case("of nothing", Dot::matmul(0), &[0, 2], &[2, 3]).edge(),
    ])]
}

fn indexing() -> Vec<Row> {
    let gather = |label, axis, batch, a: &[usize], i: &[usize]| {
        let operands = [x(a), indices(i, a[axis] as i64)];
        Case::new(label, Gather { axis, batch, from_end: true }, &operands).linear(&[&[0]])
    };
    let scatter = |label, axis, batch, a: &[usize], i: &[usize], u: &[usize]| {
        let operands = [x(a), indices(i, a[axis] as i64), x(u)];
        Case::new(label, ScatterAdd { axis, batch, from_end: true }, &operands).linear(&[&[0, 2], &[0], &[2]])
    };
    let sort =
        |label, axis, descending, operand: Sampled| Case::new(label, Sort { axis, descending }, &[operand]);
    let tied = Sampled::f64([6], Range::Values(vec![1.0, 0.0, 1.0, -2.0]));
    vec![
        Row::of(vec![
            gather("rows", 0, 0, &[4, 3], &[2, 3]),
            gather("columns", 1, 0, &[2, 4, 3], &[5]),
            gather("batch", 2, 1, &[2, 3, 4, 2], &[2, 3]),
            gather("one", 0, 0, &[4], &[]),
            gather("no indices", 0, 0, &[4, 2], &[0]).edge(),
        ]),
        Row::of(vec![
            scatter("rows", 0, 0, &[4, 3], &[5], &[5, 3]),
            scatter("batch", 2, 1, &[2, 3, 4], &[2, 2, 2], &[2, 3, 2, 2]),
            scatter("no updates", 0, 0, &[4, 2], &[0], &[0, 2]).edge(),
        ]),
        Row::of(vec![
            sort("", 1, false, spread(&[2, 4, 2])),
            sort("descending", 0, true, spread(&[5])),
            sort("ties", 0, false, tied.clone()).edge(),
            sort("ties, descending", 0, true, tied).edge(),
            sort("one element", 0, false, x(&[1])),
            sort("empty", 0, false, x(&[0])).edge(),
        ]),
    ]
}

fn windows() -> Vec<Row> {
    let conv = |label, op: &Conv, a: &[usize], k: &[usize]| {
        Case::new(label, op.clone(), &[x(a), x(k)]).linear(&[&[0], &[1]])
    };
    let line = Conv::new(1);
    let odd = Conv {
        stride: smallvec![2],
        low: smallvec![3],
        high: smallvec![-1],
        lhs_dilation: smallvec![3],
        rhs_dilation: smallvec![2],
        ..line.clone()
    };
    let plane = Conv { low: smallvec![1, 0], stride: smallvec![1, 2], ..Conv::new(2) };
    let window = Window {
        size: smallvec![3],
        stride: smallvec![2],
        low: smallvec![1],
        high: smallvec![1],
        dilation: smallvec![1],
    };
    let wide = Window { dilation: smallvec![2], stride: smallvec![1], ..window.clone() };
    let tiles = Window::tiles(&[2, 2]);
    let outside = Window { low: smallvec![4], high: smallvec![3], ..window.clone() };
    let max =
        |label, w: &Window, operand: Sampled| Case::new(label, MaxPool { window: w.clone() }, &[operand]);
    let sum = |label, w: &Window, shape: &[usize]| moves(label, SumPool { window: w.clone() }, shape);
    let tied = Sampled::f64([2, 7], Range::Values(vec![1.0, 1.0, 0.0]));
    vec![
        Row::of(vec![
            conv("", &line, &[2, 2, 5], &[3, 2, 3]),
            conv("dilations and cuts", &odd, &[2, 2, 6], &[2, 2, 2]),
            conv("feature groups", &Conv { feature_groups: 2, ..odd.clone() }, &[1, 4, 5], &[4, 2, 2]),
            conv("batch groups", &Conv { batch_groups: 2, ..odd }, &[4, 1, 5], &[4, 1, 2]),
            conv("depthwise", &Conv { feature_groups: 3, ..line.clone() }, &[2, 3, 4], &[3, 1, 2]),
            conv("two axes", &plane, &[2, 2, 4, 5], &[2, 2, 3, 2]),
            conv("linear program", &Conv { tangents: [true, false], ..line.clone() }, &[1, 1, 3], &[1, 1, 2]),
            conv("no examples", &line, &[0, 2, 5], &[3, 2, 3]).edge(),
        ]),
        Row::of(vec![
            max("", &window, spread(&[2, 7])),
            max("dilated", &wide, spread(&[2, 7])),
            max("two axes", &tiles, spread(&[2, 4, 5])),
            max("ties", &window, tied).edge(),
            max("no rows", &window, x(&[0, 7])).edge(),
        ]),
        Row::of(vec![
            sum("", &window, &[2, 7]),
            sum("dilated", &wide, &[2, 7]),
            sum("two axes", &tiles, &[2, 4, 5]),
            sum("windows of padding", &outside, &[2, 5]),
            sum("no rows", &window, &[0, 7]).edge(),
        ]),
    ]
}

fn random() -> Vec<Row> {
    let keys = |shape: &[usize]| Sampled::of(DType::I64, shape, Range::Integers(-1_000_000, 1_000_000));
    let bits = |label, shape: &[usize], bits, of: &[usize]| {
        Case::new(label, RandomBits { shape: shape.into(), bits }, &[keys(of)])
    };
    vec![
        Row::of(vec![
            bits("narrow", &[5], 24, &[]),
            bits("wide", &[2, 3], 53, &[2]),
            bits("one bit", &[3], 1, &[1]),
            bits("nothing", &[0], 31, &[2]).edge(),
        ]),
        Row::of(vec![
            Case::new("", FoldIn { stream: 0 }, &[keys(&[3]), keys(&[3])]),
            Case::new("another stream", FoldIn { stream: 7 }, &[keys(&[]), keys(&[])]),
        ]),
    ]
}

/// Over an axis that is not mapped, where all examples have the same operand; mapped ones have tests of their own.
fn collectives() -> Vec<Row> {
    use CollectiveKind::*;
    let case = |label, kind, size, operands: &[Sampled]| {
        let linear: &[&[usize]] = if matches!(kind, Sum | Gather | Scatter) { &[&[0]] } else { &[] };
        Case::new(label, Collective { name: "axis".into(), size, kind }, operands).linear(linear)
    };
    let mut rows = Vec::new();
    for kind in [Sum, Max, Min] {
        let of_many = |args: &[Array]| vec![args[0].clone()];
        let sum = |args: &[Array]| {
            vec![Array::of::<f64>([2, 3].into(), args[0].to_f64().into_iter().map(|x| 4.0 * x).collect())]
        };
        let many = case("", kind, 4, &[x(&[2, 3])]);
        rows.push(Row::of(vec![
            if kind == Sum { many.defined(sum) } else { many.defined(of_many) },
            case("one example", kind, 1, &[x(&[2])]).defined(|args| vec![args[0].clone()]),
            case("nothing", kind, 3, &[x(&[0])]).defined(|args| vec![args[0].clone()]).edge(),
        ]));
    }
    rows.push(Row::of(vec![case("", Index, 1, &[]).defined(|_| vec![Array::scalar(0i64)])]));
    rows.push(Row::of(vec![
        case("", Gather, 1, &[x(&[2, 3])])
            .defined(|args| vec![Array::of::<f64>([1, 2, 3].into(), args[0].to_f64())]),
    ]));
    rows.push(Row::of(vec![
        case("", Scatter, 1, &[x(&[1, 2, 3])])
            .defined(|args| vec![Array::of::<f64>([2, 3].into(), args[0].to_f64())]),
    ]));
    rows
}

/// Every row of this file.
pub(super) fn rows() -> Vec<Row> {
    [movement(), reductions(), products(), indexing(), windows(), random(), collectives()].concat()
}
