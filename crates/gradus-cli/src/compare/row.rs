//! A row of the table: what is known of one configuration.

use gradus_nn::models::Named;
use serde_json::{Value, json};

use super::configuration::Configuration;
use crate::memory::words;

/// What the plan says, and what was measured.
#[derive(Clone, Debug)]
pub struct Row {
    pub configuration: Configuration,
    /// Why there is no plan.
    pub refused: Option<String>,
    pub saved: usize,
    pub planned: usize,
    /// What each thread keeps beside it, at most.
    scratch: usize,
    pub planning_ms: f64,
    pub measured: usize,
    pub resident: Option<usize>,
    pub times: Vec<f64>,
    pub losses: Vec<f64>,
    pub backward_ms: f64,
    /// Whether losses and gradients are those of the first configuration.
    pub agrees: Option<bool>,
    /// The worst difference of a gradient, relative to the largest element of its tensor.
    pub deviation: f64,
    /// Whether they have the bits of the planner's own choice.
    pub same_bits: Option<bool>,
    why: String,
    layer: String,
    buffers: Vec<Value>,
    /// Saved bytes, planned peak and time of plain.
    plain: Option<(usize, usize, f64)>,
}

impl Row {
    /// A row from what a worker says first.
    pub fn planned(configuration: Configuration, plan: &Value) -> Row {
        let bytes = |key: &str| plan[key].as_u64().unwrap_or(0) as usize;
        let text = |key: &str| plan[key].as_str().unwrap_or_default().to_string();
        Row {
            configuration,
            refused: plan["error"].as_str().map(str::to_string),
            saved: bytes("saved_bytes"),
            planned: bytes("planned_peak_bytes"),
            scratch: bytes("scratch_bytes_per_thread"),
            planning_ms: plan["planning_ms"].as_f64().unwrap_or(f64::NAN),
            measured: 0,
            resident: None,
            times: Vec::new(),
            losses: Vec::new(),
            backward_ms: f64::NAN,
            agrees: None,
            deviation: f64::NAN,
            same_bits: None,
            why: text("why"),
            layer: text("layer"),
            buffers: plan["buffers"].as_array().cloned().unwrap_or_default(),
            plain: None,
        }
    }

    /// The first step.
    pub fn first(&mut self, answer: &Value) {
        self.measured = answer["measured_peak_bytes"].as_u64().unwrap_or(0) as usize;
        self.losses.extend(answer["loss"].as_f64());
    }

    /// A timed step.
    pub fn step(&mut self, answer: &Value) {
        self.times.extend(answer["ms"].as_f64());
        self.losses.extend(answer["loss"].as_f64());
        let over = answer["rss_over_idle_bytes"].as_u64().map(|n| n as usize);
        self.resident = self.resident.max(over);
    }

    /// Seconds of kernels.
    pub fn profile(&mut self, answer: &Value) {
        self.backward_ms = answer["backward_elementwise_ms"].as_f64().unwrap_or(f64::NAN);
    }

    /// The median time of a step.
    pub fn ms(&self) -> f64 {
        let mut times = self.times.clone();
        times.sort_by(f64::total_cmp);
        match times.len() {
            0 => f64::NAN,
            n if n % 2 == 1 => times[n / 2],
            n => (times[n / 2 - 1] + times[n / 2]) / 2.0,
        }
    }

    /// Sets what ratios are to.
    pub fn beside(&mut self, plain: Option<&Row>) {
        self.plain = plain.map(|p| (p.saved, p.planned, p.ms()));
    }

    /// One line of JSON.
    pub fn json(&self, model: &Named, batch: usize) -> Value {
        let there = self.refused.is_none();
        let bytes = |n: usize| if there { json!(n) } else { Value::Null };
        let number = |x: f64| if x.is_finite() { json!(x) } else { Value::Null };
        let ratio = |f: fn(&(usize, usize, f64)) -> f64, own: f64| {
            self.plain.as_ref().map_or(Value::Null, |p| number(own / f(p)))
        };
        json!({
            "event": "row",
            "model": model.name,
            "batch": batch,
            "strategy": self.configuration.to_string(),
            "saved_bytes": bytes(self.saved),
            "planned_peak_bytes": bytes(self.planned),
            "scratch_bytes_per_thread": bytes(self.scratch),
            "measured_peak_bytes": bytes(self.measured),
            "rss_over_idle_bytes": self.resident,
            "step_ms": number(self.ms()),
            "backward_elementwise_ms": number(self.backward_ms),
            "agrees": self.agrees,
            "worst_gradient_difference": number(self.deviation),
            "bits_of_auto": self.same_bits,
            "saved_to_plain": ratio(|p| p.0 as f64, self.saved as f64),
            "peak_to_plain": ratio(|p| p.1 as f64, self.planned as f64),
            "step_to_plain": ratio(|p| p.2, self.ms()),
            "planning_ms": number(self.planning_ms),
            "why": self.why,
            "refused": self.refused,
        })
    }

