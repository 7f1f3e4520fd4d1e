//! The drivers in `f32` against those in `f64`, in either mode.

use gradus_num::{Dual, Real64, closure, gradient, hessian, jacobian, scalar_fn, single, vector_fn};

fn close(got: &[f32], want: &[f64]) {
    assert_eq!(got.len(), want.len());
    for (&got, &want) in got.iter().zip(want) {
        assert!((f64::from(got) - want).abs() <= 1e-5 * want.abs().max(1.0), "{got} instead of {want}");
    }
}

fn f<R: Real64>(x: &[R]) -> R {
    let ring = x.iter().zip(x.iter().cycle().skip(1));
    ring.map(|(&x, &y)| if y > 0.5 { (x * y * 0.5).sin() } else { x.square() - y / 3.0 }).sum()
}

fn shifted<R: Real64>(x: &[R], y: &mut [R]) {
    for (i, y) in y.iter_mut().enumerate() {
        *y = (x[i % x.len()] * 2.0 - x[(i + 1) % x.len()]).tanh();
    }
}

#[test]
fn they_agree_with_double_precision() {
    // From a few inputs, where forward mode costs least, to many.
    for n in [1, 2, 5, 40, 300] {
        let x: Vec<f32> = (0..n).map(|i| (i * 7 % 11) as f32 / 8.0 - 0.5).collect();
        let wide: Vec<f64> = x.iter().map(|&x| x.into()).collect();
        let scalar = scalar_fn!(f);
        close(&single::gradient(&scalar, &x), &gradient(&scalar, &wide));
        close(&single::gradient(&closure(|x| f(x)), &x), &gradient(&scalar, &wide));
        let plain: Vec<_> = x.iter().map(|&x| Dual::<f32, 0>::constant(x)).collect();
        assert_eq!(single::value_and_gradient(&scalar, &x).0, f(&plain).primal);
        if n <= 40 {
            close(&single::hessian(&scalar, &x), &hessian(&scalar, &wide));
            close(&single::jacobian(&vector_fn!(shifted, 3), &x), &jacobian(&vector_fn!(shifted, 3), &wide));
            close(
                &single::jacobian(&vector_fn!(shifted, 60), &x),
                &jacobian(&vector_fn!(shifted, 60), &wide),
            );
            close(&single::jacobian(&vector_fn!(shifted, 1), &x), &jacobian(&vector_fn!(shifted, 1), &wide));
        }
    }
}
