//! Times and memory, as the other programs beside this one take them: the median of blocks of at least 0.15 s.

use std::time::Instant;

use serde_json::{Value, json};

/// Calls `step`, which gives its loss, until enough is known.
pub fn measure(case: &str, library: &str, mut step: impl FnMut() -> f32) -> Value {
    let idle = memory("VmRSS");
    let mut once = || {
        let began = Instant::now();
        step();
        began.elapsed().as_secs_f64()
    };
    let first = once();
    let mut one = once();
    for _ in 0..if one > 1.0 { 1 } else { 8 } {
        one = one.min(once());
    }
    let calls = (0.15 / one).ceil().max(1.0) as usize;
    let blocks = ((12.0 / (calls as f64 * one)) as usize).clamp(3, 9);
    let mut times: Vec<f64> =
        (0..blocks).map(|_| (0..calls).map(|_| once()).sum::<f64>() / calls as f64).collect();
    times.sort_by(f64::total_cmp);
    // A system that refuses gives the peak of the whole process.
    let _ = std::fs::write("/proc/self/clear_refs", "5");
    let loss = step();
    let peak = memory("VmHWM");
    let threads: usize = std::env::var("RAYON_NUM_THREADS").ok().and_then(|v| v.parse().ok()).unwrap_or(0);
    json!({"case": case, "lib": library, "threads": threads, "ms": times[blocks / 2] * 1e3, "best_ms": times[0] * 1e3,
           "first_ms": first * 1e3, "steps": blocks * calls, "peak_rss_mb": peak, "idle_rss_mb": idle, "loss": loss})
}

fn memory(field: &str) -> Option<f64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|l| l.strip_prefix(field)?.strip_prefix(':'))?;
    line.trim().strip_suffix("kB")?.trim().parse::<f64>().ok().map(|kib| kib / 1024.0)
}
