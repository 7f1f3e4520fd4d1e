//! A loop gone through again and again, against itself: what reverse mode makes of a loop whose states are not stored.

use std::ops::Range;
use std::sync::Arc;

use smallvec::{SmallVec, smallvec};

use super::scan::{row_of, stack, stacked_type, swap_front};
use super::sweep::{Stepper, Sweep};
use super::tower::{Tower, TowerLevel};
use super::{active, batched, distribute, fixpoint, running};
use crate::graph::Vars;
use crate::ops::call::{Run, graph_cost, run, runs_again};
use crate::ops::{Broadcast, Compare, Reduce, ReduceKind, Select, materialize_batch};
use crate::primitive::{Arrays, Tangents, Types};
use crate::transforms::flow::Marks;
use crate::transforms::{Lanes, jvp_inline, vmap_inline};
use crate::{
    Array, Batched, Builder, Cost, DEAD, DType, Doc, ErrorKind, Graph, Jvp, Operand, Primitive, Result, Type,
    Var,
};

/// A tower of loops over the same steps `0..trips`, each level against the direction of the one below. At every step
/// a level reads the states with which the levels below entered it; these are not stored all, but recomputed from
/// `slots` stored ones by the schedule of [`Sweep`], so that memory does not depend on `trips`.
///
/// Operands are `trips` (an `i64`), the constants, the stacked operands (a row each step), and the initial states of
/// the levels from the lowest on. Results are the last states of the highest level, then the rows it gives, stacked;
/// rows of steps that are not taken are zero.
///
/// One level is a loop whose length is an operand. Two are what a transposed `while_loop` is: the values forward, the
/// cotangents against them. The derivatives of a tower are towers: forward mode widens its levels, transposition puts
/// as many on top as were linear.
#[derive(Clone, Debug, PartialEq, Hash)]
pub struct Replay {
    /// Number of operands that stay the same through the loop.
    pub constants: usize,
    /// Number of operands of which each step reads a row.
    pub stacked: usize,
    /// The leading extent of stacked operands and results, at least `trips` if there are any.
    pub length: usize,
    /// Whether the lowest level goes from the last step to the first.
    pub reverse: bool,
    /// How many states of the levels below each level may store, the initial one included; by their size if `None`.
    pub slots: Option<usize>,
    /// The steps, `(t, constants, rows, states of the levels below, own state) -> own state`; of the highest level
    /// `-> (own state, rows)`.
    pub levels: Vec<Arc<Graph>>,
}

/// Bytes that stored states take where the number of slots is left open, and the least and most slots that makes.
const OPEN: (usize, usize, usize) = (64 << 20, 8, 64);

/// The number of slots for states of so many bytes where the user does not say.
pub(crate) fn open_slots(bytes: usize) -> usize {
    (OPEN.0 / bytes.max(1)).clamp(OPEN.1, OPEN.2)
}

impl Replay {
    /// The number of states of each level.
    pub fn widths(&self) -> Vec<usize> {
        let mut below = 1 + self.constants + self.stacked;
        let mut out = Vec::new();
        for level in &self.levels {
            out.push(level.inputs().len().saturating_sub(below));
            below = level.inputs().len();
        }
        out
    }

    /// The types of the states of each level.
    pub fn states(&self) -> Vec<Vec<Type>> {
        let own = |(level, width): (&Arc<Graph>, usize)| {
            let types = level.input_types();
            types[types.len() - width..].to_vec()
        };
        self.levels.iter().zip(self.widths()).map(own).collect()
    }

    /// The schedule.
    pub fn sweep(&self) -> Sweep {
        let slots = self.slots.unwrap_or_else(|| {
            let states = self.states();
            let below = &states[..states.len() - 1];
            open_slots(below.iter().flatten().map(Type::bytes).sum())
        });
        Sweep::new(self.levels.len(), self.reverse, slots)
    }

    /// The step count as an operand gives it.
    pub fn trips(&self, value: i64) -> Result<usize, ErrorKind> {
        let trips = usize::try_from(value).unwrap_or(0);
        let rows = self.stacked > 0 || self.rows_out() > 0;
        if rows && trips > self.length {
            let detail = format!("{trips} steps over {} rows", self.length);
            return Err(ErrorKind::Argument { op: "replay", detail });
        }
        Ok(trips)
    }

