//! Recording: what happens to tensors while a transform runs the user's function.
//!
//! A trace owns a [`Builder`]. An operation is recorded in the newest trace among its operands; operands of other
//! traces, and concrete tensors, become inputs of the program (captures); their elements are not read. When the function
//! has returned, the trace gives a closed graph and the list of its captures.

use std::cell::{Cell, RefCell};
use std::panic::Location;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};

use gradus_core::backend::Storage;
use gradus_core::quick::Map;
use gradus_core::{Array, Builder, Error, ErrorKind, Graph, Op, Result, Site, Type, Var};
use smallvec::SmallVec;

use crate::device::Program;
pub(crate) use crate::guard::fail;
use crate::guard::guarded;
use crate::known::Known;
use crate::tensor::Repr;
use crate::transform::checks::{detaches, finite, finite_everywhere, names_reads};
use crate::{Device, Tensor};

/// A recording in progress, or one that has ended.
#[derive(Clone)]
pub(crate) struct Trace(Arc<Inner>);

struct Inner {
    /// Later traces have larger numbers: the innermost one of several is the newest.
    id: u64,
    transform: &'static str,
    /// Where the program will run.
    device: Device,
    /// The arguments themselves, where the transform runs the function at a point (so values can be read).
    point: Option<Vec<Tensor>>,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// `None` once the trace has ended.
    builder: Option<Builder>,
    captures: Vec<Tensor>,
    captured: Map<Identity, Var>,
    /// What has been computed of a trace at a known point.
    known: Known,
}

/// What makes two captured tensors the same input.
#[derive(PartialEq, Eq, Hash)]
enum Identity {
    Concrete(usize, Type),
    Traced(u64, Var),
}

/// A recorded tensor.
pub(crate) struct Traced {
    pub(crate) trace: Trace,
    pub(crate) var: Var,
    pub(crate) ty: Type,
}

impl Trace {
    /// Starts recording a function of arguments of these types, to run on `device`. With `point`, the values of the
    /// arguments are known and recorded values can be read.
    pub(crate) fn start(
        transform: &'static str,
        types: &[Type],
        device: Device,
        point: Option<Vec<Tensor>>,
    ) -> (Self, Vec<Tensor>) {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let mut builder = Builder::new();
        let vars: Vec<Var> = types.iter().map(|ty| builder.input(ty.clone())).collect();
        let state = Mutex::new(State { builder: Some(builder), ..State::default() });
        let id = NEXT.fetch_add(1, Ordering::Relaxed);
        let trace = Trace(Arc::new(Inner { id, transform, device, point, state }));
        let mut state = trace.state();
        let tensors =
            vars.into_iter().zip(types).map(|(v, ty)| trace.wrap(&mut state, v, ty.clone())).collect();
        drop(state);
        (trace, tensors)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().unwrap_or_else(|e| e.into_inner())
    }

    fn wrap(&self, state: &mut State, var: Var, ty: Type) -> Tensor {
        let traced = || Traced { trace: self.clone(), var, ty };
        Tensor(Repr::Traced(match self.0.point {
            Some(_) => state.known.handle(var, traced),
            None => Arc::new(traced()),
        }))
    }

    pub(crate) fn device(&self) -> &Device {
        &self.0.device
    }

