//! Loops and branches: programs run inside the workspace of a kernel, on pointers, without copying rows.
//!
//! Invariant: the workspace holds two sets of carried values, the condition and the largest arena of the programs, as
//! `ControlLayout` lays them out; row `i` of a stacked value exists for every step.

use std::sync::Arc;

use gradus_core::ops::Op;
use gradus_core::{Result, nest};
use gradus_plan::{ControlLayout, Plan};
use smallvec::SmallVec;

use super::places::Memory;
use super::program::{Operands, Program};
use super::replay::Replayed;
use crate::Pool;

/// A control-flow primitive ready to run.
pub(super) struct Control {
    op: Op,
    programs: Vec<Program>,
    layout: ControlLayout,
    replayed: Option<Replayed>,
    workspace: usize,
}

pub(super) type Sources = SmallVec<[*const u8; 8]>;
pub(super) type Targets = SmallVec<[*mut u8; 8]>;

impl Drop for Control {
    fn drop(&mut self) {
        nest::level(|| self.programs.clear());
    }
}

impl Control {
    pub(super) fn new(op: &Op, plans: &[Arc<Plan>], workspace: usize) -> Self {
        let layout = ControlLayout::new(op, plans);
        let programs = nest::level(|| plans.iter().map(|p| Program::new(p.clone())).collect());
        let replayed = match op {
            Op::Replay(replay) => Some(Replayed::new(replay, plans)),
            _ => None,
        };
        Control { op: op.clone(), programs, layout, replayed, workspace }
    }

    /// Its name for checks.
    pub(super) fn path(&self) -> &'static str {
        self.op.name()
    }

    /// Adds the columns that groups with masks have computed, as [`Program::masked_columns`] does.
    pub(super) fn masked_columns(&self, to: &mut Vec<(u64, u64)>) {
        self.programs.iter().for_each(|p| p.masked_columns(to));
    }

    /// Adds the paths of the kernels inside.
    pub(super) fn paths(&self, to: &mut Vec<String>) {
        self.programs.iter().for_each(|p| p.paths(to));
    }

    /// # Safety
    /// As for [`Program::run`].
    pub(super) unsafe fn run(&self, operands: &Operands, memory: &Memory<'_>, pool: &Pool) -> Result<()> {
        // SAFETY: the caller's promise.
        nest::level(|| unsafe { self.run_level(operands, memory, pool) })
    }

    /// # Safety
    /// As for [`Program::run`].
    unsafe fn run_level(&self, operands: &Operands, memory: &Memory<'_>, pool: &Pool) -> Result<()> {
        let inputs: Sources = operands.inputs.iter().map(|(p, _)| memory.at(*p)).collect();
        let outputs: Targets = operands.outputs.iter().map(|(p, _)| memory.at_mut(*p)).collect();
        if let Some(replayed) = &self.replayed {
            // SAFETY: the caller's promise.
            return unsafe { replayed.run(&self.programs, self.workspace, operands, memory, pool) };
        }
        // SAFETY: the caller's promise; operands have the types of the sub-programs' inputs, which the shape rules
        // checked.
        unsafe {
            match &self.op {
                Op::Cond(_) => {
                    let taken = usize::from(*inputs[0] == 0);
                    self.call(taken, &inputs[1..], &outputs, memory, pool)
                }
                Op::Scan(scan) => {
                    let shape = Loop { constants: scan.constants, carry: scan.carry };
                    self.scan(shape, scan.length, scan.reverse, operands, inputs, outputs, memory, pool)
                }
                Op::While(w) => self.while_loop(w.constants, operands, inputs, outputs, memory, pool),
                _ => self.call(0, &inputs, &outputs, memory, pool),
            }
        }
    }

    /// # Safety
    /// The pointers fit the inputs and results of sub-program `which`.
    unsafe fn call(
        &self,
        which: usize,
        arguments: &[*const u8],
        results: &[*mut u8],
        memory: &Memory<'_>,
        pool: &Pool,
    ) -> Result<()> {
        let arena = memory.workspace(self.workspace + self.layout.arena);
        // SAFETY: the workspace holds the arena of every sub-program.
        unsafe { self.programs[which].run_inside(&Memory { arguments, results, arena, locals: &[] }, pool) }
    }

    /// The carried values in one of the two sets.
    fn set(&self, which: usize, memory: &Memory<'_>) -> Targets {
        let base = self.workspace + which * self.layout.set;
        self.layout.carry.iter().map(|offset| memory.workspace(base + offset)).collect()
    }

    /// # Safety
    /// As for [`run`](Self::run).
    unsafe fn scan(
        &self,
        shape: Loop,
        length: usize,
        reverse: bool,
        operands: &Operands,
        inputs: Sources,
        outputs: Targets,
        memory: &Memory<'_>,
        pool: &Pool,
    ) -> Result<()> {
        let (constants, carry) = (shape.constants, shape.carry);
        let rows = |types: &[(gradus_plan::Place, gradus_core::Type)]| -> SmallVec<[usize; 8]> {
            types.iter().map(|(_, ty)| ty.bytes().checked_div(length).unwrap_or(0)).collect()
        };
        let (in_rows, out_rows) = (rows(&operands.inputs), rows(&operands.outputs));
        let mut arguments = inputs.clone();
        for step in 0..length {
            let i = if reverse { length - 1 - step } else { step };
            let mut results =
                if step + 1 == length { outputs[..carry].into() } else { self.set(step % 2, memory) };
            // SAFETY: row `i` lies inside each stacked value.
            unsafe {
                for at in constants + carry..inputs.len() {
                    arguments[at] = inputs[at].add(i * in_rows[at]);
                }
                for at in carry..outputs.len() {
                    results.push(outputs[at].add(i * out_rows[at]));
                }
                self.call(0, &arguments, &results, memory, pool)?;
            }
            for at in 0..carry {
                arguments[constants + at] = results[at].cast_const();
            }
        }
        if length == 0 {
            for at in 0..carry {
                // SAFETY: a carried value and its result have one type.
                unsafe {
                    let bytes = operands.outputs[at].1.bytes();
                    std::ptr::copy_nonoverlapping(inputs[constants + at], outputs[at], bytes);
                }
            }
        }
        Ok(())
    }

    /// # Safety
    /// As for [`run`](Self::run).
    unsafe fn while_loop(
        &self,
        constants: usize,
        operands: &Operands,
        mut arguments: Sources,
        outputs: Targets,
        memory: &Memory<'_>,
        pool: &Pool,
    ) -> Result<()> {
        let condition = memory.workspace(self.workspace + 2 * self.layout.set);
        let mut step = 0;
        loop {
            // SAFETY: the condition has a place of its own; the two sets take turns.
            unsafe {
                self.call(0, &arguments, &[condition], memory, pool)?;
                if *condition == 0 {
                    break;
                }
                let next = self.set(step % 2, memory);
                self.call(1, &arguments, &next, memory, pool)?;
                for (at, pointer) in next.iter().enumerate() {
                    arguments[constants + at] = pointer.cast_const();
                }
            }
            step += 1;
        }
        for (at, output) in outputs.iter().enumerate() {
            // SAFETY: a carried value and its result have one type.
            unsafe {
                let bytes = operands.outputs[at].1.bytes();
                std::ptr::copy_nonoverlapping(arguments[constants + at], *output, bytes);
            }
        }
        Ok(())
    }
}

/// How a loop's operands are divided.
#[derive(Clone, Copy)]
struct Loop {
    constants: usize,
    carry: usize,
}
