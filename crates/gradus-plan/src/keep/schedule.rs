//! Schedules the forward runs, recomputations and backward pass of each stage within a number of bytes, in the least
//! time.
//!
//! The dynamic programme of checkpointing for chains of stages that differ (Beaumont, Eyraud-Dubois, Herrmann, Joly and
//! Shilova, "Optimal checkpointing for heterogeneous chains", 2019), with several choices of kept values per stage. The
//! backward pass through stages `i..=j`, from what crosses into `i`, with `m` bytes to spare:
//!
//! * keep the values that stage `i` uses, continue with `i + 1..=j` in the remaining memory, then run the backward pass
//!   through `i`; or
//! * run `i..k` keeping only the values that cross into `k`, run the backward pass through `k..=j`, and start again for
//!   `i..k`, for which the values that cross into `i` are kept too.
//!
//! Applied recursively, the second choice is checkpointing in as many levels as the memory requires.

use std::ops::Range;

use gradus_core::Var;

use super::chain::{Buffers, Chain, RecomputeOption, Stage};

/// The fewest and the most units that the bytes are counted in; more for fewer stages.
const UNITS: [usize; 2] = [128, 512];
/// The approximate number of entries times options of the table.
const WORK: usize = 12_000_000;
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

/// The first action for stages `i..=j`: 0 for none, `1 + w` to keep the values that option `w` of stage `i` uses, `1 +
/// options + k` to keep the values that cross into stage `k`, where `k` may be `i` itself.
type Action = u16;

/// The values available before stage `i`: 0 for those that cross into it, `1 + w` for those that option `w` of the
/// previous stage uses.
type Before = usize;
const CROSSING: Before = 0;

/// The least times for all ranges of stages and amounts of memory.
pub(super) struct Table<'a> {
    pub(super) chain: &'a Chain<'a>,
    /// Bytes of a unit.
    unit: usize,
    units: usize,
    stages: usize,
    /// The most options of a stage.
    options: usize,
    cost: Vec<f32>,
    step: Vec<Action>,
}

impl<'a> Table<'a> {
    pub(super) fn new(chain: &'a Chain<'a>) -> Self {
        let stages = &chain.stages;
        let n = stages.len();
        let options = stages.iter().map(|s| s.options.len()).max().unwrap_or(0);
        let most = |of: fn(&RecomputeOption) -> usize| {
            let one = |s: &Stage| s.options.iter().map(of).max().unwrap_or(0);
            stages.iter().map(one).collect::<Vec<usize>>()
        };
        let all = most(|w| w.held.bytes()).iter().sum::<usize>();
        let back = most(|w| w.bytes).into_iter().max().unwrap_or(0);
        let work = n * n * (n + 3 * options * (options + 2)) / 6;
        let units = (WORK / work.max(1)).clamp(UNITS[0], UNITS[1]);
        let unit = ((all + back) / units).max(1);
        let entries = (1 + options) * n * n * (units + 1);
        let (cost, step) = (vec![NEVER; entries], vec![0; entries]);
        let mut table = Table { chain, unit, units, stages: n, options, cost, step };
        table.fill();
        table
    }

    /// Where the entry for stages `i..=j` lies.
    fn at(&self, before: Before, i: usize, j: usize) -> usize {
        ((before * self.stages + i) * self.stages + j) * (self.units + 1)
    }

    fn in_units(&self, bytes: usize) -> usize {
        (bytes + self.unit / 2) / self.unit
    }

    /// The buffers at hand before stage `i`.
    fn held(&self, before: Before, i: usize) -> &Buffers {
        let stages = &self.chain.stages;
        before.checked_sub(1).map_or(&stages[i].held, |w| &stages[i - 1].options[w].held)
    }

    /// Units of memory that keeping stage `i` by option `w` adds.
    fn kept(&self, before: Before, i: usize, w: usize) -> usize {
        self.in_units(self.chain.stages[i].options[w].held.beyond(self.held(before, i)))
    }

    /// Units of memory that keeping the values that cross into stage `k` adds.
    fn crossing(&self, before: Before, i: usize, k: usize) -> usize {
        self.in_units(self.chain.stages[k].held.beyond(self.held(before, i)))
    }

