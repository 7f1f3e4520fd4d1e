//! Joins steps of a region: arithmetic steps with their only reader, and functions that share their work. Every result
//! keeps the bits of the separate steps.

use std::collections::HashMap;

use gradus_core::ops::ReduceKind;
use gradus_core::{Binary, Unary};
use gradus_plan::kernel::{Level, Region, Step, StepOp};
use smallvec::SmallVec;

use super::chain;
use crate::vmath::step::{Chain, OPERANDS, Simple};
use crate::vmath::sum::Summand;
use crate::vmath::twin::Twin;

/// What becomes of a step.
#[derive(Clone, Debug)]
pub(super) enum Joined {
    /// Nothing.
    Alone,
    /// Computed inside another step.
    Away,
    /// It computes an earlier step as well: the operands of that, then its own other operand.
    Pair { args: [u16; 3], first: Simple, second: Simple },
    /// It computes a chain of earlier steps as well.
    Chain { chain: Chain, args: SmallVec<[u16; OPERANDS]> },
    /// It computes the products that it sums.
    Sum { summand: Summand, args: [u16; 2] },
    /// It computes two functions of the slot `x`, of which it was one.
    Twin { twin: Twin, x: u16, first: u16, second: u16 },
}

/// Joins the steps of a region, and counts the readers of each slot: two for a result. `tiny` says whether arithmetic comes
/// in pairs; else there are sums and chains.
pub(super) fn join(region: &Region, tiny: bool) -> (Vec<Joined>, Vec<u32>) {
    let first = region.first_step();
    let mut uses = vec![0u32; first + region.steps.len()];
    for &a in region.steps.iter().flat_map(|s| &s.args) {
        uses[a as usize] += 1;
    }
    for store in &region.stores {
        uses[store.slot as usize] += 2;
    }
    let mut joined = vec![Joined::Alone; region.steps.len()];
    join_functions(region, &mut uses, &mut joined);
    if tiny {
        join_arithmetic(region, &uses, &mut joined);
    } else {
        join_sums(region, &uses, &mut joined);
        chain::join(region, &uses, &mut joined);
    }
    (joined, uses)
}

fn float(step: &Step) -> bool {
    step.dtype.is_wide_float()
}

/// Joins products with the sums along rows that are their only readers.
fn join_sums(region: &Region, uses: &[u32], joined: &mut [Joined]) {
    let first = region.first_step();
    for i in 0..region.steps.len() {
        let (StepOp::Reduce(ReduceKind::Sum), &[terms]) = (region.steps[i].op, &region.steps[i].args[..])
        else {
            continue;
        };
        // The step that computes a slot, if this sum is its only reader.
        let made = |slot: u16, reads: u32| {
            let j = usize::from(slot).checked_sub(first)?;
            let step = &region.steps[j];
            let alike = step.level == Level::Full && step.dtype == region.steps[i].dtype && float(step);
            (alike && uses[usize::from(slot)] == reads && matches!(joined[j], Joined::Alone))
                .then_some((j, step))
        };
        let Some((j, step)) = made(terms, 1) else { continue };
        let (summand, args) = match (step.op, &step.args[..]) {
            (StepOp::Binary(Binary::Mul), &[x, y]) => (Summand::Product, [x, y]),
            (StepOp::Unary(Unary::Powi(2)), &[x]) => (Summand::Product, [x, x]),
            (StepOp::LinearMul { both: false }, &[x, y]) => (Summand::Linear, [x, y]),
            _ => continue,
        };
        // A square of what is scaled by a number.
        let root = made(args[0], step.args.len() as u32).filter(|_| args[0] == args[1]);
        let scaled = root.and_then(|(k, root)| match (root.op, &root.args[..]) {
            (StepOp::Binary(Binary::Mul), &[x, c]) if region.is_scalar(c) => Some((k, [x, c])),
            (StepOp::Binary(Binary::Mul), &[c, x]) if region.is_scalar(c) => Some((k, [x, c])),
            _ => None,
        });
        joined[j] = Joined::Away;
        joined[i] = match scaled {
            Some((k, args)) => {
                joined[k] = Joined::Away;
                Joined::Sum { summand: Summand::ScaledSquare, args }
            }
            None => Joined::Sum { summand, args },
        };
    }
}

/// Joins two functions of one argument; steps that lead from the argument only to the second are then removed.
fn join_functions(region: &Region, uses: &mut [u32], joined: &mut [Joined]) {
    let first = region.first_step();
    // For each slot, the functions of it that are the second of a pair, and those of half of it.
    let mut functions: HashMap<u16, SmallVec<[usize; 2]>> = HashMap::new();
    for (j, step) in region.steps.iter().enumerate() {
        if let (StepOp::Unary(Unary::Cos | Unary::Sech2 | Unary::Sigmoid), &[own]) = (step.op, &step.args[..])
        {
            for slot in [Some(own), half_of(region, own)].into_iter().flatten() {
                functions.entry(slot).or_default().push(j);
            }
        }
    }
    for i in 0..region.steps.len() {
        let step = &region.steps[i];
        let (StepOp::Unary(f), &[x]) = (step.op, &step.args[..]) else { continue };
        if !float(step) {
            continue;
        }
        let partners: &[(Twin, Unary)] = match f {
            Unary::Sin => &[(Twin::SinCos, Unary::Cos)],
            Unary::Tanh => &[(Twin::TanhSech2, Unary::Sech2)],
            Unary::Sigmoid => &[(Twin::SigmoidSech2, Unary::Sech2)],
            Unary::Softplus => &[(Twin::SoftplusSigmoid, Unary::Sigmoid)],
            _ => continue,
        };
        for &(twin, g) in partners {
            let fits = |j: usize| {
                let other = &region.steps[j];
                // Not every step has operands: only a function of one argument is asked for it.
                let (StepOp::Unary(found), &[own]) = (other.op, &other.args[..]) else { return false };
                let argument = if twin == Twin::SigmoidSech2 { half_of(region, own) } else { Some(own) };
                found == g
                    && argument == Some(x)
                    && (other.level, other.dtype) == (step.level, step.dtype)
                    && matches!(joined[j], Joined::Alone)
            };
            if !matches!(joined[i], Joined::Alone) {
                break;
            }
            let near = functions.get(&x).into_iter().flatten();
            let Some(j) = near.copied().find(|&j| j != i && fits(j)) else { continue };
            let (host, guest) = (i.min(j), i.max(j));
            let slots = ((first + i) as u16, (first + j) as u16);
            joined[host] = Joined::Twin { twin, x, first: slots.0, second: slots.1 };
            joined[guest] = Joined::Away;
            if twin == Twin::SigmoidSech2 {
                let half = region.steps[j].args[0] as usize;
                uses[half] -= 1;
                if uses[half] == 0 {
                    joined[half - first] = Joined::Away;
                }
            }
        }
    }
}

