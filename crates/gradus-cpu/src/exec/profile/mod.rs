//! A plan run with a clock beside it: what each kernel took, and how near it came to what the machine can do.
//!
//! The program runs on a pool of its own that notes which thread worked when; runs without a profile never look at a
//! clock. `show` prints the result as a table, `json` as JSON and as a Chrome trace.

mod json;
mod show;

use std::time::{Duration, Instant};

use gradus_core::{Array, DType, Result, with_elements};
use gradus_core::{Phase, PhaseKind};
use gradus_plan::Plan;

use super::Executable;
use crate::Pool;
use crate::peaks::Peaks;
use crate::pool::Span;

/// What the runs of a profile take together, about.
const ENOUGH: Duration = Duration::from_millis(500);

/// The most runs.
const MOST: usize = 200;

/// What one kernel took. Times are medians over the runs.
#[derive(Clone, Debug)]
pub struct KernelProfile {
    /// What kind of kernel it is: `product`, `element-wise`, `rows`, ...
    pub kind: &'static str,
    /// The primitives that it stands for, repeated ones counted: `mul×2 tanh`.
    pub operations: String,
    /// Sizes of a product, types of the results of others.
    pub shape: String,
    /// The part of a training step that it belongs to.
    pub phase: Phase,
    /// The user's line that it comes from, with its scope; empty if it is not known.
    pub source: String,
    /// Seconds a run.
    pub seconds: f64,
    /// Floating-point operations, as the op table counts them.
    pub flops: f64,
    /// Bytes read and written, each operand and result once.
    pub bytes: f64,
    /// Whether it computes in `f64`, whose peak is another.
    pub double: bool,
}

impl KernelProfile {
    /// 1e9 floating-point operations a second.
    pub fn gflops(&self) -> f64 {
        self.flops / self.seconds.max(1e-9) * 1e-9
    }

    /// 1e9 bytes a second. Above the machine's peak where operands were still in a cache.
    pub fn gbps(&self) -> f64 {
        self.bytes / self.seconds.max(1e-9) * 1e-9
    }

    /// The rate as a share of the limit that binds: [`Peaks::share`].
    pub fn share_of_peak(&self, peaks: &Peaks) -> f64 {
        peaks.share(self.flops, self.bytes, self.seconds, self.double, self.is_product())
    }

    /// Whether it is a matrix product or a convolution.
    pub fn is_product(&self) -> bool {
        self.kind == "product" || self.operations.contains("conv")
    }
}

/// What a program took, kernel by kernel. `Display` prints it as a table.
#[derive(Clone, Debug)]
pub struct Profile {
    /// The kernels, in the order in which they run.
    pub kernels: Vec<KernelProfile>,
    /// Seconds of a whole run, the median.
    pub seconds: f64,
    /// How many runs were timed, after one that was not.
    pub runs: usize,
    /// What the machine can do on as many threads.
    pub peaks: Peaks,
    /// Bytes that one run needs at most, as planned.
    pub planned_peak_bytes: usize,
    /// The last run, for the trace.
    trace: Vec<Traced>,
    /// Bytes of the arena in use during each kernel.
    memory: Vec<usize>,
}

/// One kernel of the last run.
#[derive(Clone, Debug)]
struct Traced {
    /// Since the run began.
    begin: Duration,
    length: Duration,
    /// For each thread that took tasks: thread, begin, length, time inside tasks, tasks.
    threads: Vec<(usize, Duration, Duration, Duration, usize)>,
}

impl Profile {
    /// The threads that took part.
    pub fn threads(&self) -> usize {
        self.peaks.threads
    }

    /// Seconds in the kernels for which `which` holds.
    pub fn seconds_in(&self, which: impl Fn(&KernelProfile) -> bool) -> f64 {
        self.kernels.iter().filter(|k| which(k)).map(|k| k.seconds).sum()
    }

    /// Seconds in phases of a kind.
    pub fn phase_seconds(&self, kind: PhaseKind) -> f64 {
        self.seconds_in(|k| k.phase.kind == kind)
    }

    /// Seconds in phases of a kind, outside matrix products and convolutions.
    pub fn elementwise_seconds(&self, kind: PhaseKind) -> f64 {
        self.seconds_in(|k| k.phase.kind == kind && !k.is_product())
    }

    /// Seconds in matrix products and convolutions: the floor that a step is compared with.
    pub fn product_seconds(&self) -> f64 {
        self.seconds_in(KernelProfile::is_product)
    }
}

