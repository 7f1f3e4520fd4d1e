//! How things are timed here: the median of repeated runs that together last a moment.

use std::time::{Duration, Instant};

use gradus_cpu::Pool;

/// The median time of one call, in nanoseconds, from runs lasting a sixteenth of a second.
pub fn median_ns(mut f: impl FnMut()) -> f64 {
    f();
    let start = Instant::now();
    f();
    let once = start.elapsed().max(Duration::from_nanos(50));
    // Short calls are timed in groups, so that the clock does not count.
    let group = (20_000 / once.as_nanos().max(1)).max(1) as u32;
    let rounds = (60_000_000 / (once.as_nanos() * group as u128)).clamp(5, 2000) as usize;
    let mut times: Vec<f64> = (0..rounds)
        .map(|_| {
            let start = Instant::now();
            (0..group).for_each(|_| f());
            start.elapsed().as_nanos() as f64 / group as f64
        })
        .collect();
    times.sort_by(f64::total_cmp);
    times[times.len() / 2]
}

/// The cost of handing two empty tasks out, back to back and after the workers have parked.
pub fn pool_latency(pool: &Pool) {
    let tasks = pool.threads();
    println!("pool    hot hand-out           {:9.0} ns", median_ns(|| pool.run(tasks, &|_| ())));
    let mut cold: Vec<u128> = (0..50)
        .map(|_| {
            std::thread::sleep(Duration::from_millis(1));
            let start = Instant::now();
            pool.run(tasks, &|_| ());
            start.elapsed().as_nanos()
        })
        .collect();
    cold.sort_unstable();
    println!("pool    hand-out after parking {:9} ns", cold[cold.len() / 2]);
}
