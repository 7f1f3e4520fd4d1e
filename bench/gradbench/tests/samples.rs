//! Plays the suite's sample messages to the tool and judges every answer to a relative 1e-10.

mod common;

use std::fs::File;
use std::io::Read;
use std::path::Path;

use common::Tool;
use flate2::read::GzDecoder;
use serde_json::Value;

const TOLERANCE: f64 = 1e-10;

fn play(eval: &str, evaluations: usize) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("tests/data/{eval}.jsonl.gz"));
    let mut lines = String::new();
    GzDecoder::new(File::open(path).unwrap()).read_to_string(&mut lines).unwrap();
    let mut tool = Tool::start();
    let mut played = 0;
    for line in lines.lines() {
        let exchange: Value = serde_json::from_str(line).unwrap();
        let (message, want) = (&exchange["message"], &exchange["response"]);
        let answer = tool.ask(message.to_string().as_bytes());
        assert_eq!(answer["id"], message["id"], "{eval}");
        assert_eq!(answer["success"], want["success"], "{eval}: {}", answer["error"]);
        if message["kind"] == "evaluate" {
            played += 1;
            let path = format!("{eval} {} {}", message["function"], message["description"]);
            let error = error(&want["output"], &answer["output"], &path);
            assert!(error <= TOLERANCE, "{path}: relative error {error:e}");
            check_timings(&message["input"], &answer["timings"], &path);
        }
    }
    assert_eq!(played, evaluations, "{eval}");
    tool.finish();
}

/// The error of an answer: of each array the largest difference over the largest magnitude. Structures must agree.
fn error(want: &Value, got: &Value, path: &str) -> f64 {
    match (want, got) {
        (Value::Object(w), Value::Object(g)) => {
            let names = |object: &serde_json::Map<String, Value>| {
                let mut names: Vec<String> = object.keys().cloned().collect();
                names.sort();
                names
            };
            assert_eq!(names(w), names(g), "{path}");
            w.iter().map(|(name, w)| error(w, &g[name], &format!("{path}.{name}"))).fold(0.0, f64::max)
        }
        (Value::Array(_) | Value::Number(_), _) => {
            let (mut w, mut g) = (vec![], vec![]);
            flatten(want, got, path, &mut w, &mut g);
            let scale = w.iter().fold(1e-30, |scale: f64, v| scale.max(v.abs()));
            w.iter().zip(&g).map(|(w, g)| (w - g).abs() / scale).fold(0.0, f64::max)
        }
        _ => {
            assert_eq!(want, got, "{path}");
            0.0
        }
    }
}

fn flatten(want: &Value, got: &Value, path: &str, w: &mut Vec<f64>, g: &mut Vec<f64>) {
    if let Value::Array(wants) = want {
        let gots = got.as_array().unwrap_or_else(|| panic!("{path}: a list is needed"));
        assert_eq!(wants.len(), gots.len(), "{path}: length");
        for (i, (want, got)) in wants.iter().zip(gots).enumerate() {
            flatten(want, got, &format!("{path}[{i}]"), w, g);
        }
    } else {
        if want.is_u64() && path.contains("rows") | path.contains("cols") | path.contains("repeated") {
            assert_eq!(want, got, "{path}");
        }
        w.push(want.as_f64().expect("samples hold numbers"));
        g.push(got.as_f64().unwrap_or_else(|| panic!("{path}: a number is needed, not {got}")));
    }
}

fn check_timings(input: &Value, timings: &Value, path: &str) {
    let times: Vec<u64> = timings
        .as_array()
        .unwrap_or_else(|| panic!("{path}: no timings"))
        .iter()
        .map(|timing| {
            assert_eq!(timing["name"], "evaluate", "{path}");
            timing["nanoseconds"].as_u64().unwrap_or_else(|| panic!("{path}: {timing}"))
        })
        .collect();
    assert!(times.len() as u64 >= input["min_runs"].as_u64().unwrap_or(1), "{path}: too few runs");
    let seconds = times.iter().sum::<u64>() as f64 / 1e9;
    assert!(seconds >= 0.999 * input["min_seconds"].as_f64().unwrap_or(0.0), "{path}: only {seconds} s");
}

macro_rules! plays {
    ($($eval:ident $evaluations:literal;)*) => {$(
        #[test]
        fn $eval() {
            play(stringify!($eval), $evaluations);
        }
    )*};
}

plays! {
    hello 8;
    llsq 12;
    lse 8;
    det 8;
    ode 20;
    kmeans 16;
    gmm 14;
    lstm 12;
    ba 10;
    ht 18;
    particle 12;
    saddle 16;
}
