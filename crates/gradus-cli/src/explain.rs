//! `gradus explain`: what a training step of a named model will do, and why, before it runs.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;
use gradus::{Tree, jit, jvp};
use gradus_nn::models::{Batch, Named, Network};
use gradus_nn::write_atomically;
use gradus_plan::{Alternative, Explanation, Plan};

use crate::compare::{Configuration, worker};
use crate::{Error, memory};

/// Options of `gradus explain`.
#[derive(Args, Debug)]
pub struct Arguments {
    /// The model: mlp-gelu, mlp-mish, gpt-small, cnn, resnet18, deep-mish, deep-gelu-tanh, conv-silu or mlp-relu
    model: String,
    /// What is kept: plain, recompute, rederive, nested, auto, or a share of the memory such as 50%
    #[arg(long, default_value = "auto", value_parser = Configuration::parse)]
    strategy: Configuration,
    /// Examples in a step [default: that of the model]
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    batch: Option<u32>,
    /// Run the step with a clock beside each kernel, too
    #[arg(long)]
    profile: bool,
    /// The model at a size for tests
    #[arg(long)]
    small: bool,
    /// Write a page with pictures and tables
    #[arg(long, value_name = "FILE")]
    html: Option<PathBuf>,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
}

pub fn explain(arguments: &Arguments) -> Result<ExitCode, Error> {
    let model = worker::model(&arguments.model, arguments.small)?;
    let n = arguments.batch.map_or(model.batch, |n| n as usize);
    let input = (worker::start(&model, 0), worker::batch(&model, 0, n));
    let step = arguments.strategy.set(jit(model.step()).donate());
    let plan = step.try_plan(&input)?;
    let measured = arguments.profile.then(|| step.profile_owned(&input));
    let told = Explanation {
        title: format!("{}, {n} examples: {}", model.name, model.description),
        mode: mode(&model, &plan, &input.0.network, &input.1)?,
        alternatives: alternatives(&model, arguments.strategy, &plan, &input)?,
        measured: measured.map(|profile| profile.kernels.iter().map(|k| k.seconds).collect()),
        donated: true,
        ..Explanation::of(&plan)
    };
    if let Some(file) = &arguments.html {
        let page = told.page();
        write_atomically(file, |out| out.write_all(page.as_bytes()).map_err(gradus_nn::Error::Write))?;
    }
    let shown = match (&arguments.html, arguments.json) {
        (_, true) => told.json(),
        (Some(file), false) => format!("wrote {}", file.display()),
        (None, false) => told.words(),
    };
    crate::output::print(shown.trim_end())?;
    Ok(ExitCode::SUCCESS)
}

/// How the gradient is computed, and what the other mode would cost.
fn mode(model: &Named, plan: &Plan, network: &Network, batch: &Batch) -> Result<String, Error> {
    // One pass of forward mode gives the derivative along one direction.
    let along = jit(|(network, direction, batch): &(Network, Network, Batch)| {
        jvp(|n: &Network| n.loss(batch), network, direction)
    });
    let pass = along.try_plan(&(network.clone(), network.map(&mut |t| t.zeros_like()), batch.clone()))?;
    let passes = model.parameters();
    Ok(format!(
        "reverse, one pass back for all {passes} parameters, estimated {:.2} ms a step; forward mode would take {passes} \
         passes of an estimated {:.2} ms, together {}, in {} each",
        plan.estimated_seconds() * 1e3,
        pass.estimated_seconds() * 1e3,
        long(pass.estimated_seconds() * passes as f64),
        memory::words(pass.planned_peak_bytes())
    ))
}

/// The plans of all configurations; budgets that no plan can meet are left out.
fn alternatives(
    model: &Named,
    taken: Configuration,
    plan: &Plan,
    input: &(gradus_nn::models::Progress, Batch),
) -> Result<Vec<Alternative>, Error> {
    let row = |configuration: Configuration, plan: &Plan| Alternative {
        name: configuration.to_string(),
        saved: Some(plan.saved_bytes()),
        peak: plan.planned_peak_donated_bytes(),
        seconds: plan.estimated_seconds(),
        taken: configuration == taken,
    };
    let mut rows = Vec::new();
    for configuration in Configuration::ALL {
        if configuration == taken {
            rows.push(row(configuration, plan));
            continue;
        }
        match configuration.set(jit(model.step()).donate()).try_plan(input) {
            Ok(plan) => rows.push(row(configuration, &plan)),
            Err(_) if matches!(configuration, Configuration::Budget(_)) => {}
            Err(error) => return Err(error.into()),
        }
    }
    if !rows.iter().any(|r| r.taken) {
        rows.push(row(taken, plan));
    }
    // What was tried to meet a budget, before the plan that does.
    for (name, peak, seconds) in &plan.decision().alternatives {
        let name = format!("tried: {name}");
        rows.push(Alternative { name, saved: None, peak: *peak, seconds: *seconds, taken: false });
    }
    Ok(rows)
}

/// A long time for people.
fn long(seconds: f64) -> String {
    match seconds {
        s if s < 1.0 => format!("{:.1} ms", s * 1e3),
        s if s < 600.0 => format!("{s:.1} s"),
        s if s < 36e3 => format!("{:.0} minutes", s / 60.0),
        s if s < 1e6 => format!("{:.0} hours", s / 3600.0),
        s => format!("{:.0} days", s / 86400.0),
    }
}
