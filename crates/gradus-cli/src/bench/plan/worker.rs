//! One program recorded, differentiated, planned and dropped in a process of its own.

use std::cell::Cell;
use std::fmt::Write as _;
use std::hash::Hasher as _;

use clap::Args;
use gradus::{Tensor, grad, hvp, jit, vjp};
use serde_json::json;

use super::cases::{CASES, Case, total};
use super::{BUDGET, Transform};
use crate::bench::clock::Busy;
use crate::output::print;
use crate::{Error, memory};

/// What a worker is told when it is started.
#[derive(Args, Clone, Debug)]
pub struct Order {
    /// The family of programs
    pub case: String,
    /// What is planned
    pub transform: Transform,
    /// Operations
    pub operations: usize,
    /// Plan within a budget
    #[arg(long)]
    pub budget: bool,
    /// KiB of the thread's stack
    #[arg(long)]
    pub stack: usize,
    /// Print a hash of the plan: equal plans have equal ones
    #[arg(long)]
    pub digest: bool,
}

/// The work of the process; prints one line.
pub fn work(order: &Order) -> Result<(), Error> {
    let case = CASES.iter().find(|c| c.name == order.case);
    let case = case.ok_or_else(|| Error::Usage(format!("there is no case \"{}\"", order.case)))?;
    let order = order.clone();
    let thread = std::thread::Builder::new().stack_size(order.stack << 10);
    let line = thread.spawn(move || measure(case, &order))?.join();
    print(&line.map_err(|_| Error::Usage("the planner panicked".into()))??.to_string())
}

fn measure(case: &Case, order: &Order) -> Result<serde_json::Value, Error> {
    let n = order.operations;
    let arguments = (case.arguments)(n);
    let before = memory::count_from_here();
    // Seconds in the user's function, and in the transform around it.
    let (recorded, transformed) = (Cell::new(0.0), Cell::new(0.0));
    let function = |x: &Vec<Tensor>| {
        let began = Busy::now();
        let y = (case.function)(x, n);
        recorded.set(recorded.get() + began.seconds());
        y
    };
    let scalar = |x: &Vec<Tensor>| total(function(x).into_iter()).sum(());
    let whole = jit(|x: &Vec<Tensor>| {
        let began = Busy::now();
        let y = match order.transform {
            Transform::Value => function(x),
            Transform::Grad => grad(scalar)(x),
            Transform::Vjp => {
                let (y, pull) = vjp(function, x);
                pull(&y)
            }
            Transform::Hvp => hvp(scalar, x, x),
        };
        transformed.set(began.seconds());
        y
    });
    let whole = if order.budget { whole.memory_budget(BUDGET) } else { whole };
    let began = Busy::now();
    let plan = whole.try_plan(&arguments);
    let seconds = began.seconds();
    let bytes = memory::most_allocated().saturating_sub(before);
    let (kernels, peak, refused) = match &plan {
        Ok(plan) => (Some(plan.kernels().len()), Some(plan.planned_peak_bytes()), None),
        Err(error) => (None, None, Some(error.to_string())),
    };
    let digest = plan.as_ref().ok().filter(|_| order.digest).map(digest);
    let began = Busy::now();
    drop((plan, whole));
    let dropped = began.seconds();
    Ok(json!({
        "seconds": seconds + dropped,
        "recorded_s": recorded.get(),
        "differentiated_s": transformed.get() - recorded.get(),
        "planned_s": seconds - transformed.get(),
        "dropped_s": dropped,
        "bytes": bytes,
        "kernels": kernels,
        "planned_peak_bytes": peak,
        "refused": refused,
        "digest": digest,
    }))
}

/// A hash of all that a plan says of itself.
fn digest(plan: &gradus::Plan) -> String {
    struct Text(std::hash::DefaultHasher);
    impl std::fmt::Write for Text {
        fn write_str(&mut self, text: &str) -> std::fmt::Result {
            self.0.write(text.as_bytes());
            Ok(())
        }
    }
    let mut text = Text(std::hash::DefaultHasher::new());
    let _ = write!(text, "{plan:?}");
    format!("{:016x}", text.0.finish())
}
