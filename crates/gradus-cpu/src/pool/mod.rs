//! A thread pool that hands work out in microseconds.
//!
//! The calling thread takes part as worker 0 and the other workers spin for a moment before they park, so a
//! program that runs kernel after kernel never pays for waking a thread, and an idle one burns no time. A kernel
//! is cut into *tasks* from its shape alone; the pool only decides who runs which task, so results cannot depend
//! on the number of threads.
//!
//! * [`Pool::run`]: run tasks `0..n`, return when all are done;
//! * [`Pool::run_ranges`]: the same over `0..len` in pieces of a fixed size;
//! * [`Pool::global`]: the pool of the process, sized by `GRADUS_THREADS`.
//!
//! A call from inside a task, or while another thread is using the pool, runs its tasks on the calling thread:
//! there are never more busy threads than the pool was given.

mod job;
mod threads;
mod watch;
mod worker;

use std::ops::Range;
use std::sync::{Arc, OnceLock};
use std::thread::JoinHandle;

use job::Shared;
pub use threads::{RunningError, ThreadsError, parse_threads, threads_from_env};
pub(crate) use watch::Span;
use watch::Watch;

static GLOBAL: OnceLock<Pool> = OnceLock::new();

/// A set of worker threads; the thread that calls [`run`](Pool::run) is one of them.
///
/// ```
/// use std::sync::atomic::{AtomicUsize, Ordering};
/// let pool = gradus_cpu::Pool::new(4);
/// let sum = AtomicUsize::new(0);
/// pool.run(100, &|task| { sum.fetch_add(task, Ordering::Relaxed); });
/// assert_eq!(sum.into_inner(), 4950);
/// ```
pub struct Pool {
    shared: Arc<Shared>,
    workers: Vec<JoinHandle<()>>,
    watch: Option<Watch>,
}

impl Pool {
    /// A pool of `threads` threads, the caller's included; 0 counts as 1.
    ///
    /// When the system refuses to start a thread the pool goes on with those it has: fewer threads change the
    /// time, never a result.
    pub fn new(threads: usize) -> Self {
        let extra = threads.clamp(1, threads::MAX_THREADS) - 1;
        let shared = Arc::new(Shared::new(extra));
        let workers = (0..extra)
            .map_while(|index| {
                let shared = Arc::clone(&shared);
                std::thread::Builder::new()
                    .name(format!("gradus-{}", index + 1))
                    .spawn(move || worker::work(&shared, index))
                    .ok()
            })
            .collect();
        Pool { shared, workers, watch: None }
    }

    /// A pool that notes what each thread does.
    pub(crate) fn watched(threads: usize) -> Self {
        let mut pool = Pool::new(threads);
        pool.watch = Some(Watch::default());
        pool
    }

    /// What the threads of a watched pool did since the last call.
    pub(crate) fn take_spans(&self) -> Vec<Span> {
        self.watch.as_ref().map(Watch::take).unwrap_or_default()
    }

    /// A pool that runs everything on the calling thread.
    pub fn serial() -> Self {
        Pool::new(1)
    }

    /// The pool of the process: as large as [`start_global`](Pool::start_global) said, else `GRADUS_THREADS` threads, else
    /// one for each processor the process may use.
    ///
    /// A value of `GRADUS_THREADS` that is not a count is reported once on standard error and ignored; use
    /// [`threads_from_env`] to treat it as an error.
    pub fn global() -> &'static Pool {
        GLOBAL.get_or_init(|| {
            let asked = threads_from_env().unwrap_or_else(|error| {
                eprintln!("gradus: {error}; using one thread for each processor");
                None
            });
            Pool::new(asked.unwrap_or_else(threads::processors))
        })
    }

    /// Starts the pool of the process with so many threads, before anything has used it.
    ///
    /// # Errors
    /// If it runs already with another number.
    pub fn start_global(threads: usize) -> Result<&'static Pool, RunningError> {
        let pool = GLOBAL.get_or_init(|| Pool::new(threads));
        if pool.threads() == threads.max(1) {
            return Ok(pool);
        }
        Err(RunningError { asked: threads, running: pool.threads() })
    }

    /// How many threads take part, the caller included.
    pub fn threads(&self) -> usize {
        self.workers.len() + 1
    }

    /// Runs `task(0)`, ..., `task(tasks - 1)`, each once, in any order and on any of the pool's threads, and
    /// returns when all have returned.
    ///
    /// # Panics
    /// If a task panics, the tasks not yet begun are dropped and the first panic goes on in the caller.
    pub fn run(&self, tasks: usize, task: &(dyn Fn(usize) + Sync)) {
        match &self.watch {
            None => self.hand_out(tasks, task),
            Some(watch) => watch.run(self, tasks, task),
        }
    }

    fn hand_out(&self, tasks: usize, task: &(dyn Fn(usize) + Sync)) {
        if tasks <= 1 || self.workers.is_empty() || !self.shared.try_begin() {
            (0..tasks).for_each(task);
            return;
        }
        self.shared.run(tasks, task, &self.workers);
    }

    /// Cuts `0..len` into pieces of `grain` (the last may be shorter) and runs `body` on each.
    ///
    /// ```
    /// let pool = gradus_cpu::Pool::new(2);
    /// let pieces = std::sync::Mutex::new(Vec::new());
    /// pool.run_ranges(10, 4, &|range| pieces.lock().unwrap().push(range));
    /// let mut pieces = pieces.into_inner().unwrap();
    /// pieces.sort_by_key(|range| range.start);
    /// assert_eq!(pieces, [0..4, 4..8, 8..10]);
    /// ```
    pub fn run_ranges(&self, len: usize, grain: usize, body: &(dyn Fn(Range<usize>) + Sync)) {
        let grain = grain.max(1);
        self.run(len.div_ceil(grain), &|task| {
            let start = task * grain;
            body(start..(start + grain).min(len));
        });
    }
}

impl Drop for Pool {
    fn drop(&mut self) {
        self.shared.stop(&self.workers);
        for worker in self.workers.drain(..) {
            // A worker catches the panics of its tasks, so there is no payload to lose here.
            let _ = worker.join();
        }
    }
}

impl std::fmt::Debug for Pool {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Pool").field("threads", &self.threads()).finish()
    }
}
