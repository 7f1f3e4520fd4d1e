//! Every composed function of the library is a row of the table of composites, and is right there.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use gradus_cli::composites::{EXCEPTIONS, check, points};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

fn read(path: &str) -> String {
    std::fs::read_to_string(root().join(path)).unwrap_or_else(|e| panic!("{path}: {e}"))
}

#[test]
fn values_and_derivatives() {
    let mut failures = Vec::new();
    println!(
        "{:<22}{:<5}{:>8}{:>8}{:>8}{:>8}{:>10}",
        "function", "", "value", "first", "second", "held", "excepted"
    );
    for (name, dtype, outcome) in check("") {
        let [value, first, second] = outcome.worst;
        let (held, excepted) = (outcome.held, outcome.excepted);
        println!("{name:<22}{dtype:<5}{value:>8.2}{first:>8.2}{second:>8.2}{held:>8}{excepted:>10}");
        failures.extend(outcome.failures.into_iter().map(|f| format!("{name} {dtype}: {f}")));
    }
    let total = failures.len();
    failures.truncate(60);
    assert!(failures.is_empty(), "{total} failures, among them\n{}", failures.join("\n"));
}

#[test]
fn exceptions_are_documented_and_met() {
    let kinks = read("docs/kinks.md").split_whitespace().collect::<Vec<_>>().join(" ");
    let names: BTreeSet<&str> = points().map(|p| p.name).collect();
    for exception in EXCEPTIONS {
        assert!(kinks.contains(exception.words), "docs/kinks.md does not say: {}", exception.words);
        for name in exception.names {
            assert!(names.contains(name), "no function is called {name}");
            let plain = name.split('(').next().unwrap();
            assert!(kinks.contains(&format!("`{plain}`")), "docs/kinks.md does not name {name}");
        }
    }
}

/// The public functions of a source file.
fn functions(source: &str) -> Vec<String> {
    let code = source.split("\n#[cfg(test)]").next().unwrap_or_default();
    let starts = code.match_indices("pub fn ").map(|(at, start)| &code[at + start.len()..]);
    let name = |rest: &str| {
        rest.split(|c: char| !c.is_alphanumeric() && c != '_').next().unwrap_or_default().to_string()
    };
    starts.map(name).filter(|name| !name.is_empty()).collect()
}

fn sources(folder: &str) -> Vec<String> {
    let mut out = Vec::new();
    for entry in std::fs::read_dir(root().join(folder)).unwrap() {
        let path = entry.unwrap().path();
        let name = format!("{folder}/{}", path.file_name().unwrap().to_str().unwrap());
        if path.is_dir() {
            out.extend(sources(&name));
        } else {
            out.push(name);
        }
    }
    out.sort();
    out
}

/// Files whose functions compute nothing of numbers, or are single primitives, which the op table has.
const OTHER_FILES: &[&str] = &[
    "gradus/src/tensor/arith.rs",
    "gradus/src/tensor/construct.rs",
    "gradus/src/tensor/dynamic.rs",
    "gradus/src/tensor/scatter.rs",
    "gradus/src/tensor/convolution.rs",
    "gradus/src/tensor/indexing.rs",
    "gradus/src/tensor/linalg.rs",
    "gradus/src/tensor/mod.rs",
    "gradus/src/tensor/movement.rs",
    "gradus/src/tensor/read.rs",
    // Products and softmax, which has its rows.
    "gradus-nn/src/attention.rs",
    "gradus-nn/src/data.rs",
    "gradus-nn/src/entry.rs",
    "gradus-nn/src/error.rs",
    "gradus-nn/src/file.rs",
    "gradus-nn/src/header.rs",
    "gradus-nn/src/init.rs",
    "gradus-nn/src/lib.rs",
    "gradus-nn/src/replace.rs",
    "gradus-nn/src/schedule.rs",
    "gradus-nn/src/train.rs",
    "gradus-nn/src/layers/mod.rs",
];

/// Functions of the other files that are single primitives, contractions of rows that are in the table, or of no number.
const OTHER_FUNCTIONS: &[&str] = &[
    // Primitives and what is made of one.
    "polygamma",
    "powi",
    "powf",
    "cast",
    "stop_gradient",
    "is_nan",
    "is_finite",
    "ln",
    "reverse_cumsum",
    // Elements chosen by order, sign or rounding.
    "trunc",
    "copysign",
    "floor_divide",
    "remainder",
    "nan_to_num",
    "quantile",
    "median",
    "cummax",
    "cummin",
    "searchsorted",
    "searchsorted_right",
    "bincount",
    "prod",
    "max",
    "min",
    "all",
    "any",
    // How a loss is reduced: weights, masks, sums.
    "weights",
    "mask",
    "ignore",
    "sum",
    "each",
    // Losses that are others over some of the elements.
    "cross_entropy_over",
    "smooth_cross_entropy_over",
    "mse_over",
    "mae_over",
    "huber_over",
    "binary_cross_entropy_over",
    // Counts, casts, and what makes or applies layers whose parts are rows.
    "accuracy",
    "count_parameters",
    "cast_floats",
    "new",
    "with",
    "causal",
    "keep",
    "apply",
    "forward",
    "forward_masked",
    "train",
    "unit",
    "stride",
    "padding",
    "groups",
    "depthwise",
    "without_bias",
    "with_dropout",
];

#[test]
fn every_composed_function_is_a_row() {
    let rows: BTreeSet<&str> = points().map(|p| p.name.split('(').next().unwrap()).collect();
    let mut missing = Vec::new();
    for folder in ["gradus/src/tensor", "gradus-nn/src"] {
        for file in sources(&format!("crates/{folder}")) {
            let short = file.strip_prefix("crates/").unwrap();
            if OTHER_FILES.contains(&short) || short.starts_with("gradus-nn/src/models/") {
                continue;
            }
            for name in functions(&read(&file)) {
                if !rows.contains(name.as_str()) && !OTHER_FUNCTIONS.contains(&name.as_str()) {
                    missing.push(format!("{file}: {name}"));
                }
            }
        }
    }
    // Functions of scalars have their rows in the tables of `gradus-num`.
    let tables = ["unary", "binary", "unary_ends", "binary_ends"]
        .map(|t| read(&format!("crates/gradus-num/tests/golden/{t}.txt")));
    for name in functions(&read("crates/gradus-num/src/composed.rs").replace("pub(crate) fn", "pub fn")) {
        let row = format!("{name} ");
        let selections = ["relu", "clip"];
        if !tables.iter().any(|t| t.lines().any(|l| l.starts_with(&row)))
            && !selections.contains(&name.as_str())
        {
            missing.push(format!("gradus-num: {name}"));
        }
    }
    assert!(missing.is_empty(), "not in bench/golden/composites.py:\n{}", missing.join("\n"));
}
