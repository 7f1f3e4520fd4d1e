//! The 27 nonlinear regression problems of NIST's Statistical Reference Datasets, from both starting points.
//!
//! Each model is one generic function; its exact Jacobian drives a Levenberg-Marquardt iteration. The table shows how many
//! digits of the certified parameters (given to 11) are found. The data files are NIST's own, in the public domain.
//!
//! `cargo run --release -p gradus-num --example nist`

mod fit;
mod models;

use fit::{Outcome, fit};
use models::{PROBLEMS, Residuals};

fn main() {
    println!("{:<10} {:>3} {:>4}  {:>18}  {:>18}", "problem", "n", "obs", "start 1", "start 2");
    let mut misses = Vec::new();
    let mut plan = String::new();
    for problem in &PROBLEMS {
        let data = problem.data();
        let mut cells = Vec::new();
        for (which, start) in data.starts.iter().enumerate() {
            let residuals = Residuals { model: problem.model, data: &data };
            let Outcome { parameters, sum_of_squares, iterations, plan: said } = fit(&residuals, start);
            plan = said;
            let digits = parameters
                .iter()
                .zip(&data.certified)
                .map(|(found, certified)| digits(*found, *certified))
                .fold(11.0, f64::min);
            cells.push(format!("{digits:4.1} in {iterations:4} its"));
            if digits < 9.0 {
                let relative = sum_of_squares / data.sum_of_squares;
                misses.push(format!(
                    "{} from start {}: {digits:.1} digits, sum of squares {relative:.3e} times the certified",
                    problem.name,
                    which + 1,
                ));
            }
        }
        println!(
            "{:<10} {:>3} {:>4}  {:>18}  {:>18}",
            problem.name,
            data.certified.len(),
            data.y.len(),
            cells[0],
            cells[1]
        );
    }
    println!("\nthe last Jacobian's plan: {plan}");
    println!("\n{} of 54 fits have 9 or more correct digits", 54 - misses.len());
    for miss in &misses {
        println!("  miss: {miss}");
    }
}

/// The number of correct significant digits, at most the 11 that are certified.
fn digits(found: f64, certified: f64) -> f64 {
    let error = ((found - certified) / certified).abs();
    if error.is_nan() { 0.0 } else { (-error.log10()).clamp(0.0, 11.0) }
}
