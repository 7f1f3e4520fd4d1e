//! Runs a [`Plan`]: an arena, kernels in order, results.
//!
//! [`Executable::new`] prepares every kernel of a plan; [`Executable::run`] runs them on arguments. A run decides
//! nothing: it takes an arena, calls the kernels, and returns the results. Kernels see memory through
//! [places](gradus_plan::Place) only:
//!
//! * `tile`: fused regions, tile by tile;
//! * `small`: fused regions of a few points;
//! * `product`: matrix products;
//! * `blocked`: groups of regions and products run together on blocks of rows;
//! * `strided`: movement;
//! * `control`: loops and branches, which run the plans of their bodies inside the arena of the outer plan;
//! * `replay`: loops run in reverse order from a few stored states;
//! * `convolution`: convolutions;
//! * `library`: primitives with kernels of their own, such as pooling, gather and sorting;
//! * `unpool`: transposes of pooling;
//! * `primitive`: every other primitive, by its reference evaluation.
//!
//! `profile` runs a plan and measures each kernel.
//!
//! Invariant: a plan is made by the planner alone, for a graph whose types have passed `Shape::checked`; arguments
//! are compared with its types before a run; two places that are in use at a time do not overlap.

mod bits;
mod blocked;
mod chain;
mod control;
mod convolution;
mod fused;
mod integer;
mod join;
mod lanes;
mod library;
mod order;
mod places;
mod primitive;
mod product;
mod profile;
mod program;
mod random;
mod reduce;
mod region;
mod replay;
mod requirements;
mod results;
mod small;
mod strided;
mod tile;
mod tile_ops;
mod unpool;
mod versions;

use std::sync::Arc;

use gradus_core::memory::{self, COUNTED};
use gradus_core::{Array, ErrorKind, Result, Type};
use gradus_plan::{Plan, Return};
use smallvec::SmallVec;

use crate::Pool;
use crate::memory::{arenas, caught, free_kept};
use crate::pages::give_back;
use places::Memory;
pub use profile::{KernelProfile, Profile};
use program::Program;
pub use requirements::requirements;
use results::Held;
pub(crate) use results::release_kept;
pub(crate) use versions::{Versioned, best};

/// A plan prepared for this machine; cheap to clone, and may be run from several threads at once.
///
/// ```
/// use gradus_core::{Array, Builder, DType, Type, Unary};
/// use gradus_cpu::exec::Executable;
///
/// let mut b = Builder::new();
/// let x = b.input(Type::new(DType::F64, [2]));
/// let y = b.emit1(Unary::Neg, &[x])?;
/// let plan = gradus_plan::plan(&b.finish(vec![y]), &Default::default())?;
/// let out = Executable::new(plan).run(&[Array::new([2], vec![1.0, -2.0])?])?;
/// assert_eq!(out[0].to_f64(), [-1.0, 2.0]);
/// # Ok::<(), gradus_core::Error>(())
/// ```
#[derive(Clone)]
pub struct Executable {
    inner: Arc<Inner>,
}

struct Inner {
    program: Program,
    /// Bytes of the results that runs write.
    written: usize,
    /// An estimate of the bytes that the program itself takes.
    bytes: usize,
    /// The requested pool; `None` for that of the process.
    pool: Option<Arc<Pool>>,
}

impl Executable {
    /// Prepares a plan to run on the pool of the process.
    pub fn new(plan: Plan) -> Self {
        Executable::build(plan, None)
    }

    /// Prepares a plan to run on a pool of its own.
    pub fn with_pool(plan: Plan, pool: Arc<Pool>) -> Self {
        Executable::build(plan, Some(pool))
    }

    fn build(plan: Plan, pool: Option<Arc<Pool>>) -> Self {
        let program = Program::new(Arc::new(plan));
        // Many plans were made to find this one.
        if !program.plan.decision().alternatives.is_empty() {
            give_back();
        }
        memory::on_shortage(free_kept);
        let (written, bytes) = (program.plan.result_bytes(), program.plan.own_bytes());
        Executable { inner: Arc::new(Inner { program, written, bytes, pool }) }
    }

    /// An estimate of the bytes that the program itself takes, with its plan.
    pub fn bytes(&self) -> usize {
        self.inner.bytes
    }

    /// The plan.
    pub fn plan(&self) -> &Plan {
        &self.inner.program.plan
    }

    /// The code path of each kernel, those of loops and branches included, for tests.
    pub fn paths(&self) -> Vec<String> {
        let mut paths = Vec::new();
        self.inner.program.paths(&mut paths);
        paths
    }

    /// For each blockwise kernel with masks, those of loops and branches included: how many columns of masked values
    /// its blocks have computed in all runs so far, row by row, and how many columns these values have. Columns masked
    /// for all rows of a block are not computed.
    pub fn masked_columns(&self) -> Vec<(u64, u64)> {
        let mut columns = Vec::new();
        self.inner.program.masked_columns(&mut columns);
        columns
    }

    /// Runs the program.
    ///
    /// # Errors
    /// If the arguments do not have the types of the program's inputs, or a primitive fails on its data.
    pub fn run(&self, args: &[Array]) -> Result<Vec<Array>> {
        self.run_on(args, |array| array)
    }

    /// Runs the program on the arrays that `of` finds in its arguments.
    pub(crate) fn run_on<A>(&self, args: &[A], of: impl Fn(&A) -> &Array) -> Result<Vec<Array>> {
        // SAFETY: `run_by` establishes the preconditions of a run.
        self.run_by(args, of, |program, memory, pool| unsafe { program.run(memory, pool) })
    }

