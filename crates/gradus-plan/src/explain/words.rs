//! The explanation as text.

use std::fmt::Write;

use super::{Explanation, at, by_phase, mib, time};

impl Explanation<'_> {
    /// The explanation in words.
    pub fn words(&self) -> String {
        let mut out = String::new();
        // Writing into a string cannot fail.
        self.write(&mut out).unwrap_or_default();
        out
    }

    fn write(&self, out: &mut String) -> std::fmt::Result {
        let plan = self.plan;
        if !self.title.is_empty() {
            writeln!(out, "{}\n", self.title)?;
        }
        let flops: f64 = plan.kernels().iter().map(|k| k.flops).sum();
        let bytes: f64 = plan.kernels().iter().map(|k| k.bytes).sum();
        write!(
            out,
            "{} equations in {} kernels, {:.3} GFLOP, {:.1} MB moved, estimated {}",
            plan.graph().eqns().len(),
            plan.kernels().len(),
            flops * 1e-9,
            bytes * 1e-6,
            time(plan.estimated_seconds())
        )?;
        match &self.measured {
            Some(seconds) => writeln!(out, ", measured {}", time(seconds.iter().sum()))?,
            None => writeln!(out)?,
        }
        if !self.mode.is_empty() {
            writeln!(out, "mode: {}", self.mode)?;
        }
        let width = self.phase_width();
        for (phase, kernels, estimated, measured) in by_phase(self) {
            let measured = measured.map_or(String::new(), |s| format!(", measured {}", time(s)));
            writeln!(out, "  {phase:<width$}{kernels:>5} kernels, estimated {}{measured}", time(estimated))?;
        }
        writeln!(out, "\npasses")?;
        for (name, what) in self.passes() {
            writeln!(out, "  {name:<10}{what}")?;
        }
        writeln!(
            out,
            "\nkept by {}: {}",
            format!("{:?}", plan.decision().strategy).to_lowercase(),
            plan.decision().why
        )?;
        for a in &self.alternatives {
            let saved = a.saved.map_or(String::new(), |n| format!("keeps {:>10}, ", mib(n)));
            writeln!(
                out,
                "  {} {:<10} {saved}peak {:>10}, estimated {:>10}",
                if a.taken { "*" } else { " " },
                a.name,
                mib(a.peak),
                time(a.seconds)
            )?;
        }
        self.write_memory(out)?;
        self.write_kernels(out)?;
        self.write_residuals(out)
    }

    /// The width of the column of phases, which name levels above the first.
    fn phase_width(&self) -> usize {
        if self.plan.phases().iter().any(|phase| phase.level > 1) { 12 } else { 9 }
    }

    fn write_kernels(&self, out: &mut String) -> std::fmt::Result {
        let plan = self.plan;
        let phases = plan.phases();
        let width = self.phase_width();
        let heads = if self.measured.is_some() { "  measured" } else { "" };
        writeln!(
            out,
            "\nkernels\n  {:>4} {:<width$}{:<13} {:<28} {:>9} {:>10} {:>10}{heads}  operations",
            "", "phase", "kind", "sizes", "MFLOP", "bytes", "estimated"
        )?;
        for (k, kernel) in plan.kernels().iter().enumerate() {
            let measured = self.measured(k).map_or(String::new(), |s| format!("{:>10}", time(s)));
            writeln!(
                out,
                "  {k:>4} {:<width$}{:<13} {:<28} {:>9.3} {:>10} {:>10}{measured}  {}{}",
                phases[k],
                kernel.kind(),
                plan.shape_of(k),
                kernel.flops * 1e-6,
                mib(kernel.bytes as usize),
                time(plan.kernel_seconds(k)),
                plan.operations(k),
                at(&kernel.site)
            )?;
            for over in plan.overwritten(k) {
                writeln!(out, "       {over}")?;
            }
        }
        Ok(())
    }

    fn write_residuals(&self, out: &mut String) -> std::fmt::Result {
        let residuals = self.plan.residuals();
        if residuals.is_empty() {
            return Ok(());
        }
        let total = mib(self.plan.saved_bytes());
        writeln!(out, "\nkept for the backward pass: {total} in {} values", residuals.len())?;
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
        Ok(())
    }

    fn write_memory(&self, out: &mut String) -> std::fmt::Result {
        let plan = self.plan;
        let curve = plan.memory_curve();
        writeln!(
            out,
            "\nmemory: peak {} = arguments and results {} + arena {} (no arena could be below {}) + {} allocated by \
             single kernels; scratch beside it: {} a thread",
            mib(self.peak()),
            mib(self.standing()),
            mib(plan.arena_bytes()),
            mib(plan.arena_lower_bound()),
            mib(plan.outside_bound()),
            mib(plan.scratch_bytes())
        )?;
        let (k, top) = self.top();
        if top > 0 {
            const BARS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];
            let width = curve.len().min(100);
            let bar = |i: usize| {
                let from = i * curve.len() / width;
                let to = ((i + 1) * curve.len() / width).max(from + 1);
                let most = curve[from..to].iter().copied().max().unwrap_or(0);
                BARS[(most * 7).div_ceil(top).min(7)]
            };
            writeln!(out, "  {}", (0..width).map(bar).collect::<String>())?;
            writeln!(out, "  at the peak, during kernel {k}:")?;
            for (v, bytes) in plan.alive_at(k).into_iter().take(12) {
                writeln!(out, "    {:>10} {}", mib(bytes), plan.described(v))?;
            }
        }
        Ok(())
    }
}
