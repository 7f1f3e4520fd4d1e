//! `f64` constants on the right of operators in generic code, at every number type and through every driver.

use gradus_num::{
    Dual, Lanes, Real, Real64, ScalarDriver, Tape, Taylor, Var, forward, gradient, hessian, jacobian,
    reverse, scalar_fn, vector_fn,
};

/// Every operator with a constant, and assignment, and a branch.
fn with_constants<R: Real64>(x: &[R]) -> R {
    let mut y = x[0] * 2.0 + 1.0;
    y -= 0.5;
    y *= 3.0;
    y += 0.25;
    y /= 7.0;
    let z = (x[1] / 3.0 - 4.0) % 2.5;
    if y > 1e3 { y } else { (y * z) % 10.0 }
}

/// The same with each constant made a number first.
fn with_numbers<R: Real>(x: &[R]) -> R {
    let k = R::from_f64;
    let mut y = x[0] * k(2.0) + k(1.0);
    y -= k(0.5);
    y *= k(3.0);
    y += k(0.25);
    y /= k(7.0);
    let z = (x[1] / k(3.0) - k(4.0)) % k(2.5);
    if y > k(1e3) { y } else { (y * z) % k(10.0) }
}

const X: [f64; 2] = [1.25, -3.5];

#[test]
fn every_number_takes_constants() {
    fn at<R: Real64>(number: impl Fn(f64) -> R) -> f64 {
        let x = X.map(number);
        let (constants, numbers) = (with_constants(&x), with_numbers(&x));
        assert!((constants.value() - numbers.value()).abs() < 1e-6);
        numbers.value()
    }
    let want = with_numbers(&X);
    let tape = Tape::new();
    let nested = Tape::new();
    let lanes = Tape::new();
    let near = [
        at(|x| x),
        at(Dual::<f64, 3>::constant),
        at(|x| Dual::<Dual<f64, 1>, 2>::variable(Dual::variable(x, 0), 1)),
        at(Taylor::<f64, 4>::variable),
        at(|x| Taylor::<Dual<f64, 2>, 3>::variable(Dual::variable(x, 1))),
        at(|x| tape.var(x)),
        at(|x| nested.var(Dual::<f64, 1>::variable(x, 0))),
        at(|x| lanes.var(Lanes([x; 4]))),
        at(|x| Lanes([x; 2])),
        at(|x| Dual::<Lanes<4>, 2>::variable(Lanes([x; 4]), 0)),
        at(Var::<f64>::constant),
    ];
    assert!(near.iter().all(|y| (y - want).abs() < 1e-15), "{near:?} {want}");
    assert!((at(|x| Dual::<f32, 1>::variable(x as f32, 0)) - want).abs() < 1e-6);
}

#[test]
fn derivatives_are_those_of_converted_constants() {
    let close = |a: &[f64], b: &[f64]| a.iter().zip(b).all(|(a, b)| (a - b).abs() <= 1e-15 * b.abs());
    let want = forward::gradient::<_, 2>(with_numbers, &X);
    assert!(close(&forward::gradient::<_, 2>(with_constants, &X), &want));
    assert!(close(&reverse::gradient(|x| with_constants(x), &X), &want));
    assert!(close(&gradient(&scalar_fn!(with_constants), &X), &want));
    let want = hessian(&scalar_fn!(with_numbers), &X);
    assert!(close(&hessian(&scalar_fn!(with_constants), &X), &want));
}

#[test]
fn a_constant_costs_what_a_converted_one_costs() {
    let constants = ScalarDriver::new(scalar_fn!(with_constants), &X).gradient_plan();
    let numbers = ScalarDriver::new(scalar_fn!(with_numbers), &X).gradient_plan();
    assert_eq!(constants.explain(), numbers.explain());
    let tape = Tape::new();
    let x = tape.vars(&X);
    let before = tape.len();
    let _ = (x[0] * 2.0 - 1.0) / 3.0 + 4.0;
    assert_eq!(tape.len(), before);
}

#[test]
fn functions_over_real_are_taken_as_before() {
    fn squares<R: Real>(x: &[R], y: &mut [R]) {
        y[0] = x[0] * x[0] + R::from_f64(1.0);
        y[1] = x.iter().copied().sum::<R>() * x[1];
    }
    assert_eq!(jacobian(&vector_fn!(squares, 2), &[3.0, 4.0]), [6.0, 0.0, 4.0, 11.0]);
}
