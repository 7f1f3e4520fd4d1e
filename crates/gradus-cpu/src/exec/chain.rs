//! Chains: several steps of a region, each the only reader of the one before, as one loop.

use gradus_core::{Binary, Unary};
use gradus_plan::kernel::{Region, Step, StepOp};
use smallvec::{SmallVec, smallvec};

use super::join::Joined;
use crate::vmath::step::{Chain, OPERANDS};

/// Joins the steps for which a [`Chain`] exists.
pub(super) fn join(region: &Region, uses: &[u32], joined: &mut [Joined]) {
    // From the end: the longest chain ends last.
    for i in (0..region.steps.len()).rev() {
        let mut search = ChainSearch { region, uses, joined, last: i, inside: SmallVec::new() };
        let Some((chain, args)) = search.chain() else { continue };
        let inside = search.inside;
        for step in inside {
            joined[step] = Joined::Away;
        }
        joined[i] = Joined::Chain { chain, args };
    }
}

/// A search of the steps that lead to one.
struct ChainSearch<'a> {
    region: &'a Region,
    uses: &'a [u32],
    joined: &'a [Joined],
    last: usize,
    /// Steps that would go into the chain.
    inside: SmallVec<[usize; 8]>,
}

type Found = (Chain, SmallVec<[u16; OPERANDS]>);

impl ChainSearch<'_> {
    fn chain(&mut self) -> Option<Found> {
        let step = &self.region.steps[self.last];
        let float = step.dtype.is_wide_float();
        if !float || !matches!(self.joined[self.last], Joined::Alone) {
            return None;
        }
        match (step.op, &step.args[..]) {
            (StepOp::Unary(f @ (Unary::Exp | Unary::Erf | Unary::Erfc)), &[x]) => self.function(f, x),
            _ => None,
        }
    }

    /// The step that computes a slot, if it can join the chain: it has no other reader.
    fn before(&self, slot: u16) -> Option<(usize, &Step)> {
        let i = (slot as usize).checked_sub(self.region.first_step())?;
        let (step, last) = (&self.region.steps[i], &self.region.steps[self.last]);
        let alike = (step.level, step.dtype, step.out) == (last.level, last.dtype, last.out);
        (alike && self.uses[slot as usize] == 1 && matches!(self.joined[i], Joined::Alone))
            .then_some((i, step))
    }

    /// The operands of a slot, where it is this function of two arguments.
    fn binary(&mut self, slot: u16, op: Binary) -> Option<[u16; 2]> {
        let (i, step) = self.before(slot)?;
        let (StepOp::Binary(found), &[x, y]) = (step.op, &step.args[..]) else { return None };
        (found == op).then(|| {
            self.inside.push(i);
            [x, y]
        })
    }

    /// The operand of a slot, where it is this function of one argument.
    fn unary(&mut self, slot: u16, op: Unary) -> Option<u16> {
        let (i, step) = self.before(slot)?;
        let (StepOp::Unary(found), &[x]) = (step.op, &step.args[..]) else { return None };
        (found == op).then(|| {
            self.inside.push(i);
            x
        })
    }

    /// What a slot is the square of.
    fn square(&mut self, slot: u16) -> Option<u16> {
        if let Some(x) = self.unary(slot, Unary::Powi(2)) {
            return Some(x);
        }
        // A product of a slot with itself reads it twice.
        let (i, step) = self.before(slot)?;
        let (StepOp::Binary(Binary::Mul), &[x, y]) = (step.op, &step.args[..]) else { return None };
        (x == y).then(|| {
            self.inside.push(i);
            x
        })
    }

    fn function(&mut self, f: Unary, x: u16) -> Option<Found> {
        if f == Unary::Exp
            && let Some([a, b]) = self.binary(x, Binary::Sub)
        {
            return Some((Chain::ExpDifference, smallvec![a, b]));
        }
        if f == Unary::Exp
            && let Some(minus) = self.unary(x, Unary::Neg)
        {
            return self.square(minus).map(|a| (Chain::Gaussian, smallvec![a]));
        }
        let [a, b] = self.binary(x, Binary::Mul)?;
        match f {
            Unary::Erf => return Some((Chain::ErfProduct, smallvec![a, b])),
            Unary::Erfc => return Some((Chain::ErfcProduct, smallvec![a, b])),
            _ => {}
        }
        for (square, other) in [(a, b), (b, a)] {
            if let Some(root) = self.square(square) {
                return Some((Chain::ExpSquare, smallvec![root, other]));
            }
        }
        Some((Chain::ExpProduct, smallvec![a, b]))
    }
}
