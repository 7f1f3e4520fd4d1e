//! llsq: least squares with a polynomial in the monomial basis.
//!
//! `t_i = -1 + 2i/(n-1)`, `s_i = sign t_i`, `r_i = s_i - Σ_j x_j t_i^j`, and `y = ½ Σ_i r_i²`.

use gradus_num::Real;
use gradus_num::batch::{Batch, Block, PointFn};
use serde::Deserialize;
use serde_json::value::RawValue;

use super::{Eval, unknown};
use crate::error::{Result, require};
use crate::input::{Count, buffer, decode};
use crate::task::{Task, number, vector};

pub const EVAL: Eval = Eval { name: "llsq", functions: &["primal", "gradient"], bare_input: false, prepare };

/// `½ r_i²` at each of `n` points, as a function of the coefficients.
struct SquareErrors {
    n: usize,
}

impl PointFn for SquareErrors {
    fn points(&self) -> usize {
        self.n
    }

    #[inline(always)]
    fn call<R: Real>(&self, block: &Block, x: &[R], _own: &[R], y: &mut [R]) {
        let t = |i: usize| -1.0 + 2.0 * i as f64 / (self.n - 1) as f64;
        let mut r: R = block.gather(|i| if t(i) == 0.0 { 0.0 } else { t(i).signum() });
        let (t, mut power): (R, R) = (block.gather(t), R::one());
        for &xj in x {
            r -= xj * power;
            power *= t;
        }
        y[0] = (r * r).scale(0.5);
    }
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
    let errors = SquareErrors { n };
    let mut batch = Batch::<8>::new();
    match function {
        "primal" => {
            let mut squares = buffer("the list of errors", 0.0, n)?;
            Ok(number(move || {
                batch.values(&errors, &x, &mut squares);
                squares.iter().sum()
            }))
        }
        "gradient" => Ok(vector(x.len(), move |g| {
            batch.sum_gradient(&errors, &x, g);
        })),
        _ => unknown(&EVAL, function),
    }
}
