//! What a random program gives and how it is planned, in a line: to compare two builds.

use std::fmt::Write;
use std::sync::Arc;

use gradus::{Array, Budget, Tensor, jit};
use gradus_cpu::Pool;
use gradus_cpu::exec::Executable;
use gradus_plan::kernel::Work;
use gradus_plan::{Options, Plan, plan};

use super::check::{Case, Outcome, caught, recorded};

/// FNV-1a: the same on every machine and in every build.
fn hash(bytes: impl IntoIterator<Item = u8>) -> u64 {
    bytes.into_iter().fold(0xcbf2_9ce4_8422_2325, |h, b| (h ^ u64::from(b)).wrapping_mul(0x100_0000_01b3))
}

/// The bits of results, all NaNs alike.
fn bits(results: &[Array]) -> u64 {
    let of = |a: &Array| -> Vec<u64> {
        if a.dtype().is_float() {
            a.to_f64().into_iter().map(|x| if x.is_nan() { 1 } else { x.to_bits() }).collect()
        } else {
            a.to_i64().into_iter().map(|x| x as u64).collect()
        }
    };
    let text = |a: &Array| a.shape().to_string().into_bytes();
    hash(results.iter().flat_map(|a| text(a).into_iter().chain(of(a).into_iter().flat_map(u64::to_le_bytes))))
}

/// All that a plan does: the program it runs, its kernels with the places of what they read and write, what is kept.
fn text(plan: &Plan, out: &mut String) {
    let mut line = |k: usize| {
        let kernel = &plan.kernels()[k];
        let place = |v: &gradus_core::Var| format!("{v}@{:?}", plan.place(*v));
        let all = |vars: &[gradus_core::Var]| vars.iter().map(place).collect::<Vec<_>>().join(",");
        // Writing into a string cannot fail.
        let _ = writeln!(
            out,
            "{} {} {} stage {} [{}] -> [{}] over {:?} workspace {}+{}",
            kernel.kind(),
            plan.shape_of(k),
            plan.operations(k),
            kernel.stage,
            all(&kernel.reads),
            all(&kernel.writes),
            plan.in_place(k),
            kernel.workspace_at,
            kernel.workspace,
        );
        if let Work::Control(_, plans) = &kernel.work {
            plans.iter().for_each(|inner| text(inner, out));
        }
    };
    (0..plan.kernels().len()).for_each(&mut line);
    let kept: Vec<_> = plan.residuals().iter().map(|r| (r.value, r.bytes, r.why)).collect();
    let _ = write!(out, "{}{kept:?} peak {}", plan.graph(), plan.planned_peak_bytes());
}

/// The line of a case, but for its seed: transforms, levels of reverse mode, digests of the results' bits, of the plan and of
/// that within 70 % of its memory, kernels, bytes kept, planned peak.
pub(super) fn line(case: &Case) -> Result<String, Outcome> {
    let stage = case.stage()?;
    let f = stage.function.clone();
    let (graph, args) = recorded(&jit(move |x: &Vec<Tensor>| f(x)), &stage)?;
    let target = caught("costs", gradus_cpu::target)?;
    let made = |memory_budget| {
        plan(&graph, &Options { memory_budget, target: target.clone(), ..Options::default() })
    };
    let free = caught("planning", || made(None))?;
    let (mut all, mut tight) = (String::new(), String::new());
    text(&free, &mut all);
    match made(Some(Budget::Share(0.7))) {
        Ok(plan) => text(&plan, &mut tight),
        Err(error) => tight = error.to_string(),
    }
    let (kernels, kept, peak) = (free.kernels().len(), free.saved_bytes(), free.planned_peak_bytes());
    let one = Executable::with_pool(free, Arc::new(Pool::serial()));
    let results = caught("one thread", || one.run(&args))?;
    Ok(format!(
        "levels {} bits {:016x} plan {:016x} tight {:016x} kernels {kernels} kept {kept} peak {peak} {:?}",
        graph.levels(),
        bits(&results),
        hash(all.into_bytes()),
        hash(tight.into_bytes()),
        case.transforms,
    ))
}
