//! A decoded evaluation: what one timed run does, and how its result is shown.

use std::hint::black_box;
use std::time::Instant;

use gradus::{Jit, Tree};

use crate::error::Result;
use crate::input::Repeat;
use crate::output::Output;

/// One function of an eval on one input, ready to run.
pub trait Task {
    /// Does all the work once, into buffers of its own.
    fn run(&mut self) -> Result<()>;
    /// The result of the last run.
    fn output(&self) -> Output;
}

struct Closures<T, R, S> {
    result: T,
    run: R,
    show: S,
}

impl<T, R: FnMut(&mut T) -> Result<()>, S: Fn(&T) -> Output> Task for Closures<T, R, S> {
    fn run(&mut self) -> Result<()> {
        (self.run)(black_box(&mut self.result))
    }
    fn output(&self) -> Output {
        (self.show)(&self.result)
    }
}

/// A task that computes into `result` (whose memory stays between runs) and shows it afterwards.
pub fn task<'a, T: 'a>(
    result: T,
    run: impl FnMut(&mut T) -> Result<()> + 'a,
    show: impl Fn(&T) -> Output + 'a,
) -> Box<dyn Task + 'a> {
    Box::new(Closures { result, run, show })
}

/// A task whose result is one number.
pub fn number<'a>(mut f: impl FnMut() -> f64 + 'a) -> Box<dyn Task + 'a> {
    let run = move |result: &mut f64| {
        *result = f();
        Ok(())
    };
    task(0.0, run, |&result| Output::Number(result))
}

/// A task whose result is `len` numbers, written into a buffer.
pub fn vector<'a>(len: usize, mut f: impl FnMut(&mut [f64]) + 'a) -> Box<dyn Task + 'a> {
    let run = move |result: &mut Vec<f64>| {
        f(result);
        Ok(())
    };
    task(vec![0.0; len], run, |result| Output::Vector(result.clone()))
}

/// A task that runs a tensor program on `arguments`; a first run here compiles it for their shapes.
pub fn compiled<'a, A: Tree + 'a, B: Tree + 'a, F: Fn(&A) -> B + 'a>(
    program: Jit<A, B, F>,
    arguments: A,
    show: impl Fn(&B) -> Output + 'a,
) -> Result<Box<dyn Task + 'a>> {
    let first = program.try_call(&arguments)?;
    let run = move |result: &mut B| {
        *result = program.try_call(&arguments)?;
        Ok(())
    };
    Ok(task(first, run, show))
}

/// Runs `task` as often as asked and returns the nanoseconds of each run.
pub fn time(task: &mut dyn Task, repeat: Repeat) -> Result<Vec<u64>> {
    let mut timings = Vec::new();
    let (mut total, least) = (0u128, (repeat.seconds * 1e9).ceil() as u128);
    while timings.len() < repeat.runs || total < least {
        let start = Instant::now();
        task.run()?;
        // A run too short for the clock counts one nanosecond, so that the loop ends.
        let nanoseconds = start.elapsed().as_nanos().max(1);
        total += nanoseconds;
        timings.push(nanoseconds as u64);
    }
    Ok(timings)
}
