//! `gradus bench plan`: how recording, differentiating and planning grow with the number of operations.
//!
//! Each cell, a family of programs ([`cases`]) at one size under one transform, runs in a process of its own
//! ([`worker`]) on a thread with a small stack, so that a cell that takes too long, too much memory or too much stack
//! is reported and the next goes on. Larger sizes of a row that failed are left out. Seconds are those that the thread
//! was on a processor, where the system tells.

mod cases;
pub mod worker;

use std::io::{IsTerminal, Read};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use clap::{Args, ValueEnum};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use serde_json::{Value, json};

use crate::{Error, Output, memory};
use cases::{CASES, Case};

/// What a budget is, as [`gradus::Jit::memory_budget`] takes it.
const BUDGET: &str = "70%";

/// Sizes up to this count as "10^5", what is above as "10^6".
const MIDDLE: usize = 100_000;

/// What is planned.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Transform {
    /// The function itself
    Value,
    /// Its gradient, of the sum of all results
    Grad,
    /// Its vector-Jacobian product
    Vjp,
    /// Its Hessian times a vector, forward over reverse
    Hvp,
}

impl Transform {
    fn name(self) -> String {
        self.to_possible_value().map_or(String::new(), |v| v.get_name().to_string())
    }
}

/// Options of `gradus bench plan`.
#[derive(Args, Debug)]
pub struct Arguments {
    /// Only these families of programs [default: all]
    #[arg(long, value_delimiter = ',', value_parser = CASES.map(|c| c.name))]
    cases: Vec<String>,
    /// Operations of each program [default: 100,1000,10000,100000, and 1000000 for chain and wide-sum]
    #[arg(long, value_delimiter = ',', value_parser = super::kernels::size)]
    sizes: Vec<usize>,
    /// What is planned
    #[arg(long, value_delimiter = ',', default_values_t = Transform::value_variants().to_vec(), value_enum)]
    transforms: Vec<Transform>,
    /// With a budget, without one, or both
    #[arg(long, value_enum, default_value_t = Budgets::Both)]
    budgets: Budgets,
    /// Seconds that a cell may take
    #[arg(long, default_value_t = 60.0, value_parser = seconds)]
    limit: f64,
    /// GiB of memory that a cell may take
    #[arg(long, default_value_t = 8.0, value_parser = seconds)]
    memory: f64,
    /// KiB of the stack that everything runs on
    #[arg(long, default_value_t = 256, value_parser = clap::value_parser!(u32).range(64..=1 << 20))]
    stack: u32,
    /// Print JSON lines
    #[arg(long)]
    json: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Budgets {
    With,
    Without,
    Both,
}

fn seconds(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(s) if s > 0.0 && s <= 1e6 => Ok(s),
        _ => Err("a limit is a positive number".into()),
    }
}

/// What came of a cell.
enum Outcome {
    Done(Value),
    /// Why there is no result, and the seconds it took to say so.
    Failed(String, f64),
}

/// What the last line tells.
#[derive(Default)]
struct Worst {
    exponent: Option<f64>,
    seconds: f64,
    seconds_of_millions: f64,
    failed: usize,
}

