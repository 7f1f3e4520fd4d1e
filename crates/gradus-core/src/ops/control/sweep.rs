//! The order in which a [`Replay`](super::Replay) takes its steps, and the buffers it needs meanwhile.
//!
//! Level `k` goes through the steps against the direction of level `k - 1` and reads, at each step, the states with
//! which the levels below entered it. So those are stored at a few places and recomputed from there. A run of level
//! `k` over a stretch of steps divides it where the binomial schedule says, lets each level below go through the
//! stretch once, storing its state at the divisions, and then goes through the parts itself, the last first, each in
//! the same way with the slots that are free by then. With two levels this is the schedule of Griewank and Walther
//! (ACM TOMS 26, 2000), which takes the fewest steps possible.

use std::ops::Range;

use gradus_num::checkpoint::split;
use smallvec::{SmallVec, smallvec};

type Buffers = SmallVec<[usize; 4]>;

/// Who takes the steps.
pub trait Stepper {
    /// What can go wrong.
    type Error;
    /// Takes step `t` of level `level` from the states in the buffers `states`, those of the levels below and its own,
    /// to the buffer `to`, which is none of them.
    fn step(&mut self, level: usize, t: usize, states: &[usize], to: usize) -> Result<(), Self::Error>;
}

/// A schedule for any number of steps.
///
/// Buffers are numbered: first the initial state of every level, then the result, then those of
/// [`buffers`](Self::buffers).
#[derive(Clone, Debug)]
pub struct Sweep {
    levels: usize,
    reverse: bool,
    slots: usize,
}

impl Sweep {
    /// A schedule for `levels` levels, of which the first goes backwards if `reverse`, with `slots` stored states a
    /// level (at least 1, the initial one).
    pub fn new(levels: usize, reverse: bool, slots: usize) -> Self {
        Sweep { levels, reverse, slots: slots.max(1) }
    }

    /// The number of states a level may store, the initial one included.
    pub fn slots(&self) -> usize {
        self.slots
    }

    /// The buffer of the result.
    pub fn result(&self) -> usize {
        self.levels
    }

    /// The level whose state each buffer after the result holds. Their number does not depend on that of the steps.
    pub fn buffers(&self) -> Vec<usize> {
        let mut out: Vec<usize> = (0..self.levels).flat_map(|k| [k, k]).collect();
        for k in 1..self.levels {
            for _ in 0..self.rows(k) {
                out.extend(0..k);
            }
        }
        out
    }

    /// Places of level `k` at which the states below are stored: the slots without the initial one, and space for the
    /// states of the step at hand.
    fn rows(&self, k: usize) -> usize {
        self.slots - 1 + if k == 1 { 1 } else { 2 }
    }

    /// Takes `trips` steps of the highest level (at least 1), and of those below as often as needed.
    ///
    /// # Errors
    /// Those of the steps.
    pub fn run<S: Stepper>(&self, trips: usize, stepper: &mut S) -> Result<(), S::Error> {
        let mut bank = self.levels + 1 + 2 * self.levels;
        let mut banks: Buffers = smallvec![bank];
        for k in 1..self.levels {
            banks.push(bank);
            bank += self.rows(k) * k;
        }
        let mut run = Run { sweep: self, stepper, banks };
        let entry: Buffers = (0..self.levels - 1).collect();
        run.run(self.levels - 1, 0..trips, &entry, self.levels - 1, Some(self.result()), 0)?;
        Ok(())
    }

    /// How many steps of each level `trips` steps of the highest take.
    ///
    /// ```
    /// use gradus_core::ops::Sweep;
    /// // One level below, 10 steps, 3 slots: 15 steps of it, and 10 of the level on top.
    /// assert_eq!(Sweep::new(2, false, 3).count(10), [15, 10]);
    /// ```
    pub fn count(&self, trips: usize) -> Vec<u64> {
        struct Count(Vec<u64>);
        impl Stepper for Count {
            type Error = std::convert::Infallible;
            fn step(&mut self, level: usize, _: usize, _: &[usize], _: usize) -> Result<(), Self::Error> {
                self.0[level] += 1;
                Ok(())
            }
        }
        let mut count = Count(vec![0; self.levels]);
        if trips > 0 {
            let Ok(()) = self.run(trips, &mut count);
        }
        count.0
    }
}

struct Run<'a, S> {
    sweep: &'a Sweep,
    stepper: &'a mut S,
    /// The first stored state of each level.
    banks: Buffers,
}

