//! `gradus train digits`: real data, a progress bar, a model file and a picture.

use std::io::IsTerminal;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Instant;

use clap::{Args, ValueEnum};
use gradus::Key;
use gradus_nn::data::{self, Split};
use gradus_nn::layers::{Activation, Mlp};
use gradus_nn::models::Cnn;
use gradus_nn::{
    Adam, Epoch, Event, Model, Schedule, Training, count_parameters, fit, save, write_atomically,
};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use serde_json::json;

use crate::memory::words as bytes;
use crate::{Chart, Error, Output, Series};

/// Options of `gradus train digits`.
#[derive(Args, Debug)]
pub struct Arguments {
    /// The model; the MLP and then the CNN if not given
    #[arg(long, value_enum)]
    model: Option<Kind>,
    /// Times that all examples are seen [default: 60 for the MLP, 40 for the CNN]
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    epochs: Option<u32>,
    /// What split, initial parameters and order of the examples are drawn from
    #[arg(long, default_value_t = 0)]
    seed: u64,
    /// Examples in a step
    #[arg(long, default_value_t = 64, value_parser = clap::value_parser!(u32).range(1..=1437))]
    batch: u32,
    /// The largest learning rate
    #[arg(long, default_value_t = 3e-3, value_parser = rate, allow_negative_numbers = true)]
    lr: f64,
    /// The folder for the model and the picture, made if it is not there
    #[arg(long, value_name = "DIR", default_value = "runs/digits")]
    out: PathBuf,
    /// Print JSON lines
    #[arg(long)]
    json: bool,
    /// Print only the results
    #[arg(long)]
    quiet: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Kind {
    /// Two hidden layers
    Mlp,
    /// Three convolutions
    Cnn,
}

impl Kind {
    fn name(self) -> &'static str {
        match self {
            Kind::Mlp => "mlp",
            Kind::Cnn => "cnn",
        }
    }
}

/// A learning rate on the command line.
pub(crate) fn rate(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(rate) if rate > 0.0 && rate.is_finite() => Ok(rate),
        _ => Err("a learning rate is a number above 0, such as 0.003".into()),
    }
}

/// What the seed is used for; each use has a key of its own.
#[derive(Clone, Copy)]
enum Draw {
    Split = 0,
    Parameters = 1,
    Training = 2,
}

pub fn digits(arguments: &Arguments) -> Result<ExitCode, Error> {
    let start = Instant::now();
    let output = Output::of(arguments.json, arguments.quiet);
    std::fs::create_dir_all(&arguments.out)
        .map_err(|source| Error::Folder { folder: arguments.out.display().to_string(), source })?;
    let key = |draw: Draw| Key::new(arguments.seed).fold_in(draw as usize);
    let split = data::digits()?.split(&key(Draw::Split), 0.2);
    output.text(|| {
        format!(
            "digits: {} to train on, {} held out, seed {}",
            split.train.len(),
            split.held_out.len(),
            arguments.seed
        )
    })?;
    let kinds = arguments.model.map_or(vec![Kind::Mlp, Kind::Cnn], |kind| vec![kind]);
    let mut last = f64::NAN;
    let mut accuracies = serde_json::Map::new();
    for kind in kinds {
        let parameters = key(Draw::Parameters);
        last = match kind {
            Kind::Mlp => {
                let model = Mlp::new(&parameters, &[64, 256, 128, 10], Activation::Relu).with_dropout(0.25);
                train(arguments, output, kind, model, &split, key(Draw::Training))?
            }
            Kind::Cnn => {
                train(arguments, output, kind, Cnn::digits(&parameters), &split, key(Draw::Training))?
            }
        };
        accuracies.insert(kind.name().into(), json!(last));
    }
    let seconds = start.elapsed().as_secs_f64();
    output.text(|| format!("done in {seconds:.1} s"))?;
    output.json(|| {
        json!({"event": "done", "test_accuracy": last, "seconds": seconds, "seed": arguments.seed,
               "accuracies": accuracies})
    })?;
    Ok(ExitCode::SUCCESS)
}

