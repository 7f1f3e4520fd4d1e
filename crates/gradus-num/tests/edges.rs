//! Derivatives at the edges where automatic differentiation is commonly wrong; `docs/accuracy.md` shows the same rows.
//!
//! `cargo test -p gradus-num --test edges -- --nocapture` prints them.

use gradus_num::{Dual, Scalar, forward};

type D = Dual<f64, 1>;

/// One row: a label, the derivative, and the exact one.
fn check(label: &str, got: f64, exact: f64) {
    println!("{label:<34}{got:>24e}{exact:>24e}");
    let close = if exact.is_finite() {
        (got - exact).abs() <= 4.0 * f64::EPSILON * exact.abs()
    } else {
        got == exact
    };
    assert!(close, "{label}: {got:e} for {exact:e}");
}

fn first(label: &str, f: impl FnOnce(D) -> D, x: f64, exact: f64) {
    check(label, forward::derivative(f, x), exact);
}

fn second(label: &str, f: impl FnOnce(forward::Dual2<f64, 1>) -> forward::Dual2<f64, 1>, x: f64, exact: f64) {
    check(label, forward::second_derivative(f, x), exact);
}

#[test]
fn first_derivatives() {
    first("powf(2.5) at 0", |x| x.pow_f64(2.5), 0.0, 0.0);
    first("sqrt at 0", |x| x.sqrt(), 0.0, f64::INFINITY);
    first("cbrt at 0", |x| x.cbrt(), 0.0, f64::INFINITY);
    first("x + sqrt(constant 0)", |x| x + D::constant(0.0).sqrt(), 3.0, 1.0);
    first("x + sqrt(0 x) at 3", |x| x + (x * 0.0).sqrt(), 3.0, 1.0);
    first("tanh at 20", |x| x.tanh(), 20.0, 1.6993417021166355e-17);
    first("tanh at 800", |x| x.tanh(), 800.0, 0.0);
    first("expm1 at -40", |x| x.expm1(), -40.0, 4.248354255291589e-18);
    first("sigmoid at 40", |x| x.sigmoid(), 40.0, 4.248354255291589e-18);
    first("sigmoid at -800", |x| x.sigmoid(), -800.0, 0.0);
    first("log1p at -1 + 2^-52", |x| x.log1p(), -1.0 + 2f64.powi(-52), 2f64.powi(52));
    first("asinh at 1e200", |x| x.asinh(), 1e200, 1e-200);
    first("acosh at 1e200", |x| x.acosh(), 1e200, 1e-200);
    first("hypot(x, 1e200) at 1e200", |x| x.hypot(&D::constant(1e200)), 1e200, 0.5f64.sqrt());
    first("hypot(x, 1e-200) at 1e-200", |x| x.hypot(&D::constant(1e-200)), 1e-200, 0.5f64.sqrt());
    first("hypot(x, 0) at 0", |x| x.hypot(&D::constant(0.0)), 0.0, 0.0);
    first("atan2(y, -1) at 0", |y| y.atan2(&D::constant(-1.0)), 0.0, -1.0);
    first("atan2(1, x) at 0", |x| D::constant(1.0).atan2(&x), 0.0, -1.0);
    first("atan2(y, 1e-200) at 1e-200", |y| y.atan2(&D::constant(1e-200)), 1e-200, 5e199);
    first("1e-200/x at 1e-200", |x| 1e-200 / x, 1e-200, -1e200);
    first("sinc at 1e-9", |x| x.sinc(), 1e-9, -1e-9 / 3.0);
    first("max(x, x) at 1", |x| x.max(&x), 1.0, 1.0);
}

#[test]
fn second_derivatives() {
    second("powf(2) at 0", |x| x.pow_f64(2.0), 0.0, 2.0);
    second("asin at 1e-9", |x| x.asin(), 1e-9, 1e-9);
    second("tanh at 1e-9", |x| x.tanh(), 1e-9, -2e-9);
    second("sigmoid at 1e-9", |x| x.sigmoid(), 1e-9, -1.25e-10);
    second("atan at 1e100", |x| x.atan(), 1e100, -2e-300);
    second("sinc at 1e-9", |x| x.sinc(), 1e-9, -1.0 / 3.0);
    second("hypot(x, 1) at 1e8", |x| x.hypot(&Dual::constant(Dual::constant(1.0))), 1e8, 1e-24);
}
