//! Transforms in any order and depth, with captured tensors of outer transforms.

use gradus::{
    Tensor, check_grads, checkpoint, cond, custom_jvp, grad, hessian, hvp, jacfwd, jacobian, jacrev, jit,
    jvp, linearize, scan, vjp, vmap, while_loop,
};

fn close(a: &Tensor, b: &Tensor) {
    assert_eq!(a.shape(), b.shape());
    for (x, y) in a.to_vec::<f64>().into_iter().zip(b.to_vec::<f64>()) {
        assert!((x - y).abs() <= 1e-12 * (1.0 + x.abs().max(y.abs())), "{a} and {b} differ");
    }
}

fn s(x: f64) -> Tensor {
    Tensor::from(x)
}

#[test]
fn derivatives_of_derivatives() {
    let f = |x: &Tensor| x.sin();
    let third = grad(grad(grad(f)))(&s(0.3));
    close(&third, &s(-0.3f64.cos()));
    let mixed = |x: &Tensor| jvp(grad(f), x, &s(1.0)).1;
    close(&mixed(&s(0.3)), &s(-0.3f64.sin()));
    close(&jvp(mixed, &s(0.3), &s(1.0)).1, &s(-0.3f64.cos()));
    close(&grad(|x: &Tensor| linearize(f, x).1(&s(1.0)))(&s(0.3)), &s(-0.3f64.sin()));
    close(&grad(|x: &Tensor| vjp(f, x).1(&s(2.0)))(&s(0.3)), &s(-2.0 * 0.3f64.sin()));
}

/// Siskind and Pearlmutter 2005: the inner derivative must not see the outer perturbation.
#[test]
fn no_perturbation_confusion() {
    let d = |f: &dyn Fn(&Tensor) -> Tensor, x: f64| jvp(f, &s(x), &s(1.0)).1;
    close(&d(&|x| x * d_inner(x, |x, y| x + y), 1.0), &s(1.0));
    close(&d(&|x| x * d_inner(x, |x, y| x * y), 2.0), &s(4.0));
    // The same with reverse mode inside and outside.
    let inner = |x: &Tensor| grad(|y: &Tensor| x * y)(&s(1.0));
    close(&grad(|x: &Tensor| x * inner(x))(&s(2.0)), &s(4.0));
    close(&jvp(|x: &Tensor| x * inner(x), &s(2.0), &s(1.0)).1, &s(4.0));
    // A function that returns a function: the shift's derivative at the outer argument.
    let shift = |t: &Tensor, f: &dyn Fn(&Tensor) -> Tensor, x: &Tensor| f(&(x + t));
    let nested =
        grad(|t: &Tensor| shift(t, &|x| grad(|y: &Tensor| shift(t, &|z| z.exp(), y))(x), &s(0.0)))(&s(0.0));
    close(&nested, &s(2.0));
}

fn d_inner(x: &Tensor, f: impl Fn(&Tensor, &Tensor) -> Tensor) -> Tensor {
    jvp(|y: &Tensor| f(x, y), &s(1.0), &s(1.0)).1
}

#[test]
fn vmap_of_grad_of_vmap() {
    let x = Tensor::from([[0.1, 0.2], [0.3, 0.4], [0.5, 0.6]]);
    let row = |r: &Tensor| vmap(|e: &Tensor| e.sin() * e)(r).sum(());
    let got = vmap(grad(row))(&x);
    close(&got, &(x.sin() + &x * x.cos()));
    let hessians = vmap(hessian(|r: &Tensor| r.prod(())))(&x);
    assert_eq!(hessians.shape(), &[3, 2, 2].into());
    close(&hessians, &vmap(jacrev(grad(|r: &Tensor| r.prod(()))))(&x));
    // Everything at once, under jit and without.
    let deep =
        |x: &Tensor| grad(|x: &Tensor| vmap(|r: &Tensor| jvp(grad(row), r, r).1.sum(()))(x).sum(()))(x);
    close(&jit(deep).call(&x), &deep(&x));
}