    pub(crate) fn transform(&self) -> &'static str {
        self.0.transform
    }

    /// Records an operation on tensors, at least one of which belongs to this trace.
    pub(crate) fn emit(&self, op: &Op, inputs: &[&Tensor], site: &Site) -> Result<Vec<Tensor>> {
        let mut state = self.state();
        let vars = inputs.iter().map(|t| self.lift(&mut state, t, op.name())).collect::<Result<Vec<_>>>()?;
        let builder = state.builder.as_mut().ok_or_else(|| self.escaped(op.name()))?;
        builder.set_site(site.clone());
        let outputs = builder.emit(op.clone(), &vars).map_err(|e| e.or_at(site))?;
        let types: Vec<Type> = outputs.iter().map(|&v| builder.ty(v).clone()).collect();
        Ok(outputs.into_iter().zip(types).map(|(v, ty)| self.wrap(&mut state, v, ty)).collect())
    }

    /// Copies a whole program into this trace.
    pub(crate) fn inline(&self, graph: &Graph, args: &[Tensor]) -> Result<Vec<Tensor>> {
        let mut state = self.state();
        let vars = args.iter().map(|t| self.lift(&mut state, t, "call")).collect::<Result<Vec<_>>>()?;
        let builder = state.builder.as_mut().ok_or_else(|| self.escaped("call"))?;
        let outputs = builder.inline(graph, &vars)?;
        let results = outputs.into_iter().zip(graph.output_types());
        Ok(results.map(|(v, ty)| self.wrap(&mut state, v, ty)).collect())
    }

    fn escaped(&self, op: &'static str) -> Error {
        ErrorKind::EscapedTracer { op, transform: self.0.transform }.into()
    }

    /// The value of a tensor in this trace: its own, or an input that captures it.
    fn lift(&self, state: &mut State, tensor: &Tensor, op: &'static str) -> Result<Var> {
        let identity = match &tensor.0 {
            Repr::Traced(t) if t.trace.0.id == self.0.id => return Ok(t.var),
            Repr::Traced(t) => {
                if t.trace.state().builder.is_none() {
                    return Err(t.trace.escaped(op));
                }
                Identity::Traced(t.trace.0.id, t.var)
            }
            Repr::Concrete(storage, _) => Identity::Concrete(storage.address(), tensor.ty()),
        };
        if let Some(&var) = state.captured.get(&identity) {
            return Ok(var);
        }
        let ty = tensor.ty();
        let builder = state.builder.as_mut().ok_or_else(|| self.escaped(op))?;
        let var = builder.input(ty);
        state.captured.insert(identity, var);
        state.captures.push(tensor.clone());
        Ok(var)
    }

    /// Ends the recording: the closed program over the arguments and captures, and the captures.
    pub(crate) fn finish(&self, outputs: &[Tensor]) -> Result<(Graph, Vec<Tensor>)> {
        guarded("recording", None, || self.finish_unguarded(outputs))
    }

    fn finish_unguarded(&self, outputs: &[Tensor]) -> Result<(Graph, Vec<Tensor>)> {
        let mut state = self.state();
        let vars = outputs.iter().map(|t| self.lift(&mut state, t, "return")).collect::<Result<Vec<_>>>()?;
        let builder = state.builder.take().ok_or_else(|| self.escaped("return"))?;
        let captures = std::mem::take(&mut state.captures);
        state.captured.clear();
        state.known = Known::default();
        Ok((builder.finish(vars), captures))
    }

    /// Computes a recorded value from the known arguments. All that has been recorded since the last such call is
    /// computed with it, so that every equation runs once however many values are read.
    #[track_caller]
    fn evaluate(&self, var: Var, op: &'static str) -> Result<Tensor> {
        let Some(point) = &self.0.point else {
            return Err(ErrorKind::ReadInTrace { op, transform: self.0.transform }.into());
        };
        let site = here();
        let found = guarded("recording", None, || {
            let mut state = self.state();
            let State { builder, captures, known, .. } = &mut *state;
            let builder = builder.as_ref().ok_or_else(|| self.escaped(op))?;
            if names_reads() {
                let graph = builder.graph();
                let wrt: Vec<bool> = (0..graph.inputs().len()).map(|i| i < point.len()).collect();
                if graph.depends_on(&wrt)[var.index()] && graph.ty(var).dtype.is_float() {
                    detaches(op, self.0.transform, &site);
                }
            }
            match known.value(var) {
                Some(value) => Ok(Err(value)),
                None => known.segment(builder.graph(), var, point, captures).map(Ok),
            }
        })?;
        let segment = match found {
            Ok(segment) => segment,
            Err(value) => return Ok(value),
        };
        let values = apply(segment.graph, "value", |g| Ok(g.clone()), segment.arguments)?;
        let mut state = self.state();
        let dead = state.known.learn(segment.equations, segment.results.into_iter().zip(values));
        let value = state.known.value(var).ok_or_else(|| self.escaped(op));
        // Tensors of this trace's point may be recorded themselves: they are dropped without its lock.
        drop(state);
        drop(dead);
        value
    }
}

