//! Where tensors live and programs run.

use std::collections::HashMap;
use std::fmt;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, OnceLock};

use gradus_core::{Array, Error, Graph, Op, Result, Site, interpret};

/// How many programs a device keeps planned. The least recently used one goes first.
const CACHED_PROGRAMS: usize = 512;

/// A place where tensors live and programs run. Cloning gives another handle to the same place.
///
/// It keeps the programs planned for it, so that a training loop written without [`jit`](crate::jit) plans once.
#[derive(Clone)]
pub struct Device(Arc<Cpu>);

struct Cpu {
    programs: Mutex<Programs>,
    planned: AtomicUsize,
}

#[derive(Default)]
struct Programs {
    by_key: HashMap<u64, Vec<Entry>>,
    clock: u64,
    count: usize,
}

struct Entry {
    source: Graph,
    transform: String,
    program: Program,
    used: u64,
}

/// A program ready to run.
#[derive(Clone)]
pub(crate) struct Program(Arc<Graph>);

impl Program {
    pub(crate) fn new(graph: Graph) -> Result<Self> {
        Ok(Program(Arc::new(graph)))
    }

    pub(crate) fn graph(&self) -> &Graph {
        &self.0
    }

    pub(crate) fn run(&self, args: &[Array]) -> Result<Vec<Array>> {
        interpret(&self.0, args)
    }
}

impl Device {
    /// The processor this runs on.
    pub fn cpu() -> Self {
        static CPU: OnceLock<Device> = OnceLock::new();
        CPU.get_or_init(|| Device(Arc::new(Cpu { programs: Mutex::default(), planned: AtomicUsize::new(0) })))
            .clone()
    }

    /// How many programs have been planned for this device since it was opened; programs found in its cache do
    /// not count.
    pub fn programs_planned(&self) -> usize {
        self.0.planned.load(Ordering::Relaxed)
    }

    /// The program that `transform` makes of `source`, planned at most once.
    pub(crate) fn program(
        &self,
        source: Graph,
        transform: &str,
        make: impl FnOnce(&Graph) -> Result<Graph>,
    ) -> Result<Program> {
        let mut hasher = DefaultHasher::new();
        (&source, transform).hash(&mut hasher);
        let key = hasher.finish();
        {
            let mut programs = self.0.programs.lock().unwrap_or_else(|e| e.into_inner());
            programs.clock += 1;
            let now = programs.clock;
            let entries = programs.by_key.entry(key).or_default();
            if let Some(e) = entries.iter_mut().find(|e| e.transform == transform && e.source == source) {
                e.used = now;
                return Ok(e.program.clone());
            }
        }
        let program = Program::new(make(&source)?)?;
        self.0.planned.fetch_add(1, Ordering::Relaxed);
        let mut programs = self.0.programs.lock().unwrap_or_else(|e| e.into_inner());
        programs
            .insert(key, Entry { source, transform: transform.into(), program: program.clone(), used: 0 });
        Ok(program)
    }

    /// One primitive on concrete arrays.
    pub(crate) fn eval(&self, op: &Op, inputs: &[&Array], site: &Site) -> Result<Vec<Array>> {
        let types: Vec<_> =
            inputs.iter().map(|a| gradus_core::Type::new(a.dtype(), a.shape().clone())).collect();
        let result = op.row().infer(&types).and_then(|_| op.row().eval(inputs));
        result.map(|out| out.to_vec()).map_err(|kind| Error::new(kind, site.clone()))
    }
}

impl Programs {
    fn insert(&mut self, key: u64, mut entry: Entry) {
        self.clock += 1;
        entry.used = self.clock;
        self.by_key.entry(key).or_default().push(entry);
        self.count += 1;
        if self.count > CACHED_PROGRAMS {
            let oldest = self.by_key.values().flatten().map(|e| e.used).min().unwrap_or(0);
            self.by_key.retain(|_, entries| {
                entries.retain(|e| e.used != oldest);
                !entries.is_empty()
            });
            self.count -= 1;
        }
    }
}

impl fmt::Debug for Device {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("cpu")
    }
}
