//! The one job a pool can have at a time, and the word of state through which threads agree about it.
//!
//! `state` packs *epoch* (high 32 bits: which job), *open* (bit 31: may workers still join) and *inside* (low 31
//! bits: how many workers are in the job). A worker joins by adding 1 while the job is open; the caller closes the
//! job when no task is left and then waits only for those inside. A worker that wakes late finds the job closed
//! and never looks at it, so nobody waits for a sleeping thread.

use std::any::Any;
use std::cell::UnsafeCell;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::thread::JoinHandle;

const OPEN: u64 = 1 << 31;
const INSIDE: u64 = OPEN - 1;
const EPOCH: u64 = 1 << 32;

/// A value alone on its cache lines, so that threads writing different fields do not disturb one another.
#[repr(align(128))]
struct Alone<T>(T);

/// The tasks, borrowed from the caller of `run`, which does not return while a worker is inside.
#[derive(Clone, Copy)]
struct Job {
    task: *const (dyn Fn(usize) + Sync),
    tasks: usize,
}

/// What the caller and the workers share.
pub(super) struct Shared {
    state: Alone<AtomicU64>,
    /// The next task that nobody has taken.
    next: Alone<AtomicUsize>,
    /// Held by the thread whose job it is.
    busy: AtomicBool,
    stop: AtomicBool,
    job: UnsafeCell<Option<Job>>,
    panic: Mutex<Option<Box<dyn Any + Send>>>,
    /// For each worker, whether it is parked or about to be.
    asleep: Box<[AtomicBool]>,
}

// SAFETY: `job` is the only field that is not `Sync` by itself. It is written by the holder of `busy` while `state`
// is closed with nobody inside, and read only by threads that joined while it was open; the acquire and release on
// `state` order the two. The closure it points to is `Sync`.
unsafe impl Sync for Shared {}
// SAFETY: as above; the pointer is only followed while its owner waits in `run`.
unsafe impl Send for Shared {}

impl Shared {
    pub(super) fn new(workers: usize) -> Self {
        Shared {
            state: Alone(AtomicU64::new(0)),
            next: Alone(AtomicUsize::new(0)),
            busy: AtomicBool::new(false),
            stop: AtomicBool::new(false),
            job: UnsafeCell::new(None),
            panic: Mutex::new(None),
            asleep: (0..workers).map(|_| AtomicBool::new(false)).collect(),
        }
    }

    /// Claims the pool for a job; false when it is in use.
    pub(super) fn try_begin(&self) -> bool {
        self.busy.compare_exchange(false, true, Ordering::Acquire, Ordering::Relaxed).is_ok()
    }

    /// Runs a job; the caller holds `busy`, which is given back.
    pub(super) fn run(&self, tasks: usize, task: &(dyn Fn(usize) + Sync), workers: &[JoinHandle<()>]) {
        // SAFETY: only the lifetime is erased. Whoever follows the pointer is inside the job, and this function does
        // not return before all of them have left.
        let task: *const (dyn Fn(usize) + Sync) = unsafe {
            std::mem::transmute::<*const (dyn Fn(usize) + Sync + '_), *const (dyn Fn(usize) + Sync + 'static)>(
                task,
            )
        };
        // SAFETY: the last job is closed and left by all, and `busy` keeps other callers out: nobody reads `job`.
        unsafe { *self.job.get() = Some(Job { task, tasks }) };
        self.next.0.store(0, Ordering::Relaxed);
        let before = self.state.0.load(Ordering::Relaxed);
        self.state.0.store((before & !(EPOCH - 1)).wrapping_add(EPOCH) | OPEN, Ordering::SeqCst);
        for (asleep, worker) in self.asleep.iter().zip(workers).take(tasks - 1) {
            if asleep.load(Ordering::SeqCst) {
                worker.thread().unpark();
            }
        }
        self.take_tasks(Job { task, tasks });
        self.state.0.fetch_and(!OPEN, Ordering::AcqRel);
        let mut turns = 0u32;
        while self.state.0.load(Ordering::Acquire) & INSIDE != 0 {
            turns += 1;
            if turns < 4096 { std::hint::spin_loop() } else { std::thread::yield_now() }
        }
        let panic = self.lock_panic().take();
        self.busy.store(false, Ordering::Release);
        if let Some(payload) = panic {
            resume_unwind(payload);
        }
    }

    /// Joins the open job if it is another than `seen`, works in it and leaves; the epoch joined.
    pub(super) fn join(&self, seen: u64) -> Option<u64> {
        let state = self.state.0.load(Ordering::SeqCst);
        let epoch = state / EPOCH;
        if state & OPEN == 0 || epoch == seen {
            return None;
        }
        self.state.0.compare_exchange(state, state + 1, Ordering::AcqRel, Ordering::Relaxed).ok()?;
        // SAFETY: we are inside an open job, so `job` was written before and stays until we leave.
        let job = unsafe { *self.job.get() };
        if let Some(job) = job {
            self.take_tasks(job);
        }
        self.state.0.fetch_sub(1, Ordering::Release);
        Some(epoch)
    }

    /// Runs tasks until none is left. Panics are kept for the caller of `run`.
    fn take_tasks(&self, job: Job) {
        // SAFETY: the caller of `run` keeps the closure alive while any thread is inside the job, itself included.
        let task = unsafe { &*job.task };
        let outcome = catch_unwind(AssertUnwindSafe(|| {
            loop {
                let index = self.next.0.fetch_add(1, Ordering::Relaxed);
                if index >= job.tasks {
                    break;
                }
                task(index);
            }
        }));
        if let Err(payload) = outcome {
            self.next.0.store(job.tasks, Ordering::Relaxed);
            self.lock_panic().get_or_insert(payload);
        }
    }

    fn lock_panic(&self) -> std::sync::MutexGuard<'_, Option<Box<dyn Any + Send>>> {
        self.panic.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }

    /// Whether worker `index` has to act: on a new job, or on the end.
    pub(super) fn has_news(&self, seen: u64) -> bool {
        let state = self.state.0.load(Ordering::SeqCst);
        self.stopped() || (state & OPEN != 0 && state / EPOCH != seen)
    }

    pub(super) fn stopped(&self) -> bool {
        self.stop.load(Ordering::Acquire)
    }

    /// Parks the calling worker until there may be news.
    pub(super) fn sleep(&self, index: usize, seen: u64) {
        // The flag goes up before the last look at `state`, and the caller stores `state` before it looks at the
        // flag, both sequentially consistent: one of the two sees the other.
        self.asleep[index].store(true, Ordering::SeqCst);
        while !self.has_news(seen) {
            std::thread::park();
        }
        self.asleep[index].store(false, Ordering::SeqCst);
    }

    pub(super) fn stop(&self, workers: &[JoinHandle<()>]) {
        self.stop.store(true, Ordering::SeqCst);
        for worker in workers {
            worker.thread().unpark();
        }
    }
}
