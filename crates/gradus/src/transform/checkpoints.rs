//! How many states reverse mode through a loop may store.

use gradus_num::checkpoint::least_advances;

/// How many states of a loop reverse mode may store; the others are recomputed, to the same bits, from those.
///
/// With `c` slots and at most `r` passes over any step, `(c + r)! / (c! r!)` steps can be reversed: memory is the same
/// for loops of any length, and time grows by a factor that the logarithm of the length bounds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Checkpoints {
    /// For a `while_loop` as many states as fit into 64 MiB, but 8 at least and 64 at most. A `scan` stores what each
    /// step's derivative reads, as far as a memory budget allows.
    #[default]
    Auto,
    /// So many, at least one: the initial state is one of them. A `while_loop`, which cannot know how many it will use,
    /// takes a million at most.
    Slots(usize),
}

impl Checkpoints {
    /// How often the body of a loop of `trips` steps runs for a gradient: once for the result, once inside the
    /// derivative of each step, and as often as the schedule advances from a stored state to a step. For
    /// [`Auto`](Self::Auto) the number is that of a `while_loop` whose state takes up to 1 MiB.
    ///
    /// ```
    /// use gradus::Checkpoints;
    /// assert_eq!(Checkpoints::Slots(64).evaluations(10), 10 + 9 + 10);
    /// assert_eq!(Checkpoints::Slots(1).evaluations(10), 10 + 45 + 10);
    /// ```
    pub fn evaluations(self, trips: usize) -> u64 {
        let slots = self.slots().unwrap_or(64);
        (trips as u64).saturating_mul(2).saturating_add(least_advances(trips, slots) as u64)
    }

    pub(crate) fn slots(self) -> Option<usize> {
        match self {
            Checkpoints::Auto => None,
            Checkpoints::Slots(n) => Some(n),
        }
    }
}
