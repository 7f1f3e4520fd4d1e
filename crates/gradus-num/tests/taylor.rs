//! Taylor series against nested dual numbers, for every operation.

use gradus_num::{Binary, Dual, Real, Scalar, Taylor, Unary, forward};
use proptest::prelude::*;

type D1 = Dual<f64, 1>;
type D2 = Dual<D1, 1>;
type D3 = Dual<D2, 1>;

fn cube(x: f64, v: f64) -> D3 {
    let first = D1::new(x, [v]);
    let second = D2::new(first, [D1::from_f64(v)]);
    D3::new(second, [D2::from_f64(v)])
}

fn orders(d: D3) -> [f64; 4] {
    let first = d.primal.primal;
    [first.primal, first.tangent[0], d.primal.tangent[0].tangent[0], d.tangent[0].tangent[0].tangent[0]]
}

fn agree(name: &str, series: Taylor<f64, 4>, nested: D3) {
    let nested = orders(nested);
    let scale: f64 = nested.iter().filter(|d| d.is_finite()).fold(0.0, |a, b| a.max(b.abs()));
    for k in 0..4 {
        let (a, b) = (series.derivative(k), nested[k]);
        let same = (a.is_nan() && b.is_nan()) || a == b || (a - b).abs() <= 2e-12 * (scale + 1e-3);
        assert!(same, "{name}, order {k}: series {a}, nested {b}");
    }
}

#[test]
fn every_unary_operation() {
    let more = [-3, -1, 0, 1, 2, 4, 7].map(Unary::Powi);
    for op in Unary::ALL.iter().copied().chain(more).chain([1, 2, 4].map(Unary::Polygamma)) {
        for x in [-30.5, -2.6, -0.93, -0.4, -1e-3, 1e-4, 0.3, 0.8, 1.0, 1.46, 1.7, 3.1, 22.3] {
            let (series, nested) = (Taylor::along(x, 0.7).unary(op), cube(x, 0.7).unary(op));
            if !nested.value().is_nan() && nested.parts_finite() {
                agree(&format!("{op:?} at {x}"), series, nested);
            }
        }
    }
}

#[test]
fn every_binary_operation() {
    for op in Binary::ALL.iter().copied() {
        for x in [-2.6, -0.93, 0.3, 1.7, 3.1] {
            for y in [-1.9, -0.4, 0.35, 0.8, 2.0, 5.5] {
                for (v, w) in [(0.7, -0.3), (1.0, 0.0), (0.0, 1.0)] {
                    let series = Taylor::along(x, v).binary(op, &Taylor::along(y, w));
                    let nested = cube(x, v).binary(op, &cube(y, w));
                    if !nested.value().is_nan() && nested.parts_finite() {
                        agree(&format!("{op:?} at {x}, {y} along {v}, {w}"), series, nested);
                    }
                }
            }
        }
    }
}

#[test]
fn edges() {
    let at_zero = |p: f64| Taylor::<f64, 4>::variable(0.0).pow_f64(p).coefficients;
    assert_eq!(at_zero(2.5), [0.0, 0.0, 0.0, f64::INFINITY]);
    assert_eq!(at_zero(2.0), [0.0, 0.0, 1.0, 0.0]);
    assert_eq!(at_zero(0.0), [1.0, 0.0, 0.0, 0.0]);
    assert_eq!(Taylor::<f64, 4>::variable(0.0).powi(3).coefficients, [0.0, 0.0, 0.0, 1.0]);
    assert_eq!(Taylor::<f64, 3>::variable(-2.0).powi(3).coefficients, [-8.0, 12.0, -6.0]);
    assert_eq!(Taylor::<f64, 3>::constant(0.0).sqrt().coefficients, [0.0; 3]);
    assert_eq!(Taylor::<f64, 3>::variable(0.0).tanh().coefficients, [0.0, 1.0, 0.0]);
    assert_eq!(Taylor::<f64, 1>::variable(1.0).exp().coefficients, [gradus_num::math::exp(1.0)]);
    assert_eq!((1.0 / Taylor::<f64, 5>::variable(1.0)).coefficients, [1.0, -1.0, 1.0, -1.0, 1.0]);
    assert_eq!(Taylor::<f64, 4>::variable(0.0).hypot(&Taylor::from_f64(0.0)).coefficients, [0.0; 4]);
    assert_eq!(format!("{:.0}", Taylor::<f64, 3>::variable(2.0).square()), "4 + 4 t + 1 t^2");
}

#[test]
fn high_order_exponential_and_arctangent() {
    let y = Taylor::<f64, 30>::variable(0.0).exp();
    for k in 0..30 {
        assert!((y.derivative(k) - 1.0).abs() < 1e-14);
    }
    let y = Taylor::<f64, 20>::variable(0.0).atan();
    for k in 0..10 {
        let expected = if k % 2 == 0 { 1.0 } else { -1.0 } / (2 * k + 1) as f64;
        assert!((y.coefficients[2 * k + 1] - expected).abs() < 1e-15);
        assert_eq!(y.coefficients[2 * k], 0.0);
    }
}

#[test]
fn a_series_of_dual_numbers() {
    // ∂/∂a of the third derivative in x of sin(a x) at a = 2, x = 0.5: -(3a² cos(ax) - a³x sin(ax)).
    let a = D1::variable(2.0, 0);
    let y = (Taylor::<D1, 4>::variable(D1::from_f64(0.5)) * Taylor::constant(a)).sin();
    let expected = -(12.0 * 1f64.cos() - 4.0 * 1f64.sin());
    assert!((y.derivative(3).tangent[0] - expected).abs() < 1e-13);
    assert_eq!(forward::taylor(|x: Taylor<f64, 3>| x * x, 3.0), [9.0, 6.0, 2.0]);
}

proptest! {
    #[test]
    fn composition_matches_nesting(x in 0.1..3.0f64, v in -2.0..2.0f64) {
        fn f<R: Real>(x: R) -> R {
            let wave = (x.square() + x.sin()).sqrt() / (R::one() + x.exp());
            (wave * x.log1p()).tanh() + x.powf(&wave) - x.hypot(&wave).erf()
        }
        let (series, nested) = (f(Taylor::<f64, 4>::along(x, v)), orders(f(cube(x, v))));
        for k in 0..4 {
            prop_assert!((series.derivative(k) - nested[k]).abs() <= 1e-9 * (1.0 + nested[k].abs()));
        }
    }
}
