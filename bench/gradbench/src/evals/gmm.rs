//! gmm: the log posterior of a Gaussian mixture with a Wishart prior.
//!
//! `Q_k` is lower triangular with `e^q` on its diagonal and `l` below it, column by column; the precision
//! matrix is `QᵀQ`. With `S_k = Σ_j q_kj` and `β_ik = α_k + S_k - ½ |Q_k (x_i - μ_k)|²`
//!
//! `L = -½ N D ln 2π - N LSE(α) + Σ_i LSE_k(β_ik)`, to which the prior adds
//! `K (p D (ln γ - ½ ln 2) - ln Γ_D(p/2)) + Σ_k (m S_k - ½ γ² (Σ_j e^(2 q_kj) + |l_k|²))`, `p = D + m + 1`.

use std::cmp::Ordering;
use std::f64::consts::{LN_2, PI};

use gradus::num::math::lgamma;
use gradus::{DType, Tensor, Tree, jit, value_and_grad};
use serde::Deserialize;
use serde_json::value::RawValue;

use super::{Eval, unknown};
use crate::error::{Result, require};
use crate::input::{Count, Whole, decode, flatten, same_len};
use crate::output::Output;
use crate::task::{Task, compiled};

pub const EVAL: Eval =
    Eval { name: "gmm", functions: &["objective", "jacobian"], bare_input: false, prepare };

/// What is differentiated: `alpha` (K), `mu` and `q` (K, D), `l` (K, D (D - 1)/2).
#[derive(Clone, Tree)]
struct Parameters {
    alpha: Tensor,
    mu: Tensor,
    q: Tensor,
    l: Tensor,
}

/// The prior's constants.
#[derive(Clone, Copy)]
struct Prior {
    m: f64,
    gamma: f64,
}

/// The log posterior of the observations `x` (N, D).
fn objective(parameters: &Parameters, x: &Tensor, Prior { m, gamma }: Prior) -> Tensor {
    let Parameters { alpha, mu, q, l } = parameters;
    let (n, d, k) = (x.shape()[0], x.shape()[1], alpha.size());
    let diagonal = q.exp();
    let factors = factors(&diagonal, l);
    // Q (x - μ) as Q x - Q μ: one product for all clusters and points, (K D, D) by (D, N).
    let images = factors.reshape([k * d, d]).matmul(&x.t()).reshape([k, d, n]);
    let centres = (&factors * mu.expand_dims(1)).sum(2);
    let squares = (images - centres.expand_dims(2)).square().sum(1);
    let log_determinants = q.sum(1);
    let beta = (alpha + &log_determinants).expand_dims(1) - 0.5 * squares;
    let likelihood = beta.logsumexp(0).sum(()) - n as f64 * alpha.logsumexp(());
    let norms = diagonal.square().sum(()) + l.square().sum(());
    let p = d as f64 + m + 1.0;
    let constant = k as f64 * (p * d as f64 * (gamma.ln() - 0.5 * LN_2) - log_multigamma(d, p / 2.0))
        - 0.5 * (n * d) as f64 * (2.0 * PI).ln();
    likelihood + m * log_determinants.sum(()) - 0.5 * gamma * gamma * norms + constant
}

/// `Q` (K, D, D): each element is picked from the diagonals, the columns of `l`, or a zero.
fn factors(diagonal: &Tensor, l: &Tensor) -> Tensor {
    let (k, d) = (diagonal.shape()[0], diagonal.shape()[1]);
    let zero = d + l.shape()[1];
    let place = |row: usize, column: usize| match row.cmp(&column) {
        Ordering::Less => zero,
        Ordering::Equal => row,
        // Column c starts after (d - 1) + ... + (d - c) elements of `l`.
        Ordering::Greater => d + column * (2 * d - column - 1) / 2 + row - column - 1,
    };
    let places: Vec<i64> = (0..d * d).map(|i| place(i / d, i % d) as i64).collect();
    let elements = Tensor::concat(&[diagonal, l, &Tensor::zeros([k, 1], DType::F64)], 1);
    elements.take(&places.into(), 1).reshape([k, d, d])
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
    let x = flatten("x", &input.x, n, d)?;
    let prior = Prior { m: input.m.0, gamma: input.gamma };
    let parameters = Parameters {
        alpha: input.alpha.into(),
        mu: Tensor::new([k, d], mu)?,
        q: Tensor::new([k, d], q)?,
        l: Tensor::new([k, below], l)?,
    };
    let arguments = (parameters, Tensor::new([n, d], x)?);
    match function {
        "objective" => {
            let program = jit(move |(parameters, x): &(Parameters, Tensor)| objective(parameters, x, prior));
            compiled(program, arguments, |value| Output::Number(value.item()))
        }
        "jacobian" => {
            let program = jit(move |(parameters, x): &(Parameters, Tensor)| {
                value_and_grad(|parameters: &Parameters| objective(parameters, x, prior))(parameters)
            });
            compiled(program, arguments, |(_, gradient)| show(gradient))
        }
        _ => unknown(&EVAL, function),
    }
}

fn show(gradient: &Parameters) -> Output {
    let rows = |t: &Tensor| Output::rows(t.shape()[0], t.shape()[1], t.to_vec());
    Output::Fields(vec![
        ("alpha", Output::Vector(gradient.alpha.to_vec())),
        ("mu", rows(&gradient.mu)),
        ("q", rows(&gradient.q)),
        ("l", rows(&gradient.l)),
    ])
}
