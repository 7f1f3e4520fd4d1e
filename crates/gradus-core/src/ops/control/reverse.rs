//! Transposition of a replay: the linear levels go backwards, on top of the levels that they read.
//!
//! Let the linear part of level `i` be `dsⁱ ← Σⱼ≤ᵢ Aⁱⱼ dsʲ + Bⁱ dc`, its coefficients a function of the states at that
//! step. The cotangents `λⁱ` of the level's state go the other way, `λʲ ← Σᵢ≥ⱼ (Aⁱⱼ)ᵀ λⁱ`: level `j` reads those of the
//! levels above it, which go against each other in turn. So above the states `s⁰ … sᴷ` come `λᴷ`, then `λᴷ⁻¹`, down to
//! `λ⁰`. Each `λʲ` that somebody wants is a tower of its own; while it runs it adds up `(Bʲ)ᵀ λʲ`.

use std::cell::OnceCell;
use std::ops::Range;

use super::tower::{Inputs, Tower, TowerLevel, restrict};
use super::{Replay, depending};
use crate::primitive::{Tangents, not_linear};
use crate::transforms::transpose_inline;
use crate::{Builder, Graph, Operand, Result, Type, Var};

pub(super) fn transpose(
    replay: &Replay,
    b: &mut Builder,
    inputs: &[Operand],
    cotangents: &[Option<Var>],
) -> Result<Tangents> {
    let given: Vec<bool> = inputs.iter().map(Operand::is_linear).collect();
    let (linear, linear_rows) = replay.grown(&given, depending);
    let top = replay.levels.len() - 1;
    let width = replay.states()[top].len();
    let (states, rows) = cotangents.split_at(width);
    let rows = rows.iter().zip(&linear_rows).map(|(ct, &m)| ct.filter(|_| m)).collect();
    let levels = replay.levels.iter().map(|_| OnceCell::new()).collect();
    let parts = Parts { replay, linear, ranges: replay.ranges(), rows, levels };
    let mut out: Tangents = inputs.iter().map(|_| None).collect();
    for j in (0..=top).rev() {
        if j < top && parts.linear_states(j).is_empty() {
            continue;
        }
        let (tower, terms) = parts.tower(b, inputs, states, j)?;
        let wanted = |i: &usize| given[*i];
        let own = parts.linear_states(j);
        let mut marks: Vec<bool> = own.iter().map(wanted).collect();
        marks.extend(terms.constants.iter().map(|(_, there)| *there));
        marks.extend(terms.rows.iter().map(|(_, there)| *there));
        let results = tower.emit(b, &marks)?;
        let places = own.iter().chain(terms.constants.iter().chain(&terms.rows).map(|(i, _)| i));
        for (&i, ct) in places.zip(results) {
            out[i] = b.add_tangents(out[i], ct)?;
        }
    }
    Ok(out)
}

/// A replay with its operands told apart.
struct Parts<'a> {
    replay: &'a Replay,
    /// For each operand, whether it is linear, or becomes so in the loop.
    linear: Vec<bool>,
    ranges: (Range<usize>, Range<usize>, Vec<Range<usize>>),
    /// The cotangents of the rows that come out.
    rows: Vec<Option<Var>>,
    /// Each level transposed: towers share them, or what loops inside loops take would double with each.
    levels: Vec<OnceCell<Transposed>>,
}

/// The step of a level transposed: residuals and cotangents to the cotangents of its linear operands.
struct Transposed {
    graph: Graph,
    /// Which of those operands have one.
    there: Vec<bool>,
}

/// What a tower gives besides the cotangents it carries: for each linear constant and row, whether it has a part.
struct Terms {
    constants: Vec<(usize, bool)>,
    rows: Vec<(usize, bool)>,
}

/// The cotangents that one step gives: of the level's state, of constants, of rows.
struct Backward {
    states: Vec<Option<Var>>,
    constants: Vec<Option<Var>>,
    rows: Vec<Option<Var>>,
}

