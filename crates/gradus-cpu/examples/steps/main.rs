//! Times whole training steps and small programs through the planner and the executor:
//! `cargo run --release -p gradus-cpu --example steps [mlp|deep|chain|softmax|plan|sgd|momentum|adam|clipped]`.

mod models;

use std::time::Instant;

use gradus_core::{Array, Graph};
use gradus_cpu::exec::Executable;
use gradus_plan::kernel::Work;
use gradus_plan::{Budget, Options, Strategy, plan};

fn main() {
    let wanted: Vec<String> = std::env::args().skip(1).collect();
    let all = wanted.is_empty();
    let has = |name: &str| all || wanted.iter().any(|w| w == name);
    if has("chain") {
        let g = models::chain(1000, 4);
        time("chain of 1000 on 4 elements", &g, 2000);
        time("one op on 4 elements", &models::chain(1, 4), 20000);
    }
    if has("softmax") {
        time("softmax 2000x512", &models::softmax(2000, 512), 20);
        time("mish with derivative, 1e6", &models::mish(1_000_000), 20);
        time("adam, 1e6", &models::adam(1_000_000), 20);
    }
    if has("mlp") {
        time(
            "mlp 784-512-512-10, batch 128, gelu, gradients",
            &models::mlp(&[784, 512, 512, 10], 128, models::gelu),
            50,
        );
        time("mlp, batch 1024, mish", &models::mlp(&[784, 512, 512, 10], 1024, models::mish_of), 10);
    }
    if has("plan") {
        for layers in [4, 40, 400] {
            let widths = vec![32; layers];
            let g = models::mlp(&widths, 16, models::mish_of);
            for budget in [None, Some(Budget::Share(0.6))] {
                let options = Options { memory_budget: budget, ..Options::default() };
                let began = Instant::now();
                match plan(&g, &options) {
                    Ok(p) => println!(
                        "{} equations, budget {budget:?}: planned in {:.1?}, arena {} of at least {}",
                        g.eqns().len(),
                        began.elapsed(),
                        p.arena_bytes(),
                        p.arena_lower_bound()
                    ),
                    Err(e) => println!(
                        "{} equations, budget {budget:?}: {e} in {:.1?}",
                        g.eqns().len(),
                        began.elapsed()
                    ),
                }
            }
        }
    }
    // The big network: planned only, unless it is asked for by name.
    let widths: Vec<usize> = std::iter::once(784).chain([1024; 16]).chain([10]).collect();
    let asked = |name: &str| if wanted.iter().any(|w| w == name) { 2 } else { 0 };
    let gradients = models::mlp(&widths, 4096, models::mish_of);
    strategies("deep-mish, batch 4096", &gradients, asked("deep"), false);
    for (name, rule) in [
        ("sgd", models::Update::Sgd),
        ("momentum", models::Update::Momentum),
        ("adam", models::Update::Adam),
        ("clipped", models::Update::Clipped),
    ] {
        let step = models::step(&widths, 4096, models::mish_of, rule);
        strategies(&format!("deep-mish, batch 4096, a step of {name}"), &step, asked(name), true);
    }
}

/// A network under every strategy and several budgets.
fn strategies(name: &str, graph: &Graph, runs: usize, donate: bool) {
    for strategy in [Strategy::Plain, Strategy::Recompute, Strategy::Nested] {
        let options = Options { strategy, donate, ..Options::default() };
        time_with(&format!("{name}, {strategy:?}"), graph, runs, &options);
    }
    for share in [0.75, 0.5, 0.35] {
        let options = Options { memory_budget: Some(Budget::Share(share)), donate, ..Options::default() };
        time_with(&format!("{name}, budget {share}"), graph, runs, &options);
    }
}

fn time(name: &str, graph: &Graph, runs: usize) {
    time_with(name, graph, runs, &Options::default());
}

/// Plans, runs and prints the median.
fn time_with(name: &str, graph: &Graph, runs: usize, options: &Options) {
    let mut args: Vec<Array> = graph
        .input_types()
        .iter()
        .enumerate()
        .map(|(k, ty)| {
            let v: Vec<f64> =
                (0..ty.shape.size()).map(|i| ((i * 37 + k * 11) % 101) as f64 / 1010.0 - 0.05).collect();
            Array::new(ty.shape.clone(), v).expect("a value for each element").cast(ty.dtype)
        })
        .collect();
    let began = Instant::now();
    let planned = match plan(graph, options) {
        Ok(planned) => planned,
        Err(error) => return println!("{name}: {error}"),
    };
    let planning = began.elapsed();
    let peak =
        if options.donate { planned.planned_peak_donated_bytes() } else { planned.planned_peak_bytes() };
    let regions = planned.kernels().iter().filter(|k| matches!(k.work, Work::Region(_))).count();
    println!(
        "{name}: {} equations, saved {:.1} MiB, {} kernels ({regions} regions), arena {:.1} MiB (bound {:.1}), peak {:.1}, planned in {planning:.1?}, estimated {:.0} ms",
        graph.eqns().len(),
        planned.saved_bytes() as f64 / 1048576.0,
        planned.kernels().len(),
        planned.arena_bytes() as f64 / 1048576.0,
        planned.arena_lower_bound() as f64 / 1048576.0,
        peak as f64 / 1048576.0,
        planned.estimated_seconds() * 1e3,
    );
    if std::env::var("EXPLAIN").is_ok() {
        println!("{}", planned.explain());
    }
    if runs == 0 {
        return;
    }
    let executable = Executable::new(planned);
    let mut times = Vec::new();
    for _ in 0..runs + 1 {
        let began = Instant::now();
        let out = if options.donate {
            args = turn(&executable, args);
            Vec::new()
        } else {
            executable.run(&args).expect("a run")
        };
        times.push(began.elapsed().as_secs_f64());
        drop(out);
    }
    times.sort_by(f64::total_cmp);
    let median = times[times.len() / 2];
    println!("    {:.3} ms, {:.2} ns an equation", median * 1e3, median * 1e9 / graph.eqns().len() as f64);
}

/// One run that gives its arguments away, and the arguments of the next: what was written over is taken on.
fn turn(executable: &Executable, args: Vec<Array>) -> Vec<Array> {
    let donations = executable.plan().donations().to_vec();
    let result = |i: usize| donations.iter().find(|d| d.0 == i).map(|d| d.1);
    let kept: Vec<Option<Array>> =
        args.iter().enumerate().map(|(i, a)| result(i).is_none().then(|| a.clone())).collect();
    let out = executable.run_owned(args).expect("a run");
    let next = |(i, kept): (usize, Option<Array>)| kept.or_else(|| result(i).map(|r| out[r].clone()));
    kept.into_iter().enumerate().filter_map(next).collect()
}
