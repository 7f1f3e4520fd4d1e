//! `gradus modes`: where forward mode is better, where reverse mode, and what the driver chooses.

mod family;
mod measure;
mod picture;

use std::io::IsTerminal;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::Args;
use gradus::num::drivers::calibrate;
use gradus_nn::write_atomically;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use serde_json::{Value, json};

use crate::{Chart, Error, Output};
use family::Family;
use measure::{Effort, Measurement, Point};

/// Options of `gradus modes`.
#[derive(Args, Debug)]
pub struct Arguments {
    /// A few shapes and depths, measured briefly
    #[arg(long)]
    quick: bool,
    /// Only these depths (layers of the function)
    #[arg(long, value_delimiter = ',', value_name = "D,..", value_parser = clap::value_parser!(u32).range(1..=4096))]
    depths: Vec<u32>,
    /// The size of the Jacobians: inputs times outputs
    #[arg(long, default_value_t = 1000, value_parser = clap::value_parser!(u32).range(16..=100_000))]
    size: u32,
    /// Use the unit costs that come with the crate instead of measuring this machine's first
    #[arg(long)]
    shipped: bool,
    /// The folder for the picture, made if it is not there
    #[arg(long, value_name = "DIR", default_value = "runs/modes")]
    out: PathBuf,
    /// Print JSON lines, one a point
    #[arg(long)]
    json: bool,
    /// Print only the result
    #[arg(long)]
    quiet: bool,
}

/// How much slower than the best the automatic choice may be to count as right.
const WITHIN: f64 = 1.15;

/// Shapes of Jacobians with about `size` entries, from one input to one output.
fn shapes(size: usize, quick: bool) -> Vec<(usize, usize)> {
    let short = |side: f64| ((side.round() as usize).max(1), size as f64);
    let root = (size as f64).sqrt();
    let parts: &[f64] = if quick { &[0.0, 0.5] } else { &[0.0, 0.1, 0.25, 0.4, 0.6, 0.8] };
    let mut shapes: Vec<(usize, usize)> = Vec::new();
    for &part in parts {
        let (few, size) = short(root.powf(part));
        let many = (size / few as f64).round() as usize;
        if !shapes.contains(&(few, many)) {
            shapes.push((few, many));
        }
    }
    let square = root.round() as usize;
    let back: Vec<_> = shapes.iter().rev().map(|&(few, many)| (many, few)).collect();
    shapes.push((square, square));
    shapes.extend(back);
    shapes
}

pub fn modes(arguments: &Arguments) -> Result<ExitCode, Error> {
    let output = Output::of(arguments.json, arguments.quiet);
    std::fs::create_dir_all(&arguments.out)
        .map_err(|source| Error::Folder { folder: arguments.out.display().to_string(), source })?;
    let depths: Vec<usize> = match (arguments.depths.as_slice(), arguments.quick) {
        ([], true) => vec![1, 8, 64],
        ([], false) => vec![1, 2, 4, 8, 16, 32, 64],
        (depths, _) => depths.iter().map(|&d| d as usize).collect(),
    };
    let shapes = shapes(arguments.size as usize, arguments.quick);
    let effort = if arguments.quick {
        Effort { batch: Duration::from_micros(300), rounds: 9, point: Duration::from_millis(60) }
    } else {
        Effort { batch: Duration::from_millis(1), rounds: 31, point: Duration::from_millis(500) }
    };
    if !arguments.shipped {
        calibrate();
    }
    output.text(|| {
        format!(
            "{:>13} {:>6}  {:>10} {:>10} {:>10} {:>10}  {:<22} {:>9}",
            "in x out", "depth", "forward", "chunks", "reverse", "sparse", "automatic", "of best"
        )
    })?;
    let bar = progress(output, (shapes.len() * depths.len()) as u64);
    let mut points = Vec::new();
    for &(inputs, outputs) in &shapes {
        for &depth in &depths {
            bar.set_message(format!("{inputs} x {outputs}, depth {depth}"));
            let point = measure::point(Family { inputs, outputs, depth }, effort);
            bar.inc(1);
            bar.suspend(|| show(output, &point))?;
            points.push(point);
        }
    }
    bar.finish_and_clear();
    let file = draw(arguments, &points, &shapes, &depths)?;
    let within = points.iter().filter(|p| p.ratio() <= WITHIN).count();
    let share = 100.0 * within as f64 / points.len() as f64;
    output.text(|| format!("wrote {}", file.display()))?;
    output.result(|| {
        format!(
            "the automatic choice is within 15 % of the best in {within} of {} points ({share:.1} %)",
            points.len()
        )
    })?;
    output.json(|| {
        json!({"event": "done", "points": points.len(), "within_15_percent": within, "percent": share,
               "picture": file.display().to_string()})
    })?;
    Ok(ExitCode::SUCCESS)
}

