//! Closures with captured data through every driver: the results are those of the generic function.

use gradus_num::sparse::{SparseHessian, SparseJacobian};
use gradus_num::{
    Mode, Real64, Scalar, ScalarDriver, ScalarFn, VectorDriver, VectorFn, closure, derivative, directional,
    gradient, hessian, hvp, jacobian, jvp, laplacian, scalar_fn, taylor, value_and_gradient_array,
    vector_closure, vector_fn, vjp,
};

/// Functions of all kinds, a branch, a loop and constants.
fn model<R: Real64>(x: &[R], data: &[f64]) -> R {
    let mut sum = R::zero();
    for (i, &d) in data.iter().enumerate() {
        let x = x[i % x.len()];
        let residual = (x * d).sin() - x.sigmoid().max(&R::from_f64(0.3)) + 1.0;
        sum += if residual > 0.5 { residual.powi(3) } else { residual.hypot(&x) / 2.0 };
    }
    sum.exp() % 100.0
}

const X: [f64; 3] = [0.4, -1.25, 2.0];
const V: [f64; 3] = [1.0, 0.5, -2.0];

/// Every result that a scalar driver has.
fn results(f: &impl ScalarFn) -> Vec<f64> {
    let mut all = gradient(f, &X);
    all.extend(hessian(f, &X));
    all.extend(hvp(f, &X, &V));
    all.extend([laplacian(f, &X), directional(f, &X, &V).1]);
    all.extend(value_and_gradient_array(f, &X).1);
    all.extend(taylor::<5>(f, &X, &V));
    for mode in [Mode::Forward, Mode::Reverse] {
        let mut driver = ScalarDriver::new(f, &X).with_mode(mode);
        let (mut g, mut h) = ([0.0; 3], [0.0; 9]);
        all.push(driver.value_and_gradient_into(&X, &mut g));
        driver.hessian_into(&X, &mut g, &mut h);
        all.extend(g.into_iter().chain(h));
    }
    all.extend(SparseHessian::new(f, &X).evaluate(&X).values);
    all
}

#[test]
fn scalar_functions() {
    let data = vec![0.5, 1.5, -0.75, 3.0, 0.1];
    struct Model<'a>(&'a [f64]);
    impl ScalarFn for Model<'_> {
        fn call<R: Real64>(&self, x: &[R]) -> R {
            model(x, self.0)
        }
    }
    let want = results(&Model(&data));
    assert_eq!(results(&scalar_fn!(|x; data: [f64]| model(x, data))), want);
    let erased = results(&closure(|x| model(x, &data)));
    for (got, want) in erased.iter().zip(&want) {
        assert!((got - want).abs() <= 4e-15 * want.abs().max(1.0), "{got} {want}");
    }
    assert_eq!(derivative(&closure(|x| x[0] * data[1]), 2.0), 1.5);
}

fn vector_results(f: &impl VectorFn) -> Vec<f64> {
    let mut all = jacobian(f, &X);
    let (y, dy) = jvp(f, &X, &V);
    all.extend(y.into_iter().chain(dy));
    let (y, g) = vjp(f, &X, &[1.0, -1.0]);
    all.extend(y.into_iter().chain(g));
    for mode in [Mode::Forward, Mode::Reverse] {
        let (mut y, mut j) = ([0.0; 2], [0.0; 6]);
        VectorDriver::new(f, &X).with_mode(mode).jacobian_into(&X, &mut y, &mut j);
        all.extend(y.into_iter().chain(j));
    }
    all.extend(SparseJacobian::new(f, &X).evaluate(&X).values);
    all
}

#[test]
fn vector_functions() {
    let data = [0.25, -2.0];
    let generic = vector_fn!(|x, y; data: [f64; 2]| {
        y[0] = x[0] * data[0] + x[1].tanh();
        y[1] = (x[2] - data[1]).square();
    }, 2);
    let erased = vector_closure(2, |x, y| {
        y[0] = x[0] * data[0] + x[1].tanh();
        y[1] = (x[2] - data[1]).square();
    });
    let (want, got) = (vector_results(&generic), vector_results(&erased));
    assert_eq!(want.len(), got.len());
    for (got, want) in got.iter().zip(&want) {
        assert!((got - want).abs() <= 4e-15 * want.abs().max(1.0), "{got} {want}");
    }
}

#[test]
fn infinite_derivatives_reach_nothing_that_does_not_depend() {
    // √0 of a constant beside a variable: the tangent is 0, not NaN; of x² it is NaN, as everywhere in the drivers.
    let zero = 0.0;
    let f = closure(|x| x[0] + (x[1] * 0.0 + zero).sqrt() * 0.0);
    let want = gradient(&scalar_fn!(|x; zero: f64| x[0] + (x[1] * 0.0 + *zero).sqrt() * 0.0), &[1.0, 2.0]);
    let got = gradient(&f, &[1.0, 2.0]);
    assert_eq!(format!("{got:?}"), format!("{want:?}"));
    assert_eq!(gradient(&closure(|_| 3.0.into()), &[1.0, 2.0]), [0.0, 0.0]);
    assert_eq!(gradient(&closure(|x| x[1]), &[1.0, 2.0]), [0.0, 1.0]);
}