    fn rows_out(&self) -> usize {
        let last = self.levels.len() - 1;
        self.levels[last].outputs().len().saturating_sub(self.widths()[last])
    }

    pub(super) fn backward(&self, level: usize) -> bool {
        (level % 2 == 1) != self.reverse
    }

    /// Where the constants, the stacked operands and the states of each level lie among the operands.
    pub(crate) fn ranges(&self) -> (Range<usize>, Range<usize>, Vec<Range<usize>>) {
        let (c, s) = (1 + self.constants, 1 + self.constants + self.stacked);
        let mut at = s;
        let mut states = Vec::new();
        for width in self.widths() {
            states.push(at..at + width);
            at += width;
        }
        (1..c, c..s, states)
    }

    /// Marks of operands grown until every level maps marked to marked; also the marks of the rows that come out.
    /// `step` gives the marks of a step's results from those of its inputs.
    pub(super) fn grown(
        &self,
        marks: &[bool],
        step: impl Fn(&Graph, &[bool]) -> Marks,
    ) -> (Vec<bool>, Vec<bool>) {
        let (mut marks, mut rows) = (marks.to_vec(), Vec::new());
        for (level, own) in self.levels.iter().zip(self.ranges().2) {
            let before = marks[..own.start].to_vec();
            let all = |states: &[bool]| step(level, &[&before, states].concat());
            let states = fixpoint(marks[own.clone()].to_vec(), all);
            rows = all(&states)[states.len()..].to_vec();
            marks[own].copy_from_slice(&states);
        }
        (marks, rows)
    }

    /// Which operands have a tangent in the loop when the marked ones have one before it, and which results.
    pub(crate) fn active(&self, marks: &[bool]) -> (Vec<bool>, Vec<bool>) {
        let (marks, rows) = self.grown(marks, active);
        let results = [&marks[self.last_states()], &rows[..]].concat();
        (marks, results)
    }

    /// Which operands are batched in the loop when the marked ones are before it, and which results. With trip counts
    /// of their own, all of them.
    pub(crate) fn batched(&self, marks: &[bool], name: Option<&str>) -> (Vec<bool>, Vec<bool>) {
        let mut marks = marks.to_vec();
        let own_trips = std::mem::replace(&mut marks[0], false);
        let rows = if own_trips {
            self.ranges().2.into_iter().for_each(|s| marks[s].fill(true));
            vec![true; self.rows_out()]
        } else {
            let rows;
            (marks, rows) = self.grown(&marks, |graph, marks| batched(graph, marks, name));
            rows
        };
        let results = [&marks[self.last_states()], &rows[..]].concat();
        (marks, results)
    }

    /// Where the states of the last level lie among the operands.
    fn last_states(&self) -> Range<usize> {
        self.ranges().2.pop().unwrap_or(0..0)
    }

    /// The levels with tangents beside the marked values, kind by kind: each step gives its states, their tangents,
    /// its rows, their tangents.
    fn joint(&self, marks: &[bool], rows: &[bool], mode: Jvp) -> Result<Vec<Graph>> {
        let mut out = Vec::new();
        for (k, (level, own)) in self.levels.iter().zip(self.ranges().2).enumerate() {
            let mut f = Builder::new();
            let types = level.input_types();
            let (mut args, mut dots): (Vec<Option<Var>>, Vec<Option<Var>>) =
                (vec![None; types.len()], vec![None; types.len()]);
            let (constants, stacked, states) = self.ranges();
            let groups = [0..1, constants, stacked].into_iter().chain(states.into_iter().take(k + 1));
            for group in groups {
                for i in group.clone() {
                    args[i] = Some(f.input(types[i].clone()));
                }
                for i in group.filter(|&i| marks[i]) {
                    dots[i] = Some(f.input(types[i].clone()));
                }
            }
            let args: Vec<Var> = args.into_iter().flatten().collect();
            let (mut results, dots) = jvp_inline(&mut f, level, &args, &dots, mode)?;
            let types = level.output_types();
            let mut dots: Vec<Option<Var>> = dots
                .into_iter()
                .zip(&types)
                .zip(marks[own.clone()].iter().chain(rows))
                .map(|((t, ty), &m)| m.then(|| f.instantiate(t, ty)))
                .collect();
            let (rows, row_dots) = (results.split_off(own.len()), dots.split_off(own.len()));
            results.extend(dots.into_iter().flatten());
            results.extend(rows);
            results.extend(row_dots.into_iter().flatten());
            out.push(f.finish(results));
        }
        Ok(out)
    }
}

