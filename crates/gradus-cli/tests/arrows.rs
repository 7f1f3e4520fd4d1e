//! The direction of dependencies: each crate uses only crates below it.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

/// Crates and what they may use. A crate that is not here may not exist.
const MAY_USE: [(&str, &[&str]); 8] = [
    ("gradus-num", &[]),
    ("gradus-derive", &[]),
    ("gradus-core", &["gradus-num"]),
    ("gradus-plan", &["gradus-num", "gradus-core"]),
    ("gradus-cpu", &["gradus-num", "gradus-core", "gradus-plan"]),
    ("gradus", &["gradus-num", "gradus-core", "gradus-plan", "gradus-cpu", "gradus-derive"]),
    ("gradus-nn", &["gradus"]),
    ("gradus-cli", &["gradus", "gradus-num", "gradus-core", "gradus-plan", "gradus-cpu", "gradus-nn"]),
];

/// The crates of this workspace named in a manifest's dependency tables, those for tests apart.
fn uses(manifest: &str) -> Vec<String> {
    let mut table = "";
    let mut found = Vec::new();
    for line in manifest.lines().map(str::trim) {
        if let Some(name) = line.strip_prefix('[') {
            table = name.trim_end_matches(']');
        }
        let entry = line.split(['=', '.', ' ']).next().unwrap_or_default();
        let dependencies = table == "dependencies" || table.ends_with(".dependencies");
        if dependencies && entry.starts_with("gradus") {
            found.push(entry.to_string());
        }
    }
    found
}

#[test]
fn dependencies_point_one_way() {
    let crates = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let allowed: BTreeMap<&str, &[&str]> = MAY_USE.into_iter().collect();
    let mut seen = 0;
    for entry in fs::read_dir(crates).unwrap() {
        let folder = entry.unwrap().path();
        let Ok(manifest) = fs::read_to_string(folder.join("Cargo.toml")) else { continue };
        let name = folder.file_name().unwrap().to_string_lossy().into_owned();
        let may = allowed
            .get(name.as_str())
            .unwrap_or_else(|| panic!("{name} is not on the map of CONTRIBUTING.md"));
        for used in uses(&manifest) {
            assert!(may.contains(&used.as_str()), "{name} must not depend on {used}");
        }
        seen += 1;
    }
    assert!(seen >= 7, "only {seen} crates found");
}

#[test]
fn the_default_library_has_no_command_line() {
    let manifest = Path::new(env!("CARGO_MANIFEST_DIR")).join("../gradus/Cargo.toml");
    let manifest = fs::read_to_string(manifest).unwrap();
    let (dependencies, _for_tests) = manifest.split_once("[dev-dependencies]").unwrap();
    for heavy in ["clap", "indicatif", "plotters", "serde_json"] {
        assert!(!dependencies.contains(heavy), "gradus must not depend on {heavy}");
    }
}
