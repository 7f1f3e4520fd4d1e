//! `gradus bench`: how long training steps, kernels and small programs take on this machine.
//!
//! * `train`: a whole step of training of a named model, beside the time of its matrix products and convolutions alone;
//! * `kernels`: element-wise functions, normalisations, losses, optimisers, products and convolutions at large sizes;
//! * `small`: what an operation and a call cost where the tensors are tiny, and how long compiling takes;
//! * `plan`: how recording, differentiating and planning grow with the number of operations;
//! * `values`: what NaN, infinities, subnormal and huge numbers cost beside ordinary ones.
//!
//! Every figure is a median. `clock` measures, `floor` times the products of a plan, `chain` is the program of
//! a thousand small operations.

mod chain;
mod clock;
mod floor;
mod kernels;
mod machine;
mod plan;
mod small;
mod train;
mod values;

use std::process::ExitCode;

use clap::{Args, Subcommand};
use gradus_cpu::Pool;

use crate::Error;

/// What is timed.
#[derive(Debug, Subcommand)]
pub enum Bench {
    /// A whole training step: forward, backward and update
    ///
    /// Cases a to e, deep-mish and the other named models; `chain` is a chain of 1,000 operations on 4 elements with its
    /// gradient. `floor_ms` is the time of the step's matrix products and convolutions alone.
    Train(train::Arguments),
    /// Kernels at large sizes, a line a kernel and size
    Kernels(kernels::Arguments),
    /// Small programs: an operation at once, a compiled call, a chain of operations, compiling
    Small(small::Arguments),
    /// Recording, differentiating and planning programs of 10^2 to 10^6 operations, and how that grows
    ///
    /// A line for each family of programs, transform and size, with and without a budget, each measured in a process of
    /// its own on a thread with a small stack. The exponent is that of the last two decades of sizes.
    Plan(plan::Arguments),
    /// Measures one cell for `plan`
    #[command(hide = true)]
    PlanWorker(plan::worker::Order),
    /// What the machine can do at best, and what work costs on it, as plans weigh it
    ///
    /// Plans weigh costs that Gradus comes with. With `--out` they are written to a file; where the environment variable
    /// GRADUS_COSTS names it, plans weigh those instead. Results stay the same to the bit.
    Machine(machine::Arguments),
    /// NaN, infinities, subnormal and huge numbers beside ordinary ones: how many times as long calls take
    Values(values::Arguments),
}

/// Options that all benchmarks share.
#[derive(Args, Debug)]
pub struct Common {
    /// Threads, the calling one included [default: GRADUS_THREADS, else one for each processor]
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..=1024))]
    threads: Option<u32>,
    /// Print JSON lines
    #[arg(long)]
    json: bool,
}

impl Common {
    /// Starts the pool and gives its threads.
    fn start(&self) -> Result<usize, Error> {
        if let Some(threads) = self.threads {
            Pool::start_global(threads as usize).map_err(|e| Error::Usage(e.to_string()))?;
        }
        Ok(Pool::global().threads())
    }
}

pub fn run(bench: &Bench) -> Result<ExitCode, Error> {
    match bench {
        Bench::Train(arguments) => train::run(arguments),
        Bench::Kernels(arguments) => kernels::run(arguments),
        Bench::Small(arguments) => small::run(arguments),
        Bench::Plan(arguments) => plan::run(arguments),
        Bench::PlanWorker(order) => plan::worker::work(order),
        Bench::Machine(arguments) => machine::run(arguments),
        Bench::Values(arguments) => values::run(arguments),
    }?;
    Ok(ExitCode::SUCCESS)
}
