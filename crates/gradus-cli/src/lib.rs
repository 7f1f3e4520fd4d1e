//! What the `gradus` command does: a module a subcommand, and what they share.
//!
//! `main` parses the arguments and turns the result into an exit code; everything else is here, so that tests can call
//! it.

#![forbid(unsafe_code)]

mod bench;
mod chart;
mod check;
mod compare;
pub mod composites;
mod explain;
mod memory;
mod modes;
pub mod oracle;
mod output;
pub mod programs;
mod stop;
mod train;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

pub use chart::{Chart, Series};
pub use output::{Error, Output, say};

/// Automatic differentiation for Rust: train a network on real data, check every derivative rule, see what a training step
/// keeps and costs, time what runs.
#[derive(Debug, Parser)]
#[command(name = "gradus", version, arg_required_else_help = true)]
pub struct Command {
    #[command(subcommand)]
    task: Task,
}

#[derive(Debug, Subcommand)]
enum Task {
    /// Train a model on a data set that comes with the program
    #[command(subcommand)]
    Train(Data),
    /// Check every cell of the op table: values, derivatives in every mode, batching, edges; or random programs
    ///
    /// Prints a line for each operation with the worst error of each check. With `--programs` random programs are run at
    /// once, compiled and interpreted, under compositions of transforms, with one thread and two, by every strategy and
    /// within budgets; one that fails is made small and printed as Rust. Exit code 1 if something fails or is empty.
    Check(check::Arguments),
    /// Time training steps, kernels and small programs on this machine
    #[command(subcommand)]
    Bench(bench::Bench),
    /// Measure Jacobians in forward, chunked forward, reverse and sparse passes, and what the driver chooses by itself
    ///
    /// One function family, from one input with many outputs to many inputs with one, and from 1 to 64 layers: times and
    /// peaks of memory, both crossovers as a picture, and how often the automatic choice is within 15 % of the best.
    Modes(modes::Arguments),
    /// Take one training step of a model in every way: what is kept, the peak of memory, the time
    ///
    /// Runs the step under plain, recompute, nested and the planner's choice, without a limit and within 75, 50 and 35 % of
    /// its memory, each in a process of its own, and compares losses and gradients. Writes a bar chart as MODEL.svg. Exit
    /// code 1 if results disagree.
    Compare(compare::Arguments),
    /// Tell what a training step of a model will do, and why, before it runs
    ///
    /// Passes, the plans that were considered and their estimated costs, every kernel, what is kept for the backward pass and
    /// which line made it, and memory over the step.
    Explain(explain::Arguments),
    /// Measures one strategy for `compare`
    #[command(hide = true)]
    CompareWorker(compare::worker::Order),
}

#[derive(Debug, Subcommand)]
enum Data {
    /// The 1,797 handwritten digits of 8 x 8 pixels of the UCI repository
    ///
    /// Holds out a fifth of the examples, trains with Adam, and writes the parameters as MODEL.safetensors and the
    /// course of the loss as MODEL.svg. Split, initial parameters and order of the examples are drawn from the seed.
    Digits(train::Arguments),
}

/// Runs a command; what it prints goes to the standard streams.
///
/// # Errors
/// If a file cannot be written, or an argument or a variable of the environment makes no sense.
pub fn run(command: Command) -> Result<ExitCode, Error> {
    let environment = |error: &dyn std::fmt::Display| Error::Environment(error.to_string());
    gradus_cpu::pool::threads_from_env().map_err(|e| environment(&e))?;
    gradus_cpu::vmath::InstructionSet::from_env().map_err(|e| environment(&e))?;
    gradus_cpu::target().map_err(|e| environment(&e))?;
    let device = gradus::Device::from_env().map_err(|e| environment(&e))?;
    if device != gradus::Device::cpu() && !matches!(command.task, Task::Train(_)) {
        let what = "GRADUS_DEVICE has to be `cpu` here: only `train` runs on a device without plans";
        return Err(Error::Environment(what.into()));
    }
    match command.task {
        Task::Train(Data::Digits(arguments)) => train::digits(&arguments),
        Task::Check(arguments) => check::check(&arguments),
        Task::Bench(what) => bench::run(&what),
        Task::Modes(arguments) => modes::modes(&arguments),
        Task::Compare(arguments) => compare::compare(&arguments),
        Task::Explain(arguments) => explain::explain(&arguments),
        Task::CompareWorker(order) => compare::worker::work(&order),
    }
}
