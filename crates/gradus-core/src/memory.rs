//! Memory whose size shapes decide: one place asks for it, counts it and may refuse it.
//!
//! An allocation of 64 KiB or more is compared with the [`limit`] of the process before the system is asked, since a
//! system that overcommits grants what it cannot give and ends the process later. Smaller ones are made as anything else is,
//! neither compared nor counted: they take less time than the check. Nothing here keeps memory; who does [reports](add) it, and
//! frees it [when asked](on_shortage).

use std::fmt;
use std::str::FromStr;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use crate::ErrorKind;

/// Blocks of at least so many bytes are counted and compared with the limit.
pub const COUNTED: usize = 64 << 10;

/// What memory is held for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Held {
    /// Elements of tensors.
    Tensors,
    /// Arenas of programs that run.
    Arenas,
    /// Arenas kept for runs to come.
    IdleArenas,
    /// Scratch memory of threads.
    Scratch,
    /// What dropped results have left for results to come.
    Waiting,
    /// Programs made ready, by an estimate.
    Programs,
}

static BYTES: [AtomicUsize; 6] = [const { AtomicUsize::new(0) }; 6];
static PEAK: AtomicUsize = AtomicUsize::new(0);

/// Counts bytes as held.
pub fn add(held: Held, bytes: usize) {
    BYTES[held as usize].fetch_add(bytes, Relaxed);
    note(0);
}

/// Counts bytes that are held and not [added](add) yet in the [`peak`].
pub fn note(bytes: usize) {
    let now = in_use() + kept() + bytes;
    if now > PEAK.load(Relaxed) {
        PEAK.fetch_max(now, Relaxed);
    }
}

/// Counts bytes as given back.
pub fn sub(held: Held, bytes: usize) {
    BYTES[held as usize].fetch_sub(bytes, Relaxed);
}

/// Counts bytes as held for something else from now on.
pub fn turn(from: Held, to: Held, bytes: usize) {
    BYTES[to as usize].fetch_add(bytes, Relaxed);
    sub(from, bytes);
}

/// Bytes held.
pub fn bytes(held: Held) -> usize {
    BYTES[held as usize].load(Relaxed)
}

/// Bytes that somebody works with.
pub fn in_use() -> usize {
    bytes(Held::Tensors) + bytes(Held::Arenas) + bytes(Held::Scratch)
}

/// Bytes held only to make later calls faster; scratch memory is among those [in use](in_use).
pub fn kept() -> usize {
    bytes(Held::IdleArenas) + bytes(Held::Waiting) + bytes(Held::Programs)
}

/// The most bytes that were in use and kept at once, since the start of the process or [`reset_peak`].
pub fn peak() -> usize {
    PEAK.load(Relaxed)
}

/// Makes the [`peak`] what is held now.
pub fn reset_peak() {
    PEAK.store(in_use() + kept(), Relaxed);
}

/// An amount of memory as users write it: `"300 MiB"`, `"2 GB"`, `"4096"`, `"60%"`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Amount {
    /// So many bytes.
    Bytes(usize),
    /// A share of something that the context names: `0.6` for `"60%"`.
    Share(f64),
}

impl Amount {
    /// The amount in bytes, shares being those of `whole`.
    pub fn of(self, whole: usize) -> usize {
        match self {
            Amount::Bytes(bytes) => bytes,
            Amount::Share(share) => (whole as f64 * share) as usize,
        }
    }
}

/// A text that is no [`Amount`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NoAmount(String);

impl fmt::Display for NoAmount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "\"{}\" is no amount; write bytes, or text such as \"300 MiB\" or \"60%\"", self.0)
    }
}

impl std::error::Error for NoAmount {}

impl FromStr for Amount {
    type Err = NoAmount;
    fn from_str(text: &str) -> Result<Self, NoAmount> {
        let trimmed = text.trim();
        let unit = trimmed.trim_start_matches(|c: char| c.is_ascii_digit() || c == '.');
        let number = trimmed[..trimmed.len() - unit.len()].parse::<f64>().ok();
        let bytes = |scale: f64| number.map(|n| Amount::Bytes((n * scale) as usize));
        let amount = match unit.trim() {
            "%" => number.map(|n| Amount::Share(n / 100.0)),
            "" | "B" => bytes(1.0),
            "kB" | "KB" => bytes(1e3),
            "MB" => bytes(1e6),
            "GB" => bytes(1e9),
            "TB" => bytes(1e12),
            "KiB" => bytes(1024.0),
            "MiB" => bytes(1024.0 * 1024.0),
            "GiB" => bytes(1024.0 * 1024.0 * 1024.0),
            "TiB" => bytes(1024.0 * 1024.0 * 1024.0 * 1024.0),
            _ => None,
        };
        amount.ok_or_else(|| NoAmount(text.into()))
    }
}

