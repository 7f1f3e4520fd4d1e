//! Cells about values: against the formula, in every dtype, and at the edges.

use super::{CellKind, Outcome, Worst, examples, has_float};
use crate::table::probe::{self, disagreement};
use crate::table::random::{Range, Rng, Sampled};
use crate::table::reference;
use crate::table::row::{Case, Row};
use crate::{Array, DType, Graph, Op, Result, Type};

/// Numbers that have gone wrong somewhere before.
fn specials() -> Range {
    let (inf, nan) = (f64::INFINITY, f64::NAN);
    Range::Values(vec![
        0.0, -0.0, 1.0, -1.0, inf, 0.5, nan, 1e300, -inf, 1e-300, -1e300, 0.25, -0.5, 2.0, 5e-324, -3.0,
        700.0, -700.0, 1e-10,
    ])
}

pub(super) fn special_range(op: &Op) -> Range {
    match op {
        Op::Unary(op) if !op.entry().edges.is_empty() => Range::Values(op.entry().edges.to_vec()),
        Op::Recurrence(_) => Range::Values(vec![0.0, 1.0, -1.0, 1e100, 1e-300, -0.0, 0.5]),
        _ => specials(),
    }
}

pub(super) fn strict(a: f64, b: f64) -> f64 {
    if a == b || (a.is_nan() && b.is_nan()) {
        return 0.0;
    }
    let error = (a - b).abs() / a.abs().max(b.abs());
    if error.is_nan() { f64::INFINITY } else { error }
}

/// Runs a case on values and compares with the formula.
fn compare(case: &Case, args: &[Array], measure: &dyn Fn(f64, f64) -> f64, worst: &mut Worst) -> Result<()> {
    let types: Vec<Type> = args.iter().map(|a| Type::new(a.dtype(), a.shape())).collect();
    let out = case.op.row().infer(&types)?;
    let refs: Vec<&Array> = args.iter().collect();
    let got = case.op.evaluate(&refs)?;
    let Some(expected) = reference::expected(case, args, &out) else { return Ok(()) };
    if got.len() != expected.len() || got.iter().zip(&expected).any(|(g, e)| g.shape() != &e.shape) {
        worst.see(f64::INFINITY, || format!("{}: shapes differ from the formula's", case.label));
        return Ok(());
    }
    worst.see(0.0, String::new);
    for (g, e) in got.iter().zip(&expected) {
        let rounded = |x: f64| if g.dtype().is_rounded() { reference::rounded(g.dtype(), x) } else { x };
        for (i, (g, e)) in g.to_f64().into_iter().zip(e.v.iter().copied().map(rounded)).enumerate() {
            worst.see(measure(g, e), || {
                let inputs: Vec<f64> = args.iter().filter_map(|a| a.to_f64().get(i).copied()).collect();
                format!(
                    "{} {}: {g:e} for {e:e} at element {i} of {inputs:?}",
                    case.label,
                    types.first().map_or(DType::F64, |t| t.dtype)
                )
            });
        }
    }
    Ok(())
}

pub(in crate::table) fn value(row: &Row) -> Result<Outcome> {
    let (mut worst, mut rng) = (Worst::new(), Rng::new(2));
    for case in &row.cases {
        for args in examples(case, &mut rng, 2) {
            compare(case, &args, &disagreement, &mut worst)?;
        }
    }
    Ok(worst.outcome())
}

/// The dot-product test of a program.
fn in_single(graph: &Graph, args: &[Array], rng: &mut Rng) -> Result<f64> {
    let wrt = probe::floats(graph);
    if !wrt.contains(&true) || !has_float(&graph.output_types()) {
        return Ok(0.0);
    }
    probe::reverse(graph, args, &wrt, rng)
}

pub(in crate::table) fn dtypes(row: &Row) -> Result<Outcome> {
    let (mut worst, mut rng) = (Worst::new(), Rng::new(3));
    let mut accepted: Vec<&str> = Vec::new();
    for case in &row.cases {
        for dtype in DType::ALL {
            // How much coarser a type is than `f32`; values of the coarser ones are right to a unit in the last place.
            let coarser = dtype.epsilon().map_or(1.0, |e| (e / f64::from(f32::EPSILON)).max(1.0));
            let unit = if dtype.is_rounded() {
                CellKind::DTypes.tolerance() / dtype.epsilon().unwrap_or(1.0)
            } else {
                1.0
            };
            let of_dtype = |a: f64, b: f64| unit * disagreement(a, b);
            let operand = |s: &Sampled| match s.ty.dtype {
                DType::F64 if dtype.is_float() => Sampled::of(dtype, &s.ty.shape, s.range.clone()),
                DType::F64 => Sampled::of(dtype, &s.ty.shape, Range::Integers(1, 3)),
                _ => s.clone(),
            };
            let operands: Vec<Sampled> = case.operands.iter().map(operand).collect();
            let types: Vec<Type> = operands.iter().map(|s| s.ty.clone()).collect();
            if case.op.row().infer(&types).is_err() {
                continue;
            }
            let args: Vec<Array> = operands.iter().map(|s| s.draw(&mut rng)).collect();
            compare(case, &args, &of_dtype, &mut worst)?;
            if (dtype == DType::F32 || dtype.is_rounded()) && !case.edge {
                let case = Case { operands, ..case.clone() };
                let error = in_single(&case.graph()?, &args, &mut rng)? / coarser;
                worst.see(error, || format!("{} {}: reverse mode in {dtype}", case.label, case.op));
            }
            if !accepted.contains(&dtype.name()) {
                accepted.push(dtype.name());
            }
        }
    }
    Ok(match worst.outcome() {
        Outcome::Error(error, note) if note.is_empty() => Outcome::Error(error, accepted.join(" ")),
        other => other,
    })
}

pub(in crate::table) fn edges(row: &Row) -> Result<Outcome> {
    let (mut worst, mut rng) = (Worst::new(), Rng::new(4));
    for case in &row.cases {
        let range = special_range(&case.op);
        let floats = case.operands.iter().filter(|s| s.ty.dtype.is_float()).count();
        // Slide the operands over the list against each other, so that specials meet one another.
        let slides = if case.definition.is_some() || floats == 0 { 0 } else { 10 };
        for slide in 0..slides {
            let Range::Values(list) = &range else { unreachable!("specials are a list") };
            let operand = |(k, s): (usize, &Sampled)| {
                let mut turned = list.clone();
                turned.rotate_left((slide * (2 * k + 1) + k) % list.len());
                let range = if s.ty.dtype.is_float() { Range::Values(turned) } else { s.range.clone() };
                Sampled { ty: s.ty.clone(), range }.draw(&mut rng)
            };
            let args: Vec<Array> = case.operands.iter().enumerate().map(operand).collect();
            compare(case, &args, &strict, &mut worst)?;
        }
        let args = &examples(case, &mut rng, 1)[0];
        compare(case, args, &disagreement, &mut worst)?;
        if case.edge {
            // The derivative programs of an empty or degenerate instance run, too.
            let graph = case.graph()?;
            let wrt = probe::floats(&graph);
            if wrt.contains(&true) && has_float(&graph.output_types()) {
                let error = probe::reverse(&graph, args, &wrt, &mut rng)?;
                // A cast to a shorter float rounds, and so does its transpose.
                let coarsest = graph.types().iter().filter_map(|ty| ty.dtype.epsilon()).fold(0.0, f64::max);
                let rounds = coarsest > f64::EPSILON && error < 8.0 * coarsest;
                let error = if rounds { 0.0 } else { error };
                worst.see(error, || format!("{}: reverse mode", case.label));
            }
        }
    }
    Ok(worst.outcome())
}
