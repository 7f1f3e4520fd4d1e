//! One configuration of one model in a process of its own, so that its memory is its own.
//!
//! The process first says what the plan says, then obeys lines on its standard input, each answered by one line of JSON:
//! `first` (a step, with the memory it allocates), `step` (a step timed, with the resident memory it needs), `profile`
//! (seconds of kernels), `gradients FILE` (the gradients of a first step, written to a file). It ends with its input.

use std::io::{BufRead, Write};
use std::process::ExitCode;
use std::time::Instant;

use clap::Args;
use gradus::{Jit, Key, PhaseKind, Tensor, Tree, jit};
use gradus_nn::models::{Batch, Named, Progress, Rule};
use serde_json::{Value, json};

use super::configuration::Configuration;
use crate::{Error, memory};

/// What a worker is told when it is started.
#[derive(Args, Clone, Debug)]
pub struct Order {
    /// The model
    #[arg(long)]
    pub model: String,
    /// The configuration
    #[arg(long, value_parser = Configuration::parse)]
    pub strategy: Configuration,
    /// Examples in a step
    #[arg(long)]
    pub batch: usize,
    /// What parameters and batch are drawn from
    #[arg(long)]
    pub seed: u64,
    /// The size for tests
    #[arg(long)]
    pub small: bool,
}

/// The model that is meant, at its size.
pub fn model(name: &str, small: bool) -> Result<Named, Error> {
    let model = Named::find(name)?;
    Ok(if small { model.small() } else { model })
}

/// The batch of a seed.
pub fn batch(model: &Named, seed: u64, n: usize) -> Batch {
    model.batch(&Key::new(seed).fold_in(1), n)
}

/// Training that begins at the parameters of a seed.
pub fn start(model: &Named, seed: u64) -> Progress {
    model.start(&Key::new(seed).fold_in(0))
}

/// The work of the process.
pub fn work(order: &Order) -> Result<ExitCode, Error> {
    let model = model(&order.model, order.small)?;
    let batch = batch(&model, order.seed, order.batch);
    let mut progress = start(&model, order.seed);
    let base = memory::idle();
    let step = order.strategy.set(jit(model.step()).donate());
    let input = (progress.clone(), batch.clone());
    let began = Instant::now();
    let plan = match step.try_plan(&input) {
        Ok(plan) => plan,
        Err(error) => {
            say(json!({"error": error.to_string()}))?;
            return Ok(ExitCode::SUCCESS);
        }
    };
    let planning = began.elapsed().as_secs_f64();
    let layer = model.layer();
    let of_layer = |scope: &str| scope == layer || scope.starts_with(&format!("{layer}."));
    let buffers: Vec<Value> = plan
        .residuals()
        .iter()
        .filter(|r| r.site.scope.as_deref().is_some_and(of_layer))
        .map(|r| {
            let source = r.site.to_string();
            json!({"type": r.ty.to_string(), "bytes": r.bytes, "op": r.op, "why": r.why, "source": source})
        })
        .collect();
    let arguments = plan.argument_bytes();
    say(json!({
        "saved_bytes": plan.saved_bytes(),
        "planned_peak_bytes": plan.planned_peak_donated_bytes(),
        "scratch_bytes_per_thread": plan.scratch_bytes(),
        "planning_ms": planning * 1e3,
        "why": plan.decision().why,
        "layer": layer,
        "buffers": buffers,
    }))?;
    drop((plan, input));

    for line in std::io::stdin().lock().lines() {
        let line = line?;
        match line.split_once(' ').unwrap_or((&line, "")) {
            ("first", _) => {
                let before = memory::count_from_here();
                let loss;
                (progress, loss) = step.call_owned((progress, batch.clone()));
                let allocated = memory::most_allocated().saturating_sub(before);
                say(json!({"loss": loss.item::<f32>(), "measured_peak_bytes": arguments + allocated}))?;
            }
            ("step", _) => {
                let fresh = memory::forget_peak();
                let began = Instant::now();
                let loss;
                (progress, loss) = step.call_owned((progress, batch.clone()));
                let ms = began.elapsed().as_secs_f64() * 1e3;
                let over = memory::resident("VmHWM").zip(base).map(|(most, base)| most.saturating_sub(base));
                say(
                    json!({"ms": ms, "loss": loss.item::<f32>(), "rss_over_idle_bytes": over.filter(|_| fresh)}),
                )?;
            }
            ("profile", _) => {
                let profile = step.profile_owned(&(progress.clone(), batch.clone()));
                let ms = profile.elementwise_seconds(PhaseKind::Backward) * 1e3;
                say(json!({"backward_elementwise_ms": ms}))?;
            }
            ("gradients", file) => {
                gradients(&model, order, &batch, file)?;
                say(json!({"written": file}))?;
            }
            (other, _) => return Err(Error::Usage(format!("a worker knows no \"{other}\""))),
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// A rate so large that nothing but the gradient is left of a parameter after one step of descent; a power of two, so
/// that it can be divided out.
const RATE: f64 = (1u32 << 20) as f64;

/// Writes the gradients at the start, read off the very step that is compared: from its update.
fn gradients(model: &Named, order: &Order, batch: &Batch, file: &str) -> Result<(), Error> {
    let model = Named { rate: RATE, ..model.clone() };
    let step: Jit<_, (Progress, Tensor), _> = order.strategy.set(jit(model.step()).donate());
    let before = start(&model, order.seed);
    let old = before.network.tensors();
    let (after, _) = step.call_owned((before.clone(), batch.clone()));
    let gradients: Vec<Tensor> = match (model.rule, after.state.moments.first()) {
        // The first mean of the gradient is its share of the gradient itself.
        (Rule::Adam(adam), Some(mean)) => mean.tensors().iter().map(|m| m / (1.0 - adam.beta1)).collect(),
        // The first direction is the gradient.
        (Rule::Sgd(_), Some(direction)) => direction.tensors(),
        (_, None) => old.iter().zip(after.network.tensors()).map(|(p, q)| (p - q) / RATE).collect(),
    };
    let mut bytes = Vec::new();
    for gradient in gradients {
        let elements = gradient.to_vec::<f32>();
        bytes.extend((elements.len() as u64).to_le_bytes());
        bytes.extend(elements.iter().flat_map(|x| x.to_le_bytes()));
    }
    gradus_nn::write_atomically(file, |out| out.write_all(&bytes).map_err(gradus_nn::Error::Write))?;
    Ok(())
}

fn say(value: Value) -> Result<(), Error> {
    let mut out = std::io::stdout().lock();
    writeln!(out, "{value}")?;
    Ok(out.flush()?)
}
