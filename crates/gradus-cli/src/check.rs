//! `gradus check`: the op table, printed.

use std::process::ExitCode;

use clap::Args;
use gradus_core::table::{Cell, CellKind, Options, Status, check_each};
use serde_json::{Value, json};

use crate::{Error, Output};

/// Options of `gradus check`.
#[derive(Args, Debug)]
pub struct Arguments {
    /// Only operations whose name contains this
    filter: Option<String>,
    /// Print JSON lines, one a cell
    #[arg(long)]
    json: bool,
    /// Print only cells that fail or are empty
    #[arg(long)]
    quiet: bool,
}

/// Width of one column of the table.
const COLUMN: usize = 10;

pub fn table(arguments: &Arguments) -> Result<ExitCode, Error> {
    let output = Output::of(arguments.json, arguments.quiet);
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
    if cells == 0 {
        let name = arguments.filter.as_deref().unwrap_or_default();
        return Err(Error::Usage(format!(
            "no operation has \"{name}\" in its name; `gradus check` lists them all"
        )));
    }
    output.text(|| columns(&row))?;
    for trouble in troubles {
        output.result(|| trouble)?;
    }
    output.result(|| format!("{cells} cells, {failed} failed, {empty} empty"))?;
    output.json(|| json!({"event": "done", "cells": cells, "failed": failed, "empty": empty}))?;
    Ok(if failed + empty == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// The names of the columns.
fn heading() -> String {
    let names = CellKind::ALL.iter().map(|k| format!("{:>COLUMN$}", k.name()));
    format!("{:<22}{}", "operation", names.collect::<String>())
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
