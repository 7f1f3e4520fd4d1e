//! Levenberg-Marquardt on exact Jacobians.
//!
//! Each step minimises `|r + J p|² + λ |D p|²` by Householder reflections on the stacked matrix, never through the normal
//! equations. The damping follows Nielsen's rule.

use gradus_num::{VectorDriver, VectorFn};

/// Where the iteration ended.
pub struct Outcome {
    pub parameters: Vec<f64>,
    pub sum_of_squares: f64,
    pub iterations: usize,
    pub plan: String,
}

const MOST_ITERATIONS: usize = 5_000;
const POLISHING_STEPS: usize = 200;
/// Steps this small, relative to the parameters, change nothing that could be seen.
const SMALLEST_STEP: f64 = 1e-15;

/// What the damping is measured in. Each has a start from which the others run off to where the model is flat.
#[derive(Clone, Copy)]
enum Scale {
    /// The largest column norms seen.
    Largest,
    /// The present column norms.
    Present,
    /// The parameters as they are.
    Unit,
}

/// Minimises the sum of squares from `start` with each scale in turn; the lowest end counts.
pub fn fit<F: VectorFn>(residuals: &F, start: &[f64]) -> Outcome {
    let mut best = fit_from(residuals, start, 1e-3, Scale::Largest);
    for (damping, scaling) in [(1e4, Scale::Present), (1e1, Scale::Unit)] {
        let next = fit_from(residuals, start, damping, scaling);
        let iterations = best.iterations + next.iterations;
        // By more than rounding: at the same minimum the first stays.
        let lower = next.sum_of_squares < best.sum_of_squares * (1.0 - 1e-6);
        best = Outcome { iterations, ..if lower { next } else { best } };
    }
    best
}

fn fit_from<F: VectorFn>(residuals: &F, start: &[f64], mut damping: f64, scaling: Scale) -> Outcome {
    let mut driver = VectorDriver::new(residuals, start);
    let (n, m) = (start.len(), driver.outputs());
    let (mut r, mut jacobian) = (vec![0.0; m], vec![0.0; m * n]);
    let (mut trial_r, mut trial_jacobian) = (r.clone(), jacobian.clone());
    let mut b = start.to_vec();
    driver.jacobian_into(&b, &mut r, &mut jacobian);
    let mut cost = square(&r);
    let mut scale = vec![0.0f64; n];
    let mut growth = 2.0;
    let mut iterations = 0;
    // A step at the end may fail to decrease the sum by rounding alone: a few undamped ones are then tried.
    let mut refused = 0;
    while iterations < MOST_ITERATIONS && refused < 60 {
        iterations += 1;
        for j in 0..n {
            let norm = (0..m).map(|i| jacobian[i * n + j] * jacobian[i * n + j]).sum::<f64>().sqrt();
            scale[j] = match scaling {
                Scale::Largest => scale[j].max(norm),
                Scale::Present => norm,
                Scale::Unit => 1.0,
            };
        }
        let step = damped_step(&jacobian, &r, &scale, damping, n);
        let trial: Vec<f64> = b.iter().zip(&step).map(|(b, p)| b + p).collect();
        driver.jacobian_into(&trial, &mut trial_r, &mut trial_jacobian);
        let trial_cost = square(&trial_r);
        let predicted: f64 = predicted_decrease(&jacobian, &r, &step, n);
        let usable = trial_cost.is_finite() && trial_jacobian.iter().all(|v| v.is_finite());
        let ratio = (cost - trial_cost) / predicted.max(f64::MIN_POSITIVE);
        let tiny = step.iter().zip(&b).all(|(p, b)| p.abs() <= SMALLEST_STEP * b.abs());
        if usable && ratio > 0.0 {
            b = trial;
            cost = trial_cost;
            std::mem::swap(&mut r, &mut trial_r);
            std::mem::swap(&mut jacobian, &mut trial_jacobian);
            damping *= (1.0 - (2.0 * ratio - 1.0).powi(3)).max(1.0 / 3.0);
            growth = 2.0;
            refused = 0;
        } else {
            damping *= growth;
            growth *= 2.0;
            refused += 1;
        }
        if tiny {
            break;
        }
    }
    polish(&mut driver, &mut b, cost);
    driver.jacobian_into(&b, &mut r, &mut jacobian);
    Outcome { parameters: b, sum_of_squares: square(&r), iterations, plan: driver.plan().explain() }
}

