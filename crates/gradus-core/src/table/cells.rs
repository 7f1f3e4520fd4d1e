//! The cells of a row, each a check that gives the worst error it saw.

use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};

use super::golden;
use super::kinks::Convention;
use super::probe::{self, disagreement};
use super::random::{Range, Rng, Sampled};
use super::reference;
use super::row::{Case, Row};
use crate::transforms::{jvp, transpose};
use crate::{Array, DType, Error, ErrorKind, Graph, Op, Result, Type};

/// What is checked of every primitive.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum CellKind {
    /// Name, formula, derivative and domain are written down.
    Doc,
    /// The shape rule: it foretells the results, and turns other operands away with an error instead of a panic.
    Shape,
    /// A finite cost that counts the results.
    Cost,
    /// The results against the formula, written a second time.
    Value,
    /// The same in every dtype the primitive takes.
    DTypes,
    /// The same at zeros, ties, huge and tiny numbers, infinities and NaN, on empty axes and axes of one.
    Edges,
    /// Value, first and second derivative against high-precision tables, in units in the last place.
    Accuracy,
    /// The tangent against dual numbers, at samples and edges.
    Dual,
    /// The tangent against extrapolated finite differences.
    Jvp,
    /// The reverse-mode derivative against the tangent, by dot products.
    Vjp,
    /// The primitive's own transpose in every set of operands it is linear in, by dot products.
    Transpose,
    /// The batched primitive against a loop, for every subset of batched operands.
    Vmap,
    /// The derivative's derivative, both modes over both, against finite differences and by dot products.
    Second,
    /// The documented derivative at kinks and ties.
    Kinks,
}

impl CellKind {
    /// Every kind.
    pub const ALL: [CellKind; 14] = [
        CellKind::Doc,
        CellKind::Shape,
        CellKind::Cost,
        CellKind::Value,
        CellKind::DTypes,
        CellKind::Edges,
        CellKind::Accuracy,
        CellKind::Dual,
        CellKind::Jvp,
        CellKind::Vjp,
        CellKind::Transpose,
        CellKind::Vmap,
        CellKind::Second,
        CellKind::Kinks,
    ];

    /// Its name in reports.
    pub const fn name(self) -> &'static str {
        match self {
            CellKind::Doc => "doc",
            CellKind::Shape => "shape",
            CellKind::Cost => "cost",
            CellKind::Value => "value",
            CellKind::DTypes => "dtypes",
            CellKind::Edges => "edges",
            CellKind::Accuracy => "accuracy",
            CellKind::Dual => "dual",
            CellKind::Jvp => "jvp",
            CellKind::Vjp => "vjp",
            CellKind::Transpose => "transpose",
            CellKind::Vmap => "vmap",
            CellKind::Second => "second",
            CellKind::Kinks => "kinks",
        }
    }

    /// The largest error that passes: relative, but in multiples of the bound for [`CellKind::Accuracy`].
    pub const fn tolerance(self) -> f64 {
        match self {
            CellKind::Doc | CellKind::Shape | CellKind::Cost | CellKind::Vmap => 0.0,
            CellKind::Value | CellKind::Edges => 1e-11,
            CellKind::DTypes => 1e-5,
            CellKind::Accuracy => 1.0,
            CellKind::Dual | CellKind::Kinks => 1e-14,
            CellKind::Jvp => 1e-9,
            CellKind::Vjp | CellKind::Transpose => 1e-12,
            CellKind::Second => 1e-8,
        }
    }
}

