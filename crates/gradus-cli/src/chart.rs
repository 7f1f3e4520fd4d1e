//! Line charts as SVG: enough for the course of a training, readable in light and dark viewers.

use std::fmt::Write;

/// One line of a chart.
#[derive(Clone, Debug, Default)]
pub struct Series {
    /// Its name in the legend.
    pub name: String,
    /// Its colour, as SVG writes it.
    pub colour: &'static str,
    /// The values at x = 1, 2, …; those that are not finite are left out.
    pub values: Vec<f64>,
    /// Whether the values are ringed, without a line between them.
    pub marks: bool,
}

/// A panel with axes, a title and lines.
#[derive(Clone, Debug, Default)]
pub struct Chart {
    /// Above the panel.
    pub title: String,
    /// Below the x axis.
    pub x_label: String,
    /// Logarithmic y axis; values up to 0 are left out.
    pub logarithmic: bool,
    /// The lines.
    pub series: Vec<Series>,
    /// What stands at x = 1, 2, …; the numbers themselves if empty.
    pub names: Vec<String>,
}

const WIDTH: f64 = 480.0;
const HEIGHT: f64 = 320.0;
/// More lines than this have their names below the panel, `COLUMNS` in a row.
const INSIDE: usize = 3;
const COLUMNS: usize = 2;
/// Left, right, top and bottom of the frame.
const FRAME: [f64; 4] = [64.0, WIDTH - 16.0, 36.0, HEIGHT - 48.0];

