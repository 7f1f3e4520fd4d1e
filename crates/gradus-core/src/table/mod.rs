//! The op table as data: every primitive with its documentation and samples ([`rows`]), and the checks of its cells
//! ([`check`]).
//!
//! The references share no code with what they check: values are computed a second time index by index, tangents
//! are compared with finite differences, dual numbers and high-precision tables, reverse mode with forward mode.
//! [`probe`] holds the checks that work on any program.

mod cells;
mod golden;
mod kinks;
pub mod probe;
mod random;
mod reference;
mod row;
mod rows;

pub use cells::CellKind;
pub use golden::Exact;
pub use random::{Range, Rng, Sampled};
pub use row::{Case, Definition, Row};
pub use rows::{rows, their_tanh};

use cells::Outcome;

/// What to check.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// Only rows whose name contains this.
    pub filter: Option<String>,
    /// Only cells of these kinds; all if empty.
    pub kinds: Vec<CellKind>,
}

/// How a cell came out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Status {
    /// The worst error is within the tolerance.
    Passed,
    /// It is not, or the check could not run.
    Failed,
    /// Nothing was checked, and nothing says why not.
    Empty,
    /// There is nothing to check; the note says why.
    NotApplicable,
}

impl Status {
    /// Its name in reports.
    pub const fn name(self) -> &'static str {
        match self {
            Status::Passed => "passed",
            Status::Failed => "failed",
            Status::Empty => "empty",
            Status::NotApplicable => "not applicable",
        }
    }
}

/// One cell of the op table.
#[derive(Clone, Debug)]
pub struct Cell {
    /// The row.
    pub op: String,
    /// The column.
    pub kind: CellKind,
    /// The worst error seen.
    pub worst_error: f64,
    /// The largest that passes.
    pub tolerance: f64,
    /// How it came out.
    pub status: Status,
    /// Where the worst error was, or why there is nothing to check.
    pub note: String,
}

impl Cell {
    /// The cell as one line of JSON; an error that is not finite is `null`.
    ///
    /// ```
    /// # use gradus_core::table::{CellKind, Options, check};
    /// let only = Options { filter: Some("tanh".into()), kinds: vec![CellKind::Doc] };
    /// assert!(check(&only)[0].to_json().starts_with(r#"{"event":"cell","op":"tanh","cell":"doc","status":"passed""#));
    /// ```
    pub fn to_json(&self) -> String {
        let number = |x: f64| if x.is_finite() { format!("{x:e}") } else { "null".to_string() };
        format!(
            r#"{{"event":"cell","op":"{}","cell":"{}","status":"{}","worst_error":{},"tolerance":{},"note":"{}"}}"#,
            escaped(&self.op),
            self.kind,
            self.status.name(),
            number(self.worst_error),
            number(self.tolerance),
            escaped(&self.note)
        )
    }
}

/// A text as it stands between the quotes of JSON.
fn escaped(text: &str) -> String {
    let mut out = String::new();
    for c in text.chars() {
        match c {
            '"' | '\\' => out.extend(['\\', c]),
            c if c.is_control() => out.push_str(&format!("\\u{:04x}", c as u32)),
            c => out.push(c),
        }
    }
    out
}

/// Checks every cell of the chosen rows and gives it to `report` as soon as it is done.
///
/// A primitive without a row is reported as an empty cell.
pub fn check_each(options: &Options, mut report: impl FnMut(Cell)) {
    let rows = rows();
    let conventions = kinks::conventions().unwrap_or_default();
    for variant in rows::missing(&rows) {
        report(Cell {
            op: variant.to_string(),
            kind: CellKind::Doc,
            worst_error: 0.0,
            tolerance: 0.0,
            status: Status::Empty,
            note: "it has no row".into(),
        });
    }
    for row in rows.iter().filter(|r| options.filter.as_ref().is_none_or(|f| r.name.contains(f.as_str()))) {
        for kind in CellKind::ALL {
            if !options.kinds.is_empty() && !options.kinds.contains(&kind) {
                continue;
            }
            let outcome = cells::settle(|| match kind {
                CellKind::Doc => Ok(cells::doc(row)),
                CellKind::Shape => Ok(cells::shape(row)),
                CellKind::Hostile => Ok(cells::hostile(row)),
                CellKind::Cost => Ok(cells::cost(row)),
                CellKind::Value => cells::value(row),
                CellKind::DTypes => cells::dtypes(row),
                CellKind::Edges => cells::edges(row),
                CellKind::Accuracy => cells::accuracy(row),
                CellKind::Dual => cells::dual(row),
                CellKind::Jvp => cells::forward(row),
                CellKind::Vjp => cells::reverse(row),
                CellKind::Transpose => cells::transposed(row),
                CellKind::Vmap => cells::vmap(row),
                CellKind::Second => cells::second(row),
                CellKind::Kinks => cells::kinks(row, &conventions),
            });
            let tolerance = kind.tolerance();
            let (worst_error, status, note) = match outcome {
                Outcome::Error(e, note) if e <= tolerance => (e, Status::Passed, note),
                Outcome::Error(e, note) => (e, Status::Failed, note),
                Outcome::Empty => (0.0, Status::Empty, "nothing was checked".into()),
                Outcome::NotApplicable(reason) => (0.0, Status::NotApplicable, reason.into()),
            };
            report(Cell { op: row.name.clone(), kind, worst_error, tolerance, status, note });
        }
    }
}

/// Checks every cell of the chosen rows.
///
/// ```
/// use gradus_core::table::{Options, Status, check};
///
/// let cells = check(&Options { filter: Some("tanh".into()), ..Options::default() });
/// assert!(!cells.is_empty() && cells.iter().all(|c| c.status != Status::Failed));
/// ```
pub fn check(options: &Options) -> Vec<Cell> {
    let mut cells = Vec::new();
    check_each(options, |cell| cells.push(cell));
    cells
}
