//! Calls of sub-programs whose boundary means something: a checkpoint, or a rule of the user's own.

use std::sync::Arc;

use smallvec::{SmallVec, smallvec};

use crate::graph::Vars;
use crate::ops::{batched_type, materialize_batch};
use crate::primitive::{Arrays, Tangents, Types};
use crate::transforms::flow::active;
use crate::transforms::{Lanes, jvp_inline, prune, transpose_inline, vmap_inline};
use crate::{
    Array, Batched, Builder, Cost, Doc, ErrorKind, Graph, Jvp, Operand, Primitive, Result, Type, Var,
    interpret,
};

/// What the boundary of a [`Call`] means.
#[derive(Clone, Debug, PartialEq, Hash)]
pub enum CallKind {
    /// Nothing computed inside is kept for the backward pass but the operands: it is computed again.
    Checkpoint,
    /// The derivative is a rule of the user's own.
    Custom(Custom),
}

/// A rule of the user's own: the derivative of the first results by the first operands. By the other operands, which
/// are what the body and the rule capture, and of the other results, which are what the body gives the rule beside its
/// value, the derivative is that of the body.
#[derive(Clone, Debug, PartialEq, Hash)]
pub struct Custom {
    /// `(x, y, dx) -> dy`, linear in `dx`: all operands, all results, a tangent for each differentiable one of the first
    /// operands; gives one for each differentiable one of the first results.
    pub rule: Arc<Graph>,
    /// How many operands the rule is for.
    pub args: usize,
    /// How many results the rule is for.
    pub results: usize,
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
    if graph.inputs().iter().map(|&v| graph.ty(v)).eq(inputs) {
        return Ok(());
    }
    let detail = format!("the sub-program takes {:?}, but is given {inputs:?}", graph.input_types());
    Err(ErrorKind::Argument { op, detail })
}

/// The error of a program that would be run again and holds what must not be.
pub(crate) fn runs_again(op: &'static str) -> ErrorKind {
    let detail =
        "it computes its program again, and an external primitive in it runs only once; take the call out";
    ErrorKind::Argument { op, detail: detail.into() }
}

/// Runs a sub-program on operands.
pub(crate) type Run<'a> = dyn FnMut(&Graph, &[Array]) -> Result<Vec<Array>, ErrorKind> + 'a;

/// Runs a sub-program; an error of it keeps its own kind.
pub(crate) fn run(graph: &Graph, args: &[Array]) -> Result<Vec<Array>, ErrorKind> {
    interpret(graph, args).map_err(|e| e.kind().clone())
}

/// The cost of one run of a sub-program.
pub(crate) fn graph_cost(graph: &Graph) -> Cost {
    let sum = || {
        let mut total = Cost::default();
        for eqn in graph.eqns() {
            let types = |vars: &[Var]| vars.iter().map(|&v| graph.ty(v).clone()).collect::<Types>();
            total += eqn.op.row().cost(&types(&eqn.inputs), &types(&eqn.outputs));
        }
        total
    };
    *graph.answers.cost.get_or_init(sum)
}

impl Call {
    pub(crate) fn graphs(&self) -> SmallVec<[&Arc<Graph>; 2]> {
        match &self.kind {
            CallKind::Checkpoint => smallvec![&self.body],
            CallKind::Custom(custom) => smallvec![&self.body, &custom.rule],
        }
    }

    pub(crate) fn graphs_mut(&mut self) -> SmallVec<[&mut Arc<Graph>; 2]> {
        match &mut self.kind {
            CallKind::Checkpoint => smallvec![&mut self.body],
            CallKind::Custom(custom) => smallvec![&mut self.body, &mut custom.rule],
        }
    }

    fn checkpoint(body: Graph) -> Self {
        Call { kind: CallKind::Checkpoint, body: Arc::new(body) }
    }

    /// Which results have a tangent when the marked operands have one.
    pub(crate) fn active(&self, marks: &[bool]) -> Vec<bool> {
        let custom = match &self.kind {
            CallKind::Checkpoint => return active(&self.body, marks).to_vec(),
            CallKind::Custom(custom) => custom,
        };
        let by_rule = marks[..custom.args].contains(&true);
        let captured: Vec<bool> = marks.iter().enumerate().map(|(i, &m)| m && i >= custom.args).collect();
        let (captured, all) = (active(&self.body, &captured), active(&self.body, marks));
        let of = |(i, ty): (usize, Type)| match i < custom.results {
            true => by_rule && ty.dtype.is_differentiable() || captured[i],
            false => all[i],
        };
        self.body.output_types().into_iter().enumerate().map(of).collect()
    }

    /// Emits a checkpoint that computes only the tangents of this one's results; linear in the tangents given.
    fn tangents(
        &self,
        b: &mut Builder,
        mode: Jvp,
        inputs: &[Var],
        tangents: &[Option<Var>],
    ) -> Result<Tangents> {
        let mut inner = b.inside();
        let args = inputs_like(&mut inner, self.body.input_types());
        let dots: Vec<Option<Var>> =
            tangents.iter().map(|t| t.map(|t| inner.input(b.ty(t).clone()))).collect();
        let (_, dots) = jvp_inline(&mut inner, &self.body, &args, &dots, mode)?;
        let graph = prune(inner.finish(dots.iter().copied().flatten().collect()));
        let operands: Vars = inputs.iter().copied().chain(tangents.iter().copied().flatten()).collect();
        let mut results = b.emit(Call::checkpoint(graph), &operands)?.into_iter();
        Ok(dots.into_iter().map(|t| t.and_then(|_| results.next())).collect())
    }
}

