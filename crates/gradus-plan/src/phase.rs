//! Which part of a training step a kernel belongs to.

use std::fmt;

use crate::Plan;

/// A part of a training step.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Phase {
    /// Values, and the local derivatives that are computed beside them.
    Forward,
    /// Cotangents, and what is computed again for them.
    Backward,
    /// New parameters from gradients: what was recorded in a scope named `update`.
    Update,
}

impl Phase {
    /// The phases in the order of a step.
    pub const ALL: [Phase; 3] = [Phase::Forward, Phase::Backward, Phase::Update];

    /// The name in tables and JSON.
    pub fn name(self) -> &'static str {
        match self {
            Phase::Forward => "forward",
            Phase::Backward => "backward",
            Phase::Update => "update",
        }
    }
}

impl fmt::Display for Phase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

impl Plan {
    /// The phase of each kernel. The backward phase begins with the first kernel that carries cotangents; before it a
    /// kernel is forward, and so is what the first half computes of a kernel that both halves share. Updates are told by
    /// their scope.
    pub fn phases(&self) -> Vec<Phase> {
        let eqns = self.graph().eqns();
        let site = |i: &usize| &eqns[*i].site;
        let update =
            |i: &usize| site(i).scope.as_ref().is_some_and(|s| s.split('.').any(|part| part == "update"));
        let halves = self.kernels().iter().any(|k| k.stage > 0);
        let mut back = false;
        let mut phase = |k: usize| {
            let own = &self.kernels()[k].eqns;
            // The last equation is what the kernel is for; those before it may be operands fused in.
            if own.iter().max().is_some_and(update) {
                return Phase::Update;
            }
            let transposed = own.iter().max().is_some_and(|i| site(i).transposed > 0);
            back |= transposed;
            let first = halves && !transposed && self.kernels()[k].stage == 0;
            if back && !first { Phase::Backward } else { Phase::Forward }
        };
        (0..self.kernels().len()).map(&mut phase).collect()
    }
}
