//! ba: bundle adjustment, the errors of points projected by cameras and the sparse Jacobian of all of them.

use std::ops::Range;

use gradus_num::batch::{Batch, Block, PointFn};
use gradus_num::{Real, forward};
use serde::Deserialize;
use serde_json::value::RawValue;

use super::{Eval, unknown};
use crate::error::{Result, require};
use crate::input::{Count, buffer, decode, same_len};
use crate::output::Output;
use crate::task::{Task, task};

pub const EVAL: Eval = Eval { name: "ba", functions: &["objective", "jacobian"], bare_input: false, prepare };

const CAMERA: usize = 11;
const POINT: usize = 3;
/// What one observation's errors depend on: a camera, a point and a weight.
const INPUTS: usize = WEIGHT + 1;
const WEIGHT: usize = CAMERA + POINT;

/// The weighted error of the projection of point `x` by camera `cam` against the feature.
///
/// A camera is rotation `r`, centre `c`, focal length `f`, principal point `(u0, v0)` and distortion `(k1, k2)`.
#[inline(always)]
fn reprojection_error<R: Real>(cam: &[R], x: &[R], w: R, feat: [R; 2]) -> [R; 2] {
    let v = [x[0] - cam[3], x[1] - cam[4], x[2] - cam[5]];
    let y = rotate([cam[0], cam[1], cam[2]], v);
    let e = [y[0] / y[2], y[1] / y[2]];
    let q = e[0] * e[0] + e[1] * e[1];
    let distortion = R::one() + q * (cam[9] + q * cam[10]);
    let mut error = e;
    for i in 0..2 {
        error[i] = w * (e[i] * distortion * cam[6] + cam[7 + i] - feat[i]);
    }
    error
}

/// `v` turned by the angle `|r|` about `r` (Rodrigues); to first order where `r = 0`.
#[inline(always)]
fn rotate<R: Real>(r: [R; 3], v: [R; 3]) -> [R; 3] {
    let square = dot(r, r);
    if square == R::zero() {
        let turn = cross(r, v);
        return [v[0] + turn[0], v[1] + turn[1], v[2] + turn[2]];
    }
    let angle = square.sqrt();
    let (sin, cos) = angle.sin_cos();
    let inverse = angle.recip();
    let axis = [r[0] * inverse, r[1] * inverse, r[2] * inverse];
    let turn = cross(axis, v);
    let along = dot(axis, v) * (R::one() - cos);
    let mut turned = v;
    for i in 0..3 {
        turned[i] = v[i] * cos + turn[i] * sin + axis[i] * along;
    }
    turned
}

#[inline(always)]
fn dot<R: Real>(a: [R; 3], b: [R; 3]) -> R {
    a[0] * b[0] + a[1] * b[1] + a[2] * b[2]
}

#[inline(always)]
fn cross<R: Real>(a: [R; 3], b: [R; 3]) -> [R; 3] {
    [a[1] * b[2] - a[2] * b[1], a[2] * b[0] - a[0] * b[2], a[0] * b[1] - a[1] * b[0]]
}

/// `1 - w²`.
fn weight_error<R: Real>(w: R) -> R {
    R::one() - w * w
}

#[derive(Deserialize)]
struct Input {
    n: Count,
    m: Count,
    p: Count,
    cam: Vec<f64>,
    x: Vec<f64>,
    w: f64,
    feat: Vec<f64>,
}

/// The expanded problem: observation `i` sees point `i mod m` with camera `i mod n`.
struct Problem {
    n: usize,
    m: usize,
    p: usize,
    /// Cameras, points and weights, in the order of the Jacobian's columns.
    x: Vec<f64>,
    /// The first column of each observation's camera and of its point.
    camera: Vec<u32>,
    point: Vec<u32>,
    features: Vec<[f64; 2]>,
}

/// Each observation's two errors, as a function of its camera, its point and its weight.
impl PointFn for Problem {
    fn points(&self) -> usize {
        self.p
    }

    fn outputs(&self) -> usize {
        2
    }

    fn shared(&self, _inputs: usize) -> Range<usize> {
        0..0
    }

    fn own(&self) -> usize {
        INPUTS
    }

    #[inline(always)]
    fn own_index(&self, i: usize, j: usize) -> usize {
        match j {
            0..CAMERA => self.camera[i] as usize + j,
            CAMERA..WEIGHT => self.point[i] as usize + j - CAMERA,
            _ => self.first_weight() + i,
        }
    }

    #[inline(always)]
    fn call<R: Real>(&self, block: &Block, _shared: &[R], own: &[R], y: &mut [R]) {
        let feature = [block.gather(|i| self.features[i][0]), block.gather(|i| self.features[i][1])];
        y.copy_from_slice(&reprojection_error(&own[..CAMERA], &own[CAMERA..WEIGHT], own[WEIGHT], feature));
    }
}

/// The errors of all observations, two each, and of all weights.
struct Errors {
    reprojection: Vec<f64>,
    weight: Vec<f64>,
}

impl Problem {
    fn first_weight(&self) -> usize {
        CAMERA * self.n + POINT * self.m
    }

    fn weights(&self) -> &[f64] {
        &self.x[self.first_weight()..]
    }

    fn errors(&self, batch: &mut Batch<4>, errors: &mut Errors) {
        batch.values(self, &self.x, &mut errors.reprojection);
        for (error, &w) in errors.weight.iter_mut().zip(self.weights()) {
            *error = weight_error(w);
        }
    }

