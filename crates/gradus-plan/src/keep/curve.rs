//! The curve of kept bytes over recomputation time, and the choices at its corners.
//!
//! Every exchange rate between nanoseconds and bytes, the *worth* of a nanosecond, has its minimum cut. The cuts of all
//! rates are the corners of the lower hull of bytes over time; the rate at which two known corners cost the same finds
//! a corner between them, or shows that there is none.

use gradus_core::graph::Eqn;
use gradus_core::{Graph, Var};

use super::boundary::Boundary;
use super::cost::{cheap_prices, prices};
use super::cut;
use crate::packed::waiting_bytes;

/// The most choices that are of use.
pub(super) const MOST: usize = 10;
/// The worth of a nanosecond where time counts little, and where only memory counts, as a share of its worth where only
/// time counts.
const LITTLE: f64 = 0.05;
const LEAST: f64 = 5e-5;
/// The most cuts that narrow a bound.
const STEPS: usize = 8;
/// Corners closer than this share of the kept bytes are merged.
const CLOSE: f64 = 0.01;

/// A set of kept values, its bytes, and nanoseconds of computing the rest.
#[derive(Clone, Debug)]
pub(super) struct Choice {
    pub(super) kept: Vec<bool>,
    bytes: f64,
    nanos: f64,
}

impl Choice {
    /// The choice in words.
    pub(super) fn described(&self) -> String {
        format!(
            "{} values kept throughout, {:.1} ms of work run again",
            self.kept.iter().filter(|k| **k).count(),
            self.nanos * 1e-6
        )
    }
}

/// A limited number of choices (at least five), from the fastest to the one that keeps least. Among them are those that
/// recompute nothing expensive.
pub(super) fn choices(
    graph: &Graph,
    boundary: &Boundary,
    nanos: &[f64],
    worth: f64,
    most: usize,
) -> Vec<Choice> {
    let measure = |kept: Vec<bool>| measured(graph, boundary, nanos, kept);
    let cheap = cheap_prices(graph, nanos);
    let mut out: Vec<Choice> =
        [1.0, LITTLE, 0.0].iter().map(|&w| measure(cut::kept(graph, boundary, w * worth, &cheap))).collect();
    let any = prices(graph, nanos, cut::single);
    let mut corners: Vec<Choice> =
        [1.0, LEAST].iter().map(|&w| measure(cut::kept(graph, boundary, w * worth, &any))).collect();
    // The widest gap first; a gap without a corner inside is done.
    let mut closed: Vec<bool> = vec![false];
    let all = corners[0].bytes.max(1.0);
    while corners.len() + out.len() < most {
        let gap = |&k: &usize| corners[k].bytes - corners[k + 1].bytes;
        let open = (0..closed.len()).filter(|&k| !closed[k] && gap(&k) > CLOSE * all);
        let Some(k) = open.max_by(|a, b| gap(a).total_cmp(&gap(b))) else { break };
        let (x, y) = (&corners[k], &corners[k + 1]);
        let worth = (x.bytes - y.bytes) / (y.nanos - x.nanos).max(1.0);
        let cost = |c: &Choice| c.bytes + worth * c.nanos;
        let between = measure(cut::kept(graph, boundary, worth, &any));
        if cost(&between) < cost(x) * (1.0 - 1e-4) && between.bytes < x.bytes && between.bytes > y.bytes {
            corners.insert(k + 1, between);
            closed.insert(k, false);
        } else {
            closed[k] = true;
        }
    }
    out.extend(corners);
    out.sort_by(|a, b| b.bytes.total_cmp(&a.bytes).then(a.nanos.total_cmp(&b.nanos)));
    out.dedup_by(|a, b| a.kept == b.kept);
    out
}

/// A lower bound on the nanoseconds of work that a plan recomputes if its forward pass keeps at most `limit` bytes for
/// the backward pass: the largest value of the Lagrangian of the cuts. Cheap equations do not count.
pub(super) fn least_again(graph: &Graph, boundary: &Boundary, nanos: &[f64], worth: f64, limit: f64) -> f64 {
    let dear = |(eqn, ns): (&Eqn, &f64)| if cut::cheap(&eqn.op) { 0.0 } else { *ns };
    let nanos: Vec<f64> = graph.eqns().iter().zip(nanos).map(dear).collect();
    let any = prices(graph, &nanos, cut::single);
    let at = |worth: f64| measured(graph, boundary, &nanos, cut::kept(graph, boundary, worth, &any));
    let (mut much, mut little) = (at(worth), at(LEAST * worth));
    let mut bound = 0.0;
    for _ in 0..STEPS {
        if much.bytes <= limit || little.bytes >= much.bytes || little.nanos <= much.nanos {
            break;
        }
        let worth = (much.bytes - little.bytes) / (little.nanos - much.nanos);
        let between = at(worth);
        bound = f64::max(bound, between.nanos + (between.bytes - limit) / worth);
        let cost = |c: &Choice| c.bytes + worth * c.nanos;
        if cost(&between) >= cost(&much) * (1.0 - 1e-6) {
            break;
        }
        if between.bytes > limit { much = between } else { little = between }
    }
    bound
}

/// The bytes of the kept values, and the time of recomputing the other values that the backward pass reads.
fn measured(graph: &Graph, boundary: &Boundary, nanos: &[f64], kept: Vec<bool>) -> Choice {
    let mut returned = vec![false; graph.types().len()];
    graph.outputs().iter().for_each(|v| returned[v.index()] = true);
    let bytes = kept.iter().enumerate().filter(|(v, k)| **k && !returned[*v]);
    let bytes = bytes.map(|(v, _)| waiting_bytes(&graph.types()[v]) as f64).sum();
    let second = graph.eqns()[boundary.at..].iter().filter(|e| !boundary.available[e.outputs[0].index()]);
    let mut pending: Vec<Var> = second.flat_map(|e| e.inputs.iter().copied()).collect();
    let mut run = vec![false; graph.eqns().len()];
    while let Some(v) = pending.pop() {
        let here = boundary.available[v.index()] && !kept[v.index()] && !returned[v.index()];
        if let Some(i) = boundary.made[v.index()].filter(|_| here)
            && !std::mem::replace(&mut run[i], true)
        {
            pending.extend(&graph.eqns()[i].inputs);
        }
    }
    let nanos = nanos.iter().zip(run).filter(|(_, r)| *r).map(|(n, _)| n).sum();
    Choice { kept, bytes, nanos }
}