    /// What is kept for one layer, in words.
    pub fn layer_words(&self) -> String {
        let total: usize = self.buffers.iter().map(size).sum();
        let mut out = format!("{} keeps of {}: {}", self.configuration, self.layer, words(total));
        for buffer in &self.buffers {
            let text = |key: &str| buffer[key].as_str().unwrap_or_default();
            out += &format!(
                "\n  {:>10}  {:<16} {:<12} {}, at {}",
                words(size(buffer)),
                text("type"),
                text("op"),
                text("why"),
                text("source")
            );
        }
        out + "\n"
    }

    /// What is kept for one layer.
    pub fn layer_json(&self, model: &Named) -> Value {
        json!({"event": "layer", "model": model.name, "strategy": self.configuration.to_string(), "layer": self.layer,
               "buffers": self.buffers})
    }

    fn verdict(&self) -> String {
        let bits = if self.same_bits == Some(true) && self.configuration != Configuration::Auto {
            ", the bits of auto"
        } else {
            ""
        };
        match (self.agrees, self.same_bits) {
            (Some(true), _) if self.deviation == 0.0 => format!("agree exactly{bits}"),
            (Some(true), _) => format!("agree to {:.0e}{bits}", self.deviation),
            (Some(false), Some(false)) => "DISAGREE: not the bits of auto".into(),
            (Some(false), _) => format!("DISAGREE by {:.0e}", self.deviation),
            (None, _) => String::new(),
        }
    }
}

fn size(buffer: &Value) -> usize {
    buffer["bytes"].as_u64().unwrap_or(0) as usize
}

/// All rows for people.
pub fn table(rows: &[Row]) -> String {
    let largest = rows.iter().map(|row| row.planned).max().unwrap_or(0);
    let (unit, name) = if largest < 10 << 20 { (1024.0, "KiB") } else { (1048576.0, "MiB") };
    let amount = |n: usize| format!("{:.1}", n as f64 / unit);
    let line = |cells: [&str; 7], ratios: [&str; 3], last: &str| {
        let [configuration, saved, planned, measured, resident, step, backward] = cells;
        let [a, b, c] = ratios;
        format!(
            "{configuration:<10}{saved:>10}{planned:>10}{measured:>10}{resident:>10}{step:>11}{backward:>11}   {a:<7}{b:<7}{c:<8}{last}"
        )
    };
    let mut out = [
        line(
            ["", "saved", "planned", "measured", "resident", "step", "backward"],
            ["", "to", "plain"],
            "losses and",
        ),
        line(
            ["strategy", name, "peak", "peak", "over idle", "ms", "rest, ms"],
            ["saved", "peak", "time"],
            "gradients",
        ),
    ]
    .join("\n");
    for row in rows {
        out.push('\n');
        if let Some(why) = &row.refused {
            out += &format!("{:<10}no plan: {why}", row.configuration);
            continue;
        }
        let plain = row.plain;
        let ratio = |own: f64, of: fn((usize, usize, f64)) -> f64| {
            plain.map_or(String::new(), |p| format!("{:.3}", own / of(p)))
        };
        out += &line(
            [
                &row.configuration.to_string(),
                &amount(row.saved),
                &amount(row.planned),
                &amount(row.measured),
                &row.resident.map_or("unknown".into(), amount),
                &format!("{:.2}", row.ms()),
                &format!("{:.2}", row.backward_ms),
            ],
            [
                &ratio(row.saved as f64, |p| p.0 as f64),
                &ratio(row.planned as f64, |p| p.1 as f64),
                &ratio(row.ms(), |p| p.2),
            ],
            &row.verdict(),
        );
    }
    out + "\n"
}
