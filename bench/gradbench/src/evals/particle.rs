//! particle: where must a charge stand for a particle to hit the axis at the origin?
//!
//! Unit charges at `(10, 10 - w)` and `(10, 0)` with the potential `V(x) = Σ 1/|x - charge|`. The particle starts
//! at `(0, 8)` with velocity `(0.75, 0)` and moves by Euler's method, accelerated by `-∇V` (the inner
//! derivative), until it crosses the axis; the cost is the square of where. The answer minimises it over `w`
//! (the outer derivative).

use std::marker::PhantomData;

use gradus_num::Real;
use serde::Deserialize;
use serde_json::value::RawValue;

use super::descent::argmin;
use super::modes::{Forward, Function, Mode, Over, Reverse};
use super::{Eval, unknown};
use crate::error::{Error, Result};
use crate::input::decode;
use crate::output::Output;
use crate::task::{Task, task};

pub const EVAL: Eval =
    Eval { name: "particle", functions: &["ff", "fr", "rf", "rr"], bare_input: false, prepare };

const DT: f64 = 0.1;
const MAX_STEPS: usize = 100_000;

/// The potential of the charges.
struct Potential<T> {
    charges: [[T; 2]; 2],
}

impl<T: Real> Function<T, 2> for Potential<T> {
    fn at<R: Over<T>>(&self, x: [R; 2]) -> Result<R> {
        let inverse_distance = |charge: [T; 2]| {
            let (dx, dy) = (x[0] - R::lift(charge[0]), x[1] - R::lift(charge[1]));
            (dx * dx + dy * dy).sqrt().recip()
        };
        Ok(inverse_distance(self.charges[0]) + inverse_distance(self.charges[1]))
    }
}

/// The square of where the particle crosses the axis.
struct Cost<Inner>(PhantomData<Inner>);

impl<T: Real, Inner: Mode> Function<T, 1> for Cost<Inner> {
    fn at<R: Over<T>>(&self, [w]: [R; 1]) -> Result<R> {
        let number = R::from_f64;
        let potential =
            Potential { charges: [[number(10.0), number(10.0) - w], [number(10.0), number(0.0)]] };
        let mut x = [number(0.0), number(8.0)];
        let mut v = [number(0.75), number(0.0)];
        for _ in 0..MAX_STEPS {
            let (_, slope) = Inner::gradient(&potential, x)?;
            x = [x[0] + v[0].scale(DT), x[1] + v[1].scale(DT)];
            if x[1].value() <= 0.0 {
                let back = -x[1] / v[1];
                let z = x[0] + back * v[0];
                return Ok(z * z);
            }
            v = [v[0] - slope[0].scale(DT), v[1] - slope[1].scale(DT)];
        }
        Err(Error::Endless { what: "the particle's way to the axis", cap: MAX_STEPS, unit: "steps" })
    }
}

fn best<Outer: Mode, Inner: Mode>(w: f64) -> Result<f64> {
    let [w] = argmin::<Outer, f64, 1>(&Cost::<Inner>(PhantomData), [w])?;
    Ok(w)
}

#[derive(Deserialize)]
struct Input {
    w: f64,
}

fn prepare(function: &str, input: &RawValue) -> Result<Box<dyn Task>> {
    let Input { w } = decode(input)?;
    let solve = match function {
        "ff" => best::<Forward, Forward>,
        "fr" => best::<Forward, Reverse>,
        "rf" => best::<Reverse, Forward>,
        "rr" => best::<Reverse, Reverse>,
        _ => return unknown(&EVAL, function),
    };
    let run = move |result: &mut f64| {
        *result = solve(w)?;
        Ok(())
    };
    Ok(task(0.0, run, |&result| Output::Number(result)))
}
