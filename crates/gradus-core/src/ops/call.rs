//! Calls of sub-programs whose boundary means something: a checkpoint, or a rule of the user's own.

use std::sync::Arc;

use smallvec::{SmallVec, smallvec};

use crate::graph::Vars;
use crate::ops::{batched_type, materialize_batch};
use crate::primitive::{Arrays, Tangents, Types};
use crate::transforms::flow::active;
use crate::transforms::{jvp_inline, prune, transpose_inline, vmap_inline};
use crate::{
    Array, Batched, Builder, Cost, Doc, ErrorKind, Graph, Mode, Operand, Primitive, Result, Type, Var,
    interpret,
};

/// What the boundary of a [`Call`] means.
#[derive(Clone, Debug, PartialEq, Hash)]
pub enum CallKind {
    /// Nothing computed inside is kept for the backward pass but the operands: it is computed again.
    Checkpoint,
    /// The derivative is the given program `(x, dx) -> dy`, linear in `dx`, with a tangent for every float operand
    /// and every float result.
    Custom(Arc<Graph>),
}

/// A call of a closed sub-program.
#[derive(Clone, Debug, PartialEq, Hash)]
pub struct Call {
    /// What the boundary means.
    pub kind: CallKind,
    /// The program.
    pub body: Arc<Graph>,
}

/// Inputs of a new builder for the types of some values.
pub(crate) fn inputs_like(b: &mut Builder, types: impl IntoIterator<Item = Type>) -> Vec<Var> {
    types.into_iter().map(|ty| b.input(ty)).collect()
}

/// Checks operand types against the inputs of a sub-program.
pub(crate) fn check_inputs(op: &'static str, graph: &Graph, inputs: &[Type]) -> Result<(), ErrorKind> {
    if graph.input_types() == inputs {
        return Ok(());
    }
    let detail = format!("the sub-program takes {:?}, but is given {inputs:?}", graph.input_types());
    Err(ErrorKind::Argument { op, detail })
}

/// Runs a sub-program; an error of it keeps its own kind.
pub(crate) fn run(graph: &Graph, args: &[Array]) -> Result<Vec<Array>, ErrorKind> {
    interpret(graph, args).map_err(|e| e.kind().clone())
}

/// The cost of one run of a sub-program.
pub(crate) fn graph_cost(graph: &Graph) -> Cost {
    let mut total = Cost::default();
    for eqn in graph.eqns() {
        let types = |vars: &[Var]| vars.iter().map(|&v| graph.ty(v).clone()).collect::<Vec<_>>();
        total += eqn.op.row().cost(&types(&eqn.inputs), &types(&eqn.outputs));
    }
    total
}

impl Call {
    pub(crate) fn graphs(&self) -> SmallVec<[&Arc<Graph>; 2]> {
        match &self.kind {
            CallKind::Checkpoint => smallvec![&self.body],
            CallKind::Custom(rule) => smallvec![&self.body, rule],
        }
    }

    fn checkpoint(body: Graph) -> Self {
        Call { kind: CallKind::Checkpoint, body: Arc::new(body) }
    }

    /// Which results have a tangent when the marked operands have one.
    pub(crate) fn active(&self, marks: &[bool]) -> Vec<bool> {
        match self.kind {
            CallKind::Checkpoint => active(&self.body, marks).to_vec(),
            CallKind::Custom(_) => self.body.output_types().iter().map(|ty| ty.dtype.is_float()).collect(),
        }
    }

    /// Emits a checkpoint that computes only the tangents of this one's results; linear in the tangents given.
    fn tangents(
        &self,
        b: &mut Builder,
        mode: Mode,
        inputs: &[Var],
        tangents: &[Option<Var>],
    ) -> Result<Tangents> {
        let mut inner = Builder::new();
        let args = inputs_like(&mut inner, self.body.input_types());
        let dots: Vec<Option<Var>> =
            tangents.iter().map(|t| t.map(|t| inner.input(b.ty(t).clone()))).collect();
        let (_, dots) = jvp_inline(&mut inner, &self.body, &args, &dots, mode)?;
        let graph = prune(&inner.finish(dots.iter().copied().flatten().collect()));
        let operands: Vars = inputs.iter().copied().chain(tangents.iter().copied().flatten()).collect();
        let mut results = b.emit(Call::checkpoint(graph), &operands)?.into_iter();
        Ok(dots.into_iter().map(|t| t.and_then(|_| results.next())).collect())
    }
}

