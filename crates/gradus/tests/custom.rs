//! Rules of the user's own: captures, linearity, residuals, in every mode.

use std::panic::{AssertUnwindSafe, catch_unwind};

use gradus::{
    DType, Tensor, custom_jvp, custom_jvp_with_output, custom_jvp_with_residuals, custom_vjp, grad, hessian,
    jit, jvp, scan, vmap,
};

fn near(a: &Tensor, b: &Tensor) {
    assert_eq!(a.shape(), b.shape());
    let distance = (a - b).abs().max(()).item::<f64>();
    assert!(distance <= 1e-12, "{a} and {b}");
}

/// First and second derivatives of two spellings of `f(x, w)` by both, in every mode.
fn same(f: impl Fn(&Tensor, &Tensor) -> Tensor, g: impl Fn(&Tensor, &Tensor) -> Tensor) {
    type Pair = (Tensor, Tensor);
    let (f, g) = (|p: &Pair| f(&p.0, &p.1).sum(()), |p: &Pair| g(&p.0, &p.1).sum(()));
    let at = (Tensor::from([0.7, 1.3]), Tensor::from([1.9, 0.4]));
    let along = (Tensor::from([0.3, -1.1]), Tensor::from([0.8, 0.5]));
    let both = |a: Pair, b: Pair| {
        near(&a.0, &b.0);
        near(&a.1, &b.1);
    };
    near(&f(&at), &g(&at));
    both(grad(f)(&at), grad(g)(&at));
    both(jit(grad(f)).call(&at), grad(g)(&at));
    near(&jvp(f, &at, &along).1, &jvp(g, &at, &along).1);
    let slope = |g: &Pair| (&g.0 * &along.0 + &g.1 * &along.1).sum(());
    // Reverse over reverse, forward over reverse, reverse over forward, forward over forward.
    both(grad(|p: &Pair| slope(&grad(f)(p)))(&at), grad(|p: &Pair| slope(&grad(g)(p)))(&at));
    both(jvp(grad(f), &at, &along).1, jvp(grad(g), &at, &along).1);
    both(grad(|p: &Pair| jvp(f, p, &along).1)(&at), grad(|p: &Pair| jvp(g, p, &along).1)(&at));
    near(
        &jvp(|p: &Pair| jvp(f, p, &along).1, &at, &along).1,
        &jvp(|p: &Pair| jvp(g, p, &along).1, &at, &along).1,
    );
    let batch = |t: &Tensor| Tensor::stack(&[t, &(t * 0.5), &(t + 0.25)], 0);
    let batches = (batch(&at.0), batch(&at.1));
    both(vmap(grad(f))(&batches), vmap(grad(g))(&batches));
    both(jit(vmap(grad(f))).call(&batches), vmap(grad(g))(&batches));
    both(vmap(jit(grad(f)).borrowed())(&batches), vmap(grad(g))(&batches));
}

trait Borrowed<A, B> {
    fn borrowed(self) -> impl Fn(&A) -> B;
}
impl<A: gradus::Tree, B: gradus::Tree, F: Fn(&A) -> B> Borrowed<A, B> for gradus::Jit<A, B, F> {
    fn borrowed(self) -> impl Fn(&A) -> B {
        move |x| self.call(x)
    }
}

#[test]
fn captures_of_value_and_rule_have_derivatives() {
    let plain = |x: &Tensor, w: &Tensor| x.square() * w.sin();
    same(|x, w| custom_jvp(|x: &Tensor| x.square() * w.sin(), |x, dx| dx * x * w.sin() * 2.0)(x), plain);
    same(
        |x, w| custom_jvp_with_output(|x: &Tensor| (x * w).exp(), |_, y, dx| y * dx * w)(x),
        |x, w| (x * w).exp(),
    );
    same(
        |x, w| {
            custom_jvp_with_residuals(
                |x: &Tensor| {
                    let s = w.sin();
                    (x.square() * &s, (x * 2.0, s))
                },
                |(twice, s), dx| dx * twice * s,
            )(x)
        },
        plain,
    );
    same(
        |x, w| custom_vjp(|x: &Tensor| (x.square() * w.sin(), x.clone()), |x, ct| ct * x * w.sin() * 2.0)(x),
        plain,
    );
    let three = grad(|w: &Tensor| custom_jvp(|x: &Tensor| x * w, |_, dx| dx * w)(&Tensor::from(3.0)));
    assert_eq!(three(&Tensor::from(2.0)), Tensor::from(3.0));
}

