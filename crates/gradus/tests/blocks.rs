//! Jacobians and Hessians of trees: block by block they are those of the tensors alone.

use std::collections::BTreeMap;

use gradus::{Blocks, Tensor, Tree, grad, hessian, hvp, jacfwd, jacobian, jacrev, jit, vmap};

type Pair = (Tensor, Tensor);

fn argument() -> Pair {
    (Tensor::from([[0.5, -1.0, 2.0], [1.5, 0.25, -0.75]]), Tensor::from([1.25, -0.5, 0.8]))
}

fn f((w, x): &Pair) -> (Tensor, Vec<Tensor>) {
    let y = w.matmul(x);
    (y.tanh(), vec![(&y * &y).sum(()), w.sin() * x])
}

/// Two numbers that may differ in the last digits.
fn close(a: &Tensor, b: &Tensor) {
    assert_eq!(a.shape(), b.shape());
    let most = 1e-14 * (1.0 + b.abs().max(()).item::<f64>());
    assert!((a - b).abs().max(()).item::<f64>() < most, "{a} {b}");
}

fn all_close(a: &impl Tree, b: &impl Tree) {
    let (a, b) = (a.tensors(), b.tensors());
    assert_eq!(a.len(), b.len());
    a.iter().zip(&b).for_each(|(a, b)| close(a, b));
}

#[test]
fn blocks_are_jacobians_of_tensors_alone() {
    let (w, x) = argument();
    let at = (w.clone(), x.clone());
    let by_w = |k: usize| jacobian(|w: &Tensor| f(&(w.clone(), x.clone())).tensors()[k].clone())(&w);
    let by_x = |k: usize| jacobian(|x: &Tensor| f(&(w.clone(), x.clone())).tensors()[k].clone())(&x);
    let want: (Pair, Vec<Pair>) = ((by_w(0), by_x(0)), vec![(by_w(1), by_x(1)), (by_w(2), by_x(2))]);
    all_close(&jacobian(f)(&at), &want);
    all_close(&jacfwd(f)(&at), &want);
    all_close(&jacrev(f)(&at), &want);
    all_close(&jit(jacobian(f)).call(&at), &want);
    assert_eq!(want.1[1].0.shape(), &gradus::Shape::from([2, 3, 2, 3]));
    // In a batch.
    let batch = (Tensor::stack(&[&w, &w.sin()], 0), Tensor::stack(&[&x, &x.exp()], 0));
    let together = vmap(jacrev(f))(&batch);
    let second = jacfwd(f)(&(w.sin(), x.exp()));
    all_close(&together.map(&mut |t| t.at(0)), &want);
    all_close(&together.map(&mut |t| t.at(1)), &second);
}

#[test]
fn hessians_are_symmetric_and_multiply_like_hvp() {
    let loss = |p: &Pair| f(p).0.square().sum(()) + f(p).1[0].exp() * 0.01;
    let at = argument();
    let h: (Pair, Pair) = hessian(loss)(&at);
    close(&h.0.1, &h.1.0.move_axis(0, -1));
    close(&h.0.0, &h.0.0.permute([2, 3, 0, 1]));
    let v = (at.0.cos(), at.1.sin());
    let product = hvp(loss, &at, &v);
    let times = |block: &Tensor, v: &Tensor| {
        let kept = block.rank() - v.rank();
        let axes: Vec<isize> = (kept as isize..block.rank() as isize).collect();
        let all: Vec<isize> = (0..v.rank() as isize).collect();
        block.tensordot(v, &axes, &all)
    };
    close(&(times(&h.0.0, &v.0) + times(&h.0.1, &v.1)), &product.0);
    close(&(times(&h.1.0, &v.0) + times(&h.1.1, &v.1)), &product.1);
    // Third derivatives nest.
    let third = jacobian(hessian(loss))(&at);
    assert_eq!(third.0.1.0.shape(), &gradus::Shape::from([2, 3, 3, 2, 3]));
}

#[derive(Tree)]
struct Line {
    slope: Tensor,
    intercept: Tensor,
    name: &'static str,
}

#[derive(Tree)]
struct Of<T> {
    inner: T,
    more: Option<Tensor>,
}

#[test]
fn structs_maps_and_containers() {
    let line = || Line { slope: 2.0.into(), intercept: Tensor::from([1.0, -1.0]), name: "line" };
    let loss = |l: &Line| (&l.slope * &l.slope * &l.intercept).sum(());
    let h = hessian(loss)(&line());
    assert_eq!((h.len(), h[0].name), (2, "line"));
    assert_eq!((&h[0].slope, &h[0].intercept), (&Tensor::from(0.0), &Tensor::from([4.0, 4.0])));
    assert_eq!(
        (&h[1].slope, &h[1].intercept),
        (&Tensor::from([4.0, 4.0]), &Tensor::zeros([2, 2], gradus::DType::F64))
    );

    let j = jacobian(|l: &Line| BTreeMap::from([("a", [l.slope.clone(), l.slope.exp()])]))(&line());
    assert_eq!(j["a"][0].slope, Tensor::from(1.0));
    let j = jacobian(|x: &Tensor| Of { inner: (x * 2.0, vec![x.square()]), more: None })(&Tensor::from(3.0));
    assert_eq!(j, vec![Tensor::from(2.0), Tensor::from(6.0)]);
    let empty: Vec<Tensor> = jacobian(|_: &Tensor| Vec::<Tensor>::new())(&Tensor::from(1.0));
    assert!(empty.is_empty());
    let constant = jacobian(|(): &()| Tensor::from(1.0));
    constant(&());
    fn takes<T: Blocks>() {}
    takes::<Box<Option<(Tensor, [Tensor; 2])>>>();
}

#[test]
fn arguments_are_told_from_captures() {
    let (a, b) = (Tensor::from([1.0, 2.0]), Tensor::from([3.0, 4.0]));
    for _ in 0..2 {
        let both: Pair = jacobian(|(a, b): &Pair| (a * b).sum(()))(&(a.clone(), b.clone()));
        assert_eq!(both, (b.clone(), a.clone()));
        assert_eq!(jacobian(|a: &Tensor| (a * &b).sum(()))(&a), b);
        let both = grad(|(a, b): &Pair| (a * b).sum(()))(&(a.clone(), b.clone()));
        assert_eq!(both, (b.clone(), a.clone()));
        assert_eq!(grad(|a: &Tensor| (a * &b).sum(()))(&a), b);
    }
}

#[test]
fn what_has_no_derivative_is_named() {
    let argument = (Tensor::from(1.0), Tensor::from(2i64));
    let caught = std::panic::catch_unwind(|| jacobian(|(a, _): &Pair| a.clone())(&argument));
    let text = *caught.unwrap_err().downcast::<String>().unwrap();
    assert!(text.contains("jacobian") && text.contains("i64") && text.contains('1'), "{text}");
}
