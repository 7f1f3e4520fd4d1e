//! Control flow and calls, on small bodies whose results are written out beside them.

use std::sync::Arc;

use crate::ops::{Call, CallKind, Compare, Cond, Op, Scan, While};
use crate::table::random::{Range, Sampled};
use crate::table::row::{Case, Row};
use crate::{Array, Binary, Builder, DType, Graph, Type, Unary, Var};

fn scalars(n: usize) -> Vec<Type> {
    vec![Type::new(DType::F64, []); n]
}

/// A body over `n` scalars.
fn body(n: usize, f: impl FnOnce(&mut dyn FnMut(Op, &[Var]) -> Var, &[Var]) -> Vec<Var>) -> Arc<Graph> {
    let mut b = Builder::new();
    let args: Vec<Var> = scalars(n).into_iter().map(|ty| b.input(ty)).collect();
    let mut emit = |op: Op, inputs: &[Var]| b.emit1(op, inputs).expect("scalars of one type");
    let results = f(&mut emit, &args);
    Arc::new(b.finish(results))
}

fn numbers(args: &[Array]) -> Vec<Vec<f64>> {
    args.iter().map(Array::to_f64).collect()
}

fn cond() -> Row {
    let on_true = body(2, |e, a| {
        let s = e(Unary::Sin.into(), &a[..1]);
        vec![e(Binary::Mul.into(), &[s, a[1]])]
    });
    let on_false = body(2, |e, a| {
        let x = e(Unary::Exp.into(), &a[..1]);
        vec![e(Binary::Add.into(), &[x, a[1]])]
    });
    let op = Cond { on_true, on_false };
    let near = || Sampled::f64([], Range::Uniform(-1.0, 1.0));
    let choice = |range| [Sampled::of(DType::Bool, [], range), near(), near()];
    let defined = |args: &[Array]| {
        let v = numbers(args);
        let (x, y) = (v[1][0], v[2][0]);
        vec![Array::scalar(if v[0][0] != 0.0 { x.sin() * y } else { x.exp() + y })]
    };
    Row::of(vec![
        Case::new("true", op.clone(), &choice(Range::Values(vec![1.0]))).defined(defined),
        Case::new("false", op.clone(), &choice(Range::Values(vec![0.0]))).defined(defined),
        Case::new("either", op, &choice(Range::Flags)).defined(defined),
    ])
}

fn scan() -> Row {
    // s ← w sin(s) + x, y = s²
    let step = body(3, |e, a| {
        let s = e(Unary::Sin.into(), &a[1..2]);
        let s = e(Binary::Mul.into(), &[a[0], s]);
        let s = e(Binary::Add.into(), &[s, a[2]]);
        vec![s, e(Binary::Mul.into(), &[s, s])]
    });
    fn run(args: &[Array], reverse: bool) -> Vec<Array> {
        let v = numbers(args);
        let (w, mut s, n) = (v[0][0], v[1][0], v[2].len());
        let mut ys = vec![0.0; n];
        for k in 0..n {
            let k = if reverse { n - 1 - k } else { k };
            s = w * s.sin() + v[2][k];
            ys[k] = s * s;
        }
        vec![Array::scalar(s), Array::of::<f64>([n].into(), ys)]
    }
    let case = |label, length: usize, reverse| {
        let near = |shape: &[usize]| Sampled::f64(shape, Range::Uniform(-1.0, 1.0));
        let op = Scan { constants: 1, carry: 1, length, reverse, body: step.clone() };
        Case::new(label, op, &[near(&[]), near(&[]), near(&[length])])
    };
    Row::of(vec![
        case("", 4, false).defined(|args| run(args, false)),
        case("reverse", 3, true).defined(|args| run(args, true)),
        case("one step", 1, false).defined(|args| run(args, false)),
        case("no step", 0, false).defined(|args| run(args, false)).edge(),
    ])
}

fn while_loop() -> Row {
    // x ← 2 x w while x < limit
    let mut b = Builder::new();
    let args: Vec<Var> = scalars(3).into_iter().map(|ty| b.input(ty)).collect();
    let runs = b.emit1(Compare::Lt, &[args[2], args[0]]).expect("scalars of one type");
    let cond = Arc::new(b.finish(vec![runs]));
    let body = body(3, |e, a| {
        let twice = e(Binary::Add.into(), &[a[2], a[2]]);
        vec![e(Binary::Mul.into(), &[twice, a[1]])]
    });
    let x = |low, high| Sampled::f64([], Range::Uniform(low, high));
    let op = While { constants: 2, cond, body };
    let defined = |args: &[Array]| {
        let v = numbers(args);
        let mut x = v[2][0];
        while x < v[0][0] {
            x = 2.0 * x * v[1][0];
        }
        vec![Array::scalar(x)]
    };
    Row::of(vec![
        Case::new("three steps", op.clone(), &[x(9.0, 10.0), x(1.0, 1.1), x(1.5, 1.6)]).defined(defined),
        Case::new("no step", op, &[x(0.0, 1.0), x(1.0, 1.1), x(1.5, 1.6)]).defined(defined),
    ])
}

fn call() -> Vec<Row> {
    let wave = body(1, |e, a| {
        let s = e(Unary::Sin.into(), a);
        vec![e(Unary::Exp.into(), &[s])]
    });
    let x = [Sampled::f64([], Range::Uniform(-1.0, 1.0))];
    let checkpoint = Call { kind: CallKind::Checkpoint, body: wave };
    let cube = body(1, |e, a| vec![e(Unary::Powi(3).into(), a)]);
    // dx · x² · 3, summed instead of scaled so that the rule needs no constant.
    let rule = body(2, |e, a| {
        let square = e(Unary::Powi(2).into(), &a[..1]);
        let once = e(Binary::Mul.into(), &[square, a[1]]);
        let twice = e(Binary::Add.into(), &[once, once]);
        vec![e(Binary::Add.into(), &[twice, once])]
    });
    let custom = Call { kind: CallKind::Custom(rule), body: cube };
    vec![
        Row::of(vec![
            Case::new("", checkpoint, &x)
                .defined(|args| vec![Array::scalar(args[0].to_f64()[0].sin().exp())]),
        ]),
        Row::of(vec![
            Case::new("", custom, &x).defined(|args| vec![Array::scalar(args[0].to_f64()[0].powi(3))]),
        ]),
    ]
}

/// Every row of this file.
pub(super) fn rows() -> Vec<Row> {
    let mut rows = vec![cond(), scan(), while_loop()];
    rows.extend(call());
    rows
}
