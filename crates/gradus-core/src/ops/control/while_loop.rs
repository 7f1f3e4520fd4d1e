//! A loop of unknown length: a sub-program repeated while another gives true.

use std::sync::Arc;

use smallvec::{SmallVec, smallvec};

use super::{active, batch_graph, batched, distribute, fixpoint};
use crate::graph::Vars;
use crate::ops::call::{check_inputs, graph_cost, inputs_like, run};
use crate::ops::{Broadcast, Cast, Compare, Reduce, ReduceKind, Select, materialize_batch};
use crate::primitive::{Arrays, Tangents, Types};
use crate::transforms::{jvp_inline, vmap_inline};
use crate::{
    Array, Batched, Builder, Cost, DType, Doc, ErrorKind, Graph, Mode, Operand, Primitive, Result, Type, Var,
};

/// `while cond(constants, carry) { carry = body(constants, carry) }`. Operands are the constants, then the
/// carried values.
#[derive(Clone, Debug, PartialEq, Hash)]
pub struct While {
    /// Number of operands that stay the same through the loop.
    pub constants: usize,
    /// `(constants, carry) -> bool`.
    pub cond: Arc<Graph>,
    /// `(constants, carry) -> carry`.
    pub body: Arc<Graph>,
}

impl Primitive for While {
    fn doc(&self) -> Doc {
        Doc {
            name: "while_loop",
            formula: "x ← f(x) while p(x)",
            derivative: "forward: tangents carried beside the values",
            domain: "loops that end",
        }
    }
    fn infer(&self, inputs: &[Type]) -> Result<Types, ErrorKind> {
        check_inputs("while_loop", &self.cond, inputs)?;
        check_inputs("while_loop", &self.body, inputs)?;
        if self.cond.output_types() != [Type::new(DType::Bool, [])] {
            let detail =
                format!("the condition must give one boolean scalar, found {:?}", self.cond.output_types());
            return Err(ErrorKind::Argument { op: "while_loop", detail });
        }
        if self.body.output_types() != inputs[self.constants..] {
            let detail = format!(
                "the body must return the types it carries: {:?}, found {:?}",
                &inputs[self.constants..],
                self.body.output_types()
            );
            return Err(ErrorKind::Argument { op: "while_loop", detail });
        }
        Ok(inputs[self.constants..].into())
    }
    fn eval(&self, inputs: &[&Array]) -> Result<Arrays, ErrorKind> {
        let mut state: Vec<Array> = inputs.iter().map(|&a| a.clone()).collect();
        while run(&self.cond, &state)?[0].elements::<bool>().is_some_and(|v| v[0]) {
            let next = run(&self.body, &state)?;
            state.truncate(self.constants);
            state.extend(next);
        }
        Ok(state.split_off(self.constants).into())
    }
    fn jvp(
        &self,
        b: &mut Builder,
        mode: Mode,
        inputs: &[Var],
        t: &[Option<Var>],
    ) -> Result<(Vars, Tangents)> {
        let n = self.constants;
        let consts: Vec<bool> = t[..n].iter().map(Option::is_some).collect();
        let init = t[n..].iter().map(Option::is_some).collect();
        let carry = fixpoint(init, |carry| active(&self.body, &[&consts, carry].concat()))?;
        // Operands of the joint loop: x constants, dx constants, x carry, dx carry.
        let joint = |graph: &Graph, with_tangents: bool| -> Result<Graph> {
            let mut f = Builder::new();
            let types = graph.input_types();
            let mut args = Vec::new();
            let mut dots = Vec::new();
            for (range, marks) in [(0..n, &consts), (n..types.len(), &carry)] {
                args.extend(inputs_like(&mut f, types[range.clone()].iter().cloned()));
                dots.extend(types[range].iter().zip(marks).map(|(ty, &m)| m.then(|| f.input(ty.clone()))));
            }
            if !with_tangents {
                let results = f.inline(graph, &args)?;
                return Ok(f.finish(results));
            }
            let (mut results, dots) = jvp_inline(&mut f, graph, &args, &dots, Mode::Forward)?;
            for ((t, ty), &m) in dots.into_iter().zip(&types[n..]).zip(&carry) {
                if m {
                    results.push(f.instantiate(t, ty));
                }
            }
            Ok(f.finish(results))
        };
        let mut operands: Vars = inputs[..n].into();
        operands.extend(t[..n].iter().copied().flatten());
        let constants = operands.len();
        operands.extend(inputs[n..].iter().copied());
        for (i, &m) in carry.iter().enumerate() {
            if m {
                operands.push(t[n + i].unwrap_or_else(|| b.zeros_like(inputs[n + i])));
            }
        }
        let loop_ = While {
            constants,
            cond: Arc::new(joint(&self.cond, false)?),
            body: Arc::new(joint(&self.body, true)?),
        };
        let mut results = b.emit(loop_, &operands)?.to_vec();
        let dots = results.split_off(carry.len());
        // Values that are needed before tangents are known come from a loop of their own.
        let results = if mode == Mode::Split { b.emit(self.clone(), inputs)? } else { results.into() };
        Ok((results, distribute(&carry, dots)))
    }
    fn transpose(&self, _: &mut Builder, _: &[Operand], _: &[Option<Var>]) -> Result<Tangents> {
        let detail = "the number of iterations is not known, so its steps cannot be stored; \
                      use `scan` with a fixed length, or forward mode (`jvp`, `jacfwd`)";
        Err(ErrorKind::NoTranspose { op: "while_loop", detail: detail.into() }.into())
    }
    fn batch(&self, b: &mut Builder, inputs: &[Batched], size: usize) -> Result<SmallVec<[Batched; 4]>> {
        let n = self.constants;
        let consts: Vec<bool> = inputs[..n].iter().map(|i| i.1).collect();
        let init: Vec<bool> = inputs[n..].iter().map(|i| i.1).collect();
        let mut carry = fixpoint(init, |carry| batched(&self.body, &[&consts, carry].concat(), size))?;
        let per_example = batched(&self.cond, &[&consts[..], &carry[..]].concat(), size)?[0];
        if per_example {
            carry.fill(true);
        }
        let marks = [&consts[..], &carry[..]].concat();
        let (cond, body) = if per_example {
            (self.any_runs(&marks, size)?, self.step_running(&marks, size)?)
        } else {
            (batch_graph(&self.cond, &marks, &[false], size)?, batch_graph(&self.body, &marks, &carry, size)?)
        };
        let mut operands: Vars = inputs[..n].iter().map(|i| i.0).collect();
        for (&input, &m) in inputs[n..].iter().zip(&carry) {
            operands.push(if m { materialize_batch(b, input, size)? } else { input.0 });
        }
        let loop_ = While { constants: n, cond: Arc::new(cond), body: Arc::new(body) };
        Ok(b.emit(loop_, &operands)?.into_iter().zip(carry).collect())
    }
    fn cost(&self, _: &[Type], _: &[Type]) -> Cost {
        let mut cost = graph_cost(&self.cond);
        cost += graph_cost(&self.body);
        cost
    }
}

