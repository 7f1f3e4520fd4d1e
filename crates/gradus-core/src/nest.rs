//! Programs inside programs: how deep they may lie, and the stack that walking them takes.
//!
//! Everything walks the equations of one program in a loop, and the programs inside them by recursion, a level at a
//! time. [`level`] goes around each such step down, so that [`DEEPEST`] levels fit on any thread.

use stacker::maybe_grow;

use crate::Op;

/// The most programs inside each other: bodies of `cond`, `scan`, `while_loop`, `checkpoint` and custom rules.
pub const DEEPEST: usize = 256;

/// One level may take as much of the stack as the first, in bytes; the second is what is added where less is left.
const STACK: (usize, usize) = (128 << 10, 4 << 20);

/// Runs `f`, on more stack where little is left.
///
/// ```
/// fn depth(n: usize) -> usize {
///     if n == 0 { 0 } else { gradus_core::nest::level(|| 1 + depth(n - 1)) }
/// }
/// assert_eq!(depth(100_000), 100_000);
/// ```
#[inline]
pub fn level<R>(f: impl FnOnce() -> R) -> R {
    maybe_grow(STACK.0, STACK.1, f)
}

/// Runs `f`, which may walk the programs inside `op`, as [`level`] does if there are any.
#[inline]
pub(crate) fn inside<R>(op: &Op, f: impl FnOnce() -> R) -> R {
    if matches!(op, Op::Cond(_) | Op::Scan(_) | Op::While(_) | Op::Replay(_) | Op::Call(_)) {
        return level(f);
    }
    f()
}

#[cfg(feature = "table")]
thread_local! {
    static EMITTED: std::cell::Cell<usize> = const { std::cell::Cell::new(0) };
}

/// How many equations builders of this thread have been given, those thrown away included: tests compare it with the
/// size of a program.
#[cfg(feature = "table")]
pub fn emitted() -> usize {
    EMITTED.get()
}

/// Counts an equation.
pub(crate) fn count() {
    #[cfg(feature = "table")]
    EMITTED.set(EMITTED.get() + 1);
}