impl<S: Stepper> Run<'_, S> {
    fn forward(&self, level: usize) -> bool {
        level.is_multiple_of(2) != self.sweep.reverse
    }

    /// The buffer for the state of level `j` at place `row` of level `k`.
    fn stored(&self, k: usize, row: usize, j: usize) -> usize {
        self.banks[k] + row * k + j
    }

    /// One step; the state goes to `to`, or to the buffer of the two for passing states that it does not come from.
    fn step(
        &mut self,
        k: usize,
        t: usize,
        entry: &[usize],
        state: usize,
        to: Option<usize>,
    ) -> Result<usize, S::Error> {
        let first = self.sweep.levels + 1 + 2 * k;
        let to = to.unwrap_or(if state == first { first + 1 } else { first });
        let mut states: Buffers = entry.into();
        states.push(state);
        self.stepper.step(k, t, &states, to)?;
        Ok(to)
    }

    /// Takes level `k` through `steps` from `state`; `entry` holds the states with which the levels below enter them,
    /// each at its own end. Rows up to `used` of the level's bank are taken. Returns the buffer of the last state.
    fn run(
        &mut self,
        k: usize,
        steps: Range<usize>,
        entry: &[usize],
        mut state: usize,
        to: Option<usize>,
        used: usize,
    ) -> Result<usize, S::Error> {
        let n = steps.len();
        if k == 0 {
            for i in 0..n {
                let t = if self.forward(0) { steps.start + i } else { steps.end - 1 - i };
                state = self.step(0, t, &[], state, to.filter(|_| i + 1 == n))?;
            }
            return Ok(state);
        }
        if n == 1 {
            return self.step(k, steps.start, entry, state, to);
        }
        let mut free = self.sweep.slots - used;
        if free == 1 {
            return self.one_by_one(k, steps, entry, state, to);
        }
        // Divisions, counted from where level k - 1 enters.
        let mut ends: SmallVec<[usize; 32]> = smallvec![0];
        let mut left = n;
        while left > 1 && free > 1 {
            let part = split(left, free);
            ends.push(n - left + part);
            left -= part;
            free -= 1;
        }
        let last = ends.len() - 1;
        ends.push(n);
        let below = self.forward(k - 1);
        let part = |q: usize| {
            if below {
                steps.start + ends[q]..steps.start + ends[q + 1]
            } else {
                steps.end - ends[q + 1]..steps.end - ends[q]
            }
        };
        // The state of level j as it enters part q: from one end or the other.
        let enters = |run: &Self, q: usize, j: usize| {
            let (outside, row) = if run.forward(j) == below { (q == 0, q) } else { (q == last, q + 1) };
            if outside { entry[j] } else { run.stored(k, used + row - 1, j) }
        };
        for j in 0..k {
            for i in 0..last {
                let (q, row) = if self.forward(j) == below { (i, i) } else { (last - i, last - i - 1) };
                let lower: Buffers = (0..j).map(|l| enters(self, q, l)).collect();
                let to = self.stored(k, used + row, j);
                self.run(j, part(q), &lower, enters(self, q, j), Some(to), 0)?;
            }
        }
        for q in (0..=last).rev() {
            let lower: Buffers = (0..k).map(|l| enters(self, q, l)).collect();
            // Divisions behind are free again; the next one is, unless a level below enters from there.
            let taken = if k == 1 { q } else { (q + 1).min(last) };
            state = self.run(k, part(q), &lower, state, to.filter(|_| q == 0), used + taken)?;
        }
        Ok(state)
    }

    /// As [`run`](Self::run) with no free slot: the states below are computed anew for every step.
    fn one_by_one(
        &mut self,
        k: usize,
        steps: Range<usize>,
        entry: &[usize],
        mut state: usize,
        to: Option<usize>,
    ) -> Result<usize, S::Error> {
        let (n, ahead) = (steps.len(), self.forward(k));
        let mut entry: Buffers = entry.into();
        for i in 0..n {
            let (t, rest) = if ahead {
                (steps.start + i, steps.start + i + 1..steps.end)
            } else {
                (steps.end - 1 - i, steps.start..steps.end - 1 - i)
            };
            if rest.is_empty() {
                return self.step(k, t, &entry, state, to);
            }
            let row = self.sweep.slots - 1 + if k == 1 { 0 } else { i % 2 };
            // States between this step and the rest, on which the levels work from both sides.
            let mut between = Buffers::new();
            for j in 0..k {
                let with = self.forward(j) == ahead;
                let lower: Buffers = (0..j)
                    .map(|l| if (self.forward(l) == ahead) == with { entry[l] } else { between[l] })
                    .collect();
                let range = if with { t..t + 1 } else { rest.clone() };
                let to = self.stored(k, row, j);
                between.push(self.run(j, range, &lower, entry[j], Some(to), 0)?);
            }
            let lower: Buffers =
                (0..k).map(|l| if self.forward(l) == ahead { entry[l] } else { between[l] }).collect();
            state = self.step(k, t, &lower, state, None)?;
            for l in (0..k).filter(|&l| self.forward(l) == ahead) {
                entry[l] = between[l];
            }
        }
        Ok(state)
    }
}
