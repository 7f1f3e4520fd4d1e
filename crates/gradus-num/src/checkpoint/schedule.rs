//! The schedules: which state to store, which to recompute, when to reverse a step.

use std::vec::Vec;

/// What a reversal cost.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LoopCost {
    /// The number of steps in the loop.
    pub steps: usize,
    /// Steps taken forward without recording, the first pass included. A step is recorded once besides.
    pub advances: usize,
    /// The largest number of states stored at the same time, the initial state included.
    pub stored: usize,
}

/// `β(c, r) = (c + r)! / (c! r!)`: the longest loop that `c` slots reverse with at most `r` passes over any
/// step; 0 below the range, saturating above it.
fn beta(c: usize, r: isize) -> usize {
    if r < 0 {
        return 0;
    }
    let (total, fewer) = (c as u128 + r as u128, (c as u128).min(r as u128));
    let mut product = 1u128;
    for i in 1..=fewer {
        // Exact: a product of i consecutive numbers is divisible by i!.
        product = product.saturating_mul(total - fewer + i) / i;
        if product > usize::MAX as u128 {
            return usize::MAX;
        }
    }
    product as usize
}

/// The least `r` with `steps <= β(slots, r)`.
fn passes(steps: usize, slots: usize) -> isize {
    // Found by halving: with few slots it is nearly the number of steps, which is more than there will ever be if it does
    // not fit.
    let steps = steps.min(isize::MAX as usize);
    let (mut below, mut enough) = (-1, 0);
    while beta(slots, enough) < steps {
        (below, enough) = (enough, enough.saturating_mul(2).max(1));
    }
    while enough - below > 1 {
        let middle = below + (enough - below) / 2;
        if beta(slots, middle) < steps {
            below = middle;
        } else {
            enough = middle;
        }
    }
    enough
}

/// The fewest steps that must be advanced without recording to reverse `steps` with `slots` stored states:
/// `r l - β(c + 1, r - 1)` where `β(c, r - 1) < l <= β(c, r)`; `usize::MAX` if they are more than that.
///
/// ```
/// use gradus_num::checkpoint::least_advances;
/// assert_eq!(least_advances(10, 1), 45); // only the initial state: 9 + 8 + ... + 1
/// assert_eq!(least_advances(10, 10), 9); // every state
/// assert_eq!(least_advances(10, 3), 15);
/// ```
pub fn least_advances(steps: usize, slots: usize) -> usize {
    let slots = slots.max(1);
    let r = passes(steps, slots);
    let all = (r as u128 * steps as u128).saturating_sub(beta(slots.saturating_add(1), r - 1) as u128);
    usize::try_from(all).unwrap_or(usize::MAX)
}

/// How many of `steps` steps (at least 2) to advance before the next checkpoint, where `slots` (at least 2) states can
/// be stored, the initial one among them: both parts are then reversed with the least work.
pub fn split(steps: usize, slots: usize) -> usize {
    let r = passes(steps, slots);
    // Any split for which the left part is in the range of (slots, r - 1) and the right part in that of
    // (slots - 1, r) is optimal; this is the longest.
    beta(slots, r - 1).min(steps - beta(slots - 1, r - 1)).max(1)
}

/// Reverses a loop of a known number of steps with at most `slots` stored states (at least 1, the initial one).
///
/// `advance(t, state)` performs step `t` (0-based) in place. `reverse(t, state)` is called once for each step,
/// from the last to the first, with the state *before* step `t`.
///
/// ```
/// use gradus_num::checkpoint::{least_advances, reverse_loop};
/// let mut seen = vec![];
/// let cost = reverse_loop(10, 3, &0, |_, x| *x += 1, |t, &x| seen.push((t, x)));
/// assert_eq!(seen, (0..10).rev().map(|t| (t, t as i32)).collect::<Vec<_>>());
/// assert_eq!(cost.advances, least_advances(10, 3));
/// ```
pub fn reverse_loop<S: Clone>(
    steps: usize,
    slots: usize,
    initial: &S,
    mut advance: impl FnMut(usize, &mut S),
    mut reverse: impl FnMut(usize, &S),
) -> LoopCost {
    let mut run = Run { advance: &mut advance, reverse: &mut reverse, advances: 0, stored: 1, most: 1 };
    run.segment(initial, 0, steps, slots.max(1));
    LoopCost { steps, advances: run.advances, stored: run.most }
}

struct Run<'a, S> {
    advance: &'a mut dyn FnMut(usize, &mut S),
    reverse: &'a mut dyn FnMut(usize, &S),
    advances: usize,
    stored: usize,
    most: usize,
}

impl<S: Clone> Run<'_, S> {
    fn advance(&mut self, state: &mut S, from: usize, steps: usize) {
        for t in from..from + steps {
            (self.advance)(t, state);
        }
        self.advances += steps;
    }

    /// Reverses `steps` steps from `state`, which is stored and counts as one of the `slots`.
    fn segment(&mut self, state: &S, start: usize, mut steps: usize, slots: usize) {
        while steps > 1 && slots > 1 {
            let left = split(steps, slots);
            let mut middle = state.clone();
            self.stored += 1;
            self.most = self.most.max(self.stored);
            self.advance(&mut middle, start, left);
            self.segment(&middle, start + left, steps - left, slots - 1);
            self.stored -= 1;
            steps = left;
        }
        for t in (start..start + steps).rev() {
            if t == start {
                (self.reverse)(t, state);
            } else {
                let mut before = state.clone();
                self.advance(&mut before, start, t - start);
                (self.reverse)(t, &before);
            }
        }
    }
}

