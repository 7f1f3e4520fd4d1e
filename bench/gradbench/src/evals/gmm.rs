//! gmm: the log posterior of a Gaussian mixture with a Wishart prior.
//!
//! `Q_k` is lower triangular with `e^q` on its diagonal and `l` below it, column by column; the precision
//! matrix is `QᵀQ`. With `S_k = Σ_j q_kj` and `β_ik = α_k + S_k - ½ |Q_k (x_i - μ_k)|²`
//!
//! `L = -½ N D ln 2π - N LSE(α) + Σ_i LSE_k(β_ik)`, to which the prior adds
//! `K (p D (ln γ - ½ ln 2) - ln Γ_D(p/2)) + Σ_k (m S_k - ½ γ² (Σ_j e^(2 q_kj) + |l_k|²))`, `p = D + m + 1`.

use std::f64::consts::{LN_2, PI};
use std::ops::Range;

use gradus_num::Real;
use gradus_num::batch::{Batch, Block, PointFn};
use gradus_num::math::lgamma;
use serde::Deserialize;
use serde_json::value::RawValue;

use super::{Eval, unknown};
use crate::error::{Result, require};
use crate::input::{Count, Whole, decode, flatten, same_len};
use crate::output::Output;
use crate::task::{Task, number, task};

pub const EVAL: Eval =
    Eval { name: "gmm", functions: &["objective", "jacobian"], bare_input: false, prepare };

/// The constants: sizes, prior and observations.
struct Mixture {
    d: usize,
    k: usize,
    n: usize,
    m: f64,
    gamma: f64,
    x: Vec<f64>,
}

impl Mixture {
    /// The parameters of cluster `k`, of which `alpha` is not one: `mu`, `q` and `l`, one after the other.
    fn cluster(&self, k: usize) -> Range<usize> {
        let size = self.d * (self.d + 3) / 2;
        self.k + k * size..self.k + (k + 1) * size
    }

    /// The log posterior, given `|Q_k (x_i - μ_k)|²` for all points of the first cluster, then of the next.
    fn objective<R: Real>(&self, squares: &[R], parameters: &[R]) -> R {
        let Mixture { d, k, n, m, gamma, .. } = *self;
        let alpha = &parameters[..k];
        let (mut offsets, mut logs, mut norms) = (Vec::with_capacity(k), R::zero(), R::zero());
        for (k, &alpha) in alpha.iter().enumerate() {
            let (q, l) = parameters[self.cluster(k)][d..].split_at(d);
            let log_determinant: R = q.iter().copied().sum();
            offsets.push(alpha + log_determinant);
            logs += log_determinant;
            norms += q.iter().map(|q| q.scale(2.0).exp()).sum::<R>() + l.iter().map(|l| l.square()).sum();
        }
        let mut likelihood = log_sum_exp(alpha).scale(-(n as f64));
        let mut beta = vec![R::zero(); k];
        for i in 0..n {
            for k in 0..k {
                beta[k] = offsets[k] - squares[k * n + i].scale(0.5);
            }
            likelihood += log_sum_exp(&beta);
        }
        let p = d as f64 + m + 1.0;
        let prior = k as f64 * (p * d as f64 * (gamma.ln() - 0.5 * LN_2) - log_multigamma(d, p / 2.0));
        let constant = prior - 0.5 * (n * d) as f64 * (2.0 * PI).ln();
        (likelihood + logs.scale(m) - norms.scale(0.5 * gamma * gamma)).shift(constant)
    }

    fn clusters(&self) -> Vec<Cluster<'_>> {
        (0..self.k).map(|k| Cluster { mixture: self, k }).collect()
    }
}

/// `|Q_k (x_i - μ_k)|²` of one cluster at every point `x_i`.
struct Cluster<'a> {
    mixture: &'a Mixture,
    k: usize,
}

impl PointFn for Cluster<'_> {
    fn points(&self) -> usize {
        self.mixture.n
    }

    fn shared(&self, _inputs: usize) -> Range<usize> {
        self.mixture.cluster(self.k)
    }

    #[inline(always)]
    fn call<R: Real>(&self, block: &Block, cluster: &[R], _own: &[R], y: &mut [R]) {
        let d = self.mixture.d;
        let (mu, rest) = cluster.split_at(d);
        let (q, mut l) = rest.split_at(d);
        let x = &self.mixture.x;
        let (mut centred, mut image) = (Vec::with_capacity(d), Vec::with_capacity(d));
        for j in 0..d {
            centred.push(block.gather::<R>(|i| x[i * d + j]) - mu[j]);
            image.push(q[j].exp() * centred[j]);
        }
        for (column, &c) in centred.iter().enumerate() {
            let (below, others) = l.split_at(d - 1 - column);
            for (image, &l) in image[column + 1..].iter_mut().zip(below) {
                *image += l * c;
            }
            l = others;
        }
        for z in image {
            y[0] += z.square();
        }
    }
}

