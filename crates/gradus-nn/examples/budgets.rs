//! What strategies and budgets make of the steps of the named models, planned and not run:
//! `cargo run --release -p gradus-nn --example budgets [MODEL...]`.

use std::time::Instant;

use gradus::{Key, Strategy, jit};
use gradus_nn::models::Named;

fn main() -> gradus_nn::Result<()> {
    let names: Vec<String> = std::env::args().skip(1).collect();
    println!(
        "| model | way | compiled in | saved, MiB | planned peak, MiB | estimated, ms | beside no budget |"
    );
    println!("|---|---|---|---|---|---|---|");
    for model in Named::all().iter().filter(|m| names.is_empty() || names.iter().any(|n| n == m.name)) {
        let key = Key::new(1);
        let input = (model.start(&key), model.batch(&key, model.batch));
        let mut free = None;
        for way in ["plain", "recompute", "nested", "auto", "75%", "50%", "35%"] {
            let step = jit(model.step()).donate();
            let step = match way {
                "plain" => step.strategy(Strategy::Plain),
                "recompute" => step.strategy(Strategy::Recompute),
                "nested" => step.strategy(Strategy::Nested),
                "auto" => step,
                budget => step.memory_budget(budget),
            };
            let began = Instant::now();
            let planned = step.try_plan(&input);
            let took = began.elapsed();
            let line = match planned {
                Ok(plan) => {
                    let seconds = plan.estimated_seconds();
                    let free = *free.get_or_insert(seconds);
                    format!(
                        "{:.1} | {:.1} | {:.1} | {:+.1} %",
                        plan.saved_bytes() as f64 / 1048576.0,
                        plan.planned_peak_donated_bytes() as f64 / 1048576.0,
                        seconds * 1e3,
                        100.0 * (seconds / free - 1.0)
                    )
                }
                Err(error) => format!("{error} | | |"),
            };
            if way == "auto" && std::env::var("EXPLAIN").is_ok() {
                println!("{}", step.explain(&input));
            }
            println!("| {} | {way} | {took:.1?} | {line} |", model.name);
            if way == "nested" {
                free = None;
            }
        }
    }
    Ok(())
}
