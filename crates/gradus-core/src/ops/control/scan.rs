//! A loop of known length with carried state, stacked inputs and stacked results.

use std::sync::Arc;

use smallvec::{SmallVec, smallvec};

use super::tower::{Inputs, Tower, TowerLevel};
use super::{active, batch_graph, batched, distribute, fixpoint};
use crate::graph::Vars;
use crate::ops::call::{Run, graph_cost, inputs_like, run};
use crate::ops::{Axes, Concat, Permute, Slice, materialize_batch};
use crate::primitive::{Arrays, Tangents, Types};
use crate::transforms::{Lanes, Residual, jvp_inline, split, transpose_inline};
use crate::{
    Array, Batched, Builder, Cost, DType, Doc, ErrorKind, Graph, Jvp, Operand, Primitive, Result, Type, Var,
};

/// `for x in xs { (carry, y) = body(constants, carry, x) }`. Operands are the constants, the carried values and
/// the stacked inputs; results the final carried values, then the stacked `y`.
#[derive(Clone, Debug, PartialEq, Hash)]
pub struct Scan {
    /// Number of operands that stay the same through the loop.
    pub constants: usize,
    /// Number of carried values.
    pub carry: usize,
    /// Number of steps: the leading extent of every stacked operand.
    pub length: usize,
    /// Whether the steps go from the last to the first.
    pub reverse: bool,
    /// `(constants, carry, x) -> (carry, y)`.
    pub body: Arc<Graph>,
    /// The carried states that reverse mode may store, the others being computed again; if `None` it stores what each
    /// step's derivative reads.
    pub checkpoints: Option<usize>,
}

/// A loop under derivation: which operands have tangents, which results do.
pub(crate) struct Active {
    constants: Vec<bool>,
    carry: Vec<bool>,
    stacked: Vec<bool>,
    results: Vec<bool>,
}

impl Active {
    /// Which results of the loop have tangents.
    pub(crate) fn moving(&self) -> Vec<bool> {
        [&self.carry[..], &self.results].concat()
    }
}

