//! Derivatives at kinks and ties, as documented, for every spelling of a function.

use crate::graph::Vars;
use crate::ops::{
    Clamp, Compare, Cumulative, CumulativeKind, MaxPool, Reduce, ReduceKind, Select, Sort, StopGradient,
    Window,
};
use crate::{Array, Binary, Builder, DType, Graph, Op, Result, Type, Unary, Var};

/// A function at a point where its derivative is a convention.
pub(super) struct Convention {
    /// The rows it belongs to.
    pub rows: Vec<&'static str>,
    /// What the function is.
    pub spelling: &'static str,
    /// The function; its first result is the one differentiated.
    pub graph: Graph,
    /// The point.
    pub args: Vec<Array>,
    /// The gradient of the sum of the first result, an entry for each argument.
    pub gradient: Vec<Vec<f64>>,
}

type Body<'a> = &'a dyn Fn(&mut Builder, &[Var]) -> Result<Vars>;

fn at(
    rows: &[&'static str],
    spelling: &'static str,
    points: &[&[f64]],
    gradient: &[&[f64]],
    body: Body<'_>,
) -> Result<Convention> {
    let mut b = Builder::new();
    let vars: Vec<Var> = points.iter().map(|p| b.input(Type::new(DType::F64, [p.len()]))).collect();
    let outputs = body(&mut b, &vars)?;
    Ok(Convention {
        rows: rows.to_vec(),
        spelling,
        graph: b.finish(outputs[..1].to_vec()),
        args: points.iter().map(|p| Array::of([p.len()].into(), p.to_vec())).collect(),
        gradient: gradient.iter().map(|g| g.to_vec()).collect(),
    })
}

fn single(op: impl Into<Op>) -> impl Fn(&mut Builder, &[Var]) -> Result<Vars> {
    let op = op.into();
    move |b, x| b.emit(op.clone(), x)
}

/// `max(x, 0)` and its like: the second operand is a constant.
fn beside(op: Binary, value: f64) -> impl Fn(&mut Builder, &[Var]) -> Result<Vars> {
    move |b, x| {
        let ty = b.ty(x[0]).clone();
        let constant = b.full(&ty, value);
        b.emit(op, &[x[0], constant])
    }
}

fn reduce(kind: ReduceKind) -> Reduce {
    Reduce { kind, axes: [0].into_iter().collect() }
}

/// The conventions, in the order of the table in `docs/kinks.md`.
pub(super) fn conventions() -> Result<Vec<Convention>> {
    let relu = |b: &mut Builder, x: &[Var]| {
        let zero = b.zeros_like(x[0]);
        let off = b.emit1(Compare::Le, &[x[0], zero])?;
        b.emit(Select, &[off, zero, x[0]])
    };
    let clamp_as_composed = |b: &mut Builder, x: &[Var]| {
        let raised = b.emit1(Binary::Max, &[x[0], x[1]])?;
        b.emit(Binary::Min, &[raised, x[2]])
    };
    let greatest_by_sorting = |b: &mut Builder, x: &[Var]| b.emit(Sort { axis: 0, descending: true }, x);
    let nested = |b: &mut Builder, x: &[Var]| {
        let inner = b.emit1(Binary::Max, &[x[1], x[2]])?;
        b.emit(Binary::Max, &[x[0], inner])
    };
    let running = Cumulative { kind: CumulativeKind::Prod, axis: 0, reverse: false };
    let pooled = MaxPool { window: Window::tiles(&[3]) };
    let bounds: &[&[f64]] = &[&[0.0, 1.0, 0.5, 2.0], &[0.0; 4], &[1.0; 4]];
    let inside: &[&[f64]] = &[&[1.0, 1.0, 1.0, 0.0], &[0.0; 4], &[0.0, 0.0, 0.0, 1.0]];
    let shares: &[&[f64]] = &[&[0.5, 0.5, 1.0, 0.0], &[0.5, 0.0, 0.0, 0.0], &[0.0, 0.5, 0.0, 1.0]];
    let mut all = vec![
        at(
            &["max"],
            "max(x, y) at a tie",
            &[&[1.0, 2.0], &[1.0, 0.0]],
            &[&[0.5, 1.0], &[0.5, 0.0]],
            &single(Binary::Max),
        )?,
        at(
            &["min"],
            "min(x, y) at a tie",
            &[&[1.0, 2.0], &[1.0, 0.0]],
            &[&[0.5, 0.0], &[0.5, 1.0]],
            &single(Binary::Min),
        )?,
        at(&["max"], "max(x, 0)", &[&[0.0, 1.0, -1.0]], &[&[0.5, 1.0, 0.0]], &beside(Binary::Max, 0.0))?,
        at(&["select"], "relu(x) = select(x <= 0, 0, x)", &[&[0.0, 1.0, -1.0]], &[&[0.0, 1.0, 0.0]], &relu)?,
        at(&["clamp"], "clamp(x, low, high) on a bound", bounds, inside, &single(Clamp))?,
        at(&["max", "min"], "min(max(x, low), high)", bounds, shares, &clamp_as_composed)?,
        at(
            &["reduce_max"],
            "the largest of ties",
            &[&[2.0, 1.0, 2.0, 2.0]],
            &[&[1.0 / 3.0, 0.0, 1.0 / 3.0, 1.0 / 3.0]],
            &single(reduce(ReduceKind::Max)),
        )?,
        at(
            &["reduce_min"],
            "the smallest of ties",
            &[&[1.0, 1.0, 2.0]],
            &[&[0.5, 0.5, 0.0]],
            &single(reduce(ReduceKind::Min)),
        )?,
        at(
            &["reduce_prod"],
            "a product with one zero",
            &[&[2.0, 0.0, 3.0]],
            &[&[0.0, 6.0, 0.0]],
            &single(reduce(ReduceKind::Prod)),
        )?,
        at(&["sort"], "sort of ties", &[&[2.0, 2.0, 1.0]], &[&[1.0, 1.0, 1.0]], &greatest_by_sorting)?,
        at(&["max_pool"], "the first of ties", &[&[1.0, 3.0, 3.0]], &[&[0.0, 1.0, 0.0]], &single(pooled))?,
        at(&["stop_gradient"], "stop_gradient(x)", &[&[1.0, -2.0]], &[&[0.0, 0.0]], &single(StopGradient))?,
        at(
            &["hypot"],
            "hypot(x, y) at the origin",
            &[&[0.0], &[0.0]],
            &[&[0.0], &[0.0]],
            &single(Binary::Hypot),
        )?,
        at(
            &["powf"],
            "xʸ at x = 0",
            &[&[0.0, 0.0], &[2.0, 1.0]],
            &[&[0.0, 1.0], &[0.0, 0.0]],
            &single(Binary::Pow),
        )?,
        at(&["powf"], "xʸ at y = 0", &[&[3.0], &[0.0]], &[&[0.0], &[3f64.ln()]], &single(Binary::Pow))?,
        at(
            &["max"],
            "a threefold tie of nested maxima",
            &[&[1.0], &[1.0], &[1.0]],
            &[&[0.5], &[0.25], &[0.25]],
            &nested,
        )?,
        at(
            &["cumprod"],
            "a running product past a zero",
            &[&[2.0, 0.0, 3.0]],
            &[&[1.0, 8.0, 0.0]],
            &single(running),
        )?,
        at(&["rem"], "x mod y at a multiple", &[&[4.0], &[2.0]], &[&[1.0], &[-2.0]], &single(Binary::Rem))?,
    ];
    for op in Unary::ALL.iter().filter(|op| !op.entry().at.is_empty()) {
        let (x, slope): (Vec<f64>, Vec<f64>) = op.entry().at.iter().map(|&(x, first, _)| (x, first)).unzip();
        all.push(at(&[op.name()], "where its entry says", &[&x], &[&slope], &single(*op))?);
    }
    Ok(all)
}
