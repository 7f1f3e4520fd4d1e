//! Dual numbers: agreement with differences, nesting, strong zeros, operators and the perturbation-confusion traps.

use gradus_num::{Dual, Real, Scalar, Unary, forward};
use proptest::prelude::*;

type D1 = Dual<f64, 1>;
type D2 = Dual<D1, 1>;

fn physics<R: Real>(x: &[R]) -> R {
    let r = (x[0] * x[0] + x[1] * x[1] + x[2].square()).sqrt();
    (x[3] * r).sin() * (-x[4] * r).exp() / (r + x[5].square() + R::one()) + x[0].atan2(&x[1])
}

#[test]
fn nested_equals_differences_of_the_first() {
    for op in Unary::ALL.iter().copied().chain([Unary::Powi(5), Unary::Powi(-2), Unary::Polygamma(2)]) {
        for x in [-2.6, -0.4, 0.3, 0.8, 1.7, 3.1] {
            let first = |x: f64| Dual::<f64, 1>::variable(x, 0).unary(op).tangent[0];
            let second = Dual::variable(Dual::variable(x, 0), 0).unary(op);
            let second: D2 = second;
            if second.value().is_nan() || first(x).is_nan() || !second.parts_finite() {
                continue;
            }
            let h = 1e-5;
            let difference = (first(x + h) - first(x - h)) / (2.0 * h);
            if difference.is_nan() {
                continue;
            }
            let got = second.tangent[0].tangent[0];
            let scale = 1.0 + first(x).abs() + difference.abs();
            assert!((got - difference).abs() < 1e-5 * scale, "{op:?} at {x}: {got} against {difference}");
        }
    }
}

#[test]
fn drivers_agree_for_every_width() {
    let x = [0.7, -1.1, 0.4, 1.3, 0.2, 0.9];
    let g1 = forward::gradient::<_, 1>(physics, &x);
    for (i, g) in g1.iter().enumerate() {
        let h = 1e-6;
        let (mut low, mut high) = (x, x);
        low[i] -= h;
        high[i] += h;
        assert!((g - (physics(&high) - physics(&low)) / (2.0 * h)).abs() < 1e-8);
    }
    assert_eq!(forward::gradient::<_, 2>(physics, &x), g1);
    assert_eq!(forward::gradient::<_, 4>(physics, &x), g1);
    assert_eq!(forward::gradient::<_, 8>(physics, &x), g1);
    assert_eq!(forward::gradient::<_, 16>(physics, &x), g1);
    let h1 = forward::hessian::<_, 1>(physics, &x);
    assert_eq!(forward::hessian::<_, 4>(physics, &x), h1);
    let v = [0.3, -0.2, 0.9, 0.1, -0.5, 0.4];
    let hv = forward::hvp::<_, 4>(physics, &x, &v);
    let mut curvature = 0.0;
    let mut trace = 0.0;
    for i in 0..6 {
        let row: f64 = (0..6).map(|j| h1[i * 6 + j] * v[j]).sum();
        assert!((hv[i] - row).abs() < 1e-13);
        curvature += row * v[i];
        trace += h1[i * 7];
        for j in 0..6 {
            assert_eq!(h1[i * 6 + j], h1[j * 6 + i]);
        }
    }
    let (value, slope, second) = forward::second_directional(physics, &x, &v);
    let (value1, slope1) = forward::directional(physics, &x, &v);
    assert_eq!((value, slope), (value1, slope1));
    assert!((second - curvature).abs() < 1e-13);
    assert!((forward::laplacian(physics, &x) - trace).abs() < 1e-13);
    let (mut value, mut jac) = ([0.0; 2], [0.0; 12]);
    let f = |x: &[Dual<f64, 4>], y: &mut [Dual<f64, 4>]| {
        y[0] = physics(x);
        y[1] = x[5] * 2.0;
    };
    forward::jacobian_into(f, &x, &mut Vec::new(), &mut value, &mut jac);
    assert_eq!((jac[..6].to_vec(), jac[11], value[1]), (g1, 2.0, 1.8));
    assert_eq!(forward::jacobian(|x: &[Dual<f64, 4>]| vec![physics(x), x[5] * 2.0], &x), jac);
}

#[test]
fn empty_inputs() {
    assert_eq!(forward::value_and_gradient(|_: &[Dual<f64, 4>]| Dual::constant(3.0), &[]), (3.0, vec![]));
    assert!(forward::hessian::<f64, 4>(|_| Dual::from_f64(1.0), &[]).is_empty());
    assert!(forward::jacobian(|_: &[Dual<f64, 4>]| [Dual::from_f64(1.0)], &[]).is_empty());
}

