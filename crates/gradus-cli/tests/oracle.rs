//! Every operation and library function says the same through every composition of modes, and what `docs/kinks.md` says.

use std::path::{Path, PathBuf};

use gradus_cli::oracle::{check, functions_without_row, rows};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

fn kinks() -> String {
    let kinks = std::fs::read_to_string(root().join("docs/kinks.md")).unwrap();
    kinks.split_whitespace().collect::<Vec<_>>().join(" ")
}

#[test]
fn every_composition_says_the_same() {
    let filter = std::env::var("GRADUS_ORACLE").unwrap_or_default();
    let kinks = kinks();
    let mut failures = Vec::new();
    for report in check(&filter) {
        println!("{:<30}{:>8}{:>8}{:>8}", report.name, report.compared, report.differences, report.skips());
        for (words, n) in &report.skipped {
            println!("    {n} {words}");
            assert!(kinks.contains(words.as_str()), "docs/kinks.md does not say \"{words}\"");
        }
        let of = |f: String| format!("{}: {f}", report.name);
        failures.extend(report.failures.into_iter().take(if filter.is_empty() { 4 } else { 200 }).map(of));
    }
    assert!(failures.is_empty(), "{} failures\n{}", failures.len(), failures.join("\n"));
}

/// What is skipped has a line in the documentation.
#[test]
fn kinks_are_documented() {
    let kinks = kinks();
    for row in rows() {
        for words in row.kinks {
            assert!(
                kinks.contains(words),
                "docs/kinks.md does not say \"{words}\", which {} refers to",
                row.name
            );
        }
    }
}

/// Sources with functions of tensors, beside those of the two folders of them.
const SOURCES: [&str; 5] = [
    "gradus/src/transform/axes.rs",
    "gradus-nn/src/attention.rs",
    "gradus-nn/src/loss.rs",
    "gradus-nn/src/model.rs",
    "gradus-nn/src/optim.rs",
];

#[test]
fn every_function_has_a_row() {
    let crates = root().join("crates");
    let mut files: Vec<PathBuf> = SOURCES.iter().map(|file| crates.join(file)).collect();
    for folder in ["gradus/src/tensor", "gradus-nn/src/layers"] {
        let entries = std::fs::read_dir(crates.join(folder)).unwrap();
        files.extend(entries.map(|entry| entry.unwrap().path()));
    }
    assert!(files.len() > 25, "only {} sources", files.len());
    let mut missing = Vec::new();
    for file in files {
        let source = std::fs::read_to_string(&file).unwrap();
        let names = functions_without_row(&source).into_iter();
        missing.extend(names.map(|name| format!("{name} in {} has no row in the oracle", file.display())));
    }
    assert!(missing.is_empty(), "{}", missing.join("\n"));
}
