//! Recording once and running many times.

use std::marker::PhantomData;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use gradus_core::backend::Options;
use gradus_core::{Graph, Strategy, Type};
use gradus_plan::Plan;

use super::checks::{Checks, finite, unchanged};
use super::key::{Key, Programs};
use super::{IntoBudget, Recorded, device_of, record};
use crate::device::Program;
use crate::guard::{catch, guarded};
use crate::programs::{BoundProgram, Kept};
use crate::trace::{OrFail, all_on, run, run_owned};
use crate::{Result, Tensor, Tree};

/// Compiles a function: it is recorded and planned at the first call for each structure, shapes and dtypes of its
/// argument, and only run after that.
///
/// The function must compute its result from its argument and from values that stay the same: values it captures are
/// read at the first call. What it prints or reads happens while recording, not at later calls. With
/// `GRADUS_CHECK=captures` in the environment, or [`check_captures`](Jit::check_captures), every call records anew and
/// fails where that gives something else, naming what differs.
///
/// ```
/// use gradus::{Tensor, grad, jit};
/// let step = jit(|(w, rate): &(Tensor, Tensor)| w - rate * grad(|w: &Tensor| w.square().sum(()))(w));
/// let mut w = Tensor::from([1.0, -2.0]);
/// for _ in 0..50 {
///     w = step.call(&(w, 0.1.into()));
/// }
/// assert!(w.norm(()).item::<f64>() < 1e-4);
/// assert_eq!(step.programs(), 1);
/// ```
pub fn jit<A: Tree, B: Tree, F: Fn(&A) -> B>(f: F) -> Jit<A, B, F> {
    let checks = Checks::of_environment();
    Jit { f, options: Options::default(), checks, programs: Mutex::default(), argument: PhantomData }
}

/// A compiled function: see [`jit`].
pub struct Jit<A, B, F> {
    f: F,
    options: Options,
    checks: Result<Checks>,
    programs: Mutex<Programs<Entry<B>>>,
    argument: PhantomData<fn(&A)>,
}

/// A program that may have been dropped, and the tree of its results.
struct Entry<B> {
    kept: Kept,
    result: Arc<B>,
}

impl<B> Entry<B> {
    fn compiled(&self) -> Option<Compiled<B>> {
        Some(Compiled { ready: self.kept.get()?, result: self.result.clone() })
    }
}

pub(super) struct Compiled<B> {
    ready: Arc<BoundProgram>,
    result: Arc<B>,
}

impl<B> Compiled<B> {
    pub(super) fn program(&self) -> &Program {
        &self.ready.program
    }
    /// The captured values of the function: arguments after its own.
    pub(super) fn captures(&self) -> &[Tensor] {
        &self.ready.captures
    }
}

impl<A: Tree, B: Tree, F: Fn(&A) -> B> Jit<A, B, F> {
    /// Limits the bytes that one run may need, arguments and results included: `1 << 20`, `"300 MiB"`, or `"60%"` of the
    /// peak without a limit. What does not fit is computed again instead of stored, by the same expressions, so that the
    /// results keep their bits.
    ///
    /// # Panics
    /// If the text is no amount. A budget that cannot be met is an error of the call, which names the smallest that can.
    #[track_caller]
    pub fn memory_budget(mut self, budget: impl IntoBudget) -> Self {
        self.options.memory_budget = Some(budget.into_budget().or_fail());
        self.forgotten()
    }

    /// How a reverse-mode program treats what its backward pass reads of the forward pass; [`Strategy::Auto`] by default.
    pub fn strategy(mut self, strategy: Strategy) -> Self {
        self.options.strategy = strategy;
        self.forgotten()
    }

    /// Says that calls give their argument away, by [`call_owned`](Self::call_owned), and that nobody else holds it: the
    /// planned peak, and so a budget, then counts a result that is written over an argument once.
    ///
    /// ```
    /// use gradus::{DType, Tensor, jit};
    /// let w = Tensor::ones([1000], DType::F32);
    /// let step = |w: &Tensor| w * 0.9;
    /// let (kept, given) = (jit(step), jit(step).donate());
    /// assert_eq!(kept.planned_peak_bytes(&w) - given.planned_peak_bytes(&w), 4000);
    /// ```
    pub fn donate(mut self) -> Self {
        self.options.donate = true;
        self.forgotten()
    }

    /// Records the function anew at every call, and fails where that gives something else than the first recording: a
    /// captured tensor or number that has changed, another static part of the result, other operations. The error names
    /// what differs, and the line. Slow: for tests, and for finding out why results do not change.
    ///
    /// ```
    /// use gradus::{Tensor, jit};
    /// use std::cell::Cell;
    /// let rate = Cell::new(0.5);
    /// let f = jit(|x: &Tensor| x * rate.get()).check_captures();
    /// let x = Tensor::from([1.0, 2.0]);
    /// assert_eq!(f.call(&x), Tensor::from([0.5, 1.0]));
    /// rate.set(1.5);
    /// let error = f.try_call(&x).unwrap_err();
    /// assert!(error.to_string().contains("was 0.5 when it was recorded, is 1.5"));
    /// ```
    pub fn check_captures(mut self) -> Self {
        if let Ok(checks) = &mut self.checks {
            checks.captures = true;
        }
        self
    }

