//! No page with an example is left out.

use std::path::Path;

use gradus_pages::PAGES;

#[test]
fn every_page_with_an_example_is_run() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let mut seen = 0;
    for folder in ["", "docs/"] {
        for entry in std::fs::read_dir(root.join(folder)).unwrap() {
            let name = format!("{folder}{}", entry.unwrap().file_name().to_string_lossy());
            if !name.ends_with(".md") {
                continue;
            }
            let text = std::fs::read_to_string(root.join(&name)).unwrap();
            let example = text.lines().any(|line| line.starts_with("```rust"));
            assert!(!example || PAGES.contains(&name.as_str()), "the examples of {name} are not run");
            seen += 1;
        }
    }
    assert!(seen > 15, "only {seen} pages found");
}
