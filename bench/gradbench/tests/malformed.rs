//! Whatever comes in is answered, with an error that says what is wrong, and the tool goes on.

mod common;

use common::Tool;
use serde_json::{Value, json};

/// Sends an evaluation and returns the error that it must be answered with.
fn refused(tool: &mut Tool, module: &str, function: &str, input: &str) -> String {
    let line = format!(
        r#"{{"id":7,"kind":"evaluate","module":"{module}","function":"{function}","input":{input}}}"#
    );
    let answer = tool.ask(line.as_bytes());
    assert_eq!(answer["id"], 7, "{line}");
    assert_eq!(answer["success"], false, "{line} was answered with {answer}");
    assert!(answer.get("output").is_none());
    answer["error"].as_str().expect("an error text").to_string()
}

/// The tool still computes.
fn alive(tool: &mut Tool) {
    let answer =
        tool.ask(br#"{"id":"x","kind":"evaluate","module":"hello","function":"double","input":3.5}"#);
    assert_eq!((&answer["id"], &answer["output"]), (&json!("x"), &json!(7.0)));
}

#[test]
fn lines_that_are_no_messages() {
    let mut tool = Tool::start();
    for line in ["nonsense", "{", "[1,2]", "3", "null", "{}", "\"text\"", "{\"id\":3}", "\u{0}\u{1}"] {
        let answer = tool.ask(line.as_bytes());
        assert_eq!(answer["success"], false, "{line}");
        assert!(answer["error"].is_string(), "{line}");
        alive(&mut tool);
    }
    assert_eq!(tool.ask(b"\xff\xfe{\"id\":1}")["success"], false);
    // The id is found even where the line as a whole cannot be read.
    let answer = tool.ask(br#"{"kind":"evaluate", "id" : 12, "module":"lse","input":{"x":[NaN]}}"#);
    assert_eq!((&answer["id"], &answer["success"]), (&json!(12), &json!(false)));
    tool.finish();
}

#[test]
fn empty_lines_and_unknown_kinds_and_fields_are_no_errors() {
    let mut tool = Tool::start();
    assert_eq!(tool.ask(b"\n  \n{\"id\":5,\"kind\":\"weather\",\"more\":[1,{}]}"), json!({"id": 5}));
    let start = tool.ask(br#"{"eval":"gmm","config":{"a":1},"kind":"start","id":0}"#);
    assert_eq!((&start["id"], &start["tool"]), (&json!(0), &json!("gradus")));
    assert_eq!(tool.ask(br#"{"id":1,"kind":"analysis","of":0,"valid":false,"error":"x"}"#), json!({"id": 1}));
    tool.finish();
}

#[test]
fn unknown_modules_and_functions() {
    let mut tool = Tool::start();
    let define = |tool: &mut Tool, module: &str| {
        tool.ask(format!(r#"{{"id":1,"kind":"define","module":"{module}"}}"#).as_bytes())
    };
    assert_eq!(define(&mut tool, "kmeans"), json!({"id": 1, "success": true}));
    let unknown = define(&mut tool, "chess");
    assert_eq!(unknown["success"], false);
    assert!(unknown["error"].as_str().unwrap().contains("kmeans"));
    assert!(refused(&mut tool, "chess", "f", "1").contains("chess"));
    assert!(refused(&mut tool, "lse", "hessian", r#"{"x":[1]}"#).contains("primal, gradient"));
    for line in [
        r#"{"id":1,"kind":"evaluate","function":"f","input":1}"#,
        r#"{"id":1,"kind":"evaluate","module":"lse","input":1}"#,
        r#"{"id":1,"kind":"evaluate","module":"lse","function":"primal"}"#,
        r#"{"id":1,"kind":"evaluate","module":3,"function":"primal","input":1}"#,
        r#"{"id":1,"kind":"define"}"#,
    ] {
        let answer = tool.ask(line.as_bytes());
        assert_eq!((&answer["id"], &answer["success"]), (&json!(1), &json!(false)), "{line}");
    }
    alive(&mut tool);
    tool.finish();
}

#[test]
fn run_counts_that_make_no_sense() {
    let mut tool = Tool::start();
    for repeat in [
        r#""min_runs":0"#,
        r#""min_runs":-1"#,
        r#""min_runs":1.5"#,
        r#""min_runs":1e30"#,
        r#""min_seconds":-0.5"#,
        r#""min_seconds":1e300"#,
        r#""min_seconds":"long""#,
    ] {
        let error = refused(&mut tool, "lse", "primal", &format!(r#"{{"x":[1],{repeat}}}"#));
        assert!(!error.is_empty());
    }
    let whole = tool.ask(
        br#"{"id":1,"kind":"evaluate","module":"lse","function":"primal","input":{"x":[1],"min_runs":4.0}}"#,
    );
    assert_eq!(whole["timings"].as_array().map(Vec::len), Some(4));
    tool.finish();
}

/// A valid small input of every eval, from which single fields are spoiled.
fn valid(eval: &str) -> (&'static str, Value) {
    let identity = json!([[1, 0, 0, 0], [0, 1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1]]);
    match eval {
        "llsq" => ("gradient", json!({"x": [0.5, 0.25], "n": 3})),
        "lse" => ("gradient", json!({"x": [0.5, 0.25]})),
        "det" => ("gradient", json!({"A": [1, 2, 3, 4], "ell": 2})),
        "ode" => ("gradient", json!({"x": [0.5, 0.25], "s": 3})),
        "kmeans" => ("dir", json!({"points": [[0, 1], [2, 3]], "centroids": [[0.5, 1]]})),
        "gmm" => (
            "jacobian",
            json!({"d": 2, "k": 1, "n": 1, "m": 0, "gamma": 1, "x": [[1, 2]], "alpha": [0.1], "mu": [[0, 1]],
                "q": [[0, 0.5]], "l": [[0.25]]}),
        ),
        "lstm" => (
            "jacobian",
            json!({"main_params": [[1, 2, 3, 4], [5, 6, 7, 8]], "extra_params": [[1], [2], [3]],
                "state": [[0.5], [0.5]], "sequence": [[1], [0], [1]]}),
        ),
        "ba" => (
            "jacobian",
            json!({"n": 2, "m": 3, "p": 15, "cam": [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11], "x": [1, 2, 3], "w": 0.5,
                "feat": [1, 2]}),
        ),
        "ht" => (
            "jacobian",
            json!({"theta": vec![0.1; 26], "us": [[0.2, 0.3]], "data": {
                "correspondences": [0], "points": [[1, 2, 3]], "model": {
                    "bone_count": 22, "bone_names": vec!["b"; 22], "parents": (-1..21).collect::<Vec<_>>(),
                    "base_relatives": vec![identity.clone(); 22],
                    "inverse_base_absolutes": vec![identity; 22],
                    "base_positions": vec![[1, 2, 3, 1]; 3], "weights": vec![vec![0.5; 22]; 3],
                    "triangles": [[0, 1, 2]], "is_mirrored": false}}}),
        ),
        "particle" => ("ff", json!({"w": 0})),
        "saddle" => ("rr", json!({"start": [1, 1]})),
        _ => unreachable!("{eval}"),
    }
}

const EVALS: [&str; 11] =
    ["llsq", "lse", "det", "ode", "kmeans", "gmm", "lstm", "ba", "ht", "particle", "saddle"];

/// Calls `visit` with the path of every value within `value`.
fn paths(value: &Value, path: &str, visit: &mut impl FnMut(&str)) {
    if !path.is_empty() {
        visit(path);
    }
    match value {
        Value::Object(fields) => {
            fields.iter().for_each(|(name, v)| paths(v, &format!("{path}/{name}"), visit));
        }
        Value::Array(elements) => {
            elements.iter().enumerate().take(3).for_each(|(i, v)| paths(v, &format!("{path}/{i}"), visit));
        }
        _ => {}
    }
}

#[test]
fn every_field_of_every_eval_is_checked() {
    let mut tool = Tool::start();
    for eval in EVALS {
        let (function, input) = valid(eval);
        let line = json!({"id": 1, "kind": "evaluate", "module": eval, "function": function, "input": input});
        let answer = tool.ask(line.to_string().as_bytes());
        assert_eq!(answer["success"], true, "{eval}: {}", answer["error"]);

        let mut places = vec![];
        paths(&input, "", &mut |path| places.push(path.to_string()));
        for path in places.iter().filter(|path| !path.contains("bone_names")) {
            // A wrong type anywhere is an error, and so is a number that no double holds.
            for spoiled in [json!("text"), json!({}), Value::Null, json!(1.5e308)] {
                let mut input = input.clone();
                *input.pointer_mut(path).unwrap() = spoiled.clone();
                let text = input.to_string().replace("1.5e308", "1.5e999").replace("1.5e+308", "1.5e999");
                let error = refused(&mut tool, eval, function, &text);
                assert!(!error.starts_with("internal"), "{eval} {path} {spoiled}: {error}");
            }
            // A list that is a row or an element short or long never gets to the arithmetic.
            if let Some(list) = input.pointer(path).and_then(Value::as_array) {
                for longer in [false, true] {
                    let mut list = list.clone();
                    if longer {
                        list.push(list[0].clone())
                    } else {
                        drop(list.pop())
                    }
                    let mut input = input.clone();
                    *input.pointer_mut(path).unwrap() = Value::Array(list);
                    let line = json!({"id": 1, "kind": "evaluate", "module": eval, "function": function,
                        "input": input});
                    let answer = tool.ask(line.to_string().as_bytes());
                    let error = answer["error"].as_str().unwrap_or("");
                    assert!(!error.starts_with("internal"), "{eval} {path}: {error}");
                }
            }
        }
        // Every field is needed.
        for name in input.as_object().unwrap().keys() {
            let mut input = input.clone();
            input.as_object_mut().unwrap().remove(name);
            assert!(refused(&mut tool, eval, function, &input.to_string()).contains(name), "{eval} {name}");
        }
        for input in ["[]", "1", "null", "\"x\"", "{}"] {
            refused(&mut tool, eval, function, input);
        }
    }
    alive(&mut tool);
    tool.finish();
}

#[test]
fn sizes_out_of_range() {
    let mut tool = Tool::start();
    for (eval, path, values) in [
        ("llsq", "/n", &["0", "1", "-5", "2.5", "1e10", "1e18", "1e308"][..]),
        ("det", "/ell", &["0", "-2", "3", "15", "1e10"]),
        ("ode", "/s", &["0", "-1", "0.5", "1e300", "1e12"]),
        ("gmm", "/d", &["0", "3", "-1", "1e9", "4294967296", "1e12"]),
        ("gmm", "/k", &["0", "2", "-1"]),
        ("gmm", "/n", &["0", "2", "-1"]),
        ("gmm", "/m", &["-2", "0.5"]),
        ("gmm", "/gamma", &["0", "-1"]),
        ("ba", "/n", &["0", "-1", "1e9", "1e11"]),
        ("ba", "/m", &["0", "-1", "1e11"]),
        ("ba", "/p", &["0", "14", "-1", "1e9", "1e12"]),
        ("ht", "/data/correspondences/0", &["1", "-1", "0.5"]),
        ("ht", "/data/model/bone_count", &["20", "23", "-22"]),
        ("ht", "/data/model/parents/0", &["0", "-2", "5"]),
        ("ht", "/data/model/triangles/0/1", &["3", "-1"]),
        ("ht", "/data/model/base_relatives/0/3/3", &["2"]),
    ] {
        let (function, input) = valid(eval);
        for value in values {
            let mut input = input.clone();
            *input.pointer_mut(path).unwrap() = json!("HERE");
            let error = refused(&mut tool, eval, function, &input.to_string().replace("\"HERE\"", value));
            assert!(!error.starts_with("internal"), "{eval} {path} = {value}: {error}");
        }
    }
    assert!(
        refused(&mut tool, "kmeans", "dir", r#"{"points":[[0]],"centroids":[[0],[5]]}"#)
            .contains("centroid 1")
    );
    alive(&mut tool);
    tool.finish();
}

#[test]
fn overflow_and_endless_iterations_are_errors() {
    let mut tool = Tool::start();
    assert!(refused(&mut tool, "hello", "square", "1e200").contains("finite"));
    assert!(refused(&mut tool, "particle", "ff", r#"{"w":-0.4}"#).contains("did not end"));
    assert!(refused(&mut tool, "saddle", "ff", r#"{"start":[1e200,1e200]}"#).contains("finite"));
    alive(&mut tool);
    tool.finish();
}