/// `a + ln Σ_k e^(x_k - a)` with the value of the largest as `a`.
fn log_sum_exp<R: Real>(x: &[R]) -> R {
    let a = x.iter().map(R::value).fold(f64::NEG_INFINITY, f64::max);
    x.iter().map(|x| x.shift(-a).exp()).sum::<R>().log().shift(a)
}

/// `ln Γ_D(a) = D(D-1)/4 ln π + Σ_{j=1..D} ln Γ(a + (1-j)/2)`.
fn log_multigamma(d: usize, a: f64) -> f64 {
    let sum: f64 = (0..d).map(|j| lgamma(a - 0.5 * j as f64)).sum();
    (d * (d - 1)) as f64 / 4.0 * PI.ln() + sum
}

#[derive(Deserialize)]
struct Input {
    d: Count,
    k: Count,
    n: Count,
    m: Whole,
    gamma: f64,
    x: Vec<Vec<f64>>,
    alpha: Vec<f64>,
    mu: Vec<Vec<f64>>,
    q: Vec<Vec<f64>>,
    l: Vec<Vec<f64>>,
}

fn prepare(function: &str, input: &RawValue) -> Result<Box<dyn Task>> {
    let input: Input = decode(input)?;
    let (d, k, n) = (input.d.0, input.k.0, input.n.0);
    require(d >= 1 && k >= 1, || format!("d is {d} and k is {k}, but both must be at least 1"))?;
    require(input.gamma > 0.0, || format!("gamma is {}, but must be positive", input.gamma))?;
    // Γ_D(p/2) needs p > D - 1.
    require(input.m.0 > -2.0, || format!("m is {}, but must be at least -1", input.m.0))?;
    same_len("alpha", &input.alpha, k)?;
    let mu = flatten("mu", &input.mu, k, d)?;
    let q = flatten("q", &input.q, k, d)?;
    let below = d * (d - 1) / 2;
    let l = flatten("l", &input.l, k, below)?;
    let mut parameters = input.alpha;
    for k in 0..k {
        parameters.extend_from_slice(&mu[k * d..(k + 1) * d]);
        parameters.extend_from_slice(&q[k * d..(k + 1) * d]);
        parameters.extend_from_slice(&l[k * below..(k + 1) * below]);
    }
    let x = flatten("x", &input.x, n, d)?;
    let mixture = Mixture { d, k, n, m: input.m.0, gamma: input.gamma, x };
    let mut batch = Batch::<8>::new();
    match function {
        "objective" => {
            let mut squares = vec![0.0; k * n];
            Ok(number(move || {
                for cluster in mixture.clusters() {
                    batch.values(&cluster, &parameters, &mut squares[cluster.k * n..(cluster.k + 1) * n]);
                }
                mixture.objective(&squares, &parameters)
            }))
        }
        "jacobian" => {
            let gradient = vec![0.0; parameters.len()];
            let run = move |gradient: &mut Vec<f64>| {
                batch.gradient_through(
                    &mixture.clusters(),
                    &parameters,
                    |squares, parameters| mixture.objective(squares, parameters),
                    gradient,
                );
                Ok(())
            };
            Ok(task(gradient, run, move |gradient| show(gradient, d, k)))
        }
        _ => unknown(&EVAL, function),
    }
}

fn show(gradient: &[f64], d: usize, k: usize) -> Output {
    let (alpha, clusters) = gradient.split_at(k);
    let below = d * (d - 1) / 2;
    let part = |start: usize, len: usize| {
        let rows = clusters.chunks_exact(2 * d + below).flat_map(|cluster| &cluster[start..start + len]);
        Output::rows(k, len, rows.copied().collect())
    };
    Output::Fields(vec![
        ("alpha", Output::Vector(alpha.to_vec())),
        ("mu", part(0, d)),
        ("q", part(d, d)),
        ("l", part(2 * d, below)),
    ])
}