pub fn run(arguments: &Arguments) -> Result<(), Error> {
    let output = Output::of(arguments.json, false);
    let wanted = |c: &&Case| arguments.cases.is_empty() || arguments.cases.iter().any(|n| n == c.name);
    let cases: Vec<&Case> = CASES.iter().filter(wanted).collect();
    let budgets: &[bool] = match arguments.budgets {
        Budgets::With => &[true],
        Budgets::Without => &[false],
        Budgets::Both => &[false, true],
    };
    let bar = ProgressBar::new((cases.len() * arguments.transforms.len() * budgets.len()) as u64);
    bar.set_draw_target(if std::io::stderr().is_terminal() {
        ProgressDrawTarget::stderr()
    } else {
        ProgressDrawTarget::hidden()
    });
    if let Ok(style) = ProgressStyle::with_template("{bar:30} {pos}/{len} {msg}") {
        bar.set_style(style);
    }
    output.text(|| {
        format!(
            "{:<16} {:<9} {:<7} {:>10} {:>10} {:>10} {:>10} {:>10} {:>10} {:>9}",
            "case",
            "transform",
            "budget",
            "operations",
            "seconds",
            "recorded",
            "derived",
            "planned",
            "memory",
            "exponent"
        )
    })?;
    let mut worst = Worst::default();
    for case in cases {
        for &transform in &arguments.transforms {
            for &budget in budgets {
                row(arguments, case, transform, budget, output, &bar, &mut worst)?;
                bar.inc(1);
            }
        }
    }
    bar.finish_and_clear();
    output.json(|| {
        json!({"event": "done", "worst_exponent": worst.exponent, "worst_seconds": worst.seconds,
               "worst_seconds_of_millions": worst.seconds_of_millions, "failed": worst.failed})
    })?;
    output.text(|| {
        let exponent = worst.exponent.map_or("-".into(), |e| format!("{e:.2}"));
        format!(
            "worst exponent {exponent}, worst time {:.2} s up to 10^5 operations, {:.2} s above; {} cells failed",
            worst.seconds, worst.seconds_of_millions, worst.failed
        )
    })
}

/// All sizes of one family under one transform.
fn row(
    arguments: &Arguments,
    case: &Case,
    transform: Transform,
    budget: bool,
    output: Output,
    bar: &ProgressBar,
    worst: &mut Worst,
) -> Result<(), Error> {
    let mut sizes = arguments.sizes.clone();
    if sizes.is_empty() {
        sizes = vec![100, 1_000, 10_000, MIDDLE];
        sizes.extend(case.long.then_some(10 * MIDDLE));
    }
    sizes.sort_unstable();
    let mut points: Vec<(f64, f64)> = Vec::new();
    let (name, with) = (transform.name(), if budget { BUDGET } else { "-" });
    for n in sizes {
        bar.set_message(format!("{} {name} {with} {n}", case.name));
        let outcome = cell(arguments, case, transform, budget, n)?;
        let seconds = match &outcome {
            Outcome::Done(line) => line["seconds"].as_f64().unwrap_or(0.0),
            Outcome::Failed(_, seconds) => *seconds,
        };
        points.push((n as f64, seconds));
        let most = if n > MIDDLE { &mut worst.seconds_of_millions } else { &mut worst.seconds };
        *most = most.max(seconds);
        let exponent = exponent(&points);
        let head = json!({"case": case.name, "transform": name, "budget": budget, "operations": n, "exponent": exponent});
        match outcome {
            Outcome::Done(line) => {
                output.json(|| merged(&head, &line))?;
                bar.suspend(|| {
                    output.text(|| {
                        let s = |field: &str| line[field].as_f64().unwrap_or(0.0);
                        let memory = memory::words(line["bytes"].as_u64().unwrap_or(0) as usize);
                        let exponent = exponent.map_or("-".into(), |e| format!("{e:.2}"));
                        let refused = if line["refused"].is_null() { "" } else { "  refused" };
                        format!(
                            "{:<16} {name:<9} {with:<7} {n:>10} {seconds:>10.4} {:>10.4} {:>10.4} {:>10.4} {memory:>10} {exponent:>9}{refused}",
                            case.name,
                            s("recorded_s"),
                            s("differentiated_s"),
                            s("planned_s"),
                        )
                    })
                })?;
            }
            Outcome::Failed(why, _) => {
                worst.failed += 1;
                output.json(|| merged(&head, &json!({"seconds": seconds, "failed": why})))?;
                bar.suspend(|| {
                    output.text(|| {
                        format!("{:<16} {name:<9} {with:<7} {n:>10} {seconds:>10.4}  {why}", case.name)
                    })
                })?;
                break;
            }
        }
    }
    if let Some(e) = exponent(&points) {
        worst.exponent = Some(worst.exponent.map_or(e, |w| w.max(e)));
    }
    Ok(())
}

fn merged(head: &Value, line: &Value) -> Value {
    let objects = [head, line].into_iter().filter_map(Value::as_object);
    Value::Object(objects.flatten().map(|(k, v)| (k.clone(), v.clone())).collect())
}

