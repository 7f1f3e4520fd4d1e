//! The loop of a worker thread: check for work, spin briefly, park.

use std::time::{Duration, Instant};

use super::job::Shared;

/// How long a worker looks for the next job before it parks: longer than the gap between two kernels of a running
/// program, and too short to matter for one that has ended.
const SPIN: Duration = Duration::from_micros(20);

/// Turns of the spin loop between two looks at the clock.
const TURNS: u32 = 64;

/// Works for the pool until it is dropped.
pub(super) fn work(shared: &Shared, index: usize) {
    super::watch::take_place(index);
    let mut seen = 0;
    loop {
        let began = Instant::now();
        'spin: while began.elapsed() < SPIN {
            for _ in 0..TURNS {
                if shared.stopped() {
                    return;
                }
                if let Some(epoch) = shared.join(seen) {
                    seen = epoch;
                    break 'spin;
                }
                std::hint::spin_loop();
            }
        }
        if began.elapsed() >= SPIN && !shared.has_news(seen) {
            shared.sleep(index, seen);
        }
    }
}
