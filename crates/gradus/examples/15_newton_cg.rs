//! Newton's method in many unknowns: each step solves H p = -g by conjugate gradients, with products of the Hessian and a
//! vector, so that the matrix is never built.

use gradus::{DType, Tensor, hvp, jit, value_and_grad};

/// Rosenbrock's valley: the minimum is 0, where all coordinates are 1.
fn valley(x: &Tensor) -> Tensor {
    let (a, b) = (x.slice(0, ..-1), x.slice(0, 1..));
    ((b - a.square()).square() * 100.0 + (1.0 - a).square()).sum(())
}

/// A direction `p` with `H p` near `-g`, as far as the curvature is positive.
fn direction(product: impl Fn(&Tensor) -> Tensor, g: &Tensor) -> Tensor {
    let (mut p, mut r) = (g.zeros_like(), -g);
    let (mut d, mut rr) = (r.clone(), r.dot(&r).item::<f64>());
    let enough = rr * rr.sqrt().min(0.25);
    for i in 0..2 * g.size() {
        let hd = product(&d);
        let curvature = d.dot(&hd).item::<f64>();
        if curvature <= 0.0 {
            return if i == 0 { -g } else { p };
        }
        p += &d * (rr / curvature);
        r -= &hd * (rr / curvature);
        let next = r.dot(&r).item::<f64>();
        if next < enough {
            break;
        }
        d = &r + &d * (next / rr);
        rr = next;
    }
    p
}

fn main() {
    let slope = jit(value_and_grad(valley));
    let product = jit(|(x, v): &(Tensor, Tensor)| hvp(valley, x, v));
    let mut x = Tensor::zeros([40], DType::F64);
    for i in 0.. {
        let (value, g) = slope.call(&x);
        let (value, norm) = (value.item::<f64>(), g.norm(()).item::<f64>());
        if i % 10 == 0 || norm < 1e-10 {
            println!("step {i:>3}: value {value:.1e}, |gradient| {norm:.1e}");
        }
        assert!(i < 200, "too many steps");
        if norm < 1e-10 {
            break;
        }
        let p = direction(|v| product.call(&(x.clone(), v.clone())), &g);
        // Halve the step until the value falls enough.
        let down = g.dot(&p).item::<f64>();
        let falls = |t: &f64| valley(&(&x + &p * *t)).item::<f64>() <= value + 1e-4 * t * down;
        let t = (0..40).map(|k| 0.5f64.powi(k)).find(falls).unwrap_or(0.0);
        x += p * t;
    }
    assert!((x - 1.0).abs().max(()).item::<f64>() < 1e-8);
}
