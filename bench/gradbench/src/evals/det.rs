//! det: the determinant by expansion along the first row, `det M = Σ_j (-1)^j M_0j det(M without row 0, column j)`.
//!
//! All `ell!` products are computed. For the gradient the 4 x 4 minors at the expansion's leaves are differentiated
//! several at a time, and the expansion above them takes each as one number.

use std::cell::{Cell, RefCell};
use std::ops::Range;

use gradus_num::Real;
use gradus_num::batch::{Batch, Block, PointFn};
use serde::Deserialize;
use serde_json::value::RawValue;

use super::{Eval, unknown};
use crate::error::{Result, require};
use crate::input::{Count, decode, same_len};
use crate::task::{Task, number, vector};

pub const EVAL: Eval = Eval { name: "det", functions: &["primal", "gradient"], bare_input: false, prepare };

/// The expansion takes `ell!` operations: beyond this it would not end in an hour.
const MAX_ELL: usize = 12;

/// The determinant of the `ell x ell` matrix whose rows lie one after the other in `a`.
fn det<R: Real>(a: &[R], ell: usize) -> R {
    expand(a, ell, ell - 1, &|columns| a[(ell - 1) * ell + columns[0]])
}

/// The expansion along the first `rows` rows, with the minors of the rows below given by their columns.
fn expand<R: Real>(a: &[R], ell: usize, rows: usize, minor: &impl Fn(&[usize]) -> R) -> R {
    let columns: [usize; MAX_ELL] = std::array::from_fn(|j| j);
    expand_from(&a[..rows * ell], ell, &columns[..ell], minor)
}

fn expand_from<R: Real>(a: &[R], ell: usize, columns: &[usize], minor: &impl Fn(&[usize]) -> R) -> R {
    if a.is_empty() {
        return minor(columns);
    }
    let (row, below) = a.split_at(ell);
    let mut rest = [0; MAX_ELL];
    let rest = &mut rest[..columns.len() - 1];
    rest.copy_from_slice(&columns[1..]);
    let mut sum = R::zero();
    for (j, &column) in columns.iter().enumerate() {
        let term = row[column] * expand_from(below, ell, rest, minor);
        if j % 2 == 0 {
            sum += term
        } else {
            sum -= term
        }
        if j < rest.len() {
            rest[j] = column;
        }
    }
    sum
}

/// The minors of the last rows that the expansion along the others meets, each computed by itself.
struct Minors {
    ell: usize,
    size: usize,
    /// The columns of one minor after the other.
    columns: Vec<usize>,
}

impl Minors {
    fn new(ell: usize) -> Self {
        let size = ell.min(4);
        let columns = RefCell::new(Vec::new());
        expand(&vec![0.0; ell * ell], ell, ell - size, &|minor| {
            columns.borrow_mut().extend_from_slice(minor);
            0.0
        });
        Minors { ell, size, columns: columns.into_inner() }
    }

    /// The determinant, given the minors in the order in which the expansion meets them.
    fn det<R: Real>(&self, minors: &[R], a: &[R]) -> R {
        let next = Cell::new(0);
        expand(a, self.ell, self.ell - self.size, &|_| minors[next.replace(next.get() + 1)])
    }
}

impl PointFn for Minors {
    fn points(&self) -> usize {
        self.columns.len() / self.size
    }

    fn shared(&self, _inputs: usize) -> Range<usize> {
        0..0
    }

    fn own(&self) -> usize {
        self.size * self.size
    }

    fn own_index(&self, point: usize, j: usize) -> usize {
        let row = self.ell - self.size + j / self.size;
        row * self.ell + self.columns[point * self.size + j % self.size]
    }

    #[inline(always)]
    fn call<R: Real>(&self, _block: &Block, _shared: &[R], own: &[R], y: &mut [R]) {
        y[0] = det(own, self.size);
    }
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
            let (minors, mut batch) = ([Minors::new(ell)], Batch::<8>::new());
            Ok(vector(a.len(), move |g| {
                batch.gradient_through(&minors, &a, |values, a| minors[0].det(values, a), g);
            }))
        }
        _ => unknown(&EVAL, function),
    }
}