/// The least-squares slope of log time over log size, over the last two decades of sizes; times under a millisecond
/// say nothing.
fn exponent(points: &[(f64, f64)]) -> Option<f64> {
    let largest = points.last()?.0;
    let told = points.iter().filter(|(n, s)| *n * 101.0 > largest && *s > 1e-3);
    let logs: Vec<(f64, f64)> = told.map(|(n, s)| (n.ln(), s.ln())).collect();
    if logs.len() < 2 {
        return None;
    }
    let k = logs.len() as f64;
    let (mx, my) = (logs.iter().map(|p| p.0).sum::<f64>() / k, logs.iter().map(|p| p.1).sum::<f64>() / k);
    let (xy, xx) =
        logs.iter().fold((0.0, 0.0), |(xy, xx), (x, y)| (xy + (x - mx) * (y - my), xx + (x - mx).powi(2)));
    (xx > 0.0).then(|| xy / xx)
}

/// Runs a worker within the limits.
fn cell(
    arguments: &Arguments,
    case: &Case,
    transform: Transform,
    budget: bool,
    n: usize,
) -> Result<Outcome, Error> {
    let mut command = Command::new(std::env::current_exe()?);
    command.args(["bench", "plan-worker", case.name, &transform.name(), &n.to_string()]);
    command.arg(format!("--stack={}", arguments.stack));
    command.args(budget.then_some("--budget"));
    let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn()?;
    let began = Instant::now();
    let ended = wait(&mut child, arguments, began);
    if ended.is_err() {
        // It may have ended by itself meanwhile: either way it is gone.
        child.kill().ok();
        child.wait()?;
    }
    let seconds = began.elapsed().as_secs_f64();
    let mut text = String::new();
    if let Some(mut out) = child.stdout.take() {
        out.read_to_string(&mut text)?;
    }
    let mut said = String::new();
    if let Some(mut errors) = child.stderr.take() {
        errors.read_to_string(&mut said)?;
    }
    let why = match ended {
        Err(Over::Other(error)) => return Err(error.into()),
        Err(Over::Time) => format!("took more than {} s", arguments.limit),
        Err(Over::Memory) => format!("took more than {} GiB", arguments.memory),
        Ok(status) if status.success() => match serde_json::from_str(text.trim()) {
            Ok(line) => return Ok(Outcome::Done(line)),
            Err(error) => format!("unreadable result: {error}"),
        },
        Ok(status) => {
            let line = said.lines().map(str::trim).find(|l| !l.is_empty()).unwrap_or_default();
            format!("{status}: {line}")
        }
    };
    Ok(Outcome::Failed(why, seconds))
}

/// Which limit a cell has met.
enum Over {
    Time,
    Memory,
    Other(std::io::Error),
}

fn wait(child: &mut Child, arguments: &Arguments, began: Instant) -> Result<std::process::ExitStatus, Over> {
    let most = arguments.memory * (1u64 << 30) as f64;
    loop {
        if let Some(status) = child.try_wait().map_err(Over::Other)? {
            return Ok(status);
        }
        if began.elapsed().as_secs_f64() > arguments.limit {
            return Err(Over::Time);
        }
        if memory::resident_of(child.id()).is_some_and(|bytes| bytes as f64 > most) {
            return Err(Over::Memory);
        }
        std::thread::sleep(Duration::from_millis(5));
    }
}

#[cfg(test)]
mod tests {
    use super::exponent;

    #[test]
    fn slopes() {
        let power = |p: f64| [1e2, 1e3, 1e4, 1e5].map(|n: f64| (n, 1e-2 * (n / 1e2).powf(p)));
        for p in [0.5, 1.0, 2.0] {
            assert!((exponent(&power(p)).unwrap() - p).abs() < 1e-9);
        }
        assert_eq!(exponent(&[(1e2, 1.0)]), None);
        assert_eq!(exponent(&[(1e2, 1e-6), (1e3, 1e-5)]), None);
    }
}