/// Times over the shapes at the middle depth, memory over the depths at one output.
fn draw(
    arguments: &Arguments,
    points: &[Point],
    shapes: &[(usize, usize)],
    depths: &[usize],
) -> Result<PathBuf, Error> {
    let middle = depths[depths.len() / 2];
    let at_depth: Vec<&Point> = points.iter().filter(|p| p.family.depth == middle).collect();
    let last = shapes[shapes.len() - 1];
    let of_shape: Vec<&Point> =
        points.iter().filter(|p| (p.family.inputs, p.family.outputs) == last).collect();
    let text = Chart::document(&[picture::times(&at_depth), picture::memory(&of_shape)]);
    let file = arguments.out.join("modes.svg");
    write_atomically(&file, |out| out.write_all(text.as_bytes()).map_err(gradus_nn::Error::Write))?;
    Ok(file)
}

/// A bar on the standard error, where people watch.
fn progress(output: Output, points: u64) -> ProgressBar {
    let visible = output == Output::Text && std::io::stderr().is_terminal();
    let target = if visible { ProgressDrawTarget::stderr() } else { ProgressDrawTarget::hidden() };
    let bar = ProgressBar::with_draw_target(Some(points), target);
    if let Ok(style) = ProgressStyle::with_template("{bar:32} {pos}/{len} points, {eta} left, {msg}") {
        bar.set_style(style);
    }
    bar
}

fn show(output: Output, point: &Point) -> Result<(), Error> {
    output.text(|| {
        let Family { inputs, outputs, depth } = point.family;
        let time = |mode: &str| point.of(mode).map_or("-".into(), |w| readable(w.seconds));
        format!(
            "{:>13} {depth:>6}  {:>10} {:>10} {:>10} {:>10}  {:<22} {:>8.2}x",
            format!("{inputs} x {outputs}"),
            time("forward"),
            time("chunked forward"),
            time("reverse"),
            time("sparse"),
            format!("{} {}", point.took, point.automatic.width),
            point.ratio(),
        )
    })?;
    output.json(|| line(point))
}

fn readable(seconds: f64) -> String {
    match seconds * 1e6 {
        us if us < 1e3 => format!("{us:.1} us"),
        us => format!("{:.2} ms", us / 1e3),
    }
}

fn line(point: &Point) -> Value {
    let Family { inputs, outputs, depth } = point.family;
    let measurement = |w: &Measurement| json!({"mode": w.mode, "width": w.width, "time_us": 1e6 * w.seconds, "peak_bytes": w.peak});
    let best = point.best();
    json!({
        "event": "point",
        "inputs": inputs,
        "outputs": outputs,
        "depth": depth,
        "modes": point.measurements.iter().map(measurement).collect::<Vec<_>>(),
        "automatic": {"mode": point.took, "width": point.automatic.width,
                      "time_us": 1e6 * point.automatic.seconds, "peak_bytes": point.automatic.peak},
        "best": {"mode": best.mode, "width": best.width, "time_us": 1e6 * best.seconds},
        "ratio": point.ratio(),
        "within_15_percent": point.ratio() <= WITHIN,
    })
}
