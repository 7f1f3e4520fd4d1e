//! Cells of a row that need no derivative: its texts, its shape rule, its cost.

use std::panic::{AssertUnwindSafe, catch_unwind};

use super::{Outcome, Worst};
use crate::table::random::{Range, Rng};
use crate::table::row::{Case, Row};
use crate::{Array, DType, Op, Shape, Type};

pub(in crate::table) fn doc(row: &Row) -> Outcome {
    let d = row.doc;
    let missing = [d.name, d.formula, d.derivative, d.domain].iter().any(|s| s.trim().is_empty());
    Outcome::Error(if missing { 1.0 } else { 0.0 }, "every text is there".into())
}

/// The operand types of a case with one of them changed.
fn mutations(case: &Case) -> Vec<Vec<Type>> {
    let own: Vec<Type> = case.operands.iter().map(|s| s.ty.clone()).collect();
    let mut all = vec![own.clone()];
    for i in 0..own.len() {
        let ty = &own[i];
        let mut others: Vec<Type> = DType::ALL.iter().map(|&d| ty.with_dtype(d)).collect();
        let mut shapes =
            vec![Shape::scalar(), ty.shape.insert(0, 2), ty.shape.iter().map(|d| d + 1).collect::<Shape>()];
        if ty.shape.rank() > 0 {
            shapes.push(ty.shape.remove(0));
            shapes.push(ty.shape.iter().map(|_| 0).collect());
        }
        others.extend(shapes.into_iter().map(|shape| Type::new(ty.dtype, shape)));
        for other in others {
            let mut types = own.clone();
            types[i] = other;
            all.push(types);
        }
    }
    all
}

pub(in crate::table) fn shape(row: &Row) -> Outcome {
    let mut worst = Worst::new();
    let mut rng = Rng::new(1);
    for case in &row.cases {
        for types in mutations(case) {
            let args: Vec<Array> =
                types.iter().map(|ty| Range::Integers(0, 1).sample(&mut rng, ty)).collect();
            let attempt = catch_unwind(AssertUnwindSafe(|| {
                let Ok(out) = case.op.row().infer(&types) else { return true };
                // A loop may not end on operands that are not its own.
                if matches!(case.op, Op::While(_)) {
                    return true;
                }
                match case.op.evaluate(&args.iter().collect::<Vec<_>>()) {
                    Err(_) => true,
                    Ok(got) => {
                        got.len() == out.len()
                            && got
                                .iter()
                                .zip(&out)
                                .all(|(g, t)| g.dtype() == t.dtype && g.shape() == &t.shape)
                    }
                }
            }));
            let error = if attempt.unwrap_or(false) { 0.0 } else { 1.0 };
            worst.see(error, || format!("{}: {types:?}", case.label));
        }
    }
    worst.outcome()
}

pub(in crate::table) fn cost(row: &Row) -> Outcome {
    let mut worst = Worst::new();
    for case in &row.cases {
        let Ok(graph) = case.graph() else { return Outcome::Error(1.0, format!("{}: no graph", case.label)) };
        let cost = case.op.row().cost(&graph.input_types(), &graph.output_types());
        let sound =
            cost.flops >= 0.0 && cost.flops.is_finite() && cost.bytes >= 0.0 && cost.bytes.is_finite();
        worst.see(if sound { 0.0 } else { 1.0 }, || format!("{}: {cost:?}", case.label));
    }
    worst.outcome()
}