/// The variable that sets the [`limit`].
pub const LIMIT_VARIABLE: &str = "GRADUS_MEMORY_LIMIT";
/// The variable that sets the [`kept_limit`].
pub const KEPT_VARIABLE: &str = "GRADUS_MEMORY_KEPT";

/// Limits set by functions; 0 where none was.
static SET: [AtomicUsize; 2] = [const { AtomicUsize::new(0) }; 2];

/// The most bytes that the process may hold for tensors, arenas and scratch: what [`set_limit`] said, else the variable
/// `GRADUS_MEMORY_LIMIT`, else all that the machine, the container and the limits of the process allow.
///
/// # Errors
/// If the variable holds no amount.
pub fn limit() -> Result<usize, ErrorKind> {
    static FIRST: OnceLock<Result<usize, ErrorKind>> = OnceLock::new();
    match SET[0].load(Relaxed) {
        0 => FIRST.get_or_init(|| Ok(variable(LIMIT_VARIABLE, machine())?.unwrap_or_else(machine))).clone(),
        set => Ok(set),
    }
}

/// The most bytes that are kept to make later calls faster: what [`set_kept_limit`] said, else the variable
/// `GRADUS_MEMORY_KEPT`, else half of the [`limit`].
///
/// # Errors
/// If one of the variables holds no amount.
pub fn kept_limit() -> Result<usize, ErrorKind> {
    static FIRST: OnceLock<Result<Option<usize>, ErrorKind>> = OnceLock::new();
    match SET[1].load(Relaxed) {
        0 => Ok(match FIRST.get_or_init(|| variable(KEPT_VARIABLE, limit()?)) {
            Ok(Some(bytes)) => *bytes,
            Ok(None) => limit()? / 2,
            Err(kind) => return Err(kind.clone()),
        }),
        set => Ok(set),
    }
}

/// Sets the [`limit`]; shares are those of the machine's memory.
///
/// # Errors
/// If the amount is 0.
pub fn set_limit(amount: Amount) -> Result<(), ErrorKind> {
    match amount.of(machine()) {
        0 => {
            let detail = "a process that may hold nothing cannot compute; give an amount above 0".into();
            Err(ErrorKind::Argument { op: "set_memory_limit", detail })
        }
        bytes => {
            SET[0].store(bytes, Relaxed);
            Ok(())
        }
    }
}

/// Sets the [`kept_limit`]; shares are those of the [`limit`].
///
/// # Errors
/// As for [`limit`].
pub fn set_kept_limit(amount: Amount) -> Result<(), ErrorKind> {
    let bytes = match amount {
        Amount::Bytes(bytes) => bytes,
        share => share.of(limit()?),
    };
    SET[1].store(bytes.max(1), Relaxed);
    Ok(())
}

/// What a variable of the environment says, if it is there.
fn variable(name: &'static str, whole: usize) -> Result<Option<usize>, ErrorKind> {
    let Some(text) = std::env::var_os(name) else { return Ok(None) };
    let text = text.to_string_lossy();
    let amount = text.parse::<Amount>();
    match amount {
        Ok(amount) if name == KEPT_VARIABLE || amount.of(whole) > 0 => Ok(Some(amount.of(whole).max(1))),
        Ok(_) => Err(ErrorKind::Argument { op: name, detail: "the limit must be above 0".into() }),
        Err(error) => Err(ErrorKind::Argument { op: name, detail: error.to_string() }),
    }
}

/// Bytes that the machine, the container and the limits of the process allow, found once. On systems that tell nothing,
/// all that can be addressed: there only the allocator refuses.
pub fn machine() -> usize {
    static FOUND: OnceLock<usize> = OnceLock::new();
    *FOUND.get_or_init(|| {
        let found = [installed(), control_group(), own_limits()];
        found.into_iter().flatten().min().unwrap_or(isize::MAX as usize)
    })
}

/// Main memory and swap.
fn installed() -> Option<usize> {
    let text = std::fs::read_to_string("/proc/meminfo").ok()?;
    let of = |name: &str| {
        let line = text.lines().find(|l| l.starts_with(name))?;
        line.split_whitespace().nth(1)?.parse::<usize>().ok()
    };
    Some((of("MemTotal:")? + of("SwapTotal:").unwrap_or(0)).saturating_mul(1024))
}

/// What the control groups that the process is in allow.
fn control_group() -> Option<usize> {
    let number = |path: &str| std::fs::read_to_string(path).ok()?.trim().parse::<usize>().ok();
    let groups = std::fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
    let own = groups.lines().find_map(|l| l.strip_prefix("0::")).unwrap_or("/").trim_end_matches('/');
    let mut least = number("/sys/fs/cgroup/memory/memory.limit_in_bytes");
    let mut path = own;
    loop {
        let here = number(&format!("/sys/fs/cgroup{path}/memory.max"));
        least = least.into_iter().chain(here).min();
        match path.rfind('/') {
            Some(at) => path = &path[..at],
            None => return least,
        }
    }
}