#[test]
fn jacobians_agree() {
    let a = Tensor::from([[1.0, 2.0, -1.0], [0.5, 0.0, 3.0]]);
    let f = |x: &Tensor| a.matmul(x).tanh() * x.sum(());
    let x = Tensor::from([0.1, -0.2, 0.3]);
    close(&jacfwd(f)(&x), &jacrev(f)(&x));
    close(&jacobian(f)(&x), &jacrev(f)(&x));
    let loss = |x: &Tensor| f(x).square().sum(());
    let h = hessian(loss)(&x);
    close(&h, &h.t());
    let v = Tensor::from([1.0, 2.0, 3.0]);
    close(&h.matmul(&v), &hvp(loss, &x, &v));
    // Matrices in, matrices out.
    let g = |m: &Tensor| m.matmul(&m.t());
    let m = Tensor::from([[1.0, 2.0], [3.0, 4.0]]);
    assert_eq!(jacfwd(g)(&m).shape(), &[2, 2, 2, 2].into());
    close(&jacfwd(g)(&m), &jacrev(g)(&m));
}

#[test]
fn control_flow_captures_outer_tensors() {
    let f = |w: &Tensor| {
        let xs = Tensor::from([0.1, 0.2, 0.3]);
        let (last, all) = scan(&s(0.0), &xs, |c, x| {
            let c = cond(&c.less(0.2), c, |c| c + x * w, |c| c * w);
            (c.clone(), c)
        });
        last + all.sum(())
    };
    let plain = |w: f64| {
        let (mut c, mut total) = (0.0, 0.0);
        for x in [0.1, 0.2, 0.3] {
            c = if c < 0.2 { c + x * w } else { c * w };
            total += c;
        }
        total + c
    };
    let w = 0.9;
    let expected = (plain(w + 1e-6) - plain(w - 1e-6)) / 2e-6;
    let got = grad(f)(&s(w)).item::<f64>();
    assert!((got - expected).abs() < 1e-8, "{got} {expected}");
    close(&jvp(f, &s(w), &s(1.0)).1, &s(got));
    close(&jit(grad(f)).call(&s(w)), &s(got));
    let ws = Tensor::from([0.9, 0.1]);
    close(&vmap(grad(f))(&ws), &Tensor::from([got, grad(f)(&s(0.1)).item::<f64>()]));
    close(&grad(checkpoint(f))(&s(w)), &s(got));
    let powers =
        |n: &Tensor| while_loop(&(n.clone(), s(1.0)), |(n, _)| n.greater(0.5), |(n, p)| (n - 1.0, p * 3.0)).1;
    close(&vmap(powers)(&Tensor::from([0.0, 1.0, 3.0])), &Tensor::from([1.0, 3.0, 27.0]));
}

#[test]
fn loops_of_unknown_length_in_every_mode() {
    // Newton's iteration for the root of x³ = a, as long as it takes, and two steps more for its derivatives.
    let root = |a: &Tensor| {
        let more = |x: &Tensor| ((x * x * x - a).abs()).greater(1e-10);
        let step = |x: &Tensor| (x * 2.0 + a / (x * x)) / 3.0;
        step(&step(&while_loop(&Tensor::from(1.0), more, step)))
    };
    let a = s(5.0);
    let (first, second) = (s(5f64.powf(-2.0 / 3.0) / 3.0), s(-2.0 / 9.0 * 5f64.powf(-5.0 / 3.0)));
    let near = |got: &Tensor, want: &Tensor| {
        let error = (got - want).abs().max(()).item::<f64>();
        assert!(error < 1e-9, "{got:?} {want:?}");
    };
    near(&grad(root)(&a), &first);
    near(&jvp(root, &a, &s(1.0)).1, &first);
    near(&jit(grad(root)).call(&a), &first);
    near(&grad(grad(root))(&a), &second);
    near(&hessian(root)(&a), &second);
    near(&jvp(grad(root), &a, &s(1.0)).1, &second);
    near(&grad(|a: &Tensor| jvp(root, a, &s(1.0)).1)(&a), &second);
    near(&grad(checkpoint(root))(&a), &first);
    let many = Tensor::from([1.0, 5.0, 900.0, 0.3]);
    let one = |f: &dyn Fn(&Tensor) -> Tensor| {
        let all: Vec<Tensor> = (0..4).map(|i| f(&many.index(0, i))).collect();
        Tensor::stack(&all.iter().collect::<Vec<_>>(), 0)
    };
    near(&vmap(grad(root))(&many), &one(&grad(root)));
    near(&grad(|a: &Tensor| vmap(root)(a).sum(()))(&many), &one(&grad(root)));
    near(&vmap(grad(grad(root)))(&many), &one(&grad(grad(root))));
    near(&jacrev(|a: &Tensor| vmap(root)(a))(&many), &jacfwd(|a: &Tensor| vmap(root)(a))(&many));
    check_grads(root, &a, 2).unwrap();
    // In a scan, a branch and another loop.
    let nested = |a: &Tensor| {
        let step = |c: &Tensor, x: &Tensor| {
            let r = while_loop(&(c * x), |y| y.less(2.0), |y| y * y + a);
            (cond(&r.less(3.0), &r, |r| while_loop(r, |y| y.greater(0.5), |y| y * 0.3), |r| r.sqrt()), r)
        };
        let (c, rows) = scan(a, &Tensor::from([0.5, 1.5, 0.7]), step);
        c + rows.sum(())
    };
    check_grads(nested, &s(0.8), 2).unwrap();
    close(&jit(grad(nested)).call(&s(0.8)), &jvp(nested, &s(0.8), &s(1.0)).1);
}

