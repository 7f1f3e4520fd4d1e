//! The cell of absurd sizes: operand types and parameters that no memory holds.
//!
//! A shape rule refuses them, or states types that a memory could hold, and so does every transform of the primitive;
//! nothing overflows on the way. Where everything is small after all, the values have the stated types.

use std::panic::{AssertUnwindSafe, catch_unwind};

use super::{Outcome, Worst};
use crate::ops::{self, Window};
use crate::table::random::{Range, Rng};
use crate::table::row::Row;
use crate::{Array, Builder, Op, Shape, Type, transforms};

/// Extents that a tensor can hardly have, or not at all.
const EXTENTS: [usize; 6] = [0, 1 << 31, (1 << 57) + 1, 1 << 58, 1 << 59, (1 << 60) - 1];
/// Parameters: from nothing to what wraps around.
const NUMBERS: [usize; 9] = [0, 1, 5, 1 << 32, 1 << 59, usize::MAX / 2, 1 << 63, usize::MAX - 1, usize::MAX];
/// Elements up to which values are computed.
const FEW: usize = 1 << 12;

pub(in crate::table) fn hostile(row: &Row) -> Outcome {
    let mut worst = Worst::new();
    for case in &row.cases {
        let own: Vec<Type> = case.operands.iter().map(|s| s.ty.clone()).collect();
        worst.see(refused(&case.op, &own), || format!("{}: {own:?}", case.label));
        for types in sizes(&own) {
            worst.see(refused(&case.op, &types), || format!("{}: {types:?}", case.label));
        }
        for op in NUMBERS.iter().flat_map(|&n| parameters(&case.op, n)) {
            worst.see(refused(&op, &own), || format!("{}: {op:?}", case.label));
        }
    }
    worst.outcome()
}

/// The operand types of a case with every extent of one size exchanged for another, in all of them or in one.
fn sizes(own: &[Type]) -> Vec<Vec<Type>> {
    let mut all = Vec::new();
    let mut extents: Vec<usize> = own.iter().flat_map(|ty| ty.shape.iter().copied()).collect();
    extents.sort_unstable();
    extents.dedup();
    for &old in &extents {
        for new in EXTENTS {
            let exchanged = |ty: &Type| {
                let shape: Shape = ty.shape.iter().map(|&d| if d == old { new } else { d }).collect();
                Type::checked("table", ty.dtype, shape).ok()
            };
            all.extend(own.iter().map(exchanged).collect::<Option<Vec<_>>>());
            for i in 0..own.len() {
                let mut types = own.to_vec();
                let Some(ty) = exchanged(&own[i]) else { continue };
                types[i] = ty;
                all.push(types);
            }
        }
    }
    all
}

