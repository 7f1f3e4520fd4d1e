//! Signals that ask a long command to end: it ends after the step it is in, and what it has made is written.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use signal_hook::{consts, flag, low_level};

/// Listens to signals from when it is made to the end of the process.
pub struct Stop {
    signal: Arc<AtomicUsize>,
}

impl Stop {
    /// Begins to listen to SIGINT, SIGTERM and SIGHUP, the last one unless it is ignored, as under `nohup`. The second signal
    /// ends the process at once.
    ///
    /// # Errors
    /// If the system refuses.
    pub fn listen() -> io::Result<Stop> {
        let (signal, again) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicBool::new(false)));
        for number in signals() {
            flag::register_conditional_shutdown(number, 128 + number, again.clone())?;
            flag::register(number, again.clone())?;
            flag::register_usize(number, signal.clone(), number as usize)?;
        }
        // A limit of the size of files is then an error of writing, not the end.
        #[cfg(unix)]
        flag::register(consts::SIGXFSZ, Arc::default())?;
        Ok(Stop { signal })
    }

    /// The signal that has come.
    pub fn signal(&self) -> Option<i32> {
        i32::try_from(self.signal.load(Ordering::Relaxed)).ok().filter(|&signal| signal != 0)
    }
}

fn signals() -> Vec<i32> {
    #[cfg(unix)]
    let signals = [consts::SIGINT, consts::SIGTERM, consts::SIGHUP];
    #[cfg(not(unix))]
    let signals = [consts::SIGINT, consts::SIGTERM];
    signals.into_iter().filter(|&signal| !is_ignored(signal)).collect()
}

/// Whether whoever started the process wants it not to hear of a signal.
fn is_ignored(signal: i32) -> bool {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    let mask = mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok());
    mask.is_some_and(|mask| mask >> (signal - 1) & 1 == 1)
}

/// The name of a signal.
pub fn name(signal: i32) -> String {
    low_level::signal_name(signal).map_or_else(|| format!("signal {signal}"), String::from)
}
