//! The explanation as JSON.

use std::fmt::Write;

use super::Explanation;
use crate::Return;

/// A string as JSON.
pub fn json_text(s: &str) -> String {
    let mut out = String::from("\"");
    for c in s.chars() {
        match c {
            '"' | '\\' => out.extend(['\\', c]),
            '\n' => out.push_str("\\n"),
            c if (c as u32) < 32 => write!(out, "\\u{:04x}", c as u32).unwrap_or_default(),
            c => out.push(c),
        }
    }
    out.push('"');
    out
}

fn object(fields: &[(&str, String)]) -> String {
    let fields: Vec<String> =
        fields.iter().map(|(name, value)| format!("{}:{value}", json_text(name))).collect();
    format!("{{{}}}", fields.join(","))
}

fn array(items: impl IntoIterator<Item = String>) -> String {
    format!("[{}]", items.into_iter().collect::<Vec<_>>().join(","))
}

fn seconds(s: f64) -> String {
    format!("{s:e}")
}

fn maybe(value: Option<String>) -> String {
    value.unwrap_or_else(|| "null".into())
}

impl Explanation<'_> {
    /// The explanation as one JSON object.
    pub fn json(&self) -> String {
        let plan = self.plan;
        let decision = plan.decision();
        let passed = plan.returns().iter().filter(|r| **r != Return::Written).count();
        let passes = self
            .passes()
            .into_iter()
            .map(|(name, what)| object(&[("pass", json_text(name)), ("what", json_text(&what))]));
        let alternatives = self.alternatives.iter().map(|a| {
            object(&[
                ("what", json_text(&a.name)),
                ("saved_bytes", maybe(a.saved.map(|n| n.to_string()))),
                ("peak_bytes", a.peak.to_string()),
                ("seconds", seconds(a.seconds)),
                ("taken", a.taken.to_string()),
            ])
        });
        let (top, _) = self.top();
        let alive = plan.alive_at(top).into_iter().map(|(v, bytes)| {
            object(&[("bytes", bytes.to_string()), ("value", json_text(&plan.described(v)))])
        });
        object(&[
            ("title", json_text(&self.title)),
            ("mode", json_text(&self.mode)),
            ("strategy", json_text(&format!("{:?}", decision.strategy).to_lowercase())),
            ("why", json_text(&decision.why)),
            ("passes", array(passes)),
            ("alternatives", array(alternatives)),
            ("planned_peak_bytes", self.peak().to_string()),
            ("argument_bytes", plan.argument_bytes().to_string()),
            ("result_bytes", plan.result_bytes().to_string()),
            ("results_passed_on", passed.to_string()),
            ("arena_bytes", plan.arena_bytes().to_string()),
            ("arena_lower_bound", plan.arena_lower_bound().to_string()),
            ("outside_bound", plan.outside_bound().to_string()),
            ("scratch_bytes_per_thread", plan.scratch_bytes().to_string()),
            ("saved_bytes", plan.saved_bytes().to_string()),
            ("estimated_seconds", seconds(plan.estimated_seconds())),
            ("measured_seconds", maybe(self.measured.as_ref().map(|m| seconds(m.iter().sum())))),
            ("kernels", array(self.kernels())),
            ("residuals", array(self.residuals())),
            ("memory_curve", array(plan.memory_curve().iter().map(usize::to_string))),
            ("peak_kernel", top.to_string()),
            ("alive_at_peak", array(alive)),
        ])
    }

    fn kernels(&self) -> Vec<String> {
        let plan = self.plan;
        let phases = plan.phases();
        let one = |k: usize| {
            let kernel = &plan.kernels()[k];
            object(&[
                ("kind", json_text(kernel.kind())),
                ("phase", json_text(phases[k].kind.name())),
                ("level", phases[k].level.to_string()),
                ("operations", json_text(&plan.operations(k))),
                ("shape", json_text(&plan.shape_of(k))),
                ("stage", kernel.stage.min(1).to_string()),
                ("flops", kernel.flops.to_string()),
                ("bytes", kernel.bytes.to_string()),
                ("workspace", kernel.workspace.to_string()),
                ("in_place", plan.in_place(k).len().to_string()),
                ("estimated_seconds", seconds(plan.kernel_seconds(k))),
                ("measured_seconds", maybe(self.measured(k).map(seconds))),
                ("source", json_text(&kernel.site.to_string())),
            ])
        };
        (0..plan.kernels().len()).map(one).collect()
    }

    fn residuals(&self) -> Vec<String> {
        let one = |r: &crate::Residual| {
            object(&[
                ("type", json_text(&r.ty.to_string())),
                ("bytes", r.bytes.to_string()),
                ("op", json_text(r.op)),
                ("why", json_text(r.why)),
                ("source", json_text(&r.site.to_string())),
            ])
        };
        self.plan.residuals().iter().map(one).collect()
    }
}
