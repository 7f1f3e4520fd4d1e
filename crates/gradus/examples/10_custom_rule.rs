//! A derivative rule of your own: written once as a tangent, it works in every mode.

use gradus::{Tensor, check_grads, custom_jvp, grad, hessian, jvp, vmap};

fn main() {
    // ln(1 + eˣ) the naive way overflows, and so does its derivative; the rule knows better.
    let softplus = custom_jvp(
        |x: &Tensor| x.maximum(0.0) + (-x.abs()).exp().log1p(),
        |x: &Tensor, dx: &Tensor| dx * x.sigmoid(),
    );
    let x = Tensor::from([-1000.0, -1.0, 0.0, 1.0, 1000.0]);
    let slope = grad(|x: &Tensor| softplus(x).sum(()))(&x);
    println!("slopes {slope:.4}");
    assert_eq!(slope, x.sigmoid());

    // Forward mode, batches and second derivatives come with it.
    let (_, tangent) = jvp(&softplus, &x, &x.ones_like());
    assert_eq!(tangent, slope);
    assert_eq!(vmap(&softplus)(&x), softplus(&x));
    let curvature = hessian(|x: &Tensor| softplus(x).sum(()))(&Tensor::from([0.0]));
    assert_eq!(curvature, Tensor::from([[0.25]]));

    // Whether a rule is right can be tested: against finite differences, and both modes against each other.
    check_grads(&softplus, &Tensor::from([-0.7, 0.4]), 2).expect("the rule is right");
    let wrong = custom_jvp(|x: &Tensor| x.square(), |x: &Tensor, dx: &Tensor| dx * x * 3.0);
    let error = check_grads(wrong, &Tensor::from([0.4]), 1).expect_err("the rule is wrong");
    println!("a wrong rule is found: {error}");
}
