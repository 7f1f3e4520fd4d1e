//! lse: the logarithm of a sum of exponentials, `y = a + ln Σ_i e^(x_i - a)` with `a = max x`.

use std::ops::Range;

use gradus_num::Real;
use gradus_num::batch::{Batch, Block, PointFn};
use serde::Deserialize;
use serde_json::value::RawValue;

use super::{Eval, unknown};
use crate::error::{Result, require};
use crate::input::{buffer, decode};
use crate::task::{Task, number, vector};

pub const EVAL: Eval = Eval { name: "lse", functions: &["primal", "gradient"], bare_input: false, prepare };

/// `e^(x_i - a)` of every element.
///
/// `y` does not depend on `a`: the maximum serves as a constant, and no derivative need pass through it.
struct Exponentials {
    a: f64,
    n: usize,
}

impl Exponentials {
    fn new(x: &[f64]) -> Self {
        Exponentials { a: x.iter().copied().fold(f64::NEG_INFINITY, f64::max), n: x.len() }
    }

    /// `a + ln s`.
    fn log<R: Real>(&self, sum: R) -> R {
        sum.log().shift(self.a)
    }
}

impl PointFn for Exponentials {
    fn points(&self) -> usize {
        self.n
    }

    fn shared(&self, _inputs: usize) -> Range<usize> {
        0..0
    }

    fn own(&self) -> usize {
        1
    }

    #[inline(always)]
    fn own_index(&self, point: usize, _j: usize) -> usize {
        point
    }

    #[inline(always)]
    fn call<R: Real>(&self, _block: &Block, _shared: &[R], own: &[R], y: &mut [R]) {
        y[0] = own[0].shift(-self.a).exp();
    }
}

#[derive(Deserialize)]
struct Input {
    x: Vec<f64>,
}

fn prepare(function: &str, input: &RawValue) -> Result<Box<dyn Task>> {
    let Input { x } = decode(input)?;
    require(!x.is_empty(), || "x is empty".into())?;
    let mut batch = Batch::<8>::new();
    match function {
        "primal" => {
            let mut exponentials = buffer("the list of exponentials", 0.0, x.len())?;
            Ok(number(move || {
                let f = Exponentials::new(&x);
                batch.values(&f, &x, &mut exponentials);
                f.log(exponentials.iter().sum())
            }))
        }
        "gradient" => Ok(vector(x.len(), move |g| {
            let f = Exponentials::new(&x);
            batch.gradient_through_sum(&f, &x, |sum| f.log(sum), g);
        })),
        _ => unknown(&EVAL, function),
    }
}
