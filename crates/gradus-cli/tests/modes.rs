//! `gradus modes`: the form of what it prints, not its timings.

use std::process::Command;

use serde_json::Value;

#[test]
fn one_line_a_point_and_a_summary() {
    let folder = std::env::temp_dir().join(format!("gradus-modes-{}", std::process::id()));
    let run = Command::new(env!("CARGO_BIN_EXE_gradus"))
        .args(["modes", "--quick", "--json", "--size", "64", "--depths", "1,4", "--shipped", "--out"])
        .arg(&folder)
        .output()
        .unwrap();
    assert!(run.status.success(), "{}", String::from_utf8_lossy(&run.stderr));
    let lines: Vec<Value> =
        String::from_utf8(run.stdout).unwrap().lines().map(|l| serde_json::from_str(l).unwrap()).collect();
    let (done, points) = lines.split_last().unwrap();
    assert_eq!((&done["event"], &done["points"]), (&"done".into(), &points.len().into()));
    assert!(done["within_15_percent"].as_u64().unwrap() <= points.len() as u64);

    let shapes: Vec<_> =
        points.iter().map(|p| (p["inputs"].as_u64().unwrap(), p["outputs"].as_u64().unwrap())).collect();
    assert_eq!((shapes[0], shapes[shapes.len() - 1]), ((1, 64), (64, 1)));
    assert!(shapes.contains(&(8, 8)));
    for point in points {
        assert_eq!(point["event"], "point");
        let modes = point["modes"].as_array().unwrap();
        for mode in ["forward", "chunked forward", "reverse", "sparse"] {
            assert!(modes.iter().any(|m| m["mode"] == mode), "{mode}");
        }
        let checkpointed = modes.iter().any(|m| m["mode"] == "checkpointed reverse");
        assert_eq!(checkpointed, point["outputs"] == 1);
        for way in modes.iter().chain([&point["automatic"]]) {
            assert!(way["time_us"].as_f64().unwrap() > 0.0 && way["peak_bytes"].as_u64().unwrap() > 0);
        }
        let ratio = point["ratio"].as_f64().unwrap();
        assert!(ratio >= 1.0);
        assert_eq!(point["within_15_percent"], ratio <= 1.15);
    }
    // Forward mode needs as much for four layers as for one; reverse mode needs more.
    let peak = |depth: u64, mode: &str| {
        let point = points.iter().find(|p| p["outputs"] == 1 && p["depth"] == depth).unwrap();
        let way = point["modes"].as_array().unwrap().iter().find(|m| m["mode"] == mode).unwrap();
        way["peak_bytes"].as_u64().unwrap()
    };
    assert_eq!(peak(1, "forward"), peak(4, "forward"));
    assert!(peak(1, "reverse") < peak(4, "reverse"));
    let picture = std::fs::read_to_string(folder.join("modes.svg")).unwrap();
    assert!(picture.starts_with("<svg") && picture.contains("checkpointed reverse"));
    std::fs::remove_dir_all(&folder).unwrap();
}

#[test]
fn a_size_that_makes_no_sense_is_wrong_usage() {
    let run = Command::new(env!("CARGO_BIN_EXE_gradus")).args(["modes", "--size", "0"]).output().unwrap();
    assert_eq!(run.status.code(), Some(2));
}
