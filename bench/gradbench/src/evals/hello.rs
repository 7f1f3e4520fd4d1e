//! hello: the square of a number, and its derivative.

use gradus_num::{Real, forward};
use serde_json::value::RawValue;

use super::{Eval, unknown};
use crate::error::Result;
use crate::input::decode;
use crate::task::{Task, number};

pub const EVAL: Eval = Eval { name: "hello", functions: &["square", "double"], bare_input: true, prepare };

/// `x²`.
fn square<R: Real>(x: R) -> R {
    x * x
}

fn prepare(function: &str, input: &RawValue) -> Result<Box<dyn Task>> {
    let x: f64 = decode(input)?;
    match function {
        "square" => Ok(number(move || square(x))),
        "double" => Ok(number(move || forward::derivative(square, x))),
        _ => unknown(&EVAL, function),
    }
}
