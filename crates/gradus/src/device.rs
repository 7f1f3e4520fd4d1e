//! Where tensors live and programs run: a back end, and the programs compiled for it.

use std::collections::HashMap;
use std::fmt;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError, Weak};

use gradus_core::backend::{Backend, Executable, Options, Reference, Storage, Stored};
use gradus_core::{Builder, Error, ErrorKind, Graph, Op, Result, Site, Type, memory};
use gradus_plan::Plan;

use crate::programs::{BoundProgram, Kept};

/// A place where tensors live and programs run. Cloning gives another handle to the same place.
///
/// It keeps the programs compiled for it, so that a training loop written without [`jit`](crate::jit) plans once.
///
/// ```
/// use gradus::{Device, Tensor, grad};
/// let x = Tensor::from([1.0, 2.0]);
/// let there = x.to(&Device::reference())?;
/// let slope = grad(|x: &Tensor| x.square().sum(()));
/// assert_eq!(slope(&there).device(), Device::reference());
/// assert_eq!(slope(&there), slope(&x));
/// # Ok::<(), gradus::Error>(())
/// ```
#[derive(Clone)]
pub struct Device(Arc<Place>);

struct Place {
    backend: Box<dyn Backend>,
    programs: Mutex<Programs>,
    planned: AtomicUsize,
}

/// Programs by a hash of their graph and transform.
type Programs = HashMap<u64, Vec<Kept>>;

/// Every device that has been opened and is still held.
static OPEN: Mutex<Vec<Weak<Place>>> = Mutex::new(Vec::new());

/// A prepared program, and the graph it was compiled from.
#[derive(Clone)]
pub(crate) struct Program {
    graph: Arc<Graph>,
    executable: Arc<dyn Executable>,
    /// The name of its device, which may hold the program itself.
    device: Arc<str>,
}

impl Program {
    pub(crate) fn new(graph: Graph, device: &Device, options: &Options) -> Result<Self> {
        // Errors in the limits are reported before anything is planned.
        memory::limit()?;
        memory::kept_limit()?;
        let graph = Arc::new(graph);
        let executable = device.backend().compile(&graph, options)?.into();
        Ok(Program { graph, executable, device: device.name().into() })
    }

    pub(crate) fn graph(&self) -> &Graph {
        &self.graph
    }

    /// The name of the device that it runs on.
    pub(crate) fn device_name(&self) -> &str {
        &self.device
    }

    /// What runs it.
    pub(crate) fn executable(&self) -> &dyn Executable {
        &*self.executable
    }

    /// An estimate of the bytes that it takes.
    pub(crate) fn bytes(&self) -> usize {
        self.executable.bytes() + self.graph.own_bytes()
    }

    /// The plan that it runs by.
    ///
    /// # Errors
    /// If its device runs it by none.
    pub(crate) fn plan(&self) -> Result<&Plan> {
        let plan = self.executable.plan().and_then(|plan| plan.downcast_ref());
        plan.ok_or_else(|| {
            let detail = format!("the device `{}` runs programs without a plan", self.device_name());
            ErrorKind::Argument { op: "plan", detail }.into()
        })
    }

    pub(crate) fn run(&self, args: &[&Storage]) -> Result<Vec<Storage>> {
        self.executable.run(args)
    }

    /// Results may be written into arguments that nobody else holds.
    pub(crate) fn run_owned(&self, args: Vec<Storage>) -> Result<Vec<Storage>> {
        self.executable.run_owned(args)
    }
}

impl Device {
    /// The processor this runs on.
    #[cfg(feature = "cpu")]
    pub fn cpu() -> Self {
        static CPU: OnceLock<Device> = OnceLock::new();
        CPU.get_or_init(|| Device::open(gradus_cpu::Cpu)).clone()
    }

    /// The reference interpreter: every primitive by its plainest evaluation, without a plan. It is slow, and right: what
    /// to compare other devices with.
    pub fn reference() -> Self {
        static REFERENCE: OnceLock<Device> = OnceLock::new();
        REFERENCE.get_or_init(|| Device::open(Reference)).clone()
    }

    /// A device of a back end: what is opened twice is two places.
    pub fn open(backend: impl Backend + 'static) -> Self {
        let place =
            Place { backend: Box::new(backend), programs: Mutex::default(), planned: AtomicUsize::new(0) };
        let place = Arc::new(place);
        let mut open = OPEN.lock().unwrap_or_else(PoisonError::into_inner);
        open.retain(|place| place.strong_count() > 0);
        open.push(Arc::downgrade(&place));
        Device(place)
    }

    /// The device that the environment variable `GRADUS_DEVICE` names, `cpu` or `reference`; without it the processor,
    /// or the reference interpreter where the feature `cpu` is off. The [default](Device::default) is the same, and ignores
    /// a name that there is not.
    ///
    /// # Errors
    /// If there is no such device.
    pub fn from_env() -> Result<Self> {
        let name = std::env::var_os("GRADUS_DEVICE");
        Device::named(name.as_ref().map(|name| name.to_string_lossy()).as_deref())
    }

