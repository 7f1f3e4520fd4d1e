//! `gradus bench train`: whole steps of training.

use std::path::{Path, PathBuf};
use std::time::Instant;

use clap::Args;
use gradus::{DType, Key, Tensor, Tree, jit};
use gradus_nn::models::{Batch, Named, Progress};
use serde_json::{Value, json};

use super::clock::{self, Times};
use super::floor::{self, Floor};
use super::{Common, chain};
use crate::{Error, Output, memory};

/// Options of `gradus bench train`.
#[derive(Args, Debug)]
pub struct Arguments {
    /// The case: a letter or a name of a model, or `chain`
    #[arg(long)]
    case: String,
    #[command(flatten)]
    common: Common,
    /// Steps to time [default: as many as fit into a few seconds]
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    steps: Option<u32>,
    /// Parameters and batches to begin with, as safetensors: the network's tensors by name, `inputs` and `labels` with an axis of batches first
    #[arg(long, value_name = "FILE")]
    weights: Option<PathBuf>,
    /// Print the loss of every step instead of times; 20 steps if --steps does not say
    #[arg(long)]
    losses: bool,
    /// Compute in double precision, which tells rounding from faults; with --losses
    #[arg(long, requires = "losses")]
    double: bool,
    /// The learning rate [default: that of the case]
    #[arg(long, value_parser = crate::train::rate)]
    rate: Option<f64>,
    /// Print a table of the step's kernels and write a Chrome trace to this file
    #[arg(long, value_name = "FILE")]
    profile: Option<PathBuf>,
    /// Leave the floor out
    #[arg(long)]
    no_floor: bool,
    /// The same model at a size for trying out
    #[arg(long)]
    small: bool,
    /// What initial parameters and batches are drawn from
    #[arg(long, default_value_t = 0)]
    seed: u64,
}

/// A case ready to run.
struct Case {
    model: Named,
    progress: Progress,
    batches: Vec<Batch>,
}

/// Different batches drawn where none are given.
const BATCHES: usize = 4;

pub fn run(arguments: &Arguments) -> Result<(), Error> {
    let threads = arguments.common.start()?;
    let output = Output::of(arguments.common.json, false);
    if arguments.case == "chain" {
        return run_chain(arguments, output, threads);
    }
    let case = Case::new(arguments)?;
    if arguments.losses {
        return losses(arguments, output, case);
    }
    step(arguments, output, threads, case)
}

impl Case {
    fn new(arguments: &Arguments) -> Result<Self, Error> {
        let model = Named::find(&arguments.case).map_err(|e| Error::Usage(format!("{e}, and chain")))?;
        let mut model = if arguments.small { model.small() } else { model };
        model.rate = arguments.rate.unwrap_or(model.rate);
        let key = |n: usize| Key::new(arguments.seed).fold_in(n);
        let case = match &arguments.weights {
            Some(path) => Case::read(model, path)?,
            None => {
                let progress = model.start(&key(0));
                let batches = (0..BATCHES).map(|i| model.batch(&key(1 + i), model.batch)).collect();
                Case { model, progress, batches }
            }
        };
        Ok(if arguments.double { case.double() } else { case })
    }

    /// The same case in double precision.
    fn double(self) -> Self {
        let wide = |x: &Tensor| if x.dtype().is_float() { x.cast(DType::F64) } else { x.clone() };
        let batches = self.batches.iter().map(|batch| batch.map(&mut |x| wide(x))).collect();
        Case { progress: self.progress.map(&mut |x| wide(x)), batches, model: self.model }
    }

