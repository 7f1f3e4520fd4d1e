//! `gradus explain` as a user runs it, at sizes for tests.

use std::process::{Command, Output};

use serde_json::Value;

fn gradus(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_gradus")).args(arguments).output().expect("the command runs")
}

#[test]
fn words_say_what_runs_and_why() {
    let output = gradus(&["explain", "deep-mish", "--small", "--strategy", "nested"]);
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{text}");
    for part in [
        "mode: reverse, one pass back",
        "forward mode would take 1194 passes",
        "passes\n  simplify",
        "* nested",
        "  backward",
        "at the peak, during kernel",
        "kept for the backward pass",
        "layers.2",
        "linear.rs:",
    ] {
        assert!(text.contains(part), "{part} in\n{text}");
    }
    assert!(!text.contains("measured"));
}

#[test]
fn json_has_every_part() {
    let output = gradus(&["explain", "gpt-small", "--small", "--profile", "--json"]);
    assert!(output.status.success());
    let told: Value = serde_json::from_slice(&output.stdout).expect("one JSON object");
    let kernels = told["kernels"].as_array().expect("kernels");
    assert!(kernels.len() > 20);
    for kernel in kernels {
        for key in ["flops", "bytes", "estimated_seconds", "measured_seconds"] {
            assert!(kernel[key].is_number(), "{key} of {kernel}");
        }
        assert!(["forward", "backward", "update"].contains(&kernel["phase"].as_str().unwrap_or_default()));
    }
    let residuals = told["residuals"].as_array().expect("residuals");
    let saved: u64 = residuals.iter().filter_map(|r| r["bytes"].as_u64()).sum();
    assert!(saved > 0 && told["saved_bytes"] == saved, "{saved}");
    assert!(residuals.iter().all(|r| r["source"].as_str().is_some_and(|s| s.contains("gradus-nn"))));
    let curve = told["memory_curve"].as_array().expect("a curve");
    assert_eq!(curve.len(), kernels.len());
    let peak = told["peak_kernel"].as_u64().expect("a kernel") as usize;
    let alive = told["alive_at_peak"].as_array().expect("values");
    let bytes: u64 = alive.iter().filter_map(|v| v["bytes"].as_u64()).sum();
    // The curve counts whole lines of memory.
    let most = curve[peak].as_u64().expect("bytes");
    assert!(bytes <= most && most < bytes + 64 * alive.len() as u64, "{bytes} of {most}");
    let taken: Vec<&Value> =
        told["alternatives"].as_array().expect("plans").iter().filter(|a| a["taken"] == true).collect();
    assert_eq!(taken.len(), 1);
    assert_eq!(taken[0]["peak_bytes"], told["planned_peak_bytes"]);
}

#[test]
fn a_page_needs_nothing_else() {
    let file = std::env::temp_dir().join(format!("gradus-explain-{}.html", std::process::id()));
    let path = file.to_string_lossy();
    let output = gradus(&["explain", "conv-silu", "--small", "--html", &path]);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let page = std::fs::read_to_string(&file).expect("a page");
    std::fs::remove_file(&file).expect("the page is there");
    assert!(page.starts_with("<!doctype html>") && page.trim_end().ends_with("</html>"));
    assert!(!page.contains("http"), "no address of anything elsewhere");
    for tag in ["table", "tr", "td", "svg", "div", "p", "h2"] {
        let opened = page.matches(&format!("<{tag}>")).count() + page.matches(&format!("<{tag} ")).count();
        assert_eq!(opened, page.matches(&format!("</{tag}>")).count(), "{tag}");
    }
}

#[test]
fn errors_name_what_there_is() {
    let output = gradus(&["explain", "alexnet"]);
    assert_eq!(output.status.code(), Some(1));
    let text = String::from_utf8_lossy(&output.stderr);
    assert!(text.contains("\"alexnet\"") && text.contains("resnet18"), "{text}");
    let output = gradus(&["explain", "mlp-relu", "--small", "--strategy", "1%"]);
    assert_eq!(output.status.code(), Some(1));
    let text = String::from_utf8_lossy(&output.stderr);
    assert!(text.contains("the smallest"), "{text}");
}
