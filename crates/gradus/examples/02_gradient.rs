//! A gradient, and what it is good for: walking downhill.

use gradus::{Tensor, grad, value_and_grad};

/// Rosenbrock's valley; its lowest point is at (1, 1).
fn valley(x: &Tensor) -> Tensor {
    let (a, b) = (x.index(0, 0), x.index(0, 1));
    (1.0 - &a).square() + (b - a.square()).square() * 100.0
}

fn main() {
    let start = Tensor::from([-1.0, 1.0]);
    println!("gradient at the start: {}", grad(valley)(&start));
    assert_eq!(grad(valley)(&start), Tensor::from([-4.0, 0.0]));

    // Gradient descent with momentum. Without `jit` the program is still planned only once.
    let (mut x, mut velocity) = (start, Tensor::from([0.0, 0.0]));
    for step in 0..=3000 {
        let (height, slope) = value_and_grad(valley)(&x);
        if step % 1000 == 0 {
            println!("step {step:>4}: height {:.2e} at {x:.4}", height.item::<f64>());
        }
        velocity = velocity * 0.95 - slope * 2e-4;
        x += &velocity;
    }
    assert!((x - Tensor::from([1.0, 1.0])).norm(()).item::<f64>() < 1e-2);
}
