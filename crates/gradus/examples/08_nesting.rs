//! Transforms of transforms, to any depth and in any order.

use gradus::{Tensor, grad, jit, jvp, vmap};

fn main() {
    // Derivatives of derivatives: sin, cos, -sin, -cos, sin.
    fn nth(n: usize, x: &Tensor) -> Tensor {
        if n == 0 { x.sin() } else { grad(|x: &Tensor| nth(n - 1, x))(x) }
    }
    let x = Tensor::from(0.7);
    for n in 0..=4 {
        let expected = (0.7 + n as f64 * std::f64::consts::FRAC_PI_2).sin();
        println!("derivative {n} of sin at 0.7: {:.12}", nth(n, &x).item::<f64>());
        assert!((nth(n, &x).item::<f64>() - expected).abs() < 1e-12);
    }

    // The classic trap: an inner derivative must not see the outer perturbation.
    let trap = grad(|x: &Tensor| x * grad(|y: &Tensor| x * y)(&Tensor::from(2.0)));
    assert_eq!(trap(&Tensor::from(3.0)), Tensor::from(6.0)); // (x²)' = 2x

    // Physics: a force from an energy, its work along a path, and how that changes with a parameter, for a batch.
    let energy = |k: &Tensor, x: &Tensor| (k * x.square()).sum(()) * 0.5 + x.powi(4).sum(());
    let power = |k: &Tensor, x: &Tensor, velocity: &Tensor| {
        let (_, rate) = jvp(|x: &Tensor| energy(k, x), x, velocity); // forward
        -rate
    };
    let positions = Tensor::from([[1.0, 0.0], [0.5, -0.5], [2.0, 1.0]]);
    let velocity = Tensor::from([0.1, 0.2]);
    let by_stiffness = jit(|k: &Tensor| {
        vmap(|x: &Tensor| grad(|k: &Tensor| power(k, x, &velocity))(k))(&positions) // reverse over forward, batched
    });
    let slopes = by_stiffness.call(&Tensor::from(3.0));
    println!("d power / d stiffness at three places: {slopes:.3}");
    // By hand: -x · v.
    let expected = -positions.matmul(&velocity);
    assert!((slopes - expected).abs().max(()).item::<f64>() < 1e-15);
}
