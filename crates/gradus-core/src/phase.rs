//! The phase of an equation in a program with derivatives, which the transform that made the equation states.

use std::fmt;

/// The part that an equation has in one derivative.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum PhaseKind {
    /// It computes values, their tangents, and the local derivatives beside them.
    #[default]
    Forward,
    /// It propagates cotangents, or recomputes operands of such an equation.
    Backward,
    /// It reads a gradient and is not backward itself: new parameters, the norm of a gradient.
    Update,
}

impl PhaseKind {
    /// The kinds in the order of a step.
    pub const ALL: [PhaseKind; 3] = [PhaseKind::Forward, PhaseKind::Backward, PhaseKind::Update];

    /// The name in tables and JSON.
    pub fn name(self) -> &'static str {
        match self {
            PhaseKind::Forward => "forward",
            PhaseKind::Backward => "backward",
            PhaseKind::Update => "update",
        }
    }
}

impl fmt::Display for PhaseKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// The phase of an equation: its part in which derivative.
///
/// Recording makes equations [`FORWARD`](Phase::FORWARD), and so is what prepares the cotangents that a caller gives.
/// Transposition makes [`backward`](Phase::backward) ones, one level above all that it transposes. What reads a gradient of a
/// level and is not backward is its [`update`](Phase::update), and forward for the level above. A tangent has the phase of its
/// primal, and so has whatever else a transform makes of an equation. In the gradient of a gradient the first backward pass is
/// of level 1, and all that comes back through it and through the forward pass is of level 2. A program inside another, the
/// body of a loop for example, has phases of its own.
///
/// Phases are ordered as they follow each other: the earliest of two equal equations is that of the one computed for both.
///
/// ```
/// use gradus_core::transforms::value_and_grad;
/// use gradus_core::{Builder, DType, Phase, Type, Unary};
///
/// let mut b = Builder::new();
/// let x = b.input(Type::new(DType::F64, []));
/// let y = b.emit1(Unary::Sin, &[x])?;
/// let once = value_and_grad(&b.finish(vec![y]), &[true])?;
/// assert_eq!(once.eqns()[0].phase, Phase::FORWARD);
/// assert_eq!(once.eqns().last().unwrap().phase, Phase::backward(1));
/// let twice = value_and_grad(&once, &[true])?;
/// assert_eq!(twice.eqns().last().unwrap().phase, Phase::backward(2));
/// assert!(Phase::FORWARD < Phase::backward(1) && Phase::update(1) < Phase::backward(2));
/// # Ok::<(), gradus_core::Error>(())
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Phase {
    /// The nesting depth of derivatives: 0 for equations that none has made, 1 for the first backward pass and its
    /// update.
    pub level: u8,
    /// The part in the derivative of this level.
    pub kind: PhaseKind,
}

impl Phase {
    /// Computes values.
    pub const FORWARD: Phase = Phase { level: 0, kind: PhaseKind::Forward };

    /// Propagates cotangents, in the derivative of this level.
    pub const fn backward(level: u8) -> Self {
        Phase { level, kind: PhaseKind::Backward }
    }

    /// Works with a gradient of this level.
    pub const fn update(level: u8) -> Self {
        Phase { level, kind: PhaseKind::Update }
    }

    /// Whether it brings cotangents back.
    pub fn is_backward(self) -> bool {
        self.kind == PhaseKind::Backward
    }

    /// The phase of what is not backward and reads values of these phases.
    pub(crate) fn reading(operands: impl Iterator<Item = Phase>) -> Self {
        match operands.map(|p| p.level).max() {
            None | Some(0) => Phase::FORWARD,
            Some(level) => Phase::update(level),
        }
    }
}

impl fmt::Display for Phase {
    /// The kind, with the level where that is more than 1.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.level {
            0 | 1 => f.pad(self.kind.name()),
            level => f.pad(&format!("{} {level}", self.kind)),
        }
    }
}
