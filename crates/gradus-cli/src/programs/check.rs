//! One program under one composition of transforms, run in every way there is.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Once, OnceLock};

use gradus::{Array, Budget, Jit, Strategy, Tensor, jit};
use gradus_core::table::Rng;
use gradus_core::{Graph, Op};
use gradus_cpu::Pool;
use gradus_cpu::exec::Executable;
use gradus_plan::{Options, plan};

use super::compare::{Rounding, SAMPLES, bits};
use super::step::Program;
use super::transforms::{Stage, Transform};

/// A program, what is done to it, and the seed of all other choices.
#[derive(Clone)]
pub(crate) struct Case {
    pub(crate) program: Program,
    pub(crate) transforms: Vec<Transform>,
    pub(crate) seed: u64,
    /// Most elements in and out of the transformed program.
    pub(crate) limit: usize,
}

/// How a case came out.
pub(crate) enum Outcome {
    Passed,
    /// It was not run, for a reason.
    Rejected(String),
    Failed(Failure),
}

/// What was wrong.
#[derive(Clone, Debug)]
pub(crate) struct Failure {
    /// Which comparison, or that something panicked.
    pub(crate) what: String,
    pub(crate) detail: String,
}

/// How often each primitive, kernel path and transform was met.
pub(crate) type Hits = BTreeMap<String, usize>;

/// Floating-point operations beyond which a program is not run, and beyond which it is sampled less often.
const MOST: f64 = 3e8;
const SAMPLED: f64 = 4e6;

thread_local! {
    /// The message and place of the last panic; `None` where panics are printed.
    static MESSAGE: RefCell<Option<String>> = const { RefCell::new(None) };
}

/// Runs `f`; a panic becomes its message.
pub(crate) fn quietly<R>(f: impl FnOnce() -> R) -> Result<R, String> {
    static HOOK: Once = Once::new();
    HOOK.call_once(|| {
        let before = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |info| {
            let text = info.payload().downcast_ref::<&str>().map(ToString::to_string);
            let text = text.or_else(|| info.payload().downcast_ref::<String>().cloned()).unwrap_or_default();
            let place = info.location().map(ToString::to_string).unwrap_or_default();
            let caught = MESSAGE
                .with_borrow_mut(|m| m.as_mut().map(|m| *m = format!("{text}\n  at {place}")).is_some());
            if !caught {
                before(info);
            }
        }));
    });
    let outer = MESSAGE.replace(Some(String::new()));
    let result = catch_unwind(AssertUnwindSafe(f));
    let message = MESSAGE.replace(outer).unwrap_or_default();
    result.map_err(|payload| match payload.downcast::<gradus::Error>() {
        Ok(error) => error.to_string(),
        Err(_) => message,
    })
}

fn pools() -> &'static [Arc<Pool>; 2] {
    static POOLS: OnceLock<[Arc<Pool>; 2]> = OnceLock::new();
    POOLS.get_or_init(|| [Arc::new(Pool::serial()), Arc::new(Pool::new(2))])
}

fn arrays(t: &[Tensor]) -> Vec<Array> {
    t.iter().map(|t| t.to_array().expect("a result is concrete")).collect()
}

impl Case {
    /// The function after all transforms, with its arguments.
    pub(crate) fn stage(&self) -> Result<Stage, Outcome> {
        let values = quietly(|| self.program.values(&self.program.arguments(), |_| ()))
            .map_err(|e| failed("at once", e))?;
        let mut stage = Stage::of(&self.program, &values);
        let mut rng = Rng::new(self.seed);
        for &transform in &self.transforms {
            stage = stage
                .under(transform, self.limit, &mut rng)
                .ok_or_else(|| Outcome::Rejected(format!("{transform:?} does not apply")))?;
        }
        Ok(stage)
    }

    /// Runs it in every way.
    pub(crate) fn check(&self, hits: &mut Hits) -> Outcome {
        let stage = match self.stage() {
            Ok(stage) => stage,
            Err(outcome) => return outcome,
        };
        match self.run(&stage, hits) {
            Ok(()) => Outcome::Passed,
            Err(outcome) => outcome,
        }
    }

