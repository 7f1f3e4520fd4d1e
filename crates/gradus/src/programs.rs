//! The programs of the process: those of every `jit` and those that devices plan for themselves, under one limit.
//!
//! Whoever keeps a program holds a [`Kept`]; the store behind it knows them all, and empties the one used longest ago
//! where there are too many bytes of them, and those that nobody has used while many others were made. An emptied one
//! is planned again at its next call.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use gradus_core::Graph;
use gradus_core::memory::{self, Held};

use crate::Tensor;
use crate::device::Program;

/// The most bytes of kept programs; the limit on all kept memory may be lower.
const KEPT: usize = 256 << 20;

/// A program is dropped when it has not been used while this many others were made.
const AGE: u64 = 1024;

/// A program prepared to run, with the values it is run on beside its arguments.
pub(crate) struct BoundProgram {
    pub(crate) program: Program,
    /// The captured values of the function: arguments after its own.
    pub(crate) captures: Vec<Tensor>,
    /// For programs that a device plans: the graph, and the name of the transform applied to it.
    pub(crate) origin: Option<(Graph, String)>,
    bytes: usize,
}

impl BoundProgram {
    pub(crate) fn new(program: Program, captures: Vec<Tensor>, origin: Option<(Graph, String)>) -> Arc<Self> {
        let bytes = program.bytes();
        memory::add(Held::Programs, bytes);
        Arc::new(BoundProgram { program, captures, origin, bytes })
    }
}

impl Drop for BoundProgram {
    fn drop(&mut self) {
        memory::sub(Held::Programs, self.bytes);
    }
}

/// A program that the store may have emptied.
pub(crate) struct Kept(Arc<Entry>);

struct Entry {
    ready: Mutex<Option<Arc<BoundProgram>>>,
    /// The number of programs made when it was last used.
    used: AtomicU64,
}

impl Entry {
    fn ready(&self) -> MutexGuard<'_, Option<Arc<BoundProgram>>> {
        self.ready.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// How many programs have been made.
static MADE: AtomicU64 = AtomicU64::new(0);

static STORE: Mutex<Vec<Weak<Entry>>> = Mutex::new(Vec::new());

fn store() -> MutexGuard<'static, Vec<Weak<Entry>>> {
    STORE.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Kept {
    /// Keeps a program, at the cost of those used longest ago.
    pub(crate) fn new(ready: Arc<BoundProgram>) -> Self {
        let now = MADE.fetch_add(1, Relaxed) + 1;
        let entry = Arc::new(Entry { ready: Mutex::new(Some(ready)), used: AtomicU64::new(now) });
        let mut store = store();
        store.retain(|e| e.upgrade().is_some_and(|e| e.ready().is_some()));
        let others = memory::bytes(Held::IdleArenas) + memory::bytes(Held::Waiting);
        let limit = KEPT.min(memory::kept_limit().unwrap_or(0).saturating_sub(others));
        let mut excess = memory::bytes(Held::Programs).saturating_sub(limit);
        let mut oldest: Vec<(u64, Arc<Entry>)> =
            store.iter().filter_map(Weak::upgrade).map(|e| (e.used.load(Relaxed), e)).collect();
        oldest.sort_by_key(|(used, _)| *used);
        let mut gone = Vec::new();
        for (used, e) in oldest {
            if excess == 0 && used + AGE > now {
                break;
            }
            let ready = e.ready().take();
            excess = excess.saturating_sub(ready.as_ref().map_or(0, |r| r.bytes));
            gone.push(ready);
        }
        store.push(Arc::downgrade(&entry));
        // Dropping tensors and plans takes its time: others can go on meanwhile.
        drop(store);
        drop(gone);
        Kept(entry)
    }

    /// The program, if it is still there.
    pub(crate) fn get(&self) -> Option<Arc<BoundProgram>> {
        let made = MADE.load(Relaxed);
        if self.0.used.load(Relaxed) != made {
            self.0.used.store(made, Relaxed);
        }
        self.0.ready().clone()
    }

    /// Whether the program is still there, without counting as a use.
    pub(crate) fn is_there(&self) -> bool {
        self.0.ready().is_some()
    }
}

/// Empties the store.
pub(crate) fn release() {
    let all = std::mem::take(&mut *store());
    for entry in all.iter().filter_map(Weak::upgrade) {
        let gone = entry.ready().take();
        drop(gone);
    }
}
