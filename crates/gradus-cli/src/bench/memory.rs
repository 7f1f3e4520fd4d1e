//! Memory of this process, as Linux tells it; other systems give none.

/// A field of `/proc/self/status`, in MiB.
fn field(name: &str) -> Option<f64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|l| l.strip_prefix(name)?.strip_prefix(':'))?;
    let kib: f64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kib / 1024.0)
}

/// What is resident now.
pub fn resident() -> Option<f64> {
    field("VmRSS")
}

/// The most that was resident since [`forget_peak`].
pub fn peak() -> Option<f64> {
    field("VmHWM")
}

/// Begins to look for the peak anew; where the system refuses, the peak stays that of the whole process.
pub fn forget_peak() {
    // Nothing depends on it but the figure, which is then larger, never smaller.
    let _ = std::fs::write("/proc/self/clear_refs", "5");
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    #[test]
    fn memory_is_told() {
        super::forget_peak();
        let block = vec![1u8; 64 << 20];
        assert!(std::hint::black_box(&block).iter().all(|&b| b == 1));
        let (now, peak) = (super::resident().unwrap(), super::peak().unwrap());
        assert!(now >= 64.0 && peak + 1.0 >= now, "{now} {peak}");
    }
}
