//! Operations over named axes: the same as operations over the axis of the batch, in every transform.

use gradus::{
    DType, ErrorKind, Tensor, all_gather, axis_index, checkpoint, cond, custom_jvp, grad, hvp, jit, jvp,
    pmax, pmean, pmin, psum, psum_scatter, scan, vmap, vmap_axes_named, vmap_named, while_loop,
};

type OfOne = fn(&Tensor) -> Tensor;
type OfAll = fn(&Tensor) -> Tensor;

/// Functions of one example over the axis "b" of four, and what they are of the whole batch [4, 3].
fn functions() -> Vec<(&'static str, OfOne, OfAll)> {
    fn whole(x: &Tensor, reduced: Tensor) -> Tensor {
        reduced.expand_dims(0).broadcast_to(x.shape().to_vec())
    }
    vec![
        ("psum", |x| psum(&x.sin(), "b") * x, |x| whole(x, x.sin().sum(0)) * x),
        ("pmean", |x| (x - pmean(x, "b")).square(), |x| (x - whole(x, x.mean(0))).square()),
        ("pmax", |x| (x - pmax(x, "b")).exp(), |x| (x - whole(x, x.max(0))).exp()),
        ("pmin", |x| x * pmin(&x.square(), "b"), |x| x * whole(x, x.square().min(0))),
        (
            "axis_index",
            |x| x.cos() * (axis_index("b").cast(DType::F64) + 1.0),
            |x| x.cos() * Tensor::from([[1.0], [2.0], [3.0], [4.0]]),
        ),
        (
            "all_gather",
            |x| (all_gather(x, "b", 1) * x.expand_dims(1)).sin().sum(1),
            |x| (x.expand_dims(0) * x.expand_dims(1)).sin().sum(1),
        ),
        (
            "psum_scatter",
            |x| psum_scatter(&(x.expand_dims(0) * Tensor::from([[1.0], [2.0], [3.0], [4.0]])).sin(), "b") * x,
            |x| {
                let rows = Tensor::from([[[1.0]], [[2.0]], [[3.0]], [[4.0]]]);
                (x.expand_dims(0) * rows).sin().sum(1) * x
            },
        ),
        (
            "scan",
            |x| scan(x, &Tensor::from([0.5, -0.25]), |c, r| (psum(&(c * r), "b").sin() + x, ())).0,
            |x| scan(x, &Tensor::from([0.5, -0.25]), |c, r| ((c * r).sum(0).sin() + x, ())).0,
        ),
        (
            "carry",
            // The carried value starts the same for all, and stays so.
            |x| {
                scan(&Tensor::zeros([3], DType::F64), &Tensor::from([0.5, -0.25]), |c, r| {
                    (psum(&(x * r), "b") + c.sin(), ())
                })
                .0 * x
            },
            |x| {
                let start = Tensor::zeros([3], DType::F64);
                let all = scan(&start, &Tensor::from([0.5, -0.25]), |c, r| ((x * r).sum(0) + c.sin(), ())).0;
                whole(x, all) * x
            },
        ),
        (
            "while",
            |x| while_loop(x, |c| psum(&c.square().sum(()), "b").greater(0.1), |c| c * 0.5),
            |x| while_loop(x, |c| c.square().sum(()).greater(0.1), |c| c * 0.5),
        ),
        (
            "cond",
            |x| {
                let large = psum(&x.sum(()), "b").greater(0.0);
                cond(&large, x, |x| x * psum(x, "b"), |x| x.sin() - pmean(x, "b"))
            },
            |x| {
                let large = x.sum(()).greater(0.0);
                cond(&large, x, |x| x * whole(x, x.sum(0)), |x| x.sin() - whole(x, x.mean(0)))
            },
        ),
        (
            "checkpoint",
            |x| checkpoint(|x: &Tensor| psum(&x.exp(), "b").log() * x)(x),
            |x| whole(x, x.exp().sum(0).log()) * x,
        ),
        (
            "own rule",
            |x| custom_jvp(|x: &Tensor| psum(&x.square(), "b"), |x, dx| psum(&(x * dx * 2.0), "b"))(x) * x,
            |x| whole(x, x.square().sum(0)) * x,
        ),
        ("inner batch", |x| vmap(|x: &Tensor| psum(&x.sin(), "b") * x)(x), |x| whole(x, x.sin().sum(0)) * x),
        (
            "two axes",
            |x| {
                vmap_named("c", |x: &Tensor| {
                    psum(&psum(x, "c"), "b").sin() * x + psum(&x.square(), "b") * pmax(x, "c")
                })(x)
            },
            |x| {
                let largest = x.max(1).expand_dims(1).broadcast_to(x.shape().to_vec());
                x.sum(()).sin() * x + whole(x, x.square().sum(0)) * largest
            },
        ),
        (
            "the same for all",
            |x| x * psum(&Tensor::from([1.0, 2.0, 3.0]), "b"),
            |x| x * Tensor::from([4.0, 8.0, 12.0]),
        ),
    ]
}

fn batch() -> Tensor {
    Tensor::from([[0.3, -0.8, 0.5], [1.1, 0.2, -0.4], [0.7, 0.9, -0.2], [-0.6, 0.4, 0.1]])
}

