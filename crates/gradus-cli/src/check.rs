//! `gradus check`: the op table, printed; or random programs, run in every way.

use std::process::ExitCode;

use clap::Args;
use gradus::DType;
use gradus_core::table::{Cell, CellKind, Options, Status, check_each};
use serde_json::{Value, json};

use crate::composites::{self, Outcome};
use crate::oracle;
use crate::programs::{Coverage, Verdict, check_program, digest};
use crate::{Error, Output};

/// Options of `gradus check`.
#[derive(Args, Debug)]
pub struct Arguments {
    /// Only operations whose name contains this
    #[arg(conflicts_with = "programs")]
    filter: Option<String>,
    /// Check so many random programs instead of the table
    #[arg(long, value_name = "N")]
    programs: Option<u64>,
    /// The seed of the first program; the others have the seeds after it
    #[arg(long, value_name = "S", default_value_t = 0, requires = "programs")]
    seed: u64,
    /// Stop at the first program that fails
    #[arg(long, requires = "programs")]
    first: bool,
    /// Print a line a program, with digests of its results and plans, to compare two builds
    #[arg(long, requires = "programs", conflicts_with_all = ["first", "json", "quiet"])]
    digest: bool,
    /// Print JSON lines, one a cell or a failing program
    #[arg(long)]
    json: bool,
    /// Print only what fails or is empty
    #[arg(long)]
    quiet: bool,
}

/// Width of one column of the table.
const COLUMN: usize = 10;

/// Checks what the options ask for.
pub fn check(arguments: &Arguments) -> Result<ExitCode, Error> {
    let output = Output::of(arguments.json, arguments.quiet);
    match arguments.programs {
        Some(count) if arguments.digest => {
            for seed in (0..count).map(|i| arguments.seed.wrapping_add(i)) {
                output.result(|| format!("{seed} {}", digest(seed)))?;
            }
            Ok(ExitCode::SUCCESS)
        }
        Some(count) => programs(output, count, arguments),
        None => table(output, arguments),
    }
}

