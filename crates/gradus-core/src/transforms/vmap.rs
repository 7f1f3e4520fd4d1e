//! Vectorisation: a program for one example turned into one for a whole batch, with the batch as axis 0.

use crate::nest::inside;
use crate::ops::{batched_type, materialize_batch};
use crate::{Batched, Builder, Graph, Result, Var};

/// The axis that a program is mapped over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lanes<'a> {
    /// The number of examples.
    pub size: usize,
    /// Its name, by which operations over it are told: see [`Collective`](crate::ops::Collective).
    pub name: Option<&'a str>,
}

impl From<usize> for Lanes<'_> {
    /// An axis of this many examples, without a name.
    fn from(size: usize) -> Self {
        Lanes { size, name: None }
    }
}

/// Emits `graph` for a batch; each argument says whether its axis 0 is the batch.
pub fn vmap_inline(
    b: &mut Builder,
    graph: &Graph,
    args: &[Batched],
    lanes: Lanes<'_>,
) -> Result<Vec<Batched>> {
    let mut value: Vec<Option<Batched>> = vec![None; graph.types().len()];
    for (v, &arg) in graph.inputs().iter().zip(args) {
        value[v.index()] = Some(arg);
    }
    for eqn in graph.eqns() {
        let inputs: Vec<Batched> =
            eqn.inputs.iter().map(|v| value[v.index()].expect("operands come first")).collect();
        let outer = b.set_origin(eqn.origin());
        let outputs = if inputs.iter().any(|i| i.1) || eqn.op.is_over(lanes.name) {
            inside(&eqn.op, || eqn.op.row().batch(b, &inputs, lanes)).map(|o| o.to_vec())
        } else {
            let args: Vec<Var> = inputs.iter().map(|i| i.0).collect();
            b.emit(eqn.op.clone(), &args).map(|o| o.into_iter().map(|v| (v, false)).collect())
        };
        b.set_origin(outer);
        for (v, out) in eqn.outputs.iter().zip(outputs?) {
            value[v.index()] = Some(out);
        }
    }
    Ok(graph.outputs().iter().map(|v| value[v.index()].expect("outputs are defined")).collect())
}

/// The program for a batch: inputs marked in `batched` get a leading axis of `size`, and so do all outputs.
///
/// # Errors
/// If a tensor of the batch would be too large, or an operation over the named axis stands where only some examples go.
pub fn vmap<'a>(graph: &Graph, batched: &[bool], lanes: impl Into<Lanes<'a>>) -> Result<Graph> {
    let lanes = lanes.into();
    let mut b = Builder::new();
    let mut args = Vec::new();
    for (ty, &m) in graph.input_types().into_iter().zip(batched) {
        args.push((b.input(batched_type(&ty, m, lanes.size)?), m));
    }
    let outputs = vmap_inline(&mut b, graph, &args, lanes)?;
    let outputs =
        outputs.into_iter().map(|o| materialize_batch(&mut b, o, lanes.size)).collect::<Result<_>>()?;
    Ok(b.finish(outputs))
}
