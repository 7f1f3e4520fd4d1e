//! Every rule against a central difference of the value, at ordinary points and in every order of arguments.

use gradus_num::{Binary, Scalar, Unary};

/// Points at which every function of one argument that is defined there is smooth.
const POINTS: [f64; 9] = [-3.3, -1.7, -0.63, -0.21, 0.17, 0.44, 0.83, 1.9, 4.6];

fn close(a: f64, b: f64) -> bool {
    (a - b).abs() <= 1e-7 * (1.0 + a.abs().max(b.abs()))
}

#[test]
fn unary_rules_match_differences() {
    let parameters = [-3, -2, -1, 0, 1, 2, 3, 4, 7].map(Unary::Powi);
    let orders = [0, 1, 2, 3, 5].map(Unary::Polygamma);
    for op in Unary::ALL.iter().copied().chain(parameters).chain(orders) {
        let mut checked = 0;
        for x in POINTS {
            let h = 1e-5;
            let (low, high) = ((x - h).unary(op), (x + h).unary(op));
            if low.is_nan() || high.is_nan() {
                continue;
            }
            let y = x.unary(op);
            let slope = op.derivative(&x, &y);
            let difference = (high - low) / (2.0 * h);
            let scale = if matches!(op, Unary::Polygamma(_)) { 1e-3 } else { 1.0 };
            assert!(close(slope * scale, difference * scale), "{op:?} at {x}: {slope} against {difference}");
            checked += 1;
        }
        assert!(checked >= 2, "{op:?} was checked at {checked} points");
    }
}

#[test]
fn binary_rules_match_differences() {
    for op in Binary::ALL.iter().copied() {
        for x in POINTS {
            for y in [-2.3, -0.7, 0.31, 0.9, 1.6, 5.2] {
                let h = 1e-6;
                let out = x.binary(op, &y);
                let jumps = op == Binary::Rem && (x / y - (x / y).round()).abs() < 1e-3;
                if out.is_nan() || jumps {
                    continue;
                }
                let (px, py) = op.partials(&x, &y, &out);
                let dx = ((x + h).binary(op, &y) - (x - h).binary(op, &y)) / (2.0 * h);
                let dy = (x.binary(op, &(y + h)) - x.binary(op, &(y - h))) / (2.0 * h);
                assert!(close(px, dx), "{op:?} at {x}, {y}: {px} against {dx} in the first");
                assert!(close(py, dy), "{op:?} at {x}, {y}: {py} against {dy} in the second");
            }
        }
    }
}

#[test]
fn edges() {
    let d = |op: Unary, x: f64| op.derivative(&x, &x.unary(op));
    assert_eq!(d(Unary::Sqrt, 0.0), f64::INFINITY);
    assert_eq!(d(Unary::Cbrt, 0.0), f64::INFINITY);
    assert_eq!(d(Unary::Abs, 0.0), 0.0);
    assert_eq!(d(Unary::Powi(0), 0.0), 0.0);
    assert_eq!(d(Unary::Powi(1), 0.0), 1.0);
    assert_eq!(d(Unary::Asinh, 1e200), 1e-200);
    assert_eq!(d(Unary::Acosh, 1e200), 1e-200);
    assert_eq!(d(Unary::Powi(i32::MIN), 1.0), f64::from(i32::MIN));
    let p = |op: Binary, x: f64, y: f64| op.partials(&x, &y, &x.binary(op, &y));
    assert_eq!(p(Binary::Pow, 0.0, 2.5), (0.0, 0.0));
    assert_eq!(p(Binary::Pow, 0.0, 1.0), (1.0, 0.0));
    assert_eq!(p(Binary::Pow, 0.0, 0.0).0, 0.0);
    assert_eq!(p(Binary::Pow, 0.0, 0.25).0, f64::INFINITY);
    assert_eq!(p(Binary::Pow, -2.0, 3.0).0, 12.0);
    assert_eq!(p(Binary::Hypot, 0.0, 0.0), (0.0, 0.0));
    assert_eq!(p(Binary::Hypot, 1e200, 0.0), (1.0, 0.0));
    assert_eq!(p(Binary::Hypot, -3e-200, 4e-200), (-0.6, 0.8));
    assert_eq!(p(Binary::Atan2, 0.0, 2e-200), (5e199, -0.0));
    assert_eq!(p(Binary::Div, 1e-200, 1e-200).1, -1e200);
    assert_eq!(p(Binary::Max, 2.0, 2.0), (0.5, 0.5));
    assert_eq!(p(Binary::Min, 1.0, 2.0), (1.0, 0.0));
    assert_eq!(p(Binary::Rem, -7.5, 2.0), (1.0, 3.0));
}

#[test]
fn names_and_reads_cover_every_operation() {
    for op in Unary::ALL {
        assert!(!op.name().is_empty());
        // What is declared unread may hold anything.
        let (x, y) = (0.3_f64, 0.3_f64.unary(*op));
        let slope = op.derivative(&x, &y);
        use gradus_num::Reads::*;
        match op.reads() {
            Nothing => assert_eq!(op.derivative(&f64::NAN, &f64::NAN), slope),
            Input => assert!(same(op.derivative(&x, &f64::NAN), slope), "{op:?}"),
            Output => assert!(same(op.derivative(&f64::NAN, &y), slope), "{op:?}"),
            Both => {}
        }
    }
    for op in Binary::ALL {
        assert!(!op.name().is_empty());
        if op.reads() == gradus_num::Reads::Input {
            let (a, b) = op.partials(&0.3, &0.4, &f64::NAN);
            assert!(!a.is_nan() && !b.is_nan(), "{op:?}");
        }
    }
}

fn same(a: f64, b: f64) -> bool {
    a == b || (a.is_nan() && b.is_nan())
}
