//! Chains: several steps of a region, each the only reader of the one before, as one loop.

use gradus_core::{Binary, Unary};
use gradus_plan::kernel::{Region, Step, StepOp};
use smallvec::{SmallVec, smallvec};

use super::join::Joined;
use crate::vmath::step::{Chain, OPERANDS};

/// Joins what there is a [`Chain`] for.
pub(super) fn join(region: &Region, uses: &[u32], joined: &mut [Joined]) {
    // From the end: the longest chain ends last.
    for i in (0..region.steps.len()).rev() {
        let mut walk = Walk { region, uses, joined, last: i, inside: SmallVec::new() };
        let Some((chain, args)) = walk.chain() else { continue };
        let inside = walk.inside;
        for step in inside {
            joined[step] = Joined::Away;
        }
        joined[i] = Joined::Chain { chain, args };
    }
}

/// A look at what leads to a step.
struct Walk<'a> {
    region: &'a Region,
    uses: &'a [u32],
    joined: &'a [Joined],
    last: usize,
    /// Steps that would go into the chain.
    inside: SmallVec<[usize; 8]>,
}

type Found = (Chain, SmallVec<[u16; OPERANDS]>);

impl Walk<'_> {
    fn chain(&mut self) -> Option<Found> {
        let step = &self.region.steps[self.last];
        let float = step.dtype.is_wide_float();
        if !float || !matches!(self.joined[self.last], Joined::Alone) {
            return None;
        }
        match (step.op, &step.args[..]) {
            (StepOp::Binary(Binary::Add), &[x, y]) => self.sum(x, y),
            (StepOp::Binary(Binary::Sub), &[x, y]) => self.descent(x, y),
            (StepOp::LinearMul { both: false }, &[residual, tangent]) => self.gradient(residual, tangent),
            (StepOp::Unary(f @ (Unary::Exp | Unary::Erf | Unary::Erfc)), &[x]) => self.function(f, x),
            _ => None,
        }
    }

    /// The step that makes a slot, if it can be computed on the way: nobody else reads it.
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

    /// The factors of a slot, where it is a product, and whether the second is a tangent.
    fn product(&mut self, slot: u16) -> Option<([u16; 2], bool)> {
        let (i, step) = self.before(slot)?;
        let linear = match step.op {
            StepOp::Binary(Binary::Mul) => false,
            StepOp::LinearMul { both: false } => true,
            _ => return None,
        };
        let &[x, y] = &step.args[..] else { return None };
        self.inside.push(i);
        Some(([x, y], linear))
    }

    /// Two products whose sum these slots have: the factors, tangents last, and of how many products they are.
    fn products(&mut self, x: u16, y: u16) -> Option<([u16; 4], usize)> {
        let (([a, b], first), ([c, d], second)) = (self.product(x)?, self.product(y)?);
        let factors = if first && !second { [c, d, a, b] } else { [a, b, c, d] };
        Some((factors, usize::from(first) + usize::from(second)))
    }

    fn sum(&mut self, x: u16, y: u16) -> Option<Found> {
        let (factors, linear) = self.products(x, y)?;
        let [a, b, c, d] = factors;
        if linear > 0 {
            let chain = if linear == 2 { Chain::LinearProducts } else { Chain::MixedProducts };
            return Some((chain, SmallVec::from_slice(&factors)));
        }
        for ([a, b], square, other) in [([a, b], c, d), ([a, b], d, c), ([c, d], a, b), ([c, d], b, a)] {
            if let Some(root) = self.square(square) {
                return Some((Chain::ProductAndSquare, smallvec![a, b, root, other]));
            }
        }
        Some((Chain::Products, SmallVec::from_slice(&factors)))
    }

    fn gradient(&mut self, residual: u16, tangent: u16) -> Option<Found> {
        for (sum, e, products, chain) in
            [(residual, tangent, 0, Chain::Gradient), (tangent, residual, 2, Chain::LinearGradient)]
        {
            self.inside.clear();
            let Some([x, y]) = self.binary(sum, Binary::Add) else { continue };
            match self.products(x, y) {
                Some(([a, b, c, d], linear)) if linear == products => {
                    return Some((chain, smallvec![a, b, c, d, e]));
                }
                _ => {}
            }
        }
        None
    }

    fn descent(&mut self, a: u16, y: u16) -> Option<Found> {
        let [over, under] = self.binary(y, Binary::Div)?;
        let [b, c] = self.binary(over, Binary::Mul)?;
        let [root, f] = self.binary(under, Binary::Add)?;
        let (root, f) = match self.unary(root, Unary::Sqrt) {
            Some(root) => (root, f),
            None => (self.unary(f, Unary::Sqrt)?, root),
        };
        let [d, e] = self.binary(root, Binary::Div)?;
        Some((Chain::Descent, smallvec![a, b, c, d, e, f]))
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
