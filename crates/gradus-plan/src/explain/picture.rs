//! Memory over the step as a picture.

use std::fmt::Write;

use super::{Explanation, mib};
use gradus_core::{Phase, PhaseKind};

/// Width and height, and what is left free at the left, right, top and bottom.
const SIZE: [f64; 2] = [900.0, 320.0];
const FREE: [f64; 4] = [84.0, 16.0, 30.0, 54.0];

/// The colour of memory in use throughout.
const STANDING: &str = "#9aa3ad";

/// The colour of a phase.
pub(super) fn colour(phase: Phase) -> &'static str {
    match phase.kind {
        PhaseKind::Forward => "#4a7fb5",
        PhaseKind::Backward => "#c7783c",
        PhaseKind::Update => "#5a9e6f",
    }
}

impl Explanation<'_> {
    /// The memory in use over the step, kernel by kernel, as an SVG document.
    pub fn memory_svg(&self) -> String {
        let [width, height] = SIZE;
        format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width} {height}\" width=\"{width}\" \
             height=\"{height}\" font-family=\"sans-serif\" font-size=\"12\" color=\"#222222\">\
             <rect width=\"100%\" height=\"100%\" fill=\"#ffffff\"/>{}</svg>\n",
            self.curve()
        )
    }

    /// The same for a page, in its colours.
    pub(super) fn inline_svg(&self) -> String {
        let [width, height] = SIZE;
        format!(
            "<svg viewBox=\"0 0 {width} {height}\" role=\"img\" aria-label=\"memory over the step\" font-size=\"12\">{}</svg>",
            self.curve()
        )
    }

    fn curve(&self) -> String {
        let plan = self.plan;
        let curve = plan.memory_curve();
        let phases = plan.phases();
        let standing = self.standing();
        let (at, most) = self.top();
        let whole = standing + most;
        let ([width, height], [left, right, above, below]) = (SIZE, FREE);
        let x = |k: usize| left + (width - left - right) * k as f64 / curve.len().max(1) as f64;
        let top = ceiling(whole);
        let y = |b: f64| above + (height - above - below) * (1.0 - b / top);
        let base = y(standing as f64);
        let mut out = String::new();
        // Writing into a string cannot fail.
        for i in 0..=4 {
            let b = top * f64::from(i) / 4.0;
            let _ = write!(
                out,
                "<path d=\"M{left:.1} {0:.1}H{1:.1}\" stroke=\"currentColor\" stroke-opacity=\"0.15\"/>\
                 <text x=\"{2:.1}\" y=\"{3:.1}\" text-anchor=\"end\" fill=\"currentColor\">{4}</text>",
                y(b),
                width - right,
                left - 8.0,
                y(b) + 4.0,
                mib(b as usize)
            );
        }
        let _ = write!(
            out,
            "<rect x=\"{left:.1}\" y=\"{base:.1}\" width=\"{:.1}\" height=\"{:.1}\" fill=\"{STANDING}\">\
             <title>arguments and results: {}</title></rect>",
            width - left - right,
            y(0.0) - base,
            mib(standing)
        );
        for run in runs(&phases) {
            let mut path = format!("M{:.1} {base:.1}", x(run.start));
            for k in run.clone() {
                let level = y((standing + curve[k]) as f64);
                let _ = write!(path, "L{:.1} {level:.1}L{:.1} {level:.1}", x(k), x(k + 1));
            }
            let _ = write!(
                out,
                "<path d=\"{path}L{:.1} {base:.1}Z\" fill=\"{}\"/>",
                x(run.end),
                colour(phases[run.start])
            );
        }
        // One target for the pointer per kernel; omitted for very many kernels, which would make the picture too large.
        if curve.len() <= 2000 {
            for (k, bytes) in curve.iter().enumerate() {
                let _ = write!(
                    out,
                    "<rect x=\"{:.1}\" y=\"{above:.1}\" width=\"{:.2}\" height=\"{:.1}\" fill=\"transparent\">\
                     <title>kernel {k}, {}: {}\n{} {}</title></rect>",
                    x(k),
                    x(k + 1) - x(k),
                    base - above,
                    phases[k],
                    mib(standing + bytes),
                    escape(&plan.operations(k)),
                    escape(&plan.shape_of(k))
                );
            }
        }
        if !curve.is_empty() {
            let (px, py) = (x(at) + (x(at + 1) - x(at)) / 2.0, y(whole as f64));
            let anchor = if px > width / 2.0 { ("end", -10.0) } else { ("start", 10.0) };
            let _ = write!(
                out,
                "<circle cx=\"{px:.1}\" cy=\"{py:.1}\" r=\"4\" fill=\"#c0392b\"/>\
                 <text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"{}\" fill=\"#c0392b\" font-weight=\"bold\">most: {} during kernel {at}</text>",
                px + anchor.1,
                py - 8.0,
                anchor.0,
                mib(whole)
            );
        }
        let _ = write!(
            out,
            "<text x=\"{left:.1}\" y=\"{:.1}\" fill=\"currentColor\">kernels in order, {} of them</text>",
            height - below + 18.0,
            curve.len()
        );
        let mut at = left;
        let legend = distinct(&phases)
            .into_iter()
            .map(|p| (colour(p), p.to_string()))
            .chain([(STANDING, format!("arguments and results, {}", mib(standing)))]);
        for (colour, name) in legend {
            let _ = write!(
                out,
                "<rect x=\"{at:.1}\" y=\"{:.1}\" width=\"12\" height=\"12\" rx=\"2\" fill=\"{colour}\"/>\
                 <text x=\"{:.1}\" y=\"{:.1}\" fill=\"currentColor\">{name}</text>",
                height - 22.0,
                at + 17.0,
                height - 12.0
            );
            at += 40.0 + 7.0 * name.len() as f64;
        }
        out
    }
}

