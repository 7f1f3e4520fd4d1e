//! The order of arithmetic steps that run together.

use gradus_core::{Binary, DType, Unary};
use gradus_plan::kernel::{Region, StepOp};
use smallvec::SmallVec;

use super::codes::{float_of, pair, single};
use super::{Fused, MOST, Op};
use crate::vmath::fused::Code;

/// Steps being put in order.
pub(super) struct Schedule<'a> {
    region: &'a Region,
    uses: &'a [u32],
    steps: &'a [usize],
    /// A bit for each remaining one.
    left: u64,
    /// What the accumulator holds.
    acc: Option<u16>,
    fused: Fused,
}

impl<'a> Schedule<'a> {
    pub(super) fn new(region: &'a Region, uses: &'a [u32], steps: &'a [usize]) -> Self {
        let dtype = steps.iter().find_map(|&i| float_of(region, i)).unwrap_or(DType::F32);
        let fused =
            Fused { level: region.steps[steps[0]].level, dtype, ops: Vec::with_capacity(steps.len()) };
        Schedule { region, uses, steps, left: u64::MAX >> (MOST - steps.len()), acc: None, fused }
    }

    /// The operations, unless separate loops would write no more to memory.
    pub(super) fn run(mut self) -> Option<Fused> {
        while self.left != 0 {
            let found = self.acc.and_then(|acc| self.left().find(|&i| self.continues(i, acc)));
            match found {
                Some(step) => self.go_on(step),
                None => self.begin(),
            }
        }
        // The slots that are read elsewhere, or by an operation that does not come next.
        let Schedule { region, uses, steps, ref fused, .. } = self;
        let (mut inside, mut read) = ([0; MOST], [false; MOST]);
        for &slot in steps.iter().flat_map(|&i| &region.steps[i].args) {
            self.place(slot).into_iter().for_each(|at| inside[at] += 1);
        }
        for &slot in fused.ops.iter().flat_map(|op| &op.args) {
            self.place(slot).into_iter().for_each(|at| read[at] = true);
        }
        let made = |op: &Op| {
            let at = self.place(op.value).filter(|_| !matches!(op.code, Code::Load | Code::LoadMask));
            at.is_some_and(|at| read[at] || uses[usize::from(op.value)] > inside[at])
        };
        let stored: SmallVec<[bool; MOST]> = fused.ops.iter().map(made).collect();
        let mut fused = self.fused;
        fused.ops.iter_mut().zip(stored).for_each(|(op, stored)| op.stored = stored);
        let stored = fused.ops.iter().filter(|op| op.stored).count();
        let loads = fused.ops.iter().filter(|op| matches!(op.code, Code::Load | Code::LoadMask)).count();
        (stored + loads < steps.len()).then_some(fused)
    }

    fn slot(&self, step: usize) -> u16 {
        (self.region.first_step() + step) as u16
    }

    /// The remaining steps, in the order of the region.
    fn left(&self) -> impl Iterator<Item = usize> {
        self.steps.iter().enumerate().filter(|(at, _)| self.left >> at & 1 == 1).map(|(_, &step)| step)
    }

    /// The position of the step that computes a slot.
    fn place(&self, slot: u16) -> Option<usize> {
        let step = usize::from(slot).checked_sub(self.region.first_step())?;
        self.steps.binary_search(&step).ok()
    }

    /// The step that computes a slot, if it is among the remaining ones.
    fn maker(&self, slot: u16) -> Option<usize> {
        self.place(slot).filter(|at| self.left >> at & 1 == 1).map(|at| self.steps[at])
    }

    /// A step that is computed now.
    fn take(&mut self, step: usize) {
        if let Ok(at) = self.steps.binary_search(&step) {
            self.left &= !(1 << at);
        }
    }

    fn ready(&self, slot: u16) -> bool {
        self.maker(slot).is_none()
    }

    /// The step of a slot with its factors and its operation, if the slot is a remaining product with one reader whose
    /// factors are available.
    fn product(&self, slot: u16) -> Option<(usize, [u16; 2], Code)> {
        let step = self.maker(slot).filter(|_| self.uses[usize::from(slot)] == 1)?;
        let &[x, y] = &self.region.steps[step].args[..] else { return None };
        let code =
            pair(self.region.steps[step].op, true).filter(|code| matches!(code, Code::Mul | Code::Linear))?;
        (self.ready(x) && self.ready(y)).then_some((step, [x, y], code))
    }

