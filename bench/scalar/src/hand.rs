//! The same functions and their derivatives written by hand for `f64`.

use crate::problems::{MULTIPLY_ADD_STEPS, SIDE, TRANSCENDENTAL_STEPS};

pub fn rosenbrock_gradient(x: &[f64], g: &mut [f64]) -> f64 {
    g.fill(0.0);
    let mut sum = 0.0;
    for i in 0..x.len() - 1 {
        let (a, b) = (1.0 - x[i], x[i + 1] - x[i] * x[i]);
        sum += a * a + 100.0 * b * b;
        g[i] += -2.0 * a - 400.0 * b * x[i];
        g[i + 1] += 200.0 * b;
    }
    sum
}

pub fn rosenbrock_hessian(x: &[f64], h: &mut [f64]) {
    let n = x.len();
    h.fill(0.0);
    for i in 0..n - 1 {
        h[i * n + i] += 2.0 - 400.0 * (x[i + 1] - 3.0 * x[i] * x[i]);
        h[(i + 1) * n + i + 1] += 200.0;
        h[i * n + i + 1] = -400.0 * x[i];
        h[(i + 1) * n + i] = -400.0 * x[i];
    }
}

pub fn energy_gradient(x: &[f64], g: &mut [f64]) -> f64 {
    let d = [x[0] - x[3], x[1] - x[4], x[2] - x[5]];
    let r2 = d[0] * d[0] + d[1] * d[1] + d[2] * d[2];
    let r = r2.sqrt();
    let inverse = 1.0 / r2;
    let s6 = inverse * inverse * inverse;
    let screened = 1.7 * (-r * 0.4).exp() / r;
    // dE/dr over r.
    let slope = 4.0 * 0.65 * (6.0 * s6 - 12.0 * s6 * s6) * inverse - screened * (0.4 + 1.0 / r) / r;
    for k in 0..3 {
        g[k] = slope * d[k];
        g[k + 3] = -slope * d[k];
    }
    4.0 * 0.65 * (s6 * s6 - s6) + screened
}

/// Forward with the states stored, then backward. `ln(exp(s))` is kept, as in the function.
pub fn transcendental_gradient(x: &[f64], g: &mut [f64], states: &mut Vec<f64>) -> f64 {
    states.clear();
    let mut s = x[0];
    for i in 0..TRANSCENDENTAL_STEPS {
        states.push(s);
        let (a, b) = (x[i % 4], x[(i + 1) % 4]);
        s = (s + a).sin().exp().ln() * b.cos() + (s * 0.5).cos();
    }
    g.fill(0.0);
    let mut bar = 1.0;
    for i in (0..TRANSCENDENTAL_STEPS).rev() {
        let (a, b, s) = (x[i % 4], x[(i + 1) % 4], states[i]);
        let (sin, cos) = (s + a).sin_cos();
        let through = bar * b.cos() * cos;
        g[(i + 1) % 4] -= bar * sin * b.sin();
        g[i % 4] += through;
        bar = through - bar * 0.5 * (s * 0.5).sin();
    }
    g[0] += bar;
    s
}

pub fn multiply_add_gradient(x: &[f64], g: &mut [f64], states: &mut Vec<f64>) -> f64 {
    states.clear();
    let mut s = x[0];
    for i in 0..MULTIPLY_ADD_STEPS {
        states.push(s);
        let (a, b) = (x[i % 4], x[(i + 1) % 4]);
        s = s * a + b * a - a;
    }
    g.fill(0.0);
    let mut bar = 1.0;
    for i in (0..MULTIPLY_ADD_STEPS).rev() {
        let (a, b) = (x[i % 4], x[(i + 1) % 4]);
        g[i % 4] += bar * (states[i] + b - 1.0);
        g[(i + 1) % 4] += bar * a;
        bar *= a;
    }
    g[0] += bar;
    s
}

/// The values of the stencil's Jacobian, row by row, columns ascending.
pub fn stencil_jacobian(u: &[f64], values: &mut [f64]) {
    let mut next = 0;
    let mut put = |value: f64| {
        values[next] = value;
        next += 1;
    };
    for i in 0..SIDE {
        for j in 0..SIDE {
            if i > 0 {
                put(1.0);
            }
            if j > 0 {
                put(1.0);
            }
            put(u[SIDE * i + j].exp() * 0.01 - 4.0);
            if j + 1 < SIDE {
                put(1.0);
            }
            if i + 1 < SIDE {
                put(1.0);
            }
        }
    }
}
