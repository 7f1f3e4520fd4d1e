//! The rows: every primitive, and the proof that none is missing.

mod control;
mod elementwise;
mod structure;

use super::row::Row;
use crate::Op;

/// Every row of the op table.
pub fn rows() -> Vec<Row> {
    [elementwise::rows(), structure::rows(), control::rows()].concat()
}

/// The number of variants of [`Op`].
const VARIANTS: usize = 36;

/// A number for each variant. A new primitive does not compile until it has one, and [`missing`] then asks for its
/// row.
fn variant(op: &Op) -> usize {
    match op {
        Op::Full(_) => 0,
        Op::Iota(_) => 1,
        Op::Unary(_) => 2,
        Op::Binary(_) => 3,
        Op::LinearMul(_) => 4,
        Op::Compare(_) => 5,
        Op::Logic(_) => 6,
        Op::Not(_) => 7,
        Op::Select(_) => 8,
        Op::Cast(_) => 9,
        Op::StopGradient(_) => 10,
        Op::Reduce(_) => 11,
        Op::Reshape(_) => 12,
        Op::Permute(_) => 13,
        Op::Broadcast(_) => 14,
        Op::Slice(_) => 15,
        Op::Pad(_) => 16,
        Op::Concat(_) => 17,
        Op::Reverse(_) => 18,
        Op::Dot(_) => 19,
        Op::Cond(_) => 20,
        Op::Scan(_) => 21,
        Op::While(_) => 22,
        Op::Call(_) => 23,
        Op::Clamp(_) => 24,
        Op::Gather(_) => 25,
        Op::ScatterAdd(_) => 26,
        Op::Sort(_) => 27,
        Op::ArgReduce(_) => 28,
        Op::Cumulative(_) => 29,
        Op::Recurrence(_) => 30,
        Op::RandomBits(_) => 31,
        Op::FoldIn(_) => 32,
        Op::Conv(_) => 33,
        Op::MaxPool(_) => 34,
        Op::SumPool(_) => 35,
    }
}

/// The variants of [`Op`] without a row, by number.
pub(super) fn missing(rows: &[Row]) -> Vec<usize> {
    let present: Vec<usize> = rows.iter().flat_map(|r| &r.cases).map(|c| variant(&c.op)).collect();
    (0..VARIANTS).filter(|v| !present.contains(v)).collect()
}
