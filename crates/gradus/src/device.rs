//! Where tensors live and programs run.

use std::collections::HashMap;
use std::fmt;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, OnceLock};

use gradus_core::memory;
use gradus_core::{Array, Builder, DType, Element, Error, ErrorKind, Graph, Op, Result, Shape, Site, Type};
use gradus_cpu::exec::{Executable, Profile, needs};
use gradus_cpu::vmath;
use gradus_plan::{Options, Plan};
use smallvec::SmallVec;

use crate::Tensor;
use crate::programs::{Kept, Ready};
use crate::tensor::Repr;

/// Up to so many elements in and out a single operation is not worth a plan.
const SMALL: usize = 256;

/// A place where tensors live and programs run. Cloning gives another handle to the same place.
///
/// It keeps the programs planned for it, so that a training loop written without [`jit`](crate::jit) plans once.
#[derive(Clone)]
pub struct Device(Arc<Cpu>);

struct Cpu {
    programs: Mutex<Programs>,
    planned: AtomicUsize,
}

/// Programs by a hash of the graph and the transform that they were made from.
type Programs = HashMap<u64, Vec<Kept>>;

/// A program ready to run, and the graph it was planned from.
#[derive(Clone)]
pub(crate) struct Program {
    graph: Arc<Graph>,
    executable: Executable,
}

impl Program {
    pub(crate) fn new(graph: Graph, options: &Options) -> Result<Self> {
        // Limits that cannot be read are told before anything is planned.
        memory::limit()?;
        memory::kept_limit()?;
        let options = Options { needs, ..options.clone() };
        let executable = Executable::new(gradus_plan::plan(&graph, &options)?);
        Ok(Program { graph: Arc::new(graph), executable })
    }

    pub(crate) fn graph(&self) -> &Graph {
        &self.graph
    }

    /// An estimate of the bytes that it takes.
    pub(crate) fn bytes(&self) -> usize {
        self.executable.bytes() + self.graph.own_bytes()
    }

    pub(crate) fn plan(&self) -> &Plan {
        self.executable.plan()
    }

    pub(crate) fn run(&self, args: &[Array]) -> Result<Vec<Array>> {
        self.executable.run(args)
    }

    /// What each kernel takes.
    pub(crate) fn profile(&self, args: &[Array], owned: bool) -> Result<Profile> {
        if owned { self.executable.profile_owned(args) } else { self.executable.profile(args) }
    }