    /// Parameters and batches from a file.
    fn read(model: Named, path: &Path) -> Result<Self, Error> {
        let invalid = |what: String| gradus_nn::Error::Invalid(format!("{}: {what}", path.display()));
        let bytes = std::fs::read(path).map_err(|source| gradus_nn::Error::File {
            action: "read",
            path: path.to_path_buf(),
            source,
        })?;
        let mut tensors = gradus_nn::read(&bytes)?;
        let mut take =
            |name: &str| tensors.remove(name).ok_or_else(|| invalid(format!("it has no \"{name}\"")));
        let (inputs, labels) = (take("inputs")?, take("labels")?);
        let like = model.batch(&Key::new(0), model.batch);
        let fits = |given: &Tensor, like: &Tensor| {
            given.dtype() == like.dtype()
                && given.rank() == like.rank() + 1
                && given.shape()[1..] == like.shape()[..]
        };
        let count = inputs.shape().first().copied().unwrap_or(0);
        if !fits(&inputs, &like.inputs)
            || !fits(&labels, &like.labels)
            || count == 0
            || labels.shape()[0] != count
        {
            return Err(invalid(format!(
                "\"inputs\" and \"labels\" should be K batches of {} {} and {} {}",
                like.inputs.dtype(),
                like.inputs.shape(),
                like.labels.dtype(),
                like.labels.shape()
            ))
            .into());
        }
        let template = model.init(&Key::new(0));
        let mut parameters = Vec::new();
        for (name, _) in template.leaves() {
            parameters.push(take(&name)?);
        }
        if let Some(name) = tensors.keys().next() {
            return Err(invalid(format!("its \"{name}\" is not part of {}", model.name)).into());
        }
        let progress = model.resume(template.with_arrays(parameters)?);
        let batch = |i: usize| {
            let i = i as isize;
            Batch { inputs: inputs.index(0, i), labels: labels.index(0, i) }
        };
        Ok(Case { model, progress, batches: (0..count).map(batch).collect() })
    }
}

/// Bytes in MiB.
fn mib(bytes: Option<usize>) -> Option<f64> {
    bytes.map(|bytes| bytes as f64 / (1 << 20) as f64)
}

/// Times the step, its memory and its floor.
fn step(arguments: &Arguments, output: Output, threads: usize, case: Case) -> Result<(), Error> {
    let Case { model, progress, batches } = case;
    let idle = mib(memory::idle());
    let step = jit(model.step());
    let (mut now, mut count, mut loss) = (Some(progress), 0, f32::NAN);
    let mut call = || {
        // The parameters are given away and come back: nobody else holds them, so they are updated in place.
        let Some(progress) = now.take() else { return };
        let (next, value) = step.call_owned((progress, batches[count % batches.len()].clone()));
        (now, loss) = (Some(next), value.item());
        count += 1;
    };
    let began = Instant::now();
    call();
    let first = began.elapsed().as_secs_f64();
    let times = clock::time(clock::Plan::STEP, arguments.steps.map(|n| n as usize), &mut call);
    memory::forget_peak();
    call();
    let peak = mib(memory::resident("VmHWM"));
    let Some(progress) = now else { return Ok(()) };
    let example = (progress, batches[0].clone());
    let floor = if arguments.no_floor { None } else { Some(floor::floor(&step.plan(&example))?) };
    let record = Record {
        case: &arguments.case,
        threads,
        times,
        floor,
        memory: [idle, peak],
        loss: f64::from(loss),
        more: json!({
            "model": model.name,
            "parameters": model.parameters(),
            "first_ms": first * 1e3,
            "planned_peak_mb": step.planned_peak_bytes(&example) as f64 / 1048576.0,
        }),
    };
    record.print(output)?;
    if let Some(path) = &arguments.profile {
        let profile = step.profile_owned(&example);
        gradus_nn::write_atomically(path, |out| {
            out.write_all(profile.chrome_trace().as_bytes()).map_err(gradus_nn::Error::Write)
        })?;
        output.text(|| format!("\n{profile}\n\nthe last run is in {}", path.display()))?;
        let parsed = serde_json::from_str::<Value>(&profile.to_json());
        output.json(
            || json!({"event": "profile", "case": arguments.case, "profile": parsed.unwrap_or(Value::Null)}),
        )?;
    }
    Ok(())
}

