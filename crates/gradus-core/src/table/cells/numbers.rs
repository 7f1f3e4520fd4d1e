//! Cells of the functions of numbers: against high-precision tables, and against dual numbers.

use super::values::{special_range, strict};
use super::{Outcome, Worst};
use crate::table::random::{Range, Rng, Sampled};
use crate::table::row::{Case, Row};
use crate::table::{golden, probe};
use crate::transforms::jvp;
use crate::{Array, Op, Result};

pub(in crate::table) fn accuracy(row: &Row) -> Result<Outcome> {
    let op = &row.cases[0].op;
    let points = golden::points(op);
    let (exact, units, wave) = match op {
        Op::Unary(op) => (op.is_exact(), op.entry().units, op.entry().wave),
        Op::Binary(op) => (op.is_exact(), 2.0, (|_| 0.0) as fn(f64) -> f64),
        _ => return Ok(Outcome::NotApplicable("not a function of numbers")),
    };
    if points.is_empty() {
        return Ok(match exact {
            true => Outcome::NotApplicable("exact by nature: see value"),
            false => Outcome::Error(
                f64::INFINITY,
                "it has no table of more digits: run bench/golden/generate.py and bench/golden/subset.py"
                    .into(),
            ),
        });
    }
    let limits = [units, 4.0, 16.0];
    let mut worst = Worst::new();
    for direction in 0..points[0].args.len() {
        let rows: Vec<_> = points.iter().filter(|p| p.direction == direction).collect();
        let column = |f: &dyn Fn(usize) -> f64| {
            Array::of::<f64>([rows.len()].into(), (0..rows.len()).map(f).collect())
        };
        let n = rows.first().map_or(0, |p| p.args.len());
        let case = Case {
            operands: vec![Sampled::f64([rows.len()], Range::Flags); n],
            ..Case::new("", op.clone(), &[])
        };
        let graph = case.graph()?;
        let marks: Vec<bool> = (0..n).map(|i| i == direction).collect();
        let first = probe::pushforward(&graph, &marks)?;
        let again: Vec<bool> = (0..=n).map(|i| i == direction).collect();
        let second = probe::pushforward(&first, &again)?;
        let mut args: Vec<Array> = (0..n).map(|i| column(&|k| rows[k].args[i])).collect();
        let mut results = vec![crate::interpret(&graph, &args)?];
        args.push(column(&|_| 1.0));
        results.push(crate::interpret(&first, &args)?);
        args.push(column(&|_| 1.0));
        results.push(crate::interpret(&second, &args)?);
        for (order, result) in results.iter().enumerate() {
            for (point, got) in rows.iter().zip(result[0].to_f64()) {
                if order <= point.orders {
                    let exact = &point.exact[order];
                    let beside = (wave(point.args[0]) / exact.near.abs()).max(1.0);
                    let scale = if order == 0 { beside } else { exact.condition };
                    let units = exact.units(got, crate::DType::F64) / scale;
                    worst.see(units / limits[order], || {
                        format!("{units:.2} units in order {order} at {:?}", point.args)
                    });
                }
            }
        }
    }
    Ok(worst.outcome())
}

pub(in crate::table) fn dual(row: &Row) -> Result<Outcome> {
    use gradus_num::{Dual, Scalar};
    type D = Dual<f64, 2>;
    let f: Box<dyn Fn(&[D]) -> D> = match row.cases[0].op.clone() {
        Op::Unary(op) => Box::new(move |x| Scalar::unary(&x[0], op)),
        Op::Binary(op) => Box::new(move |x| Scalar::binary(&x[0], op, &x[1])),
        _ => return Ok(Outcome::NotApplicable("not a function of numbers")),
    };
    let (mut worst, mut rng) = (Worst::new(), Rng::new(5));
    for case in &row.cases {
        let graph = case.graph()?;
        let wrt = probe::floats(&graph);
        let forward = jvp(&graph, &wrt)?;
        for edge in [false, true] {
            let operand = |s: &Sampled| {
                let range = if edge { special_range(&case.op) } else { s.range.clone() };
                Sampled { ty: s.ty.clone(), range }.draw(&mut rng)
            };
            let args: Vec<Array> = case.operands.iter().map(operand).collect();
            let dx: Vec<Array> = case.operands.iter().map(|s| rng.direction(&s.ty)).collect();
            let all: Vec<Array> = args.iter().chain(&dx).cloned().collect();
            let got = crate::interpret(&forward, &all)?[1].to_f64();
            let v: Vec<Vec<f64>> = all.iter().map(Array::to_f64).collect();
            for (k, got) in got.into_iter().enumerate() {
                let x: Vec<D> = (0..args.len())
                    .map(|i| {
                        let mut tangent = [0.0; 2];
                        tangent[0] = v[args.len() + i][k];
                        Dual::new(v[i][k], tangent)
                    })
                    .collect();
                let expected = f(&x).tangent[0];
                worst.see(strict(got, expected), || format!("{got:e} for {expected:e} at {x:?}"));
            }
        }
    }
    Ok(worst.outcome())
}