impl Chart {
    /// Several charts side by side as one SVG document.
    ///
    /// ```
    /// use gradus_cli::{Chart, Series};
    /// let series = vec![Series { name: "loss".into(), colour: "#1f77b4", values: vec![2.0, 1.0, 0.5],
    ///     ..Default::default() }];
    /// let svg = Chart { title: "MLP".into(), x_label: "epoch".into(), logarithmic: true, series,
    ///     ..Default::default() };
    /// assert!(Chart::document(&[svg]).starts_with("<svg"));
    /// ```
    pub fn document(charts: &[Chart]) -> String {
        let width = WIDTH * charts.len() as f64;
        let below = charts.iter().map(|c| c.series.len()).filter(|&n| n > INSIDE).max().unwrap_or(0);
        let height = HEIGHT + 18.0 * below.div_ceil(COLUMNS) as f64;
        let mut svg = format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width} {height}\" width=\"{width}\" \
             height=\"{height}\" font-family=\"sans-serif\" font-size=\"12\">\n\
             <rect width=\"{width}\" height=\"{height}\" fill=\"#ffffff\"/>\n"
        );
        for (i, chart) in charts.iter().enumerate() {
            chart.panel(&mut svg, WIDTH * i as f64);
        }
        svg + "</svg>\n"
    }

    fn points<'a>(&'a self, series: &'a Series) -> impl Iterator<Item = (f64, f64)> + 'a {
        let numbered = series.values.iter().enumerate().map(|(i, &y)| ((i + 1) as f64, y));
        numbered.filter(|(_, y)| y.is_finite() && (!self.logarithmic || *y > 0.0))
    }

    fn panel(&self, svg: &mut String, offset: f64) {
        let [left, right, top, bottom] = FRAME;
        let all: Vec<(f64, f64)> = self.series.iter().flat_map(|s| self.points(s)).collect();
        let ticks = self.ticks(&all);
        let scale = |y: f64| if self.logarithmic { y.log10() } else { y };
        let (low, high) = match ticks.as_slice() {
            [first, .., last] => (scale(*first), scale(*last)),
            _ => (0.0, 1.0),
        };
        let last_x = all.iter().map(|p| p.0).fold(1.0, f64::max);
        let x_of =
            |x: f64| left + (right - left) * if last_x > 1.0 { (x - 1.0) / (last_x - 1.0) } else { 0.5 };
        let y_of = |y: f64| bottom - (bottom - top) * (scale(y) - low) / (high - low);

        // Writing into a string cannot fail.
        let _ = writeln!(svg, "<g transform=\"translate({offset} 0)\">");
        let _ = writeln!(
            svg,
            "<text x=\"{:.1}\" y=\"22\" text-anchor=\"middle\" font-size=\"14\">{}</text>",
            (left + right) / 2.0,
            escape(&self.title)
        );
        for &tick in &ticks {
            let y = y_of(tick);
            let _ = writeln!(
                svg,
                "<line x1=\"{left}\" x2=\"{right}\" y1=\"{y:.1}\" y2=\"{y:.1}\" stroke=\"#dddddd\"/>\
                 <text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"end\">{}</text>",
                left - 6.0,
                y + 4.0,
                number(tick)
            );
        }
        let size = if self.names.len() > 8 { 9 } else { 12 };
        for (x, name) in self.marked(last_x) {
            let _ = writeln!(
                svg,
                "<text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"middle\" font-size=\"{size}\">{name}</text>",
                x_of(x),
                bottom + 18.0
            );
        }
        let _ = writeln!(
            svg,
            "<rect x=\"{left}\" y=\"{top}\" width=\"{}\" height=\"{}\" fill=\"none\" stroke=\"#888888\"/>\
             <text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"middle\">{}</text>",
            right - left,
            bottom - top,
            (left + right) / 2.0,
            bottom + 38.0,
            escape(&self.x_label)
        );
        for (i, series) in self.series.iter().enumerate() {
            let points: Vec<String> =
                self.points(series).map(|(x, y)| format!("{:.1},{:.1}", x_of(x), y_of(y))).collect();
            let colour = series.colour;
            match points.as_slice() {
                rings if series.marks => {
                    for (x, y) in rings.iter().filter_map(|ring| ring.split_once(',')) {
                        let _ = writeln!(
                            svg,
                            "<circle cx=\"{x}\" cy=\"{y}\" r=\"6\" fill=\"none\" stroke=\"{colour}\" stroke-width=\"2\"/>"
                        );
                    }
                }
                [one] => {
                    let (x, y) = one.split_once(',').unwrap_or(("0", "0"));
                    let _ = writeln!(svg, "<circle cx=\"{x}\" cy=\"{y}\" r=\"3\" fill=\"{colour}\"/>");
                }
                points => {
                    let _ = writeln!(
                        svg,
                        "<polyline points=\"{}\" fill=\"none\" stroke=\"{colour}\" stroke-width=\"2\"/>",
                        points.join(" ")
                    );
                }
            }
            let (x, y) = self.legend(i);
            let sample = if series.marks {
                format!("<circle cx=\"{:.1}\" cy=\"{y:.1}\" r=\"6\" fill=\"none\"", x + 11.0)
            } else {
                format!("<line x1=\"{x}\" x2=\"{:.1}\" y1=\"{y:.1}\" y2=\"{y:.1}\"", x + 22.0)
            };
            let _ = writeln!(
                svg,
                "{sample} stroke=\"{colour}\" stroke-width=\"2\"/><text x=\"{:.1}\" y=\"{:.1}\">{}</text>",
                x + 28.0,
                y + 4.0,
                escape(&series.name)
            );
        }
        svg.push_str("</g>\n");
    }

    /// Where the name of series `i` stands.
    fn legend(&self, i: usize) -> (f64, f64) {
        let [left, right, top, bottom] = FRAME;
        let count = self.series.len();
        if count > INSIDE {
            let step = (right - left + 44.0) / COLUMNS as f64;
            return (left - 44.0 + step * (i % COLUMNS) as f64, HEIGHT + 4.0 + 18.0 * (i / COLUMNS) as f64);
        }
        // In the corner that the lines leave free: losses fall, accuracies rise.
        let first = if self.logarithmic { top + 16.0 } else { bottom - 6.0 - 18.0 * count as f64 };
        (right - 118.0, first + 18.0 * i as f64)
    }

    /// What to write below the x axis, and where.
    fn marked(&self, last: f64) -> Vec<(f64, String)> {
        if self.names.is_empty() {
            return whole_ticks(last).into_iter().map(|x| (x, x.to_string())).collect();
        }
        self.names.iter().enumerate().map(|(i, name)| ((i + 1) as f64, escape(name))).collect()
    }

    /// Values to mark on the y axis; the first and last bound it.
    fn ticks(&self, points: &[(f64, f64)]) -> Vec<f64> {
        let low = points.iter().map(|p| p.1).fold(f64::INFINITY, f64::min);
        let high = points.iter().map(|p| p.1).fold(f64::NEG_INFINITY, f64::max);
        if low > high {
            return vec![0.0, 1.0];
        }
        if self.logarithmic {
            let first = low.log10().floor() as i32;
            let last = (high.log10().ceil() as i32).max(first + 1);
            return (first..=last).map(|e| 10f64.powi(e)).collect();
        }
        let rough = ((high - low) / 6.0).max(1e-12);
        let unit = 10f64.powf(rough.log10().floor());
        let step = [1.0, 2.0, 5.0, 10.0].map(|m| m * unit).into_iter().find(|s| *s >= rough).unwrap_or(rough);
        let (first, last) = ((low / step).floor() as i64, (high / step).ceil() as i64);
        (first..=last.max(first + 1)).map(|i| i as f64 * step).collect()
    }
}

/// Whole numbers from 1 to `last`, at most about eight of them.
fn whole_ticks(last: f64) -> Vec<f64> {
    let step = [1.0, 2.0, 5.0, 10.0, 20.0, 50.0, 100.0, 200.0, 500.0].into_iter().find(|s| last / s <= 8.0);
    let step = step.unwrap_or(last / 8.0).max(1.0);
    let mut ticks = vec![1.0];
    let mut x = if step > 1.0 { step } else { 2.0 };
    while x <= last {
        ticks.push(x);
        x += step;
    }
    ticks
}

fn number(x: f64) -> String {
    let text = if x != 0.0 && !(1e-4..1e5).contains(&x.abs()) { format!("{x:e}") } else { format!("{x:.4}") };
    if text.contains('.') && !text.contains('e') {
        text.trim_end_matches('0').trim_end_matches('.').to_string()
    } else {
        text
    }
}

pub(crate) fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}
