//! `gradus bench machine`: what the machine can do at best, and what work costs on it.

use std::path::PathBuf;

use clap::Args;
use gradus_cpu::peaks::Peaks;
use gradus_cpu::{Pool, target};
use serde_json::json;

use super::Common;
use crate::{Error, Output};

/// Options of `gradus bench machine`.
#[derive(Args, Debug)]
pub struct Arguments {
    #[command(flatten)]
    common: Common,
    /// Write the costs to this file, for GRADUS_COSTS
    #[arg(long)]
    out: Option<PathBuf>,
}

pub fn run(arguments: &Arguments) -> Result<(), Error> {
    let threads = arguments.common.start()?;
    let output = Output::of(arguments.common.json, false);
    let peaks = Peaks::of(Pool::global());
    let (costs, used) = (peaks.costs(), target()?.costs);
    let rates = [
        ("product, f32", "GFLOP/s", peaks.f32_gflops),
        ("product, f64", "GFLOP/s", peaks.f64_gflops),
        ("memory, read", "GB/s", peaks.read_gbps),
        ("memory, read and written", "GB/s", peaks.copy_gbps),
        ("largest cache", "GB/s", peaks.cache_gbps),
    ];
    output.text(|| format!("{threads} threads"))?;
    for (name, unit, rate) in rates {
        output.json(
            || json!({"event": "rate", "name": name, "unit": unit, "threads": threads, "rate": rate}),
        )?;
        output.text(|| format!("{name:<28} {rate:>12.1} {unit}"))?;
    }
    output.text(|| format!("\n{:<28} {:>12} {:>12}", "seconds of work", "measured", "in use"))?;
    for ((name, measured), (_, used)) in target::entries(&costs).into_iter().zip(target::entries(&used)) {
        output.json(
            || json!({"event": "cost", "name": name, "threads": threads, "seconds": measured, "used": used}),
        )?;
        output.text(|| format!("{name:<28} {measured:>12.2e} {used:>12.2e}"))?;
    }
    if let Some(path) = &arguments.out {
        let text = format!(
            "# Seconds of work on {threads} threads, measured by `gradus bench machine`.\n{}",
            target::written(&costs)
        );
        std::fs::write(path, text).map_err(|e| Error::Usage(format!("{}: {e}", path.display())))?;
        output.text(|| format!("wrote {}", path.display()))?;
    }
    output.json(|| json!({"event": "done"}))
}