/// The primitive with one of its numbers, or one along all axes, exchanged for `n`.
fn parameters(op: &Op, n: usize) -> Vec<Op> {
    let axes = |axes: &ops::Axes| -> ops::Axes { axes.iter().map(|_| n).collect() };
    let signed = n as isize;
    let mut all: Vec<Op> = Vec::new();
    let windows = |w: &Window| {
        [
            Window { size: axes(&w.size), ..w.clone() },
            Window { stride: axes(&w.stride), ..w.clone() },
            Window { low: axes(&w.low), ..w.clone() },
            Window { high: axes(&w.high), ..w.clone() },
            Window { dilation: axes(&w.dilation), ..w.clone() },
            Window { low: axes(&w.low), high: axes(&w.high), stride: axes(&w.stride), ..w.clone() },
        ]
    };
    let shapes = |shape: &Shape| -> Vec<Shape> {
        let one = (0..shape.rank()).map(|axis| {
            let mut shape = shape.clone();
            shape[axis] = n;
            shape
        });
        one.chain([shape.iter().map(|_| n).collect::<Shape>(), shape.insert(0, n)]).collect()
    };
    match op {
        Op::Full(p) => {
            all.extend(shapes(&p.shape).into_iter().map(|shape| ops::Full { shape, ..p.clone() }.into()))
        }
        Op::Iota(p) => {
            all.push(ops::Iota { axis: n, ..p.clone() }.into());
            all.extend(shapes(&p.shape).into_iter().map(|shape| ops::Iota { shape, ..p.clone() }.into()));
        }
        Op::RandomBits(p) => {
            all.push(ops::RandomBits { bits: n as u32, ..p.clone() }.into());
            all.extend(
                shapes(&p.shape).into_iter().map(|shape| ops::RandomBits { shape, ..p.clone() }.into()),
            );
        }
        Op::Reshape(p) => all.extend(shapes(&p.0).into_iter().map(|shape| ops::Reshape(shape).into())),
        Op::Broadcast(p) => {
            all.push(ops::Broadcast { axes: axes(&p.axes), ..(**p).clone() }.into());
            all.extend(
                shapes(&p.shape).into_iter().map(|shape| ops::Broadcast { shape, ..(**p).clone() }.into()),
            );
        }
        Op::Slice(p) => {
            all.push(ops::Slice { start: axes(&p.start), ..(**p).clone() }.into());
            all.push(ops::Slice { stop: axes(&p.stop), ..(**p).clone() }.into());
            all.push(ops::Slice { step: axes(&p.step), ..(**p).clone() }.into());
        }
        Op::Pad(p) => {
            all.push(ops::Pad { low: axes(&p.low), ..(**p).clone() }.into());
            all.push(ops::Pad { high: axes(&p.high), ..(**p).clone() }.into());
            all.push(ops::Pad { interior: axes(&p.interior), ..(**p).clone() }.into());
        }
        Op::Permute(p) => all.push(ops::Permute { axes: axes(&p.axes) }.into()),
        Op::Reduce(p) => all.push(ops::Reduce { axes: axes(&p.axes), ..p.clone() }.into()),
        Op::Reverse(p) => all.push(ops::Reverse { axes: axes(&p.axes) }.into()),
        Op::Concat(_) => all.push(ops::Concat { axis: n }.into()),
        Op::Gather(p) => {
            all.push(ops::Gather { axis: n, ..*p }.into());
            all.push(ops::Gather { batch: n, ..*p }.into());
        }
        Op::ScatterAdd(p) => {
            all.push(ops::ScatterAdd { axis: n, ..*p }.into());
            all.push(ops::ScatterAdd { batch: n, ..*p }.into());
        }
        Op::Sort(p) => all.push(ops::Sort { axis: n, ..*p }.into()),
        Op::ArgReduce(p) => all.push(ops::ArgReduce { axis: n, ..*p }.into()),
        Op::Cumulative(p) => all.push(ops::Cumulative { axis: n, ..*p }.into()),
        Op::Recurrence(p) => all.push(ops::Recurrence { axis: n, ..*p }.into()),
        Op::Dot(p) => {
            all.push(ops::Dot { lhs_contract: axes(&p.lhs_contract), ..(**p).clone() }.into());
            all.push(ops::Dot { rhs_batch: axes(&p.rhs_batch), ..(**p).clone() }.into());
            let twice = |axes: &ops::Axes| -> ops::Axes { axes.iter().chain(axes).copied().collect() };
            let (lhs_contract, rhs_contract) = (twice(&p.lhs_contract), twice(&p.rhs_contract));
            all.push(ops::Dot { lhs_contract, rhs_contract, ..(**p).clone() }.into());
        }
        Op::Conv(p) => {
            let padding = |p: &ops::Padding, n: isize| -> ops::Padding { p.iter().map(|_| n).collect() };
            all.push(ops::Conv { stride: axes(&p.stride), ..(**p).clone() }.into());
            all.push(ops::Conv { lhs_dilation: axes(&p.stride), ..(**p).clone() }.into());
            all.push(ops::Conv { rhs_dilation: axes(&p.stride), ..(**p).clone() }.into());
            all.push(ops::Conv { feature_groups: n, ..(**p).clone() }.into());
            all.push(ops::Conv { batch_groups: n, ..(**p).clone() }.into());
            for n in [signed, signed.wrapping_neg()] {
                let (low, high) = (padding(&p.low, n), padding(&p.high, n));
                all.push(ops::Conv { low: low.clone(), ..(**p).clone() }.into());
                all.push(ops::Conv { high: high.clone(), ..(**p).clone() }.into());
                all.push(
                    ops::Conv { low: low.clone(), high: padding(&p.high, n.wrapping_neg()), ..(**p).clone() }
                        .into(),
                );
                all.push(ops::Conv { low, high, stride: axes(&p.stride), ..(**p).clone() }.into());
            }
        }
        Op::MaxPool(p) => all.extend(windows(&p.window).map(|window| ops::MaxPool { window }.into())),
        Op::SumPool(p) => all.extend(windows(&p.window).map(|window| ops::SumPool { window }.into())),
        Op::Scan(p) => {
            all.push(ops::Scan { length: n, ..p.clone() }.into());
            all.push(ops::Scan { checkpoints: Some(n), ..p.clone() }.into());
        }
        Op::While(p) => all.push(ops::While { checkpoints: Some(n), ..p.clone() }.into()),
        Op::Replay(p) => all.push(ops::Replay { length: n, ..(**p).clone() }.into()),
        Op::Unary(_)
        | Op::Binary(_)
        | Op::FoldIn(_)
        | Op::LinearMul(_)
        | Op::Clamp(_)
        | Op::Compare(_)
        | Op::Logic(_)
        | Op::Not(_)
        | Op::Select(_)
        | Op::Cast(_)
        | Op::StopGradient(_)
        | Op::Cond(_)
        | Op::Call(_)
        | Op::Collective(_)
        | Op::External(_) => {}
    }
    all
}

