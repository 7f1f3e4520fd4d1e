//! Bars: the kept bytes, peak and time of each configuration.

use std::fmt::Write;

use gradus_nn::models::Named;

use super::row::Row;
use crate::chart::escape;

/// Width of a panel, of the names before it, of its bars.
const PANEL: f64 = 300.0;
const NAMES: f64 = 90.0;
const BARS: f64 = 210.0;
/// Height of a row, and of what is above the first.
const STEP: f64 = 30.0;
const TOP: f64 = 74.0;

/// One panel: a title, and a bar for each configuration that has a value.
struct Panel<'a> {
    title: &'a str,
    unit: &'a str,
    colour: &'a str,
    value: fn(&Row) -> f64,
    /// A second value, marked by a line across the bar.
    mark: Option<fn(&Row) -> f64>,
}

const MIB: f64 = 1048576.0;

/// The picture as an SVG document.
pub fn draw(model: &Named, batch: usize, rows: &[Row]) -> String {
    let panels = [
        Panel {
            title: "kept for the backward pass",
            unit: "MiB",
            colour: "#4a7fb5",
            value: |r| r.saved as f64 / MIB,
            mark: None,
        },
        Panel {
            title: "peak of the step (line: measured)",
            unit: "MiB",
            colour: "#5a9e6f",
            value: |r| r.planned as f64 / MIB,
            mark: Some(|r| r.measured as f64 / MIB),
        },
        Panel { title: "time of the step", unit: "ms", colour: "#c08a3e", value: Row::ms, mark: None },
    ];
    let width = NAMES + PANEL * panels.len() as f64;
    let height = TOP + STEP * rows.len() as f64 + 16.0;
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width} {height}\" width=\"{width}\" height=\"{height}\" \
         font-family=\"sans-serif\" font-size=\"12\">\n<rect width=\"{width}\" height=\"{height}\" fill=\"#ffffff\"/>\n\
         <text x=\"12\" y=\"26\" font-size=\"15\" font-weight=\"bold\">{}: one training step, {batch} examples</text>\n",
        escape(model.name)
    );
    // Writing into a string cannot fail.
    for (i, row) in rows.iter().enumerate() {
        let y = TOP + STEP * i as f64 + 15.0;
        let _ = writeln!(
            svg,
            "<text x=\"{:.0}\" y=\"{y:.0}\" text-anchor=\"end\">{}</text>",
            NAMES - 8.0,
            row.configuration
        );
        if row.refused.is_some() {
            let _ = writeln!(
                svg,
                "<text x=\"{NAMES}\" y=\"{y:.0}\" fill=\"#777777\">no plan is that small</text>"
            );
        }
    }
    for (i, panel) in panels.iter().enumerate() {
        panel.draw(&mut svg, NAMES + PANEL * i as f64, rows);
    }
    svg + "</svg>\n"
}

impl Panel<'_> {
    fn draw(&self, svg: &mut String, left: f64, rows: &[Row]) {
        let _ = writeln!(
            svg,
            "<text x=\"{left:.0}\" y=\"56\" font-weight=\"bold\" fill=\"#444444\">{}, {}</text>",
            escape(self.title),
            self.unit
        );
        let shown = |row: &&Row| row.refused.is_none();
        let most = rows.iter().filter(shown).map(self.value).filter(|v| v.is_finite()).fold(0.0, f64::max);
        let length = |v: f64| if most > 0.0 && v.is_finite() { BARS * v / most } else { 0.0 };
        for (i, row) in rows.iter().enumerate().filter(|(_, r)| r.refused.is_none()) {
            let y = TOP + STEP * i as f64;
            let value = (self.value)(row);
            let _ = writeln!(
                svg,
                "<rect x=\"{left:.0}\" y=\"{y:.0}\" width=\"{:.1}\" height=\"20\" rx=\"2\" fill=\"{}\"/>\
                 <text x=\"{:.1}\" y=\"{:.0}\">{}</text>",
                length(value).max(1.0),
                self.colour,
                left + length(value) + 6.0,
                y + 15.0,
                number(value)
            );
            if let Some(mark) = self.mark {
                let x = left + length(mark(row));
                let _ = writeln!(
                    svg,
                    "<path d=\"M{x:.1} {:.0}v24\" stroke=\"#222222\" stroke-width=\"2\"/>",
                    y - 2.0
                );
            }
        }
    }
}

/// About three digits.
fn number(x: f64) -> String {
    match x {
        x if !x.is_finite() => "–".into(),
        x if x >= 100.0 => format!("{x:.0}"),
        x if x >= 10.0 => format!("{x:.1}"),
        x => format!("{x:.2}"),
    }
}
