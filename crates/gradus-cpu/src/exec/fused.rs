//! Arithmetic steps of a region that run together, their intermediate results in registers.
//!
//! Steps are collected in the order of the region; steps that do not depend on the collected ones are placed before
//! them. The collected steps are ordered so that as many as possible continue from the result of the one before; a
//! result is written to memory only if something else reads it.

use gradus_core::ops::{Compare, Logic};
use gradus_core::{Binary, DType, Unary};
use gradus_plan::kernel::{Level, Region, StepOp};
use smallvec::SmallVec;

use super::join::{Joined, reads};
use crate::vmath::fused::Code;

/// The most steps that run together, and the most slots that they use.
const MOST: usize = 64;

/// What runs at once.
#[derive(Clone, Debug)]
pub(super) enum Item {
    /// One step, as it is joined.
    Step(usize),
    /// Several arithmetic steps.
    Fused(Fused),
}

/// Arithmetic steps in the order in which they run.
#[derive(Clone, Debug)]
pub(super) struct Fused {
    pub(super) level: Level,
    pub(super) dtype: DType,
    pub(super) ops: Vec<Op>,
}

/// One operation on the accumulator, its operands being slots.
#[derive(Clone, Debug)]
pub(super) struct Op {
    pub(super) code: Code,
    pub(super) args: SmallVec<[u16; 2]>,
    /// The slot whose value the accumulator holds then.
    pub(super) value: u16,
    /// Whether it is stored to memory.
    pub(super) stored: bool,
}

/// The items of a region, in order; `uses` counts the readers of each slot, two for a result.
pub(super) fn items(region: &Region, joined: &[Joined], uses: &[u32]) -> Vec<Item> {
    let mut items = Items { region, uses, open: Vec::new(), out: Vec::new() };
    for i in 0..region.steps.len() {
        if matches!(joined[i], Joined::Away) {
            continue;
        }
        if matches!(joined[i], Joined::Alone) && arithmetic(region, i) {
            if !items.takes(i) {
                items.close(|_| true);
            }
            items.open.push(i);
            continue;
        }
        // The step waits for those open steps that it depends on.
        let mut waits: Vec<u16> = reads(region, joined, i).to_vec();
        for &j in items.open.iter().rev() {
            if waits.contains(&((region.first_step() + j) as u16)) {
                waits.extend(&region.steps[j].args);
            }
        }
        items.close(|j| waits.contains(&((region.first_step() + j) as u16)));
        items.out.push(Item::Step(i));
    }
    items.close(|_| true);
    items.out
}

/// Items being collected.
struct Items<'a> {
    region: &'a Region,
    uses: &'a [u32],
    /// Arithmetic that no step has waited for so far.
    open: Vec<usize>,
    out: Vec<Item>,
}

impl Items<'_> {
    /// Whether an arithmetic step can join the open ones.
    fn takes(&self, i: usize) -> bool {
        let steps = &self.region.steps;
        let alike = |&j: &usize| {
            let floats = (float_of(self.region, i), float_of(self.region, j));
            steps[j].level == steps[i].level && !matches!(floats, (Some(x), Some(y)) if x != y)
        };
        let places: usize = self.open.iter().chain([&i]).map(|&j| steps[j].args.len() + 1).sum();
        self.open.iter().all(alike) && places <= MOST
    }

    /// Gives out those of the open steps.
    fn close(&mut self, which: impl Fn(usize) -> bool) {
        let (steps, open): (Vec<usize>, _) = self.open.iter().partition(|&&j| which(j));
        self.open = open;
        if steps.is_empty() {
            return;
        }
        match Schedule::new(self.region, self.uses, &steps).run() {
            Some(fused) => self.out.push(Item::Fused(fused)),
            None => self.out.extend(steps.iter().map(|&step| Item::Step(step))),
        }
    }
}

/// The type of float that a step works on, if it is not a step of masks alone.
fn float_of(region: &Region, step: usize) -> Option<DType> {
    let step = &region.steps[step];
    [step.dtype, step.out].into_iter().find(|d| d.is_wide_float())
}

/// Whether a step is one of arithmetic.
fn arithmetic(region: &Region, i: usize) -> bool {
    let step = &region.steps[i];
    let wide = step.dtype.is_wide_float();
    match step.op {
        StepOp::Unary(f) => wide && single(f).is_some(),
        StepOp::Binary(f) => wide && two(f, true).is_some(),
        StepOp::LinearMul { .. } | StepOp::Compare(_) | StepOp::Select => wide,
        StepOp::Logic(_) | StepOp::Not => step.dtype == DType::Bool,
        StepOp::Cast => step.dtype == DType::Bool && step.out.is_wide_float(),
        _ => false,
    }
}

