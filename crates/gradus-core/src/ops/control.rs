//! Control flow as primitives that carry sub-programs: [`Cond`], and [`Scan`] and [`While`] beside it; and [`Replay`],
//! which reverse mode makes of loops whose states are not all stored.

mod cond;
mod recompute;
mod replay;
mod reverse;
mod scan;
mod sweep;
mod tower;
mod while_loop;

pub use cond::Cond;
pub(crate) use recompute::recomputed;
pub use replay::Replay;
pub use scan::Scan;
pub use sweep::{Stepper, Sweep};
pub use while_loop::While;

use std::sync::Arc;

use smallvec::smallvec;

use crate::graph::Vars;
use crate::ops::{
    ArgReduce, Broadcast, Cast, Compare, Gather, Reduce, ReduceKind, Select, inputs_like, materialize_batch,
};
use crate::transforms::flow::{Marks, active, batched};
use crate::transforms::{Lanes, guarded, vmap_inline};
use crate::{Batched, Builder, DType, ErrorKind, Graph, Result, Tangents, Type, Var};

/// The type of a value of a batch.
///
/// # Errors
/// If no tensor holds the batch.
pub(crate) fn batched_type(ty: &Type, batched: bool, size: usize) -> Result<Type> {
    Ok(if batched { ty.with_shape("vmap", ty.shape.insert(0, size))? } else { ty.clone() })
}

/// The batched form of `graph`, with the results batched that are marked in `out`.
fn batch_graph(graph: &Graph, marks: &[bool], out: &[bool], lanes: Lanes<'_>) -> Result<Graph> {
    let mut b = Builder::new();
    let mut args = Vec::new();
    for (ty, &m) in graph.input_types().into_iter().zip(marks) {
        args.push((b.input(batched_type(&ty, m, lanes.size)?), m));
    }
    let results = vmap_inline(&mut b, graph, &args, lanes)?;
    let results = results
        .into_iter()
        .zip(out)
        .map(|(r, &m)| if m { materialize_batch(&mut b, r, lanes.size) } else { Ok(r.0) })
        .collect::<Result<Vec<Var>>>()?;
    Ok(b.finish(results))
}

/// A program that only some examples go through has no operations over the axis that they make up.
fn all_take_part(graph: &Graph, lanes: Lanes<'_>) -> Result<()> {
    let Some(name) = lanes.name.filter(|name| graph.is_over(name)) else { return Ok(()) };
    let detail = format!(
        "an operation over the axis `{name}` stands in a branch or loop that examples go through or not, each by its own \
         condition; take it out, and choose with `select`"
    );
    Err(ErrorKind::Argument { op: "vmap", detail }.into())
}

/// Emits `graph` for a batch in which it counts for those examples only that `mask` says.
fn running(
    b: &mut Builder,
    graph: &Graph,
    mask: impl FnOnce(&mut Builder) -> Result<Var>,
    args: &[Batched],
    lanes: Lanes<'_>,
) -> Result<Vec<Batched>> {
    all_take_part(graph, lanes)?;
    let hazards = graph.hazards();
    if lanes.size == 0 || !hazards.any() && !hazards.opaque {
        return vmap_inline(b, graph, args, lanes);
    }
    let mask = mask(b)?;
    if hazards.opaque {
        return in_company(b, graph, mask, args, lanes);
    }
    let args: Vec<Batched> = std::iter::once((mask, true)).chain(args.iter().copied()).collect();
    vmap_inline(b, &guarded(graph, 0)?, &args, lanes)
}

/// [`running`] for a program that may fail whatever its data is: examples for which it does not count go along with the
/// data of the first for which it does. If it counts for none, it does not run.
fn in_company(
    b: &mut Builder,
    graph: &Graph,
    mask: Var,
    args: &[Batched],
    lanes: Lanes<'_>,
) -> Result<Vec<Batched>> {
    let operands: Vars = std::iter::once(mask).chain(args.iter().map(|arg| arg.0)).collect();
    let types: Vec<Type> = operands.iter().map(|&v| b.ty(v).clone()).collect();

    let mut f = Builder::new();
    let inputs = inputs_like(&mut f, types.iter().cloned());
    let counts = f.emit1(Cast(DType::I32), &[inputs[0]])?;
    let first = f.emit1(ArgReduce { axis: 0, max: true }, &[counts])?;
    let company = |(&x, &(_, batched)): (&Var, &Batched)| {
        if !batched {
            return Ok((x, false));
        }
        let row = f.emit1(Gather { axis: 0, batch: 0, from_end: false }, &[x, first])?;
        let rows = materialize_batch(&mut f, (row, false), lanes.size)?;
        let shape = f.shape(x).clone();
        let mask = f.emit1(Broadcast { shape, axes: smallvec![0] }, &[inputs[0]])?;
        Ok((f.emit1(Select, &[mask, x, rows])?, true))
    };
    let args = inputs[1..].iter().zip(args).map(company).collect::<Result<Vec<Batched>>>()?;
    let results = vmap_inline(&mut f, graph, &args, lanes)?;
    let results = results.into_iter().map(|r| materialize_batch(&mut f, r, lanes.size));
    let results = results.collect::<Result<Vec<Var>>>()?;
    let on_true = Arc::new(f.finish(results));

    let mut f = Builder::new();
    inputs_like(&mut f, types);
    let zeros = on_true.output_types().iter().map(|ty| f.full(ty, 0.0)).collect();
    let on_false = Arc::new(f.finish(zeros));

    let any = any(b, mask)?;
    let operands: Vars = std::iter::once(any).chain(operands).collect();
    Ok(b.emit(Cond { on_true, on_false }, &operands)?.into_iter().map(|v| (v, true)).collect())
}

/// Whether a mask over the examples has one for which it holds.
fn any(b: &mut Builder, mask: Var) -> Result<Var> {
    let count = b.emit1(Cast(DType::I32), &[mask])?;
    let count = b.emit1(Reduce { kind: ReduceKind::Sum, axes: smallvec![0] }, &[count])?;
    let zero = b.zeros_like(count);
    b.emit1(Compare::Gt, &[count, zero])
}

/// Grows the marks of loop-carried values until a step maps marked to marked: `step` gives the marks after a
/// step from the marks before it.
fn fixpoint(mut carry: Vec<bool>, mut step: impl FnMut(&[bool]) -> Marks) -> Vec<bool> {
    loop {
        let after = step(&carry);
        let next: Vec<bool> = carry.iter().zip(&after[..]).map(|(&a, &b)| a || b).collect();
        if next == carry {
            return carry;
        }
        carry = next;
    }
}

/// Which results of `graph` depend on the marked inputs.
fn depending(graph: &Graph, marks: &[bool]) -> Marks {
    let depends = graph.depends_on(marks);
    graph.outputs().iter().map(|v| depends[v.index()]).collect()
}

/// Gives each active place the next of `values`.
fn distribute(active: &[bool], values: impl IntoIterator<Item = Var>) -> Tangents {
    let mut values = values.into_iter();
    active.iter().map(|&a| if a { values.next() } else { None }).collect()
}
