//! What a plan does, and why, in words, as JSON and as a picture of its memory.

use std::fmt::Write;

use gradus_core::{Site, Var};

use crate::kernel::{Domain, Kernel, Work};
use crate::{Place, Plan, Return};

fn mib(bytes: usize) -> String {
    match bytes {
        0..10_240 => format!("{bytes} B"),
        10_240..10_485_760 => format!("{:.1} KiB", bytes as f64 / 1024.0),
        _ => format!("{:.1} MiB", bytes as f64 / 1_048_576.0),
    }
}

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

impl Kernel {
    /// What kind of kernel it is, in a word.
    pub fn kind(&self) -> &'static str {
        match &self.work {
            Work::Region(region) => match region.domain {
                Domain::Flat { .. } => "element-wise",
                Domain::Rows { .. } => "rows",
                Domain::LongRows { .. } => "long rows",
                Domain::Columns { .. } => "columns",
            },
            Work::Product(_) => "product",
            Work::Assemble(_) => "movement",
            Work::Primitive(_) => "reference",
            Work::Control(..) => "control",
        }
    }
}

impl Plan {
    /// The primitives that kernel `k` stands for, repeated ones counted.
    pub fn operations(&self, k: usize) -> String {
        let mut names: Vec<(&str, usize)> = Vec::new();
        for &i in &self.kernels()[k].eqns {
            let name = self.graph().eqns()[i].op.name();
            match names.iter_mut().find(|n| n.0 == name) {
                Some(n) => n.1 += 1,
                None => names.push((name, 1)),
            }
        }
        if names.is_empty() {
            return "copy".into();
        }
        let one = |&(name, n): &(&str, usize)| if n == 1 { name.to_string() } else { format!("{name}×{n}") };
        names.iter().map(one).collect::<Vec<_>>().join(" ")
    }

    /// The sizes of kernel `k`: of a product `m×k · k×n`, of others the types of what they write.
    pub fn shape_of(&self, k: usize) -> String {
        let kernel = &self.kernels()[k];
        match &kernel.work {
            Work::Product(p) => {
                let [m, n, inner] = p.size;
                let batch: usize = p.batch.iter().map(|b| b.0).product();
                let batch = if batch > 1 { format!("{batch} of ") } else { String::new() };
                format!("{batch}{m}×{inner} · {inner}×{n}")
            }
            _ => kernel.writes.iter().map(|&v| self.graph().ty(v).to_string()).collect::<Vec<_>>().join(" "),
        }
    }

    /// The plan in words: what runs, what is kept and why, and how memory goes up and down.
    pub fn explain(&self) -> String {
        let mut out = String::new();
        self.write_explanation(&mut out).unwrap_or_default();
        out
    }

    fn write_explanation(&self, out: &mut String) -> std::fmt::Result {
        let flops: f64 = self.kernels().iter().map(|k| k.flops).sum();
        let bytes: f64 = self.kernels().iter().map(|k| k.bytes).sum();
        writeln!(
            out,
            "{} equations in {} kernels, {:.3} GFLOP, {:.1} MB moved, estimated {:.3} ms",
            self.graph().eqns().len(),
            self.kernels().len(),
            flops * 1e-9,
            bytes * 1e-6,
            self.estimated_seconds() * 1e3
        )?;
        writeln!(out, "kept by {:?}: {}", self.decision().strategy, self.decision().why)?;
        for (what, peak, seconds) in &self.decision().alternatives {
            writeln!(out, "  looked at: {what}: peak {}, estimated {:.3} ms", mib(*peak), seconds * 1e3)?;
        }
        self.write_memory(out)?;
        writeln!(out, "\nkernels")?;
        for (k, kernel) in self.kernels().iter().enumerate() {
            writeln!(
                out,
                "  {k:>4} {:<12} {:<28} {:>9.3} MFLOP {:>10}  {}{}",
                kernel.kind(),
                self.shape_of(k),
                kernel.flops * 1e-6,
                mib(kernel.bytes as usize),
                self.operations(k),
                at(&kernel.site)
            )?;
            for (written, read) in self.in_place(k) {
                let given = matches!(self.place(*read), Some(Place::Argument(_)));
                let when = if given { " if the argument is given away" } else { "" };
                writeln!(out, "       {written} is written over {read}{when}")?;
            }
        }
        let residuals = self.residuals();
        if !residuals.is_empty() {
            writeln!(
                out,
                "\nkept for the second half: {} in {} values",
                mib(self.saved_bytes()),
                residuals.len()
            )?;
            for r in &residuals {
                writeln!(
                    out,
                    "  {:>10} {:<16} {:<12} {}{}",
                    mib(r.bytes),
                    r.ty.to_string(),
                    r.op,
                    r.why,
                    at(&r.site)
                )?;
            }
        }
        Ok(())
    }

