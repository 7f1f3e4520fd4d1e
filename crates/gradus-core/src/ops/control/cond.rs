//! A choice between two sub-programs by a scalar condition; only the one chosen runs.

use std::sync::Arc;

use smallvec::{SmallVec, smallvec};

use super::{active, batch_graph, batched, distribute, running};
use crate::graph::Vars;
use crate::ops::call::{check_inputs, graph_cost, inputs_like, run};
use crate::ops::{Broadcast, Not, Select, materialize_batch};
use crate::primitive::{Arrays, Tangents, Types, not_linear};
use crate::transforms::{Lanes, Residual, jvp_inline, split, transpose_inline};
use crate::{
    Array, Batched, Builder, Cost, DType, Doc, ErrorKind, Graph, Jvp, Operand, Primitive, Result, Type, Var,
};

/// `cond(p, x)`: `on_true(x)` where the boolean scalar `p` holds, else `on_false(x)`.
#[derive(Clone, Debug, PartialEq, Hash)]
pub struct Cond {
    /// Runs if the condition holds.
    pub on_true: Arc<Graph>,
    /// Runs if it does not.
    pub on_false: Arc<Graph>,
}

impl Cond {
    fn branches(&self) -> [&Graph; 2] {
        [&self.on_true, &self.on_false]
    }

    /// Both branches through `f`, as a new choice.
    fn map(&self, mut f: impl FnMut(&Graph) -> Result<Graph>) -> Result<Cond> {
        Ok(Cond { on_true: Arc::new(f(&self.on_true)?), on_false: Arc::new(f(&self.on_false)?) })
    }

    /// Which results have a tangent in either branch.
    pub(crate) fn active(&self, marks: &[bool]) -> Vec<bool> {
        let [a, b] = self.branches().map(|g| active(g, &marks[1..]));
        a.iter().zip(&b[..]).map(|(&a, &b)| a || b).collect()
    }

    /// Which results are batched in either branch; all of them if examples choose differently.
    pub(crate) fn batched(&self, marks: &[bool], name: Option<&str>) -> Vec<bool> {
        let [a, b] = self.branches().map(|g| batched(g, &marks[1..], name));
        a.iter().zip(&b[..]).map(|(&a, &b)| marks[0] || a || b).collect()
    }

    /// A branch with its tangents: `(x, dx) -> (y, dy)`, `dy` for the active results.
    fn joint(graph: &Graph, marks: &[bool], active: &[bool], mode: Jvp) -> Result<Graph> {
        let mut b = Builder::new();
        let args = inputs_like(&mut b, graph.input_types());
        let dots: Vec<Option<Var>> = graph
            .input_types()
            .into_iter()
            .zip(marks)
            .map(|(ty, &m)| m.then(|| b.input(ty.clone())))
            .collect();
        let (mut outputs, dots) = jvp_inline(&mut b, graph, &args, &dots, mode)?;
        for ((t, ty), &a) in dots.into_iter().zip(graph.output_types()).zip(active) {
            if a {
                outputs.push(b.instantiate(t, &ty));
            }
        }
        Ok(b.finish(outputs))
    }

    /// Linearises both branches: a choice of forward parts with the residuals of both, then a choice of linear ones.
    fn jvp_split(&self, b: &mut Builder, inputs: &[Var], t: &[Option<Var>]) -> Result<(Vars, Tangents)> {
        let marks: Vec<bool> = t.iter().map(Option::is_some).collect();
        let active = self.active(&marks);
        let marks = &marks[1..];
        let (n_in, n_out) = (inputs.len() - 1, active.len());
        let mut parts: Vec<(Graph, Graph, Vec<Residual>)> = self
            .branches()
            .into_iter()
            .map(|g| Ok(split(Self::joint(g, marks, &active, Jvp::Split)?, n_in, n_out, |_| true)))
            .collect::<Result<_>>()?;
        let computed: Vec<Vec<Type>> = parts.iter().map(|p| p.0.output_types()[n_out..].to_vec()).collect();

        // Each forward branch gives its own residuals and zeros in the places of the other's.
        let mut forward_branch = |own: usize| {
            let first = std::mem::take(&mut parts[own].0);
            let mut results = first.outputs().to_vec();
            let mut f = Builder::resume(first);
            let residuals = results.split_off(n_out);
            for (i, types) in computed.iter().enumerate() {
                if i == own {
                    results.extend(&residuals);
                } else {
                    results.extend(types.iter().map(|ty| f.full(ty, 0.0)).collect::<Vec<_>>());
                }
            }
            Arc::new(f.finish(results))
        };
        let forward = Cond { on_true: forward_branch(0), on_false: forward_branch(1) };
        let mut results = b.emit(forward, inputs)?.to_vec();
        let residuals = results.split_off(n_out);

        // The linear branches take x, all residuals, then dx.
        let tangents: Vec<Var> = t[1..].iter().copied().flatten().collect();
        let linear_branch = |b: &Builder, own: usize| -> Result<Arc<Graph>> {
            let mut f = Builder::new();
            let xs = inputs_like(&mut f, inputs[1..].iter().map(|&v| b.ty(v).clone()));
            let all = inputs_like(&mut f, computed.concat());
            let dots = inputs_like(&mut f, tangents.iter().map(|&v| b.ty(v).clone()));
            let mut mine =
                if own == 0 { all[..computed[0].len()].iter() } else { all[computed[0].len()..].iter() };
            let mut args: Vec<Var> = parts[own]
                .2
                .iter()
                .map(|r| match r {
                    Residual::Input(i) => xs[*i],
                    Residual::Computed => *mine.next().expect("one value a computed residual"),
                })
                .collect();
            args.extend(dots);
            let dots = f.inline(&parts[own].1, &args)?;
            Ok(Arc::new(f.finish(dots)))
        };
        let linear = Cond { on_true: linear_branch(b, 0)?, on_false: linear_branch(b, 1)? };
        let operands: Vars = inputs.iter().copied().chain(residuals).chain(tangents).collect();
        let dots = b.emit(linear, &operands)?;
        Ok((results.into(), distribute(&active, dots)))
    }
}