/// Undamped steps from the minimum found, as long as they shrink: the sum of squares is flat there and cannot tell
/// neighbouring points apart, the step can.
fn polish<F: VectorFn>(driver: &mut VectorDriver<F>, b: &mut Vec<f64>, cost: f64) {
    let (n, m) = (b.len(), driver.outputs());
    let (mut r, mut jacobian) = (vec![0.0; m], vec![0.0; m * n]);
    let mut last = f64::INFINITY;
    for _ in 0..POLISHING_STEPS {
        driver.jacobian_into(b, &mut r, &mut jacobian);
        let step = damped_step(&jacobian, &r, &vec![0.0; n], 0.0, n);
        let size = step.iter().zip(b.iter()).map(|(p, b)| (p / b).abs()).fold(0.0, f64::max);
        let trial: Vec<f64> = b.iter().zip(&step).map(|(b, p)| b + p).collect();
        driver.jacobian_into(&trial, &mut r, &mut jacobian);
        // Shrinking, and no worse than rounding allows.
        let shrinks = size < last && size > 0.0;
        let no_worse = square(&r) <= cost * (1.0 + 1e-9) + f64::MIN_POSITIVE;
        if !shrinks || !no_worse {
            return;
        }
        *b = trial;
        last = size;
    }
}

fn square(v: &[f64]) -> f64 {
    v.iter().map(|v| v * v).sum()
}

/// `|r|² - |r + J p|²`, written so that it does not cancel.
fn predicted_decrease(jacobian: &[f64], r: &[f64], step: &[f64], n: usize) -> f64 {
    let moved = |i: usize| (0..n).map(|j| jacobian[i * n + j] * step[j]).sum::<f64>();
    -(0..r.len())
        .map(|i| {
            let d = moved(i);
            d * (2.0 * r[i] + d)
        })
        .sum::<f64>()
}

/// The `p` that minimises `|r + J p|² + λ |D p|²`: Householder reflections on `[J; √λ D]`, then back substitution.
fn damped_step(jacobian: &[f64], r: &[f64], scale: &[f64], damping: f64, n: usize) -> Vec<f64> {
    let m = r.len();
    let rows = m + n;
    let mut a = vec![0.0; rows * n];
    a[..m * n].copy_from_slice(jacobian);
    for j in 0..n {
        a[(m + j) * n + j] = damping.sqrt() * scale[j];
    }
    let mut right: Vec<f64> = r.iter().map(|r| -r).collect();
    right.resize(rows, 0.0);
    for k in 0..n {
        let norm = (k..rows).map(|i| a[i * n + k] * a[i * n + k]).sum::<f64>().sqrt();
        if norm == 0.0 {
            continue;
        }
        let alpha = if a[k * n + k] > 0.0 { -norm } else { norm };
        let mut v: Vec<f64> = (k..rows).map(|i| a[i * n + k]).collect();
        v[0] -= alpha;
        let length = square(&v);
        for j in k..n {
            let dot: f64 = v.iter().enumerate().map(|(i, v)| v * a[(k + i) * n + j]).sum();
            for (i, v) in v.iter().enumerate() {
                a[(k + i) * n + j] -= 2.0 * dot / length * v;
            }
        }
        let dot: f64 = v.iter().zip(&right[k..]).map(|(v, r)| v * r).sum();
        for (r, v) in right[k..].iter_mut().zip(&v) {
            *r -= 2.0 * dot / length * v;
        }
    }
    let mut p = vec![0.0; n];
    for k in (0..n).rev() {
        let known: f64 = (k + 1..n).map(|j| a[k * n + j] * p[j]).sum();
        let pivot = a[k * n + k];
        p[k] = if pivot == 0.0 { 0.0 } else { (right[k] - known) / pivot };
    }
    p
}