    fn named(name: Option<&str>) -> Result<Self> {
        match name {
            #[cfg(feature = "cpu")]
            None | Some("cpu") => Ok(Device::cpu()),
            #[cfg(not(feature = "cpu"))]
            None => Ok(Device::reference()),
            Some("reference") => Ok(Device::reference()),
            Some(other) => {
                let cpu = if cfg!(feature = "cpu") { "cpu and " } else { "" };
                let detail =
                    format!("GRADUS_DEVICE is `{other}`, which is no device here (those are {cpu}reference)");
                Err(ErrorKind::Data(detail).into())
            }
        }
    }

    /// The name of its back end: `cpu`, `reference`.
    pub fn name(&self) -> &str {
        self.backend().name()
    }

    /// Waits until everything asked of the device has been done.
    ///
    /// # Errors
    /// If a computation has failed.
    pub fn synchronize(&self) -> Result<()> {
        self.backend().synchronize()
    }

    pub(crate) fn backend(&self) -> &dyn Backend {
        &*self.0.backend
    }

    /// Every device that is open.
    pub(crate) fn all() -> Vec<Device> {
        let open = OPEN.lock().unwrap_or_else(PoisonError::into_inner);
        open.iter().filter_map(Weak::upgrade).map(Device).collect()
    }

    /// How many programs have been planned for this device since it was opened; programs found in its cache do
    /// not count.
    pub fn programs_planned(&self) -> usize {
        self.0.planned.load(Ordering::Relaxed)
    }

    /// The program that `transform` makes of `source`, planned at most once for the lines that it comes from: errors,
    /// and what is forward or backward, are those of the caller.
    pub(crate) fn program(
        &self,
        source: Graph,
        transform: &str,
        make: impl FnOnce(&Graph) -> Result<Graph>,
    ) -> Result<Arc<BoundProgram>> {
        let mut hasher = DefaultHasher::new();
        (&source, transform).hash(&mut hasher);
        let key = hasher.finish();
        let lock = || self.0.programs.lock().unwrap_or_else(|e| e.into_inner());
        let same = |ready: &Arc<BoundProgram>| {
            let same = |(graph, name): &(Graph, String)| {
                name == transform && *graph == source && graph.same_sites(&source)
            };
            ready.origin.as_ref().is_some_and(same)
        };
        let found = lock().get(&key).and_then(|kept| kept.iter().filter_map(Kept::get).find(same));
        if let Some(ready) = found {
            return Ok(ready);
        }
        let program = Program::new(make(&source)?, self, &Options::default())?;
        self.0.planned.fetch_add(1, Ordering::Relaxed);
        let ready = BoundProgram::new(program, Vec::new(), Some((source, transform.into())));
        let kept = Kept::new(ready.clone());
        let mut programs = lock();
        programs.retain(|_, kept| {
            kept.retain(Kept::is_there);
            !kept.is_empty()
        });
        programs.entry(key).or_default().push(kept);
        Ok(ready)
    }

    /// One primitive on elements that lie here: on the spot where the back end does that, else by a program.
    pub(crate) fn eval(&self, op: &Op, operands: &[&Storage], site: &Site) -> Result<Stored> {
        if let Some(done) = self.backend().eval_at_once(op, operands) {
            return done.map_err(|kind| Error::new(kind, site.clone()));
        }
        // Without a source line, so that all callers of an operation share its program.
        let mut b = Builder::new();
        let ty = |storage: &&Storage| Type::new(storage.dtype(), storage.shape().clone());
        let args: Vec<_> = operands.iter().map(|storage| b.input(ty(storage))).collect();
        let outputs = b.emit(op.clone(), &args).map_err(|e| e.or_at(site))?.to_vec();
        let ready = self.program(b.finish(outputs), "", |g| Ok(g.clone())).map_err(|e| e.or_at(site))?;
        let results = ready.program.run(operands).map_err(|e| {
            let kind = match e.kind().clone() {
                ErrorKind::Memory { bytes, left, .. } => ErrorKind::Memory { op: op.name(), bytes, left },
                kind => kind,
            };
            Error::new(kind, e.site().clone()).or_at(site)
        })?;
        Ok(results.into())
    }
}

impl Default for Device {
    /// The device that new tensors are made on: see [`from_env`](Device::from_env).
    fn default() -> Self {
        static DEFAULT: OnceLock<Device> = OnceLock::new();
        let named = || {
            Device::from_env().or_else(|error| {
                log::warn!("{error}");
                Device::named(None)
            })
        };
        DEFAULT.get_or_init(|| named().unwrap_or_else(|_| Device::reference())).clone()
    }
}

impl PartialEq for Device {
    /// Whether two handles are to the same place.
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

impl Eq for Device {}

impl Hash for Device {
    fn hash<H: Hasher>(&self, state: &mut H) {
        Arc::as_ptr(&self.0).hash(state);
    }
}

impl fmt::Debug for Device {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
