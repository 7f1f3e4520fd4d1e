//! lse: the logarithm of a sum of exponentials, `y = a + ln Σ_i e^(x_i - a)` with `a = max x`.

use gradus::{Tensor, grad, jit};
use serde::Deserialize;
use serde_json::value::RawValue;

use super::{Eval, unknown};
use crate::error::{Result, require};
use crate::input::decode;
use crate::output::Output;
use crate::task::{Task, compiled};

pub const EVAL: Eval = Eval { name: "lse", functions: &["primal", "gradient"], bare_input: false, prepare };

/// `y` does not depend on `a`: the maximum serves as a constant, and no derivative need pass through it.
fn log_sum_exp(x: &Tensor) -> Tensor {
    let a = x.max(()).stop_gradient();
    &a + (x - &a).exp().sum(()).log()
}

#[derive(Deserialize)]
struct Input {
    x: Vec<f64>,
}

fn prepare(function: &str, input: &RawValue) -> Result<Box<dyn Task>> {
    let Input { x } = decode(input)?;
    require(!x.is_empty(), || "x is empty".into())?;
    match function {
        "primal" => compiled(jit(log_sum_exp), x.into(), |y| Output::Number(y.item())),
        "gradient" => compiled(jit(grad(log_sum_exp)), x.into(), |g| Output::Vector(g.to_vec())),
        _ => unknown(&EVAL, function),
    }
}
