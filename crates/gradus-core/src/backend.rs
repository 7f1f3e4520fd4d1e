//! What a device has to offer: memory, and programs made from graphs.
//!
//! A [`Backend`] compiles a closed [`Graph`] into an [`Executable`], and moves elements between the host and a
//! [`Storage`]. Nothing here says how a program runs: a back end may ask the planner for a plan, hand the graph to a
//! compiler, or interpret it, as [`Reference`] does. Back ends whose memory is the host's keep host arrays.

use std::any::Any;
use std::fmt;
use std::panic::RefUnwindSafe;
use std::sync::Arc;

use smallvec::SmallVec;

use crate::transforms::{Status, with_status};
use crate::{Array, DType, ErrorKind, Graph, Op, Result, Shape, Type, interpret};

/// A limit on the bytes that one run of a program takes.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Budget {
    /// A number of bytes.
    Bytes(usize),
    /// A share of the peak without a limit: `0.5` is half.
    Share(f64),
}

/// What the forward pass of a reverse-mode program keeps for its backward pass.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Strategy {
    /// Local derivatives multiplied out, the fastest choice of what to keep, and within a budget whatever it takes.
    #[default]
    Auto,
    /// Each primitive keeps what its rule reads.
    Plain,
    /// Element-wise regions keep what enters them and are computed again.
    Recompute,
    /// As [`Recompute`](Self::Recompute), and what products read is kept too, so that only derivatives are computed
    /// again: as many bytes as [`Nested`](Self::Nested) keeps.
    Rederive,
    /// Element-wise regions keep their derivatives.
    Nested,
}

/// What may be chosen when a graph is compiled. A back end that cannot honour a choice that changes what a run takes, a
/// memory budget, refuses it with an error; one that only changes how fast it runs, a strategy, is a hint.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Options {
    /// What the forward pass keeps for the backward pass.
    pub strategy: Strategy,
    /// The most bytes one run may take, arguments and results included.
    pub memory_budget: Option<Budget>,
    /// Whether runs own their arguments, as a training step does.
    pub donate: bool,
}

/// A device: where tensors live and programs run.
pub trait Backend: Send + Sync + RefUnwindSafe {
    /// The name that errors and `Device`'s `{:?}` show: `cpu`, `reference`.
    fn name(&self) -> &str;

    /// Elements of the host, copied to the device.
    ///
    /// # Errors
    /// If the device has no memory for them, or no such element type.
    fn upload(&self, array: Array) -> Result<Storage, ErrorKind>;

    /// Elements of the device, copied to the host. Waits until they are computed.
    ///
    /// # Errors
    /// If the computation has failed, or the host has no memory for them.
    fn download(&self, storage: &Storage) -> Result<Array>;

    /// Prepares a program to run.
    ///
    /// # Errors
    /// If an option cannot be honoured, or the device does not support an operation.
    fn compile(&self, graph: &Arc<Graph>, options: &Options) -> Result<Box<dyn Executable>>;

    /// One primitive computed immediately, where that is faster than a program; `None` leaves the operation to a
    /// program. The operands lie on this device.
    fn eval_at_once(&self, _op: &Op, _operands: &[&Storage]) -> Option<Result<Stored, ErrorKind>> {
        None
    }

    /// An element-wise function of one or two operands with a few floats, computed on the spot, an operand without axes
    /// stretched to the shape of the other; `None` leaves it to the general evaluation. The operands lie on this device.
    fn elementwise_at_once(&self, _op: &Op, _x: &Storage, _y: Option<&Storage>) -> Option<Storage> {
        None
    }

    /// Waits until everything asked for has been done.
    ///
    /// # Errors
    /// If a computation has failed.
    fn synchronize(&self) -> Result<()> {
        Ok(())
    }

    /// Gives back memory that is held only to make later runs faster.
    fn release(&self) {}

    /// Gives back memory beyond the limit on what is kept, which has been lowered.
    fn keep_within_limit(&self) {}
}

/// Results of a primitive.
pub type Stored = SmallVec<[Storage; 1]>;

