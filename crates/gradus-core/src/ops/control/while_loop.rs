//! A loop of unknown length: a sub-program repeated while another gives true.
//!
//! Its derivative counts the trips and goes through as many again ([`Replay`]): reverse mode stores no more states
//! than it is told, whatever the count.

use std::sync::Arc;

use smallvec::{SmallVec, smallvec};

use super::tower::{Tower, TowerLevel, restrict};
use super::{Replay, active, all_take_part, batch_graph, batched, depending, distribute, fixpoint, running};
use crate::graph::Vars;
use crate::ops::call::{Run, check_inputs, graph_cost, inputs_like, run};
use crate::ops::{Broadcast, Select, materialize_batch};
use crate::primitive::{Arrays, Tangents, Types};
use crate::transforms::{Lanes, jvp_inline, vmap_inline};
use crate::{
    Array, Batched, Binary, Builder, Cost, DType, Doc, ErrorKind, Graph, Jvp, Operand, Primitive, Result,
    Type, Var,
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
    /// The states that reverse mode may store; by their size if `None`.
    pub checkpoints: Option<usize>,
}

/// The most states that a loop of unknown length may store: the places of all of them are listed before it runs.
const MOST_CHECKPOINTS: usize = 1 << 20;

impl Primitive for While {
    fn doc(&self) -> Doc {
        Doc {
            name: "while_loop",
            formula: "x ← f(x) while p(x)",
            derivative: "forward: tangents carried beside the values; reverse: replayed from stored states",
            domain: "loops that end",
        }
    }
    fn infer(&self, inputs: &[Type]) -> Result<Types, ErrorKind> {
        if self.checkpoints == Some(0) {
            let detail = "there must be at least one checkpoint: the initial state".into();
            return Err(ErrorKind::Argument { op: "while_loop", detail });
        }
        if let Some(slots) = self.checkpoints.filter(|&slots| slots > MOST_CHECKPOINTS) {
            let detail =
                format!("{slots} checkpoints, each with a place in memory; {MOST_CHECKPOINTS} are the most");
            return Err(ErrorKind::Argument { op: "while_loop", detail });
        }
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
        self.eval_by(inputs, &mut run)
    }
    fn jvp(&self, b: &mut Builder, mode: Jvp, inputs: &[Var], t: &[Option<Var>]) -> Result<(Vars, Tangents)> {
        let n = self.constants;
        let marks: Vec<bool> = t.iter().map(Option::is_some).collect();
        let carry = self.active(&marks);
        let consts = &marks[..n];
        // Operands of the joint loop: x constants, dx constants, x carry, dx carry.
        let joint = |graph: &Graph, with_tangents: bool| -> Result<Graph> {
            let mut f = Builder::new();
            // The step of a replay also knows its number.
            if mode == Jvp::Split {
                f.input(Type::new(DType::I64, []));
            }
            let types = graph.input_types();
            let mut args = Vec::new();
            let mut dots = Vec::new();
            for (range, marks) in [(0..n, consts), (n..types.len(), &carry[..])] {
                args.extend(inputs_like(&mut f, types[range.clone()].iter().cloned()));
                dots.extend(types[range].iter().zip(marks).map(|(ty, &m)| m.then(|| f.input(ty.clone()))));
            }
            if !with_tangents {
                let results = f.inline(graph, &args)?;
                return Ok(f.finish(results));
            }
            let (mut results, dots) = jvp_inline(&mut f, graph, &args, &dots, mode)?;
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
                operands.push(t[n + i].unwrap_or_else(|| b.dead_tangent(inputs[n + i])));
            }
        }
        let body = joint(&self.body, true)?;
        if mode == Jvp::Split {
            // Values come first, and the count of trips with them; tangents go through as many again.
            let (trips, results) = self.counted(b, inputs)?;
            let (constants, initial) = operands.split_at(constants);
            let level = TowerLevel { backward: false, initial: initial.to_vec(), step: body };
            let mut wanted = vec![false; carry.len()];
            wanted.resize(initial.len(), true);
            let tower = Tower {
                trips,
                constants: constants.to_vec(),
                stacked: Vec::new(),
                length: 0,
                slots: self.checkpoints,
                levels: vec![level],
            };
            let dots = tower.emit(b, &wanted)?.into_iter().flatten();
            return Ok((results, distribute(&carry, dots)));
        }
        let loop_ = While {
            constants,
            cond: Arc::new(joint(&self.cond, false)?),
            body: Arc::new(body),
            checkpoints: self.checkpoints,
        };
        let mut results = b.emit(loop_, &operands)?.to_vec();
        let dots = results.split_off(carry.len());
        Ok((results.into(), distribute(&carry, dots)))
    }
    fn transpose(&self, b: &mut Builder, inputs: &[Operand], cotangents: &[Option<Var>]) -> Result<Tangents> {
        let n = self.constants;
        let given: Vec<bool> = inputs.iter().map(Operand::is_linear).collect();
        let carry = fixpoint(given[n..].to_vec(), |c| depending(&self.body, &[&given[..n], c].concat()));
        let linear = [&given[..n], &carry[..]].concat();
        if depending(&self.cond, &linear)[0] {
            let detail = "whether it goes on depends on what it is to be linear in, a tangent or cotangent; \
                          a rule for a derivative must take a number of steps that does not";
            return Err(ErrorKind::NoTranspose { op: "while_loop", detail: detail.into() }.into());
        }
        // The loop without its linear part counts the trips.
        let known: Vec<bool> = linear.iter().map(|l| !l).collect();
        let residuals: Vec<Var> =
            inputs.iter().zip(&known).filter(|(_, k)| **k).filter_map(|(i, _)| i.residual()).collect();
        let counting = While {
            constants: known[..n].iter().filter(|k| **k).count(),
            cond: Arc::new(restrict(&self.cond, &known, &[true])?),
            body: Arc::new(restrict(&self.body, &known, &known[n..])?),
            checkpoints: self.checkpoints,
        };
        let (trips, _) = counting.counted(b, &residuals)?;
        let mut f = Builder::new();
        let mut args = inputs_like(&mut f, [Type::new(DType::I64, [])]);
        args.extend(inputs_like(&mut f, self.body.input_types()));
        let step = f.inline(&self.body, &args[1..])?;
        let replay = Replay {
            constants: n,
            stacked: 0,
            length: 0,
            reverse: false,
            slots: self.checkpoints,
            levels: vec![Arc::new(f.finish(step))],
        };
        let operands: Vec<Operand> =
            std::iter::once(Operand::Residual(trips)).chain(inputs.iter().cloned()).collect();
        Ok(replay.transpose(b, &operands, cotangents)?.into_iter().skip(1).collect())
    }
    fn batch(&self, b: &mut Builder, inputs: &[Batched], lanes: Lanes<'_>) -> Result<SmallVec<[Batched; 4]>> {
        let n = self.constants;
        let marks: Vec<bool> = inputs.iter().map(|i| i.1).collect();
        let (carry, per_example) = self.batched(&marks, lanes.name);
        let marks = [&marks[..n], &carry[..]].concat();
        let (cond, body) = if per_example {
            (self.any_runs(&marks, lanes)?, self.step_running(&marks, lanes)?)
        } else {
            (
                batch_graph(&self.cond, &marks, &[false], lanes)?,
                batch_graph(&self.body, &marks, &carry, lanes)?,
            )
        };
        let mut operands: Vars = inputs[..n].iter().map(|i| i.0).collect();
        for (&input, &m) in inputs[n..].iter().zip(&carry) {
            operands.push(if m { materialize_batch(b, input, lanes.size)? } else { input.0 });
        }
        let loop_ = While { constants: n, cond: Arc::new(cond), body: Arc::new(body), ..self.clone() };
        Ok(b.emit(loop_, &operands)?.into_iter().zip(carry).collect())
    }
    fn cost(&self, _: &[Type], _: &[Type]) -> Cost {
        let mut cost = graph_cost(&self.cond);
        cost += graph_cost(&self.body);
        cost
    }
}