#[test]
fn rules_hold_inside_loops() {
    let step =
        |w: &Tensor, c: &Tensor| custom_vjp(|x: &Tensor| (x.sin() * w, x.cos()), |c, ct| ct * c * w)(c);
    let looped = |w: &Tensor| scan(w, &Tensor::zeros([4], DType::F64), |c, _| (step(w, c), ())).0;
    let plain = |w: &Tensor| scan(w, &Tensor::zeros([4], DType::F64), |c, _| (c.sin() * w, ())).0;
    let w = Tensor::from(0.8);
    near(&grad(looped)(&w), &grad(plain)(&w));
    near(&hessian(looped)(&w), &hessian(plain)(&w));
    near(&jvp(looped, &w, &Tensor::from(1.0)).1, &grad(plain)(&w));
}

/// A rule that is not the derivative is what counts, in every mode.
#[test]
fn rules_replace_derivatives() {
    let x = Tensor::from([0.3, -2.0]);
    let through = custom_vjp(|x: &Tensor| (x.round(), ()), |(), ct: &Tensor| ct.clone());
    assert_eq!(grad(|x: &Tensor| (through(x) * x).sum(()))(&x), x.round() + &x);
    assert_eq!(jvp(&through, &x, &x).1, x);
    let reversed = custom_vjp(|x: &Tensor| (x.clone(), ()), |(), ct: &Tensor| -ct);
    assert_eq!(jit(grad(|x: &Tensor| reversed(x).sum(()))).call(&x), -x.ones_like());
}

#[test]
fn rules_that_are_not_linear_are_refused() {
    let x = Tensor::from([0.3, 0.7]);
    fn refused(words: &[&str], f: impl FnOnce() -> Tensor) {
        let text = *catch_unwind(AssertUnwindSafe(f)).unwrap_err().downcast::<String>().unwrap();
        for word in words.iter().chain(&["custom.rs:", "linear in the"]) {
            assert!(text.contains(word), "{word:?} is not in: {text}");
        }
        assert!(!text.contains("defect"), "{text}");
    }
    let by = |rule: fn(&Tensor, &Tensor) -> Tensor| {
        let f = custom_jvp(|x: &Tensor| x.sin(), rule);
        grad(move |x: &Tensor| f(x).sum(()))(&Tensor::from([0.3, 0.7]))
    };
    refused(&["custom_jvp", "adds something", "`add`"], || by(|x, dx| dx + x.cos()));
    refused(&["custom_jvp", "adds something"], || by(|x, dx| x.greater(0.5).select(dx, x)));
    refused(&["custom_jvp", "adds something"], || by(|_, dx| dx - 1.5));
    refused(&["custom_jvp", "adds something"], || by(|x, _| x.cos()));
    refused(&["custom_jvp", "`mul`"], || by(|_, dx| dx * dx));
    refused(&["custom_jvp", "`abs`"], || by(|_, dx| dx.abs()));
    refused(&["custom_jvp", "`max`"], || by(|_, dx| dx.maximum(0.0)));
    refused(&["custom_jvp", "adds something"], || by(|x, dx| scan(dx, x, |c, x| (c + x, ())).0));
    refused(&["custom_vjp", "cotangent", "`sign`"], || {
        let f = custom_vjp(|x: &Tensor| (x.sin(), ()), |(), ct: &Tensor| ct.sign());
        grad(|x: &Tensor| f(x).sum(()))(&x)
    });
    // Zeros add nothing, and products with what is known are linear.
    for rule in [
        (|x, dx| x.greater(0.5).select(dx * x.cos(), 0.0)) as fn(&Tensor, &Tensor) -> Tensor,
        |x, dx| x.greater(0.5).select(dx, x.zeros_like()),
        |x, _| x.zeros_like(),
        |x, dx| dx / x + dx.cumsum(0) - dx.flip(0),
        |x, dx| scan(&(dx * 0.0), &(x.clone(), dx.clone()), |c, (x, d)| (c + x * d, ())).0,
        |_, dx| dx.cast(DType::Bf16).cast(DType::F64),
    ] {
        by(rule);
    }
}

