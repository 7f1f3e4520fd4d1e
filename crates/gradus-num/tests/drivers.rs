//! Drivers: every mode and width gives the same derivatives, plans say what was chosen and why.

use gradus_num::{
    Mode, Real, ScalarDriver, ScalarFn, VectorDriver, derivative, directional, gradient, hessian, hvp,
    jacobian, jvp, laplacian, scalar_fn, taylor, value_and_gradient, vector_fn, vjp,
};

fn close(a: f64, b: f64) {
    assert!((a - b).abs() <= 1e-11 * (1.0 + b.abs()), "{a} is not {b}");
}

fn all_close(a: &[f64], b: &[f64]) {
    assert_eq!(a.len(), b.len());
    for (&a, &b) in a.iter().zip(b) {
        close(a, b);
    }
}

fn rosenbrock<R: Real>(x: &[R]) -> R {
    let mut sum = R::zero();
    for w in x.windows(2) {
        let (a, b) = (R::one() - w[0], w[1] - w[0] * w[0]);
        sum += a * a + R::from_f64(100.0) * b * b;
    }
    sum
}

fn rosenbrock_gradient(x: &[f64]) -> Vec<f64> {
    let mut g = vec![0.0; x.len()];
    for i in 0..x.len().saturating_sub(1) {
        let b = x[i + 1] - x[i] * x[i];
        g[i] += -2.0 * (1.0 - x[i]) - 400.0 * b * x[i];
        g[i + 1] += 200.0 * b;
    }
    g
}

fn rosenbrock_hessian(x: &[f64]) -> Vec<f64> {
    let n = x.len();
    let mut h = vec![0.0; n * n];
    for i in 0..n.saturating_sub(1) {
        h[i * n + i] += 2.0 - 400.0 * (x[i + 1] - 3.0 * x[i] * x[i]);
        h[(i + 1) * n + i + 1] += 200.0;
        h[i * n + i + 1] -= 400.0 * x[i];
        h[(i + 1) * n + i] -= 400.0 * x[i];
    }
    h
}

fn point(n: usize) -> Vec<f64> {
    (0..n).map(|i| 0.3 + 0.7 * ((i * 37 % 11) as f64) / 11.0).collect()
}

#[test]
fn scalar_drivers_agree_with_the_formulas_at_every_size_and_mode() {
    let f = scalar_fn!(rosenbrock);
    for n in [0, 1, 2, 3, 5, 8, 9, 16, 17, 33] {
        let x = point(n);
        let v: Vec<f64> = (0..n).map(|i| (i as f64 - 2.0) / 3.0).collect();
        let (want_g, want_h) = (rosenbrock_gradient(&x), rosenbrock_hessian(&x));
        let want_hv: Vec<f64> = (0..n).map(|i| (0..n).map(|j| want_h[i * n + j] * v[j]).sum()).collect();
        let slope: f64 = want_g.iter().zip(&v).map(|(g, v)| g * v).sum();
        for mode in [None, Some(Mode::Forward), Some(Mode::Reverse)] {
            let mut driver = ScalarDriver::new(f, &x);
            if let Some(mode) = mode {
                driver = driver.with_mode(mode);
                assert_eq!(driver.gradient_plan().mode(), mode);
                assert!(driver.gradient_plan().explain().contains("forced"));
            }
            for _ in 0..2 {
                let (mut g, mut h) = (vec![7.0; n], vec![7.0; n * n]);
                close(driver.value_and_gradient_into(&x, &mut g), rosenbrock(&x));
                all_close(&g, &want_g);
                g.fill(7.0);
                close(driver.hessian_into(&x, &mut g, &mut h), rosenbrock(&x));
                all_close(&g, &want_g);
                all_close(&h, &want_h);
                let mut hv = vec![7.0; n];
                let (value, along) = driver.hvp_into(&x, &v, &mut g, &mut hv);
                close(value, rosenbrock(&x));
                close(along, slope);
                all_close(&hv, &want_hv);
                close(driver.directional(&x, &v).1, slope);
                let mut series = [0.0; 3];
                driver.taylor_into(&x, &v, &mut series);
                close(series[0], rosenbrock(&x));
                close(series[1], slope);
                close(series[2], want_hv.iter().zip(&v).map(|(h, v)| h * v).sum());
                assert_eq!(taylor::<3>(&f, &x, &v), series);
                close(driver.laplacian(&x), (0..n).map(|i| want_h[i * n + i]).sum());
            }
        }
        all_close(&gradient(&f, &x), &want_g);
        all_close(&hessian(&f, &x), &want_h);
        all_close(&hvp(&f, &x, &v), &want_hv);
        close(directional(&f, &x, &v).1, slope);
        close(laplacian(&f, &x), (0..n).map(|i| want_h[i * n + i]).sum());
        close(value_and_gradient(&f, &x).0, rosenbrock(&x));
    }
}