    /// Looks at the values of every call: where a result is NaN or infinite the call fails, and the error names the
    /// operation that made the first value on the way to it which is not finite, forward or backward, with its line. The
    /// program is run once more for that, by the reference interpreter: slow. Infinities that the program is given, such
    /// as a mask of -∞, are no fault. `GRADUS_CHECK=nan` in the environment checks all programs of a process.
    ///
    /// ```
    /// use gradus::{Tensor, grad, jit};
    /// let f = jit(grad(|x: &Tensor| (x.log() * x).sum(()))).check_finite();
    /// assert!(f.try_call(&Tensor::from([1.0, 2.0])).is_ok());
    /// let error = f.try_call(&Tensor::from([1.0, 0.0])).unwrap_err();
    /// assert!(error.to_string().contains("`log` gives -inf at element 1"));
    /// ```
    pub fn check_finite(mut self) -> Self {
        if let Ok(checks) = &mut self.checks {
            checks.finite = true;
        }
        self
    }

    /// The bytes that one run for an argument like `x` needs: arguments, results and everything in between.
    #[track_caller]
    pub fn planned_peak_bytes(&self, x: &A) -> usize {
        let compiled = self.compiled(x).or_fail();
        let plan = compiled.program().plan().or_fail();
        if self.options.donate { plan.planned_peak_donated_bytes() } else { plan.planned_peak_bytes() }
    }

    /// The bytes that the forward pass of a reverse-mode program keeps for its backward pass, for an argument like `x`; 0 for a
    /// program without one.
    #[track_caller]
    pub fn saved_bytes(&self, x: &A) -> usize {
        self.compiled(x).or_fail().program().plan().or_fail().saved_bytes()
    }

    /// What will run for an argument like `x`, and why: kernels, what is kept and for what, memory over time.
    ///
    /// ```
    /// use gradus::{Tensor, grad, jit};
    /// let f = jit(grad(|x: &Tensor| x.tanh().sum(())));
    /// assert!(f.explain(&Tensor::from([1.0, 2.0])).contains("kernels"));
    /// ```
    #[track_caller]
    pub fn explain(&self, x: &A) -> String {
        self.compiled(x).or_fail().program().executable().explain()
    }

    /// The plan for an argument like `x`: kernels, places in memory, what each costs.
    ///
    /// # Panics
    /// Where the function would, and on a device that runs programs without a plan.
    #[track_caller]
    pub fn plan(&self, x: &A) -> Plan {
        self.try_plan(x).or_fail()
    }

    /// The plan for an argument like `x`, giving a budget that cannot be met, and errors of shapes and dtypes, as a typed
    /// error. A defect of the library is one as well: [`ErrorKind::Internal`](crate::ErrorKind::Internal).
    #[track_caller]
    pub fn try_plan(&self, x: &A) -> Result<Plan> {
        catch(|| Ok(self.compiled(x)?.program().plan()?.clone()))
    }

    /// The program that the function is for an argument like `x`, before it is planned, and the values that it captures:
    /// the program takes them after the argument's own tensors. Nothing is kept of it.
    ///
    /// # Errors
    /// Shape and dtype errors of its operations.
    ///
    /// ```
    /// use gradus::{Tensor, jit};
    /// let w = Tensor::from([1.0, 2.0]);
    /// let (graph, captures) = jit(|x: &Tensor| x * &w).try_record(&Tensor::from([3.0, 4.0]))?;
    /// assert_eq!((graph.inputs().len(), captures.len()), (2, 1));
    /// # Ok::<(), gradus::Error>(())
    /// ```
    pub fn try_record(&self, x: &A) -> Result<(Graph, Vec<Tensor>)> {
        catch(|| {
            let types: Vec<Type> = x.tensors().iter().map(Tensor::ty).collect();
            let Recorded { graph, captures, .. } = record("jit", &types, None, x, &self.f)?;
            Ok((gradus_core::transforms::prune(graph), captures))
        })
    }

    /// Runs the function.
    ///
    /// # Panics
    /// Where the function would: on shapes that do not fit, or data out of range.
    #[track_caller]
    pub fn call(&self, x: &A) -> B {
        self.run(x).or_fail()
    }

    /// Runs the function on an argument given away: results are written into the memory of tensors that nobody else
    /// holds, so that parameters and optimiser states are updated in place.
    ///
    /// ```
    /// use gradus::{Tensor, jit};
    /// let step = jit(|w: &Tensor| w * 0.9);
    /// let mut w = Tensor::from([1.0, 2.0]);
    /// for _ in 0..3 {
    ///     w = step.call_owned(w);
    /// }
    /// assert!((w.to_vec::<f64>()[1] - 2.0 * 0.9f64.powi(3)).abs() < 1e-15);
    /// ```
    #[track_caller]
    pub fn call_owned(&self, x: A) -> B {
        self.run_owned(x).or_fail()
    }

