//! Functions and operations that have no row.

use std::collections::BTreeSet;

use gradus_core::table;

use super::rows;

/// Functions and operations without a derivative: of shapes, of integers and truth values, of nothing.
const NOT_DIFFERENTIABLE: &[&str] = &[
    // What a tensor is, how it is made and read.
    "shape",
    "dtype",
    "rank",
    "size",
    "device",
    "to",
    "to_array",
    "to_vec",
    "item",
    "zeros",
    "ones",
    "full",
    "zeros_like",
    "ones_like",
    "arange",
    "arange_step",
    "iota",
    "new_iota",
    "new_full",
    "linspace",
    "eye",
    // Truth values and integers.
    "equal",
    "not_equal",
    "less",
    "less_equal",
    "greater",
    "greater_equal",
    "is_nan",
    "is_finite",
    "all",
    "any",
    "and",
    "or",
    "xor",
    "not",
    "eq",
    "ne",
    "lt",
    "le",
    "gt",
    "ge",
    "reduce_all",
    "reduce_any",
    "searchsorted",
    "searchsorted_right",
    "bincount",
    "random_bits",
    "fold_in",
    "accuracy",
    "count_parameters",
    // Casts and updates of parameters.
    "cast_floats",
    "update",
    // Samples of primitives of users: what they state is checked by the op table.
    "their_tanh",
    "shifted_solve",
    "exchange",
    // Contexts of the oracle: every function lies in each of them.
    "checkpoint",
    "custom_jvp",
];

/// The names of public functions in a source. (Those of the table of element-wise functions have rows by it.)
fn functions(source: &str) -> Vec<&str> {
    let code = source.split("\n#[cfg(test)]").next().unwrap_or_default();
    let word = |rest: &str| rest.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(rest.len());
    let plain = code.match_indices("pub fn ").map(|(at, start)| &code[at + start.len()..]);
    let plain = plain.map(|rest| &rest[..word(rest)]);
    plain.filter(|name| !name.is_empty()).collect()
}

/// The names that a row stands for, or that need none.
fn covered() -> BTreeSet<&'static str> {
    let rows = rows().into_iter().flat_map(|r| r.covers);
    rows.chain(NOT_DIFFERENTIABLE.iter().copied()).collect()
}

/// Public functions of a source that no row stands for.
pub fn functions_without_row(source: &str) -> Vec<&str> {
    let covered = covered();
    functions(source).into_iter().filter(|name| !covered.contains(name)).collect()
}

/// Operations that no row stands for.
pub fn operations_without_row() -> Vec<String> {
    let covered = covered();
    let names =
        table::rows().into_iter().map(|row| row.name.split('(').next().unwrap_or_default().to_string());
    let missing = names.filter(|name| !covered.contains(name.as_str()));
    missing.map(|name| format!("the operation {name} has no row in the oracle")).collect()
}