fn mixed<R: Real>(x: &[R], y: &mut [R]) {
    let n = x.len();
    for (i, y) in y.iter_mut().enumerate() {
        *y = (x[i % n] * R::from_f64(0.5 + i as f64)).sin() * x[(i + 1) % n] + x[(2 * i) % n].exp();
    }
}

#[test]
fn vector_drivers_agree_between_modes_and_products() {
    for (n, m) in [(1, 1), (1, 9), (3, 2), (5, 17), (20, 3), (6, 6)] {
        let x = point(n);
        let outputs = m;
        struct F(usize);
        impl gradus_num::VectorFn for F {
            fn outputs(&self, _n: usize) -> usize {
                self.0
            }
            fn call<R: Real>(&self, x: &[R], y: &mut [R]) {
                mixed(x, y);
            }
        }
        let f = F(outputs);
        let mut y = vec![0.0; m];
        mixed(&x, &mut y);
        let results: Vec<Vec<f64>> = [Mode::Forward, Mode::Reverse]
            .into_iter()
            .map(|mode| {
                let mut driver = VectorDriver::new(&f, &x).with_mode(mode);
                let (mut value, mut j) = (vec![7.0; m], vec![7.0; m * n]);
                driver.jacobian_into(&x, &mut value, &mut j);
                driver.jacobian_into(&x, &mut value, &mut j);
                all_close(&value, &y);
                j
            })
            .collect();
        all_close(&results[0], &results[1]);
        all_close(&jacobian(&f, &x), &results[0]);
        let j = &results[0];
        let v: Vec<f64> = (0..n).map(|i| 1.0 - 0.3 * i as f64).collect();
        let w: Vec<f64> = (0..m).map(|i| 0.2 + 0.4 * i as f64).collect();
        let jv: Vec<f64> = (0..m).map(|i| (0..n).map(|k| j[i * n + k] * v[k]).sum()).collect();
        let wj: Vec<f64> = (0..n).map(|k| (0..m).map(|i| j[i * n + k] * w[i]).sum()).collect();
        all_close(&jvp(&f, &x, &v).1, &jv);
        all_close(&vjp(&f, &x, &w).1, &wj);
        all_close(&vjp(&f, &x, &w).0, &y);
    }
}

#[test]
fn an_output_left_alone_is_zero() {
    fn first_only<R: Real>(x: &[R], y: &mut [R]) {
        y[0] = x[0] * x[0];
    }
    for mode in [Mode::Forward, Mode::Reverse] {
        let mut driver = VectorDriver::new(vector_fn!(first_only, 2), &[3.0]).with_mode(mode);
        let (mut y, mut j) = ([9.0; 2], [9.0; 2]);
        for _ in 0..2 {
            driver.jacobian_into(&[3.0], &mut y, &mut j);
            assert_eq!((y, j), ([9.0, 0.0], [6.0, 0.0]));
        }
    }
}

#[test]
fn every_width_gives_the_same_jacobian() {
    fn call<R: Real>(x: &[R], y: &mut [R]) {
        mixed(x, y);
    }
    let (n, m) = (11, 19);
    let x = point(n);
    let jacobian_by = |mut driver: VectorDriver<_>| {
        let (mut y, mut j) = (vec![0.0; m], vec![0.0; m * n]);
        driver.jacobian_into(&x, &mut y, &mut j);
        j
    };
    let f = vector_fn!(call, 19);
    let want = jacobian_by(VectorDriver::new(f, &x));
    for mode in [Mode::Forward, Mode::Reverse] {
        for width in [1, 2, 4, 8, 16] {
            let driver = VectorDriver::new(f, &x).with_width(mode, width);
            let chosen = driver.plan().chosen();
            assert_eq!((chosen.mode, chosen.width), (mode, width));
            all_close(&jacobian_by(driver), &want);
        }
    }
}

