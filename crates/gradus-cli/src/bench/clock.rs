//! How things are timed: in blocks long enough for the clock; the median block counts.

use std::time::{Duration, Instant};

use crate::memory;

/// How long and how often.
#[derive(Clone, Copy, Debug)]
pub struct Plan {
    /// Calls that do not count.
    pub warm: usize,
    /// The least time of a block.
    pub block: Duration,
    /// Blocks, if all of them fit into `total`.
    pub blocks: usize,
    /// The most time of all blocks together, about; there are at least three.
    pub total: Duration,
}

impl Plan {
    /// For whole steps of training.
    pub const STEP: Plan =
        Plan { warm: 8, block: Duration::from_millis(150), blocks: 9, total: Duration::from_secs(12) };
    /// For kernels: their medians settle soon, and there are many.
    pub const KERNEL: Plan =
        Plan { warm: 4, block: Duration::from_millis(15), blocks: 9, total: Duration::from_millis(300) };
    /// For small programs.
    pub const SHORT: Plan =
        Plan { warm: 8, block: Duration::from_millis(10), blocks: 15, total: Duration::from_secs(2) };
}

/// Seconds a call.
#[derive(Clone, Copy, Debug)]
pub struct Times {
    /// The median block.
    pub median: f64,
    /// The fastest block.
    pub best: f64,
    /// Calls that were timed.
    pub calls: usize,
}

/// Times calls of `f`; `steps` asks for so many of them instead of as many as fit.
pub fn time(plan: Plan, steps: Option<usize>, mut f: impl FnMut()) -> Times {
    let once = |f: &mut dyn FnMut()| {
        let began = Instant::now();
        f();
        began.elapsed().as_secs_f64().max(1e-9)
    };
    let first = once(&mut f);
    let warm = if first > 1.0 { 1 } else { plan.warm };
    let mut one = first;
    for _ in 0..warm.min(steps.unwrap_or(usize::MAX)) {
        one = one.min(once(&mut f));
    }
    let (blocks, calls) = match steps {
        Some(steps) => {
            let blocks = steps.clamp(1, plan.blocks);
            (blocks, (steps / blocks).max(1))
        }
        None => {
            let calls = (plan.block.as_secs_f64() / one).ceil().max(1.0);
            let fit = plan.total.as_secs_f64() / (calls * one);
            ((fit as usize).clamp(3, plan.blocks), calls as usize)
        }
    };
    let mut times: Vec<f64> = (0..blocks)
        .map(|_| {
            let began = Instant::now();
            (0..calls).for_each(|_| f());
            began.elapsed().as_secs_f64() / calls as f64
        })
        .collect();
    times.sort_by(f64::total_cmp);
    Times { median: times[blocks / 2], best: times[0], calls: blocks * calls }
}

/// A clock of the time that this thread has been on a processor, so that other work of the machine does not count. The
/// system counts it in steps of some milliseconds: short times are those of an ordinary clock.
pub struct Busy {
    began: Instant,
    busy: Option<f64>,
}

/// Seconds below which the ordinary clock is taken.
const SHORT: f64 = 0.02;

impl Busy {
    pub fn now() -> Self {
        Busy { busy: memory::busy_seconds(), began: Instant::now() }
    }

    /// Seconds since then.
    pub fn seconds(&self) -> f64 {
        let passed = self.began.elapsed().as_secs_f64();
        match (self.busy, memory::busy_seconds()) {
            (Some(before), Some(after)) if passed > SHORT => passed.min(after - before),
            _ => passed,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steps_are_counted() {
        for steps in [1, 3, 9, 20] {
            let mut calls = 0;
            let times = time(Plan::STEP, Some(steps), || calls += 1);
            assert!(times.calls <= steps && times.calls + 9 > steps, "{steps}: {}", times.calls);
            assert!(calls > times.calls, "some calls do not count");
            assert!(times.best <= times.median);
        }
    }
}