/// Trains one model, writes its files, and gives its accuracy on the held-out examples.
fn train<M: Model>(
    arguments: &Arguments,
    output: Output,
    kind: Kind,
    model: M,
    split: &Split,
    key: Key,
) -> Result<f64, Error> {
    let (start, name) = (Instant::now(), kind.name());
    let epochs = arguments.epochs.map_or(if kind == Kind::Mlp { 60 } else { 40 }, |n| n as usize);
    let batch = arguments.batch as usize;
    let steps = epochs * (split.train.len() / batch);
    let training = Training {
        epochs,
        batch,
        optimizer: Adam { decay: 0.05, ..Adam::default() },
        schedule: Schedule::Cosine { peak: arguments.lr, warmup: steps / 20, steps, floor: 0.0 },
        shifts: 0.75,
        smoothing: 0.05,
        key,
    };
    let parameters = count_parameters(&model);
    output.text(|| {
        format!("\n{name}: {parameters} parameters, {epochs} epochs of {batch} examples a step, Adam")
    })?;
    output.json(|| {
        json!({"event": "start", "model": name, "parameters": parameters, "epochs": epochs, "batch": batch,
               "lr": arguments.lr, "seed": arguments.seed})
    })?;
    let bar = progress(output, steps as u64);
    let mut printed = Ok(());
    let outcome = fit(model, split, &training, |event| {
        match event {
            Event::Step { step, loss, .. } => {
                bar.set_position(*step as u64);
                bar.set_message(format!("loss {loss:.3}"));
            }
            Event::Epoch(epoch) => printed = bar.suspend(|| show(output, name, epoch, epochs)),
        }
        if printed.is_err() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    })?;
    bar.finish_and_clear();
    printed?;

    let accuracy = outcome.history.last().map_or(f64::NAN, |e| e.test_accuracy);
    let seconds = start.elapsed().as_secs_f64();
    let (file, picture) = write(&arguments.out, name, &outcome.model, &outcome.history)?;
    output.text(|| {
        format!(
            "{name}: reverse mode, one backward pass a step (forward mode would take {parameters}); {}a step needs {} in \
             all; {}",
            // The planner may see no point where the halves of the step meet; then it counts nothing.
            if outcome.saved_bytes > 0 {
                format!("the forward half keeps {} for it, ", bytes(outcome.saved_bytes))
            } else {
                String::new()
            },
            bytes(outcome.peak_bytes),
            if outcome.programs == 1 { "one program was planned".into() } else { format!("{} programs were planned", outcome.programs) }
        )
    })?;
    output.text(|| format!("{name}: wrote {} and {}", file.display(), picture.display()))?;
    output.result(|| {
        format!("{name}: {:.2} % of the held-out digits right, {seconds:.1} s", 100.0 * accuracy)
    })?;
    output.json(|| {
        json!({"event": "model", "model": name, "test_accuracy": accuracy, "seconds": seconds,
               "mode": "reverse", "saved_bytes": outcome.saved_bytes, "planned_peak_bytes": outcome.peak_bytes,
               "programs": outcome.programs, "file": file, "picture": picture})
    })?;
    Ok(accuracy)
}

/// A bar on the standard error, where people watch.
fn progress(output: Output, steps: u64) -> ProgressBar {
    let visible = output == Output::Text && std::io::stderr().is_terminal();
    let target = if visible { ProgressDrawTarget::stderr() } else { ProgressDrawTarget::hidden() };
    let bar = ProgressBar::with_draw_target(Some(steps), target);
    if let Ok(style) = ProgressStyle::with_template("{bar:32} {pos}/{len} steps, {eta} left, {msg}") {
        bar.set_style(style);
    }
    bar
}

fn show(output: Output, name: &str, e: &Epoch, epochs: usize) -> Result<(), Error> {
    output.text(|| {
        format!(
            "{name} {:>3}/{epochs}  loss {:.4}  accuracy {:.2} %  held out: loss {:.4}  accuracy {:.2} %  \
             |gradient| {:.3}  {:.0} examples/s",
            e.epoch,
            e.train_loss,
            100.0 * e.train_accuracy,
            e.test_loss,
            100.0 * e.test_accuracy,
            e.gradient_norm,
            e.examples_per_second
        )
    })?;
    output.json(|| {
        json!({"event": "epoch", "model": name, "epoch": e.epoch, "train_loss": e.train_loss,
               "train_accuracy": e.train_accuracy, "test_loss": e.test_loss, "test_accuracy": e.test_accuracy,
               "gradient_norm": e.gradient_norm, "examples_per_second": e.examples_per_second, "lr": e.rate})
    })
}

/// Writes the parameters and the picture.
fn write<M: Model>(
    folder: &Path,
    name: &str,
    model: &M,
    history: &[Epoch],
) -> Result<(PathBuf, PathBuf), Error> {
    let file = folder.join(format!("{name}.safetensors"));
    save(&file, model)?;
    let series = |name: &str, colour, value: fn(&Epoch) -> f64| Series {
        name: name.into(),
        colour,
        values: history.iter().map(value).collect(),
        marks: false,
    };
    let chart = |title: String, logarithmic, series| Chart {
        title,
        x_label: "epoch".into(),
        logarithmic,
        series,
        names: Vec::new(),
    };
    let charts = [
        chart(
            format!("{name}: loss"),
            true,
            vec![
                series("training", "#1f77b4", |e| e.train_loss),
                series("held out", "#d62728", |e| e.test_loss),
            ],
        ),
        chart(
            format!("{name}: accuracy in %"),
            false,
            vec![
                series("training", "#1f77b4", |e| 100.0 * e.train_accuracy),
                series("held out", "#d62728", |e| 100.0 * e.test_accuracy),
            ],
        ),
    ];
    let picture = folder.join(format!("{name}.svg"));
    let text = Chart::document(&charts);
    write_atomically(&picture, |out| out.write_all(text.as_bytes()).map_err(gradus_nn::Error::Write))?;
    Ok((file, picture))
}