/// Runs random programs, and tells how often each primitive and kernel path was met.
fn programs(output: Output, most: u64, arguments: &Arguments) -> Result<ExitCode, Error> {
    let mut coverage = Coverage::default();
    let (mut count, mut failed, mut rejected) = (0u64, 0u64, 0u64);
    let seed = arguments.seed;
    output.text(|| format!("{most} programs from seed {seed}"))?;
    for seed in (0..most).map(|i| seed.wrapping_add(i)) {
        count += 1;
        match check_program(seed, &mut coverage) {
            Verdict::Passed => {}
            Verdict::Rejected(_) => rejected += 1,
            Verdict::Failed { what, detail, source } => {
                failed += 1;
                output.result(|| format!("seed {seed}: {what}: {detail}\n{source}"))?;
                output.json(|| json!({"event": "failure", "seed": seed, "what": what, "detail": detail, "source": source}))?;
            }
        }
        if failed > 0 && arguments.first {
            break;
        }
    }
    let hits = coverage.hits();
    for (name, n) in hits {
        output.text(|| format!("{name:<40}{n:>10}"))?;
    }
    output.result(|| format!("{count} programs, {failed} failed, {rejected} rejected"))?;
    output.json(
        || json!({"event": "done", "programs": count, "failed": failed, "rejected": rejected, "hits": hits}),
    )?;
    Ok(if failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn table(output: Output, arguments: &Arguments) -> Result<ExitCode, Error> {
    let options = Options { filter: arguments.filter.clone(), kinds: Vec::new() };
    let (mut cells, mut failed, mut empty) = (0, 0, 0);
    let mut row: Vec<Cell> = Vec::new();
    let mut troubles: Vec<String> = Vec::new();
    let mut printed = Ok(());
    check_each(&options, |cell| {
        if printed.is_err() {
            return;
        }
        if cells == 0 {
            printed = output.text(heading);
        }
        cells += 1;
        failed += usize::from(cell.status == Status::Failed);
        empty += usize::from(cell.status == Status::Empty);
        if matches!(cell.status, Status::Failed | Status::Empty) {
            troubles.push(trouble(&cell));
        }
        if printed.is_ok() {
            printed = output.json(|| line(&cell));
        }
        if row.first().is_some_and(|first| first.op != cell.op) && printed.is_ok() {
            printed = output.text(|| columns(&row));
            row.clear();
        }
        row.push(cell);
    });
    printed?;
    if cells > 0 {
        output.text(|| columns(&row))?;
    }
    let composed = composites::check(arguments.filter.as_deref().unwrap_or_default());
    if !composed.is_empty() {
        output.text(composed_heading)?;
    }
    let mut excepted = 0;
    for (name, dtype, outcome) in &composed {
        cells += 1;
        failed += usize::from(!outcome.failures.is_empty());
        excepted += outcome.excepted;
        troubles.extend(outcome.failures.first().map(|f| format!("failed: accuracy of {name} {dtype}: {f}")));
        output.text(|| composed_line(name, *dtype, outcome))?;
        output.json(|| {
            json!({
                "event": "composed",
                "function": name,
                "dtype": dtype.to_string(),
                "worst_units": outcome.worst,
                "held": outcome.held,
                "excepted": outcome.excepted,
                "failures": outcome.failures,
            })
        })?;
    }
    let reports = oracle::check(arguments.filter.as_deref().unwrap_or_default());
    if !reports.is_empty() {
        output.text(oracle_heading)?;
    }
    let (mut compared, mut differences, mut skipped) = (0, 0, 0);
    for report in &reports {
        cells += 1;
        failed += usize::from(!report.failures.is_empty());
        compared += report.compared;
        differences += report.differences;
        skipped += report.skips();
        let trouble = |f: &String| format!("failed: oracle of {}: {f}", report.name);
        troubles.extend(report.failures.first().map(trouble));
        output.text(|| oracle_line(report))?;
        output.json(|| {
            json!({
                "event": "oracle",
                "function": report.name,
                "compared": report.compared,
                "differences": report.differences,
                "skipped": report.skipped.iter().map(|(why, n)| json!({"kinks": why, "results": n})).collect::<Vec<_>>(),
                "failures": report.failures,
            })
        })?;
    }
    if cells == 0 {
        let name = arguments.filter.as_deref().unwrap_or_default();
        return Err(Error::Usage(format!(
            "no operation has \"{name}\" in its name; `gradus check` lists them all"
        )));
    }
    for trouble in troubles {
        output.result(|| trouble)?;
    }
    output
        .result(|| {
            format!(
                "{cells} cells, {failed} failed, {empty} empty; {excepted} results excepted; oracle: {compared} comparisons, \
                 {differences} with differences or limits, {skipped} skipped"
            )
        })?;
    output.json(|| {
        let oracle = json!({"compared": compared, "differences": differences, "skipped": skipped});
        json!({
            "event": "done",
            "cells": cells,
            "failed": failed,
            "empty": empty,
            "excepted": excepted,
            "oracle": oracle,
        })
    })?;
    Ok(if failed + empty == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// The names of the columns.
fn heading() -> String {
    let names = CellKind::ALL.iter().map(|k| format!("{:>COLUMN$}", k.name()));
    format!("{:<22}{}", "operation", names.collect::<String>())
}

/// The names of the columns of composed functions: errors in units in the last place, those of derivatives over the condition number.
fn composed_heading() -> String {
    format!(
        "\n{:<22}{:>COLUMN$}{:>COLUMN$}{:>COLUMN$}{:>COLUMN$}{:>COLUMN$}{:>COLUMN$}",
        "composed function", "dtype", "value", "first", "second", "held", "excepted"
    )
}

fn composed_line(name: &str, dtype: DType, outcome: &Outcome) -> String {
    let [value, first, second] = outcome.worst.map(|units| match outcome.failures[..] {
        [] => format!("{units:.2}"),
        _ => "FAILED".to_string(),
    });
    let (held, excepted) = (outcome.held, outcome.excepted);
    format!(
        "{name:<22}{:>COLUMN$}{value:>COLUMN$}{first:>COLUMN$}{second:>COLUMN$}{held:>COLUMN$}{excepted:>COLUMN$}",
        dtype.to_string()
    )
}

/// The names of the columns of the oracle: how many results were compared among the compositions of modes, with differences or
/// limits, and skipped for a line of `docs/kinks.md`.
fn oracle_heading() -> String {
    format!("\n{:<30}{:>COLUMN$}{:>12}{:>COLUMN$}", "oracle", "compared", "differences", "skipped")
}

fn oracle_line(report: &oracle::Report) -> String {
    let verdict = if report.failures.is_empty() { "" } else { "    FAILED" };
    let (name, skips) = (&report.name, report.skips());
    format!("{name:<30}{:>COLUMN$}{:>12}{skips:>COLUMN$}{verdict}", report.compared, report.differences)
}

/// A row of the table: the worst error of each cell.
fn columns(row: &[Cell]) -> String {
    let name = row.first().map_or("", |cell| cell.op.as_str());
    let mut line = format!("{name:<22}");
    for kind in CellKind::ALL {
        let entry = match row.iter().find(|c| c.kind == kind) {
            Some(c) if c.status == Status::Passed && c.worst_error == 0.0 => "ok".to_string(),
            Some(c) if c.status == Status::Passed => format!("{:.0e}", c.worst_error),
            Some(c) if c.status == Status::NotApplicable => "-".to_string(),
            Some(c) if c.status == Status::Failed => "FAILED".to_string(),
            _ => "EMPTY".to_string(),
        };
        line += &format!("{entry:>COLUMN$}");
    }
    line
}

fn trouble(cell: &Cell) -> String {
    format!(
        "{}: {} of {} (worst error {:e}, tolerance {:e}): {}",
        cell.status.name(),
        cell.kind.name(),
        cell.op,
        cell.worst_error,
        cell.tolerance,
        cell.note
    )
}

fn line(cell: &Cell) -> Value {
    // JSON has no infinity; a failed check may have one.
    let error = if cell.worst_error.is_finite() {
        json!(cell.worst_error)
    } else {
        json!(cell.worst_error.to_string())
    };
    json!({
        "event": "cell",
        "op": cell.op,
        "cell": cell.kind.name(),
        "worst_error": error,
        "tolerance": cell.tolerance,
        "status": cell.status.name(),
        "note": cell.note,
    })
}
