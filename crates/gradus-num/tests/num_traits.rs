//! Generic numerical code written over `num-traits` accepts our numbers.
#![cfg(feature = "num-traits")]

use gradus_num::{Dual, Tape, Taylor, Var, forward, reverse};
use num_traits::{FloatConst, FromPrimitive, Num, NumCast, One, Pow, Signed, Zero};

/// Horner's rule over nothing but `Num`.
fn polynomial<N: Num + Copy>(coefficients: &[N], x: N) -> N {
    coefficients.iter().rev().fold(N::zero(), |acc, &c| acc * x + c)
}

fn area<N: Num + FloatConst + FromPrimitive + Signed + Pow<i32, Output = N>>(radius: N) -> Option<N> {
    Some(N::PI() * radius.abs().pow(2) * N::from_f64(1.0)?)
}

#[test]
fn generic_code_is_differentiated() {
    let c = [1.0, 2.0, 3.0].map(Dual::<f64, 1>::constant);
    assert_eq!(forward::derivative(|x| polynomial(&c, x), 2.0), 14.0);
    let slope = forward::derivative(|r| area(r).expect("1 is representable"), 3.0);
    assert_eq!(slope, 6.0 * core::f64::consts::PI);
    let c = [1.0, 2.0, 3.0].map(Taylor::<f64, 3>::constant);
    assert_eq!(forward::taylor(|x| polynomial(&c, x), 2.0), [17.0, 14.0, 6.0]);
    assert_eq!(reverse::derivative(|x| polynomial(&[1.0, 2.0, 3.0].map(Var::constant), x), 2.0), 14.0);
    let slope = reverse::derivative(|r| area(r).expect("1 is representable"), 3.0);
    assert_eq!(slope, 6.0 * core::f64::consts::PI);
}

#[test]
fn zero_and_one_of_a_tape() {
    let tape = Tape::new();
    let (zero, one) = (Var::<f64>::zero(), Var::<f64>::one());
    assert!(zero.is_zero() && one.is_one() && !one.is_zero());
    // A recorded 0 is not neutral: something depends on it.
    assert!(!tape.var(0.0).is_zero());
    assert_eq!(tape.len(), Tape::<f64>::new().len() + 1);
    let x = tape.var(2.0);
    assert_eq!(tape.pullback(zero + x * one).wrt(x), 1.0);
}

#[test]
fn conversions() {
    type D = Dual<f64, 2>;
    assert_eq!(<D as NumCast>::from(3_i32), Some(D::constant(3.0)));
    assert_eq!(num_traits::ToPrimitive::to_f64(&D::variable(2.5, 1)), Some(2.5));
    assert!(num_traits::Zero::is_zero(&D::constant(0.0)));
    assert!(!num_traits::Zero::is_zero(&D::variable(0.0, 0)));
    assert_eq!(D::from_str_radix("1.5", 10).ok(), Some(D::constant(1.5)));
}