impl Primitive for Call {
    fn doc(&self) -> Doc {
        match self.kind {
            CallKind::Checkpoint => Doc {
                name: "checkpoint",
                formula: "f(x)",
                derivative: "f'(x) dx, with f computed again in the backward pass",
                domain: "that of f",
            },
            CallKind::Custom(_) => Doc {
                name: "custom_jvp",
                formula: "f(x)",
                derivative: "the rule given by the user",
                domain: "that of f",
            },
        }
    }
    fn infer(&self, inputs: &[Type]) -> Result<Types, ErrorKind> {
        check_inputs(self.doc().name, &self.body, inputs)?;
        Ok(self.body.output_types().into())
    }
    fn eval(&self, inputs: &[&Array]) -> Result<Arrays, ErrorKind> {
        let args: Vec<Array> = inputs.iter().map(|&a| a.clone()).collect();
        Ok(run(&self.body, &args)?.into())
    }
    fn jvp(
        &self,
        b: &mut Builder,
        mode: Mode,
        inputs: &[Var],
        t: &[Option<Var>],
    ) -> Result<(Vars, Tangents)> {
        let outputs = b.emit(self.clone(), inputs)?;
        match &self.kind {
            CallKind::Checkpoint => Ok((outputs, self.tangents(b, mode, inputs, t)?)),
            CallKind::Custom(rule) => {
                let mut args = inputs.to_vec();
                for (&x, &t) in inputs.iter().zip(t) {
                    if b.dtype(x).is_float() {
                        args.push(t.unwrap_or_else(|| b.zeros_like(x)));
                    }
                }
                let mut dots = b.inline(rule, &args)?.into_iter();
                let tangents =
                    outputs.iter().map(|&y| if b.dtype(y).is_float() { dots.next() } else { None });
                let tangents = tangents.collect();
                Ok((outputs, tangents))
            }
        }
    }
    fn transpose(&self, b: &mut Builder, inputs: &[Operand], cotangents: &[Option<Var>]) -> Result<Tangents> {
        let mut inner = Builder::new();
        let mut operands = Vars::new();
        let mut residuals = Vec::new();
        for (ty, input) in self.body.input_types().into_iter().zip(inputs) {
            residuals.push(input.residual().map(|v| {
                operands.push(v);
                inner.input(ty)
            }));
        }
        let mut cts = Vec::new();
        for &ct in cotangents {
            cts.push(ct.map(|v| {
                operands.push(v);
                inner.input(b.ty(v).clone())
            }));
        }
        let back = transpose_inline(&mut inner, &self.body, &residuals, &cts)?;
        let graph = prune(&inner.finish(back.iter().copied().flatten().collect()));
        let mut results = b.emit(Call::checkpoint(graph), &operands)?.into_iter();
        let mut back = back.into_iter();
        let mut out = Tangents::new();
        for input in inputs {
            let ct = if input.is_linear() { back.next().flatten() } else { None };
            out.push(ct.and_then(|_| results.next()));
        }
        Ok(out)
    }
    fn batch(&self, b: &mut Builder, inputs: &[Batched], size: usize) -> Result<SmallVec<[Batched; 4]>> {
        let batch_graph = |graph: &Graph, marks: &[bool]| -> Result<Graph> {
            let mut inner = Builder::new();
            let mut args = Vec::new();
            for (ty, &m) in graph.input_types().into_iter().zip(marks) {
                args.push((inner.input(batched_type(&ty, m, size)?), m));
            }
            let outputs = vmap_inline(&mut inner, graph, &args, size)?;
            let outputs = outputs.into_iter().map(|o| materialize_batch(&mut inner, o, size));
            let outputs = outputs.collect::<Result<Vec<_>>>()?;
            Ok(inner.finish(outputs))
        };
        let marks: Vec<bool> = inputs.iter().map(|i| i.1).collect();
        let kind = match &self.kind {
            CallKind::Checkpoint => CallKind::Checkpoint,
            CallKind::Custom(rule) => {
                let floats = self.body.input_types();
                let float_marks =
                    marks.iter().zip(&floats).filter(|(_, ty)| ty.dtype.is_float()).map(|(m, _)| *m);
                let marks: Vec<bool> = marks.iter().copied().chain(float_marks).collect();
                CallKind::Custom(Arc::new(batch_graph(rule, &marks)?))
            }
        };
        let args: Vars = inputs.iter().map(|i| i.0).collect();
        let call = Call { kind, body: Arc::new(batch_graph(&self.body, &marks)?) };
        Ok(b.emit(call, &args)?.into_iter().map(|v| (v, true)).collect())
    }
    fn cost(&self, _: &[Type], _: &[Type]) -> Cost {
        graph_cost(&self.body)
    }
}