    fn write_memory(&self, out: &mut String) -> std::fmt::Result {
        let curve = self.memory_curve();
        writeln!(
            out,
            "memory: peak {} = arguments {} + results {} + arena {} (no arena could be below {}) + {} outside",
            mib(self.planned_peak_bytes()),
            mib(self.argument_bytes()),
            mib(self.result_bytes()),
            mib(self.arena_bytes()),
            mib(self.arena_lower_bound()),
            mib(self.outside_bound())
        )?;
        let top = curve.iter().copied().max().unwrap_or(0);
        if top > 0 {
            const BARS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];
            let width = curve.len().min(100);
            let bar = |i: usize| {
                let (from, to) = (
                    i * curve.len() / width,
                    ((i + 1) * curve.len() / width).max(i * curve.len() / width + 1),
                );
                let most = curve[from..to].iter().copied().max().unwrap_or(0);
                BARS[(most * 7).div_ceil(top).min(7)]
            };
            writeln!(out, "  {}", (0..width).map(bar).collect::<String>())?;
            let k = curve.iter().position(|&b| b == top).unwrap_or(0);
            writeln!(out, "  at the peak, during kernel {k}:")?;
            for (v, bytes) in self.alive_at(k).into_iter().take(12) {
                writeln!(out, "    {:>10} {}", mib(bytes), self.described(v))?;
            }
        }
        Ok(())
    }

    fn described(&self, v: Option<Var>) -> String {
        let Some(v) = v else { return "scratch".into() };
        let eqn = self.graph().eqns().iter().find(|e| e.outputs.contains(&v));
        let name = eqn.map_or("full", |e| e.op.name());
        format!("{v}: {} = {name}{}", self.graph().ty(v), eqn.map_or(String::new(), |e| at(&e.site)))
    }

    /// The plan as one JSON object.
    pub fn explain_json(&self) -> String {
        let kernels: Vec<String> = (0..self.kernels().len())
            .map(|k| {
                let kernel = &self.kernels()[k];
                format!(
                    "{{\"kind\":{},\"operations\":{},\"shape\":{},\"stage\":{},\"flops\":{},\"bytes\":{},\"workspace\":{},\"in_place\":{},\"source\":{}}}",
                    json_text(kernel.kind()),
                    json_text(&self.operations(k)),
                    json_text(&self.shape_of(k)),
                    kernel.stage,
                    kernel.flops,
                    kernel.bytes,
                    kernel.workspace,
                    self.in_place(k).len(),
                    json_text(&kernel.site.to_string())
                )
            })
            .collect();
        let residuals: Vec<String> = self
            .residuals()
            .iter()
            .map(|r| {
                format!(
                    "{{\"type\":{},\"bytes\":{},\"op\":{},\"why\":{},\"source\":{}}}",
                    json_text(&r.ty.to_string()),
                    r.bytes,
                    json_text(r.op),
                    json_text(r.why),
                    json_text(&r.site.to_string())
                )
            })
            .collect();
        let alternatives: Vec<String> = self
            .decision()
            .alternatives
            .iter()
            .map(|(what, peak, seconds)| {
                format!("{{\"what\":{},\"peak_bytes\":{peak},\"seconds\":{seconds:e}}}", json_text(what))
            })
            .collect();
        let passed = self.returns().iter().filter(|r| **r != Return::Written).count();
        let curve: Vec<String> = self.memory_curve().iter().map(usize::to_string).collect();
        format!(
            "{{\"strategy\":{},\"why\":{},\"alternatives\":[{}],\"planned_peak_bytes\":{},\"argument_bytes\":{},\"result_bytes\":{},\"results_passed_on\":{passed},\"arena_bytes\":{},\"arena_lower_bound\":{},\"outside_bound\":{},\"saved_bytes\":{},\"estimated_seconds\":{:e},\"kernels\":[{}],\"residuals\":[{}],\"memory_curve\":[{}]}}",
            json_text(&format!("{:?}", self.decision().strategy).to_lowercase()),
            json_text(&self.decision().why),
            alternatives.join(","),
            self.planned_peak_bytes(),
            self.argument_bytes(),
            self.result_bytes(),
            self.arena_bytes(),
            self.arena_lower_bound(),
            self.outside_bound(),
            self.saved_bytes(),
            self.estimated_seconds(),
            kernels.join(","),
            residuals.join(","),
            curve.join(",")
        )
    }

    /// Bytes of the arena in use over the step, kernel by kernel, as an SVG picture.
    pub fn memory_svg(&self) -> String {
        let curve = self.memory_curve();
        let (width, height, left, bottom) = (860.0, 280.0, 80.0, 40.0);
        let top = curve.iter().copied().max().unwrap_or(0).max(1) as f64;
        let x = |k: usize| left + (width - left - 10.0) * k as f64 / curve.len().max(1) as f64;
        let y = |b: usize| 20.0 + (height - bottom - 20.0) * (1.0 - b as f64 / top);
        let mut path = format!("M{left:.1} {:.1}", y(0));
        for (k, &b) in curve.iter().enumerate() {
            let _ = write!(path, "L{:.1} {:.1}L{:.1} {:.1}", x(k), y(b), x(k + 1), y(b));
        }
        let _ = write!(path, "L{:.1} {:.1}Z", x(curve.len()), y(0));
        let half = curve.len() - self.kernels().iter().filter(|k| k.stage == 1).count();
        let mut out = format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width} {height}\" font-family=\"sans-serif\" font-size=\"12\"><rect width=\"100%\" height=\"100%\" fill=\"white\"/><path d=\"{path}\" fill=\"#4a7fb5\"/>"
        );
        for share in [0.0, 0.5, 1.0] {
            let b = (top * share) as usize;
            let _ = write!(
                out,
                "<text x=\"{:.0}\" y=\"{:.1}\" text-anchor=\"end\">{}</text>",
                left - 6.0,
                y(b) + 4.0,
                mib(b)
            );
        }
        if half < curve.len() {
            let at = x(half);
            let _ = write!(
                out,
                "<path d=\"M{at:.1} 14V{:.1}\" stroke=\"#b5544a\"/><text x=\"{:.1}\" y=\"14\" fill=\"#b5544a\">second half</text>",
                y(0),
                at + 4.0
            );
        }
        let _ = write!(
            out,
            "<text x=\"{:.0}\" y=\"{:.0}\">{} kernels, arena {}</text></svg>",
            left,
            height - 12.0,
            curve.len(),
            mib(self.arena_bytes())
        );
        out
    }
}

/// The place in the source, if it is known.
fn at(site: &Site) -> String {
    if site.is_known() { format!("  at {site}") } else { String::new() }
}