impl While {
    /// The loop with its sub-programs run by `run`.
    pub(crate) fn eval_by(&self, inputs: &[&Array], run: &mut Run) -> Result<Arrays, ErrorKind> {
        let mut state: Vec<Array> = inputs.iter().map(|&a| a.clone()).collect();
        while run(&self.cond, &state)?[0].elements::<bool>().is_some_and(|v| v[0]) {
            let next = run(&self.body, &state)?;
            state.truncate(self.constants);
            state.extend(next);
        }
        Ok(state.split_off(self.constants).into())
    }

    /// Which carried values have a tangent when the marked operands have one.
    pub(crate) fn active(&self, marks: &[bool]) -> Vec<bool> {
        let (constants, carry) = marks.split_at(self.constants);
        fixpoint(carry.to_vec(), |carry| active(&self.body, &[constants, carry].concat()))
    }

    /// Which carried values are batched when the marked operands are, and whether examples take steps of their own
    /// number: then all of them.
    pub(crate) fn batched(&self, marks: &[bool], name: Option<&str>) -> (Vec<bool>, bool) {
        let (constants, carry) = marks.split_at(self.constants);
        let carry = fixpoint(carry.to_vec(), |carry| batched(&self.body, &[constants, carry].concat(), name));
        let per_example = batched(&self.cond, &[constants, &carry[..]].concat(), name)[0];
        (if per_example { vec![true; carry.len()] } else { carry }, per_example)
    }

