//! saddle: `min over p of max over q of (p_0² + p_1²) - (q_0² + q_1²)`, both by gradient descent from the same
//! start, the outer one through the inner.

use std::marker::PhantomData;

use gradus_num::Real;
use serde::Deserialize;
use serde_json::value::RawValue;

use super::descent::{argmax, argmin};
use super::modes::{Forward, Function, Mode, Over, Reverse};
use super::{Eval, unknown};
use crate::error::Result;
use crate::input::{decode, same_len};
use crate::output::Output;
use crate::task::{Task, task};

pub const EVAL: Eval =
    Eval { name: "saddle", functions: &["ff", "fr", "rf", "rr"], bare_input: false, prepare };

/// `(p_0² + p_1²) - (q_0² + q_1²)` as a function of `q`.
struct Payoff<T> {
    p: [T; 2],
}

impl<T: Real> Function<T, 2> for Payoff<T> {
    fn at<R: Over<T>>(&self, q: [R; 2]) -> Result<R> {
        let p = self.p.map(R::lift);
        Ok((p[0] * p[0] + p[1] * p[1]) - (q[0] * q[0] + q[1] * q[1]))
    }
}

/// The payoff at its maximum over `q`, as a function of `p`.
struct Best<Inner> {
    start: [f64; 2],
    inner: PhantomData<Inner>,
}

impl<T: Real, Inner: Mode> Function<T, 2> for Best<Inner> {
    fn at<R: Over<T>>(&self, p: [R; 2]) -> Result<R> {
        let payoff = Payoff { p };
        let q = argmax::<Inner, R, 2>(&payoff, self.start.map(R::from_f64))?;
        payoff.at(q)
    }
}

fn saddle_point<Outer: Mode, Inner: Mode>(start: [f64; 2]) -> Result<[f64; 4]> {
    let p = argmin::<Outer, f64, 2>(&Best::<Inner> { start, inner: PhantomData }, start)?;
    let q = argmax::<Outer, f64, 2>(&Payoff { p }, start)?;
    Ok([p[0], p[1], q[0], q[1]])
}

#[derive(Deserialize)]
struct Input {
    start: Vec<f64>,
}

fn prepare(function: &str, input: &RawValue) -> Result<Box<dyn Task>> {
    let Input { start } = decode(input)?;
    same_len("start", &start, 2)?;
    let start = [start[0], start[1]];
    let solve = match function {
        "ff" => saddle_point::<Forward, Forward>,
        "fr" => saddle_point::<Forward, Reverse>,
        "rf" => saddle_point::<Reverse, Forward>,
        "rr" => saddle_point::<Reverse, Reverse>,
        _ => return unknown(&EVAL, function),
    };
    let run = move |result: &mut [f64; 4]| {
        *result = solve(start)?;
        Ok(())
    };
    Ok(task([0.0; 4], run, |result| Output::Vector(result.to_vec())))
}