impl fmt::Display for CellKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// What a check came to: the worst error with a note, or why there is nothing to check.
pub(super) enum Outcome {
    Error(f64, String),
    NotApplicable(&'static str),
    Empty,
}

/// The worst error so far and where it was.
struct Worst {
    error: f64,
    note: String,
    seen: bool,
}

impl Worst {
    fn new() -> Self {
        Worst { error: 0.0, note: String::new(), seen: false }
    }
    fn see(&mut self, error: f64, note: impl FnOnce() -> String) {
        self.seen = true;
        if error > self.error || error.is_nan() {
            (self.error, self.note) = (if error.is_nan() { f64::INFINITY } else { error }, note());
        }
    }
    fn outcome(self) -> Outcome {
        if self.seen { Outcome::Error(self.error, self.note) } else { Outcome::Empty }
    }
}

fn has_float(types: &[Type]) -> bool {
    types.iter().any(|ty| ty.dtype.is_float())
}

fn examples(case: &Case, rng: &mut Rng, n: usize) -> Vec<Vec<Array>> {
    (0..n).map(|_| case.operands.iter().map(|s| s.draw(rng)).collect()).collect()
}

/// Numbers that have gone wrong somewhere before.
fn specials() -> Range {
    let (inf, nan) = (f64::INFINITY, f64::NAN);
    Range::Values(vec![
        0.0, -0.0, 1.0, -1.0, inf, 0.5, nan, 1e300, -inf, 1e-300, -1e300, 0.25, -0.5, 2.0, 5e-324, -3.0,
        700.0, -700.0, 1e-10,
    ])
}

fn special_range(op: &Op) -> Range {
    match op {
        Op::Unary(crate::Unary::Lgamma) => {
            Range::Values(vec![3.0, 1e-3, 0.5, 100.0, 1e5, f64::INFINITY, f64::NAN, -0.5, -2.5])
        }
        Op::Unary(crate::Unary::Polygamma(_)) => {
            Range::Values(vec![1.0, 2.0, 0.01, 0.5, 30.0, 1e4, f64::NAN])
        }
        Op::Recurrence(_) => Range::Values(vec![0.0, 1.0, -1.0, 1e100, 1e-300, -0.0, 0.5]),
        _ => specials(),
    }
}

fn strict(a: f64, b: f64) -> f64 {
    if a == b || (a.is_nan() && b.is_nan()) {
        return 0.0;
    }
    let error = (a - b).abs() / a.abs().max(b.abs());
    if error.is_nan() { f64::INFINITY } else { error }
}

/// Runs a case on values and compares with the formula.
fn compare(case: &Case, args: &[Array], measure: fn(f64, f64) -> f64, worst: &mut Worst) -> Result<()> {
    let types: Vec<Type> = args.iter().map(|a| Type::new(a.dtype(), a.shape())).collect();
    let out = case.op.row().infer(&types)?;
    let refs: Vec<&Array> = args.iter().collect();
    let got = case.op.row().eval(&refs)?;
    let Some(expected) = reference::expected(case, args, &out) else { return Ok(()) };
    if got.len() != expected.len() || got.iter().zip(&expected).any(|(g, e)| g.shape() != &e.shape) {
        worst.see(f64::INFINITY, || format!("{}: shapes differ from the formula's", case.label));
        return Ok(());
    }
    worst.see(0.0, String::new);
    for (g, e) in got.iter().zip(&expected) {
        for (i, (g, &e)) in g.to_f64().into_iter().zip(&e.v).enumerate() {
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

pub(super) fn doc(row: &Row) -> Outcome {
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
        let mut others: Vec<Type> = DType::ALL.iter().map(|&d| Type::new(d, ty.shape.clone())).collect();
        others.push(ty.with_shape([]));
        others.push(ty.with_shape(ty.shape.insert(0, 2)));
        others.push(ty.with_shape(ty.shape.iter().map(|d| d + 1).collect::<crate::Shape>()));
        if ty.shape.rank() > 0 {
            others.push(ty.with_shape(ty.shape.remove(0)));
            others.push(ty.with_shape(ty.shape.iter().map(|_| 0).collect::<crate::Shape>()));
        }
        for other in others {
            let mut types = own.clone();
            types[i] = other;
            all.push(types);
        }
    }
    all
}

pub(super) fn shape(row: &Row) -> Outcome {
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
                match case.op.row().eval(&args.iter().collect::<Vec<_>>()) {
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

pub(super) fn cost(row: &Row) -> Outcome {
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

pub(super) fn value(row: &Row) -> Result<Outcome> {
    let (mut worst, mut rng) = (Worst::new(), Rng::new(2));
    for case in &row.cases {
        for args in examples(case, &mut rng, 2) {
            compare(case, &args, disagreement, &mut worst)?;
        }
    }
    Ok(worst.outcome())
}

pub(super) fn dtypes(row: &Row) -> Result<Outcome> {
    let (mut worst, mut rng) = (Worst::new(), Rng::new(3));
    let mut accepted: Vec<&str> = Vec::new();
    for case in &row.cases {
        for dtype in DType::ALL {
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
            compare(case, &args, disagreement, &mut worst)?;
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

pub(super) fn edges(row: &Row) -> Result<Outcome> {
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
            compare(case, &args, strict, &mut worst)?;
        }
        let args = &examples(case, &mut rng, 1)[0];
        compare(case, args, disagreement, &mut worst)?;
        if case.edge {
            // The derivative programs of an empty or degenerate instance run, too.
            let graph = case.graph()?;
            let wrt = probe::floats(&graph);
            if wrt.contains(&true) && has_float(&graph.output_types()) {
                let error = probe::reverse(&graph, args, &wrt, &mut rng)?;
                // A cast to f32 rounds, and so does its transpose.
                let rounds = graph.types().iter().any(|ty| ty.dtype == DType::F32);
                let error = if rounds && error < 1e-6 { 0.0 } else { error };
                worst.see(error, || format!("{}: reverse mode", case.label));
            }
        }
    }
    Ok(worst.outcome())
}

pub(super) fn accuracy(row: &Row) -> Result<Outcome> {
    let op = &row.cases[0].op;
    let points = golden::points(op);
    if points.is_empty() {
        return Ok(match op {
            Op::Unary(_) | Op::Binary(_) => Outcome::NotApplicable("one rounding or none: see value"),
            _ => Outcome::NotApplicable("not a function of numbers"),
        });
    }
    let gamma = row.name.contains("gamma");
    let limits = [if gamma { 4.0 } else { 2.0 }, 4.0, 16.0];
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
                    let scale = if order == 0 { 1.0 } else { exact.condition };
                    let units = exact.units(got) / scale;
                    worst.see(units / limits[order], || {
                        format!("{units:.2} units in order {order} at {:?}", point.args)
                    });
                }
            }
        }
    }
    Ok(worst.outcome())
}

pub(super) fn dual(row: &Row) -> Result<Outcome> {
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

pub(super) fn forward(row: &Row) -> Result<Outcome> {
    probed(row, 6, probe::forward)
}

pub(super) fn reverse(row: &Row) -> Result<Outcome> {
    match probed(row, 7, probe::reverse) {
        Err(e) if matches!(e.kind(), ErrorKind::NoTranspose { op: "while_loop", .. }) => {
            Ok(Outcome::NotApplicable("no reverse mode: a clear error says so"))
        }
        other => other,
    }
}

pub(super) fn second(row: &Row) -> Result<Outcome> {
    probed(row, 8, probe::second_order)
}

pub(super) fn transposed(row: &Row) -> Result<Outcome> {
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

pub(super) fn vmap(row: &Row) -> Result<Outcome> {
    if row.cases.iter().all(|c| c.operands.is_empty()) {
        return Ok(Outcome::NotApplicable("no operand"));
    }
    let (mut worst, mut rng) = (Worst::new(), Rng::new(10));
    for case in &row.cases {
        let error = probe::batched(&case.graph()?, &examples(case, &mut rng, 3))?;
        worst.see(error, || format!("{} {}", case.label, case.op));
    }
    Ok(worst.outcome())
}

pub(super) fn kinks(row: &Row, conventions: &[Convention]) -> Result<Outcome> {
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

/// A check that could not run is a failed one.
pub(super) fn settle(outcome: Result<Outcome, Error>) -> Outcome {
    outcome.unwrap_or_else(|e| Outcome::Error(f64::INFINITY, e.to_string()))
}
