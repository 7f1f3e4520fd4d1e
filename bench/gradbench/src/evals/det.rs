//! det: the determinant by expansion along the first row, `det M = Σ_j (-1)^j M_0j det(M without row 0, column j)`.

use gradus_num::{Real, Tape, reverse};
use serde::Deserialize;
use serde_json::value::RawValue;

use super::{Eval, unknown};
use crate::error::{Result, require};
use crate::input::{Count, decode, same_len};
use crate::task::{Task, number, vector};

pub const EVAL: Eval = Eval { name: "det", functions: &["primal", "gradient"], bare_input: false, prepare };

/// The expansion takes `ell!` operations: beyond this it would not end in a day.
const MAX_ELL: usize = 14;

/// The determinant of the `ell x ell` matrix whose rows lie one after the other in `a`.
fn det<R: Real>(a: &[R], ell: usize) -> R {
    let mut columns = [0; MAX_ELL];
    for (j, column) in columns.iter_mut().enumerate() {
        *column = j;
    }
    expand(a, ell, &columns[..ell])
}

/// The minor of the last `columns.len()` rows and the given columns.
fn expand<R: Real>(a: &[R], ell: usize, columns: &[usize]) -> R {
    let size = columns.len();
    let row = &a[(ell - size) * ell..(ell - size + 1) * ell];
    if size == 1 {
        return row[columns[0]];
    }
    let mut rest = [0; MAX_ELL];
    rest[..size - 1].copy_from_slice(&columns[1..]);
    let mut sum = R::zero();
    for j in 0..size {
        let term = row[columns[j]] * expand(a, ell, &rest[..size - 1]);
        if j % 2 == 0 {
            sum += term
        } else {
            sum -= term
        }
        rest[j] = columns[j];
    }
    sum
}

#[derive(Deserialize)]
#[allow(non_snake_case)]
struct Input {
    A: Vec<f64>,
    ell: Count,
}

fn prepare(function: &str, input: &RawValue) -> Result<Box<dyn Task>> {
    let Input { A: a, ell: Count(ell) } = decode(input)?;
    require((1..=MAX_ELL).contains(&ell), || format!("ell is {ell}, but must be from 1 to {MAX_ELL}"))?;
    same_len("A", &a, ell * ell)?;
    match function {
        "primal" => Ok(number(move || det(&a, ell))),
        "gradient" => {
            let mut tape = Tape::new();
            Ok(vector(a.len(), move |g| {
                reverse::value_and_gradient_into(&mut tape, |a| det(a, ell), &a, g);
            }))
        }
        _ => unknown(&EVAL, function),
    }
}
