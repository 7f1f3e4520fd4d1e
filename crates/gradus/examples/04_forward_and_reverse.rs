//! Forward mode pushes a direction through the function; reverse mode pulls a weighting back. They agree.

use gradus::{Tensor, jvp, linearize, vjp};

fn f(x: &Tensor) -> Tensor {
    let (a, b) = (x.index(0, 0), x.index(0, 1));
    Tensor::stack(&[&(&a * &b), &a.sin(), &(b.exp() / a)], 0)
}

fn main() {
    let x = Tensor::from([2.0, 0.5]);
    let (v, w) = (Tensor::from([1.0, -1.0]), Tensor::from([0.3, -0.2, 0.7]));

    // J v: one pass, beside the value, nothing stored.
    let (y, forward) = jvp(f, &x, &v);
    println!("f(x) = {y:.4}\nJ v  = {forward:.4}");

    // wᵀ J: the value first, then as many pulls as you like.
    let (y_again, pull) = vjp(f, &x);
    let reverse = pull(&w);
    println!("wᵀJ  = {reverse:.4}");
    assert_eq!(y, y_again);

    // ⟨J v, w⟩ = ⟨v, Jᵀ w⟩.
    let (left, right) = (forward.dot(&w).item::<f64>(), v.dot(&reverse).item::<f64>());
    assert!((left - right).abs() < 1e-12);

    // Many directions at one point: do the work that does not depend on them once.
    let (_, push) = linearize(f, &x);
    assert_eq!(push(&v), forward);
    for i in 0..2 {
        let unit = Tensor::eye(2, x.dtype()).index(0, i);
        println!("column {i} = {:.4}", push(&unit));
    }
}