/// The phases of the plan, the earliest first.
pub(super) fn distinct(phases: &[Phase]) -> Vec<Phase> {
    let mut out = phases.to_vec();
    out.sort_unstable();
    out.dedup();
    out
}

/// Stretches of kernels of one phase.
fn runs(phases: &[Phase]) -> Vec<std::ops::Range<usize>> {
    let mut out: Vec<std::ops::Range<usize>> = Vec::new();
    for (k, phase) in phases.iter().enumerate() {
        match out.last_mut() {
            Some(run) if phases[run.start] == *phase => run.end = k + 1,
            _ => out.push(k..k + 1),
        }
    }
    out
}

/// The least number that looks well at the top of an axis of bytes.
fn ceiling(bytes: usize) -> f64 {
    let mut unit = 1.0;
    let bytes = bytes.max(1) as f64;
    while bytes > 4096.0 * unit {
        unit *= 1024.0;
    }
    let steps = [
        4.0, 8.0, 20.0, 40.0, 80.0, 120.0, 200.0, 400.0, 600.0, 800.0, 1200.0, 1600.0, 2000.0, 3000.0, 4096.0,
    ];
    steps.into_iter().map(|s| s * unit).find(|&s| s >= bytes).unwrap_or(bytes)
}

/// Text inside markup.
pub(super) fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn axes_end_above_what_they_show() {
        for bytes in [0, 1, 5, 4096, 4097, 700 << 20, 3 << 30, usize::MAX] {
            let top = ceiling(bytes);
            assert!(top >= bytes as f64 && top <= 3.0 * bytes.max(2) as f64, "{bytes}: {top}");
        }
    }

    #[test]
    fn stretches_of_phases() {
        let (forward, back, update) = (Phase::FORWARD, Phase::backward(1), Phase::update(1));
        let deeper = Phase::backward(2);
        assert_eq!(runs(&[forward, forward, back, update, back, deeper]), [0..2, 2..3, 3..4, 4..5, 5..6]);
        assert_eq!(distinct(&[update, forward, deeper, back, forward]), [forward, back, update, deeper]);
        assert!(runs(&[]).is_empty());
    }
}