impl Primitive for Replay {
    fn doc(&self) -> Doc {
        Doc {
            name: "replay",
            formula: "sᵏ ← fᵏ(c, xₜ, s⁰ₜ, …, sᵏ⁻¹ₜ, sᵏ), each level against the one below",
            derivative: "forward: wider levels; reverse: a level on top for every linear one",
            domain: "that of f; stored states are recomputed to the same bits",
        }
    }
    fn infer(&self, inputs: &[Type]) -> Result<Types, ErrorKind> {
        let wrong = |detail: String| Err(ErrorKind::Argument { op: "replay", detail });
        if self.levels.iter().any(|level| level.runs_once()) {
            return Err(runs_again("a loop that stores only some states"));
        }
        let index = Type::new(DType::I64, []);
        if inputs.first() != Some(&index) || self.levels.is_empty() || self.slots == Some(0) {
            return wrong(format!(
                "the number of steps must be {index}, levels and slots at least one, found {inputs:?}"
            ));
        }
        let (_, stacked, states) = self.ranges();
        let mut types: Vec<Type> = inputs.to_vec();
        for (i, ty) in types.iter_mut().enumerate().filter(|(i, _)| stacked.contains(i)) {
            if ty.shape.first() != Some(&self.length) {
                return wrong(format!("operand {i} is {ty}, but needs {} rows", self.length));
            }
            *ty = ty.with_shape("replay", ty.shape.remove(0))?;
        }
        let mut out = Types::new();
        for (k, (level, own)) in self.levels.iter().zip(states).enumerate() {
            let (want, results) = (level.input_types(), level.output_types());
            if types.get(..want.len()) != Some(&want[..]) {
                return wrong(format!("level {k} takes {want:?}, but is given {types:?}"));
            }
            let (carried, rows) = results.split_at(own.len().min(results.len()));
            if own.end != want.len()
                || *carried != types[own]
                || (k + 1 < self.levels.len() && !rows.is_empty())
            {
                return wrong(format!("level {k} must return the types it carries, found {results:?}"));
            }
            let stacked = rows.iter().map(|ty| stacked_type(ty, self.length));
            out = carried.iter().cloned().map(Ok).chain(stacked).collect::<Result<_, _>>()?;
        }
        let all = self.levels[self.levels.len() - 1].inputs().len();
        if types.len() != all {
            return wrong(format!("the levels take {all} values, but are given {}", types.len()));
        }
        Ok(out)
    }
    fn eval(&self, inputs: &[&Array]) -> Result<Arrays, ErrorKind> {
        self.eval_by(inputs, &mut run)
    }
    fn jvp(&self, b: &mut Builder, mode: Jvp, inputs: &[Var], t: &[Option<Var>]) -> Result<(Vars, Tangents)> {
        let marks: Vec<bool> = t.iter().map(Option::is_some).collect();
        let (marks, moving) = self.active(&marks);
        let (constants, stacked, states) = self.ranges();
        let last = &states[states.len() - 1];
        let rows = moving[last.len()..].to_vec();
        let outputs = if mode == Jvp::Split { b.emit(self.clone(), inputs)? } else { Vars::new() };
        let mut beside = |group: &Range<usize>| -> Vec<Var> {
            let mut all = inputs[group.clone()].to_vec();
            for i in group.clone().filter(|&i| marks[i]) {
                all.push(t[i].unwrap_or_else(|| b.dead_tangent(inputs[i])));
            }
            all
        };
        let (constants, stacked) = (beside(&constants), beside(&stacked));
        let mut levels = Vec::new();
        for (k, step) in self.joint(&marks, &rows, mode)?.into_iter().enumerate() {
            levels.push(TowerLevel { backward: self.backward(k), initial: beside(&states[k]), step });
        }
        let slots = self.slots;
        let tower = Tower { trips: inputs[0], constants, stacked, length: self.length, slots, levels };
        // States, their tangents, rows, their tangents.
        let dots = |marks: &[bool]| marks.iter().filter(|m| **m).count();
        let kinds = [
            (last.len(), mode == Jvp::Forward),
            (dots(&marks[last.clone()]), true),
            (rows.len(), mode == Jvp::Forward),
            (dots(&rows), true),
        ];
        let wanted: Vec<bool> = kinds.iter().flat_map(|&(n, wanted)| vec![wanted; n]).collect();
        let mut results = tower.emit(b, &wanted)?.into_iter();
        let mut groups = kinds.map(|(n, _)| results.by_ref().take(n).flatten().collect::<Vec<Var>>());
        let tangents = groups[1].iter().chain(&groups[3]).copied();
        let tangents = distribute(&moving, tangents);
        if mode == Jvp::Forward {
            let rows = std::mem::take(&mut groups[2]);
            groups[0].extend(rows);
            return Ok((std::mem::take(&mut groups[0]).into(), tangents));
        }
        Ok((outputs, tangents))
    }
    fn transpose(&self, b: &mut Builder, inputs: &[Operand], cotangents: &[Option<Var>]) -> Result<Tangents> {
        super::reverse::transpose(self, b, inputs, cotangents)
    }
    fn batch(&self, b: &mut Builder, inputs: &[Batched], lanes: Lanes<'_>) -> Result<SmallVec<[Batched; 4]>> {
        let (trips, own_trips) = inputs[0];
        let (constants, stacked, states) = self.ranges();
        let (marks, results) = self.batched(&inputs.iter().map(|i| i.1).collect::<Vec<_>>(), lanes.name);
        let rows = &results[states[states.len() - 1].len()..];
        let mut levels = Vec::new();
        for (k, level) in self.levels.iter().enumerate() {
            levels.push(Arc::new(self.batched_level(level, &states[k], &marks, rows, own_trips, lanes)?));
        }
        let most = match (own_trips, lanes.size) {
            (false, _) => trips,
            (true, 0) => b.full(&Type::new(DType::I64, []), 0.0),
            (true, _) => b.emit1(Reduce { kind: ReduceKind::Max, axes: smallvec![0] }, &[trips])?,
        };
        let mut operands: Vars = smallvec![most];
        operands.extend(inputs[constants].iter().map(|i| i.0));
        if own_trips {
            operands.push(trips);
        }
        for &(v, m) in &inputs[stacked] {
            operands.push(if m { swap_front(b, v)? } else { v });
        }
        for i in states.iter().cloned().flatten() {
            operands.push(if marks[i] { materialize_batch(b, inputs[i], lanes.size)? } else { inputs[i].0 });
        }
        let replay = Replay { constants: self.constants + usize::from(own_trips), levels, ..self.clone() };
        let values = b.emit(replay, &operands)?;
        let last = states[states.len() - 1].clone();
        let mut out = SmallVec::new();
        for (i, (v, &m)) in values.into_iter().zip(&results).enumerate() {
            out.push((if m && i >= last.len() { swap_front(b, v)? } else { v }, m));
        }
        Ok(out)
    }
    fn cost(&self, _: &[Type], _: &[Type]) -> Cost {
        // Of a known number of steps all that the schedule takes, else one of each level.
        let counts =
            if self.length > 0 { self.sweep().count(self.length) } else { vec![1; self.levels.len()] };
        let mut cost = Cost::default();
        for (level, n) in self.levels.iter().zip(counts) {
            let step = graph_cost(level);
            cost += Cost { flops: step.flops * n as f64, bytes: step.bytes * n as f64 };
        }
        cost
    }
}