    /// Runs the function, giving shape errors, dtype errors and data errors of its operations as a typed error. A defect of
    /// the library is one as well: [`ErrorKind::Internal`](crate::ErrorKind::Internal). What the function itself panics
    /// with passes through.
    ///
    /// ```
    /// use gradus::{ErrorKind, Tensor, jit};
    /// let f = jit(|x: &Tensor| x.matmul(&Tensor::from([[1.0, 2.0]])));
    /// let error = f.try_call(&Tensor::from([[1.0, 2.0]])).unwrap_err();
    /// assert!(matches!(error.kind(), ErrorKind::Shape { op: "matmul", .. }));
    /// ```
    #[track_caller]
    pub fn try_call(&self, x: &A) -> Result<B> {
        catch(|| self.run(x))
    }

    /// How many programs have been compiled: one for each structure, shapes and dtypes met.
    /// [Clearing](Self::clear) does not change the count; a program that is compiled again counts again.
    pub fn programs(&self) -> usize {
        self.kept().made()
    }

    /// Drops the compiled programs, and with them the captured tensors that they hold: the next call compiles again.
    ///
    /// ```
    /// use gradus::{Tensor, jit};
    /// let f = jit(|x: &Tensor| x.exp());
    /// f.call(&Tensor::from([1.0]));
    /// f.clear();
    /// f.call(&Tensor::from([1.0]));
    /// assert_eq!(f.programs(), 2);
    /// ```
    pub fn clear(&self) {
        let gone = self.kept().take();
        drop(gone);
    }

    fn kept(&self) -> MutexGuard<'_, Programs<Entry<B>>> {
        self.programs.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The function without programs, after a change of its options.
    fn forgotten(mut self) -> Self {
        self.programs = Mutex::default();
        self
    }

    /// Why programs after the first have been compiled, one line each: what is different from the program most like it.
    ///
    /// ```
    /// use gradus::{Tensor, jit};
    /// let f = jit(|(x, rate): &(Tensor, f64)| x * *rate);
    /// for rate in [0.5, 1.5] {
    ///     f.call(&(Tensor::from([1.0]), rate));
    /// }
    /// assert_eq!(f.why_recompiled(), "program 2: `.1` was 0.5, is 1.5");
    /// ```
    pub fn why_recompiled(&self) -> String {
        self.kept().why()
    }

    /// The program recorded for an argument like `x`, as text that reads like the maths.
    #[track_caller]
    pub fn program(&self, x: &A) -> String {
        self.compiled(x).or_fail().program().graph().to_string()
    }

    fn run(&self, x: &A) -> Result<B> {
        let mut args = x.tensors();
        let compiled = self.compiled_for(x, &args)?;
        args.extend(compiled.captures().iter().cloned());
        self.check_values(&compiled, &args)?;
        let results = run(compiled.program(), &args)?;
        Ok(compiled.result.with_tensors(results))
    }

    fn run_owned(&self, x: A) -> Result<B> {
        let mut args = x.tensors();
        let compiled = self.compiled_for(&x, &args)?;
        drop(x);
        args.extend(compiled.captures().iter().cloned());
        self.check_values(&compiled, &args)?;
        let results = run_owned(compiled.program(), args)?;
        Ok(compiled.result.with_tensors(results))
    }

    pub(super) fn compiled(&self, x: &A) -> Result<Compiled<B>> {
        self.compiled_for(x, &x.tensors())
    }

    /// The program for an argument with these leaves.
    fn compiled_for(&self, x: &A, leaves: &[Tensor]) -> Result<Compiled<B>> {
        let checks = self.checks.as_ref().map_err(Clone::clone)?;
        let hash = Key::hash(x, leaves);
        let found = self.kept().find(hash, x, leaves).and_then(Entry::compiled);
        if let Some(compiled) = found {
            if checks.captures {
                let again = self.record(x, leaves)?;
                unchanged(compiled.program().graph(), compiled.captures(), &*compiled.result, &again)?;
            }
            return Ok(compiled);
        }
        let Recorded { graph, captures, result } = self.record(x, leaves)?;
        let kept = captures.iter().all(|t| !t.is_traced());
        let device = device_of("jit", leaves)?;
        let captures = all_on(&device, captures)?;
        let graph = gradus_core::transforms::prune(graph);
        let program = guarded("planning", None, || Program::new(graph, &device, &self.options))?;
        let (ready, result) = (BoundProgram::new(program, captures, None), Arc::new(result));
        // A program that captures tensors of an outer transform belongs to this run of that transform alone.
        if kept {
            let entry = Entry { kept: Kept::new(ready.clone()), result: result.clone() };
            self.kept().insert(hash, Key::of(x, leaves), entry, |entry| entry.kept.is_there());
        }
        Ok(Compiled { ready, result })
    }

    fn check_values(&self, compiled: &Compiled<B>, args: &[Tensor]) -> Result<()> {
        match &self.checks {
            Ok(checks) if checks.finite => finite(compiled.program().graph(), args),
            Ok(_) | Err(_) => Ok(()),
        }
    }

    fn record(&self, x: &A, leaves: &[Tensor]) -> Result<Recorded<B>> {
        let types: Vec<Type> = leaves.iter().map(Tensor::ty).collect();
        record("jit", &types, None, x, &self.f)
    }
}