    fn fill(&mut self) {
        let stages = &self.chain.stages;
        let n = self.stages;
        let mut run = vec![0.0; n + 1];
        for i in 0..n {
            run[i + 1] = run[i] + stages[i].seconds;
        }
        let width = self.units + 1;
        let mut cost = vec![NEVER; width];
        let mut step = vec![0; width];
        for length in 1..=n {
            for i in 0..=n - length {
                let j = i + length - 1;
                let most = i.checked_sub(1).map_or(0, |b| stages[b].options.len());
                for before in CROSSING..=most {
                    cost.fill(NEVER);
                    step.fill(0);
                    for (w, option) in stages[i].options.iter().enumerate() {
                        let (add, back) = (self.kept(before, i, w), self.in_units(option.bytes));
                        if add + back > self.units {
                            continue;
                        }
                        let choice = 1 + w as Action;
                        let here = cost[add + back..].iter_mut().zip(&mut step[add + back..]);
                        if i == j {
                            let time = (option.alone + option.again) as f32;
                            here.for_each(|(c, s)| offer(c, s, time, choice));
                        } else {
                            let time = (option.both + option.again) as f32;
                            let rest = self.at(1 + w, i + 1, j);
                            let rest = &self.cost[rest + back..rest + width - add];
                            here.zip(rest).for_each(|((c, s), r)| offer(c, s, time + r, choice));
                        }
                    }
                    // Either the values that cross into `k` are kept and stage `i` is run again, or those that cross
                    // into `i` are kept.
                    for k in if before == CROSSING { i + 1..j + 1 } else { i..i + 1 } {
                        let add = self.crossing(before, i, k);
                        if add > self.units {
                            continue;
                        }
                        let choice = (1 + self.options + k) as Action;
                        let here = cost[add..].iter_mut().zip(&mut step[add..]);
                        let rest = self.at(CROSSING, k, j);
                        let rest = &self.cost[rest..rest + width - add];
                        if before != CROSSING {
                            here.zip(rest).for_each(|((c, s), r)| offer(c, s, *r, choice));
                            continue;
                        }
                        let time = (run[k] - run[i]) as f32;
                        let start = self.at(CROSSING, i, k - 1);
                        let start = &self.cost[start + add..start + width];
                        here.zip(rest.iter().zip(start))
                            .for_each(|((c, s), (r, b))| offer(c, s, time + r + b, choice));
                    }
                    let at = self.at(before, i, j);
                    self.cost[at..at + width].copy_from_slice(&cost);
                    self.step[at..at + width].copy_from_slice(&step);
                }
            }
        }
    }

    /// Schedules with decreasing memory, each slower than the one before.
    pub(super) fn ladder(&self) -> Vec<usize> {
        let top = self.at(CROSSING, 0, self.stages - 1);
        let mut out: Vec<usize> = Vec::new();
        for m in (0..=self.units).rev().filter(|m| self.cost[top + m] < NEVER) {
            match out.last_mut() {
                // The same time with less memory.
                Some(last) if self.cost[top + m] <= self.cost[top + *last] => *last = m,
                _ => out.push(m),
            }
        }
        out
    }

    /// What is done within `m` units.
    pub(super) fn events(&self, m: usize) -> Vec<Event> {
        let mut out = Vec::new();
        self.write(CROSSING, 0, self.stages - 1, m, &mut out);
        out
    }

    fn write(&self, before: Before, i: usize, j: usize, m: usize, out: &mut Vec<Event>) {
        let stages = &self.chain.stages;
        let Some(step) = usize::from(self.step[self.at(before, i, j) + m]).checked_sub(1) else { return };
        match step.checked_sub(self.options) {
            None => {
                let kept = &stages[i].options[step].kept;
                out.push(Event::Forward(i..i + 1, kept.clone()));
                if i < j {
                    self.write(1 + step, i + 1, j, m - self.kept(before, i, step), out);
                }
                out.push(Event::Back(i));
                out.push(Event::Release(kept.clone()));
            }
            Some(k) => {
                let crossing = stages[k].crossing.clone();
                out.push(Event::Forward(i..k, crossing.clone()));
                self.write(CROSSING, k, j, m - self.crossing(before, i, k), out);
                out.push(Event::Release(crossing));
                if before == CROSSING {
                    self.write(CROSSING, i, k - 1, m, out);
                }
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

fn offer(cost: &mut f32, step: &mut Action, new: f32, choice: Action) {
    if new < *cost {
        *cost = new;
        *step = choice;
    }
}
