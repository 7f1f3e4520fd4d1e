//! llsq: least squares with a polynomial in the monomial basis.
//!
//! `t_i = -1 + 2i/(n-1)`, `s_i = sign t_i`, `r_i = s_i - Σ_j x_j t_i^j`, and `y = ½ Σ_i r_i²`.

use gradus_num::{Real, Tape, reverse};
use serde::Deserialize;
use serde_json::value::RawValue;

use super::{Eval, unknown};
use crate::error::{Result, require};
use crate::input::{Count, decode};
use crate::task::{Task, number, vector};

pub const EVAL: Eval = Eval { name: "llsq", functions: &["primal", "gradient"], bare_input: false, prepare };

/// `½ Σ_i (s_i - Σ_j x_j t_i^j)²` over `n` points.
fn half_square_error<R: Real>(x: &[R], n: usize) -> R {
    let mut sum = R::zero();
    for i in 0..n {
        let r = residual(x, -1.0 + 2.0 * i as f64 / (n - 1) as f64);
        sum += r * r;
    }
    sum.scale(0.5)
}

/// `sign(t) - Σ_j x_j t^j`.
fn residual<R: Real>(x: &[R], t: f64) -> R {
    let mut r = R::from_f64(if t > 0.0 {
        1.0
    } else if t < 0.0 {
        -1.0
    } else {
        0.0
    });
    let mut power = 1.0;
    for xj in x {
        r -= xj.scale(power);
        power *= t;
    }
    r
}

#[derive(Deserialize)]
struct Input {
    x: Vec<f64>,
    n: Count,
}

fn prepare(function: &str, input: &RawValue) -> Result<Box<dyn Task>> {
    let Input { x, n: Count(n) } = decode(input)?;
    require(n >= 2, || format!("n is {n}, but at least 2 points are needed"))?;
    require(!x.is_empty(), || "x is empty".into())?;
    match function {
        "primal" => Ok(number(move || half_square_error(&x, n))),
        "gradient" => {
            let mut tape = Tape::new();
            Ok(vector(x.len(), move |g| {
                reverse::value_and_gradient_into(&mut tape, |x| half_square_error(x, n), &x, g);
            }))
        }
        _ => unknown(&EVAL, function),
    }
}
