//! Mixed partial derivatives of any order, against closed forms, differences and the other drivers.

use gradus_num::{Dual, Real64, Scalar, ScalarFn, forward, hessian, partial, scalar_fn};

fn close(got: f64, want: f64) {
    assert!((got - want).abs() <= 1e-12 * want.abs().max(1.0), "{got} instead of {want}");
}

#[test]
fn products_of_functions_of_one_argument() {
    fn f<R: Real64>(x: &[R]) -> R {
        x[0].exp() * x[1].sin() * x[2].powi(5) / x[3]
    }
    let x = [0.3, 0.7, 1.5, 2.0];
    let sine = [x[1].sin(), x[1].cos(), -x[1].sin(), -x[1].cos()];
    let power = |k: i32| (0..k).map(|i| f64::from(5 - i)).product::<f64>() * x[2].powi(5 - k);
    let inverse = |k: i32| (1..=k).map(|i| -f64::from(i)).product::<f64>() / x[3].powi(k + 1);
    macro_rules! check {
        ($([$a:expr, $b:expr, $c:expr, $d:expr])*) => {$(
            close(partial!(f, [$a, $b, $c, $d], x), x[0].exp() * sine[$b] * power($c) * inverse($d));
        )*};
    }
    check!([0, 0, 0, 0] [1, 0, 0, 0] [0, 0, 3, 0] [0, 1, 0, 1] [2, 1, 1, 0] [0, 3, 5, 0] [1, 2, 0, 4] [3, 3, 3, 3]);
}

/// Nothing separates here.
fn coupled<R: Real64>(x: &[R]) -> R {
    (x[0] * x[1] - x[2] / 2.0).sin() / (x[1] * x[1] + x[2].exp()) + x[0].atan2(&x[2])
}

#[test]
fn second_orders_are_the_hessian() {
    let x = [0.4, -1.1, 0.8];
    let h = hessian(&scalar_fn!(coupled), &x);
    let got = [
        partial!(coupled, [2, 0, 0], x),
        partial!(coupled, [1, 1, 0], x),
        partial!(coupled, [1, 0, 1], x),
        partial!(coupled, [1, 1, 0], x),
        partial!(coupled, [0, 2, 0], x),
        partial!(coupled, [0, 1, 1], x),
        partial!(coupled, [1, 0, 1], x),
        partial!(coupled, [0, 1, 1], x),
        partial!(coupled, [0, 0, 2], x),
    ];
    got.iter().zip(&h).for_each(|(&got, &want)| close(got, want));
}

#[test]
fn higher_orders_are_differences_of_lower_ones() {
    let x = [0.4, -1.1, 0.8];
    let h = 1e-4;
    let moved = |i: usize, h: f64| {
        let mut x = x;
        x[i] += h;
        x
    };
    let near = |got: f64, above: f64, below: f64| {
        let slope = (above - below) / (2.0 * h);
        assert!((got - slope).abs() <= 1e-5 * slope.abs().max(1.0), "{got} instead of {slope}");
    };
    macro_rules! check {
        ($($variable:literal: $high:tt from $low:tt;)*) => {$(
            near(
                partial!(coupled, $high, x),
                partial!(coupled, $low, moved($variable, h)),
                partial!(coupled, $low, moved($variable, -h)),
            );
        )*};
    }
    check! {
        2: [0, 0, 3] from [0, 0, 2];
        0: [1, 1, 1] from [0, 1, 1];
        1: [2, 2, 1] from [2, 1, 1];
        2: [1, 0, 4] from [1, 0, 3];
        0: [3, 2, 1] from [2, 2, 1];
    }
}

#[test]
fn along_one_argument_it_is_the_series() {
    let d: [f64; 7] = forward::taylor(|t| coupled(&[t, (-1.1).into(), 0.8.into()]), 0.4);
    close(partial!(coupled, [6, 0, 0], [0.4, -1.1, 0.8]), d[6]);
    close(partial!(coupled, [0, 0, 0], [0.4, -1.1, 0.8]), d[0]);
}

#[test]
fn structs_closures_and_inner_derivatives() {
    struct Weighted(Vec<f64>);
    impl ScalarFn for Weighted {
        fn call<R: Real64>(&self, x: &[R]) -> R {
            x.iter().zip(&self.0).map(|(&x, &w)| x.powi(3) * w).sum::<R>().square()
        }
    }
    let f = Weighted(vec![2.0, 0.5]);
    // (2 x³ + y³/2)²: ∂⁴/∂x²∂y² = 12 x · 3 y · 2.
    close(partial!(|x| f.call(x), [2, 2], [1.5, 2.0]), 2.0 * (12.0 * 1.5) * (3.0 * 2.0));
    // ∂³/∂x²∂y of x² ∂/∂s (s y)² at s = 3, which is x² · 6 y².
    let inner = partial!(
        |x| x[0] * x[0] * forward::derivative(|s| (s * Dual::constant(x[1])).square(), 3.0.into()),
        [2, 1],
        [1.0, 5.0]
    );
    close(inner, 2.0 * 12.0 * 5.0);
}

#[test]
#[should_panic = "has 2 arguments, but 3 orders are given"]
fn an_order_for_each_argument() {
    let _ = partial!(|x| x[0] * x[1], [1, 1, 0], [1.0, 2.0]);
}
