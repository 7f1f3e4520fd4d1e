//! What derivatives of derivatives keep and take: for a chain of element-wise functions, a small network and an attention
//! head, the gradient, a Hessian-vector product, the gradient of a tangent, and the gradient of a gradient.
//!
//! `cargo run --release -p gradus --example nested_derivatives` prints a line each: kernels, bytes of the arena (intermediates),
//! the planned peak, the estimate of the plan, and the least of many measured times.

use std::time::Instant;

use gradus::{DType, Key, Tensor, grad, hvp, jit, jvp};

type Model = fn(&[Tensor]) -> Tensor;

fn normal(seed: u64, shape: [usize; 2]) -> Tensor {
    Key::new(seed).normal(shape, DType::F32) * 0.2
}

/// Thirty-two element-wise functions of 65,536 numbers.
fn chain(x: &[Tensor]) -> Tensor {
    (0..8).fold(x[0].clone(), |y, _| (y.tanh() * &x[0]).sin() + y.exp().recip()).square().mean(())
}

/// Three layers of 256 with a smooth activation, for 128 examples.
fn network(x: &[Tensor]) -> Tensor {
    x[1..].iter().fold(x[0].clone(), |y, w| y.matmul(w).tanh()).square().mean(())
}

/// A head of 64 over 256 positions.
fn attention(x: &[Tensor]) -> Tensor {
    let [q, k, v] = [1, 2, 3].map(|i| x[0].matmul(&x[i]));
    (q.matmul(&k.t()) * 0.125).softmax(-1).matmul(&v).square().mean(())
}

fn inner(x: &[Tensor], y: &[Tensor]) -> Tensor {
    x.iter().zip(y).map(|(x, y)| (x * y).sum(())).reduce(|a, b| a + b).expect("there are arguments")
}

fn measure(
    name: &str,
    f: impl Fn(&(Vec<Tensor>, Vec<Tensor>)) -> Vec<Tensor>,
    args: &(Vec<Tensor>, Vec<Tensor>),
) {
    let f = jit(f);
    let plan = f.plan(args);
    let mut least = f64::INFINITY;
    for _ in 0..40 {
        let start = Instant::now();
        let _ = f.call(args);
        least = least.min(start.elapsed().as_secs_f64());
    }
    let (arena, peak) = (plan.arena_bytes() as f64 / 1024.0, plan.planned_peak_bytes() as f64 / 1024.0);
    println!(
        "{name:<34}{:>4} kernels{arena:>10.0} KiB arena{peak:>10.0} KiB peak{:>9.3} ms estimated{:>9.3} ms",
        plan.kernels().len(),
        plan.estimated_seconds() * 1e3,
        least * 1e3
    );
}

fn main() {
    let shapes: [(&str, Model, Vec<[usize; 2]>); 3] = [
        ("chain", chain, vec![[256, 256]]),
        ("network", network, vec![[128, 256], [256, 256], [256, 256], [256, 256]]),
        ("attention", attention, vec![[256, 64], [64, 64], [64, 64], [64, 64]]),
    ];
    for (name, model, shapes) in shapes {
        let f = move |x: &Vec<Tensor>| model(x);
        let all = |seed: u64| shapes.iter().zip(seed..).map(|(&s, seed)| normal(seed, s)).collect::<Vec<_>>();
        let args = (all(0), all(100));
        measure(&format!("{name}: grad"), |x| grad(f)(&x.0), &args);
        measure(&format!("{name}: hvp"), |x| hvp(f, &x.0, &x.1), &args);
        measure(&format!("{name}: grad of jvp"), |x| grad(|p| jvp(f, p, &x.1).1)(&x.0), &args);
        measure(
            &format!("{name}: grad of grad, a product"),
            |x| grad(|p| inner(&grad(f)(p), &x.1))(&x.0),
            &args,
        );
        let penalty = |p: &Vec<Tensor>| {
            let g = grad(f)(p);
            inner(&g, &g)
        };
        measure(&format!("{name}: grad of |grad|²"), |x| grad(penalty)(&x.0), &args);
    }
}