#[test]
fn zero_tangents_survive_infinite_slopes() {
    let constant = D1::constant(0.0);
    assert_eq!(constant.sqrt().tangent[0], 0.0);
    assert_eq!(constant.cbrt().tangent[0], 0.0);
    assert_eq!((D1::constant(f64::INFINITY) * D1::variable(2.0, 0)).tangent[0], f64::INFINITY);
    let mixed = Dual::<f64, 2>::variable(3.0, 0) * Dual::constant(f64::INFINITY);
    assert_eq!(mixed.tangent[1], 0.0);
    assert_eq!(D1::constant(-2.0).powf(&D1::variable(3.0, 0)).primal, -8.0);
    assert_eq!(D1::variable(-2.0, 0).powf(&D1::constant(3.0)).tangent[0], 12.0);
    assert_eq!(D1::variable(0.0, 0).pow_f64(2.5).tangent[0], 0.0);
    // where(x > 0, sqrt(x), 0) at 0.
    let x = D1::variable(0.0, 0);
    let guarded = D1::select(&(x > D1::from_f64(0.0)), &x.sqrt(), &D1::from_f64(0.0));
    assert_eq!(guarded.tangent[0], 0.0);
    // The same one level up: f(x) = x^1.5 has f'(0) = 0 and f''(0) = ∞; a constant has neither.
    let inner = D2::constant(D1::variable(0.0, 0)).pow_f64(1.5);
    assert_eq!(inner.tangent[0].tangent[0], 0.0);
}

#[test]
fn mixed_operators() {
    let x = D1::variable(4.0, 0);
    assert_eq!((1.0 + x).tangent, [1.0]);
    assert_eq!((2.0 - x).tangent, [-1.0]);
    assert_eq!((2.0 / x).tangent, [-0.125]);
    assert_eq!((x / 2.0).tangent, [0.5]);
    assert_eq!((3.0 * &x).tangent, [3.0]);
    assert_eq!((x % 3.0).tangent, [1.0]);
    assert_eq!((11.0 % x).tangent, [-2.0]);
    let (a, b) = (&x, &x);
    assert_eq!(((a + b).tangent, (a * x).tangent, (x - b).tangent), ([2.0], [8.0], [0.0]));
    let mut y = x;
    y += 1.0;
    y *= x;
    y -= &x;
    y /= 2.0;
    assert_eq!((y.primal, y.tangent), (8.0, [4.0]));
    assert_eq!([x, x, x].iter().sum::<D1>().tangent, [3.0]);
    assert_eq!([x, x].into_iter().product::<D1>().tangent, [8.0]);
    assert!(x > 3.0 && x == 4.0);
    assert_eq!(format!("{:.1}", x), "4.0 + [1.0]ε");
    let z = D2::variable(x, 0);
    assert_eq!((z * 2.0 + 1.0).tangent[0].primal, 2.0);
}

/// Siskind & Pearlmutter, "Perturbation confusion and referential transparency" (2005) and "Nesting forward-mode
/// AD in a functional framework" (2008): inner derivatives must not see the outer perturbation as theirs.
#[test]
fn perturbation_confusion() {
    use forward::derivative;
    // d/dx (x d/dy (x + y)|y=1)|x=1 = 1, not 2.
    let d = derivative(|x: D1| x * derivative(|y| Dual::constant(x) + y, Dual::from_f64(1.0)), 1.0);
    assert_eq!(d, 1.0);
    // d/dx (x d/dy (x y)|y=2)|x=1 = d/dx x² = 2.
    let d = derivative(|x: D1| x * derivative(|y| Dual::constant(x) * y, Dual::from_f64(2.0)), 1.0);
    assert_eq!(d, 2.0);
    // d/dx d/dy x²y² at y = x: the argument itself is perturbed. g(x) = 2x³, g' = 6x².
    let d = derivative(|x: D1| derivative(|y| Dual::constant(x * x) * y * y, x), 3.0);
    assert_eq!(d, 54.0);
    // A function that returns a function: s(u)(f)(x) = f(x + u); D(s)(0)(f)(y) = f'(y), also applied twice.
    let shift = |f: fn(D2) -> D2, x: D2, u: D2| f(x + u);
    let d = derivative(
        |u: D2| shift(|z| z.exp(), shift(|z| z * z, Dual::from_f64(1.5), u), u),
        Dual::variable(0.0, 0),
    );
    // h(u) = exp((1.5 + u)² + u): h'(0) = e^2.25 (3 + 1).
    assert!((d.primal - 4.0 * 2.25_f64.exp()).abs() < 1e-12);
    // A reference assigned within the inner call keeps the outer perturbation.
    let d = derivative(
        |x: D1| {
            let mut kept = x;
            let inner = derivative(
                |y: D2| {
                    kept = y.primal * x;
                    y * y
                },
                x,
            );
            kept * inner
        },
        2.0,
    );
    // kept = x², inner = 2x: d/dx 2x³ = 24.
    assert_eq!(d, 24.0);
    // A constant inner function gives an exactly zero inner derivative.
    let d = derivative(|x: D1| x + derivative(|_| Dual::constant(x), x), 5.0);
    assert_eq!(d, 1.0);
    // An inner Hessian within an outer gradient: ∇ tr ∇²(x³y) = ∇ 6xy.
    let g = forward::gradient(|x: &[D1]| forward::laplacian(|z| z[0] * z[0] * z[0] * z[1], x), &[2.0, 5.0]);
    assert_eq!(g, [30.0, 12.0]);
}

