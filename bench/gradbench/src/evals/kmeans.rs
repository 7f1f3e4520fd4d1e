//! kmeans: the cost `f(C) = Σ_i min_j |C_j - P_i|²` and the Newton direction `f'_jd / f''_jd,jd`.

use gradus_num::{Dual, Real, Tape, reverse};
use serde::Deserialize;
use serde_json::value::RawValue;

use super::{Eval, unknown};
use crate::error::{Result, require};
use crate::input::{decode, flatten};
use crate::output::Output;
use crate::task::{Task, number, task};

pub const EVAL: Eval = Eval { name: "kmeans", functions: &["cost", "dir"], bare_input: false, prepare };

/// `Σ_i |C_j(i) - P_i|²`, where `C_j(i)` is the centroid nearest to `P_i`.
fn cost<R: Real>(points: &[f64], centroids: &[R], d: usize) -> R {
    let values: Vec<f64> = centroids.iter().map(R::value).collect();
    let mut sum = R::zero();
    for point in points.chunks_exact(d) {
        let j = nearest(&values, point);
        sum += square_distance(&centroids[j * d..(j + 1) * d], point);
    }
    sum
}

/// The number of the centroid nearest to `point`, the lowest at a tie.
fn nearest(centroids: &[f64], point: &[f64]) -> usize {
    let (mut best, mut least) = (0, f64::INFINITY);
    for (j, centroid) in centroids.chunks_exact(point.len()).enumerate() {
        let distance = square_distance(centroid, point);
        if distance < least {
            (best, least) = (j, distance);
        }
    }
    best
}

/// `Σ_d (c_d - p_d)²`.
fn square_distance<R: Real>(centroid: &[R], point: &[f64]) -> R {
    let mut sum = R::zero();
    for (c, &p) in centroid.iter().zip(point) {
        sum += c.shift(-p).square();
    }
    sum
}

#[derive(Deserialize)]
struct Input {
    points: Vec<Vec<f64>>,
    centroids: Vec<Vec<f64>>,
}

fn prepare(function: &str, input: &RawValue) -> Result<Box<dyn Task>> {
    let Input { points, centroids } = decode(input)?;
    let (n, k) = (points.len(), centroids.len());
    require(n >= 1 && k >= 1, || {
        format!("{n} points and {k} centroids, but at least one of each is needed")
    })?;
    let d = points[0].len();
    require(d >= 1, || "points[0] is empty".into())?;
    let points = flatten("points", &points, n, d)?;
    let centroids = flatten("centroids", &centroids, k, d)?;
    match function {
        "cost" => Ok(number(move || cost(&points, &centroids, d))),
        "dir" => {
            let mut newton = Newton::default();
            let run = move |dir: &mut Vec<f64>| newton.direction(&points, &centroids, d, dir);
            Ok(task(vec![0.0; k * d], run, move |dir| Output::rows(k, d, dir.clone())))
        }
        _ => unknown(&EVAL, function),
    }
}

/// Forward over reverse: the tape's numbers are dual, so its adjoints are the gradient and a Hessian product.
#[derive(Default)]
struct Newton {
    tape: Tape<Dual<f64, 1>>,
    seeded: Vec<Dual<f64, 1>>,
    gradient: Vec<Dual<f64, 1>>,
}

impl Newton {
    /// The Hessian is diagonal, so its product with ones is its diagonal.
    fn direction(&mut self, points: &[f64], centroids: &[f64], d: usize, dir: &mut [f64]) -> Result<()> {
        self.seeded.clear();
        self.seeded.extend(centroids.iter().map(|&c| Dual::new(c, [1.0])));
        self.gradient.clear();
        self.gradient.resize(centroids.len(), Dual::constant(0.0));
        reverse::value_and_gradient_into(
            &mut self.tape,
            |centroids| cost(points, centroids, d),
            &self.seeded,
            &mut self.gradient,
        );
        for (i, (dir, g)) in dir.iter_mut().zip(&self.gradient).enumerate() {
            require(g.tangent[0] != 0.0, || format!("no point is nearest to centroid {}", i / d))?;
            *dir = g.primal / g.tangent[0];
        }
        Ok(())
    }
}