/// A program prepared by a [`Backend`]; may be run from several threads at once.
pub trait Executable: Send + Sync {
    /// Runs the program.
    ///
    /// # Errors
    /// If the arguments do not have the types of the graph's inputs, or a primitive fails on its data.
    fn run(&self, args: &[&Storage]) -> Result<Vec<Storage>>;

    /// Runs the program on donated arguments: a result may be written into the memory of one that has no other owner.
    ///
    /// # Errors
    /// As for [`run`](Self::run).
    fn run_owned(&self, args: Vec<Storage>) -> Result<Vec<Storage>> {
        self.run(&args.iter().collect::<Vec<_>>())
    }

    /// An estimate of the bytes that the program itself takes, without those of a run.
    fn bytes(&self) -> usize {
        0
    }

    /// What will run, and why, for a person to read.
    fn explain(&self) -> String;

    /// The plan that it runs by, a `gradus_plan::Plan`, if it runs by one.
    fn plan(&self) -> Option<&dyn Any> {
        None
    }

    /// The program itself, for those who know the back end.
    fn as_any(&self) -> &dyn Any;
}

/// Elements that lie on a device. Cloning shares them.
#[derive(Clone)]
pub struct Storage(Place);

#[derive(Clone)]
enum Place {
    Host(Array),
    Device(Arc<dyn DeviceBuffer>),
}

/// Elements in memory of a back end's own.
pub trait DeviceBuffer: Any + Send + Sync + RefUnwindSafe {
    /// Their dtype and shape.
    fn ty(&self) -> &Type;
}

impl Storage {
    /// Elements in memory of the back end's own.
    pub fn new(buffer: Arc<dyn DeviceBuffer>) -> Self {
        Storage(Place::Device(buffer))
    }

    /// The shape.
    #[inline]
    pub fn shape(&self) -> &Shape {
        match &self.0 {
            Place::Host(array) => array.shape(),
            Place::Device(buffer) => &buffer.ty().shape,
        }
    }

    /// The dtype.
    #[inline]
    pub fn dtype(&self) -> DType {
        match &self.0 {
            Place::Host(array) => array.dtype(),
            Place::Device(buffer) => buffer.ty().dtype,
        }
    }

    /// The array, if the elements lie in memory of the host.
    #[inline]
    pub fn host(&self) -> Option<&Array> {
        match &self.0 {
            Place::Host(array) => Some(array),
            Place::Device(_) => None,
        }
    }

    /// The array, if the elements lie in memory of the host.
    #[inline]
    pub fn into_host(self) -> Option<Array> {
        match self.0 {
            Place::Host(array) => Some(array),
            Place::Device(_) => None,
        }
    }

    /// The back end's own buffer, if the elements lie in one of type `T`.
    pub fn buffer<T: DeviceBuffer>(&self) -> Option<&T> {
        match &self.0 {
            Place::Host(_) => None,
            Place::Device(buffer) => (&**buffer as &dyn Any).downcast_ref(),
        }
    }

    /// A number that is the same for clones, and different for others that exist at the same time and have elements.
    pub fn address(&self) -> usize {
        match &self.0 {
            Place::Host(array) => crate::with_elements!(array.buffer(), v => v.as_ptr() as usize),
            Place::Device(buffer) => Arc::as_ptr(buffer).cast::<()>() as usize,
        }
    }
}

impl From<Array> for Storage {
    #[inline]
    fn from(array: Array) -> Self {
        Storage(Place::Host(array))
    }
}

impl fmt::Debug for Storage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Place::Host(array) => fmt::Debug::fmt(array, f),
            Place::Device(buffer) => write!(f, "{} on a device", buffer.ty()),
        }
    }
}

/// The array of an argument that lies on the host.
///
/// # Errors
/// If it lies elsewhere.
pub fn host(argument: &Storage) -> Result<&Array> {
    argument.host().ok_or_else(|| {
        let ty = Type::new(argument.dtype(), argument.shape().clone());
        ErrorKind::Argument { op: "run", detail: format!("an argument ({ty}) lies on another device") }.into()
    })
}

