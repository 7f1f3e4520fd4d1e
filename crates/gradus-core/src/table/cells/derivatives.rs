//! Cells about derivatives and batches: the probes, run on every case of a row.

use super::{Outcome, Worst, examples, has_float};
use crate::table::kinks::Convention;
use crate::table::probe::{self, disagreement};
use crate::table::random::Rng;
use crate::table::row::{Case, Row};
use crate::transforms::transpose;
use crate::{Array, Graph, Op, Result};

/// Whether a row has anything to differentiate, and if not, why.
fn not_differentiable(row: &Row) -> Option<&'static str> {
    let differentiable =
        |case: &Case| case.graph().is_ok_and(|g| has_float(&g.input_types()) && has_float(&g.output_types()));
    if matches!(row.cases[0].op, Op::StopGradient(_)) {
        return Some("zero by definition: see kinks");
    }
    (!row.cases.iter().any(differentiable)).then_some("no float goes in or none comes out")
}

/// Runs a probe on every case that has something to differentiate.
fn probed(
    row: &Row,
    seed: u64,
    probe: impl Fn(&Graph, &[Array], &[bool], &mut Rng) -> Result<f64>,
) -> Result<Outcome> {
    if let Some(reason) = not_differentiable(row) {
        return Ok(Outcome::NotApplicable(reason));
    }
    let (mut worst, mut rng) = (Worst::new(), Rng::new(seed));
    for case in row.cases.iter().filter(|c| !c.edge) {
        let graph = case.graph()?;
        if !has_float(&graph.input_types()) || !has_float(&graph.output_types()) {
            continue;
        }
        let wrt = probe::floats(&graph);
        for args in examples(case, &mut rng, 2) {
            let error = probe(&graph, &args, &wrt, &mut rng)?;
            worst.see(error, || format!("{} {}", case.label, case.op));
        }
    }
    Ok(worst.outcome())
}

pub(in crate::table) fn forward(row: &Row) -> Result<Outcome> {
    probed(row, 6, probe::forward)
}

pub(in crate::table) fn reverse(row: &Row) -> Result<Outcome> {
    probed(row, 7, probe::reverse)
}

pub(in crate::table) fn second(row: &Row) -> Result<Outcome> {
    probed(row, 8, probe::second_order)
}

pub(in crate::table) fn transposed(row: &Row) -> Result<Outcome> {
    if row.cases.iter().all(|c| c.linear.is_empty()) {
        return Ok(Outcome::NotApplicable("linear in no operand"));
    }
    let (mut worst, mut rng) = (Worst::new(), Rng::new(9));
    for case in &row.cases {
        let graph = case.graph()?;
        for set in &case.linear {
            let args = &examples(case, &mut rng, 1)[0];
            let marks: Vec<bool> = (0..args.len()).map(|i| set.contains(&i)).collect();
            let ct: Vec<Array> = graph.output_types().iter().map(|ty| rng.direction(ty)).collect();
            let residuals = args.iter().zip(&marks).filter(|(_, m)| !**m).map(|(a, _)| a.clone());
            let all: Vec<Array> = residuals.chain(ct.iter().cloned()).collect();
            let back = crate::interpret(&transpose(&graph, &marks)?, &all)?;
            let linear: Vec<Array> = set.iter().map(|&i| args[i].clone()).collect();
            // With the other operands fixed the results may have a constant part: it does not count.
            let at_zero: Vec<Array> = args
                .iter()
                .zip(&marks)
                .map(|(a, &m)| if m { Array::full(a.shape(), a.dtype(), 0.0) } else { a.clone() })
                .collect();
            let base = crate::interpret(&graph, &at_zero)?;
            let results: Vec<Array> = crate::interpret(&graph, args)?
                .iter()
                .zip(&base)
                .map(|(r, b)| {
                    let v = r.to_f64().iter().zip(b.to_f64()).map(|(r, b)| r - b).collect();
                    Array::of::<f64>(r.shape().clone(), v)
                })
                .collect();
            let dot = |a: &[Array], b: &[Array]| {
                let pairs = a.iter().zip(b).flat_map(|(a, b)| a.to_f64().into_iter().zip(b.to_f64()));
                pairs.fold((0.0, 0.0), |(sum, size), (a, b)| (sum + a * b, size + (a * b).abs()))
            };
            let ((a, size), (b, other)) = (dot(&ct, &results), dot(&linear, &back));
            worst.see(if a == b { 0.0 } else { (a - b).abs() / size.max(other) }, || {
                format!("{} {} in operands {set:?}", case.label, case.op)
            });
        }
    }
    Ok(worst.outcome())
}

pub(in crate::table) fn vmap(row: &Row) -> Result<Outcome> {
    if row.cases.iter().all(|c| c.operands.is_empty()) {
        return Ok(Outcome::NotApplicable("no operand"));
    }
    let (mut worst, mut rng) = (Worst::new(), Rng::new(10));
    for case in &row.cases {
        if case.operands.is_empty() {
            continue;
        }
        let graph = case.graph()?;
        worst.see(probe::batched_empty(&graph)?, || format!("{} {}: no example", case.label, case.op));
        let error = probe::batched(&graph, &examples(case, &mut rng, 3))?;
        worst.see(error, || format!("{} {}", case.label, case.op));
    }
    Ok(worst.outcome())
}

pub(in crate::table) fn kinks(row: &Row, conventions: &[Convention]) -> Result<Outcome> {
    let own: Vec<&Convention> = conventions.iter().filter(|c| c.rows.contains(&row.name.as_str())).collect();
    if own.is_empty() {
        return Ok(Outcome::NotApplicable("no kink in its domain"));
    }
    let mut worst = Worst::new();
    for c in own {
        let wrt = vec![true; c.args.len()];
        let seed: Vec<Array> =
            c.graph.output_types().iter().map(|ty| Array::full(&ty.shape, ty.dtype, 1.0)).collect();
        let args: Vec<Array> = c.args.iter().cloned().chain(seed).collect();
        let reverse = crate::interpret(&probe::pullback(&c.graph, &wrt)?, &args)?;
        let forward = probe::pushforward(&c.graph, &wrt)?;
        for (i, expected) in c.gradient.iter().enumerate() {
            for (k, &expected) in expected.iter().enumerate() {
                let unit = |(j, a): (usize, &Array)| {
                    let mut v = vec![0.0; a.size()];
                    if i == j {
                        v[k] = 1.0;
                    }
                    Array::of::<f64>(a.shape().clone(), v)
                };
                let along = c.args.iter().enumerate().map(unit);
                let args: Vec<Array> = c.args.iter().cloned().chain(along).collect();
                let total: f64 = crate::interpret(&forward, &args)?[0].to_f64().iter().sum();
                let back = reverse[i].to_f64()[k];
                worst.see(disagreement(total, expected).max(disagreement(back, expected)), || {
                    format!("{}: forward {total}, reverse {back}, documented {expected}", c.spelling)
                });
            }
        }
    }
    Ok(worst.outcome())
}
