//! `gradus compare`: one training step of a named model, taken in every configuration of the planner.
//!
//! Each configuration runs in a process of its own ([`worker`]), so that memory is measured and not guessed; steps are taken in turn,
//! so that a machine that slows down slows all of them. [`row`] puts the answers together, [`picture`] draws them.

mod check;
mod configuration;
mod picture;
mod process;
mod row;
pub mod worker;

use std::io::IsTerminal;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;
use gradus::{Jit, Strategy, jit};
use gradus_nn::models::{Named, Progress};
use gradus_nn::write_atomically;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use serde_json::{Value, json};

use crate::{Error, Output, memory};
use check::Scratch;
pub use configuration::Configuration;
use process::Worker;
use row::Row;
use worker::Order;

/// Options of `gradus compare`.
#[derive(Args, Debug)]
pub struct Arguments {
    /// The model: mlp-gelu, mlp-mish, gpt-small, cnn, resnet18, deep-mish, deep-gelu-tanh, conv-silu or mlp-relu
    #[arg(default_value = "deep-mish")]
    model: String,
    /// Steps that are timed, after one that is not
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    steps: u32,
    /// Examples in a step [default: that of the model]
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    batch: Option<u32>,
    /// The strategies, separated by commas: plain, recompute, rederive (as recompute, but what products read is kept,
    /// too), nested, auto, or shares of the memory such as 50%
    #[arg(long, value_name = "NAMES", value_delimiter = ',', value_parser = Configuration::parse)]
    only: Vec<Configuration>,
    /// What parameters and batch are drawn from
    #[arg(long, default_value_t = 0)]
    seed: u64,
    /// The model at a size for tests
    #[arg(long)]
    small: bool,
    /// The folder for the picture, made if it is not there
    #[arg(long, value_name = "DIR", default_value = "runs/compare")]
    out: PathBuf,
    /// Print JSON lines
    #[arg(long)]
    json: bool,
    /// Print only the table
    #[arg(long)]
    quiet: bool,
}

/// The smallest share of free memory that stays free.
const SPARE: f64 = 0.3;

