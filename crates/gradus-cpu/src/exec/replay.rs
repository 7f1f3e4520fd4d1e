//! Replays: the steps of the levels in the order of their schedule, on states that lie in the arena.
//!
//! Invariant: the workspace holds every buffer of the schedule, as `ReplayLayout` lays them out; a step writes to
//! none of those it reads.

use std::sync::Arc;

use gradus_core::ops::{Replay, Stepper, Sweep};
use gradus_core::{Error, Result};
use gradus_plan::{Plan, ReplayLayout};

use super::control::{Sources, Targets};
use super::places::Memory;
use super::program::{Operands, Program, fill};
use crate::Pool;

/// A replay ready to run.
pub(super) struct Replayed {
    replay: Replay,
    widths: Vec<usize>,
    sweep: Sweep,
    layout: ReplayLayout,
}

impl Replayed {
    pub(super) fn new(replay: &Replay, plans: &[Arc<Plan>]) -> Self {
        let layout = ReplayLayout::new(replay, plans);
        Replayed { widths: replay.widths(), sweep: replay.sweep(), layout, replay: replay.clone() }
    }

    /// # Safety
    /// As for [`Program::run`], for the kernel whose operands these are and whose scratch begins at `workspace`.
    pub(super) unsafe fn run(
        &self,
        programs: &[Program],
        workspace: usize,
        operands: &Operands,
        memory: &Memory<'_>,
        pool: &Pool,
    ) -> Result<()> {
        let inputs: Sources = operands.inputs.iter().map(|(p, _)| memory.at(*p)).collect();
        let outputs: Targets = operands.outputs.iter().map(|(p, _)| memory.at_mut(*p)).collect();
        // SAFETY: the first operand is one `i64`.
        let trips = self.replay.trips(unsafe { inputs[0].cast::<i64>().read_unaligned() })?;
        let width = self.widths[self.widths.len() - 1];
        for (at, (_, ty)) in operands.outputs.iter().enumerate() {
            // SAFETY: a state and its result have one type; steps that are not taken have rows like those that are.
            unsafe {
                if at >= width {
                    let row = ty.bytes().checked_div(self.replay.length).unwrap_or(0);
                    let taken = row * trips.min(self.replay.length);
                    let (to, bytes) = (outputs[at].add(taken), ty.bytes() - taken);
                    fill(to, bytes, ty.dtype.size(), ty.dtype.is_float());
                } else if trips == 0 {
                    let from = inputs[inputs.len() - width + at];
                    std::ptr::copy_nonoverlapping(from, outputs[at], ty.bytes());
                }
            }
        }
        if trips == 0 {
            return Ok(());
        }
        let rows = |types: &[(gradus_plan::Place, gradus_core::Type)]| -> Vec<usize> {
            types.iter().map(|(_, ty)| ty.bytes().checked_div(self.replay.length).unwrap_or(0)).collect()
        };
        let first = 1 + self.replay.constants;
        let mut buffers: Vec<Targets> = Vec::with_capacity(self.widths.len() + 1 + self.layout.buffers.len());
        let mut at = first + self.replay.stacked;
        for &width in &self.widths {
            buffers.push(inputs[at..at + width].iter().map(|p| p.cast_mut()).collect());
            at += width;
        }
        buffers.push(outputs[..width].into());
        for buffer in &self.layout.buffers {
            buffers.push(buffer.iter().map(|offset| memory.workspace(workspace + offset)).collect());
        }
        let index = memory.workspace(workspace + self.layout.index).cast::<i64>();
        let mut arguments: Sources = inputs[..first].into();
        arguments[0] = index.cast_const().cast();
        let mut steps = Steps {
            programs,
            stacked: inputs[first..first + self.replay.stacked]
                .iter()
                .copied()
                .zip(rows(&operands.inputs[first..]))
                .collect(),
            given: outputs[width..].iter().copied().zip(rows(&operands.outputs[width..])).collect(),
            buffers,
            index,
            shared: first,
            arguments,
            results: Targets::new(),
            arena: memory.workspace(workspace + self.layout.arena),
            pool,
        };
        self.sweep.run(trips, &mut steps)
    }
}

/// The steps of a run.
struct Steps<'a> {
    programs: &'a [Program],
    /// Stacked operands, and the bytes of their rows.
    stacked: Vec<(*const u8, usize)>,
    /// Stacked results, and the bytes of their rows.
    given: Vec<(*mut u8, usize)>,
    /// The states in each buffer; initial ones are only read.
    buffers: Vec<Targets>,
    index: *mut i64,
    /// The first of the arguments that are not the same at every step.
    shared: usize,
    arguments: Sources,
    results: Targets,
    arena: *mut u8,
    pool: &'a Pool,
}

impl Stepper for Steps<'_> {
    type Error = Error;
    fn step(&mut self, level: usize, t: usize, states: &[usize], to: usize) -> Result<()> {
        self.arguments.truncate(self.shared);
        self.results.clear();
        // SAFETY: `t` is below the number of rows, the scratch has a place for it, and the schedule gives buffers of
        // the right levels, `to` apart from those read.
        unsafe {
            self.index.write(t as i64);
            self.arguments.extend(self.stacked.iter().map(|(x, row)| x.add(t * row)));
            for &s in states {
                self.arguments.extend(self.buffers[s].iter().map(|p| p.cast_const()));
            }
            self.results.extend_from_slice(&self.buffers[to]);
            if level + 1 == self.programs.len() {
                self.results.extend(self.given.iter().map(|(x, row)| x.add(t * row)));
            }
            let memory =
                Memory { arguments: &self.arguments, results: &self.results, arena: self.arena, locals: &[] };
            self.programs[level].run_inside(&memory, self.pool)
        }
    }
}
