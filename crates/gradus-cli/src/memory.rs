//! What this process needs of memory: as its allocator counts, and as the system does.

use peak_alloc::PeakAlloc;

/// Every allocation of the command goes through it, those of other crates too.
#[global_allocator]
static COUNTER: PeakAlloc = PeakAlloc;

/// Forgets the most bytes that were allocated at once so far; gives the bytes allocated now.
pub fn count_from_here() -> usize {
    COUNTER.reset_peak_usage();
    COUNTER.current_usage()
}

/// The most bytes that were allocated at once since [`count_from_here`].
pub fn most_allocated() -> usize {
    COUNTER.peak_usage()
}

/// Bytes that the system has given this process: `VmRSS` now, `VmHWM` at most. `None` where the system does not say.
pub fn resident(what: &str) -> Option<usize> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|l| l.strip_prefix(what)?.strip_prefix(':'))?;
    line.trim().strip_suffix("kB")?.trim().parse::<usize>().ok().map(|kib| kib * 1024)
}

/// Makes `VmHWM` begin anew; `false` where the system does not let us.
pub fn forget_peak() -> bool {
    std::fs::write("/proc/self/clear_refs", "5").is_ok()
}

/// Bytes of memory that the system could give to new processes; `None` where it does not say.
pub fn available() -> Option<usize> {
    let status = std::fs::read_to_string("/proc/meminfo").ok()?;
    let line = status.lines().find_map(|l| l.strip_prefix("MemAvailable:"))?;
    line.trim().strip_suffix("kB")?.trim().parse::<usize>().ok().map(|kib| kib * 1024)
}

/// An amount of memory for people.
pub fn words(n: usize) -> String {
    match n as f64 / 1024.0 {
        kib if kib < 1024.0 => format!("{kib:.1} KiB"),
        kib => format!("{:.1} MiB", kib / 1024.0),
    }
}
