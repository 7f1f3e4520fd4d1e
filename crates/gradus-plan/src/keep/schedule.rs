//! When each stage is run, run again and come back through, within a number of bytes at the least time.
//!
//! The dynamic programme of checkpointing for chains of stages that differ (Beaumont, Eyraud-Dubois, Herrmann, Joly and
//! Shilova, "Optimal checkpointing for heterogeneous chains", 2019), with several ways to keep a stage. The way back
//! through stages `i..=j`, from what crosses into `i`, with `m` bytes to spare:
//!
//! * keep what stage `i` needs, go on with `i + 1..=j` in what is left, then come back through `i`; or
//! * run `i..k` keeping nothing but what crosses into `k`, come back through `k..=j`, and start again for `i..k`.
//!
//! Applied to itself, the second way is checkpointing in as many levels as the memory asks for.

use std::ops::Range;

use gradus_core::Var;

use super::chain::{Chain, Stage};

/// Bytes are counted in this many units.
const UNITS: usize = 128;
const NEVER: f32 = f32::INFINITY;

/// One thing to do.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Event {
    /// Run these stages, and keep these values.
    Forward(Range<usize>, Vec<Var>),
    /// Come back through this stage.
    Back(usize),
    /// These values are no longer needed.
    Release(Vec<Var>),
}

/// What is done first with stages `i..=j`.
#[derive(Clone, Copy)]
enum Choice {
    /// Keep what stage `i` needs, by this choice of kept values.
    Keep(usize),
    /// Keep what crosses into this stage.
    Skip(usize),
}

/// The least times for all stretches and amounts of memory.
pub(super) struct Table<'a> {
    chain: &'a Chain<'a>,
    unit: usize,
    stages: usize,
    cost: Vec<f32>,
    choice: Vec<Option<Choice>>,
}

impl<'a> Table<'a> {
    pub(super) fn new(chain: &'a Chain<'a>) -> Self {
        let n = chain.stages.len();
        let all: usize = chain.stages.iter().map(|s| chain.bytes(&s.needs[0], &[])).sum();
        let back = chain.stages.iter().map(|s| s.back_bytes).max().unwrap_or(0);
        let unit = ((all + back) / UNITS).max(1);
        let mut table = Table { chain, unit, stages: n, cost: Vec::new(), choice: Vec::new() };
        table.cost = vec![NEVER; 2 * n * n * (UNITS + 1)];
        table.choice = vec![None; table.cost.len()];
        table.fill();
        table
    }

    /// Where the entry for stages `i..=j` lies; `from` says whether what crosses into `i` is at hand by itself.
    fn at(&self, from: bool, i: usize, j: usize) -> usize {
        ((usize::from(from) * self.stages + i) * self.stages + j) * (UNITS + 1)
    }

    fn units(&self, bytes: usize) -> usize {
        (bytes + self.unit / 2) / self.unit
    }

    fn fill(&mut self) {
        let chain = self.chain;
        let stages = &chain.stages;
        let n = self.stages;
        let choices = stages[0].needs.len();
        // What keeping a stage adds, and what a checkpoint adds, by whether what crosses into `i` is at hand.
        let before = |i: usize, from: bool, c: usize| -> &[Var] {
            if from {
                &stages[i].crossing
            } else if i > 0 {
                &stages[i - 1].needs[c]
            } else {
                &[]
            }
        };
        let mut adds = vec![0; 2 * n * choices];
        let mut skips = vec![0; 2 * n * n];
        for from in [false, true] {
            for i in 0..n {
                for c in 0..choices {
                    let bytes = chain.bytes(&stages[i].needs[c], before(i, from, c));
                    adds[(usize::from(from) * n + i) * choices + c] = self.units(bytes);
                }
                for k in i + 1..n {
                    let but = if from { &stages[i].crossing[..] } else { &[] };
                    skips[(usize::from(from) * n + i) * n + k] =
                        self.units(chain.bytes(&stages[k].crossing, but));
                }
            }
        }
        let mut run = vec![0.0; n + 1];
        for i in 0..n {
            run[i + 1] = run[i] + stages[i].seconds;
        }
        for length in 1..=n {
            for (i, from) in (0..=n - length).flat_map(|i| [(i, false), (i, true)]) {
                let j = i + length - 1;
                let here = self.at(from, i, j);
                let back = self.units(stages[i].back_bytes);
                for c in 0..choices {
                    let add = adds[(usize::from(from) * n + i) * choices + c];
                    let time = (stages[i].seconds + stages[i].again[c]) as f32;
                    let rest = (i < j).then(|| self.at(false, i + 1, j));
                    for m in add + back..=UNITS {
                        let cost = time + rest.map_or(0.0, |r| self.cost[r + m - add]);
                        self.offer(here + m, cost, Choice::Keep(c));
                    }
                }
                for k in i + 1..=j {
                    let add = skips[(usize::from(from) * n + i) * n + k];
                    let time = (run[k] - run[i]) as f32;
                    let (rest, start) = (self.at(true, k, j), self.at(from, i, k - 1));
                    for m in add..=UNITS {
                        let cost = time + self.cost[rest + m - add] + self.cost[start + m];
                        self.offer(here + m, cost, Choice::Skip(k));
                    }
                }
            }
        }
    }

