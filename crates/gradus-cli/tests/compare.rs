//! `gradus compare` as a user runs it, at sizes for tests.

use std::path::PathBuf;
use std::process::{Command, Output};

use serde_json::Value;

/// Runs the command with its files in a folder of the test's own.
fn gradus(test: &str, arguments: &[&str]) -> (Output, PathBuf) {
    let folder = std::env::temp_dir().join(format!("gradus-{test}-{}", std::process::id()));
    let output =
        Command::new(env!("CARGO_BIN_EXE_gradus")).args(arguments).arg("--out").arg(&folder).output();
    (output.expect("the command runs"), folder)
}

fn lines(output: &Output) -> Vec<Value> {
    let text = String::from_utf8_lossy(&output.stdout);
    text.lines().map(|line| serde_json::from_str(line).unwrap_or_else(|e| panic!("{e}: {line}"))).collect()
}

const ALL: &str = "plain,recompute,nested,auto,75%,50%,35%";
const SOME: &str = "plain,recompute,nested,auto,80%";

#[test]
fn models_in_every_way() {
    for (name, ways) in [("deep-mish", ALL), ("gpt-small", SOME), ("resnet18", SOME), ("conv-silu", SOME)] {
        let mut arguments = vec!["compare", name, "--small", "--steps", "2", "--batch", "32", "--json"];
        if ways != ALL {
            arguments.extend(["--only", ways]);
        }
        let (output, folder) = gradus(name, &arguments);
        let errors = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{name}: {errors}");
        let lines = lines(&output);
        let rows: Vec<&Value> = lines.iter().filter(|l| l["event"] == "row").collect();
        let strategies: Vec<&str> = rows.iter().filter_map(|r| r["strategy"].as_str()).collect();
        assert_eq!(strategies.join(","), ways, "{name}");
        for row in rows {
            assert_eq!(row["model"], name);
            if row["refused"].is_string() {
                assert!(row["strategy"].as_str().is_some_and(|s| s.ends_with('%')), "{row}");
                assert!(row["saved_bytes"].is_null() && row["agrees"].is_null(), "{row}");
                continue;
            }
            assert_eq!(row["agrees"], true, "{row}");
            for key in ["saved_bytes", "planned_peak_bytes", "measured_peak_bytes"] {
                assert!(row[key].as_u64().is_some_and(|n| n > 0), "{key} of {row}");
            }
            for key in ["step_ms", "backward_elementwise_ms"] {
                assert!(row[key].as_f64().is_some_and(|ms| ms > 0.0), "{key} of {row}");
            }
            assert!(row.as_object().is_some_and(|r| r.contains_key("rss_over_idle_bytes")));
        }
        let layers: Vec<&Value> = lines.iter().filter(|l| l["event"] == "layer").collect();
        assert!(
            layers.len() >= 4 && layers[0]["buffers"].as_array().is_some_and(|b| !b.is_empty()),
            "{name}"
        );
        let done = &lines[lines.len() - 1];
        assert_eq!((&done["event"], &done["agrees"]), (&"done".into(), &true.into()));
        let ratios = done["saved_plain_over_nested"].as_object().expect("ratios");
        if name.contains("mish") {
            let (one, out) = (&ratios["softplus_one_primitive"], &ratios["softplus_written_out"]);
            assert!(one.as_f64() >= Some(1.97) && out.as_f64() > one.as_f64(), "{name}: {done}");
        }
        let picture = std::fs::read_to_string(folder.join(format!("{name}.svg"))).expect("a picture");
        assert!(picture.starts_with("<svg") && picture.trim_end().ends_with("</svg>"));
        std::fs::remove_dir_all(folder).expect("the folder is there");
    }
}

#[test]
fn the_table_is_for_people() {
    let (output, folder) =
        gradus("table", &["compare", "deep-mish", "--small", "--steps", "1", "--only", "plain,nested,60%"]);
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{text}");
    for part in ["plain keeps of layers.2", "nested keeps of layers.2", "softplus as one primitive", "wrote "]
    {
        assert!(text.contains(part), "{part} in\n{text}");
    }
    assert!(!text.contains("recompute"));
    std::fs::remove_dir_all(folder).expect("the folder is there");
}

#[test]
fn a_model_that_is_none() {
    let (output, folder) = gradus("unknown", &["compare", "deep-mesh"]);
    assert_eq!(output.status.code(), Some(1));
    let text = String::from_utf8_lossy(&output.stderr);
    assert!(text.contains("no model is named \"deep-mesh\"") && text.contains("deep-mish"), "{text}");
    assert!(!folder.exists(), "nothing is left behind");
}

#[test]
fn a_strategy_that_is_none() {
    let (output, _) = gradus("strategy", &["compare", "--only", "plain,fastest"]);
    assert_eq!(output.status.code(), Some(2));
    let text = String::from_utf8_lossy(&output.stderr);
    assert!(text.contains("a strategy is plain, recompute, rederive, nested, auto"), "{text}");
}
