//! The pictures of `gradus modes`: time over the shape, memory over the depth.

use super::measure::Point;
use crate::{Chart, Series};

const COLOURS: [(&str, &str); 5] = [
    ("forward", "#9ecae1"),
    ("chunked forward", "#1f77b4"),
    ("reverse", "#d62728"),
    ("sparse", "#2ca02c"),
    ("checkpointed reverse", "#ff7f0e"),
];

/// The crossover of times at one depth, with rings at what the automatic choice took.
pub fn times(points: &[&Point]) -> Chart {
    let mut series = lines(points, |point, mode| point.of(mode).map_or(f64::NAN, |w| 1e6 * w.seconds));
    series.push(Series {
        name: "automatic".into(),
        colour: "#000000",
        values: points.iter().map(|p| 1e6 * p.automatic.seconds).collect(),
        marks: true,
    });
    let depth = points.first().map_or(0, |p| p.family.depth);
    Chart {
        title: format!("Microseconds a Jacobian, depth {depth}"),
        x_label: "inputs : outputs".into(),
        logarithmic: true,
        series,
        names: points.iter().map(|p| format!("{}:{}", p.family.inputs, p.family.outputs)).collect(),
    }
}

/// What each mode needs of memory at one shape as the depth grows.
pub fn memory(points: &[&Point]) -> Chart {
    let mut series = lines(points, |point, mode| point.of(mode).map_or(f64::NAN, |w| w.peak as f64 / 1024.0));
    series.push(Series {
        name: "automatic".into(),
        colour: "#000000",
        values: points.iter().map(|p| p.automatic.peak as f64 / 1024.0).collect(),
        marks: true,
    });
    let shape = points.first().map_or((0, 0), |p| (p.family.inputs, p.family.outputs));
    Chart {
        title: format!("Peak in KiB, inputs : outputs = {}:{}", shape.0, shape.1),
        x_label: "depth".into(),
        logarithmic: true,
        series,
        names: points.iter().map(|p| p.family.depth.to_string()).collect(),
    }
}

/// A line for each mode that was measured anywhere.
fn lines(points: &[&Point], value: impl Fn(&Point, &str) -> f64) -> Vec<Series> {
    let line = |&(mode, colour): &(&str, &'static str)| Series {
        name: mode.into(),
        colour,
        values: points.iter().map(|p| value(p, mode)).collect(),
        marks: false,
    };
    COLOURS.iter().map(line).filter(|s| s.values.iter().any(|v| v.is_finite())).collect()
}