impl Scan {
    pub(super) fn split_at<'a, T>(&self, operands: &'a [T]) -> (&'a [T], &'a [T], &'a [T]) {
        let (constants, rest) = operands.split_at(self.constants);
        let (carry, stacked) = rest.split_at(self.carry);
        (constants, carry, stacked)
    }

    pub(crate) fn active(&self, marks: &[bool]) -> Active {
        let (constants, carry, stacked) = self.split_at(marks);
        let step = |carry: &[bool]| active(&self.body, &[constants, carry, stacked].concat());
        let carry = fixpoint(carry.to_vec(), step);
        let results = step(&carry)[self.carry..].to_vec();
        Active { constants: constants.to_vec(), carry, stacked: stacked.to_vec(), results }
    }

    /// The loop with its body run by `run`.
    pub(crate) fn eval_by(&self, inputs: &[&Array], run: &mut Run) -> Result<Arrays, ErrorKind> {
        let (constants, carry, stacked) = self.split_at(inputs);
        let constants: Vec<Array> = constants.iter().map(|&a| a.clone()).collect();
        let mut carry: Vec<Array> = carry.iter().map(|&a| a.clone()).collect();
        let mut rows: Vec<Vec<Array>> = vec![Vec::new(); self.body.outputs().len() - self.carry];
        for step in 0..self.length {
            let i = if self.reverse { self.length - 1 - step } else { step };
            let mut args = [&constants[..], &carry[..]].concat();
            for x in stacked {
                args.push(row_of(x, i)?);
            }
            let mut results = run(&self.body, &args)?;
            for (rows, y) in rows.iter_mut().zip(results.drain(self.carry..)) {
                rows.push(y.reshaped(y.shape().insert(0, 1))?);
            }
            carry = results;
        }
        let types = self.body.output_types();
        for (mut rows, ty) in rows.into_iter().zip(&types[self.carry..]) {
            if self.reverse {
                rows.reverse();
            }
            carry.push(stack(&rows, ty)?);
        }
        Ok(carry.into())
    }

    fn active_of(&self, t: &[Option<Var>]) -> Active {
        self.active(&t.iter().map(Option::is_some).collect::<Vec<_>>())
    }

    /// Which carried values are batched when the marked operands are, and which stacked results.
    pub(crate) fn batched(&self, marks: &[bool], name: Option<&str>) -> [Vec<bool>; 2] {
        let (constants, carry, stacked) = self.split_at(marks);
        let step = |carry: &[bool]| batched(&self.body, &[constants, carry, stacked].concat(), name);
        let carry = fixpoint(carry.to_vec(), step);
        let results = step(&carry)[self.carry..].to_vec();
        [carry, results]
    }

    /// The body with tangents: `(x, dx) -> (carry, y, dcarry, dy)` over all operands in their order.
    fn joint(&self, act: &Active, mode: Jvp) -> Result<Graph> {
        let mut f = Builder::new();
        let types = self.body.input_types();
        let args = inputs_like(&mut f, types.iter().cloned());
        let marks = [&act.constants[..], &act.carry, &act.stacked].concat();
        let dots: Vec<Option<Var>> =
            types.iter().zip(&marks).map(|(ty, &m)| m.then(|| f.input(ty.clone()))).collect();
        let (mut results, dots) = jvp_inline(&mut f, &self.body, &args, &dots, mode)?;
        let marks = [&act.carry[..], &act.results].concat();
        for ((t, ty), &m) in dots.into_iter().zip(self.body.output_types()).zip(&marks) {
            if m {
                results.push(f.instantiate(t, &ty));
            }
        }
        Ok(f.finish(results))
    }

    /// Tangents of the carried values that have one, zeros where they start without.
    fn carry_tangents(&self, b: &mut Builder, act: &Active, inputs: &[Var], t: &[Option<Var>]) -> Vec<Var> {
        let (_, carry, _) = self.split_at(inputs);
        let (_, dots, _) = self.split_at(t);
        let active = carry.iter().zip(dots).zip(&act.carry).filter(|(_, m)| **m);
        active.map(|((&v, &t), _)| t.unwrap_or_else(|| b.dead_tangent(v))).collect()
    }

    /// One loop that carries values and tangents together: memory does not grow with its length.
    fn jvp_forward(&self, b: &mut Builder, inputs: &[Var], t: &[Option<Var>]) -> Result<(Vars, Tangents)> {
        let act = self.active_of(t);
        let joint = self.joint(&act, Jvp::Forward)?;
        let count = |marks: &[bool]| marks.iter().filter(|m| **m).count();
        let (n_const, n_carry) = (count(&act.constants), count(&act.carry));
        // The joint body takes all values, then all tangents; the loop wants each kind together.
        let mut f = Builder::new();
        let types = joint.input_types();
        let (values, dots) = types.split_at(inputs.len());
        let (vc, vs, vx) = self.split_at(values);
        let (dc, rest) = dots.split_at(n_const);
        let (ds, dx) = rest.split_at(n_carry);
        let mut groups = Vec::new();
        for group in [vc, dc, vs, ds, vx, dx] {
            groups.push(inputs_like(&mut f, group.iter().cloned()));
        }
        let [vc, dc, vs, ds, vx, dx] = groups.try_into().expect("six groups");
        let args = [vc, vs, vx, dc, ds, dx].concat();
        let results = f.inline(&joint, &args)?;
        let (values, dots) = results.split_at(self.body.outputs().len());
        let order =
            [&values[..self.carry], &dots[..n_carry], &values[self.carry..], &dots[n_carry..]].concat();
        let body = f.finish(order);

        let (xc, xs, xx) = self.split_at(inputs);
        let (tc, _, tx) = self.split_at(t);
        let mut operands: Vars = xc.iter().copied().chain(tc.iter().copied().flatten()).collect();
        operands.extend(xs.iter().copied());
        operands.extend(self.carry_tangents(b, &act, inputs, t));
        operands.extend(xx.iter().copied().chain(tx.iter().copied().flatten()));
        let (constants, carry) = (self.constants + n_const, self.carry + n_carry);
        let joint = Scan { constants, carry, body: Arc::new(body), ..self.clone() };
        let results = b.emit(joint, &operands)?;
        let (carried, stacked) = results.split_at(carry);
        let n_results = self.body.outputs().len() - self.carry;
        let outputs = carried[..self.carry].iter().chain(&stacked[..n_results]).copied().collect();
        let dots = carried[self.carry..].iter().chain(&stacked[n_results..]).copied();
        Ok((outputs, distribute(&act.moving(), dots)))
    }

    /// A loop of values, and a replay that carries tangents along: transposed, it goes back from stored states.
    fn jvp_replayed(&self, b: &mut Builder, inputs: &[Var], t: &[Option<Var>]) -> Result<(Vars, Tangents)> {
        let results = b.emit(self.clone(), inputs)?;
        let act = self.active_of(t);
        let joint = self.joint(&act, Jvp::Split)?;
        let count = |marks: &[bool]| marks.iter().filter(|m| **m).count();
        let (n_const, n_carry) = (count(&act.constants), count(&act.carry));
        let types = joint.input_types();
        let (values, dots) = types.split_at(inputs.len());
        let ((vc, vs, vx), (dc, rest)) = (self.split_at(values), dots.split_at(n_const));
        let (ds, dx) = rest.split_at(n_carry);
        let mut f = Builder::new();
        let ins = Inputs::new(&mut f, &[vc, dc].concat(), &[vx, dx].concat(), &[[vs, ds].concat()]);
        let ((vc, dc), (vx, dx)) = (ins.constants.split_at(vc.len()), ins.rows.split_at(vx.len()));
        let (vs, ds) = ins.states[0].split_at(vs.len());
        let out = f.inline(&joint, &[vc, vs, vx, dc, ds, dx].concat())?;
        let (values, dots) = out.split_at(self.body.outputs().len());
        let (carried, rows) = (values.split_at(self.carry), dots.split_at(n_carry));
        let step = f.finish([carried.0, rows.0, carried.1, rows.1].concat());

        let (xc, xs, xx) = self.split_at(inputs);
        let (tc, _, tx) = self.split_at(t);
        let given = |t: &[Option<Var>]| t.iter().copied().flatten().collect::<Vec<Var>>();
        let initial = [xs, &self.carry_tangents(b, &act, inputs, t)].concat();
        let tower = Tower {
            trips: b.full(&Type::new(DType::I64, []), self.length as f64),
            constants: [xc, &given(tc)].concat(),
            stacked: [xx, &given(tx)].concat(),
            length: self.length,
            // No loop stores more states than it has steps.
            slots: self.checkpoints.map(|slots| slots.min(self.length.max(1))),
            levels: vec![TowerLevel { backward: self.reverse, initial, step }],
        };
        let rows = self.body.outputs().len() - self.carry;
        let kinds = [(self.carry, false), (n_carry, true), (rows, false), (count(&act.results), true)];
        let wanted: Vec<bool> = kinds.iter().flat_map(|&(n, wanted)| vec![wanted; n]).collect();
        let dots = tower.emit(b, &wanted)?.into_iter().flatten();
        Ok((results, distribute(&act.moving(), dots)))
    }

    /// A loop of values that stacks what its tangents will need, and a linear loop over that stack.
    fn jvp_split(&self, b: &mut Builder, inputs: &[Var], t: &[Option<Var>]) -> Result<(Vars, Tangents)> {
        let act = self.active_of(t);
        let joint = self.joint(&act, Jvp::Split)?;
        let is_constant = |i: usize| i < self.constants;
        let is_stacked = |i: usize| i >= self.constants + self.carry;
        let outputs = self.body.outputs().len();
        let (forward, linear, residuals) =
            split(joint, inputs.len(), outputs, |i| is_constant(i) || is_stacked(i));
        let forward = Scan { body: Arc::new(forward), ..self.clone() };
        let mut results = b.emit(forward, inputs)?.to_vec();
        let mut computed = results.split_off(outputs).into_iter();

        // The linear body takes residuals, then tangents; the loop wants constants, carry, stacked.
        let types = linear.input_types();
        let (res_types, dot_types) = types.split_at(residuals.len());
        let count = |marks: &[bool]| marks.iter().filter(|m| **m).count();
        let (n_const, n_carry) = (count(&act.constants), count(&act.carry));
        let (mut constants, mut stacked) = (Vars::new(), Vars::new());
        let mut f = Builder::new();
        let constant_res: Vec<bool> =
            residuals.iter().map(|r| matches!(r, Residual::Input(i) if is_constant(*i))).collect();
        let mut args: Vec<Option<Var>> = vec![None; residuals.len()];
        for (i, r) in residuals.iter().enumerate().filter(|(i, _)| constant_res[*i]) {
            if let Residual::Input(at) = r {
                constants.push(inputs[*at]);
                args[i] = Some(f.input(res_types[i].clone()));
            }
        }
        let (tc, _, tx) = self.split_at(t);
        constants.extend(tc.iter().copied().flatten());
        let dc = inputs_like(&mut f, dot_types[..n_const].iter().cloned());
        let ds = inputs_like(&mut f, dot_types[n_const..n_const + n_carry].iter().cloned());
        for (i, r) in residuals.iter().enumerate().filter(|(i, _)| !constant_res[*i]) {
            stacked.push(match r {
                Residual::Input(at) => inputs[*at],
                Residual::Computed => computed.next().expect("one stack a computed residual"),
            });
            args[i] = Some(f.input(res_types[i].clone()));
        }
        stacked.extend(tx.iter().copied().flatten());
        let dx = inputs_like(&mut f, dot_types[n_const + n_carry..].iter().cloned());
        let args: Vec<Var> = args.into_iter().flatten().chain(dc).chain(ds).chain(dx).collect();
        let dots = f.inline(&linear, &args)?;
        let body = Arc::new(f.finish(dots));

        let n_constants = constants.len();
        let mut operands = constants;
        operands.extend(self.carry_tangents(b, &act, inputs, t));
        operands.extend(stacked);
        let linear = Scan { constants: n_constants, carry: n_carry, body, ..self.clone() };
        let dots = b.emit(linear, &operands)?;
        Ok((results.into(), distribute(&act.moving(), dots)))
    }
}