/// The slot that a slot is half of, if a step says so.
fn half_of(region: &Region, slot: u16) -> Option<u16> {
    let step = &region.steps[(slot as usize).checked_sub(region.first_step())?];
    let half = |slot: u16| {
        let constant = (slot as usize).checked_sub(region.loads.len()).and_then(|i| region.constants.get(i));
        constant.is_some_and(|c| c.0 == 0.5)
    };
    match (step.op, &step.args[..]) {
        (StepOp::Binary(Binary::Mul), &[x, c]) if half(c) => Some(x),
        (StepOp::Binary(Binary::Mul), &[c, x]) if half(c) => Some(x),
        _ => None,
    }
}

/// Joins arithmetic steps with their only reader, so that intermediate results stay in registers. Each result is
/// rounded as before.
fn join_arithmetic(region: &Region, uses: &[u32], joined: &mut [Joined]) {
    let first = region.first_step();
    for (i, step) in region.steps.iter().enumerate() {
        let &[left, right] = &step.args[..] else { continue };
        if !float(step) || !matches!(joined[i], Joined::Alone) {
            continue;
        }
        for (inner, other, result_is_left) in [(left, right, true), (right, left, false)] {
            let Some(j) = (inner as usize).checked_sub(first) else { continue };
            let before = &region.steps[j];
            let alike = before.level == step.level && before.dtype == step.dtype && before.out == step.out;
            if !alike
                || uses[inner as usize] != 1
                || !matches!(joined[j], Joined::Alone)
                || before.args.len() != 2
            {
                continue;
            }
            let (Some(inside), Some(outside)) = (simple(before.op, true), simple(step.op, result_is_left))
            else {
                continue;
            };
            if inside == Simple::Div {
                continue;
            }
            let args = [before.args[0], before.args[1], other];
            joined[i] = Joined::Pair { args, first: inside, second: outside };
            joined[j] = Joined::Away;
            break;
        }
    }
}

/// The arithmetic of a step whose first operand stands on the left, or on the right.
fn simple(op: StepOp, left: bool) -> Option<Simple> {
    Some(match (op, left) {
        (StepOp::Binary(Binary::Add), _) => Simple::Add,
        (StepOp::Binary(Binary::Mul), _) => Simple::Mul,
        (StepOp::Binary(Binary::Sub), true) => Simple::Sub,
        (StepOp::Binary(Binary::Sub), false) => Simple::Less,
        (StepOp::Binary(Binary::Div), true) => Simple::Div,
        (StepOp::Binary(Binary::Div), false) => Simple::Over,
        (StepOp::LinearMul { both: true }, _) => Simple::Tangents,
        (StepOp::LinearMul { .. }, true) => Simple::Linear,
        (StepOp::LinearMul { .. }, false) => Simple::Linked,
        _ => return None,
    })
}

/// The slots that a step reads after joining.
pub(super) fn reads<'a>(region: &'a Region, joined: &'a [Joined], step: usize) -> &'a [u16] {
    match &joined[step] {
        Joined::Alone => &region.steps[step].args,
        Joined::Pair { args, .. } => args,
        Joined::Chain { args, .. } => args,
        Joined::Sum { args, .. } => args,
        Joined::Twin { x, .. } => std::slice::from_ref(x),
        Joined::Away => &[],
    }
}

/// The step that makes each slot.
fn made(region: &Region, joined: &[Joined]) -> Vec<usize> {
    let first = region.first_step();
    let mut made: Vec<usize> =
        (0..first + region.steps.len()).map(|slot| slot.saturating_sub(first)).collect();
    for (i, joined) in joined.iter().enumerate() {
        if let Joined::Twin { first, second, .. } = joined {
            (made[*first as usize], made[*second as usize]) = (i, i);
        }
    }
    made
}

/// The step that reads each slot last; what is stored by copying or reduction is read after all steps.
pub(super) fn last_uses(region: &Region, joined: &[Joined]) -> Vec<usize> {
    let first = region.first_step();
    // A value without readers is alive while it is computed.
    let mut last = made(region, joined);
    last[..first].fill(0);
    for i in 0..region.steps.len() {
        for &a in reads(region, joined, i) {
            last[a as usize] = last[a as usize].max(i);
        }
    }
    for store in &region.stores {
        last[store.slot as usize] = usize::MAX;
    }
    last
}