    fn offer(&mut self, at: usize, cost: f32, choice: Choice) {
        if cost < self.cost[at] {
            self.cost[at] = cost;
            self.choice[at] = Some(choice);
        }
    }

    /// Schedules with less and less memory, each of which takes more time than the one before.
    pub(super) fn ladder(&self) -> Vec<usize> {
        let top = self.at(true, 0, self.stages - 1);
        let mut out: Vec<usize> = Vec::new();
        for m in (0..=UNITS).rev().filter(|m| self.cost[top + m] < NEVER) {
            match out.last_mut() {
                // The same time with less memory.
                Some(last) if self.cost[top + m] <= self.cost[top + *last] => *last = m,
                _ => out.push(m),
            }
        }
        out
    }

    /// The time within `m` units.
    pub(super) fn time(&self, m: usize) -> f32 {
        self.cost[self.at(true, 0, self.stages - 1) + m]
    }

    /// The time of keeping what the last choice keeps, throughout.
    pub(super) fn time_of_least(&self) -> f32 {
        let one = |s: &Stage| s.seconds + s.again.last().copied().unwrap_or(0.0);
        self.chain.stages.iter().map(one).sum::<f64>() as f32
    }

    /// What is done within `m` units.
    pub(super) fn events(&self, m: usize) -> Vec<Event> {
        let mut out = Vec::new();
        self.write(true, 0, self.stages - 1, m, &mut out);
        out
    }

    fn write(&self, from: bool, i: usize, j: usize, m: usize, out: &mut Vec<Event>) {
        let stages = &self.chain.stages;
        let Some(choice) = self.choice[self.at(from, i, j) + m] else { return };
        match choice {
            Choice::Keep(c) => {
                let needs = stages[i].needs[c].clone();
                out.push(Event::Forward(i..i + 1, needs.clone()));
                if i < j {
                    let held: &[Var] = match (from, i) {
                        (true, _) => &stages[i].crossing,
                        (false, 0) => &[],
                        (false, _) => &stages[i - 1].needs[c],
                    };
                    let add = self.units(self.chain.bytes(&needs, held));
                    self.write(false, i + 1, j, m - add, out);
                }
                out.push(Event::Back(i));
                out.push(Event::Release(needs));
            }
            Choice::Skip(k) => {
                let crossing = stages[k].crossing.clone();
                let held: &[Var] = if from { &stages[i].crossing } else { &[] };
                let add = self.units(self.chain.bytes(&crossing, held));
                out.push(Event::Forward(i..k, crossing.clone()));
                self.write(true, k, j, m - add, out);
                out.push(Event::Release(crossing));
                self.write(from, i, k - 1, m, out);
            }
        }
    }

    /// A schedule in words.
    pub(super) fn described(&self, events: &[Event]) -> String {
        let mut runs = vec![0usize; self.stages];
        for event in events {
            if let Event::Forward(stages, _) = event {
                stages.clone().for_each(|s| runs[s] += 1);
            }
        }
        let again = runs.iter().filter(|&&r| r > 1).count();
        let most = runs.iter().max().copied().unwrap_or(0);
        format!("{again} of {} stages are run again, up to {most} runs", self.stages)
    }
}
