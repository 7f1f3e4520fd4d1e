//! Estimated costs of running equations again.

use gradus_core::ops::Op;
use gradus_core::{Graph, Type, Var};
use smallvec::SmallVec;

use super::boundary::is_cheap;
use super::{cut, scores};
use crate::Costs;
use crate::fuse::is_movement;

/// Estimated nanoseconds of each equation: cheap ones as parts of a fused kernel, the others as kernels of their own.
pub(super) fn nanos(graph: &Graph, costs: &Costs) -> Vec<f64> {
    (0..graph.eqns().len()).map(|i| 1e9 * seconds(graph, i, costs)).collect()
}

fn seconds(graph: &Graph, i: usize, costs: &Costs) -> f64 {
    let eqn = &graph.eqns()[i];
    if matches!(eqn.op, Op::Full(_)) || is_movement(&eqn.op) {
        return 0.0;
    }
    let types = |vars: &[Var]| vars.iter().map(|&v| graph.ty(v).clone()).collect::<SmallVec<[Type; 4]>>();
    let (inputs, outputs) = (types(&eqn.inputs), types(&eqn.outputs));
    let flops = eqn.op.row().cost(&inputs, &outputs).flops;
    if is_cheap(&eqn.op) {
        let points = inputs.iter().chain(&outputs).map(|ty| ty.shape.size()).max().unwrap_or(0);
        return flops * costs.flop + points as f64 * costs.element;
    }
    let bytes: usize = inputs.iter().chain(&outputs).map(Type::bytes).sum();
    match eqn.op {
        Op::Dot(_) | Op::Conv(_) => costs.product(flops, bytes as f64),
        _ => costs.kernel(flops, bytes as f64),
    }
}

/// The prices of running cheap equations again, products that [expand](scores::products) among them; infinite
/// elsewhere.
pub(super) fn cheap_prices(graph: &Graph, nanos: &[f64]) -> Vec<f64> {
    let mut out = prices(graph, nanos, cut::cheap);
    for ((price, ns), expands) in out.iter_mut().zip(nanos).zip(scores::products(graph)) {
        if expands {
            *price = *ns;
        }
    }
    out
}

/// The prices of running equations again: their nanoseconds where `again` allows it, infinite elsewhere.
pub(super) fn prices(graph: &Graph, nanos: &[f64], again: fn(&Op) -> bool) -> Vec<f64> {
    let price = |(i, ns): (usize, &f64)| if again(&graph.eqns()[i].op) { *ns } else { f64::INFINITY };
    nanos.iter().enumerate().map(price).collect()
}