/// The loss of every step from given or drawn parameters and batches.
fn losses(arguments: &Arguments, output: Output, case: Case) -> Result<(), Error> {
    let Case { model, mut progress, batches } = case;
    let step = jit(model.step());
    let mut losses: Vec<f64> = Vec::new();
    for i in 0..arguments.steps.unwrap_or(20) as usize {
        let (next, loss) = step.call_owned((progress, batches[i % batches.len()].clone()));
        progress = next;
        losses.push(loss.cast(DType::F64).item());
        output.text(|| format!("step {:>3}  loss {:.7}", i + 1, losses[i]))?;
    }
    output.json(|| json!({"case": arguments.case, "lib": "gradus", "losses": losses}))
}

/// The chain of small operations with its gradient.
fn run_chain(arguments: &Arguments, output: Output, threads: usize) -> Result<(), Error> {
    if arguments.weights.is_some() || arguments.losses {
        return Err(Error::Usage("the chain has no parameters and no loss".into()));
    }
    let operands = chain::operands();
    let idle = mib(memory::idle());
    let f = jit(|(x, w): &(Tensor, Tensor)| chain::gradient(x, w));
    let began = Instant::now();
    f.call(&operands);
    let first = began.elapsed().as_secs_f64();
    let times =
        clock::time(clock::Plan::STEP, arguments.steps.map(|n| n as usize), || drop(f.call(&operands)));
    memory::forget_peak();
    f.call(&operands);
    let peak = mib(memory::resident("VmHWM"));
    let loss = chain::forward(&operands.0, &operands.1).item::<f64>();
    let per_op = times.median * 1e9 / chain::LENGTH as f64;
    let more = json!({"first_ms": first * 1e3, "ns_per_op": per_op});
    Record { case: &arguments.case, threads, times, floor: None, memory: [idle, peak], loss, more }
        .print(output)
}

/// What is said about a case.
struct Record<'a> {
    case: &'a str,
    threads: usize,
    times: Times,
    floor: Option<Floor>,
    /// Before the program was compiled, and at most during a step.
    memory: [Option<f64>; 2],
    loss: f64,
    more: Value,
}

impl Record<'_> {
    fn print(&self, output: Output) -> Result<(), Error> {
        let ms = |seconds: f64| seconds * 1e3;
        let [idle, peak] = self.memory;
        output.json(|| {
            let mut line = json!({
                "case": self.case,
                "lib": "gradus",
                "threads": self.threads,
                "ms": ms(self.times.median),
                "floor_ms": self.floor.map(|f| ms(f.seconds)),
                "peak_rss_mb": peak,
                "loss": self.loss,
                "best_ms": ms(self.times.best),
                "steps": self.times.calls,
                "floor_gflop": self.floor.map(|f| f.flops * 1e-9),
                "idle_rss_mb": idle,
            });
            if let (Value::Object(line), Value::Object(more)) = (&mut line, &self.more) {
                line.extend(more.clone());
            }
            line
        })?;
        output.text(|| {
            let mut line = format!(
                "{}: {:.4} ms a step on {} threads (median of {} steps, best block {:.4})",
                self.case,
                ms(self.times.median),
                self.threads,
                self.times.calls,
                ms(self.times.best)
            );
            if let Some(f) = self.floor {
                line += &format!(
                    "; products and convolutions alone {:.4} ms ({:.2} GFLOP), ratio {:.3}",
                    ms(f.seconds),
                    f.flops * 1e-9,
                    self.times.median / f.seconds.max(1e-12)
                );
            }
            if let (Some(idle), Some(peak)) = (idle, peak) {
                line += &format!("; peak {peak:.0} MiB resident, {:.0} more than before", peak - idle);
            }
            line + &format!("; loss {:.6}", self.loss)
        })
    }
}
