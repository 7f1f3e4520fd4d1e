//! llsq: least squares with a polynomial in the monomial basis.
//!
//! `t_i = -1 + 2i/(n-1)`, `s_i = sign t_i`, `r_i = s_i - Σ_j x_j t_i^j`, and `y = ½ Σ_i r_i²`.

use gradus::{DType, Tensor, grad, jit};
use serde::Deserialize;
use serde_json::value::RawValue;

use super::{Eval, unknown};
use crate::error::{Result, require};
use crate::input::{Count, decode};
use crate::output::Output;
use crate::task::{Task, compiled};

pub const EVAL: Eval = Eval { name: "llsq", functions: &["primal", "gradient"], bare_input: false, prepare };

/// `½ Σ_i r_i²` over the points numbered `i`, as a function of the coefficients.
fn half_square_error(x: &Tensor, i: &Tensor) -> Tensor {
    let n = i.size();
    let t = 2.0 * i / (n - 1) as f64 - 1.0;
    // Row j - 1 is t^j, by repeated multiplication.
    let powers = t.broadcast_to([x.size() - 1, n]).cumprod(0);
    let r = t.sign() - x.index(0, 0) - x.slice(0, 1..).matmul(&powers);
    0.5 * r.square().sum(())
}

#[derive(Deserialize)]
struct Input {
    x: Vec<f64>,
    n: Count,
}

/// The powers of all points stand in memory at the same time: more than these are refused.
const MAX_POWERS: u128 = 1 << 26;

fn prepare(function: &str, input: &RawValue) -> Result<Box<dyn Task>> {
    let Input { x, n: Count(n) } = decode(input)?;
    require(n >= 2, || format!("n is {n}, but at least 2 points are needed"))?;
    require(!x.is_empty(), || "x is empty".into())?;
    require(n as u128 * x.len() as u128 <= MAX_POWERS, || {
        format!("{n} points and {} coefficients are more powers than the {MAX_POWERS} allowed", x.len())
    })?;
    // Arguments, so that each run computes points and powers anew.
    let arguments: (Tensor, Tensor) = (x.into(), Tensor::arange(n, DType::F64));
    match function {
        "primal" => {
            let program = jit(|(x, i): &(Tensor, Tensor)| half_square_error(x, i));
            compiled(program, arguments, |y| Output::Number(y.item()))
        }
        "gradient" => {
            let program = jit(|(x, i): &(Tensor, Tensor)| grad(|x: &Tensor| half_square_error(x, i))(x));
            compiled(program, arguments, |g| Output::Vector(g.to_vec()))
        }
        _ => unknown(&EVAL, function),
    }
}