fn single(f: Unary) -> Option<Code> {
    Some(match f {
        Unary::Neg => Code::Neg,
        Unary::Abs => Code::Abs,
        Unary::Sign => Code::Sign,
        Unary::Recip | Unary::Powi(-1) => Code::Recip,
        Unary::Sqrt => Code::Sqrt,
        Unary::Rsqrt => Code::Rsqrt,
        Unary::Powi(2) => Code::Square,
        Unary::Powi(3) => Code::Cube,
        Unary::Powi(4) => Code::Fourth,
        Unary::Powi(-2) => Code::InverseSquare,
        _ => return None,
    })
}

/// The operation whose accumulator is the first operand, or the second.
fn two(f: Binary, first: bool) -> Option<Code> {
    Some(match (f, first) {
        (Binary::Add, _) => Code::Add,
        (Binary::Mul, _) => Code::Mul,
        (Binary::Sub, true) => Code::Sub,
        (Binary::Sub, false) => Code::Less,
        (Binary::Div, true) => Code::Div,
        (Binary::Div, false) => Code::Over,
        (Binary::Max, true) => Code::Max,
        (Binary::Max, false) => Code::MaxOf,
        (Binary::Min, true) => Code::Min,
        (Binary::Min, false) => Code::MinOf,
        _ => return None,
    })
}

/// The operation of a step of two operands.
fn pair(op: StepOp, first: bool) -> Option<Code> {
    Some(match op {
        StepOp::Binary(f) => return two(f, first),
        StepOp::LinearMul { both: true } => Code::Tangents,
        StepOp::LinearMul { both: false } if first => Code::Linear,
        StepOp::LinearMul { both: false } => Code::Linked,
        StepOp::Compare(c) => match (c, first) {
            (Compare::Eq, _) => Code::Eq,
            (Compare::Ne, _) => Code::Ne,
            (Compare::Lt, true) | (Compare::Gt, false) => Code::Lt,
            (Compare::Le, true) | (Compare::Ge, false) => Code::Le,
            (Compare::Gt, true) | (Compare::Lt, false) => Code::Gt,
            (Compare::Ge, true) | (Compare::Le, false) => Code::Ge,
        },
        StepOp::Logic(Logic::And) => Code::And,
        StepOp::Logic(Logic::Or) => Code::Or,
        StepOp::Logic(Logic::Xor) => Code::Xor,
        _ => return None,
    })
}

/// The operation of two operands in memory.
fn begin(op: StepOp) -> Option<Code> {
    Some(match op {
        StepOp::Binary(Binary::Add) => Code::BeginAdd,
        StepOp::Binary(Binary::Sub) => Code::BeginSub,
        StepOp::Binary(Binary::Mul) => Code::BeginMul,
        StepOp::Binary(Binary::Div) => Code::BeginDiv,
        StepOp::Binary(Binary::Max) => Code::BeginMax,
        StepOp::Binary(Binary::Min) => Code::BeginMin,
        StepOp::LinearMul { both: false } => Code::BeginLinear,
        StepOp::LinearMul { both: true } => Code::BeginTangents,
        _ => return None,
    })
}

/// Two operations combined into one, if the table has it.
fn then(inner: Code, outer: Code) -> Option<Code> {
    macro_rules! pairs {
        ($($inner:ident: $($outer:ident $both:ident),*;)*) => {
            match (inner, outer) {
                $($((Code::$inner, Code::$outer) => Some(Code::$both),)*)*
                _ => None,
            }
        };
    }
    pairs! {
        Add: Add AddAdd, Sub AddSub, Less AddLess, Mul AddMul, Linear AddLinear, Linked AddLinked;
        Sub: Add SubAdd, Sub SubSub, Less SubLess, Mul SubMul, Linear SubLinear, Linked SubLinked;
        Less: Add LessAdd, Sub LessSub, Less LessLess, Mul LessMul, Linear LessLinear, Linked LessLinked;
        Mul: Add MulAdd, Sub MulSub, Less MulLess, Mul MulMul, Linear MulLinear, Linked MulLinked;
        Div: Add DivAdd, Sub DivSub, Less DivLess;
        Over: Add OverAdd, Sub OverSub, Less OverLess;
        Sqrt: Add SqrtAdd;
        Linear: Add LinearAdd, Sub LinearSub, Less LinearLess, Mul LinearMul, Linear LinearLinear, Linked LinearLinked;
        Linked: Add LinkedAdd, Sub LinkedSub, Less LinkedLess, Mul LinkedMul, Linear LinkedLinear, Linked LinkedLinked;
    }
}