impl While {
    /// The batched operands of a condition or body.
    fn args(&self, f: &mut Builder, marks: &[bool], size: usize) -> Vec<Batched> {
        let types = self.body.input_types();
        types.iter().zip(marks).map(|(ty, &m)| (f.input(super::batched_type(ty, m, size)), m)).collect()
    }

    /// Whether any example still runs.
    fn any_runs(&self, marks: &[bool], size: usize) -> Result<Graph> {
        let mut f = Builder::new();
        let args = self.args(&mut f, marks, size);
        let (mask, _) = vmap_inline(&mut f, &self.cond, &args, size)?[0];
        let count = f.emit1(Cast(DType::I32), &[mask])?;
        let count = f.emit1(Reduce { kind: ReduceKind::Sum, axes: smallvec![0] }, &[count])?;
        let zero = f.zeros_like(count);
        let any = f.emit1(Compare::Gt, &[count, zero])?;
        Ok(f.finish(vec![any]))
    }

    /// A step for the examples that still run; the others keep their state.
    fn step_running(&self, marks: &[bool], size: usize) -> Result<Graph> {
        let mut f = Builder::new();
        let args = self.args(&mut f, marks, size);
        let (mask, _) = vmap_inline(&mut f, &self.cond, &args, size)?[0];
        let next = vmap_inline(&mut f, &self.body, &args, size)?;
        let mut results = Vec::new();
        for (next, old) in next.into_iter().zip(&args[self.constants..]) {
            let next = materialize_batch(&mut f, next, size)?;
            let shape = f.shape(next).clone();
            let mask = f.emit1(Broadcast { shape, axes: smallvec![0] }, &[mask])?;
            results.push(f.emit1(Select, &[mask, next, old.0])?);
        }
        Ok(f.finish(results))
    }
}