#[test]
fn plans_follow_the_shapes() {
    fn one_in<R: Real>(x: &[R]) -> R {
        x[0].sin().exp()
    }
    let tiny = ScalarDriver::new(scalar_fn!(one_in), &[0.4]).gradient_plan();
    assert_eq!((tiny.mode(), tiny.chosen().width, tiny.chosen().passes), (Mode::Forward, 1, 1));
    let large = ScalarDriver::new(scalar_fn!(rosenbrock), &point(1000)).gradient_plan();
    assert_eq!((large.mode(), large.chosen().passes), (Mode::Reverse, 1));
    assert!(large.chosen().ratio < large.other().ratio);
    let text = large.explain();
    assert!(text.starts_with("1000 inputs, 1 output: 1 reverse sweep "), "{text}");
    assert!(text.contains("reverse chosen") && text.contains("forward would be"), "{text}");
    fn tall<R: Real>(x: &[R], y: &mut [R]) {
        for (i, y) in y.iter_mut().enumerate() {
            *y = x[0] * x[1] * R::from_usize(i);
        }
    }
    let tall = VectorDriver::new(vector_fn!(tall, 100), &[1.0, 2.0]).plan();
    assert_eq!((tall.mode(), tall.chosen().passes), (Mode::Forward, 1));
    let counts = ScalarDriver::new(scalar_fn!(rosenbrock), &point(3)).gradient_plan().counts();
    // Two terms of three differences or sums and four products, and the total from zero.
    assert_eq!((counts.sums, counts.products), (2 * 4, 2 * 4));
    // The counted entries are those that a tape writes.
    let mut tape = gradus_num::Tape::new();
    let mut g = [0.0; 3];
    gradus_num::reverse::value_and_gradient_into(&mut tape, |v| rosenbrock(v), &point(3), &mut g);
    assert_eq!(counts.entries, tape.len());
}

#[test]
fn derivative_of_one_number() {
    fn f<R: Real>(x: &[R]) -> R {
        x[0].powf(&R::from_f64(2.5))
    }
    close(derivative(&scalar_fn!(f), 4.0), 2.5 * 8.0);
    assert_eq!(derivative(&scalar_fn!(f), 0.0), 0.0);
}

#[test]
#[should_panic(expected = "made for 3 inputs")]
fn a_wrong_length_is_an_error() {
    ScalarDriver::new(scalar_fn!(rosenbrock), &point(3)).value_and_gradient_into(&[1.0], &mut [0.0]);
}

#[test]
fn a_driver_accepts_borrowed_functions() {
    let f = scalar_fn!(rosenbrock);
    assert_eq!(f.call(&[1.0, 1.0]), 0.0);
    assert_eq!(gradient(&&f, &[1.0, 1.0]), [0.0, 0.0]);
}