/// Traps that other dual-number libraries fell into and fixed.
#[test]
fn known_regressions() {
    let at = |f: fn(D1) -> D1, x: f64| f(D1::variable(x, 0)).tangent[0];
    // Comparison and branch on equal primals: the tangent must not take part.
    assert!(D1::variable(1.0, 0) == D1::constant(1.0));
    assert!(D1::variable(1.0, 0) <= D1::constant(1.0));
    // x^0 and 0^0.
    assert_eq!(at(|x| x.powi(0), 0.0), 0.0);
    assert_eq!(at(|x| x.pow_f64(0.0), 0.0), 0.0);
    assert_eq!(at(|x| x.powi(1), 0.0), 1.0);
    assert_eq!(at(|x| x.pow_f64(1.0), 0.0), 1.0);
    assert_eq!(at(|x| x.pow_f64(2.0), 0.0), 0.0);
    // Second derivative of x² through pow at 0 is 2.
    assert_eq!(forward::second_derivative(|x| x.pow_f64(2.0), 0.0), 2.0);
    assert_eq!(forward::second_derivative(|x| x.powi(2), 0.0), 2.0);
    assert_eq!(forward::second_derivative(|x| x.powi(3), 0.0), 0.0);
    // 2^x and x^x.
    assert!((at(|x| D1::from_f64(2.0).powf(&x), 3.0) - 8.0 * 2.0_f64.ln()).abs() < 1e-15);
    assert!((at(|x| x.powf(&x), 2.0) - 4.0 * (2.0_f64.ln() + 1.0)).abs() < 1e-15);
    assert_eq!(at(|x| D1::from_f64(0.0).powf(&x), 2.0), 0.0);
    // hypot and atan2 at the axes and the origin.
    assert_eq!(at(|x| x.hypot(&D1::from_f64(0.0)), 0.0), 0.0);
    assert_eq!(at(|x| x.hypot(&D1::from_f64(0.0)), -2.0), -1.0);
    assert_eq!(at(|y| y.atan2(&D1::from_f64(-1.0)), 0.0), -1.0);
    // max of a NaN is a NaN.
    assert!(D1::variable(1.0, 0).max(&D1::from_f64(f64::NAN)).is_nan());
    // Even functions at 0, second order.
    assert_eq!(forward::second_derivative(|x| x.cosh(), 0.0), 1.0);
    assert_eq!(forward::second_derivative(|x| x.softplus(), 0.0), 0.25);
    assert_eq!(forward::second_derivative(|x| x.abs(), 0.0), 0.0);
    let tie = |x: D2| x.log_add_exp(&D2::from_f64(1.0));
    assert_eq!(forward::second_derivative(tie, 1.0), 0.25);
    let third = |x: Dual<D2, 1>| x.tanh();
    let x = Dual::variable(Dual::variable(Dual::variable(0.0, 0), 0), 0);
    assert_eq!(third(x).tangent[0].tangent[0].tangent[0], -2.0);
}

proptest! {
    #[test]
    fn product_and_quotient_rules(a in -1e3..1e3f64, b in 0.1..1e3f64, da in -1e3..1e3f64, db in -1e3..1e3f64) {
        let (x, y) = (D1::new(a, [da]), D1::new(b, [db]));
        let close = |p: f64, q: f64| (p - q).abs() <= 1e-12 * (p.abs() + q.abs() + 1e3);
        prop_assert!(close((x * y).tangent[0], da * b + a * db));
        prop_assert!(close((x / y).tangent[0], (da * b - a * db) / (b * b)));
        prop_assert!(close(((x / y) * y).tangent[0], da));
    }

    #[test]
    fn tangents_are_linear(x in 0.05..0.95f64, v in -5.0..5.0f64, k in -5.0..5.0f64) {
        for op in Unary::ALL {
            let once = D1::new(x, [v]).unary(*op).tangent[0];
            let scaled = D1::new(x, [k * v]).unary(*op).tangent[0];
            if once.is_finite() {
                prop_assert!((scaled - k * once).abs() <= 1e-14 * (k * once).abs());
            }
        }
    }
}