pub fn compare(arguments: &Arguments) -> Result<ExitCode, Error> {
    let output = Output::of(arguments.json, arguments.quiet);
    let model = worker::model(&arguments.model, arguments.small)?;
    let n = arguments.batch.map_or(model.batch, |n| n as usize);
    let folder = |source| Error::Folder { folder: arguments.out.display().to_string(), source };
    std::fs::create_dir_all(&arguments.out).map_err(folder)?;
    let configurations =
        if arguments.only.is_empty() { Configuration::ALL.to_vec() } else { arguments.only.clone() };
    output.text(|| {
        let steps = arguments.steps;
        let head = if arguments.small { "at a size for tests: like " } else { "" };
        format!(
            "{}: {head}{}\n{} parameters, {n} examples in a step, {steps} timed steps of each strategy in turn\n",
            model.name,
            model.description,
            model.parameters()
        )
    })?;

    let scratch = Scratch::new()?;
    let bar = progress(output, configurations.len() as u64 * (4 + u64::from(arguments.steps)));
    let mut rows = Vec::new();
    let mut rest = configurations.as_slice();
    while !rest.is_empty() {
        let (group, mut measured) = measure(arguments, n, rest, &scratch, &bar)?;
        rows.append(&mut measured);
        rest = &rest[group..];
    }
    bar.finish_and_clear();
    check::judge(&mut rows, &scratch)?;

    output.result(|| row::table(&rows))?;
    for row in &rows {
        output.json(|| row.json(&model, n))?;
    }
    for row in rows.iter().filter(|row| row.refused.is_none()) {
        output.text(|| row.layer_words())?;
        output.json(|| row.layer_json(&model))?;
    }
    let ratios = softplus(&model, arguments.seed, n)?;
    for ratio in &ratios {
        output.result(|| ratio.words())?;
    }
    let picture = arguments.out.join(format!("{}.svg", model.name));
    let text = picture::draw(&model, n, &rows);
    write_atomically(&picture, |out| out.write_all(text.as_bytes()).map_err(gradus_nn::Error::Write))?;
    output.text(|| format!("wrote {}", picture.display()))?;
    let agrees = rows.iter().all(|row| row.agrees != Some(false));
    output.json(|| {
        let ratios: serde_json::Map<String, Value> =
            ratios.iter().map(|r| (r.key.into(), json!(r.plain as f64 / r.nested as f64))).collect();
        json!({"event": "done", "model": model.name, "agrees": agrees, "saved_plain_over_nested": ratios,
               "picture": picture.display().to_string()})
    })?;
    Ok(if agrees { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Measures the first of some configurations, as many as fit into memory at once; returns how many these were.
fn measure(
    arguments: &Arguments,
    batch: usize,
    configurations: &[Configuration],
    scratch: &Scratch,
    bar: &ProgressBar,
) -> Result<(usize, Vec<Row>), Error> {
    let available = memory::available().map_or(f64::INFINITY, |n| n as f64 * (1.0 - SPARE));
    let mut used = 0.0;
    let mut running: Vec<(Option<Worker>, Row)> = Vec::new();
    for &configuration in configurations {
        bar.set_message(format!("{configuration}: planning"));
        let order = Order {
            model: arguments.model.clone(),
            strategy: configuration,
            batch,
            seed: arguments.seed,
            small: arguments.small,
        };
        let (mut worker, plan) = Worker::start(&order)?;
        let mut row = Row::planned(configuration, &plan);
        bar.inc(1);
        // Profiles and gradients run on copies of the parameters.
        used += 1.3 * row.planned as f64;
        if used > available && !running.is_empty() {
            bar.dec(1);
            break;
        }
        if row.refused.is_some() {
            bar.inc(3 + u64::from(arguments.steps));
            running.push((None, row));
            continue;
        }
        // Before anything is counted: threads then have the scratch that they keep from program to program.
        bar.set_message(format!("{configuration}: gradients"));
        worker.ask(&format!("gradients {}", scratch.file(configuration).display()))?;
        bar.inc(1);
        bar.set_message(format!("{configuration}: first step"));
        row.first(&worker.ask("first")?);
        bar.inc(1);
        running.push((Some(worker), row));
    }
    for _ in 0..arguments.steps {
        for (worker, row) in &mut running {
            let Some(worker) = worker else { continue };
            bar.set_message(format!("{}: steps", row.configuration));
            row.step(&worker.ask("step")?);
            bar.inc(1);
        }
    }
    let count = running.len();
    let mut rows = Vec::new();
    for (worker, mut row) in running {
        if let Some(mut worker) = worker {
            bar.set_message(format!("{}: kernels", row.configuration));
            row.profile(&worker.ask("profile")?);
            bar.inc(1);
        }
        rows.push(row);
    }
    Ok((count, rows))
}

/// What plain keeps and what nested keeps, for one spelling of the activation.
struct Ratio {
    key: &'static str,
    spelling: &'static str,
    plain: usize,
    nested: usize,
}

impl Ratio {
    fn words(&self) -> String {
        format!(
            "saved with {}: plain {}, nested {}: {:.2} times less",
            self.spelling,
            memory::words(self.plain),
            memory::words(self.nested),
            self.plain as f64 / self.nested as f64
        )
    }
}

/// The ratio of what plain and nested keep; where the activation has a softplus, with it as one primitive and written out.
fn softplus(model: &Named, seed: u64, n: usize) -> Result<Vec<Ratio>, Error> {
    let batch = worker::batch(model, seed, n);
    let start = worker::start(model, seed);
    let saved = |model: &Named, strategy| -> Result<usize, Error> {
        let network = model.small().init(&gradus::Key::new(0));
        // The spelling is part of the structure, the parameters are the same.
        let network = match (&start.network, network) {
            (gradus_nn::models::Network::Mlp(given), gradus_nn::models::Network::Mlp(spelt)) => {
                let activation = spelt.activation;
                gradus_nn::models::Network::Mlp(gradus_nn::layers::Mlp { activation, ..given.clone() })
            }
            (given, _) => given.clone(),
        };
        let step: Jit<_, (Progress, _), _> = jit(model.step()).strategy(strategy);
        Ok(step.try_plan(&(model.resume(network), batch.clone()))?.saved_bytes())
    };
    let ratio = |model: &Named, key, spelling| -> Result<Ratio, Error> {
        let (plain, nested) = (saved(model, Strategy::Plain)?, saved(model, Strategy::Nested)?);
        Ok(Ratio { key, spelling, plain, nested })
    };
    let spelt = model.written_out();
    if spelt == *model {
        return Ok(vec![ratio(model, "as_written", "the model as it is written")?]);
    }
    Ok(vec![
        ratio(model, "softplus_one_primitive", "softplus as one primitive")?,
        ratio(&spelt, "softplus_written_out", "softplus as max(x, 0) + ln(1 + e^-|x|)")?,
    ])
}

/// A bar on the standard error, where people watch.
fn progress(output: Output, length: u64) -> ProgressBar {
    let visible = output != Output::Json && std::io::stderr().is_terminal();
    let target = if visible { ProgressDrawTarget::stderr() } else { ProgressDrawTarget::hidden() };
    let bar = ProgressBar::with_draw_target(Some(length), target);
    if let Ok(style) = ProgressStyle::with_template("{bar:32} {pos}/{len}, {elapsed} gone, {msg}") {
        bar.set_style(style);
    }
    bar
}