/// A stored state of a loop whose end is not known yet.
struct Checkpoint<S> {
    step: usize,
    level: usize,
    state: S,
}

/// Reverses a loop that runs while `more(t, state)` holds, with at most `slots` stored states (at least 2).
///
/// `finish(steps, state)` sees the final state before the first `reverse`. The other closures are those of
/// [`reverse_loop`].
pub fn reverse_while<S: Clone>(
    slots: usize,
    initial: &S,
    mut more: impl FnMut(usize, &S) -> bool,
    mut advance: impl FnMut(usize, &mut S),
    finish: impl FnOnce(usize, &S),
    mut reverse: impl FnMut(usize, &S),
) -> LoopCost {
    let slots = slots.max(2);
    let mut kept = vec![Checkpoint { step: 0, level: usize::MAX, state: initial.clone() }];
    let mut most = 1;
    let mut state = initial.clone();
    let mut steps = 0;
    while more(steps, &state) {
        if steps > 0 {
            let level = make_room(&mut kept, slots);
            kept.push(Checkpoint { step: steps, level, state: state.clone() });
            most = most.max(kept.len());
        }
        advance(steps, &mut state);
        steps += 1;
    }
    finish(steps, &state);
    drop(state);

    let mut advances = steps;
    let mut end = steps;
    while let Some(checkpoint) = kept.pop() {
        let free = slots - kept.len();
        let mut run = Run { advance: &mut advance, reverse: &mut reverse, advances: 0, stored: 1, most: 1 };
        run.segment(&checkpoint.state, checkpoint.step, end - checkpoint.step, free);
        advances += run.advances;
        most = most.max(kept.len() + run.most);
        end = checkpoint.step;
    }
    LoopCost { steps, advances, stored: most }
}

/// Frees a slot for one more checkpoint and returns its level.
///
/// A checkpoint is dispensable if one of a higher level comes after it. If none is, the newest moves up a
/// level and forward to the present step.
fn make_room<S>(kept: &mut Vec<Checkpoint<S>>, slots: usize) -> usize {
    if kept.len() < slots {
        return 0;
    }
    let mut highest_after = 0;
    for i in (0..kept.len()).rev() {
        if kept[i].level < highest_after {
            kept.remove(i);
            return 0;
        }
        highest_after = highest_after.max(kept[i].level);
    }
    kept.pop().map_or(0, |newest| newest.level.saturating_add(1))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The least number of advances by dynamic programming over every possible schedule.
    fn by_search(steps: usize, slots: usize) -> usize {
        let mut best = vec![vec![0; slots + 1]; steps + 1];
        for l in 1..=steps {
            for c in 1..=slots {
                best[l][c] = l * (l - 1) / 2;
                if c > 1 {
                    for k in 1..l {
                        best[l][c] = best[l][c].min(k + best[l - k][c - 1] + best[k][c]);
                    }
                }
            }
        }
        best[steps][slots]
    }

    #[test]
    fn formula_and_schedule_reach_the_minimum() {
        for steps in 1..60 {
            for slots in 1..9 {
                let least = by_search(steps, slots);
                assert_eq!(least_advances(steps, slots), least, "{steps} steps, {slots} slots");
                let mut next = steps;
                let cost = reverse_loop(
                    steps,
                    slots,
                    &0usize,
                    |t, s| {
                        assert_eq!(*s, t);
                        *s += 1;
                    },
                    |t, &s| {
                        assert_eq!((t, s), (next - 1, t));
                        next = t;
                    },
                );
                assert_eq!(next, 0);
                assert_eq!(cost.advances, least, "{steps} steps, {slots} slots");
                assert!(cost.stored <= slots);
            }
        }
    }

    #[test]
    fn a_long_loop_stays_within_its_passes() {
        let (steps, slots) = (100_000, 12);
        let cost = reverse_loop(steps, slots, &0usize, |_, s| *s += 1, |t, &s| assert_eq!(t, s));
        assert_eq!(cost.advances, least_advances(steps, slots));
        assert!(cost.advances <= passes(steps, slots) as usize * steps);
    }

    #[test]
    fn an_unknown_length_reverses_every_step_once_within_its_slots() {
        for slots in 2..8 {
            for steps in 0..200 {
                let (mut next, mut finished) = (steps, None);
                let cost = reverse_while(
                    slots,
                    &0usize,
                    |t, &s| {
                        assert_eq!(t, s);
                        t < steps
                    },
                    |t, s| {
                        assert_eq!(*s, t);
                        *s += 1;
                    },
                    |n, &s| finished = Some((n, s)),
                    |t, &s| {
                        assert_eq!((t, s), (next - 1, t));
                        next = t;
                    },
                );
                assert_eq!((next, finished), (0, Some((steps, steps))));
                assert_eq!(cost.steps, steps);
                assert!(cost.stored <= slots, "{} > {slots}", cost.stored);
                // One more pass than the optimum for a known length is what not knowing may cost here.
                let bound = steps + least_advances(steps.max(1), slots) + steps;
                assert!(cost.advances <= bound, "{steps} steps, {slots} slots: {}", cost.advances);
            }
        }
    }

    #[test]
    fn nothing_to_do_does_nothing() {
        let cost = reverse_loop(0, 3, &(), |_, _| panic!("no step"), |_, _| panic!("no step"));
        assert_eq!(cost, LoopCost { steps: 0, advances: 0, stored: 1 });
    }
}
