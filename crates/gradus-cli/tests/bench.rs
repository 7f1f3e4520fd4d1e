//! `gradus bench`: what its lines hold, at small sizes. Times are only checked to be present.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::{Command, Output};

use gradus::{Key, Tensor, Tree};
use gradus_nn::models::Named;
use serde_json::Value;

fn gradus(arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_gradus"));
    command.arg("bench").args(arguments).output().expect("the command starts")
}

/// The JSON lines of a run that goes well.
fn lines(arguments: &[&str]) -> Vec<Value> {
    let output = gradus(&[arguments, &["--json"]].concat());
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8(output.stdout).unwrap();
    text.lines().map(|l| serde_json::from_str(l).unwrap_or_else(|e| panic!("{l}: {e}"))).collect()
}

fn error(arguments: &[&str]) -> String {
    let output = gradus(arguments);
    assert!(!output.status.success());
    String::from_utf8(output.stderr).unwrap()
}

fn number(line: &Value, field: &str) -> f64 {
    line[field].as_f64().unwrap_or_else(|| panic!("{field} of {line}"))
}

#[test]
fn a_line_for_each_case() {
    for case in ["a", "b", "c", "d", "e", "deep-mish"] {
        let lines = lines(&["train", "--case", case, "--small", "--steps", "3", "--threads", "2"]);
        assert_eq!(lines.len(), 1);
        let line = &lines[0];
        assert_eq!(
            (&line["case"], &line["lib"], &line["threads"]),
            (&case.into(), &"gradus".into(), &2.into())
        );
        assert!(number(line, "ms") > 0.0 && number(line, "floor_ms") > 0.0, "{line}");
        assert!(number(line, "loss") > 0.0, "{line}");
        if cfg!(target_os = "linux") {
            assert!(number(line, "peak_rss_mb") >= number(line, "idle_rss_mb") - 1.0, "{line}");
        }
    }
}

#[test]
fn the_chain_counts_by_the_operation() {
    let line = lines(&["train", "--case", "chain", "--steps", "9"]).remove(0);
    assert!(
        (number(&line, "ns_per_op") - number(&line, "ms") * 1e3).abs() < 1e-6 * number(&line, "ns_per_op")
    );
    assert!(line["floor_ms"].is_null());
    assert!(error(&["train", "--case", "chain", "--losses"]).contains("no loss"));
}

#[test]
fn unknown_cases_are_named() {
    let error = error(&["train", "--case", "z"]);
    assert!(error.contains("\"z\"") && error.contains("deep-mish"), "{error}");
}

/// A file of parameters and batches for a small model.
fn file(name: &str, change: impl FnOnce(&mut BTreeMap<String, Tensor>)) -> PathBuf {
    let model = Named::find("a").unwrap().small();
    let mut tree: BTreeMap<String, Tensor> = model.init(&Key::new(5)).leaves().into_iter().collect();
    let batches: Vec<_> = (0..3).map(|i| model.batch(&Key::new(10 + i), model.batch)).collect();
    let stack = |part: &dyn Fn(usize) -> Tensor| {
        let parts: Vec<Tensor> = (0..3).map(part).collect();
        Tensor::stack(&parts.iter().collect::<Vec<_>>(), 0)
    };
    tree.insert("inputs".into(), stack(&|i| batches[i].inputs.clone()));
    tree.insert("labels".into(), stack(&|i| batches[i].labels.clone()));
    change(&mut tree);
    let path = std::env::temp_dir().join(format!("gradus-bench-{name}-{}.safetensors", std::process::id()));
    gradus_nn::save(&path, &tree).unwrap();
    path
}

#[test]
fn losses_from_given_parameters_and_batches() {
    let path = file("good", |_| ());
    let given = path.to_str().unwrap();
    let line =
        lines(&["train", "--case", "a", "--small", "--losses", "--steps", "7", "--weights", given]).remove(0);
    let numbers = |line: &Value| -> Vec<f64> {
        line["losses"].as_array().unwrap().iter().map(|l| l.as_f64().unwrap()).collect()
    };
    let losses = numbers(&line);
    let more = ["--steps", "7", "--weights", given, "--double"];
    let double = numbers(&lines(&[&["train", "--case", "a", "--small", "--losses"][..], &more].concat())[0]);
    std::fs::remove_file(&path).unwrap();
    for (single, double) in losses.iter().zip(&double) {
        assert!(single != double && (single - double).abs() < 1e-5, "{single} {double}");
    }

    let model = Named::find("a").unwrap().small();
    let mut progress = model.start(&Key::new(5));
    let step = gradus::jit(model.step());
    for (i, loss) in losses.iter().enumerate() {
        let batch = model.batch(&Key::new(10 + i as u64 % 3), model.batch);
        let (next, expected) = step.call(&(progress, batch));
        progress = next;
        assert_eq!(*loss as f32, expected.item::<f32>(), "step {i}");
    }
    assert_eq!(losses.len(), 7);
}