impl Replay {
    /// The loop with its steps run by `run`.
    pub(crate) fn eval_by(&self, inputs: &[&Array], run: &mut Run) -> Result<Arrays, ErrorKind> {
        let trips = self.trips(inputs[0].elements::<i64>().map_or(0, |v| v[0]))?;
        let (constants, stacked, states) = self.ranges();
        let last = self.levels.len() - 1;
        let types = self.levels[last].output_types();
        let (carried, row_types) = types.split_at(states[last].len());
        let mut rows: Vec<Vec<Option<Array>>> = vec![vec![None; self.length]; row_types.len()];
        let mut out: Vec<Array> = inputs[states[last].clone()].iter().map(|&a| a.clone()).collect();
        if trips > 0 {
            let sweep = self.sweep();
            let mut buffers: Vec<Vec<Array>> = vec![Vec::new(); last + 2 + sweep.buffers().len()];
            for (buffer, own) in buffers.iter_mut().zip(states) {
                *buffer = inputs[own].iter().map(|&a| a.clone()).collect();
            }
            let mut taken = Interpreted {
                replay: self,
                constants: &inputs[constants],
                stacked: &inputs[stacked],
                buffers,
                rows: &mut rows,
                run,
            };
            sweep.run(trips, &mut taken)?;
            out = std::mem::take(&mut taken.buffers[sweep.result()]);
        }
        debug_assert_eq!(out.len(), carried.len());
        for (rows, ty) in rows.into_iter().zip(row_types) {
            let of_one = |row: Option<Array>| {
                let row = row.unwrap_or_else(|| Array::full(ty.shape.clone(), ty.dtype, DEAD));
                row.reshaped(ty.shape.insert(0, 1))
            };
            let rows = rows.into_iter().map(of_one).collect::<Result<Vec<Array>, _>>()?;
            out.push(stack(&rows, ty)?);
        }
        Ok(out.into())
    }

