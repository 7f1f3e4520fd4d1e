//! Functions without results, and derivatives that turn out to need nothing, are programs like others.

use gradus::{DType, Key, Tensor, checkpoint, cond, grad, hvp, jit, jvp, scan, vjp, vmap};

#[test]
fn control_flow_may_return_nothing() {
    let x = Tensor::from([1.0, 2.0]);
    let f = |x: &Tensor| {
        checkpoint(|_: &Tensor| ())(x);
        cond(&x.sum(()).greater(0.0), x, |_| (), |_| ());
        scan(&(), x, |(), _| ((), ()));
        x.square().sum(())
    };
    assert_eq!(jit(grad(f)).call(&x), Tensor::from([2.0, 4.0]));
    assert_eq!(jvp(f, &x, &x).1, Tensor::from(10.0));
    assert_eq!(vmap(f)(&Tensor::from([[1.0, 2.0], [3.0, 4.0]])), Tensor::from([5.0, 25.0]));
}

#[test]
fn a_checkpoint_of_a_constant_has_no_derivative() {
    let x = Tensor::from([0.5, 0.25]);
    let constant = checkpoint(|x: &Tensor| Tensor::from([1.0, 3.0]).exp() + x.zeros_like());
    assert_eq!(hvp(|x: &Tensor| (constant(x) * 2.0).sin().sum(()), &x, &x), Tensor::from([0.0, 0.0]));
    let fixed = checkpoint(|_: &Tensor| Tensor::from([1.0, 3.0]).exp());
    assert_eq!(hvp(|x: &Tensor| (fixed(x) * 2.0).sin().sum(()), &x, &x), Tensor::from([0.0, 0.0]));
    assert_eq!(vjp(fixed, &x).1(&x), Tensor::from([0.0, 0.0]));
}

#[test]
fn a_product_without_columns_goes_along_with_what_reads_its_rows() {
    let uniform = |key: u64, shape: [usize; 3]| Key::new(key).uniform(shape, DType::F32) - 0.5;
    let at = Tensor::from([-2i64]);
    let loss = |(x, u, w): &(Tensor, Tensor, Tensor)| {
        x.scatter_add(&at, u, 2).tanh().sin().sum(()) + x.matmul(w).sin().sum(())
    };
    let args = (uniform(1, [40, 30, 25]), uniform(2, [40, 30, 1]), uniform(3, [40, 25, 0]));
    let (compiled, at_once) = (jit(grad(loss)).call(&args), grad(loss)(&args));
    assert_eq!(compiled.2.size(), 0);
    let apart = (compiled.0 - at_once.0).abs().max(()).item::<f32>();
    assert!(apart < 1e-6, "{apart}");
}