#[test]
fn files_that_do_not_fit_are_refused() {
    let refused = |name: &str, change: fn(&mut BTreeMap<String, Tensor>)| {
        let path = file(name, change);
        let error =
            error(&["train", "--case", "a", "--small", "--losses", "--weights", path.to_str().unwrap()]);
        std::fs::remove_file(&path).unwrap();
        error
    };
    assert!(refused("labels", |t| drop(t.remove("labels"))).contains("no \"labels\""));
    assert!(refused("more", |t| drop(t.insert("zeros".into(), Tensor::from(0f32)))).contains("\"zeros\""));
    let fewer = refused("fewer", |t| {
        let inputs = t["inputs"].slice(0, ..2);
        t.insert("inputs".into(), inputs);
    });
    assert!(fewer.contains("K batches"), "{fewer}");
    assert!(refused("flat", |t| drop(t.insert("inputs".into(), Tensor::from(1f32)))).contains("K batches"));
    assert!(error(&["train", "--case", "a", "--weights", "no/such/file"]).contains("no/such/file"));
}

#[test]
fn a_profile_is_written() {
    let path = std::env::temp_dir().join(format!("gradus-bench-trace-{}.json", std::process::id()));
    let profile = path.to_str().unwrap();
    let lines =
        lines(&["train", "--case", "d", "--small", "--steps", "1", "--no-floor", "--profile", profile]);
    let trace: Value = serde_json::from_str(&std::fs::read_to_string(&path).unwrap()).unwrap();
    std::fs::remove_file(&path).unwrap();
    assert!(lines[0]["floor_ms"].is_null());
    assert!(number(&lines[1]["profile"]["phases"]["backward"], "ms") > 0.0);
    assert!(trace["traceEvents"].as_array().unwrap().len() > 10);
}

#[test]
fn a_line_for_each_kernel_and_size() {
    let found = lines(&["kernels", "softmax", "--sizes", "1024,2e3", "--threads", "1"]);
    let names: Vec<&str> = found.iter().map(|l| l["kernel"].as_str().unwrap()).collect();
    assert_eq!(
        names,
        ["softmax", "softmax", "softmax backward", "softmax backward", "log-softmax", "log-softmax"]
    );
    for line in &found {
        for field in ["ns_per_element", "gbps", "gflops", "share_of_peak"] {
            assert!(number(line, field) > 0.0, "{line}");
        }
        assert_eq!(line["threads"], 1);
    }
    assert!(error(&["kernels", "no-such-kernel"]).contains("adam"));
    assert!(error(&["kernels", "--sizes", "half"]).contains("whole number"));
}

#[test]
fn small_programs_have_their_aims() {
    let found = lines(&["small", "--no-compile"]);
    assert!(found.len() >= 9);
    assert!(found.iter().all(|l| number(l, "ns") > 0.0));
    let chain = found.iter().find(|l| l["case"] == "compiled: gradient of the chain").unwrap();
    assert_eq!(number(chain, "aim_ns"), 10.0);
}

#[test]
fn planning_is_measured_cell_by_cell() {
    let cells = [
        "plan",
        "--cases",
        "chain,cond",
        "--sizes",
        "20,40",
        "--transforms",
        "value,grad",
        "--stack",
        "4096",
    ];
    let mut lines = lines(&cells);
    let done = lines.pop().unwrap();
    assert_eq!(lines.len(), 2 * 2 * 2 * 2);
    for line in &lines {
        assert!(
            line["failed"].is_null() && number(line, "seconds") > 0.0 && number(line, "bytes") > 0.0,
            "{line}"
        );
        assert!(number(line, "recorded_s") <= number(line, "seconds"), "{line}");
    }
    assert_eq!((&done["event"], &done["failed"]), (&"done".into(), &0.into()));
    assert!(number(&done, "worst_seconds") > 0.0 && done.get("worst_exponent").is_some(), "{done}");
}

#[test]
fn a_cell_over_its_limit_ends_its_row() {
    let cells =
        ["plan", "--cases", "mlp", "--sizes", "300,3000", "--transforms", "hvp", "--limit", "0.000001"];
    let lines = lines(&[&cells[..], &["--budgets", "without"]].concat());
    assert_eq!(lines.len(), 2, "{lines:?}");
    assert!(lines[0]["failed"].as_str().unwrap().contains("took more than"), "{}", lines[0]);
    assert_eq!(lines[1]["failed"], 1);
    assert!(error(&["plan", "--cases", "z"]).contains("chain"));
}
