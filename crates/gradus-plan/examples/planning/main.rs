//! Planning time and quality for programs of 100, 1,000, 5,000 and 10,000 equations:
//! `cargo run --release -p gradus-plan --example planning`.
//!
//! For each program: the time to plan it, without a budget and with budgets; the arena against the most bytes alive at
//! once in the order of its kernels, which no packing can go below; and the peak, as a share of the one without a
//! budget, and the estimated time of what a budget leads to. Beside the time of the products that are run again stands the
//! least that any plan within the budget must run again, by the minimum cuts.

mod gpt;
#[allow(dead_code)]
#[path = "../../../gradus-cpu/examples/steps/models.rs"]
mod models;

use std::time::Instant;

use gradus_core::Graph;
use gradus_plan::kernel::Work;
use gradus_plan::{Budget, Options, Plan, plan};

fn main() {
    println!(
        "| program | equations | budget | planned in | kernels | arena / bound | peak | estimated time | products again / \
         bound |"
    );
    println!("|---|---|---|---|---|---|---|---|---|");
    for size in [100, 1_000, 5_000, 10_000] {
        // About 39 equations a layer with its backward pass and its update.
        let layers = (size / 39).max(2);
        let step = models::step(&vec![256; layers + 1], 4096, models::mish_of, models::Update::Sgd);
        report("MLP step", &step);
        // About 350 equations a layer.
        let layers = (size / 350).max(1);
        let size_of = gpt::Size { layers, width: 256, heads: 4, context: 128, batch: 16, vocabulary: 65 };
        report("GPT step", &gpt::step(size_of));
    }
}

fn report(name: &str, graph: &Graph) {
    let mut free: Option<Plan> = None;
    for share in [None, Some(0.75), Some(0.5), Some(0.35)] {
        let options = Options { memory_budget: share.map(Budget::Share), donate: true, ..Options::default() };
        let began = Instant::now();
        let planned = plan(graph, &options);
        let took = began.elapsed();
        let budget = share.map_or("none".into(), |s| format!("{:.0} %", s * 100.0));
        let line = match planned {
            Ok(planned) => {
                let free = free.get_or_insert_with(|| planned.clone());
                let ratio = |x: usize, y: usize| 100.0 * x as f64 / y.max(1) as f64;
                format!(
                    "{} | {:.1} % | {:.1} % | {:+.1} % | {:.1} / {:.1} ms",
                    planned.kernels().len(),
                    ratio(planned.arena_bytes(), planned.arena_lower_bound()),
                    ratio(planned.planned_peak_donated_bytes(), free.planned_peak_donated_bytes()),
                    100.0 * (planned.estimated_seconds() / free.estimated_seconds() - 1.0),
                    1e3 * (products(&planned) - products(free)),
                    1e3 * planned.decision().least_again
                )
            }
            Err(_) => "– | – | refused | – | –".into(),
        };
        println!("| {name} | {} | {budget} | {took:.1?} | {line} |", graph.eqns().len());
    }
}

/// Estimated seconds of the matrix products.
fn products(plan: &Plan) -> f64 {
    let product = |k: &usize| matches!(plan.kernels()[*k].work, Work::Product(_) | Work::Convolution(_));
    (0..plan.kernels().len()).filter(product).map(|k| plan.kernel_seconds(k)).sum()
}
