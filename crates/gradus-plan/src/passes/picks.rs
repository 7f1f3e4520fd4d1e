//! One element of each row, as the loss of a classifier reads it.
//!
//! `f(x)[i, y[i]]` of an element-wise `f` is `f` of `x[i, y[i]]`: in that form the values of `f` are not stored, and
//! the picked element is computed beside them, one number per row. The transpose, which adds cotangents to zeros at one
//! place of each row, is a comparison of places that fuses with its readers.

use gradus_core::graph::Vars;
use gradus_core::ops::{Broadcast, Cast, Compare, Full, Gather, Iota, Op, ScatterAdd, Select};
use gradus_core::{Binary, DType, Result, Shape, Var};

use super::Rewriter;
use crate::fuse::{is_elementwise, is_movement};

/// The most equations that are computed again for picked elements, and the most values that are picked from.
const EQUATIONS: usize = 32;
const SOURCES: usize = 2;

/// What picking from a value comes to.
#[derive(Default)]
struct Count {
    equations: usize,
    sources: Vec<Var>,
}

impl Rewriter {
    /// Whether `indices` name one element of each row of `shape`.
    fn names_rows(&self, axis: usize, batch: usize, shape: &Shape, indices: Var) -> bool {
        let named = self.b.shape(indices);
        let last = shape.rank().wrapping_sub(1);
        (axis, batch) == (last, last) && named.rank() == shape.rank() && named[last] == 1 && shape[last] > 1
    }

    /// Picks from the operands of an element-wise value; `None` where that gains nothing.
    pub(super) fn picked(&mut self, gather: &Gather, x: Var, indices: Var) -> Result<Option<Var>> {
        let shape = self.b.shape(x).clone();
        if !self.names_rows(gather.axis, gather.batch, &shape, indices) || !self.computed(x) {
            return Ok(None);
        }
        let mut count = Count::default();
        if !self.counted(x, &mut count) || !(1..=SOURCES).contains(&count.sources.len()) {
            return Ok(None);
        }
        self.pick(x, indices, gather.from_end).map(Some)
    }

    /// Whether `v` is computed element by element, so that picking may come first.
    fn computed(&self, v: Var) -> bool {
        let fails = |op: &Op| matches!(op, Op::Binary(Binary::Div | Binary::Rem)) && self.b.dtype(v).is_int();
        self.definition(v)
            .is_some_and(|(op, _)| is_elementwise(op) && !matches!(op, Op::Iota(_)) && !fails(op))
    }

    /// Whether `v` is the same along its last axis; if it is a row that is repeated, that row.
    fn repeated(&self, v: Var) -> Option<(Option<Var>, &Broadcast)> {
        let Some((Op::Broadcast(b), from)) = self.definition(v) else { return None };
        let (shape, last) = (self.b.shape(from[0]), self.b.shape(v).rank() - 1);
        match b.axes.iter().position(|&a| a == last) {
            Some(own) if shape[own] > 1 => (shape.rank() == 1).then_some((Some(from[0]), b)),
            _ => Some((None, b)),
        }
    }

    /// Counts the equations that picking from `v` takes; false where it is impossible.
    fn counted(&self, v: Var, count: &mut Count) -> bool {
        count.equations += 1;
        if count.equations > EQUATIONS {
            return false;
        }
        if self.constant(v).is_some() {
            return true;
        }
        if self.computed(v) {
            let inputs = self.definition(v).map_or(Vars::new(), |d| d.1.into());
            return inputs.into_iter().all(|v| self.counted(v, count));
        }
        let source = match self.repeated(v) {
            Some((None, _)) => return true,
            Some((Some(row), _)) => row,
            // An operand read through strides would be copied.
            None if self.definition(v).is_some_and(|(op, _)| is_movement(op)) => return false,
            None => v,
        };
        if !count.sources.contains(&source) {
            count.sources.push(source);
        }
        true
    }

    fn pick(&mut self, v: Var, indices: Var, from_end: bool) -> Result<Var> {
        let shape = self.b.shape(indices).clone();
        if let Some(value) = self.constant(v) {
            let full = Full { value, dtype: self.b.dtype(v), shape };
            return Ok(self.emit(full.into(), &[])?[0]);
        }
        if self.computed(v) {
            let (op, inputs) =
                self.definition(v).map(|(op, i)| (op.clone(), Vars::from(i))).expect("it is computed");
            let picked: Result<Vars> = inputs.into_iter().map(|v| self.pick(v, indices, from_end)).collect();
            return Ok(self.simplified(&op, &picked?)?[0]);
        }
        match self.repeated(v).map(|(row, b)| (row, b.axes.clone())) {
            Some((None, axes)) => {
                let from = self.definition(v).expect("it is repeated").1[0];
                Ok(self.simplified(&Broadcast { shape, axes }.into(), &[from])?[0])
            }
            Some((Some(row), _)) => {
                Ok(self.emit(Gather { axis: 0, batch: 0, from_end }.into(), &[row, indices])?[0])
            }
            None => {
                let last = shape.rank() - 1;
                Ok(self.emit(Gather { axis: last, batch: last, from_end }.into(), &[v, indices])?[0])
            }
        }
    }

    /// One place of each row filled, all else zero; `None` where no equation reads at the same indices along an axis as long, and
    /// so finds those that are out of range.
    pub(super) fn placed(&mut self, scatter: &ScatterAdd, inputs: &[Var]) -> Result<Option<Var>> {
        let &[zeros, indices, updates] = inputs else { return Ok(None) };
        let ty = self.b.ty(zeros).clone();
        let extent = ty.shape.last().copied().unwrap_or(0);
        let applies = self.names_rows(scatter.axis, scatter.batch, &ty.shape, indices)
            && self.constant(zeros) == Some(0.0)
            && i32::try_from(extent).is_ok()
            && self.read_at.contains(&(indices, extent, scatter.from_end));
        if !applies {
            return Ok(None);
        }
        let mut place = indices;
        if scatter.from_end {
            let named = self.b.ty(indices).clone();
            let full =
                |value: f64| -> Op { Full { value, dtype: named.dtype, shape: named.shape.clone() }.into() };
            let (zero, extents) = (self.emit(full(0.0), &[])?[0], self.emit(full(extent as f64), &[])?[0]);
            let below = self.simplified(&Compare::Lt.into(), &[indices, zero])?[0];
            let from_end = self.simplified(&Binary::Add.into(), &[indices, extents])?[0];
            place = self.simplified(&Select.into(), &[below, from_end, indices])?[0];
        }
        let place = self.simplified(&Cast(DType::I32).into(), &[place])?[0];
        let axes = (0..ty.shape.rank()).collect();
        let along = Broadcast { shape: ty.shape.clone(), axes };
        let place = self.simplified(&along.clone().into(), &[place])?[0];
        let iota = Iota { dtype: DType::I32, shape: ty.shape.clone(), axis: scatter.axis };
        let own = self.emit(iota.into(), &[])?[0];
        let here = self.simplified(&Compare::Eq.into(), &[own, place])?[0];
        let updates = self.simplified(&along.into(), &[updates])?[0];
        Ok(Some(self.simplified(&Select.into(), &[here, updates, zeros])?[0]))
    }
}
