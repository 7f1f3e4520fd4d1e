//! Element-wise primitives: where each is sampled.

use crate::ops::{Cast, Clamp, Compare, Full, Iota, LinearMul, Logic, Not, Select, StopGradient};
use crate::table::random::{Range, Sampled};
use crate::table::row::{Case, Row};
use crate::{Binary, DType, Unary};

/// Points inside the domain and away from kinks and poles.
fn unary_range(op: Unary) -> Range {
    match (op, op.entry().sample) {
        (Unary::Powi(n), _) if n.abs() > 8 => Range::Either((-1.2, -0.6), (0.6, 1.2)),
        (_, &[(low, high)]) => Range::Uniform(low, high),
        (_, sample) => Range::Either(sample[0], sample[1]),
    }
}

fn binary_ranges(op: Binary) -> Vec<(Range, Range)> {
    let near = || Range::Uniform(-2.0, 2.0);
    let both = || Range::Either((-2.0, -0.5), (0.5, 2.0));
    match op {
        Binary::Add | Binary::Sub | Binary::Mul => vec![(near(), near())],
        Binary::Div => vec![(near(), both())],
        Binary::Rem => vec![
            (Range::Uniform(5.0, 5.6), Range::Uniform(2.0, 2.2)),
            (Range::Uniform(-5.6, -5.0), Range::Uniform(2.0, 2.2)),
        ],
        Binary::Pow => vec![(Range::Uniform(0.5, 2.5), near())],
        Binary::Atan2 | Binary::Hypot => vec![(both(), both())],
        Binary::Max | Binary::Min => vec![
            (Range::Uniform(-1.0, -0.2), Range::Uniform(0.2, 1.0)),
            (Range::Uniform(0.2, 1.0), Range::Uniform(-1.0, -0.2)),
        ],
    }
}

fn unary(op: Unary) -> Row {
    let linear: &[&[usize]] = if op.is_linear() { &[&[0]] } else { &[] };
    let x = |shape: &[usize]| [Sampled::f64(shape, unary_range(op))];
    Row::of(vec![
        Case::new("", op, &x(&[3, 4])).linear(linear),
        Case::new("scalar", op, &x(&[])).linear(linear),
        Case::new("empty", op, &x(&[2, 0])).edge(),
    ])
}

fn binary(op: Binary) -> Row {
    let linear: &[&[usize]] = match op {
        Binary::Add | Binary::Sub => &[&[0, 1], &[0], &[1]],
        Binary::Mul => &[&[0], &[1]],
        Binary::Div => &[&[0]],
        Binary::Rem | Binary::Pow | Binary::Atan2 | Binary::Hypot | Binary::Max | Binary::Min => &[],
    };
    let mut cases: Vec<Case> = binary_ranges(op)
        .into_iter()
        .map(|(x, y)| Case::new("", op, &[Sampled::f64([2, 3], x), Sampled::f64([2, 3], y)]).linear(linear))
        .collect();
    let (x, y) = binary_ranges(op).swap_remove(0);
    cases.push(Case::new("empty", op, &[Sampled::f64([0], x), Sampled::f64([0], y)]).edge());
    Row::of(cases)
}