#[test]
fn custom_rule_in_every_mode() {
    let scale = s(2.0);
    let f = custom_jvp(|x: &Tensor| x.sin(), |x: &Tensor, dx: &Tensor| dx * x.cos() * &scale);
    let x = Tensor::from([0.3, 0.4]);
    let twice = x.cos() * 2.0;
    close(&grad(|x: &Tensor| f(x).sum(()))(&x), &twice);
    close(&jvp(&f, &x, &x.ones_like()).1, &twice);
    close(&vmap(grad(|x: &Tensor| f(x)))(&x), &twice);
    close(&jacfwd(&f)(&x), &jacrev(&f)(&x));
    close(&jit(grad(|x: &Tensor| f(x).sum(()))).call(&x), &twice);
}

#[test]
fn values_are_readable_while_differentiating() {
    let f = |x: &Tensor| {
        let y = x.square().sum(());
        if y.item::<f64>() > 1.0 { y.log() } else { y }
    };
    close(&grad(f)(&Tensor::from([2.0])), &Tensor::from([1.0]));
    close(&grad(f)(&Tensor::from([0.5])), &Tensor::from([1.0]));
    close(&grad(grad(f))(&s(2.0)), &s(-0.5));
    close(&jvp(grad(f), &s(2.0), &s(1.0)).1, &s(-0.5));
}

#[test]
fn literals_are_inputs_not_constants() {
    let f = jit(|x: &Tensor| x * 0.37 + 1.0);
    let text = f.program(&Tensor::from([1.0]));
    assert!(!text.contains("0.37"), "{text}");
    close(&f.call(&Tensor::from([1.0])), &Tensor::from([1.37]));
}

/// Choices and loops around each other; each level reads what the one outside computes.
fn levels(depth: usize, x: &Tensor) -> Tensor {
    let y = (x * 0.01).sin() * 100.0;
    match depth {
        0 => y,
        d if d % 2 == 0 => cond(&y.less(2.0), &y, |y| levels(d - 1, y), |y| y.clone()),
        d => scan(&y, &y.reshape([1]), |c, row| (levels(d - 1, &((c + row) * 0.5)), ())).0,
    }
}

fn on_small_stack<R: Send + 'static>(f: impl FnOnce() -> R + Send + 'static) -> R {
    std::thread::Builder::new().stack_size(256 << 10).spawn(f).unwrap().join().unwrap()
}

#[test]
fn the_deepest_bodies_on_a_small_stack() {
    let (deep, expected) = on_small_stack(|| {
        let f = jit(grad(|x: &Tensor| levels(256, x)));
        let (x, step) = (s(0.7), 1e-4);
        let g = f.call(&x).item::<f64>();
        assert!(!f.program(&x).is_empty() && !f.explain(&x).is_empty());
        // The same by Rust's own control flow.
        let plain = |x: f64| (0..=256).fold(x, |x, _| (x * 0.01).sin() * 100.0);
        (g, (plain(0.7 + step) - plain(0.7 - step)) / (2.0 * step))
    });
    assert!((deep - expected).abs() <= 1e-6 * (1.0 + expected.abs()), "{deep} {expected}");
}

#[test]
fn deeper_bodies_are_an_error() {
    let error = on_small_stack(|| jit(grad(|x: &Tensor| levels(257, x))).try_call(&s(0.7)).unwrap_err());
    assert!(matches!(error.kind(), gradus::ErrorKind::Nesting { .. }), "{error}");
    assert!(error.site().location.is_some_and(|l| l.file().ends_with("nesting.rs")), "{error:?}");
}
