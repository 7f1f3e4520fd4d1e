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
use crate::transforms::{jvp_inline, vmap_inline};
use crate::{Builder, Graph, Mode, Result, Tangents, Type, Var};

/// Which results of `graph` have a tangent when the marked inputs have one.
fn active(graph: &Graph, marks: &[bool]) -> Result<Vec<bool>> {
    let mut b = Builder::new();
    let args: Vec<Var> = graph.input_types().into_iter().map(|ty| b.input(ty)).collect();
    let tangents: Vec<Option<Var>> =
        graph.input_types().into_iter().zip(marks).map(|(ty, &m)| m.then(|| b.input(ty))).collect();
    let (_, tangents) = jvp_inline(&mut b, graph, &args, &tangents, Mode::Forward)?;
    Ok(tangents.iter().map(Option::is_some).collect())
}

/// Which results of `graph` are batched when the marked inputs are.
fn batched(graph: &Graph, marks: &[bool], size: usize) -> Result<Vec<bool>> {
    let mut b = Builder::new();
    let mut args = Vec::new();
    for (ty, &m) in graph.input_types().into_iter().zip(marks) {
        args.push((b.input(batched_type(&ty, m, size)), m));
    }
    Ok(vmap_inline(&mut b, graph, &args, size)?.into_iter().map(|o| o.1).collect())
}

fn batched_type(ty: &Type, batched: bool, size: usize) -> Type {
    if batched { ty.with_shape(ty.shape.insert(0, size)) } else { ty.clone() }
}

/// The batched form of `graph`, with the results batched that are marked in `out`.
fn batch_graph(graph: &Graph, marks: &[bool], out: &[bool], size: usize) -> Result<Graph> {
    let mut b = Builder::new();
    let mut args = Vec::new();
    for (ty, &m) in graph.input_types().into_iter().zip(marks) {
        args.push((b.input(batched_type(&ty, m, size)), m));
    }
    let results = vmap_inline(&mut b, graph, &args, size)?;
    let results = results
        .into_iter()
        .zip(out)
        .map(|(r, &m)| if m { materialize_batch(&mut b, r, size) } else { Ok(r.0) })
        .collect::<Result<Vec<Var>>>()?;
    Ok(b.finish(results))
}

/// Grows the marks of loop-carried values until a step maps marked to marked: `step` gives the marks after a
/// step from the marks before it.
fn fixpoint(mut carry: Vec<bool>, mut step: impl FnMut(&[bool]) -> Result<Vec<bool>>) -> Result<Vec<bool>> {
    loop {
        let after = step(&carry)?;
        let next: Vec<bool> = carry.iter().zip(&after).map(|(&a, &b)| a || b).collect();
        if next == carry {
            return Ok(carry);
        }
        carry = next;
    }
}

/// Gives each active place the next of `values`.
fn distribute(active: &[bool], values: impl IntoIterator<Item = Var>) -> Tangents {
    let mut values = values.into_iter();
    active.iter().map(|&a| if a { values.next() } else { None }).collect()
}
