//! The twelve evals: one file each, with the function as its mathematics reads and the wiring below it.

mod ba;
mod descent;
mod det;
mod gmm;
mod hello;
mod ht;
mod kmeans;
mod llsq;
mod lse;
mod lstm;
mod modes;
mod ode;
mod particle;
mod saddle;

use serde_json::value::RawValue;

use crate::error::{Error, Result};
use crate::task::Task;

/// What the message loop needs to know of an eval.
pub struct Eval {
    /// The name that messages call the module by.
    pub name: &'static str,
    /// Its functions.
    pub functions: &'static [&'static str],
    /// Whether the input is a bare number, without `min_runs` and `min_seconds`.
    pub bare_input: bool,
    /// Decodes and checks the input of a function.
    pub prepare: fn(&str, &RawValue) -> Result<Box<dyn Task>>,
}

/// All evals, in the order in which the suite names them.
pub const EVALS: &[Eval] = &[
    hello::EVAL,
    llsq::EVAL,
    lse::EVAL,
    det::EVAL,
    ode::EVAL,
    kmeans::EVAL,
    gmm::EVAL,
    lstm::EVAL,
    ba::EVAL,
    ht::EVAL,
    particle::EVAL,
    saddle::EVAL,
];

/// The eval of this name.
pub fn find(module: &str) -> Result<&'static Eval> {
    EVALS.iter().find(|eval| eval.name == module).ok_or_else(|| Error::UnknownModule {
        module: module.to_string(),
        known: EVALS.iter().map(|eval| eval.name).collect::<Vec<_>>().join(", "),
    })
}

/// The error for a function that `eval` does not have.
fn unknown<T>(eval: &Eval, function: &str) -> Result<T> {
    Err(Error::UnknownFunction {
        module: eval.name.to_string(),
        function: function.to_string(),
        known: eval.functions.join(", "),
    })
}
