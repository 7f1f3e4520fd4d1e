//! Records the work of threads: for each thread of a watched pool, when its part of a job began and ended.

use std::cell::Cell;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::Pool;

thread_local! {
    /// The place of this thread in its pool; 0 for callers.
    static PLACE: Cell<usize> = const { Cell::new(0) };
    /// Whether this thread is in a task: jobs inside a task are part of it.
    static INSIDE: Cell<bool> = const { Cell::new(false) };
}

/// Called by a worker when it starts.
pub(super) fn take_place(index: usize) {
    PLACE.set(index + 1);
}

/// The spans of one thread since they were last taken.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Span {
    /// 0 for the caller, else the worker.
    pub(crate) thread: usize,
    /// When its first task began.
    pub(crate) begin: Instant,
    /// When its last task ended.
    pub(crate) end: Instant,
    /// Time inside tasks.
    pub(crate) busy: Duration,
    /// How many tasks.
    pub(crate) tasks: usize,
}

/// The notes.
#[derive(Default)]
pub(super) struct Watch {
    spans: Mutex<Vec<Span>>,
}

/// Leaves the task also when it panics.
struct Leave;
impl Drop for Leave {
    fn drop(&mut self) {
        INSIDE.set(false);
    }
}

impl Watch {
    fn spans(&self) -> MutexGuard<'_, Vec<Span>> {
        self.spans.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn take(&self) -> Vec<Span> {
        std::mem::take(&mut self.spans())
    }

    /// Runs a job of `pool` and records the spans of each thread.
    pub(super) fn run(&self, pool: &Pool, tasks: usize, task: &(dyn Fn(usize) + Sync)) {
        if INSIDE.get() {
            return pool.hand_out(tasks, task);
        }
        pool.hand_out(tasks, &|i| {
            INSIDE.set(true);
            let leave = Leave;
            let begin = Instant::now();
            task(i);
            let end = Instant::now();
            drop(leave);
            let thread = PLACE.get();
            let mut spans = self.spans();
            match spans.iter_mut().find(|s| s.thread == thread) {
                Some(span) => {
                    span.end = end;
                    span.busy += end - begin;
                    span.tasks += 1;
                }
                None => spans.push(Span { thread, begin, end, busy: end - begin, tasks: 1 }),
            }
        });
    }
}
