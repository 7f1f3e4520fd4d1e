//! The cells of a row, each a check that gives the worst error it saw.

mod derivatives;
mod hostile;
mod numbers;
mod statements;
mod values;

use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};

pub(super) use derivatives::{forward, kinks, reverse, second, transposed, vmap};
pub(super) use hostile::hostile;
pub(super) use numbers::{accuracy, dual};
pub(super) use statements::{cost, doc, shape};
pub(super) use values::{dtypes, edges, value};

use super::random::Rng;
use super::row::Case;
use crate::{Array, Result, Type};

/// What is checked of every primitive.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum CellKind {
    /// Name, formula, derivative and domain are written down.
    Doc,
    /// The shape rule: it foretells the results, and turns other operands away with an error instead of a panic.
    Shape,
    /// Absurd sizes and parameters: refused with an error, or the types of what a memory holds; in transforms too.
    Hostile,
    /// A finite cost that counts the results.
    Cost,
    /// The results against the formula, written a second time.
    Value,
    /// The same in every dtype the primitive takes.
    DTypes,
    /// The same at zeros, ties, huge and tiny numbers, infinities and NaN, on empty axes and axes of one.
    Edges,
    /// Value, first and second derivative against high-precision tables, in units in the last place.
    Accuracy,
    /// The tangent against dual numbers, at samples and edges.
    Dual,
    /// The tangent against extrapolated finite differences.
    Jvp,
    /// The reverse-mode derivative against the tangent, by dot products.
    Vjp,
    /// The primitive's own transpose in every set of operands it is linear in, by dot products.
    Transpose,
    /// The batched primitive against a loop, for every subset of batched operands, and over no example.
    Vmap,
    /// The derivative's derivative, both modes over both, against finite differences and by dot products.
    Second,
    /// The documented derivative at kinks and ties.
    Kinks,
}

impl CellKind {
    /// Every kind.
    pub const ALL: [CellKind; 15] = [
        CellKind::Doc,
        CellKind::Shape,
        CellKind::Hostile,
        CellKind::Cost,
        CellKind::Value,
        CellKind::DTypes,
        CellKind::Edges,
        CellKind::Accuracy,
        CellKind::Dual,
        CellKind::Jvp,
        CellKind::Vjp,
        CellKind::Transpose,
        CellKind::Vmap,
        CellKind::Second,
        CellKind::Kinks,
    ];

    /// Its name in reports.
    pub const fn name(self) -> &'static str {
        match self {
            CellKind::Doc => "doc",
            CellKind::Shape => "shape",
            CellKind::Hostile => "hostile",
            CellKind::Cost => "cost",
            CellKind::Value => "value",
            CellKind::DTypes => "dtypes",
            CellKind::Edges => "edges",
            CellKind::Accuracy => "accuracy",
            CellKind::Dual => "dual",
            CellKind::Jvp => "jvp",
            CellKind::Vjp => "vjp",
            CellKind::Transpose => "transpose",
            CellKind::Vmap => "vmap",
            CellKind::Second => "second",
            CellKind::Kinks => "kinks",
        }
    }

    /// The largest error that passes: relative, but in multiples of the bound for [`CellKind::Accuracy`].
    pub const fn tolerance(self) -> f64 {
        match self {
            CellKind::Doc | CellKind::Shape | CellKind::Hostile | CellKind::Cost | CellKind::Vmap => 0.0,
            CellKind::Value | CellKind::Edges => 1e-11,
            CellKind::DTypes => 1e-5,
            CellKind::Accuracy => 1.0,
            CellKind::Dual | CellKind::Kinks => 1e-14,
            CellKind::Jvp => 1e-10,
            CellKind::Vjp | CellKind::Transpose => 1e-14,
            CellKind::Second => 1e-9,
        }
    }
}

impl fmt::Display for CellKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// What a check came to: the worst error with a note, or why there is nothing to check.
pub(super) enum Outcome {
    Error(f64, String),
    NotApplicable(&'static str),
    Empty,
}

/// The worst error so far and where it was.
struct Worst {
    error: f64,
    note: String,
    seen: bool,
}

impl Worst {
    fn new() -> Self {
        Worst { error: 0.0, note: String::new(), seen: false }
    }
    fn see(&mut self, error: f64, note: impl FnOnce() -> String) {
        self.seen = true;
        if error > self.error || error.is_nan() {
            (self.error, self.note) = (if error.is_nan() { f64::INFINITY } else { error }, note());
        }
    }
    fn outcome(self) -> Outcome {
        if self.seen { Outcome::Error(self.error, self.note) } else { Outcome::Empty }
    }
}

fn has_float(types: &[Type]) -> bool {
    types.iter().any(|ty| ty.dtype.is_float())
}

fn examples(case: &Case, rng: &mut Rng, n: usize) -> Vec<Vec<Array>> {
    (0..n).map(|_| case.operands.iter().map(|s| s.draw(rng)).collect()).collect()
}

/// Runs a check; one that cannot run, or that panics, has failed.
pub(super) fn settle(check: impl FnOnce() -> Result<Outcome>) -> Outcome {
    match catch_unwind(AssertUnwindSafe(check)) {
        Ok(Ok(outcome)) => outcome,
        Ok(Err(e)) => Outcome::Error(f64::INFINITY, e.to_string()),
        Err(panic) => {
            let text = panic.downcast_ref::<String>().cloned();
            let text = text.or_else(|| panic.downcast_ref::<&str>().map(|s| s.to_string()));
            Outcome::Error(f64::INFINITY, format!("it panicked: {}", text.unwrap_or_default()))
        }
    }
}