/// Rows of type `ty`, each with a first axis of one, as one array; there may be none.
pub(super) fn stack(rows: &[Array], ty: &Type) -> Result<Array, ErrorKind> {
    if rows.is_empty() {
        return Ok(Array::full(ty.shape.insert(0, 0), ty.dtype, 0.0));
    }
    Ok(Concat { axis: 0 }.eval(&rows.iter().collect::<Vec<_>>())?.remove(0))
}

/// Adds the step axis at the front.
pub(super) fn stacked_type(ty: &Type, length: usize) -> Result<Type, ErrorKind> {
    ty.with_shape("scan", ty.shape.insert(0, length))
}

/// Row `i` of a stacked array.
pub(super) fn row_of(x: &Array, i: usize) -> Result<Array, ErrorKind> {
    let row = Slice::along(x.shape(), 0, i, i + 1).eval(&[x])?.remove(0);
    row.reshaped(x.shape().remove(0))
}

/// Swaps the step axis and the batch axis, both in front.
pub(super) fn swap_front(b: &mut Builder, v: Var) -> Result<Var> {
    let rank = b.shape(v).rank();
    let axes: Axes = [1, 0].into_iter().chain(2..rank).collect();
    b.emit1(Permute { axes }, &[v])
}

impl Primitive for Scan {
    fn doc(&self) -> Doc {
        Doc {
            name: "scan",
            formula: "(s, yᵢ) ← f(c, s, xᵢ)",
            derivative: "forward: one loop; reverse: a loop back over the stacked residuals, or over stored states",
            domain: "that of f",
        }
    }
    fn infer(&self, inputs: &[Type]) -> Result<Types, ErrorKind> {
        let wrong = |detail: String| Err(ErrorKind::Argument { op: "scan", detail });
        if self.checkpoints == Some(0) {
            return wrong("there must be at least one checkpoint: the initial state".into());
        }
        let want = self.body.input_types();
        if inputs.len() != want.len() || inputs.len() < self.constants + self.carry {
            return wrong(format!("the body takes {} values, but is given {}", want.len(), inputs.len()));
        }
        for (i, (ty, want)) in inputs.iter().zip(&want).enumerate() {
            let want =
                if i < self.constants + self.carry { want.clone() } else { stacked_type(want, self.length)? };
            if *ty != want {
                return wrong(format!(
                    "operand {i} is {ty}, but the body needs {want} ({} steps along the first axis of stacked operands)",
                    self.length
                ));
            }
        }
        let (_, carry, _) = self.split_at(inputs);
        let results = self.body.output_types();
        if results.len() < self.carry || results[..self.carry] != *carry {
            return wrong(format!(
                "the body must return the types it carries: {carry:?}, found {:?}",
                &results[..self.carry.min(results.len())]
            ));
        }
        let stacked = results[self.carry..].iter().map(|ty| stacked_type(ty, self.length));
        carry.iter().cloned().map(Ok).chain(stacked).collect()
    }
    fn eval(&self, inputs: &[&Array]) -> Result<Arrays, ErrorKind> {
        self.eval_by(inputs, &mut run)
    }
    fn jvp(&self, b: &mut Builder, mode: Jvp, inputs: &[Var], t: &[Option<Var>]) -> Result<(Vars, Tangents)> {
        match mode {
            Jvp::Forward => self.jvp_forward(b, inputs, t),
            Jvp::Split if self.checkpoints.is_some() => self.jvp_replayed(b, inputs, t),
            Jvp::Split => self.jvp_split(b, inputs, t),
        }
    }
    fn transpose(&self, b: &mut Builder, inputs: &[Operand], cotangents: &[Option<Var>]) -> Result<Tangents> {
        let (constants, carry, stacked) = self.split_at(inputs);
        let types = self.body.input_types();
        let (const_types, carry_types, stacked_types) = self.split_at(&types);
        let linear = |ops: &[Operand], types: &[Type]| -> Vec<Type> {
            ops.iter().zip(types).filter(|(o, _)| o.is_linear()).map(|(_, ty)| ty.clone()).collect()
        };
        let known = |ops: &[Operand]| -> Vec<Var> { ops.iter().filter_map(Operand::residual).collect() };
        let result_types = self.body.output_types();
        let (_, y_types) = result_types.split_at(self.carry);
        let y_cts: Vec<Option<Var>> = cotangents[self.carry..].to_vec();

        // Body backwards: constants are the residual constants; carried are the cotangents of the carry and the
        // accumulated ones of linear constants; stacked are residual rows and the cotangents of y.
        let mut f = b.inside();
        let res_const = inputs_like(
            &mut f,
            const_types.iter().zip(constants).filter(|(_, o)| !o.is_linear()).map(|(t, _)| t.clone()),
        );
        let ct_carry = inputs_like(&mut f, carry_types.iter().cloned());
        let acc = inputs_like(&mut f, linear(constants, const_types));
        let res_rows = inputs_like(
            &mut f,
            stacked_types.iter().zip(stacked).filter(|(_, o)| !o.is_linear()).map(|(t, _)| t.clone()),
        );
        let ct_y: Vec<Option<Var>> =
            y_types.iter().zip(&y_cts).map(|(ty, c)| c.map(|_| f.input(ty.clone()))).collect();
        let (mut rc, mut rr) = (res_const.into_iter(), res_rows.into_iter());
        let mut residuals: Vec<Option<Var>> =
            constants.iter().map(|o| if o.is_linear() { None } else { rc.next() }).collect();
        residuals.extend(carry.iter().map(|_| None));
        residuals.extend(stacked.iter().map(|o| if o.is_linear() { None } else { rr.next() }));
        let cts: Vec<Option<Var>> = ct_carry.iter().copied().map(Some).chain(ct_y).collect();
        let mut back = transpose_inline(&mut f, &self.body, &residuals, &cts)?.into_iter();
        let mut results = Vec::new();
        let mut sums = Vec::new();
        for &acc in &acc {
            let ct = back.next().flatten();
            sums.push(f.add_tangents(Some(acc), ct)?.expect("one of them is there"));
        }
        for ty in carry_types {
            let ct = back.next().flatten();
            results.push(f.instantiate(ct, ty));
        }
        results.extend(sums);
        for ty in linear(stacked, stacked_types) {
            let ct = back.next().flatten();
            results.push(f.instantiate(ct, &ty));
        }
        let body = Arc::new(f.finish(results));

        let mut operands: Vars = known(constants).into();
        let n_constants = operands.len();
        for (ty, &ct) in carry_types.iter().zip(cotangents) {
            operands.push(b.instantiate(ct, ty));
        }
        for ty in linear(constants, const_types) {
            operands.push(b.instantiate(None, &ty));
        }
        let n_carry = operands.len() - n_constants;
        operands.extend(known(stacked));
        operands.extend(y_cts.into_iter().flatten());
        let back = Scan {
            constants: n_constants,
            carry: n_carry,
            reverse: !self.reverse,
            body,
            length: self.length,
            checkpoints: None,
        };
        let results = b.emit(back, &operands)?;

        let (ct_carry, rest) = results.split_at(self.carry);
        let (ct_const, ct_rows) = rest.split_at(n_carry - self.carry);
        let marks = |ops: &[Operand]| ops.iter().map(Operand::is_linear).collect::<Vec<_>>();
        let mut out = distribute(&marks(constants), ct_const.iter().copied());
        out.extend(ct_carry.iter().zip(carry).map(|(&ct, o)| o.is_linear().then_some(ct)));
        out.extend(distribute(&marks(stacked), ct_rows.iter().copied()));
        Ok(out)
    }
    fn batch(&self, b: &mut Builder, inputs: &[Batched], lanes: Lanes<'_>) -> Result<SmallVec<[Batched; 4]>> {
        let marks: Vec<bool> = inputs.iter().map(|i| i.1).collect();
        let (constants, _, stacked) = self.split_at(&marks);
        let [carry, results] = self.batched(&marks, lanes.name);
        let out = [&carry[..], &results].concat();
        let body = batch_graph(&self.body, &[constants, &carry, stacked].concat(), &out, lanes)?;
        let mut operands = Vars::new();
        for (i, &(v, m)) in inputs.iter().enumerate() {
            operands.push(if i < self.constants || !(m || i < self.constants + self.carry) {
                v
            } else if i < self.constants + self.carry {
                if carry[i - self.constants] { materialize_batch(b, (v, m), lanes.size)? } else { v }
            } else {
                swap_front(b, v)?
            });
        }
        let values = b.emit(Scan { body: Arc::new(body), ..self.clone() }, &operands)?;
        let mut outputs: SmallVec<[Batched; 4]> = smallvec![];
        for (i, (v, m)) in values.into_iter().zip(out).enumerate() {
            outputs.push((if m && i >= self.carry { swap_front(b, v)? } else { v }, m));
        }
        Ok(outputs)
    }
    fn cost(&self, _: &[Type], _: &[Type]) -> Cost {
        let step = graph_cost(&self.body);
        Cost { flops: step.flops * self.length as f64, bytes: step.bytes * self.length as f64 }
    }
}