/// 0 if the primitive and its transforms refuse these types, or state types that pass the one test of sizes; else 1.
fn refused(op: &Op, types: &[Type]) -> f64 {
    let sound = catch_unwind(AssertUnwindSafe(|| {
        let Ok(out) = op.row().infer(types) else { return true };
        let cost = op.row().cost(types, &out);
        let finite = cost.flops.is_finite() && cost.bytes.is_finite() && cost.flops >= 0.0;
        let possible = out.iter().all(|ty| ty.shape.clone().checked("table").is_ok());
        finite && possible && transformed(op, types) && evaluated(op, types, &out)
    }));
    if sound.unwrap_or(false) { 0.0 } else { 1.0 }
}

/// Whether derivatives and batches are programs or errors; a panic tells of anything else.
fn transformed(op: &Op, types: &[Type]) -> bool {
    let mut b = Builder::new();
    let args: crate::graph::Vars = types.iter().map(|ty| b.input(ty.clone())).collect();
    let Ok(outputs) = b.emit(op.clone(), &args) else { return false };
    let graph = b.finish(outputs.to_vec());
    let floats: Vec<bool> = types.iter().map(|ty| ty.dtype.is_float()).collect();
    // An error is an answer, too.
    let _ = transforms::jvp(&graph, &floats);
    let _ = transforms::vjp(&graph, &floats);
    for size in [0, 3, 1 << 31, 1 << 59, usize::MAX] {
        let _ = transforms::vmap(&graph, &vec![true; types.len()], size);
    }
    true
}

/// Whether the values have the stated types, where there are few.
fn evaluated(op: &Op, types: &[Type], out: &[Type]) -> bool {
    let few = types.iter().chain(out).all(|ty| ty.shape.size() <= FEW);
    // A loop may not end on operands that are not its own, or only after so many steps.
    if !few || !op.graphs().is_empty() {
        return true;
    }
    let mut rng = Rng::new(2);
    let args: Vec<Array> = types.iter().map(|ty| Range::Integers(0, 1).sample(&mut rng, ty)).collect();
    match op.evaluate(&args.iter().collect::<Vec<_>>()) {
        Err(_) => true,
        Ok(got) => {
            let fits = |(g, t): (&Array, &Type)| g.dtype() == t.dtype && g.shape() == &t.shape;
            got.len() == out.len() && got.iter().zip(out).all(fits)
        }
    }
}