/// Every row of this file.
pub(super) fn rows() -> Vec<Row> {
    let near = || Range::Uniform(-2.0, 2.0);
    let both = || Range::Either((-2.0, -0.5), (0.5, 2.0));
    let x = |range: Range| Sampled::f64([2, 3], range);
    let flags = Sampled::of(DType::Bool, [2, 3], Range::Flags);
    let whole = Sampled::of(DType::I64, [2, 3], Range::Integers(-9, 9));

    let more = [Unary::Powi(-2), Unary::Powi(0), Unary::Powi(1), Unary::Powi(5), Unary::Powi(17)];
    let deeper = [Unary::Polygamma(1), Unary::Polygamma(2), Unary::Polygamma(3)];
    let mut functions = Unary::ALL.to_vec();
    functions.extend(more.into_iter().chain(deeper).filter(|op| !Unary::ALL.contains(op)));
    let mut rows: Vec<Row> = functions.into_iter().map(unary).collect();
    rows.extend(Binary::ALL.iter().map(|&op| binary(op)));
    for op in Compare::ALL {
        let ties = Range::Values(vec![1.0, -1.0, 0.5]);
        rows.push(Row::of(vec![
            Case::new("", op, &[x(near()), x(near())]),
            Case::new("ties", op, &[x(ties.clone()), x(Range::Values(vec![1.0, 0.5]))]),
            Case::new("flags", op, &[flags.clone(), flags.clone()]),
            Case::new("empty", op, &[Sampled::f64([0], near()), Sampled::f64([0], near())]).edge(),
        ]));
    }
    for op in Logic::ALL {
        rows.push(Row::of(vec![
            Case::new("flags", op, &[flags.clone(), flags.clone()]),
            Case::new("bits", op, &[whole.clone(), whole.clone()]),
        ]));
    }
    rows.push(Row::of(vec![
        Case::new("flags", Not, std::slice::from_ref(&flags)),
        Case::new("bits", Not, std::slice::from_ref(&whole)),
    ]));
    rows.push(Row::of(vec![
        Case::new("", Select, &[flags.clone(), x(near()), x(near())]).linear(&[&[1, 2], &[1], &[2]]),
        Case::new("whole numbers", Select, &[flags, whole.clone(), whole.clone()]),
    ]));
    rows.push(Row::of(vec![
        Case::new("same", Cast(DType::F64), &[x(near())]).linear(&[&[0]]),
        Case::new("to integers", Cast(DType::I32), &[x(Range::Uniform(0.2, 0.8))]),
        Case::new("to f32", Cast(DType::F32), &[x(Range::Values(vec![0.1, -7.0]))]).edge(),
        Case::new("to flags", Cast(DType::Bool), &[x(Range::Values(vec![0.0, 3.0, -0.0]))]).edge(),
        Case::new("to bytes", Cast(DType::U8), &[x(Range::Values(vec![-3.0, 300.0, 7.9]))]).edge(),
        Case::new("to bf16", Cast(DType::Bf16), &[x(near())]).edge(),
        Case::new("from integers", Cast(DType::F64), &[whole]),
    ]));
    rows.push(Row::of(vec![
        Case::new("", LinearMul::RESIDUAL, &[x(both()), x(both())]).linear(&[&[0], &[1]]),
        Case::new("of tangents", LinearMul::BOTH, &[x(both()), x(both())]).linear(&[&[0], &[1]]),
    ]));
    rows.push(Row::of(vec![Case::new("", StopGradient, &[x(near())])]));
    rows.push(Row::of(vec![
        Case::new(
            "inside and outside",
            Clamp,
            &[
                x(Range::Either((-1.0, -0.6), (0.6, 1.0))),
                x(Range::Uniform(-0.5, -0.2)),
                x(Range::Uniform(0.2, 0.5)),
            ],
        ),
        Case::new(
            "inside",
            Clamp,
            &[x(Range::Uniform(-0.5, 0.5)), x(Range::Uniform(-2.0, -1.0)), x(Range::Uniform(1.0, 2.0))],
        ),
        Case::new(
            "bounds crossed",
            Clamp,
            &[x(Range::Uniform(-0.5, 0.5)), x(Range::Uniform(1.0, 2.0)), x(Range::Uniform(-2.0, -1.0))],
        ),
    ]));
    rows.push(Row::of(vec![
        Case::new("", Full { value: 0.25, dtype: DType::F64, shape: [2, 3].into() }, &[]),
        Case::new("empty", Full { value: 1.0, dtype: DType::I32, shape: [0].into() }, &[]).edge(),
    ]));
    rows.push(Row::of(vec![
        Case::new("", Iota { dtype: DType::F64, shape: [2, 3].into(), axis: 1 }, &[]),
        Case::new("", Iota { dtype: DType::I32, shape: [2, 3].into(), axis: 0 }, &[]),
    ]));
    rows
}