/// The newest trace among some tensors.
pub(crate) fn newest<'a>(tensors: impl IntoIterator<Item = &'a Tensor>) -> Option<&'a Trace> {
    let traced = tensors.into_iter().filter_map(|t| match &t.0 {
        Repr::Traced(t) => Some(&t.trace),
        Repr::Concrete(..) => None,
    });
    traced.max_by_key(|t| t.0.id)
}

/// Tensors that are about to meet, where they will meet: what is concrete becomes a capture of the newest trace among
/// them as it is, so that a small tensor is captured small and stretched inside the program.
pub(crate) fn meeting(tensors: &[&Tensor], op: &'static str) -> Result<Vec<Tensor>> {
    let Some(trace) = newest(tensors.iter().copied()) else {
        return Ok(tensors.iter().map(|&t| t.clone()).collect());
    };
    let one = |t: &&Tensor| {
        if t.is_traced() {
            return Ok((*t).clone());
        }
        let mut state = trace.state();
        let var = trace.lift(&mut state, t, op)?;
        Ok(trace.wrap(&mut state, var, t.ty()))
    };
    tensors.iter().map(one).collect()
}

/// The operands of a concrete operation, and the device that all of them lie on.
fn together<'a>(tensors: &[&'a Tensor]) -> Option<(&'a Device, SmallVec<[&'a Storage; 4]>)> {
    let mut device: Option<&Device> = None;
    let mut operands = SmallVec::new();
    for tensor in tensors {
        let Repr::Concrete(storage, here) = &tensor.0 else { return None };
        if **device.get_or_insert(here) != *here {
            return None;
        }
        operands.push(storage);
    }
    Some((device?, operands))
}

/// An element-wise function of a few concrete floats, where their device computes it on the spot.
pub(crate) fn elementwise_at_once(op: &Op, tensors: &[&Tensor]) -> Option<Tensor> {
    let (first, second) = match tensors {
        [x] => (x, None),
        [x, y] => (x, Some(y)),
        _ => return None,
    };
    let Repr::Concrete(x, device) = &first.0 else { return None };
    let y = match second.map(|tensor| &tensor.0) {
        Some(Repr::Concrete(y, there)) if there == device => Some(y),
        Some(_) => return None,
        None => None,
    };
    let done = device.backend().elementwise_at_once(op, x, y)?;
    Some(Tensor(Repr::Concrete(done, device.clone())))
}

/// Applies a primitive: at once to concrete tensors, recorded otherwise.
pub(crate) fn emit(op: &Op, inputs: &[&Tensor], site: &Site) -> Result<Vec<Tensor>> {
    guarded("recording", Some(site), || emit_unguarded(op, inputs, site)).map_err(|e| e.or_at(site))
}

/// Applies a primitive without operands where `like` is: recorded beside it, or on its device.
pub(crate) fn emit_beside(op: &Op, like: &Tensor, site: &Site) -> Result<Tensor> {
    let emitted = || match &like.0 {
        Repr::Traced(t) => t.trace.emit(op, &[], site),
        Repr::Concrete(_, device) => Ok(concrete(device.eval(op, &[], site)?, device)),
    };
    Ok(guarded("recording", Some(site), emitted).map_err(|e| e.or_at(site))?.remove(0))
}