impl Primitive for Cond {
    fn doc(&self) -> Doc {
        Doc {
            name: "cond",
            formula: "f(x) if p, else g(x)",
            derivative: "that of the branch taken",
            domain: "scalar p",
        }
    }
    fn infer(&self, inputs: &[Type]) -> Result<Types, ErrorKind> {
        if inputs[0] != Type::new(DType::Bool, []) {
            let detail = format!(
                "the condition must be a boolean scalar, found {}; use `select` to choose element by element",
                inputs[0]
            );
            return Err(ErrorKind::Argument { op: "cond", detail });
        }
        for branch in self.branches() {
            check_inputs("cond", branch, &inputs[1..])?;
        }
        let [a, b] = self.branches().map(|g| g.outputs().iter().map(|&v| g.ty(v)));
        if !a.clone().eq(b.clone()) {
            let [a, b] = [a.collect::<Vec<_>>(), b.collect()];
            let detail = format!("both branches must return the same types, found {a:?} and {b:?}");
            return Err(ErrorKind::Argument { op: "cond", detail });
        }
        Ok(a.cloned().collect())
    }
    fn eval(&self, inputs: &[&Array]) -> Result<Arrays, ErrorKind> {
        let condition = inputs[0].elements::<bool>().is_some_and(|v| v[0]);
        let args: Vec<Array> = inputs[1..].iter().map(|&a| a.clone()).collect();
        Ok(run(if condition { &self.on_true } else { &self.on_false }, &args)?.into())
    }
    fn jvp(&self, b: &mut Builder, mode: Jvp, inputs: &[Var], t: &[Option<Var>]) -> Result<(Vars, Tangents)> {
        if mode == Jvp::Split {
            return self.jvp_split(b, inputs, t);
        }
        let marks: Vec<bool> = t.iter().map(Option::is_some).collect();
        let active = self.active(&marks);
        let marks = &marks[1..];
        let joint = self.map(|g| Self::joint(g, marks, &active, mode))?;
        let operands: Vars = inputs.iter().copied().chain(t[1..].iter().copied().flatten()).collect();
        let mut results = b.emit(joint, &operands)?.to_vec();
        let dots = results.split_off(active.len());
        Ok((results.into(), distribute(&active, dots)))
    }
    fn transpose(&self, b: &mut Builder, inputs: &[Operand], cotangents: &[Option<Var>]) -> Result<Tangents> {
        let Some(condition) = inputs[0].residual() else { return Err(not_linear("cond")) };
        let residuals: Vec<Var> = inputs[1..].iter().filter_map(Operand::residual).collect();
        let cts: Vec<Var> = cotangents.iter().copied().flatten().collect();
        let back = self.map(|g| {
            let mut f = b.inside();
            let types = g.input_types();
            let known: Vec<Option<Var>> = types
                .iter()
                .zip(&inputs[1..])
                .map(|(ty, i)| (!i.is_linear()).then(|| f.input(ty.clone())))
                .collect();
            let cts: Vec<Option<Var>> =
                cotangents.iter().map(|c| c.map(|v| f.input(b.ty(v).clone()))).collect();
            let back = transpose_inline(&mut f, g, &known, &cts)?;
            let linear = types.iter().zip(&inputs[1..]).filter(|(_, i)| i.is_linear()).map(|(ty, _)| ty);
            let back = back.into_iter().zip(linear).map(|(c, ty)| f.instantiate(c, ty)).collect();
            Ok(f.finish(back))
        })?;
        let operands: Vars = std::iter::once(condition).chain(residuals).chain(cts).collect();
        let results = b.emit(back, &operands)?;
        let linear: Vec<bool> = inputs.iter().map(Operand::is_linear).collect();
        Ok(distribute(&linear, results))
    }
    fn batch(&self, b: &mut Builder, inputs: &[Batched], lanes: Lanes<'_>) -> Result<SmallVec<[Batched; 4]>> {
        let (condition, per_example) = inputs[0];
        if !per_example {
            let marks: Vec<bool> = inputs.iter().map(|i| i.1).collect();
            let out = self.batched(&marks, lanes.name);
            let choice = self.map(|g| batch_graph(g, &marks[1..], &out, lanes))?;
            let args: Vars = inputs.iter().map(|i| i.0).collect();
            return Ok(b.emit(choice, &args)?.into_iter().zip(out).collect());
        }
        // Examples choose differently: compute both and select. What is not chosen fails nowhere.
        let t = running(b, &self.on_true, |_| Ok(condition), &inputs[1..], lanes)?;
        let f = running(b, &self.on_false, |b| b.emit1(Not, &[condition]), &inputs[1..], lanes)?;
        let mut out = SmallVec::new();
        for (t, f) in t.into_iter().zip(f) {
            let (t, f) = (materialize_batch(b, t, lanes.size)?, materialize_batch(b, f, lanes.size)?);
            let shape = b.shape(t).clone();
            let mask = b.emit1(Broadcast { shape, axes: smallvec![0] }, &[condition])?;
            out.push((b.emit1(Select, &[mask, t, f])?, true));
        }
        Ok(out)
    }
    fn cost(&self, _: &[Type], _: &[Type]) -> Cost {
        let [t, f] = self.branches().map(graph_cost);
        Cost { flops: t.flops.max(f.flops), bytes: t.bytes.max(f.bytes) }
    }
}