    /// Results may be written into arguments that nobody else holds.
    pub(crate) fn run_owned(&self, args: Vec<Array>) -> Result<Vec<Array>> {
        self.executable.run_owned(args)
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

    /// The program that `transform` makes of `source`, planned at most once for the lines that it comes from: errors,
    /// and what is forward or backward, are those of the caller.
    pub(crate) fn program(
        &self,
        source: Graph,
        transform: &str,
        make: impl FnOnce(&Graph) -> Result<Graph>,
    ) -> Result<Arc<Ready>> {
        let mut hasher = DefaultHasher::new();
        (&source, transform).hash(&mut hasher);
        let key = hasher.finish();
        let lock = || self.0.programs.lock().unwrap_or_else(|e| e.into_inner());
        let same = |ready: &Arc<Ready>| {
            let same = |(graph, name): &(Graph, String)| {
                name == transform && *graph == source && graph.same_sites(&source)
            };
            ready.origin.as_ref().is_some_and(same)
        };
        let found = lock().get(&key).and_then(|kept| kept.iter().filter_map(Kept::get).find(same));
        if let Some(ready) = found {
            return Ok(ready);
        }
        let program = Program::new(make(&source)?, &Options::default())?;
        self.0.planned.fetch_add(1, Ordering::Relaxed);
        let ready = Ready::new(program, Vec::new(), Some((source, transform.into())));
        let kept = Kept::new(ready.clone());
        let mut programs = lock();
        programs.retain(|_, kept| {
            kept.retain(Kept::is_there);
            !kept.is_empty()
        });
        programs.entry(key).or_default().push(kept);
        Ok(ready)
    }

    /// One primitive on concrete arrays: small ones by its reference evaluation, larger ones by a planned program.
    pub(crate) fn eval(&self, op: &Op, inputs: &[&Array], site: &Site) -> Result<Vec<Array>> {
        let at = |kind| Error::new(kind, site.clone());
        let types: Vec<Type> = inputs.iter().map(|a| Type::new(a.dtype(), a.shape().clone())).collect();
        let results = op.row().infer(&types).map_err(at)?;
        let elements =
            inputs.iter().map(|a| a.size()).chain(results.iter().map(|ty| ty.shape.size())).sum::<usize>();
        if elements <= SMALL && op.graphs().is_empty() {
            return op.row().eval(inputs).map(|out| out.to_vec()).map_err(at);
        }
        // Without a line of its own, so that all callers of an operation share its program.
        let mut b = Builder::new();
        let args: Vec<_> = types.into_iter().map(|ty| b.input(ty)).collect();
        let outputs = b.emit(op.clone(), &args).map_err(|e| e.or_at(site))?.to_vec();
        let ready = self.program(b.finish(outputs), "", |g| Ok(g.clone())).map_err(|e| e.or_at(site))?;
        let args: Vec<Array> = inputs.iter().map(|&a| a.clone()).collect();
        ready.program.run(&args).map_err(|e| {
            let kind = match e.kind().clone() {
                ErrorKind::Memory { bytes, left, .. } => ErrorKind::Memory { op: op.name(), bytes, left },
                kind => kind,
            };
            Error::new(kind, e.site().clone()).or_at(site)
        })
    }
}

/// An element-wise function of floats with few elements, computed on the spot by the same functions that programs use:
/// whatever is between a call and its arithmetic would take longer. `None` leaves the operation to the usual way.
pub(crate) fn at_once(op: &Op, operands: &[&Tensor]) -> Option<Tensor> {
    fn operand<'a, T: Element>(a: &'a Array, shape: &Shape) -> Option<vmath::Operand<'a, T>> {
        let elements = a.elements::<T>()?;
        if a.shape() == shape {
            return Some(vmath::Operand::Slice(elements));
        }
        if a.shape().rank() == 0 { elements.first().map(|&x| vmath::Operand::Scalar(x)) } else { None }
    }
    fn typed<T: Element + vmath::Float>(op: &Op, operands: &[(&Array, &Device)]) -> Option<Array> {
        let largest = operands.iter().map(|(a, _)| a).max_by_key(|a| (a.shape().rank(), a.size()))?;
        let shape = largest.shape().clone();
        let n = largest.size();
        if n > SMALL {
            return None;
        }
        let mut out = vec![T::ZERO; n];
        match (op, operands) {
            (Op::Unary(f), [(x, _)]) => vmath::unary(*f, x.elements::<T>()?, &mut out),
            (Op::Binary(f), [(x, _), (y, _)]) => {
                vmath::binary(*f, operand(x, &shape)?, operand(y, &shape)?, &mut out);
            }
            _ => return None,
        }
        Array::new(shape, out).ok()
    }
    if !matches!(op, Op::Unary(_) | Op::Binary(_)) {
        return None;
    }
    let mut concrete: SmallVec<[(&Array, &Device); 2]> = SmallVec::new();
    for x in operands {
        let Repr::Concrete(array, device) = &x.0 else { return None };
        concrete.push((array, device));
    }
    let (first, device) = *concrete.first()?;
    let out = match first.dtype() {
        DType::F32 => typed::<f32>(op, &concrete),
        DType::F64 => typed::<f64>(op, &concrete),
        _ => None,
    }?;
    Some(Tensor(Repr::Concrete(out, device.clone())))
}

impl PartialEq for Device {
    /// Whether two handles are to the same place.
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

impl Eq for Device {}

impl fmt::Debug for Device {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("cpu")
    }
}
