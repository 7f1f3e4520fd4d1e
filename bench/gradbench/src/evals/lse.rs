//! lse: the logarithm of a sum of exponentials, `y = a + ln Σ_i e^(x_i - a)` with `a = max x`.

use gradus_num::{Real, Tape, reverse};
use serde::Deserialize;
use serde_json::value::RawValue;

use super::{Eval, unknown};
use crate::error::{Result, require};
use crate::input::decode;
use crate::task::{Task, number, vector};

pub const EVAL: Eval = Eval { name: "lse", functions: &["primal", "gradient"], bare_input: false, prepare };

/// `a + ln Σ_i e^(x_i - a)`.
///
/// The result does not depend on `a`, so its value serves: no derivative need pass through the maximum.
pub fn log_sum_exp<R: Real>(x: &[R]) -> R {
    let a = R::from_f64(x.iter().map(R::value).fold(f64::NEG_INFINITY, f64::max));
    let mut sum = R::zero();
    for &xi in x {
        sum += (xi - a).exp();
    }
    sum.log() + a
}

#[derive(Deserialize)]
struct Input {
    x: Vec<f64>,
}

fn prepare(function: &str, input: &RawValue) -> Result<Box<dyn Task>> {
    let Input { x } = decode(input)?;
    require(!x.is_empty(), || "x is empty".into())?;
    match function {
        "primal" => Ok(number(move || log_sum_exp(&x))),
        "gradient" => {
            let mut tape = Tape::new();
            Ok(vector(x.len(), move |g| {
                reverse::value_and_gradient_into(&mut tape, |x| log_sum_exp(x), &x, g);
            }))
        }
        _ => unknown(&EVAL, function),
    }
}
