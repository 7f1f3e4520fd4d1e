//! The rows: every primitive, and the search for one that is missing.

mod control;
mod elementwise;
mod external;
mod structure;

pub use external::their_tanh;

use super::row::Row;
use crate::Op;

/// Every row of the op table.
pub fn rows() -> Vec<Row> {
    [elementwise::rows(), structure::rows(), control::rows(), external::rows()].concat()
}

/// The variants of [`Op`] without a row.
pub(super) fn missing(rows: &[Row]) -> Vec<&'static str> {
    let present: Vec<&str> = rows.iter().flat_map(|r| &r.cases).map(|c| c.op.variant()).collect();
    Op::VARIANTS.iter().copied().filter(|v| !present.contains(v)).collect()
}