/// The limits on address space and data that the process was started with.
fn own_limits() -> Option<usize> {
    let text = std::fs::read_to_string("/proc/self/limits").ok()?;
    let of = |name: &str| {
        let line = text.lines().find(|l| l.starts_with(name))?;
        line[name.len()..].split_whitespace().next()?.parse::<usize>().ok()
    };
    [of("Max address space"), of("Max data size")].into_iter().flatten().min()
}

static SHORTAGE: OnceLock<fn()> = OnceLock::new();

/// Names who frees memory that is only kept, where an allocation would fail otherwise. The first one named stays.
pub fn on_shortage(free: fn()) {
    SHORTAGE.get_or_init(|| free);
}

fn free_kept() -> bool {
    SHORTAGE.get().is_some_and(|free| {
        free();
        true
    })
}

/// Whether `op` may allocate so many bytes.
///
/// # Errors
/// [`ErrorKind::Memory`] if the process would hold more than its [`limit`].
pub fn allow(op: &'static str, bytes: usize) -> Result<(), ErrorKind> {
    if bytes < COUNTED {
        return Ok(());
    }
    let limit = limit()?;
    if bytes <= limit.saturating_sub(in_use() + kept()) {
        return Ok(());
    }
    if bytes <= limit.saturating_sub(in_use()) {
        free_kept();
        return Ok(());
    }
    Err(refused(op, bytes))
}

/// The error of an allocation that cannot be.
pub fn refused(op: &'static str, bytes: usize) -> ErrorKind {
    ErrorKind::Memory { op, bytes, left: limit().unwrap_or(0).saturating_sub(in_use()) }
}

/// Whether so many bytes can be had for what `op` will allocate by itself: they are asked for, and given back.
///
/// # Errors
/// As for [`with_capacity`].
pub fn probe(op: &'static str, bytes: usize) -> Result<(), ErrorKind> {
    if bytes < COUNTED {
        return Ok(());
    }
    with_capacity::<u8>(op, bytes).map(drop)
}

/// Memory for `n` elements that `op` will write.
///
/// # Errors
/// [`ErrorKind::Memory`] if the process would hold more than its [`limit`], or if the system has no more to give.
pub fn with_capacity<T>(op: &'static str, n: usize) -> Result<Vec<T>, ErrorKind> {
    let bytes = n.saturating_mul(size_of::<T>());
    if bytes < COUNTED {
        return Ok(Vec::with_capacity(n));
    }
    allow(op, bytes)?;
    let mut v = Vec::new();
    if v.try_reserve_exact(n).is_err() && !(free_kept() && v.try_reserve_exact(n).is_ok()) {
        return Err(refused(op, bytes));
    }
    Ok(v)
}

/// `n` equal elements.
///
/// # Errors
/// As for [`with_capacity`].
pub fn filled<T: Clone>(op: &'static str, n: usize, value: T) -> Result<Vec<T>, ErrorKind> {
    // Memory that the system clears is not written here: what is asked for first is only asked whether it is there.
    probe(op, n.saturating_mul(size_of::<T>()))?;
    Ok(vec![value; n])
}

/// A number of bytes as people read it.
pub(crate) fn readable(bytes: usize) -> String {
    match bytes {
        0..1_000 => format!("{bytes} bytes"),
        1_000..1_000_000 => format!("{:.1} kB", bytes as f64 / 1e3),
        1_000_000..1_000_000_000 => format!("{:.1} MB", bytes as f64 / 1e6),
        _ if bytes < 1_000_000_000_000 => format!("{:.1} GB", bytes as f64 / 1e9),
        _ => format!("{:.1} TB", bytes as f64 / 1e12),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn amounts() {
        for (text, amount) in [
            ("60%", Amount::Share(0.6)),
            ("300 MiB", Amount::Bytes(300 << 20)),
            ("1.5kB", Amount::Bytes(1500)),
            ("42", Amount::Bytes(42)),
        ] {
            assert_eq!(text.parse::<Amount>().unwrap(), amount);
        }
        for text in ["", "much", "12 parsecs", "-3", "1.2.3%"] {
            assert!(text.parse::<Amount>().unwrap_err().to_string().contains("no amount"), "{text}");
        }
    }

    #[test]
    fn what_the_machine_does_not_have_is_refused_at_once() {
        for bytes in [1usize << 50, usize::MAX] {
            let error = with_capacity::<u8>("test", bytes).unwrap_err();
            assert!(matches!(error, ErrorKind::Memory { op: "test", bytes: b, .. } if b == bytes));
            assert!(filled("test", bytes, 0u8).is_err());
        }
        assert!(with_capacity::<u64>("test", usize::MAX / 4).is_err());
        assert_eq!(filled("test", 1 << 20, 3u8).unwrap(), vec![3; 1 << 20]);
    }
}