impl Call {
    /// The tangents of the results by a rule, and by the body where the rule does not say.
    fn by_rule(
        &self,
        custom: &Custom,
        b: &mut Builder,
        mode: Jvp,
        inputs: &[Var],
        outputs: &[Var],
        t: &[Option<Var>],
    ) -> Result<Tangents> {
        let (args, results) = (custom.args, custom.results);
        let mut dots: Tangents = smallvec![None; outputs.len()];
        if t[..args].iter().any(Option::is_some) {
            let mut operands = [inputs, outputs].concat();
            for (&x, &t) in inputs[..args].iter().zip(t) {
                if b.dtype(x).is_differentiable() {
                    let ty = b.ty(x).clone();
                    operands.push(b.instantiate(t, &ty));
                }
            }
            let mut given = b.inline(&custom.rule, &operands)?.into_iter();
            for (dot, &y) in dots.iter_mut().zip(&outputs[..results]) {
                if b.dtype(y).is_differentiable() {
                    *dot = given.next();
                }
            }
        }
        let captured: Vec<Option<Var>> =
            t.iter().enumerate().map(|(i, &t)| t.filter(|_| i >= args)).collect();
        for (part, tangents) in [(0..results, &captured[..]), (results..outputs.len(), t)] {
            if part.is_empty() || tangents.iter().all(Option::is_none) {
                continue;
            }
            let body = restricted(&self.body, part.clone())?;
            let (_, own) = jvp_inline(b, &body, inputs, tangents, mode)?;
            for (i, own) in part.zip(own) {
                dots[i] = b.add_tangents(dots[i], own)?;
            }
        }
        Ok(dots)
    }
}

/// A program with some of its outputs.
fn restricted(graph: &Graph, outputs: std::ops::Range<usize>) -> Result<Graph> {
    let mut b = Builder::new();
    let args = inputs_like(&mut b, graph.input_types());
    let all = b.inline(graph, &args)?;
    Ok(prune(b.finish(all[outputs].to_vec())))
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
        if self.kind == CallKind::Checkpoint && self.body.runs_once() {
            return Err(runs_again("checkpoint"));
        }
        Ok(self.body.output_types().into())
    }
    fn eval(&self, inputs: &[&Array]) -> Result<Arrays, ErrorKind> {
        let args: Vec<Array> = inputs.iter().map(|&a| a.clone()).collect();
        Ok(run(&self.body, &args)?.into())
    }
    fn jvp(&self, b: &mut Builder, mode: Jvp, inputs: &[Var], t: &[Option<Var>]) -> Result<(Vars, Tangents)> {
        let outputs = b.emit(self.clone(), inputs)?;
        match &self.kind {
            CallKind::Checkpoint => Ok((outputs, self.tangents(b, mode, inputs, t)?)),
            CallKind::Custom(custom) => {
                let dots = self.by_rule(custom, b, mode, inputs, &outputs, t)?;
                Ok((outputs, dots))
            }
        }
    }
    fn transpose(&self, b: &mut Builder, inputs: &[Operand], cotangents: &[Option<Var>]) -> Result<Tangents> {
        let mut inner = b.inside();
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
        let graph = prune(inner.finish(back.iter().copied().flatten().collect()));
        let mut results = b.emit(Call::checkpoint(graph), &operands)?.into_iter();
        let mut back = back.into_iter();
        let mut out = Tangents::new();
        for input in inputs {
            let ct = if input.is_linear() { back.next().flatten() } else { None };
            out.push(ct.and_then(|_| results.next()));
        }
        Ok(out)
    }
    fn batch(&self, b: &mut Builder, inputs: &[Batched], lanes: Lanes<'_>) -> Result<SmallVec<[Batched; 4]>> {
        let batch_graph = |graph: &Graph, marks: &[bool]| -> Result<Graph> {
            let mut inner = Builder::new();
            let mut args = Vec::new();
            for (ty, &m) in graph.input_types().into_iter().zip(marks) {
                args.push((inner.input(batched_type(&ty, m, lanes.size)?), m));
            }
            let outputs = vmap_inline(&mut inner, graph, &args, lanes)?;
            let outputs = outputs.into_iter().map(|o| materialize_batch(&mut inner, o, lanes.size));
            let outputs = outputs.collect::<Result<Vec<_>>>()?;
            Ok(inner.finish(outputs))
        };
        let marks: Vec<bool> = inputs.iter().map(|i| i.1).collect();
        let kind = match &self.kind {
            CallKind::Checkpoint => CallKind::Checkpoint,
            CallKind::Custom(custom) => {
                let types = self.body.input_types();
                let tangents = marks[..custom.args].iter().zip(&types);
                let tangents = tangents.filter(|(_, ty)| ty.dtype.is_differentiable()).map(|(m, _)| *m);
                let results = self.body.outputs().iter().map(|_| true);
                let marks: Vec<bool> = marks.iter().copied().chain(results).chain(tangents).collect();
                CallKind::Custom(Custom {
                    rule: Arc::new(batch_graph(&custom.rule, &marks)?),
                    ..custom.clone()
                })
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
