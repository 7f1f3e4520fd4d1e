//! ba: bundle adjustment, the errors of points projected by cameras and the sparse Jacobian of all of them.

use gradus_num::{Dual, Real, forward};
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
const INPUTS: usize = CAMERA + POINT + 1;

/// The weighted error of the projection of point `x` by camera `cam` against the feature.
///
/// A camera is rotation `r`, centre `c`, focal length `f`, principal point `(u0, v0)` and distortion `(k1, k2)`.
fn reprojection_error<R: Real>(cam: &[R], x: &[R], w: R, feat: [f64; 2]) -> [R; 2] {
    let v = [x[0] - cam[3], x[1] - cam[4], x[2] - cam[5]];
    let y = rotate([cam[0], cam[1], cam[2]], v);
    let e = [y[0] / y[2], y[1] / y[2]];
    let q = e[0] * e[0] + e[1] * e[1];
    let distortion = R::one() + q * (cam[9] + q * cam[10]);
    let project = |i: usize| w * (e[i] * distortion * cam[6] + cam[7 + i] - R::from_f64(feat[i]));
    [project(0), project(1)]
}

/// `v` turned by the angle `|r|` about `r` (Rodrigues); to first order where `r = 0`.
fn rotate<R: Real>(r: [R; 3], v: [R; 3]) -> [R; 3] {
    let square = dot(r, r);
    if square.value() == 0.0 {
        let turn = cross(r, v);
        return [v[0] + turn[0], v[1] + turn[1], v[2] + turn[2]];
    }
    let angle = square.sqrt();
    let (sin, cos) = angle.sin_cos();
    let inverse = angle.recip();
    let axis = r.map(|r| r * inverse);
    let turn = cross(axis, v);
    let along = dot(axis, v) * (R::one() - cos);
    [0, 1, 2].map(|i| v[i] * cos + turn[i] * sin + axis[i] * along)
}

fn dot<R: Real>(a: [R; 3], b: [R; 3]) -> R {
    a[0] * b[0] + a[1] * b[1] + a[2] * b[2]
}

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
    cameras: Vec<[f64; CAMERA]>,
    points: Vec<[f64; POINT]>,
    weights: Vec<f64>,
    features: Vec<[f64; 2]>,
}

/// The errors of all observations and of all weights.
struct Errors {
    reprojection: Vec<[f64; 2]>,
    weight: Vec<f64>,
}

impl Problem {
    fn errors(&self, errors: &mut Errors) {
        for (i, error) in errors.reprojection.iter_mut().enumerate() {
            let (camera, point) = (&self.cameras[i % self.n], &self.points[i % self.m]);
            *error = reprojection_error(camera, point, self.weights[i], self.features[i]);
        }
        for (error, &w) in errors.weight.iter_mut().zip(&self.weights) {
            *error = weight_error(w);
        }
    }

    /// The Jacobian's blocks: 15 columns of an observation's two rows by one pass of 15 tangents.
    fn jacobian(&self, jacobian: &mut Sparse) {
        let Problem { n, m, p, .. } = *self;
        let (blocks, diagonal) = jacobian.vals.split_at_mut(2 * INPUTS * p);
        let mut work = Vec::<Dual<f64, 16>>::new();
        let mut inputs = [0.0; INPUTS];
        let mut value = [0.0; 2];
        let (mut camera, mut point) = (0, 0);
        for (i, block) in blocks.chunks_exact_mut(2 * INPUTS).enumerate() {
            inputs[..CAMERA].copy_from_slice(&self.cameras[camera]);
            inputs[CAMERA..INPUTS - 1].copy_from_slice(&self.points[point]);
            inputs[INPUTS - 1] = self.weights[i];
            let f = |v: &[Dual<f64, 16>], out: &mut [Dual<f64, 16>]| {
                let errors = reprojection_error(&v[..CAMERA], &v[CAMERA..], v[INPUTS - 1], self.features[i]);
                out.copy_from_slice(&errors);
            };
            forward::jacobian_into(f, &inputs, &mut work, &mut value, block);
            let columns = &mut jacobian.cols[i * 2 * INPUTS..(i + 1) * 2 * INPUTS];
            let (first, second) = columns.split_at_mut(INPUTS);
            for c in 0..CAMERA {
                first[c] = (camera * CAMERA + c) as u32;
            }
            for c in 0..POINT {
                first[CAMERA + c] = (n * CAMERA + point * POINT + c) as u32;
            }
            first[INPUTS - 1] = (n * CAMERA + m * POINT + i) as u32;
            second.copy_from_slice(first);
            camera = if camera + 1 == n { 0 } else { camera + 1 };
            point = if point + 1 == m { 0 } else { point + 1 };
        }
        for (i, derivative) in diagonal.iter_mut().enumerate() {
            *derivative = forward::derivative(weight_error, self.weights[i]);
            jacobian.cols[2 * INPUTS * p + i] = (n * CAMERA + m * POINT + i) as u32;
        }
        for (row, start) in jacobian.rows.iter_mut().enumerate() {
            *start = if row <= 2 * p { row * INPUTS } else { 2 * p * INPUTS + row - 2 * p } as u32;
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
    let mut camera = [0.0; CAMERA];
    camera.copy_from_slice(&cam);
    let problem = Problem {
        n,
        m,
        p,
        cameras: buffer("the list of cameras", camera, n)?,
        points: buffer("the list of points", [x[0], x[1], x[2]], m)?,
        weights: buffer("the list of weights", w, p)?,
        features: buffer("the list of features", [feat[0], feat[1]], p)?,
    };
    match function {
        "objective" => {
            let errors = Errors {
                reprojection: buffer("the list of errors", [0.0; 2], p)?,
                weight: buffer("the list of weight errors", 0.0, p)?,
            };
            let run = move |errors: &mut Errors| {
                problem.errors(errors);
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
                problem.jacobian(jacobian);
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
                ("elements", Output::Vector(errors.reprojection[0].to_vec())),
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