fn emit_unguarded(op: &Op, inputs: &[&Tensor], site: &Site) -> Result<Vec<Tensor>> {
    if let Some(trace) = newest(inputs.iter().copied()) {
        return trace.emit(op, inputs, site);
    }
    if let Some(done) = elementwise_at_once(op, inputs) {
        return Ok(vec![done]);
    }
    if inputs.is_empty() {
        let device = Device::default();
        return Ok(concrete(device.eval(op, &[], site)?, &device));
    }
    let Some((device, operands)) = together(inputs) else {
        return Err(apart(op.name(), inputs.iter().copied()));
    };
    Ok(concrete(device.eval(op, &operands, site)?, device))
}

/// Applies what `transform` makes of a program: runs it on concrete tensors (planned at most once for the program
/// and transform), records it otherwise.
pub(crate) fn apply(
    source: Graph,
    transform: &str,
    make: impl FnOnce(&Graph) -> Result<Graph>,
    args: Vec<Tensor>,
) -> Result<Vec<Tensor>> {
    if let Some(trace) = newest(&args) {
        return guarded("transforming", None, || trace.inline(&make(&source)?, &args));
    }
    let device = args.first().map_or_else(Device::default, |t| t.device());
    let args = all_on(&device, args)?;
    let ready = guarded("planning", None, || device.program(source, transform, make))?;
    if finite_everywhere() {
        finite(ready.program.graph(), &args)?;
    }
    run(&ready.program, &args)
}

/// Tensors that meet in a program, copied to its device where they lie on another; recorded ones stay.
pub(crate) fn all_on(device: &Device, mut tensors: Vec<Tensor>) -> Result<Vec<Tensor>> {
    for tensor in &mut tensors {
        if !tensor.is_traced() && tensor.device_ref() != device {
            *tensor = tensor.to(device)?;
        }
    }
    Ok(tensors)
}

/// Results of a device.
fn concrete(results: impl IntoIterator<Item = Storage>, device: &Device) -> Vec<Tensor> {
    results.into_iter().map(|storage| Tensor(Repr::Concrete(storage, device.clone()))).collect()
}

/// The error of tensors that lie on different devices.
pub(crate) fn apart<'a>(op: &'static str, tensors: impl IntoIterator<Item = &'a Tensor>) -> Error {
    let mut devices: Vec<String> =
        tensors.into_iter().map(|t| format!("`{}`", t.device_ref().name())).collect();
    devices.sort_unstable();
    devices.dedup();
    ErrorKind::Device { op, devices }.into()
}

/// Runs a compiled program on tensors of its device, or records it if one of them is recorded.
pub(crate) fn run(program: &Program, args: &[Tensor]) -> Result<Vec<Tensor>> {
    if let Some(trace) = newest(args) {
        return guarded("recording", None, || trace.inline(program.graph(), args));
    }
    let storages: SmallVec<[&Storage; 16]> = args.iter().filter_map(Tensor::storage).collect();
    let results = guarded("running", None, || program.run(&storages))?;
    Ok(match args.first() {
        Some(first) => concrete(results, first.device_ref()),
        None => concrete(results, &Device::default()),
    })
}

/// Runs a compiled program on tensors given away: results may be written into those that nobody else holds.
pub(crate) fn run_owned(program: &Program, args: Vec<Tensor>) -> Result<Vec<Tensor>> {
    if newest(&args).is_some() {
        return run(program, &args);
    }
    let into_storage = |t: Tensor| match t.0 {
        Repr::Concrete(storage, _) => Some(storage),
        Repr::Traced(_) => None,
    };
    let device = args.first().map_or_else(Device::default, Tensor::device);
    let args = args.into_iter().filter_map(into_storage).collect();
    let results = guarded("running", None, || program.run_owned(args))?;
    Ok(concrete(results, &device))
}