    /// The blocks of the observations, two rows of 15 columns each, then the diagonal of the weights' errors.
    fn jacobian(&self, batch: &mut Batch<4>, jacobian: &mut Sparse) {
        let blocks = 2 * INPUTS * self.p;
        batch.jacobian(self, &self.x, &mut jacobian.vals[..blocks]);
        for (derivative, &w) in jacobian.vals[blocks..].iter_mut().zip(self.weights()) {
            *derivative = forward::derivative(weight_error, w);
        }
        let (of_blocks, of_weights) = jacobian.cols.split_at_mut(blocks);
        for (i, columns) in of_blocks.chunks_exact_mut(2 * INPUTS).enumerate() {
            for j in 0..INPUTS {
                let column = self.own_index(i, j) as u32;
                (columns[j], columns[INPUTS + j]) = (column, column);
            }
        }
        for (i, column) in of_weights.iter_mut().enumerate() {
            *column = self.own_index(i, WEIGHT) as u32;
        }
        for (row, start) in jacobian.rows.iter_mut().enumerate() {
            let single = row.saturating_sub(2 * self.p);
            *start = ((row - single) * INPUTS + single) as u32;
        }
    }
}

/// A matrix in compressed rows: row `r` holds entries `rows[r]..rows[r + 1]` of `cols` and `vals`.
struct Sparse {
    rows: Vec<u32>,
    cols: Vec<u32>,
    vals: Vec<f64>,
}

fn prepare(function: &str, input: &RawValue) -> Result<Box<dyn Task>> {
    let Input { n: Count(n), m: Count(m), p: Count(p), cam, x, w, feat } = decode(input)?;
    require(n >= 1 && m >= 1 && p >= 1, || {
        format!("n, m and p are {n}, {m} and {p}, but must be at least 1")
    })?;
    same_len("cam", &cam, CAMERA)?;
    same_len("x", &x, POINT)?;
    same_len("feat", &feat, 2)?;
    let columns = CAMERA as u128 * n as u128 + POINT as u128 * m as u128 + p as u128;
    require(columns.max(31 * p as u128) <= u128::from(u32::MAX), || {
        format!("a matrix of {columns} columns and {} entries is beyond 32-bit indices", 31 * p as u128)
    })?;
    let mut inputs = buffer("the list of inputs", w, columns as usize)?;
    for (i, input) in inputs[..CAMERA * n].iter_mut().enumerate() {
        *input = cam[i % CAMERA];
    }
    for (i, input) in inputs[CAMERA * n..CAMERA * n + POINT * m].iter_mut().enumerate() {
        *input = x[i % POINT];
    }
    let mut camera = buffer("the observations' cameras", 0, p)?;
    let mut point = buffer("the observations' points", 0, p)?;
    for i in 0..p {
        camera[i] = (CAMERA * (i % n)) as u32;
        point[i] = (CAMERA * n + POINT * (i % m)) as u32;
    }
    let features = buffer("the list of features", [feat[0], feat[1]], p)?;
    let problem = Problem { n, m, p, x: inputs, camera, point, features };
    let mut batch = Batch::new();
    match function {
        "objective" => {
            let errors = Errors {
                reprojection: buffer("the list of errors", 0.0, 2 * p)?,
                weight: buffer("the list of weight errors", 0.0, p)?,
            };
            let run = move |errors: &mut Errors| {
                problem.errors(&mut batch, errors);
                Ok(())
            };
            Ok(task(errors, run, show_errors))
        }
        "jacobian" => {
            require(p >= 15, || format!("p is {p}, but the answer shows the first 30 rows: at least 15"))?;
            let jacobian = Sparse {
                rows: buffer("the row starts", 0, 3 * p + 1)?,
                cols: buffer("the column numbers", 0, (2 * INPUTS + 1) * p)?,
                vals: buffer("the entries", 0.0, (2 * INPUTS + 1) * p)?,
            };
            let run = move |jacobian: &mut Sparse| {
                problem.jacobian(&mut batch, jacobian);
                Ok(())
            };
            Ok(task(jacobian, run, show_jacobian))
        }
        _ => unknown(&EVAL, function),
    }
}

fn show_errors(errors: &Errors) -> Output {
    let repeated = Output::Count(errors.weight.len());
    Output::Fields(vec![
        (
            "reproj_error",
            Output::Fields(vec![
                ("elements", Output::Vector(errors.reprojection[..2].to_vec())),
                ("repeated", repeated.clone()),
            ]),
        ),
        (
            "w_err",
            Output::Fields(vec![("element", Output::Number(errors.weight[0])), ("repeated", repeated)]),
        ),
    ])
}

/// The first 30 elements of each list, and the last.
fn show_jacobian(jacobian: &Sparse) -> Output {
    fn ends<T: Copy>(list: &[T]) -> impl Iterator<Item = T> {
        list[..30].iter().chain(list.last()).copied()
    }
    let counts = |list: &[u32]| Output::Counts(ends(list).map(|v| v as usize).collect());
    Output::Fields(vec![
        ("rows", counts(&jacobian.rows)),
        ("cols", counts(&jacobian.cols)),
        ("vals", Output::Vector(ends(&jacobian.vals).collect())),
    ])
}
