//! gmm: the log posterior of a Gaussian mixture with a Wishart prior.
//!
//! `Q_k` is lower triangular with `e^q` on its diagonal and `l` below it, column by column; the precision
//! matrix is `QᵀQ`. With `S_k = Σ_j q_kj` and `β_ik = α_k + S_k - ½ |Q_k (x_i - μ_k)|²`
//!
//! `L = -½ N D ln 2π - N LSE(α) + Σ_i LSE_k(β_ik)`, to which the prior adds
//! `K (p D (ln γ - ½ ln 2) - ln Γ_D(p/2)) + Σ_k (m S_k - ½ γ² (Σ_j e^(2 q_kj) + |l_k|²))`, `p = D + m + 1`.

use std::f64::consts::{LN_2, PI};

use gradus_num::math::lgamma;
use gradus_num::{Real, Tape, reverse};
use serde::Deserialize;
use serde_json::value::RawValue;

use super::lse::log_sum_exp;
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

/// The parameters, as slices of one array: `alpha`, then `mu`, `q` and `l`, cluster after cluster.
struct Parameters<'a, R> {
    alpha: &'a [R],
    mu: &'a [R],
    q: &'a [R],
    l: &'a [R],
}

impl Mixture {
    fn below_diagonal(&self) -> usize {
        self.d * (self.d - 1) / 2
    }

    fn split<'a, R>(&self, parameters: &'a [R]) -> Parameters<'a, R> {
        let (alpha, rest) = parameters.split_at(self.k);
        let (mu, rest) = rest.split_at(self.k * self.d);
        let (q, l) = rest.split_at(self.k * self.d);
        Parameters { alpha, mu, q, l }
    }

    /// The log posterior.
    fn objective<R: Real>(&self, parameters: &[R]) -> R {
        let Mixture { d, k, n, .. } = *self;
        let Parameters { alpha, mu, q, l } = self.split(parameters);
        let diagonals: Vec<R> = q.iter().map(R::exp).collect();
        let offsets: Vec<R> =
            (0..k).map(|k| alpha[k] + q[k * d..(k + 1) * d].iter().copied().sum()).collect();

        let mut sum = log_sum_exp(alpha).scale(-(n as f64));
        let mut beta = vec![R::zero(); k];
        let mut centred = vec![R::zero(); d];
        let mut image = vec![R::zero(); d];
        for x in self.x.chunks_exact(d) {
            for k in 0..k {
                for j in 0..d {
                    centred[j] = (-mu[k * d + j]).shift(x[j]);
                    image[j] = diagonals[k * d + j] * centred[j];
                }
                let mut below = l[k * self.below_diagonal()..].iter();
                for column in 0..d {
                    for row in column + 1..d {
                        if let Some(&l) = below.next() {
                            image[row] += l * centred[column];
                        }
                    }
                }
                let square: R = image.iter().map(|z| z.square()).sum();
                beta[k] = offsets[k] - square.scale(0.5);
            }
            sum += log_sum_exp(&beta);
        }
        (sum + self.prior(&diagonals, q, l)).shift(-0.5 * (n * d) as f64 * (2.0 * PI).ln())
    }

    /// The log density of the Wishart prior.
    fn prior<R: Real>(&self, diagonals: &[R], q: &[R], l: &[R]) -> R {
        let (d, k, p) = (self.d as f64, self.k as f64, self.d as f64 + self.m + 1.0);
        let squares: R = diagonals.iter().chain(l).map(|v| v.square()).sum();
        let logs: R = q.iter().copied().sum();
        let constant = k * (p * d * (self.gamma.ln() - 0.5 * LN_2) - log_multigamma(self.d, p / 2.0));
        (logs.scale(self.m) - squares.scale(0.5 * self.gamma * self.gamma)).shift(constant)
    }
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
    let mut parameters = input.alpha;
    let mu = flatten("mu", &input.mu, k, d)?;
    let q = flatten("q", &input.q, k, d)?;
    let l = flatten("l", &input.l, k, d * (d - 1) / 2)?;
    parameters.extend(mu.into_iter().chain(q).chain(l));
    let x = flatten("x", &input.x, n, d)?;
    let mixture = Mixture { d, k, n, m: input.m.0, gamma: input.gamma, x };
    match function {
        "objective" => Ok(number(move || mixture.objective(&parameters))),
        "jacobian" => {
            let mut tape = Tape::new();
            let gradient = vec![0.0; parameters.len()];
            let run = move |gradient: &mut Vec<f64>| {
                reverse::value_and_gradient_into(&mut tape, |v| mixture.objective(v), &parameters, gradient);
                Ok(())
            };
            Ok(task(gradient, run, move |gradient| show(gradient, d, k)))
        }
        _ => unknown(&EVAL, function),
    }
}

fn show(gradient: &[f64], d: usize, k: usize) -> Output {
    let (alpha, rest) = gradient.split_at(k);
    let (mu, rest) = rest.split_at(k * d);
    let (q, l) = rest.split_at(k * d);
    Output::Fields(vec![
        ("alpha", Output::Vector(alpha.to_vec())),
        ("mu", Output::rows(k, d, mu.to_vec())),
        ("q", Output::rows(k, d, q.to_vec())),
        ("l", Output::rows(k, d * (d - 1) / 2, l.to_vec())),
    ])
}
