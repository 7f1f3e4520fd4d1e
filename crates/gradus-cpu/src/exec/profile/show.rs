//! A profile as a table.

use std::fmt;

use gradus_core::PhaseKind;

use super::{KernelProfile, Profile};
use crate::peaks::Peaks;

/// Kernels that do the same.
struct Row<'a> {
    first: &'a KernelProfile,
    calls: usize,
    total: KernelProfile,
}

impl Row<'_> {
    /// That of one call: what fits into a cache is told by what one call moves.
    fn share(&self, peaks: &Peaks) -> f64 {
        let calls = self.calls as f64;
        let one = KernelProfile {
            seconds: self.total.seconds / calls,
            flops: self.total.flops / calls,
            bytes: self.total.bytes / calls,
            ..self.total.clone()
        };
        one.share_of_peak(peaks)
    }
}

fn rows(profile: &Profile) -> Vec<Row<'_>> {
    let mut rows: Vec<Row<'_>> = Vec::new();
    for k in &profile.kernels {
        let same = |r: &&mut Row<'_>| {
            (r.first.kind, r.first.phase, &r.first.shape, &r.first.operations)
                == (k.kind, k.phase, &k.shape, &k.operations)
        };
        match rows.iter_mut().find(same) {
            Some(row) => {
                row.calls += 1;
                row.total.seconds += k.seconds;
                row.total.flops += k.flops;
                row.total.bytes += k.bytes;
            }
            None => rows.push(Row { first: k, calls: 1, total: k.clone() }),
        }
    }
    rows.sort_by(|a, b| b.total.seconds.total_cmp(&a.total.seconds));
    rows
}

impl fmt::Display for Profile {
    /// Phases, and a line for each kind of kernel and size, the longest first.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let peaks = &self.peaks;
        writeln!(
            f,
            "{:.3} ms a run, median of {}, {} kernels on {} threads",
            self.seconds * 1e3,
            self.runs,
            self.kernels.len(),
            self.threads()
        )?;
        writeln!(
            f,
            "peaks: {:.1} GFLOP/s f32, {:.1} f64; {:.1} GB/s read, {:.1} read and written, {:.1} in a cache of {:.0} MiB",
            peaks.f32_gflops,
            peaks.f64_gflops,
            peaks.read_gbps,
            peaks.copy_gbps,
            peaks.cache_gbps,
            peaks.cache_bytes as f64 / f64::from(1 << 20)
        )?;
        let inside: f64 = self.seconds_in(|_| true);
        for phase in PhaseKind::ALL {
            let (all, rest) = (self.phase_seconds(phase), self.elementwise_seconds(phase));
            if all > 0.0 {
                writeln!(
                    f,
                    "{phase:<9}{:>10.3} ms: products and convolutions {:.3}, all else {:.3}",
                    all * 1e3,
                    (all - rest) * 1e3,
                    rest * 1e3
                )?;
            }
        }
        writeln!(
            f,
            "{:>10} {:>6} {:>5} {:>8} {:>8} {:>5}  {:<9} {:<12} {:<24} operations",
            "ms", "share", "calls", "GFLOP/s", "GB/s", "peak", "phase", "kind", "shape"
        )?;
        for row in rows(self) {
            let k = &row.total;
            writeln!(
                f,
                "{:>10.4} {:>5.1}% {:>5} {:>8.2} {:>8.2} {:>4.0}%  {:<9} {:<12} {:<24} {}",
                k.seconds * 1e3,
                100.0 * k.seconds / inside.max(1e-12),
                row.calls,
                k.gflops(),
                k.gbps(),
                100.0 * row.share(peaks),
                k.phase,
                k.kind,
                k.shape,
                k.operations
            )?;
        }
        write!(f, "{:>10.4} between kernels", (self.seconds - inside).max(0.0) * 1e3)
    }
}