impl Parts<'_> {
    fn of(&self, range: &Range<usize>, linear: bool) -> Vec<usize> {
        range.clone().filter(|&i| self.linear[i] == linear).collect()
    }
    fn linear_states(&self, level: usize) -> Vec<usize> {
        self.of(&self.ranges.2[level], true)
    }
    /// Types of operands as a step sees them.
    fn types(&self, operands: &[usize]) -> Vec<Type> {
        let all = self.replay.levels[self.replay.levels.len() - 1].input_types();
        operands.iter().map(|&i| all[i].clone()).collect()
    }
    /// Types of the rows of which there are cotangents.
    fn row_types(&self) -> Vec<Type> {
        let top = self.replay.levels.len() - 1;
        let types = self.replay.levels[top].output_types();
        let rows = types[self.ranges.2[top].len()..].iter().zip(&self.rows);
        rows.filter(|(_, ct)| ct.is_some()).map(|(ty, _)| ty.clone()).collect()
    }

    /// The inputs of a new step: residual constants and rows, cotangents of rows, states up to level `below`, then
    /// cotangents of the states of `above`.
    fn inputs(&self, f: &mut Builder, below: usize, above: Range<usize>) -> Inputs {
        let mut rows = self.types(&self.of(&self.ranges.1, false));
        rows.extend(self.row_types());
        let mut states: Vec<Vec<Type>> =
            (0..below).map(|k| self.types(&self.of(&self.ranges.2[k], false))).collect();
        states.extend(above.rev().map(|k| self.types(&self.linear_states(k))));
        Inputs::new(f, &self.types(&self.of(&self.ranges.0, false)), &rows, &states)
    }

    /// The tower whose highest level carries the cotangents of level `j`.
    fn tower(
        &self,
        b: &mut Builder,
        inputs: &[Operand],
        cotangents: &[Option<Var>],
        j: usize,
    ) -> Result<(Tower, Terms)> {
        let top = self.replay.levels.len() - 1;
        let residual = |i: usize| inputs[i].residual().expect("no linear operand is marked as a residual");
        let residuals =
            |range: &Range<usize>| -> Vec<Var> { self.of(range, false).into_iter().map(residual).collect() };
        let mut levels = Vec::new();
        for k in 0..=top {
            let initial = residuals(&self.ranges.2[k]);
            levels.push(TowerLevel {
                backward: self.replay.backward(k),
                initial,
                step: self.known_level(k)?,
            });
        }
        let mut terms = Terms { constants: Vec::new(), rows: Vec::new() };
        for i in (j..=top).rev() {
            let (step, own) = self.level_back(b.inside(), i, i == j)?;
            let mut initial = Vec::new();
            for (place, ty) in self.linear_states(i).into_iter().zip(self.types(&self.linear_states(i))) {
                let ct = if i == top { cotangents[place - self.ranges.2[top].start] } else { None };
                initial.push(b.instantiate(ct, &ty));
            }
            if let Some(own) = own {
                let constants = self.of(&self.ranges.0, true);
                for ty in self.types(&constants) {
                    initial.push(b.instantiate(None, &ty));
                }
                terms = own;
            }
            levels.push(TowerLevel { backward: !self.replay.backward(i), initial, step });
        }
        let mut stacked = residuals(&self.ranges.1);
        stacked.extend(self.rows.iter().flatten());
        let (trips, constants) = (residual(0), residuals(&self.ranges.0));
        let (length, slots) = (self.replay.length, self.replay.slots);
        Ok((Tower { trips, constants, stacked, length, slots, levels }, terms))
    }

    /// Level `k` without its linear part.
    fn known_level(&self, k: usize) -> Result<Graph> {
        let level = &self.replay.levels[k];
        let known: Vec<bool> = self.linear[..level.inputs().len()].iter().map(|l| !l).collect();
        let own = &self.ranges.2[k];
        let outputs: Vec<bool> =
            (0..level.outputs().len()).map(|i| i < own.len() && known[own.start + i]).collect();
        let level = restrict(level, &known, &outputs)?;
        let mut f = Builder::new();
        let inputs = self.inputs(&mut f, k + 1, 0..0);
        let rows = &inputs.rows[..self.of(&self.ranges.1, false).len()];
        let mut args = vec![inputs.t];
        args.extend(inputs.constants.iter().chain(rows).chain(inputs.states.iter().flatten()));
        // A value that depends on a linear one is mixed with it, as in the tangents that forward mode carries along.
        if level.inputs().len() != args.len() {
            return Err(not_linear("replay"));
        }
        let results = f.inline(&level, &args)?;
        Ok(f.finish(results))
    }

    /// The step of the cotangents of level `j`; if it is the `last` also with what it adds to the cotangents of
    /// constants, and those of rows.
    fn level_back(&self, mut f: Builder, j: usize, last: bool) -> Result<(Graph, Option<Terms>)> {
        let top = self.replay.levels.len() - 1;
        let inputs = self.inputs(&mut f, top + 1, j..top + 1);
        let constants = self.of(&self.ranges.0, true);
        let sums: Vec<Var> = if last {
            self.types(&constants).into_iter().map(|ty| f.input(ty)).collect()
        } else {
            Vec::new()
        };
        let mut total: Vec<Option<Var>> = vec![None; self.linear_states(j).len()];
        let mut own = None;
        for i in (j..=top).rev() {
            let back = self.step_back(&mut f, &inputs, i, j)?;
            for (total, &ct) in total.iter_mut().zip(&back.states) {
                *total = f.add_tangents(*total, ct)?;
            }
            own = Some(back);
        }
        let types = self.types(&self.linear_states(j));
        let mut results: Vec<Var> =
            total.into_iter().zip(&types).map(|(ct, ty)| f.instantiate(ct, ty)).collect();
        let Some(own) = own.filter(|_| last) else { return Ok((f.finish(results), None)) };
        for (&sum, &ct) in sums.iter().zip(&own.constants) {
            results.push(f.add_tangents(Some(sum), ct)?.unwrap_or(sum));
        }
        let rows = self.of(&self.ranges.1, true);
        for (&ct, ty) in own.rows.iter().zip(&self.types(&rows)) {
            results.push(f.instantiate(ct, ty));
        }
        let there = |places: Vec<usize>, cts: &[Option<Var>]| {
            places.into_iter().zip(cts).map(|(i, ct)| (i, ct.is_some())).collect()
        };
        let terms = Terms { constants: there(constants, &own.constants), rows: there(rows, &own.rows) };
        Ok((f.finish(results), Some(terms)))
    }

    /// The step of level `i` transposed; cotangents of level `i` come first, then those of rows if it is the highest.
    fn transposed(&self, mut f: Builder, i: usize) -> Result<&Transposed> {
        if let Some(known) = self.levels[i].get() {
            return Ok(known);
        }
        let level = &self.replay.levels[i];
        let linear = &self.linear[..level.inputs().len()];
        let types = level.input_types();
        let residuals: Vec<Option<Var>> =
            types.iter().zip(linear).map(|(ty, &l)| (!l).then(|| f.input(ty.clone()))).collect();
        let own = self.ranges.2[i].clone();
        let mut cts: Vec<Option<Var>> =
            own.map(|place| self.linear[place].then(|| f.input(types[place].clone()))).collect();
        if i + 1 == self.replay.levels.len() {
            let mut types = self.row_types().into_iter();
            cts.extend(self.rows.iter().map(|ct| ct.and_then(|_| types.next()).map(|ty| f.input(ty))));
        }
        let back = transpose_inline(&mut f, level, &residuals, &cts)?;
        let there = back.iter().map(Option::is_some).collect();
        let graph = f.finish(back.into_iter().flatten().collect());
        Ok(self.levels[i].get_or_init(|| Transposed { graph, there }))
    }

    /// The step of level `i` transposed: what it gives to the states of level `j`, to constants and to rows.
    fn step_back(&self, f: &mut Builder, inputs: &Inputs, i: usize, j: usize) -> Result<Backward> {
        let top = self.replay.levels.len() - 1;
        let n_rows = self.of(&self.ranges.1, false).len();
        let mut args: Vec<Var> = std::iter::once(inputs.t)
            .chain(inputs.constants.iter().copied())
            .chain(inputs.rows[..n_rows].iter().copied())
            .chain(inputs.states[..=i].iter().flatten().copied())
            .collect();
        // Cotangents of level `i` follow those of the levels above it.
        args.extend(&inputs.states[top + 1 + (top - i)][..self.linear_states(i).len()]);
        if i == top {
            args.extend(&inputs.rows[n_rows..]);
        }
        let Transposed { graph, there } = self.transposed(f.inside(), i)?;
        let mut back = f.inline(graph, &args)?.into_iter();
        let mut out = Backward { states: Vec::new(), constants: Vec::new(), rows: Vec::new() };
        let places = (0..self.replay.levels[i].inputs().len()).filter(|&p| self.linear[p]);
        for (place, &there) in places.zip(there) {
            let ct = there.then(|| back.next()).flatten();
            if self.ranges.0.contains(&place) {
                out.constants.push(ct);
            } else if self.ranges.1.contains(&place) {
                out.rows.push(ct);
            } else if self.ranges.2[j].contains(&place) {
                out.states.push(ct);
            }
        }
        Ok(out)
    }
}
