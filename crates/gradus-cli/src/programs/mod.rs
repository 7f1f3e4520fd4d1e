//! Random programs: well-typed programs over the public surface, under compositions of transforms, run in every way.
//!
//! A program is a value (`step`): `grow` draws it from the `kinds` of steps, `transforms` compose over it, `check` runs
//! it at once, compiled and interpreted, with one thread and two, by every strategy, within budgets, on arguments given
//! away, and `compare` tells what agrees. `shrink` makes a failing program small and prints it as Rust.

mod check;
mod compare;
mod digest;
mod grow;
mod kinds;
mod shrink;
mod step;
mod transforms;

use std::collections::BTreeMap;

use gradus::{Array, Tensor, jit};
use gradus_core::Graph;
use gradus_core::table::Rng;

use check::{Case, Failure, Hits, Outcome, quietly};
use grow::Grower;
use step::Program;
use transforms::Transform;

/// How one program came out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// All runs agree.
    Passed,
    /// It was not run, for a reason.
    Rejected(String),
    /// Something is wrong: what, and the smallest program found as Rust.
    Failed {
        /// The comparison, or where it panicked.
        what: String,
        /// The values that disagree, or the message.
        detail: String,
        /// A Rust program that shows it.
        source: String,
    },
}

/// How often each primitive (`op …`), kernel path (`kernel …`), transform and strategy was met.
#[derive(Clone, Debug, Default)]
pub struct Coverage(BTreeMap<String, usize>);

impl Coverage {
    /// Names and counts.
    pub fn hits(&self) -> &BTreeMap<String, usize> {
        &self.0
    }
}

/// Every how many programs one has large operands.
const LARGE: usize = 24;

/// A program just grown, whether its operands are large, and what went wrong on the way.
struct Grown {
    program: Program,
    large: bool,
    panic: Option<String>,
}

/// Grows the program of a seed.
fn grow(seed: u64, rng: &mut Rng) -> Grown {
    *rng = Rng::new(seed.wrapping_mul(0x9e37_79b9).wrapping_add(1));
    let large = rng.below(LARGE) == 0;
    let limit = if large { 1 << 20 } else { [24, 64, 64, 512][rng.below(4)] };
    let mut g = Grower::new(rng, limit);
    let grown = quietly(|| {
        if large {
            kinds::large(&mut g);
            let steps = g.rng.below(4);
            g.grow(steps);
        } else {
            let most = 1 + g.rng.below(36);
            let steps = 4 + g.rng.below(most);
            g.grow(steps);
        }
        g.results();
    });
    let mut program = std::mem::take(&mut g.program);
    if grown.is_err() {
        program.outputs = program.nodes.len().checked_sub(1).into_iter().collect();
    }
    Grown { program: program.pruned(), large, panic: grown.err() }
}

/// The program of a seed as a graph, with arguments, for checks of properties; `None` for large ones and those that cannot
/// be recorded.
pub fn recorded(seed: u64) -> Option<(Graph, Vec<Array>)> {
    let Grown { program, large, panic } = grow(seed, &mut Rng::new(0));
    if large || panic.is_some() || program.outputs.is_empty() {
        return None;
    }
    let (f, x) = (program.function(), program.arguments());
    let (graph, captures) = quietly(|| jit(move |x: &Vec<Tensor>| f(x)).try_record(&x)).ok()?.ok()?;
    Some((graph, x.iter().chain(&captures).filter_map(|t| t.to_array().ok()).collect()))
}

/// Draws the program of a seed with its transforms.
fn drawn(seed: u64) -> Result<Case, Verdict> {
    let mut rng = Rng::new(0);
    let Grown { program, large, panic } = grow(seed, &mut rng);
    if let Some(panic) = panic {
        let case = Case { program, transforms: Vec::new(), seed, limit: 0 };
        return Err(match check::failed("at once", panic) {
            Outcome::Failed(failure) => report(&case, failure),
            _ => Verdict::Rejected("a rule that cannot be transposed".into()),
        });
    }
    if program.outputs.is_empty() {
        return Err(Verdict::Rejected("no result is a float".into()));
    }
    let limit = if large { 1 << 21 } else { 6000 };
    // Transforms that make sense one after another, and now and then a law at the end.
    let depth = if large { [0, 1, 1, 1][rng.below(4)] } else { [0, 1, 1, 1, 2, 2, 3][rng.below(7)] };
    let mut case = Case { program, transforms: Vec::new(), seed, limit };
    for k in 0..depth {
        let mut tries = 0;
        while case.transforms.len() == k && tries < 6 {
            tries += 1;
            let law = k + 1 == depth && rng.below(3) == 0;
            let next = if law {
                Transform::LAWS[rng.below(Transform::LAWS.len())]
            } else {
                Transform::ALL[rng.below(Transform::ALL.len())]
            };
            let mut longer = case.clone();
            longer.transforms.push(next);
            if longer.stage().is_ok() {
                case = longer;
            }
        }
    }
    Ok(case)
}

/// In a line, what the program of a seed gives and how it is planned: equal lines of two builds are equal results, to the bit,
/// and equal plans.
pub fn digest(seed: u64) -> String {
    match drawn(seed).map(|case| digest::line(&case)) {
        Ok(Ok(line)) => line,
        Ok(Err(Outcome::Passed)) | Err(Verdict::Passed) => "passed".into(),
        Ok(Err(Outcome::Rejected(why))) | Err(Verdict::Rejected(why)) => format!("rejected: {why}"),
        Ok(Err(Outcome::Failed(Failure { what, .. }))) | Err(Verdict::Failed { what, .. }) => {
            format!("failed: {what}")
        }
    }
}

/// Grows the program of a seed, runs it in every way, and shrinks it if it fails.
pub fn check_program(seed: u64, coverage: &mut Coverage) -> Verdict {
    let case = match drawn(seed) {
        Ok(case) => case,
        Err(verdict) => return verdict,
    };
    let mut hits = Hits::new();
    let outcome = case.check(&mut hits);
    for (name, n) in hits {
        *coverage.0.entry(name).or_default() += n;
    }
    match outcome {
        Outcome::Passed => Verdict::Passed,
        Outcome::Rejected(reason) => Verdict::Rejected(reason),
        Outcome::Failed(failure) => report(&case, failure),
    }
}

fn report(case: &Case, failure: Failure) -> Verdict {
    let (case, failure) = shrink::shrink(case, &failure);
    let source = shrink::source(&case, &failure);
    Verdict::Failed { what: failure.what, detail: failure.detail, source }
}
