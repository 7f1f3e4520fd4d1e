//! What `cargo package` puts into each crate: licences, the first page, and every file that its sources include.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Component, Path, PathBuf};
use std::process::Command;

fn crates() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// The files of a package, from its root.
fn listed(folder: &Path) -> BTreeSet<String> {
    let cargo = std::env::var("CARGO").unwrap_or_else(|_| "cargo".into());
    let arguments = ["package", "--list", "--allow-dirty", "--offline"];
    let output = Command::new(cargo).args(arguments).current_dir(folder).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let list = String::from_utf8(output.stdout).unwrap();
    list.lines().map(|line| line.replace('\\', "/")).collect()
}

/// What the macros of a source include: the first literal after each, which is a prefix where it is part of a `concat!`.
fn included(source: &str) -> Vec<&str> {
    let starts = ["include_str!(", "include_bytes!(", "include!(", "#[path = "];
    let after = starts.iter().flat_map(|start| source.match_indices(start).map(|(at, s)| at + s.len()));
    after.filter_map(|at| source[at..].split('"').nth(1)).collect()
}

/// A path beside a file of a package, from the root of the package; nothing if it leads out of it.
fn beside(file: &str, path: &str) -> Option<String> {
    let mut parts: Vec<String> = Vec::new();
    for part in Path::new(file).parent()?.join(path).components() {
        match part {
            Component::Normal(name) => parts.push(name.to_string_lossy().into_owned()),
            Component::ParentDir => drop(parts.pop()?),
            Component::CurDir => {}
            Component::RootDir | Component::Prefix(_) => return None,
        }
    }
    Some(parts.join("/"))
}

#[test]
fn packages_hold_what_they_read() {
    let mut wrong = Vec::new();
    let mut includes = 0;
    for entry in fs::read_dir(crates()).unwrap() {
        let folder = entry.unwrap().path();
        let Ok(manifest) = fs::read_to_string(folder.join("Cargo.toml")) else { continue };
        let name = folder.file_name().unwrap().to_string_lossy().into_owned();
        let files = listed(&folder);
        for file in ["README.md", "LICENSE-APACHE", "LICENSE-MIT", "Cargo.toml"] {
            if !files.contains(file) {
                wrong.push(format!("{name} has no {file}"));
            }
        }
        for key in
            ["description", "license", "repository", "readme", "keywords", "categories", "rust-version"]
        {
            if !manifest.lines().any(|line| line.starts_with(key)) {
                wrong.push(format!("the manifest of {name} has no {key}"));
            }
        }
        for file in files.iter().filter(|file| file.ends_with(".rs")) {
            let source = fs::read_to_string(folder.join(file)).unwrap();
            for path in included(&source) {
                includes += 1;
                let found = beside(file, path).is_some_and(|path| {
                    files.contains(&path) || files.iter().any(|file| file.starts_with(&format!("{path}/")))
                });
                if !found {
                    wrong.push(format!("{name}: {file} includes {path}, which its package does not hold"));
                }
            }
        }
    }
    assert!(includes > 10, "only {includes} files are included");
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// Later versions may add kinds of errors.
#[test]
fn kinds_of_errors_may_grow() {
    let mut found = 0;
    for entry in ["gradus/src", "gradus-core/src", "gradus-nn/src"].map(|folder| crates().join(folder)) {
        let mut folders = vec![entry];
        while let Some(folder) = folders.pop() {
            for entry in fs::read_dir(folder).unwrap() {
                let path = entry.unwrap().path();
                if path.is_dir() {
                    folders.push(path);
                    continue;
                }
                let source = fs::read_to_string(&path).unwrap_or_default();
                let lines: Vec<&str> = source.lines().collect();
                for pair in lines.windows(2) {
                    let name = pair[1].strip_prefix("pub enum ").and_then(|rest| rest.split(' ').next());
                    if name.is_some_and(|name| name.ends_with("Error") || name == "ErrorKind") {
                        found += 1;
                        assert_eq!(pair[0], "#[non_exhaustive]", "{}: {}", path.display(), pair[1]);
                    }
                }
            }
        }
    }
    assert!(found >= 3, "only {found} found");
}

/// The names that the `pub use` items of a source give, but for those that are hidden.
fn exported(source: &str) -> Vec<String> {
    let mut names = Vec::new();
    for (at, start) in source.match_indices("\npub use ") {
        let hidden = source[..at].lines().next_back() == Some("#[doc(hidden)]");
        let item = source[at + start.len()..].split(';').next().unwrap_or_default();
        let list = item.split_once('{').map_or(item, |(_, list)| list.trim_end().trim_end_matches('}'));
        for name in list.split(',').map(str::trim).filter(|name| !name.is_empty() && !hidden) {
            let name = name.rsplit([':', ' ']).next().unwrap_or_default();
            names.extend((name != "*").then(|| name.to_string()));
        }
    }
    names
}

/// The first page of the documentation of `gradus` groups all names by what they are for.
#[test]
fn the_first_page_has_every_name() {
    let read = |file: &str| fs::read_to_string(crates().join("gradus/src").join(file)).unwrap();
    let (front, transforms) = (read("lib.rs"), read("transform/mod.rs"));
    let page: String = front.lines().take_while(|line| line.starts_with("//!")).collect();
    let names = [exported(&front), exported(&transforms)].concat();
    assert!(names.len() > 60, "only {} names found", names.len());
    let absent = |name: &&String| {
        !["`]", "()`]", "`](mod@"].iter().any(|end| page.contains(&format!("[`{name}{end}")))
    };
    let missing: Vec<&String> = names.iter().filter(absent).collect();
    assert!(missing.is_empty(), "not in the table at the top of crates/gradus/src/lib.rs: {missing:?}");
}
