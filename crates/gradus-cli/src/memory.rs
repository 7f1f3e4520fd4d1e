//! What this process needs of memory, as its allocator counts and as the system does, and of processors.

use peak_alloc::PeakAlloc;

/// Every allocation of the command goes through it, those of other crates too.
#[global_allocator]
static COUNTER: PeakAlloc = PeakAlloc;

/// Forgets the most bytes that were allocated at once so far; gives the bytes allocated now. What dropped results have left
/// for others is given back, so that it counts when it is taken again.
pub fn count_from_here() -> usize {
    gradus_cpu::release();
    COUNTER.reset_peak_usage();
    COUNTER.current_usage()
}

/// The most bytes that were allocated at once since [`count_from_here`].
pub fn most_allocated() -> usize {
    COUNTER.peak_usage()
}

/// Bytes in a field of a file of `/proc` that counts in kB.
fn field(file: &str, name: &str) -> Option<usize> {
    let text = std::fs::read_to_string(file).ok()?;
    let line = text.lines().find_map(|l| l.strip_prefix(name)?.strip_prefix(':'))?;
    line.trim().strip_suffix("kB")?.trim().parse::<usize>().ok().map(|kib| kib * 1024)
}

/// Bytes that the system has given this process: `VmRSS` now, `VmHWM` at most. `None` where the system does not say.
pub fn resident(what: &str) -> Option<usize> {
    field("/proc/self/status", what)
}

/// Bytes that the system has given another process.
pub fn resident_of(process: u32) -> Option<usize> {
    field(&format!("/proc/{process}/status"), "VmRSS")
}

/// Seconds that this thread has been on a processor; `None` where the system does not say.
pub fn busy_seconds() -> Option<f64> {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat").ok()?;
    Some(text.split_whitespace().next()?.parse::<f64>().ok()? * 1e-9)
}

/// Bytes that the system has given this process now, once what dropped results have left is given back.
pub fn idle() -> Option<usize> {
    gradus_cpu::release();
    resident("VmRSS")
}

/// Makes `VmHWM` begin anew; `false` where the system does not let us.
pub fn forget_peak() -> bool {
    std::fs::write("/proc/self/clear_refs", "5").is_ok()
}

/// Bytes of memory that the system could give to new processes; `None` where it does not say.
pub fn available() -> Option<usize> {
    field("/proc/meminfo", "MemAvailable")
}

/// An amount of memory for people.
pub fn words(n: usize) -> String {
    match n as f64 / 1024.0 {
        kib if kib < 1024.0 => format!("{kib:.1} KiB"),
        kib => format!("{:.1} MiB", kib / 1024.0),
    }
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    #[test]
    fn memory_is_told() {
        super::forget_peak();
        let block = vec![1u8; 64 << 20];
        assert!(std::hint::black_box(&block).iter().all(|&b| b == 1));
        let (now, peak) = (super::resident("VmRSS").unwrap(), super::resident("VmHWM").unwrap());
        assert!(now >= 64 << 20 && peak + (1 << 20) >= now, "{now} {peak}");
    }
}
