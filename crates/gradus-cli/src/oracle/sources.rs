//! Functions that have no row: read from the sources.

use std::collections::BTreeSet;

use gradus_core::table;

use super::rows;

/// The sources that hold functions of tensors.
pub const SOURCES: &[(&str, &str)] = &[
    ("gradus/src/tensor/activation.rs", include_str!("../../../gradus/src/tensor/activation.rs")),
    ("gradus/src/tensor/arith.rs", include_str!("../../../gradus/src/tensor/arith.rs")),
    ("gradus/src/tensor/construct.rs", include_str!("../../../gradus/src/tensor/construct.rs")),
    ("gradus/src/tensor/convolution.rs", include_str!("../../../gradus/src/tensor/convolution.rs")),
    ("gradus/src/tensor/dynamic.rs", include_str!("../../../gradus/src/tensor/dynamic.rs")),
    ("gradus/src/tensor/elementwise.rs", include_str!("../../../gradus/src/tensor/elementwise.rs")),
    ("gradus/src/tensor/indexing.rs", include_str!("../../../gradus/src/tensor/indexing.rs")),
    ("gradus/src/tensor/linalg.rs", include_str!("../../../gradus/src/tensor/linalg.rs")),
    ("gradus/src/tensor/mod.rs", include_str!("../../../gradus/src/tensor/mod.rs")),
    ("gradus/src/tensor/movement.rs", include_str!("../../../gradus/src/tensor/movement.rs")),
    ("gradus/src/tensor/norm.rs", include_str!("../../../gradus/src/tensor/norm.rs")),
    ("gradus/src/tensor/order.rs", include_str!("../../../gradus/src/tensor/order.rs")),
    ("gradus/src/tensor/read.rs", include_str!("../../../gradus/src/tensor/read.rs")),
    ("gradus/src/tensor/reduce.rs", include_str!("../../../gradus/src/tensor/reduce.rs")),
    ("gradus/src/tensor/scatter.rs", include_str!("../../../gradus/src/tensor/scatter.rs")),
    ("gradus/src/tensor/softmax.rs", include_str!("../../../gradus/src/tensor/softmax.rs")),
    ("gradus-nn/src/attention.rs", include_str!("../../../gradus-nn/src/attention.rs")),
    ("gradus/src/transform/axes.rs", include_str!("../../../gradus/src/transform/axes.rs")),
    ("gradus-nn/src/loss.rs", include_str!("../../../gradus-nn/src/loss.rs")),
    ("gradus-nn/src/model.rs", include_str!("../../../gradus-nn/src/model.rs")),
    ("gradus-nn/src/optim.rs", include_str!("../../../gradus-nn/src/optim.rs")),
    ("gradus-nn/src/layers/activation.rs", include_str!("../../../gradus-nn/src/layers/activation.rs")),
    ("gradus-nn/src/layers/attention.rs", include_str!("../../../gradus-nn/src/layers/attention.rs")),
    ("gradus-nn/src/layers/conv.rs", include_str!("../../../gradus-nn/src/layers/conv.rs")),
    ("gradus-nn/src/layers/dropout.rs", include_str!("../../../gradus-nn/src/layers/dropout.rs")),
    ("gradus-nn/src/layers/embedding.rs", include_str!("../../../gradus-nn/src/layers/embedding.rs")),
    ("gradus-nn/src/layers/linear.rs", include_str!("../../../gradus-nn/src/layers/linear.rs")),
    ("gradus-nn/src/layers/mod.rs", include_str!("../../../gradus-nn/src/layers/mod.rs")),
    ("gradus-nn/src/layers/norm.rs", include_str!("../../../gradus-nn/src/layers/norm.rs")),
];

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

/// Functions and operations that no row stands for.
pub fn missing() -> Vec<String> {
    let rows = rows();
    let covered: BTreeSet<&str> = rows
        .iter()
        .flat_map(|r| r.covers.iter().copied())
        .chain(NOT_DIFFERENTIABLE.iter().copied())
        .collect();
    let mut missing = Vec::new();
    for (file, source) in SOURCES {
        let absent = functions(source).into_iter().filter(|name| !covered.contains(name));
        missing.extend(absent.map(|name| format!("{name} in {file} has no row in the oracle")));
    }
    for row in table::rows() {
        let name = row.name.split('(').next().unwrap_or_default().to_string();
        if !covered.contains(name.as_str()) {
            missing.push(format!("the operation {name} has no row in the oracle"));
        }
    }
    missing
}
