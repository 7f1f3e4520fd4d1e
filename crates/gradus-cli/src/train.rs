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
    Adam, Epoch, Event, Model, Schedule, Training, check_writable, count_parameters, fit, save,
    write_atomically,
};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use serde_json::json;

use crate::memory::words as bytes;
use crate::stop::{self, Stop};
use crate::{Chart, Error, Output, Series, say};

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

/// The exit code of a program that a closed pipe has ended.
const CLOSED: u8 = 128 + 13;

pub fn digits(arguments: &Arguments) -> Result<ExitCode, Error> {
    let output = Output::of(arguments.json, arguments.quiet);
    let mut session = Session { arguments, output, stop: Stop::listen()?, last: None };
    let done = session.run();
    let Some(Written { steps, of, files }) = &session.last else {
        return done.or_else(|error| match error.is_closed_pipe() {
            true => {
                say("the output was closed before the first step: nothing was trained");
                Ok(ExitCode::from(CLOSED))
            }
            false => Err(error),
        });
    };
    let [file, picture] = files;
    let wrote = format!("wrote {} and {}", file.display(), picture.display());
    match (done, session.stop.signal()) {
        (Err(error), _) if error.is_closed_pipe() => {
            say(&format!("the output was closed after step {steps} of {of}: {wrote}"));
            Ok(ExitCode::from(CLOSED))
        }
        (Err(error), _) => {
            say(&wrote);
            Err(error)
        }
        (Ok(_), Some(signal)) => {
            say(&format!("stopped by {} after step {steps} of {of}: {wrote}", stop::name(signal)));
            Ok(ExitCode::from(128 + signal as u8))
        }
        (Ok(code), None) => Ok(code),
    }
}

/// A call of the command.
struct Session<'a> {
    arguments: &'a Arguments,
    output: Output,
    stop: Stop,
    last: Option<Written>,
}

/// What was written last: after so many steps of so many, the model and the picture.
struct Written {
    steps: usize,
    of: usize,
    files: [PathBuf; 2],
}

impl Session<'_> {
    fn run(&mut self) -> Result<ExitCode, Error> {
        let (start, arguments, output) = (Instant::now(), self.arguments, self.output);
        std::fs::create_dir_all(&arguments.out)
            .map_err(|source| Error::Folder { folder: arguments.out.display().to_string(), source })?;
        let kinds = arguments.model.map_or(vec![Kind::Mlp, Kind::Cnn], |kind| vec![kind]);
        // Rather now than after the training.
        for file in kinds.iter().flat_map(|kind| files(&arguments.out, kind.name())) {
            check_writable(file)?;
        }
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
        let mut last = f64::NAN;
        let mut accuracies = serde_json::Map::new();
        for kind in kinds {
            let parameters = key(Draw::Parameters);
            last = match kind {
                Kind::Mlp => {
                    let model =
                        Mlp::new(&parameters, &[64, 256, 128, 10], Activation::Relu).with_dropout(0.25);
                    self.train(kind, model, &split, key(Draw::Training))?
                }
                Kind::Cnn => self.train(kind, Cnn::digits(&parameters), &split, key(Draw::Training))?,
            };
            accuracies.insert(kind.name().into(), json!(last));
            if self.stop.signal().is_some() {
                break;
            }
        }
        let seconds = start.elapsed().as_secs_f64();
        let stopped = self.stop.signal().map(stop::name);
        output
            .text(|| format!("{} in {seconds:.1} s", if stopped.is_some() { "stopped" } else { "done" }))?;
        output.json(|| {
            json!({"event": "done", "test_accuracy": last, "seconds": seconds, "seed": arguments.seed,
                   "accuracies": accuracies, "stopped_by": stopped})
        })?;
        Ok(ExitCode::SUCCESS)
    }

    /// Trains one model, writes its files, and gives its accuracy on the held-out examples. A signal ends the training after
    /// the step it is in, and so does an output that cannot be written.
    fn train<M: Model>(&mut self, kind: Kind, model: M, split: &Split, key: Key) -> Result<f64, Error> {
        let (arguments, output) = (self.arguments, self.output);
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
        let (mut printed, mut done) = (Ok(()), 0);
        let outcome = fit(model, split, &training, |event| {
            match event {
                Event::Step { step, loss, .. } => {
                    done = *step;
                    bar.set_position(*step as u64);
                    bar.set_message(format!("loss {loss:.3}"));
                }
                Event::Epoch(epoch) => printed = bar.suspend(|| show(output, name, epoch, epochs)),
                _ => {}
            }
            let ends = printed.is_err() || self.stop.signal().is_some();
            if ends { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        })?;
        bar.finish_and_clear();

        let accuracy = outcome.history.last().map_or(f64::NAN, |e| e.test_accuracy);
        let seconds = start.elapsed().as_secs_f64();
        let files = files(&arguments.out, name);
        write(&files, name, &outcome.model, &outcome.history)?;
        let [file, picture] = files.clone().map(|path| path.display().to_string());
        self.last = Some(Written { steps: done, of: steps, files });
        printed?;
        output.text(|| {
            format!(
                "{name}: reverse mode, one backward pass a step (forward mode would take {parameters}); {}{}{}",
                // The planner may see no point where the passes of the step meet; then it counts nothing.
                if outcome.saved_bytes > 0 {
                    format!("the forward pass keeps {} for it, ", bytes(outcome.saved_bytes))
                } else {
                    String::new()
                },
                if outcome.peak_bytes > 0 {
                    format!("a step needs {} in all; ", bytes(outcome.peak_bytes))
                } else {
                    String::new()
                },
                if outcome.programs == 1 {
                    "one program was compiled".into()
                } else {
                    format!("{} programs were compiled", outcome.programs)
                }
            )
        })?;
        output.text(|| format!("{name}: wrote {file} and {picture}"))?;
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

/// Where the parameters and the picture of a model go.
fn files(folder: &Path, name: &str) -> [PathBuf; 2] {
    ["safetensors", "svg"].map(|ending| folder.join(format!("{name}.{ending}")))
}

/// Writes the parameters and the picture.
fn write<M: Model>(
    [file, picture]: &[PathBuf; 2],
    name: &str,
    model: &M,
    history: &[Epoch],
) -> Result<(), Error> {
    save(file, model)?;
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
    let text = Chart::document(&charts);
    write_atomically(picture, |out| out.write_all(text.as_bytes()).map_err(gradus_nn::Error::Write))?;
    Ok(())
}