    fn run(&self, stage: &Stage, hits: &mut Hits) -> Result<(), Outcome> {
        let mut rng = Rng::new(self.seed ^ 0x5bd1);
        let f = stage.function.clone();
        let compiled = jit(move |x: &Vec<Tensor>| f(x));
        let (graph, args) = recorded(&compiled, stage)?;
        let most = SAMPLES[match flops(&graph) {
            few if few < SAMPLED / 16.0 => 3,
            some if some < SAMPLED => 2,
            _ => 1,
        }];
        let mut rounding = caught("the interpreter", || Rounding::new(&graph, &args, most))?;

        let planned = arrays(&caught("jit", || compiled.try_call(&stage.args))?);
        let at_once = arrays(&quietly(|| (stage.function)(&stage.args)).map_err(|e| failed("at once", e))?);
        let found = rounding.differs(&planned);
        agree("jit and the interpreter", found)?;
        let found = rounding.disagree(&at_once, &planned);
        agree("at once and jit", found)?;
        if stage.law {
            let law = self.transforms.last().expect("a law is a transform");
            let found = rounding.broken(&planned);
            agree(&format!("the law {law:?}"), found)?;
        }

        // The same plan for one thread and for two.
        let target = caught("costs", gradus_cpu::target)?;
        let options = |strategy, memory_budget, donate| Options {
            strategy,
            memory_budget,
            donate,
            target: target.clone(),
        };
        let ready = |options: Options, pool: usize| {
            caught("planning", || plan(&graph, &options))
                .map(|plan| Executable::with_pool(plan, pools()[pool].clone()))
        };
        let one = ready(options(Strategy::Auto, None, false), 0)?;
        for path in one.paths() {
            *hits.entry(format!("kernel {path}")).or_default() += 1;
        }
        count(&graph, hits);
        if self.program.says("vmap_named") {
            // The map has put other primitives in their place.
            *hits.entry("op Collective".into()).or_default() += 1;
        }
        same("one thread", &caught("one thread", || one.run(&args))?, &planned)?;
        let two = Executable::with_pool(one.plan().clone(), pools()[1].clone());
        same("two threads", &caught("two threads", || two.run(&args))?, &planned)?;
        if rng.below(2) == 0 {
            let given =
                quietly(|| compiled.call_owned(copies(&stage.args))).map_err(|e| failed("call_owned", e))?;
            same("arguments given away", &arrays(&given), &planned)?;
        }
        if rng.below(3) == 0 {
            let all = [Strategy::Plain, Strategy::Recompute, Strategy::Rederive, Strategy::Nested];
            let strategy = all[rng.below(all.len())];
            *hits.entry(format!("strategy {strategy:?}")).or_default() += 1;
            let other = ready(options(strategy, None, false), rng.below(2))?;
            let results = caught("a strategy", || other.run(&args))?;
            let found = rounding.disagree(&results, &planned);
            agree(&format!("{strategy:?} and Auto"), found)?;
        }
        if rng.below(3) == 0 {
            let share = Budget::Share([0.4, 0.6, 0.8, 0.9, 0.95, 1.0][rng.below(6)]);
            let donate = rng.below(2) == 0;
            let within = quietly(|| plan(&graph, &options(Strategy::Auto, Some(share), donate)))
                .map_err(|e| failed("planning within a budget", e))?;
            // A budget that cannot be met is an answer.
            if let Ok(plan) = within {
                *hits.entry("budget".into()).or_default() += 1;
                let other = Executable::with_pool(plan, pools()[rng.below(2)].clone());
                same("a budget", &caught("a budget", || other.run(&args))?, &planned)?;
                if donate {
                    let own: Vec<Array> =
                        arrays(&copies(&args.iter().cloned().map(Tensor::from).collect::<Vec<_>>()));
                    same(
                        "a budget, donated",
                        &caught("a budget, donated", || other.run_owned(own))?,
                        &planned,
                    )?;
                }
            }
        }
        for transform in &self.transforms {
            *hits.entry(format!("transform {transform:?}")).or_default() += 1;
        }
        Ok(())
    }
}

/// A compiled function as a graph with arguments.
pub(crate) fn recorded<F: Fn(&Vec<Tensor>) -> Vec<Tensor>>(
    compiled: &Jit<Vec<Tensor>, Vec<Tensor>, F>,
    stage: &Stage,
) -> Result<(Graph, Vec<Array>), Outcome> {
    let (graph, captures) = caught("recording", || compiled.try_record(&stage.args))?;
    let flops = flops(&graph);
    if flops > MOST {
        return Err(Outcome::Rejected(format!("{flops:.0} operations")));
    }
    let args = arrays(&[stage.args.clone(), captures].concat());
    Ok((graph, args))
}

/// Tensors in memory of their own.
fn copies(x: &[Tensor]) -> Vec<Tensor> {
    x.iter()
        .map(|t| {
            let a = t.to_array().expect("an argument is concrete");
            gradus_core::with_elements!(a.buffer(), v => Tensor::new(a.shape().clone(), v.to_vec()))
                .expect("as many elements")
        })
        .collect()
}

/// A rule that `jvp` makes of a loop or a branch carries values and tangents together, which cannot be transposed; the
/// documentation of `custom_jvp` says so.
const JOINT: &str = "the rule must be linear in the tangent";

pub(crate) fn failed(what: &str, detail: String) -> Outcome {
    if detail.contains(JOINT) {
        return Outcome::Rejected(detail);
    }
    Outcome::Failed(Failure { what: what.to_string(), detail })
}

/// A value that neither an error nor a panic has taken the place of.
pub(crate) fn caught<T>(what: &str, f: impl FnOnce() -> gradus::Result<T>) -> Result<T, Outcome> {
    match quietly(f) {
        Ok(Ok(value)) => Ok(value),
        Ok(Err(error)) => Err(failed(what, error.to_string())),
        Err(panic) => Err(failed(what, panic)),
    }
}

fn agree(what: &str, found: gradus::Result<Option<String>>) -> Result<(), Outcome> {
    match found {
        Ok(None) => Ok(()),
        Ok(Some(difference)) => Err(failed(what, difference)),
        Err(error) => Err(failed("the disturbed interpreter", error.to_string())),
    }
}

fn same(what: &str, a: &[Array], b: &[Array]) -> Result<(), Outcome> {
    bits(a, b).map_or(Ok(()), |difference| Err(failed(what, format!("not the same bits: {difference}"))))
}

fn flops(graph: &Graph) -> f64 {
    let of = |vars: &[gradus_core::Var]| vars.iter().map(|&v| graph.ty(v).clone()).collect::<Vec<_>>();
    graph.eqns().iter().map(|e| e.op.row().cost(&of(&e.inputs), &of(&e.outputs)).flops).sum()
}

/// Notes the primitives of a program and of those inside it.
fn count(graph: &Graph, hits: &mut Hits) {
    for eqn in graph.eqns() {
        let name = match &eqn.op {
            Op::Unary(u) => format!("Unary {}", u.name()),
            Op::Binary(b) => format!("Binary {}", b.name()),
            op => op.variant().to_string(),
        };
        *hits.entry(format!("op {name}")).or_default() += 1;
        for inner in eqn.op.graphs() {
            count(inner, hits);
        }
    }
}
