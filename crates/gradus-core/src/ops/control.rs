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

use crate::ops::materialize_batch;
use crate::transforms::flow::{Marks, active, batched};
use crate::transforms::{Lanes, guarded, vmap_inline};
use crate::{Batched, Builder, ErrorKind, Graph, Result, Tangents, Type, Var};

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
    if !graph.hazards().any() {
        return vmap_inline(b, graph, args, lanes);
    }
    let mask = mask(b)?;
    let args: Vec<Batched> = std::iter::once((mask, true)).chain(args.iter().copied()).collect();
    vmap_inline(b, &guarded(graph, 0)?, &args, lanes)
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