    /// Runs the program by `go`, for which the preconditions of [`Program::run`] hold.
    fn run_by<A>(
        &self,
        args: &[A],
        of: impl Fn(&A) -> &Array,
        go: impl FnOnce(&Program, &Memory<'_>, &Pool) -> Result<()>,
    ) -> Result<Vec<Array>> {
        self.check(args, &of)?;
        memory::allow("program", self.inner.written)?;
        let types = self.plan().output_types();
        let mut held: SmallVec<[Option<Held>; 8]> = SmallVec::new();
        for (ty, how) in types.iter().zip(self.plan().returns()) {
            held.push(if *how == Return::Written { Some(Held::new(ty)?) } else { None });
        }
        let pointers: SmallVec<[*const u8; 16]> = args.iter().map(|a| results::start(of(a))).collect();
        self.launch(&pointers, &mut held, go)?;
        Ok(self.collect(held, |i| of(&args[i]).clone()))
    }

    /// Runs the program on donated arguments: where an argument has no other owner, a result may be written into its
    /// buffer, as [`Plan::donations`] says. So parameters and optimiser states are updated in place.
    ///
    /// # Errors
    /// As for [`run`](Self::run).
    pub fn run_owned(&self, args: Vec<Array>) -> Result<Vec<Array>> {
        // SAFETY: `run_owned_by` establishes the preconditions of a run.
        self.run_owned_by(args, |program, memory, pool| unsafe { program.run(memory, pool) })
    }

    /// As [`run_by`](Self::run_by), on donated arguments.
    fn run_owned_by(
        &self,
        args: Vec<Array>,
        go: impl FnOnce(&Program, &Memory<'_>, &Pool) -> Result<()>,
    ) -> Result<Vec<Array>> {
        self.check(&args, |array| array)?;
        let plan = self.plan();
        let mut held: SmallVec<[Option<Held>; 8]> = SmallVec::new();
        held.resize_with(plan.returns().len(), || None);
        let mut args: Vec<Option<Array>> = args.into_iter().map(Some).collect();
        let mut pointers: SmallVec<[*const u8; 16]> = SmallVec::from_elem(std::ptr::null(), args.len());
        for &(a, r) in plan.donations() {
            let (given, wanted) = (&plan.input_types()[a], &plan.output_types()[r]);
            if given.dtype != wanted.dtype || given.shape.size() != wanted.shape.size() {
                continue;
            }
            if let Some(array) = args[a].take() {
                match Held::take(array) {
                    Ok(mut buffer) => {
                        pointers[a] = buffer.pointer();
                        held[r] = Some(buffer);
                    }
                    Err(array) => args[a] = Some(array),
                }
            }
        }
        for ((held, ty), how) in held.iter_mut().zip(plan.output_types()).zip(plan.returns()) {
            if held.is_none() && *how == Return::Written {
                *held = Some(Held::new(ty)?);
            }
        }
        for (pointer, arg) in pointers.iter_mut().zip(&args) {
            if let Some(array) = arg {
                *pointer = results::start(array);
            }
        }
        self.launch(&pointers, &mut held, go)?;
        Ok(self.collect(held, |i| args[i].clone().expect("a returned argument is never given away")))
    }

    fn check<A>(&self, args: &[A], of: impl Fn(&A) -> &Array) -> Result<()> {
        let types = self.plan().input_types();
        let fits = |a: &Array, ty: &Type| a.dtype() == ty.dtype && *a.shape() == ty.shape;
        let fits = args.len() == types.len() && args.iter().zip(types).all(|(a, ty)| fits(of(a), ty));
        if fits {
            return Ok(());
        }
        // The slow path finds the words.
        let args: Vec<Array> = args.iter().map(|a| of(a).clone()).collect();
        gradus_core::check_arguments(self.plan().graph(), &args)?;
        Err(ErrorKind::Argument { op: "call", detail: "the arguments do not fit the program".into() }.into())
    }

    /// Allocates memory for a run. When `go` is called, the arguments have been checked against the program's types and
    /// outlive the run, and results and arena belong to this run and are as large as the plan says.
    fn launch(
        &self,
        arguments: &[*const u8],
        held: &mut [Option<Held>],
        go: impl FnOnce(&Program, &Memory<'_>, &Pool) -> Result<()>,
    ) -> Result<()> {
        let inner = &*self.inner;
        let to: SmallVec<[*mut u8; 8]> =
            held.iter_mut().map(|h| h.as_mut().map_or(std::ptr::null_mut(), Held::pointer)).collect();
        results::begin_run();
        let pool = inner.pool.as_deref().unwrap_or_else(|| Pool::global());
        let run = |arena| {
            if inner.written >= COUNTED {
                memory::note(inner.written);
            }
            go(&inner.program, &Memory { arguments, results: &to, arena, locals: &[] }, pool)
        };
        caught(|| arenas::with(inner.program.plan.arena_bytes(), run))
    }

    fn collect(&self, held: SmallVec<[Option<Held>; 8]>, argument: impl Fn(usize) -> Array) -> Vec<Array> {
        let plan = self.plan();
        let mut out: Vec<Array> = Vec::with_capacity(held.len());
        let reshaped = |array: Array, ty: &Type| {
            array.reshaped(ty.shape.clone()).expect("what is returned as another type has as many elements")
        };
        for ((held, ty), how) in held.into_iter().zip(plan.output_types()).zip(plan.returns()) {
            out.push(match (how, held) {
                // SAFETY: the run has written every element.
                (_, Some(held)) => unsafe { held.finish(ty) },
                (Return::Argument(i), None) => reshaped(argument(*i), ty),
                (Return::Same(i), None) => reshaped(out[*i].clone(), ty),
                (Return::Written, None) => unreachable!("a buffer was made for every written result"),
            });
        }
        out
    }
}

impl std::fmt::Debug for Executable {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Executable").field("kernels", &self.plan().kernels().len()).finish()
    }
}