    /// Whether a step can be computed from the accumulator and slots in memory.
    fn continues(&self, step: usize, acc: u16) -> bool {
        let step = &self.region.steps[step];
        if !step.args.contains(&acc) {
            return false;
        }
        match step.op {
            StepOp::Binary(_) | StepOp::LinearMul { .. } => {
                let first = step.args[0] == acc;
                let other = step.args[usize::from(first)];
                self.ready(other)
                    || self.product(other).is_some_and(|(_, _, factors)| {
                        pair(step.op, first).and_then(|code| code.with_product(factors)).is_some()
                    })
            }
            _ => step.args.iter().all(|&slot| self.ready(slot)),
        }
    }

    fn push(&mut self, code: Code, args: &[u16], step: usize) {
        let value = self.slot(step);
        self.take(step);
        self.acc = Some(value);
        self.fused.ops.push(Op { code, args: SmallVec::from_slice(args), value, stored: false });
    }

    /// The combined operation of a step and its only reader, if the table has it.
    fn push_two(&mut self, code: Code, args: &[u16], step: usize) {
        match self.next(step, code) {
            Some((after, both, other)) => {
                self.take(step);
                let args: SmallVec<[u16; 2]> = args.iter().copied().chain([other]).collect();
                self.push(both, &args, after);
            }
            None => self.push(code, args, step),
        }
    }

    /// The next operation, a step that reads the accumulator.
    fn go_on(&mut self, i: usize) {
        let step = &self.region.steps[i];
        let acc = self.acc.expect("a step that goes on has something to go on from");
        let first = step.args[0] == acc;
        match (step.op, &step.args[..]) {
            (StepOp::Unary(f), _) => self.push_two(single(f).expect("arithmetic"), &[], i),
            (StepOp::Not, _) => self.push(Code::Not, &[], i),
            (StepOp::Cast, _) => self.push(Code::Same, &[], i),
            (StepOp::Select, &[_, x, y]) if first => self.push(Code::Choose, &[x, y], i),
            (StepOp::Select, &[mask, x, y]) if x == acc => self.push(Code::Where, &[mask, y], i),
            (StepOp::Select, &[mask, x, _]) => self.push(Code::Unless, &[mask, x], i),
            (StepOp::Binary(Binary::Mul), &[x, y]) if x == y => self.push(Code::Square, &[], i),
            (op, args) => {
                let code = pair(op, first).expect("arithmetic");
                let other = args[usize::from(first)];
                if let Some((step, [x, y], factors)) = self.product(other) {
                    self.take(step);
                    return self.push(code.with_product(factors).expect("asked before"), &[x, y], i);
                }
                self.push_two(code, &[other], i);
            }
        }
    }

    /// The only reader of step `i`, if both combine into one operation: that operation, and its other operand.
    fn next(&self, i: usize, code: Code) -> Option<(usize, Code, u16)> {
        let slot = self.slot(i);
        if self.uses[usize::from(slot)] != 1 {
            return None;
        }
        let j = self.left().find(|&j| self.region.steps[j].args.contains(&slot))?;
        let step = &self.region.steps[j];
        let first = step.args[0] == slot;
        let other = *step.args.get(usize::from(first))?;
        let both = code.then(pair(step.op, first)?)?;
        self.ready(other).then_some((j, both, other))
    }

    /// The next operation, with its operands in memory.
    fn begin(&mut self) {
        let ready = |i: &usize| self.region.steps[*i].args.iter().all(|&slot| self.ready(slot));
        // A product whose reader waits for another operand is better computed with that reader; of two products, one
        // comes first.
        let waits = |i: &usize| {
            let slot = self.slot(*i);
            self.product(slot).is_some()
                && self.left().any(|j| {
                    let step = &self.region.steps[j];
                    let other = |&arg: &u16| arg != slot && !self.ready(arg) && self.product(arg).is_none();
                    step.args.contains(&slot) && step.args.iter().any(other)
                })
        };
        let found = self.left().filter(ready).find(|i| !waits(i));
        let found = found.or_else(|| self.left().find(ready));
        let i = found.expect("the first step that is left has its operands");
        let step = &self.region.steps[i];
        match (pair(step.op, true).and_then(Code::begin), &step.args[..]) {
            (Some(code), &[x, y]) if x != y => self.push(code, &[x, y], i),
            (Some(Code::BeginMul), &[x, _]) => self.push(Code::BeginSquare, &[x], i),
            (None, &[x]) if step.op == StepOp::Unary(Unary::Powi(2)) => self.push(Code::BeginSquare, &[x], i),
            (_, args) => {
                // The first operand that is no mask, unless all are.
                let mask = |slot: u16| self.region.slot(slot).0 == DType::Bool;
                let slot = args.iter().copied().find(|&slot| !mask(slot)).unwrap_or(args[0]);
                let code = if mask(slot) { Code::LoadMask } else { Code::Load };
                self.acc = Some(slot);
                self.fused.ops.push(Op {
                    code,
                    args: SmallVec::from_slice(&[slot]),
                    value: slot,
                    stored: false,
                });
            }
        }
    }
}
