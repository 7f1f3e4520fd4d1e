//! Side-by-side timing: the contenders of a row take turns, and each reports its median.

use std::hint::black_box;
use std::time::{Duration, Instant};

/// One contender of a row.
pub struct Entry<'a> {
    pub name: &'static str,
    /// Performs the task once and returns a number that depends on the result.
    pub run: Box<dyn FnMut() -> f64 + 'a>,
}

/// One task and all who attempt it.
pub struct Row<'a> {
    pub task: &'static str,
    pub entries: Vec<Entry<'a>>,
    /// What does not apply, and why.
    pub absent: Vec<(&'static str, &'static str)>,
    /// What the driver said of its choice.
    pub plan: String,
}

impl<'a> Row<'a> {
    pub fn new(task: &'static str) -> Self {
        Row { task, entries: Vec::new(), absent: Vec::new(), plan: String::new() }
    }

    pub fn entry(mut self, name: &'static str, run: impl FnMut() -> f64 + 'a) -> Self {
        self.entries.push(Entry { name, run: Box::new(run) });
        self
    }

    pub fn absent(mut self, name: &'static str, why: &'static str) -> Self {
        self.absent.push((name, why));
        self
    }

    pub fn plan(mut self, text: String) -> Self {
        self.plan = text;
        self
    }
}

/// A row's medians, in nanoseconds a call.
pub struct Result {
    pub task: &'static str,
    pub times: Vec<(&'static str, f64)>,
    pub absent: Vec<(&'static str, &'static str)>,
    pub plan: String,
}

/// Times a row: each contender's batch lasts about `batch`, the batches alternate, `rounds` times.
///
/// # Panics
/// If a contender's checksum differs from the first's: then it does not compute the same thing.
pub fn measure(mut row: Row<'_>, batch: Duration, rounds: usize) -> Result {
    let mut reference = None;
    let mut repeats = Vec::new();
    for entry in &mut row.entries {
        let sum = (entry.run)();
        if entry.name != "plain" {
            let want = *reference.get_or_insert(sum);
            let close = (sum - want).abs() <= 1e-8 * want.abs().max(1.0);
            assert!(close, "{}: {} computes {sum}, not {want}", row.task, entry.name);
        }
        let start = Instant::now();
        let mut count = 0u32;
        while count == 0 || start.elapsed() < batch {
            black_box((entry.run)());
            count += 1;
        }
        repeats.push(count);
    }
    let mut samples = vec![Vec::with_capacity(rounds); row.entries.len()];
    for _ in 0..rounds {
        for (k, entry) in row.entries.iter_mut().enumerate() {
            let start = Instant::now();
            for _ in 0..repeats[k] {
                black_box((entry.run)());
            }
            samples[k].push(start.elapsed().as_secs_f64() * 1e9 / f64::from(repeats[k]));
        }
    }
    let times = row.entries.iter().zip(&mut samples).map(|(entry, sample)| {
        sample.sort_by(f64::total_cmp);
        (entry.name, sample[sample.len() / 2])
    });
    Result { task: row.task, times: times.collect(), absent: row.absent, plan: row.plan }
}
