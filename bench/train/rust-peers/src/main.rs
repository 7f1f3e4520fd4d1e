//! Training steps of burn and candle: `rust-peers burn|candle CASE...` prints one JSON line a case (a, b, d).
//!
//! Threads are those of rayon: set `RAYON_NUM_THREADS`.

mod burn_steps;
mod candle_steps;
mod measure;

use std::process::ExitCode;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let Some((library, cases)) = arguments.split_first() else {
        eprintln!("usage: rust-peers burn|candle CASE...");
        return ExitCode::from(2);
    };
    for case in cases {
        let line = match library.as_str() {
            "burn" => burn_steps::run(case),
            "candle" => candle_steps::run(case),
            _ => None,
        };
        match line {
            Some(line) => println!("{line}"),
            None => {
                eprintln!("{library} has no case {case}: there are a, b and d of burn and candle");
                return ExitCode::from(2);
            }
        }
    }
    ExitCode::SUCCESS
}

/// Layers and batch of an MLP case.
fn mlp(case: &str) -> Option<(bool, usize)> {
    match case {
        "a" => Some((false, 128)),
        "b" => Some((true, 1024)),
        _ => None,
    }
}

/// Numbers from -1 to 1, the same at every run.
fn numbers(n: usize) -> Vec<f32> {
    let mut state = 1u32;
    (0..n)
        .map(|_| {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (state >> 8) as f32 / (1 << 23) as f32 - 1.0
        })
        .collect()
}

/// Labels of ten classes.
fn labels(n: usize) -> Vec<i64> {
    (0..n as i64).map(|i| i * 7 % 10).collect()
}