/// The reference back end: every primitive by its plainest evaluation, one after the other. It is slow, and it is what
/// other back ends are compared with.
#[derive(Clone, Copy, Debug, Default)]
pub struct Reference;

impl Backend for Reference {
    fn name(&self) -> &str {
        "reference"
    }

    fn upload(&self, array: Array) -> Result<Storage, ErrorKind> {
        Ok(array.into())
    }

    fn download(&self, storage: &Storage) -> Result<Array> {
        Ok(host(storage)?.clone())
    }

    fn compile(&self, graph: &Arc<Graph>, options: &Options) -> Result<Box<dyn Executable>> {
        if options.memory_budget.is_some() {
            let detail = "the reference device plans nothing, and so has no memory budget".into();
            return Err(ErrorKind::Argument { op: "compile", detail }.into());
        }
        Ok(Box::new(Interpreted { graph: graph.clone(), checked: with_status(graph)? }))
    }

    fn eval_at_once(&self, op: &Op, operands: &[&Storage]) -> Option<Result<Stored, ErrorKind>> {
        if !op.graphs().is_empty() {
            return None;
        }
        let arrays = operands.iter().map(|storage| storage.host()).collect::<Option<Vec<_>>>()?;
        Some(op.evaluate(&arrays).map(|results| results.into_iter().map(Storage::from).collect()))
    }
}

/// A graph that is interpreted.
struct Interpreted {
    graph: Arc<Graph>,
    /// The graph to run instead if it can fail on its data: one that returns a status, for devices that cannot stop in
    /// the middle.
    checked: Option<(Graph, Status)>,
}

impl Executable for Interpreted {
    fn run(&self, args: &[&Storage]) -> Result<Vec<Storage>> {
        let args = args.iter().map(|storage| host(storage).cloned()).collect::<Result<Vec<_>>>()?;
        let results = match &self.checked {
            None => interpret(&self.graph, &args)?,
            Some((graph, status)) => {
                let mut results = interpret(graph, &args)?;
                match results.pop().map(|words| status.error(&words)).transpose()?.flatten() {
                    Some(error) => return Err(error),
                    None => results,
                }
            }
        };
        Ok(results.into_iter().map(Storage::from).collect())
    }

    fn explain(&self) -> String {
        format!("{} equations, interpreted one after the other\n\n{}", self.graph.len(), self.graph)
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Builder, Unary};

    #[test]
    fn the_reference_back_end_runs_graphs_and_refuses_budgets() {
        let mut b = Builder::new();
        let x = b.input(Type::new(DType::F64, [2]));
        let y = b.emit1(Unary::Neg, &[x]).unwrap();
        let graph = Arc::new(b.finish(vec![y]));
        let x = Reference.upload(Array::new([2], vec![1.0, -2.0]).unwrap()).unwrap();
        let program = Reference.compile(&graph, &Options::default()).unwrap();
        let y = program.run(&[&x]).unwrap().remove(0);
        assert_eq!(Reference.download(&y).unwrap().to_f64(), [-1.0, 2.0]);
        let within = Options { memory_budget: Some(Budget::Bytes(1)), ..Options::default() };
        assert!(Reference.compile(&graph, &within).is_err());
    }

    /// Memory of a device.
    struct Far(Type);
    impl DeviceBuffer for Far {
        fn ty(&self) -> &Type {
            &self.0
        }
    }

    #[test]
    fn a_storage_is_as_small_as_an_array() {
        assert_eq!(size_of::<Storage>(), size_of::<Array>());
    }

    #[test]
    fn elements_of_another_device_are_refused_by_name() {
        let far = Storage::new(Arc::new(Far(Type::new(DType::F32, [3]))));
        assert_eq!((far.dtype(), far.shape()), (DType::F32, &Shape::from([3])));
        assert!(far.host().is_none() && far.buffer::<Far>().is_some());
        let error = Reference.download(&far).unwrap_err();
        assert!(error.to_string().contains("f32[3]"), "{error}");
    }
}