impl Tensor {
    /// The elements, computed if the tensor is recorded at a known point.
    #[track_caller]
    pub(crate) fn read(&self, op: &'static str) -> Result<Array> {
        match &self.0 {
            Repr::Concrete(storage, device) => match storage.host() {
                Some(array) => Ok(array.clone()),
                None => device.backend().download(storage),
            },
            Repr::Traced(t) => t.trace.evaluate(t.var, op)?.read(op),
        }
    }

    /// Whether the tensor is being recorded by a transform.
    pub fn is_traced(&self) -> bool {
        matches!(self.0, Repr::Traced(_))
    }

    /// The elements of a concrete tensor, where they lie.
    pub(crate) fn storage(&self) -> Option<&Storage> {
        match &self.0 {
            Repr::Concrete(storage, _) => Some(storage),
            Repr::Traced(_) => None,
        }
    }

    /// The elements of a concrete tensor that lie on the host.
    pub(crate) fn array(&self) -> Option<&Array> {
        self.storage().and_then(Storage::host)
    }
}

thread_local! {
    /// The scopes that are open, each with those around it.
    static SCOPES: RefCell<Vec<Arc<str>>> = const { RefCell::new(Vec::new()) };
    /// The line that operations are recorded with instead of their caller's.
    static LINE: Cell<Option<&'static Location<'static>>> = const { Cell::new(None) };
}

/// Runs `f` with `name` added to the scope path that errors and explanations show (`layers.0`).
///
/// ```
/// let y = gradus::scope("encoder", || gradus::Tensor::from([1.0, 2.0]).exp());
/// # assert_eq!(y.shape(), &[2].into());
/// ```
pub fn scope<R>(name: impl Into<String>, f: impl FnOnce() -> R) -> R {
    struct Leave;
    impl Drop for Leave {
        fn drop(&mut self) {
            SCOPES.with_borrow_mut(|s| s.pop());
        }
    }
    let name = name.into();
    SCOPES.with_borrow_mut(|s| {
        let path = s.last().map_or_else(|| name.as_str().into(), |outer| format!("{outer}.{name}").into());
        s.push(path);
    });
    let _leave = Leave;
    f()
}

/// Runs `f` with all operations at one source line: for closures of the library, which have no caller's line.
pub(crate) fn at_line<R>(line: &'static Location<'static>, f: impl FnOnce() -> R) -> R {
    struct Leave(Option<&'static Location<'static>>);
    impl Drop for Leave {
        fn drop(&mut self) {
            LINE.set(self.0);
        }
    }
    // The outermost line is the user's.
    let _leave = Leave(LINE.get());
    LINE.set(Some(LINE.get().unwrap_or(line)));
    f()
}

/// The caller's source line and the scopes that are open.
#[track_caller]
pub(crate) fn here() -> Site {
    let mut site = Site::caller();
    if let Some(line) = LINE.get() {
        site.location = Some(line);
    }
    site.scope = SCOPES.with_borrow(|s| s.last().cloned());
    site
}

/// The value, or [`fail`].
pub(crate) trait OrFail<T> {
    #[track_caller]
    fn or_fail(self) -> T;
}

impl<T> OrFail<T> for Result<T> {
    #[track_caller]
    fn or_fail(self) -> T {
        match self {
            Ok(value) => value,
            Err(error) => fail(error),
        }
    }
}

impl<T> OrFail<T> for Result<T, ErrorKind> {
    #[track_caller]
    fn or_fail(self) -> T {
        match self {
            Ok(value) => value,
            Err(kind) => fail(Error::new(kind, here())),
        }
    }
}

/// A constant of the program that `like` is recorded in; `None` if `like` is concrete.
pub(crate) fn constant_in_trace_of(like: &Tensor, ty: &Type, value: f64) -> Option<Tensor> {
    let Repr::Traced(t) = &like.0 else { return None };
    let mut state = t.trace.state();
    let builder = state.builder.as_mut()?;
    let var = builder.full(ty, value);
    Some(t.trace.wrap(&mut state, var, ty.clone()))
}