    /// Emits the loop with a count of its trips.
    fn counted(&self, b: &mut Builder, inputs: &[Var]) -> Result<(Var, Vars)> {
        let index = Type::new(DType::I64, []);
        // The count is the last carried value.
        let with_count = |graph: &Graph, counts: bool| -> Result<Graph> {
            let mut f = Builder::new();
            let args = inputs_like(&mut f, graph.input_types());
            let count = f.input(index.clone());
            let mut results = f.inline(graph, &args)?;
            if counts {
                let one = f.full(&index, 1.0);
                results.push(f.emit1(Binary::Add, &[count, one])?);
            }
            Ok(f.finish(results))
        };
        let counted = While {
            cond: Arc::new(with_count(&self.cond, false)?),
            body: Arc::new(with_count(&self.body, true)?),
            ..self.clone()
        };
        let zero = b.full(&index, 0.0);
        let operands: Vars = inputs.iter().copied().chain([zero]).collect();
        let mut results = b.emit(counted, &operands)?;
        let trips = results.pop().unwrap_or(zero);
        Ok((trips, results))
    }

    /// The batched operands of a condition or body.
    fn args(&self, f: &mut Builder, marks: &[bool], size: usize) -> Result<Vec<Batched>> {
        let types = self.body.input_types();
        let batched = |(ty, &m): (&Type, &bool)| Ok((f.input(super::batched_type(ty, m, size)?), m));
        types.iter().zip(marks).map(batched).collect()
    }

    /// Whether any example still runs.
    fn any_runs(&self, marks: &[bool], lanes: Lanes<'_>) -> Result<Graph> {
        all_take_part(&self.cond, lanes)?;
        let mut f = Builder::new();
        let args = self.args(&mut f, marks, lanes.size)?;
        let (mask, _) = vmap_inline(&mut f, &self.cond, &args, lanes)?[0];
        let any = super::any(&mut f, mask)?;
        Ok(f.finish(vec![any]))
    }

    /// A step for the examples that still run; the others keep their state.
    fn step_running(&self, marks: &[bool], lanes: Lanes<'_>) -> Result<Graph> {
        let mut f = Builder::new();
        let args = self.args(&mut f, marks, lanes.size)?;
        let (mask, _) = vmap_inline(&mut f, &self.cond, &args, lanes)?[0];
        let next = running(&mut f, &self.body, |_| Ok(mask), &args, lanes)?;
        let mut results = Vec::new();
        for (next, old) in next.into_iter().zip(&args[self.constants..]) {
            let next = materialize_batch(&mut f, next, lanes.size)?;
            let shape = f.shape(next).clone();
            let mask = f.emit1(Broadcast { shape, axes: smallvec![0] }, &[mask])?;
            results.push(f.emit1(Select, &[mask, next, old.0])?);
        }
        Ok(f.finish(results))
    }
}