    /// A level for a batch. With trip counts of their own, examples keep their state in steps they do not take.
    fn batched_level(
        &self,
        level: &Graph,
        own: &Range<usize>,
        marks: &[bool],
        rows: &[bool],
        own_trips: bool,
        lanes: Lanes<'_>,
    ) -> Result<Graph> {
        let mut f = Builder::new();
        let (mut args, mut trips) = (Vec::new(), None);
        for (i, (ty, &m)) in level.input_types().iter().zip(marks).enumerate() {
            if i == 1 + self.constants && own_trips {
                trips = Some(f.input(Type::new(DType::I64, [lanes.size])));
            }
            args.push((f.input(super::batched_type(ty, m, lanes.size)?), m));
        }
        if own_trips && trips.is_none() {
            trips = Some(f.input(Type::new(DType::I64, [lanes.size])));
        }
        let mask = match trips {
            Some(trips) => {
                let shape = f.shape(trips).clone();
                let t = f.emit1(Broadcast { shape, axes: SmallVec::new() }, &[args[0].0])?;
                Some(f.emit1(Compare::Lt, &[t, trips])?)
            }
            None => None,
        };
        let results = match mask {
            Some(mask) => running(&mut f, level, |_| Ok(mask), &args, lanes)?,
            None => vmap_inline(&mut f, level, &args, lanes)?,
        };
        let mut out = Vec::new();
        for (i, (result, &m)) in results.into_iter().zip(marks[own.clone()].iter().chain(rows)).enumerate() {
            let next = if m { materialize_batch(&mut f, result, lanes.size)? } else { result.0 };
            out.push(match mask {
                Some(mask) => {
                    let shape = f.shape(next).clone();
                    let mask = f.emit1(Broadcast { shape, axes: smallvec![0] }, &[mask])?;
                    let old = if i < own.len() { args[own.start + i].0 } else { f.dead_tangent(next) };
                    f.emit1(Select, &[mask, next, old])?
                }
                None => next,
            });
        }
        Ok(f.finish(out))
    }
}

/// The steps taken by the interpreter.
struct Interpreted<'a, 'r> {
    replay: &'a Replay,
    constants: &'a [&'a Array],
    stacked: &'a [&'a Array],
    buffers: Vec<Vec<Array>>,
    rows: &'a mut [Vec<Option<Array>>],
    run: &'a mut Run<'r>,
}

impl Stepper for Interpreted<'_, '_> {
    type Error = ErrorKind;
    fn step(&mut self, level: usize, t: usize, states: &[usize], to: usize) -> Result<(), ErrorKind> {
        let mut args = vec![Array::scalar(t as i64)];
        args.extend(self.constants.iter().map(|&a| a.clone()));
        for x in self.stacked {
            args.push(row_of(x, t)?);
        }
        for &s in states {
            args.extend(self.buffers[s].iter().cloned());
        }
        let mut next = (self.run)(&self.replay.levels[level], &args)?;
        if level + 1 == self.replay.levels.len() {
            let width = next.len() - self.rows.len();
            for (rows, row) in self.rows.iter_mut().zip(next.drain(width..)) {
                rows[t] = Some(row);
            }
        }
        self.buffers[to] = next;
        Ok(())
    }
}