/// The operation on the accumulator and a product in memory, `linear` if its second factor is a tangent.
fn with_product(outer: Code, linear: bool) -> Option<Code> {
    Some(match (outer, linear) {
        (Code::Add, false) => Code::AddProduct,
        (Code::Sub, false) => Code::SubProduct,
        (Code::Less, false) => Code::LessProduct,
        (Code::Over, false) => Code::OverProduct,
        (Code::Add, true) => Code::AddTangent,
        (Code::Sub, true) => Code::SubTangent,
        (Code::Less, true) => Code::LessTangent,
        _ => return None,
    })
}

/// Steps being put in order.
struct Schedule<'a> {
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
    fn new(region: &'a Region, uses: &'a [u32], steps: &'a [usize]) -> Self {
        let dtype = steps.iter().find_map(|&i| float_of(region, i)).unwrap_or(DType::F32);
        let fused =
            Fused { level: region.steps[steps[0]].level, dtype, ops: Vec::with_capacity(steps.len()) };
        Schedule { region, uses, steps, left: u64::MAX >> (MOST - steps.len()), acc: None, fused }
    }

    /// The operations, unless separate loops would write no more to memory.
    fn run(mut self) -> Option<Fused> {
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

    /// The factors of a slot, and whether the second is a tangent, if the slot is a remaining product with one reader
    /// whose factors are available.
    fn product(&self, slot: u16) -> Option<(usize, [u16; 2], bool)> {
        let step = self.maker(slot).filter(|_| self.uses[usize::from(slot)] == 1)?;
        let linear = match self.region.steps[step].op {
            StepOp::Binary(Binary::Mul) => false,
            StepOp::LinearMul { both: false } => true,
            _ => return None,
        };
        let &[x, y] = &self.region.steps[step].args[..] else { return None };
        (self.ready(x) && self.ready(y)).then_some((step, [x, y], linear))
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
                    || self.product(other).is_some_and(|(_, _, linear)| {
                        pair(step.op, first).and_then(|code| with_product(code, linear)).is_some()
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
                if let Some((step, [x, y], linear)) = self.product(other) {
                    self.take(step);
                    return self.push(with_product(code, linear).expect("asked before"), &[x, y], i);
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
        let both = then(code, pair(step.op, first)?)?;
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
        match (begin(step.op), &step.args[..]) {
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::vmath::fused::{FusedKernel, Op as Fused, Place};
    use crate::vmath::{Float, InstructionSet};

    const SINGLES: [Code; 12] = [
        Code::Neg,
        Code::Abs,
        Code::Sign,
        Code::Recip,
        Code::Sqrt,
        Code::Rsqrt,
        Code::Square,
        Code::Cube,
        Code::Fourth,
        Code::InverseSquare,
        Code::Not,
        Code::Same,
    ];
    const PAIRS: [Code; 22] = [
        Code::Add,
        Code::Sub,
        Code::Less,
        Code::Mul,
        Code::Div,
        Code::Over,
        Code::Linear,
        Code::Linked,
        Code::Tangents,
        Code::Max,
        Code::MaxOf,
        Code::Min,
        Code::MinOf,
        Code::Lt,
        Code::Le,
        Code::Gt,
        Code::Ge,
        Code::Eq,
        Code::Ne,
        Code::And,
        Code::Or,
        Code::Xor,
    ];

    fn truth<T: Float>(x: bool) -> T {
        if x { T::ONE } else { T::ZERO }
    }

    /// An operation on the accumulator and one operand, by numbers.
    fn expected<T: Float>(code: Code, x: T, y: T) -> T {
        let linear = |residual: T, tangent: T| {
            if tangent.is_dead() { tangent } else { residual * tangent + T::ZERO }
        };
        match code {
            Code::Neg => -x,
            Code::Abs => x.abs(),
            Code::Sign if x > T::ZERO => T::ONE,
            Code::Sign if x < T::ZERO => -T::ONE,
            Code::Sign | Code::Same => x,
            Code::Recip => T::ONE / x,
            Code::Sqrt => x.sqrt(),
            Code::Rsqrt => T::ONE / x.sqrt(),
            Code::Square => x * x,
            Code::Cube => x * x * x,
            Code::Fourth => (x * x) * (x * x),
            Code::InverseSquare => (T::ONE / x) * (T::ONE / x),
            Code::Not => T::ONE - x,
            Code::Add => x + y,
            Code::Sub => x - y,
            Code::Less => y - x,
            Code::Mul => x * y,
            Code::Div => x / y,
            Code::Over => y / x,
            Code::Linear => linear(x, y),
            Code::Linked => linear(y, x),
            Code::Tangents if x.is_dead() => x,
            Code::Tangents => linear(x, y),
            Code::Max if x > y || x.is_nan() => x,
            Code::MaxOf if !(y > x || y.is_nan()) => x,
            Code::Min if x < y || x.is_nan() => x,
            Code::MinOf if !(y < x || y.is_nan()) => x,
            Code::Max | Code::MaxOf | Code::Min | Code::MinOf => y,
            Code::Lt => truth(x < y),
            Code::Le => truth(x <= y),
            Code::Gt => truth(x > y),
            Code::Ge => truth(x >= y),
            Code::Eq => truth(x == y),
            Code::Ne => truth(x != y),
            Code::And => x * y,
            Code::Or => truth(x + y > T::ZERO),
            Code::Xor => truth(x != y),
            _ => unreachable!("not an operation of two"),
        }
    }

    fn same<T: Float>(x: T, y: T) -> bool {
        x.is_nan() && y.is_nan() || x.to_f64().to_bits() == y.to_f64().to_bits()
    }

    /// The result of an operation on every instruction set: `masks` says which operands, and whether the result, are
    /// masks.
    fn run<T: Float + FusedKernel<T>>(
        code: Code,
        values: [&[T]; 3],
        masks: [bool; 3],
        fixed: [bool; 2],
    ) -> Vec<Vec<T>> {
        let n = values[0].len();
        let bytes = values.map(|v| v.iter().map(|&v| u8::from(v == T::ONE)).collect::<Vec<u8>>());
        let width = |mask: bool| if mask { 1 } else { size_of::<T>() as u8 };
        let place = |slot: u16, mask: bool, same: bool| Place {
            slot,
            step: if same { 0 } else { width(mask) },
            same,
        };
        let (x, a) = (place(0, masks[0], false), place(1, masks[1], fixed[0]));
        let (b, out) = (place(2, false, fixed[1]), place(3, masks[2], false));
        let load = if masks[0] { Code::LoadMask } else { Code::Load };
        let ops = [
            Fused { code: load, args: [x, x], out: None, mask: false },
            Fused { code, args: [a, b], out: Some(out), mask: masks[2] },
        ];
        let results = InstructionSet::available().iter().map(|&level| {
            let (mut out, mut out_bytes) = (vec![T::ZERO; n], vec![0u8; n]);
            let at = |i: usize| match masks.get(i).filter(|_| i < 2) {
                Some(true) => bytes[i].as_ptr().cast_mut(),
                _ => values[i].as_ptr().cast::<u8>().cast_mut(),
            };
            let result = if masks[2] { out_bytes.as_mut_ptr() } else { out.as_mut_ptr().cast() };
            // SAFETY: all hold `n` elements; the level is available.
            unsafe { <T as FusedKernel<T>>::call(level, &ops, &[at(0), at(1), at(2), result], n) };
            if masks[2] { out_bytes.iter().map(|&b| T::from_f64(b.into())).collect() } else { out }
        });
        results.collect()
    }

    fn every_operation<T: Float + FusedKernel<T>>() {
        let special =
            [0.0, -0.0, 1.0, -1.0, f64::INFINITY, f64::NEG_INFINITY, f64::NAN, 3.5, -0.3, 1e-30, 7e19];
        for n in [1, 7, 16, 33, 64 + 3, 128, 300] {
            let value = |i: usize, by: usize| T::from_f64(special[(i * by + i / 11) % special.len()]);
            let (x, a, b): (Vec<T>, Vec<T>, Vec<T>) = (
                (0..n).map(|i| value(i, 1)).collect(),
                (0..n).map(|i| value(i, 3)).collect(),
                (0..n).map(|i| value(i, 7)).collect(),
            );
            let mask = |v: &[T]| v.iter().map(|&v| truth(v > T::ZERO)).collect::<Vec<T>>();
            let (mask_x, mask_a) = (mask(&x), mask(&a));
            let fixed = vec![T::from_f64(2.5); n.max(16)];
            let check = |code: Code, got: Vec<Vec<T>>, wanted: &dyn Fn(usize) -> T| {
                for got in got {
                    for (i, &got) in got.iter().enumerate() {
                        assert!(
                            same(got, wanted(i)),
                            "{code:?}, element {i} of {n}: {got:?}, not {:?}",
                            wanted(i)
                        );
                    }
                }
            };
            for code in SINGLES {
                let masks = [code == Code::Not, false, code == Code::Not];
                let x = if masks[0] { &mask_x } else { &x };
                check(code, run(code, [x, &a, &b], masks, [false; 2]), &|i| expected(code, x[i], a[i]));
            }
            for code in PAIRS {
                let logic = matches!(code, Code::And | Code::Or | Code::Xor);
                let test = matches!(code, Code::Lt | Code::Le | Code::Gt | Code::Ge | Code::Eq | Code::Ne);
                let (x, a) = if logic { (&mask_x, &mask_a) } else { (&x, &a) };
                check(code, run(code, [x, a, &b], [logic, logic, logic || test], [false; 2]), &|i| {
                    expected(code, x[i], a[i])
                });
                if !logic {
                    let got = run(code, [x, &fixed, &b], [false, false, test], [true, false]);
                    check(code, got, &|i| expected(code, x[i], fixed[0]));
                }
                for outer in PAIRS.into_iter().chain(SINGLES) {
                    let Some(both) = then(code, outer) else { continue };
                    let wanted = |a: T, b: T, x: T| expected(outer, expected(code, x, a), b);
                    check(both, run(both, [x, a, &b], [false; 3], [false; 2]), &|i| wanted(a[i], b[i], x[i]));
                    let got = run(both, [x, &fixed, &b], [false; 3], [true, false]);
                    check(both, got, &|i| wanted(fixed[0], b[i], x[i]));
                    let got = run(both, [x, a, &fixed], [false; 3], [false, true]);
                    check(both, got, &|i| wanted(a[i], fixed[0], x[i]));
                    let got = run(both, [x, &fixed, &fixed], [false; 3], [true; 2]);
                    check(both, got, &|i| wanted(fixed[0], fixed[0], x[i]));
                }
                for linear in [false, true] {
                    let Some(both) = with_product(code, linear) else { continue };
                    let product = if linear { Code::Linear } else { Code::Mul };
                    let wanted = |i: usize| expected(code, x[i], expected(product, a[i], b[i]));
                    check(both, run(both, [x, a, &b], [false; 3], [false; 2]), &wanted);
                }
            }
            let chosen = |mask: T, x: T, y: T| if mask == T::ONE { x } else { y };
            let got = run(Code::Choose, [&mask_x, &a, &b], [true, false, false], [false; 2]);
            check(Code::Choose, got, &|i| chosen(mask_x[i], a[i], b[i]));
            let got = run(Code::Where, [&x, &mask_a, &b], [false, true, false], [false; 2]);
            check(Code::Where, got, &|i| chosen(mask_a[i], x[i], b[i]));
            let got = run(Code::Unless, [&x, &mask_a, &fixed], [false, true, false], [false, true]);
            check(Code::Unless, got, &|i| chosen(mask_a[i], fixed[0], x[i]));
            let sqrt = |x: T, a: T| expected(Code::Add, expected(Code::Sqrt, x, x), a);
            check(Code::SqrtAdd, run(Code::SqrtAdd, [&x, &a, &b], [false; 3], [false; 2]), &|i| {
                sqrt(x[i], a[i])
            });
            for (code, alone) in [
                (Code::BeginAdd, Code::Add),
                (Code::BeginSub, Code::Sub),
                (Code::BeginMul, Code::Mul),
                (Code::BeginDiv, Code::Div),
                (Code::BeginMax, Code::Max),
                (Code::BeginMin, Code::Min),
                (Code::BeginLinear, Code::Linear),
                (Code::BeginTangents, Code::Tangents),
            ] {
                check(code, run(code, [&x, &a, &b], [false; 3], [false; 2]), &|i| {
                    expected(alone, a[i], b[i])
                });
            }
        }
    }

    #[test]
    fn every_operation_is_that_of_numbers_on_every_level() {
        every_operation::<f32>();
        every_operation::<f64>();
    }
}
