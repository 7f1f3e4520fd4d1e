//! A profile for programs: one JSON object, and the trace events that Chrome's and Perfetto's viewers read.

use std::fmt::Write;
use std::time::Duration;

use gradus_core::PhaseKind;
use gradus_plan::json_text;

use super::{KernelProfile, Profile};

fn micros(t: Duration) -> f64 {
    t.as_nanos() as f64 * 1e-3
}

impl KernelProfile {
    fn fields(&self, profile: &Profile) -> String {
        format!(
            "\"kind\":{},\"operations\":{},\"shape\":{},\"phase\":{},\"level\":{},\"source\":{},\"ms\":{},\"flops\":{},\"bytes\":{},\"gflops\":{:.3},\"gbps\":{:.3},\"share_of_peak\":{:.4}",
            json_text(self.kind),
            json_text(&self.operations),
            json_text(&self.shape),
            json_text(self.phase.kind.name()),
            self.phase.level,
            json_text(&self.source),
            self.seconds * 1e3,
            self.flops,
            self.bytes,
            self.gflops(),
            self.gbps(),
            self.share_of_peak(&profile.peaks)
        )
    }
}

impl Profile {
    /// The profile as one JSON object: the whole run, the machine's peaks, the phases, and every kernel in order. Times
    /// are in milliseconds.
    pub fn to_json(&self) -> String {
        let kernels: Vec<String> = self.kernels.iter().map(|k| format!("{{{}}}", k.fields(self))).collect();
        let phase = |p: PhaseKind| {
            format!(
                "{}:{{\"ms\":{},\"elementwise_ms\":{}}}",
                json_text(p.name()),
                self.phase_seconds(p) * 1e3,
                self.elementwise_seconds(p) * 1e3
            )
        };
        let p = &self.peaks;
        format!(
            "{{\"ms\":{},\"runs\":{},\"threads\":{},\"products_ms\":{},\"planned_peak_bytes\":{},\"peaks\":{{\"f32_gflops\":{:.3},\"f64_gflops\":{:.3},\"read_gbps\":{:.3},\"copy_gbps\":{:.3},\"cache_gbps\":{:.3},\"cache_bytes\":{}}},\"phases\":{{{}}},\"kernels\":[{}]}}",
            self.seconds * 1e3,
            self.runs,
            self.threads(),
            self.product_seconds() * 1e3,
            self.planned_peak_bytes,
            p.f32_gflops,
            p.f64_gflops,
            p.read_gbps,
            p.copy_gbps,
            p.cache_gbps,
            p.cache_bytes,
            PhaseKind::ALL.map(phase).join(","),
            kernels.join(",")
        )
    }

    /// The last run as Chrome trace events: open the file in `chrome://tracing` or <https://ui.perfetto.dev>. There is a
    /// track with the kernels, a track for each thread that took tasks of them, and a curve of the arena's bytes in use.
    pub fn chrome_trace(&self) -> String {
        let mut events = vec![named(0, "kernels")];
        events.extend((0..self.threads()).map(|t| match t {
            0 => named(1, "caller"),
            t => named(t + 1, &format!("worker {t}")),
        }));
        for (i, (run, k)) in self.trace.iter().zip(&self.kernels).enumerate() {
            let name = json_text(&k.operations);
            let phase = json_text(k.phase.kind.name());
            // Rates of this run, not of the median.
            let here = KernelProfile { seconds: run.length.as_secs_f64(), ..k.clone() };
            events.push(format!(
                "{{\"name\":{name},\"cat\":{phase},\"ph\":\"X\",\"ts\":{:.3},\"dur\":{:.3},\"pid\":1,\"tid\":0,\"args\":{{{}}}}}",
                micros(run.begin),
                micros(run.length),
                here.fields(self)
            ));
            for &(thread, begin, length, busy, tasks) in &run.threads {
                events.push(format!(
                    "{{\"name\":{name},\"cat\":{phase},\"ph\":\"X\",\"ts\":{:.3},\"dur\":{:.3},\"pid\":1,\"tid\":{},\"args\":{{\"tasks\":{tasks},\"busy_us\":{:.3}}}}}",
                    micros(begin),
                    micros(length),
                    thread + 1,
                    micros(busy)
                ));
            }
            if let Some(bytes) = self.memory.get(i) {
                events.push(format!(
                    "{{\"name\":\"arena\",\"ph\":\"C\",\"ts\":{:.3},\"pid\":1,\"args\":{{\"bytes\":{bytes}}}}}",
                    micros(run.begin)
                ));
            }
        }
        let mut out = String::from("{\"displayTimeUnit\":\"ns\",\"traceEvents\":[\n");
        let _ = write!(out, "{}\n]}}", events.join(",\n"));
        out
    }
}

/// The name of a track.
fn named(thread: usize, name: &str) -> String {
    format!(
        "{{\"name\":\"thread_name\",\"ph\":\"M\",\"pid\":1,\"tid\":{thread},\"args\":{{\"name\":{}}}}}",
        json_text(name)
    )
}