fn close(name: &str, got: &Tensor, want: &Tensor) {
    assert_eq!(got.shape(), want.shape(), "{name}");
    let (got, want) = (got.to_vec::<f64>(), want.to_vec::<f64>());
    for (g, w) in got.iter().zip(&want) {
        assert!((g - w).abs() <= 1e-12 * (1.0 + w.abs()), "{name}: {got:?} and {want:?}");
    }
}

#[test]
fn mapped_functions_are_those_of_the_batch() {
    let (x, v) = (batch(), batch().cos());
    for (name, one, all) in functions() {
        let mapped = vmap_named("b", one);
        close(name, &mapped(&x), &all(&x));
        close(&format!("{name}, compiled"), &jit(&mapped).call(&x), &all(&x));
        let (first, second) = (|x: &Tensor| mapped(x).sin().sum(()), |x: &Tensor| all(x).sin().sum(()));
        close(&format!("{name}: gradient"), &grad(first)(&x), &grad(second)(&x));
        close(&format!("{name}: tangent"), &jvp(first, &x, &v).1, &jvp(second, &x, &v).1);
        close(&format!("{name}: curvature"), &hvp(first, &x, &v), &hvp(second, &x, &v));
        // Derived example by example, an example has what all of them give back.
        let inside = vmap_named("b", |x: &Tensor| grad(|x: &Tensor| one(x).sin().sum(()))(x));
        close(&format!("{name}: gradient inside"), &inside(&x), &grad(second)(&x));
        close(&format!("{name}: compiled gradient inside"), &jit(&inside).call(&x), &grad(second)(&x));
        let inside = vmap_named("b", |(x, v): &(Tensor, Tensor)| jvp(one, x, v).1);
        close(&format!("{name}: tangent inside"), &inside(&(x.clone(), v.clone())), &jvp(all, &x, &v).1);
        let inside =
            vmap_named("b", |(x, v): &(Tensor, Tensor)| hvp(|x: &Tensor| one(x).sin().sum(()), x, v));
        close(&format!("{name}: curvature inside"), &inside(&(x.clone(), v.clone())), &hvp(second, &x, &v));
        // Another axis around it.
        let many = Tensor::stack(&[&x, &v], 0);
        close(&format!("{name}: outer batch"), &vmap(&mapped)(&many), &vmap(all)(&many));
        let columns = vmap_axes_named("b", one, &[Some(1)], 1)(&x.t());
        close(&format!("{name}: columns"), &columns, &all(&x).t());
    }
}

#[test]
fn compiled_functions_know_the_axes_around_them() {
    let f = jit(|x: &Tensor| psum(x, "b"));
    let mapped = vmap_named("b", |x: &Tensor| f.call(x));
    assert_eq!(mapped(&Tensor::from([1.0, 2.0])), Tensor::from([3.0, 3.0]));
    assert_eq!(mapped(&Tensor::from([1.0, 2.0, 4.0])), Tensor::from([7.0, 7.0, 7.0]));
    assert!(
        f.why_recompiled().contains("the named axes were `b` of 2, are `b` of 3"),
        "{}",
        f.why_recompiled()
    );
    let error = f.try_call(&Tensor::from(1.0)).unwrap_err();
    assert!(error.to_string().contains("no axis `b` is being mapped over here (there are none)"), "{error}");
    // What is concrete is the same for every example: derived and run at once.
    let slope =
        vmap_named("b", |x: &Tensor| x * grad(|w: &Tensor| psum(&w.square(), "b"))(&Tensor::from(3.0)));
    assert_eq!(slope(&Tensor::from([1.0, 2.0])), Tensor::from([12.0, 24.0]));
}

#[test]
fn what_makes_no_sense_is_an_error_at_its_line() {
    let x = Tensor::from([1.0, -2.0]);
    let cases: [(&str, &dyn Fn(&Tensor) -> Tensor); 8] = [
        ("no axis `c` is being mapped over here (`b`)", &|x| vmap_named("b", |x: &Tensor| psum(x, "c"))(x)),
        ("no axis `b`", &|x| psum(x, "b")),
        ("an axis with the name `b`", &|x| {
            vmap_named("b", |x: &Tensor| {
                vmap_named("b", |x: &Tensor| x.clone())(&Tensor::stack(&[x, x], 0)).sum(0)
            })(x)
        }),
        ("the mean of integers", &|x| vmap_named("b", |x: &Tensor| pmean(&x.cast(DType::I64), "b"))(x)),
        ("it takes floats or integers", &|x| vmap_named("b", |x: &Tensor| psum(&x.greater(0.0), "b"))(x)),
        ("a row for each of 2 examples", &|x| {
            vmap_named("b", |x: &Tensor| psum_scatter(&x.broadcast_to([3]), "b"))(x)
        }),
        ("examples go through or not", &|x| {
            vmap_named("b", |x: &Tensor| cond(&x.greater(0.0), x, |x| psum(x, "b"), |x| x.clone()))(x)
        }),
        ("examples go through or not", &|x| {
            vmap_named("b", |x: &Tensor| while_loop(x, |x| x.less(5.0), |x| x + psum(x, "b").square()))(x)
        }),
    ];
    for (want, f) in cases {
        let error = jit(f).try_call(&x).expect_err(want);
        assert!(error.to_string().contains(want), "{want}: {error}");
        assert!(!matches!(error.kind(), ErrorKind::Internal { .. }), "{error}");
        assert!(error.site().to_string().contains("named_axes.rs"), "{error}");
    }
}