#[test]
fn sparse_matrices_are_coloured_unless_branches_depend_on_the_inputs() {
    let n = 40;
    let x = point(n);
    let mut driver = ScalarDriver::new(scalar_fn!(rosenbrock), &x);
    let plan = driver.hessian_plan();
    assert!(plan.is_coloured() && plan.explain().contains("coloured passes chosen"), "{plan}");
    let (mut g, mut h) = (vec![7.0; n], vec![7.0; n * n]);
    let far: Vec<f64> = x.iter().map(|x| 3.0 - x).collect();
    for at in [&x, &far] {
        close(driver.hessian_into(at, &mut g, &mut h), rosenbrock(at));
        all_close(&g, &rosenbrock_gradient(at));
        all_close(&h, &rosenbrock_hessian(at));
    }
    assert!(!driver.with_mode(Mode::Reverse).hessian_plan().is_coloured());

    /// Its second half is curved only where the first number is positive.
    fn branching<R: Real>(x: &[R]) -> R {
        let all = x.iter().map(|&x| x * x).sum::<R>();
        if x[0] > R::from_f64(0.0) { all + x[1] * x[2] } else { all }
    }
    let mut away = point(n);
    away[0] = -1.0;
    let mut driver = ScalarDriver::new(scalar_fn!(branching), &away);
    assert!(!driver.hessian_plan().is_coloured());
    driver.hessian_into(&x, &mut g, &mut h);
    assert_eq!((h[0], h[n + 2]), (2.0, 1.0));

    fn differences<R: Real>(x: &[R], y: &mut [R]) {
        for i in 0..y.len() {
            y[i] = x[i] * x[i] - x[(i + 1) % x.len()];
        }
    }
    let mut driver = VectorDriver::new(vector_fn!(differences, |n| n), &x);
    assert!(driver.plan().is_coloured(), "{}", driver.plan());
    let (mut y, mut j) = (vec![7.0; n], vec![7.0; n * n]);
    for at in [&x, &far] {
        driver.jacobian_into(at, &mut y, &mut j);
        for i in 0..n {
            close(y[i], at[i] * at[i] - at[(i + 1) % n]);
            for k in 0..n {
                let want = if k == i {
                    2.0 * at[i]
                } else if k == (i + 1) % n {
                    -1.0
                } else {
                    0.0
                };
                close(j[i * n + k], want);
            }
        }
    }
}

/// A constant below a root at 0, and a division by 0 that only an unchosen branch performs.
fn singular<R: Real>(x: &[R]) -> R {
    let nothing = R::from_f64(0.0);
    let sum = x.iter().map(|&x| (x * x).atan() / R::from_f64(-3.0)).sum::<R>();
    sum + nothing.sqrt() + nothing.log().exp() + x[0] * nothing
}

#[test]
fn unguarded_first_attempts_do_not_show() {
    fn by_array<const N: usize>(x: &[f64]) -> Vec<f64> {
        let x: [f64; N] = x.try_into().unwrap();
        gradus_num::value_and_gradient_array(&scalar_fn!(singular), &x).1.to_vec()
    }
    fn many<R: Real>(x: &[R], y: &mut [R]) {
        for (i, y) in y.iter_mut().enumerate() {
            *y = singular(&x[i..]);
        }
    }
    for n in [1, 2, 3, 4, 7, 8, 13, 16, 29] {
        let mut x = point(n);
        x[n / 2] = -0.0;
        // Closures at one number type are always guarded.
        let want = gradus_num::forward::gradient::<f64, 4>(singular, &x);
        assert!(want.iter().all(|g| g.is_finite()));
        let mut driver = ScalarDriver::new(scalar_fn!(singular), &x).with_mode(Mode::Forward);
        let bits = |g: &[f64]| g.iter().map(|g| g.to_bits()).collect::<Vec<_>>();
        for _ in 0..2 {
            let mut g = vec![7.0; n];
            let value = driver.value_and_gradient_into(&x, &mut g);
            assert_eq!(value, singular(&x));
            assert_eq!(bits(&g), bits(&want));
        }
        match n {
            1 => assert_eq!(bits(&by_array::<1>(&x)), bits(&want)),
            3 => assert_eq!(bits(&by_array::<3>(&x)), bits(&want)),
            7 => assert_eq!(bits(&by_array::<7>(&x)), bits(&want)),
            _ => {}
        }
        let mut driver = VectorDriver::new(vector_fn!(many, |n| n), &x).with_mode(Mode::Forward);
        let (mut y, mut j) = (vec![7.0; n], vec![7.0; n * n]);
        driver.jacobian_into(&x, &mut y, &mut j);
        assert_eq!(bits(&j[..n]), bits(&want));
        assert!(j.iter().all(|j| j.is_finite()));
    }
    // What is NaN stays NaN.
    fn undefined<R: Real>(x: &[R]) -> R {
        x[0] * x[1].atan2(&x[2])
    }
    let g = gradient(&scalar_fn!(undefined), &[1.0, 0.0, 0.0]);
    assert!(g[0] == 0.0 && g[1].is_nan() && g[2].is_nan(), "{g:?}");
}
