//! Every operation and library function says the same through every composition of modes, and what `docs/kinks.md` says.

use std::path::{Path, PathBuf};

use gradus_cli::oracle::{SOURCES, check, rows};

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

/// A new file with functions of tensors is read by the oracle.
#[test]
fn all_sources_are_read() {
    for folder in ["gradus/src/tensor", "gradus-nn/src/layers"] {
        for entry in std::fs::read_dir(root().join("crates").join(folder)).unwrap() {
            let name = format!("{folder}/{}", entry.unwrap().file_name().to_string_lossy());
            assert!(SOURCES.iter().any(|(file, _)| *file == name), "the oracle does not read {name}");
        }
    }
}
