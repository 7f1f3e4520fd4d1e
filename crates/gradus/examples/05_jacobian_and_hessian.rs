//! Whole matrices of derivatives, and products with them that never build the matrix.

use gradus::{Tensor, hessian, hvp, jacfwd, jacobian, jacrev};

fn main() {
    // Three outputs, two inputs: the forward mode needs two passes, the reverse mode three.
    let f = |x: &Tensor| {
        let m = Tensor::from([[1.0, 2.0], [0.0, -1.0], [3.0, 0.5]]);
        m.matmul(x).tanh()
    };
    let x = Tensor::from([0.1, -0.4]);
    let j = jacobian(f)(&x);
    println!("Jacobian {j:.4}");
    assert_eq!(j.shape(), &[3, 2].into());
    for other in [jacfwd(f)(&x), jacrev(f)(&x)] {
        assert!((&j - other).abs().max(()).item::<f64>() < 1e-15);
    }

    // Newton's method: the Hessian says how long a step should be.
    let bowl = |x: &Tensor| (x.exp() - x * 2.0).sum(()) + x.prod(()) * 0.1;
    let mut x = Tensor::from([0.0, 0.0]);
    for step in 0..6 {
        let g = gradus::grad(bowl)(&x);
        let h = hessian(bowl)(&x);
        println!("step {step}: |gradient| = {:.1e}", g.norm(()).item::<f64>());
        // The inverse of a 2 x 2 matrix.
        let [a, b, c, d]: [f64; 4] = h.to_vec().try_into().expect("four elements");
        let inverse = Tensor::from([[d, -b], [-c, a]]) / (a * d - b * c);
        x -= inverse.matmul(&g);
    }
    assert!(gradus::grad(bowl)(&x).norm(()).item::<f64>() < 1e-12);

    // A Hessian times a vector for the price of a few gradients.
    let v = Tensor::from([1.0, -2.0]);
    let product = hvp(bowl, &x, &v);
    let whole = hessian(bowl)(&x).matmul(&v);
    assert!((product - whole).abs().max(()).item::<f64>() < 1e-12);
}