#[test]
fn casts_between_floats_have_derivatives() {
    let x = Tensor::from([1f32, 2.5, -3.0]);
    let f = |x: &Tensor| (x.cast(DType::Bf16).cast(DType::F32) * x).sum(());
    let twice = &x * 2.0;
    assert_eq!(grad(f)(&x), twice);
    assert_eq!(jit(grad(f)).call(&x), twice);
    assert_eq!(jvp(f, &x, &x).1, (&x * &twice).sum(()));
    assert_eq!(hessian(f)(&x), Tensor::eye(3, DType::F32) * 2.0);
    let batches = Tensor::stack(&[&x, &twice], 0);
    assert_eq!(vmap(grad(f))(&batches), &batches * 2.0);

    // Through what moves elements, where cotangents meet, and where a loop carries the narrow type.
    let narrow = |x: &Tensor| {
        let n = x.cast(DType::Bf16);
        let y = Tensor::concat(&[&n, &n.flip(0), &n.slice(0, 1..)], 0);
        let y =
            y.cast(DType::F32).greater(0.0).select(&y, Tensor::zeros([8], DType::Bf16)).reshape([2, 4]).t();
        y.cast(DType::F32).square().sum(())
    };
    let plain = |x: &Tensor| {
        let y = Tensor::concat(&[x, &x.flip(0), &x.slice(0, 1..)], 0);
        y.greater(0.0).select(&y, 0.0).square().sum(())
    };
    assert_eq!(grad(narrow)(&x), grad(plain)(&x));
    let looped = |x: &Tensor| {
        let step = |c: &Tensor, x: &Tensor| ((c.cast(DType::F32) * x).cast(DType::Bf16), ());
        scan(&Tensor::from(1f32).cast(DType::Bf16), x, step).0.cast(DType::F32)
    };
    assert_eq!(grad(looped)(&x), grad(|x: &Tensor| x.prod(()))(&x));
    assert_eq!(jvp(looped, &x, &x).1, looped(&x) * 3.0);
    let chosen = |x: &Tensor| {
        gradus::cond(&x.sum(()).greater(0.0), x, |x| x.cast(DType::Bf16), |x| x.cast(DType::Bf16))
            .cast(DType::F32)
            .square()
            .sum(())
    };
    assert_eq!(grad(chosen)(&x), twice);
    assert_eq!(grad(gradus::checkpoint(f))(&x), twice);
}

#[test]
fn parameters_of_sixteen_bits_have_gradients() {
    let w = Tensor::from([1f32, 2.5]).cast(DType::Bf16);
    let loss = |w: &Tensor| w.cast(DType::F32).square().sum(());
    let g = grad(loss)(&w);
    assert_eq!(g.dtype(), DType::Bf16);
    assert_eq!(g.to_vec::<f32>(), [2.0, 5.0]);
    let (y, dy) = jvp(|w: &Tensor| w.reshape([2, 1]), &w, &w);
    assert_eq!((y.dtype(), dy.dtype(), dy.to_vec::<f32>()), (DType::Bf16, DType::Bf16, vec![1.0, 2.5]));
    let (_, pull) = gradus::vjp(|w: &Tensor| Tensor::concat(&[w, w], 0), &w);
    let ct = Tensor::from([1f32, 2.0, 3.0, 4.0]).cast(DType::Bf16);
    assert_eq!(pull(&ct).to_vec::<f32>(), [4.0, 6.0]);
    let (_, push) = gradus::linearize(|w: &Tensor| w.cast(DType::F32).sin(), &w);
    assert_eq!(push(&w).dtype(), DType::F32);
}

#[test]
fn rules_made_of_loops_that_branch_are_linear() {
    let f = |x: &Tensor| {
        let step = |(v, k): &(Tensor, Tensor)| {
            let v = gradus::cond(&v.greater(0.25), v, |v| v.tanh(), |v| v * 0.5);
            (v * 0.9, k + 1)
        };
        gradus::while_loop(&(x.clone(), Tensor::from(0i64)), |(_, k)| k.less(4), step).0
    };
    let own = |x: &Tensor| custom_jvp(f, |x, dx| gradus::linearize(f, x).1(dx))(x);
    let x = Tensor::from(1.1);
    near(&grad(own)(&x), &grad(f)(&x));
    near(&grad(grad(own))(&x), &grad(grad(f))(&x));
}
