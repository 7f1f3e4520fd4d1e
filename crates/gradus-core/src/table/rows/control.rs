//! Control flow and calls, on small bodies whose results are written out beside them.

use std::sync::Arc;

use crate::ops::{Call, CallKind, Compare, Cond, Custom, Op, Replay, Scan, While};
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
    let case = |label, length: usize, reverse, checkpoints| {
        let near = |shape: &[usize]| Sampled::f64(shape, Range::Uniform(-1.0, 1.0));
        let op = Scan { constants: 1, carry: 1, length, reverse, body: step.clone(), checkpoints };
        Case::new(label, op, &[near(&[]), near(&[]), near(&[length])])
    };
    Row::of(vec![
        case("", 4, false, None).defined(|args| run(args, false)),
        case("reverse", 3, true, None).defined(|args| run(args, true)),
        case("checkpoints", 5, false, Some(2)).defined(|args| run(args, false)),
        case("checkpoints from the end", 4, true, Some(1)).defined(|args| run(args, true)),
        case("one step", 1, false, None).defined(|args| run(args, false)),
        case("no step", 0, false, Some(3)).defined(|args| run(args, false)).edge(),
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
    let op = While { constants: 2, cond, body, checkpoints: None };
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

fn replay() -> Row {
    let types = |n: usize| {
        let mut types = vec![Type::new(DType::I64, [])];
        types.extend(scalars(n));
        types
    };
    let step = |n: usize, f: fn(&mut Builder, &[Var]) -> crate::Result<Vec<Var>>| {
        let mut b = Builder::new();
        let args: Vec<Var> = types(n).into_iter().map(|ty| b.input(ty)).collect();
        let results = f(&mut b, &args).expect("scalars of one type");
        Arc::new(b.finish(results))
    };
    // Operands of a step: t, w, row, states. Level 0: s ← w sin(s) + row; level 1: λ ← cos(s) λ + w s, giving λ s;
    // level 2: μ ← sin(λ) μ + s, giving μ λ.
    let lowest = step(3, |b, a| {
        let s = b.emit1(Unary::Sin, &[a[3]])?;
        let s = b.emit1(Binary::Mul, &[a[1], s])?;
        Ok(vec![b.emit1(Binary::Add, &[s, a[2]])?])
    });
    fn second(b: &mut Builder, a: &[Var]) -> crate::Result<Vec<Var>> {
        let c = b.emit1(Unary::Cos, &[a[3]])?;
        let c = b.emit1(Binary::Mul, &[c, a[4]])?;
        let ws = b.emit1(Binary::Mul, &[a[1], a[3]])?;
        Ok(vec![b.emit1(Binary::Add, &[c, ws])?])
    }
    let inner = step(4, second);
    let highest = step(4, |b, a| {
        let mut results = second(b, a)?;
        results.push(b.emit1(Binary::Mul, &[a[4], a[3]])?);
        Ok(results)
    });
    let third = step(5, |b, a| {
        let s = b.emit1(Unary::Sin, &[a[4]])?;
        let s = b.emit1(Binary::Mul, &[s, a[5]])?;
        let s = b.emit1(Binary::Add, &[s, a[3]])?;
        Ok(vec![s, b.emit1(Binary::Mul, &[a[5], a[4]])?])
    });
    fn run(args: &[Array], levels: usize, reverse: bool) -> Vec<Array> {
        let v = numbers(args);
        let (trips, w, rows) = (v[0][0].max(0.0) as usize, v[1][0], &v[2]);
        let order = |level: usize| -> Vec<usize> {
            let steps = 0..trips;
            if (level % 2 == 1) != reverse { steps.rev().collect() } else { steps.collect() }
        };
        let mut out = vec![0.0; rows.len()];
        let mut entered = [vec![0.0; trips], vec![0.0; trips]];
        let mut s = v[3][0];
        for t in order(0) {
            entered[0][t] = s;
            s = w * s.sin() + rows[t];
        }
        if levels == 1 {
            return vec![Array::scalar(s)];
        }
        let mut l = v[4][0];
        for t in order(1) {
            entered[1][t] = l;
            out[t] = l * entered[0][t];
            l = entered[0][t].cos() * l + w * entered[0][t];
        }
        if levels == 3 {
            let mut m = v[5][0];
            for t in order(2) {
                out[t] = m * entered[1][t];
                m = entered[1][t].sin() * m + entered[0][t];
            }
            l = m;
        }
        vec![Array::scalar(l), Array::of::<f64>([rows.len()].into(), out)]
    }
    let case = |label, levels: Vec<Arc<Graph>>, reverse, slots, trips: (i64, i64)| {
        let near = |shape: &[usize]| Sampled::f64(shape, Range::Uniform(-1.0, 1.0));
        let mut operands = vec![Sampled::of(DType::I64, [], Range::Integers(trips.0, trips.1))];
        operands.extend([near(&[]), near(&[5])]);
        operands.extend(levels.iter().map(|_| near(&[])));
        let op = Replay { constants: 1, stacked: 1, length: 5, reverse, slots, levels };
        Case::new(label, op, &operands)
    };
    let (one, two) = (vec![lowest.clone()], vec![lowest.clone(), highest]);
    let three = vec![lowest, inner, third];
    Row::of(vec![
        case("values against a loop", two.clone(), false, Some(2), (5, 5))
            .defined(|args| run(args, 2, false))
            .linear(&[&[4]]),
        case("from the end", two.clone(), true, None, (2, 5))
            .defined(|args| run(args, 2, true))
            .linear(&[&[4]]),
        case("one slot", two.clone(), false, Some(1), (3, 5)).defined(|args| run(args, 2, false)),
        case("one level", one, false, Some(1), (3, 4)).defined(|args| run(args, 1, false)),
        case("three levels", three.clone(), false, Some(2), (3, 5))
            .defined(|args| run(args, 3, false))
            .linear(&[&[5]]),
        case("three levels from the end", three, true, Some(3), (4, 4)).defined(|args| run(args, 3, true)),
        case("no step", two, false, None, (-1, 0)).defined(|args| run(args, 2, false)).edge(),
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
    let rule = body(3, |e, a| {
        let square = e(Unary::Powi(2).into(), &a[..1]);
        let once = e(Binary::Mul.into(), &[square, a[2]]);
        let twice = e(Binary::Add.into(), &[once, once]);
        vec![e(Binary::Add.into(), &[twice, once])]
    });
    let custom = Call { kind: CallKind::Custom(Custom { rule, args: 1, results: 1 }), body: cube };
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
    let mut rows = vec![cond(), scan(), while_loop(), replay()];
    rows.extend(call());
    rows
}