impl Executable {
    /// Runs the program several times with a clock beside it, as [`run`](Self::run) would: one run that does not count,
    /// and as many as fit into half a second, at least one and at most 200.
    ///
    /// # Errors
    /// As for [`run`](Self::run).
    ///
    /// ```
    /// use gradus_core::{Array, Builder, DType, Type, Unary};
    /// use gradus_cpu::exec::Executable;
    ///
    /// let mut b = Builder::new();
    /// let x = b.input(Type::new(DType::F32, [1000]));
    /// let y = b.emit1(Unary::Tanh, &[x])?;
    /// let plan = gradus_plan::plan(&b.finish(vec![y]), &Default::default())?;
    /// let profile = Executable::new(plan).profile(&[Array::full([1000], DType::F32, 0.5)])?;
    /// assert_eq!(profile.kernels[0].operations, "tanh");
    /// assert!(profile.kernels[0].gbps() > 0.0);
    /// println!("{profile}");
    /// # Ok::<(), gradus_core::Error>(())
    /// ```
    pub fn profile(&self, args: &[Array]) -> Result<Profile> {
        self.profiled(|clock| {
            self.run_by(
                args,
                |array| array,
                |program, memory, _| {
                    // SAFETY: `run_by` establishes the preconditions of a run.
                    unsafe {
                        program.run_timed(memory, clock.pool, |k, begin, end| clock.note(k, begin, end))
                    }
                },
            )
        })
    }

    /// As [`profile`](Self::profile), for [`run_owned`](Self::run_owned): each run is given copies, made before its
    /// clock starts.
    ///
    /// # Errors
    /// As for [`run`](Self::run).
    pub fn profile_owned(&self, args: &[Array]) -> Result<Profile> {
        let copy =
            |a: &Array| Ok(with_elements!(a.buffer(), v => Array::new(a.shape().clone(), v.to_vec()))?);
        self.profiled(|clock| {
            let args = args.iter().map(copy).collect::<Result<Vec<Array>>>()?;
            clock.began = Instant::now();
            self.run_owned_by(args, |program, memory, _| {
                // SAFETY: `run_owned_by` establishes the preconditions of a run.
                unsafe { program.run_timed(memory, clock.pool, |k, begin, end| clock.note(k, begin, end)) }
            })
        })
    }

    fn profiled(&self, mut run: impl FnMut(&mut Clock<'_>) -> Result<Vec<Array>>) -> Result<Profile> {
        let used = self.inner.pool.as_deref().unwrap_or_else(|| Pool::global());
        let peaks = Peaks::of(used);
        let pool = Pool::watched(used.threads());
        let plan = self.plan();
        let mut kernels: Vec<Vec<f64>> = vec![Vec::new(); plan.kernels().len()];
        let mut whole: Vec<f64> = Vec::new();
        let began = Instant::now();
        let mut trace = Vec::new();
        for run_number in 0..=MOST {
            let mut clock = Clock { pool: &pool, began: Instant::now(), kernels: Vec::new() };
            let results = run(&mut clock)?;
            let seconds = clock.began.elapsed().as_secs_f64();
            drop(results);
            trace = clock.kernels;
            // The first run finds its memory and its code cold.
            if run_number > 0 {
                whole.push(seconds);
                for (times, k) in kernels.iter_mut().zip(&trace) {
                    times.push(k.length.as_secs_f64());
                }
            }
            if run_number > 0 && began.elapsed() > ENOUGH {
                break;
            }
        }
        let runs = whole.len();
        let times: Vec<f64> = kernels.into_iter().map(median).collect();
        Ok(Profile {
            kernels: described(plan, &times),
            seconds: median(whole),
            runs,
            peaks,
            planned_peak_bytes: plan.planned_peak_bytes(),
            trace,
            memory: plan.memory_curve(),
        })
    }
}

/// The clock of one run.
struct Clock<'a> {
    pool: &'a Pool,
    began: Instant,
    kernels: Vec<Traced>,
}

impl Clock<'_> {
    fn note(&mut self, k: usize, begin: Instant, end: Instant) {
        debug_assert_eq!(k, self.kernels.len(), "kernels run in order");
        let since = |t: Instant| t.saturating_duration_since(self.began);
        let thread = |s: Span| (s.thread, since(s.begin), s.end - s.begin, s.busy, s.tasks);
        let threads = self.pool.take_spans().into_iter().map(thread).collect();
        self.kernels.push(Traced { begin: since(begin), length: end - begin, threads });
    }
}

fn median(mut times: Vec<f64>) -> f64 {
    times.sort_by(f64::total_cmp);
    times.get(times.len() / 2).copied().unwrap_or(0.0)
}

fn described(plan: &Plan, times: &[f64]) -> Vec<KernelProfile> {
    let phases = plan.phases();
    let one = |(k, (kernel, &seconds)): (usize, (&gradus_plan::Kernel, &f64))| KernelProfile {
        kind: kernel.kind(),
        operations: plan.operations(k),
        shape: plan.shape_of(k),
        phase: phases[k],
        source: kernel.site.to_string(),
        seconds,
        flops: kernel.flops,
        bytes: kernel.bytes,
        double: kernel.writes.iter().any(|&v| plan.graph().ty(v).dtype == DType::F64),
    };
    plan.kernels().iter().zip(times).enumerate().map(one).collect()
}
