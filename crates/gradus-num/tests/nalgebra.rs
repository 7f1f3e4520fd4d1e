//! Matrices of `nalgebra` whose entries carry derivatives.
#![cfg(feature = "nalgebra")]

use gradus_num::{Dual, Real, Taylor, forward};
use nalgebra::{ComplexField, DMatrix, DVector, Matrix3, RealField, Vector3};

/// `A(t) = A + t B`, symmetric and positive definite at 0.
fn at<R: RealField + Copy>(t: R) -> Matrix3<R> {
    let k = |x: f64| nalgebra::convert::<f64, R>(x);
    let a = [4.0, 1.0, -0.5, 1.0, 3.0, 0.25, -0.5, 0.25, 2.0].map(k);
    let b = [1.0, -2.0, 0.5, -2.0, 0.0, 3.0, 0.5, 3.0, -1.0].map(k);
    Matrix3::from_iterator(a.iter().zip(&b).map(|(&a, &b)| a + t * b))
}

fn right<R: RealField + Copy>() -> Vector3<R> {
    Vector3::from([1.0, -2.0, 3.0].map(|x| nalgebra::convert::<f64, R>(x)))
}

/// `-A⁻¹ B x` with `A x = b`.
fn exact() -> (Vector3<f64>, Vector3<f64>) {
    let inverse = at(0.0).try_inverse().unwrap();
    let x = inverse * right::<f64>();
    (x, -(inverse * (at(1.0) - at(0.0)) * x))
}

fn check(solution: &[Dual<f64, 1>]) {
    let (value, slope) = exact();
    for (i, got) in solution.iter().enumerate() {
        assert!((got.primal - value[i]).abs() < 1e-14 && (got.tangent[0] - slope[i]).abs() < 1e-13, "{got}");
    }
}

#[test]
fn solutions_carry_derivatives() {
    let t = Dual::<f64, 1>::variable(0.0, 0);
    check(at(t).lu().solve(&right()).unwrap().as_slice());
    check(at(t).cholesky().unwrap().solve(&right()).as_slice());
    check(at(t).qr().solve(&right()).unwrap().as_slice());
    check(at(t).full_piv_lu().solve(&right()).unwrap().as_slice());
    check((at(t).try_inverse().unwrap() * right::<Dual<f64, 1>>()).as_slice());
    let large = DMatrix::from_fn(3, 3, |i, j| at(t)[(i, j)]);
    check(large.lu().solve(&DVector::from_fn(3, |i, _| right()[i])).unwrap().as_slice());
}

#[test]
fn determinants_to_the_third_order() {
    // det A(t) is a cubic in t; its coefficients from four values.
    let d: [f64; 4] = forward::taylor(|t: Taylor<f64, 4>| at(t).determinant(), 0.0);
    let p: Vec<f64> = (-1..3).map(|t| at(f64::from(t)).determinant()).collect();
    assert!((d[0] - p[1]).abs() < 1e-12);
    assert!((d[2] - (p[0] - 2.0 * p[1] + p[2])).abs() < 1e-12);
    assert!((d[3] - (p[3] - 3.0 * p[2] + 3.0 * p[1] - p[0])).abs() < 1e-11);
    // Jacobi's formula: (det A)' = det A tr(A⁻¹ B).
    let trace = (at(0.0).try_inverse().unwrap() * (at(1.0) - at(0.0))).trace();
    assert!((d[1] - d[0] * trace).abs() < 1e-12);
    let nested = forward::second_derivative(|t| at(t).cholesky().unwrap().determinant(), 0.0);
    assert!((nested - d[2]).abs() < 1e-11);
}

#[test]
fn singular_matrices_are_told() {
    type D = Dual<f64, 1>;
    let singular = Matrix3::<D>::from_element(D::constant(1.0));
    assert!(singular.lu().solve(&right()).is_none());
    assert!((-at(D::variable(0.0, 0))).cholesky().is_none());
}

#[test]
fn norms_and_functions() {
    type D = Dual<f64, 2>;
    let x = Vector3::new(D::variable(3.0, 0), D::variable(4.0, 1), D::constant(0.0));
    assert!((x.norm().tangent[0] - 0.6).abs() < 1e-15 && (x.norm().tangent[1] - 0.8).abs() < 1e-15);
    assert_eq!(ComplexField::trunc(D::variable(-2.5, 0)).primal, -2.0);
    assert_eq!(ComplexField::fract(D::variable(-2.5, 0)).tangent, [1.0, 0.0]);
    assert_eq!(
        RealField::clamp(D::variable(5.0, 0), D::constant(0.0), D::variable(4.0, 1)).tangent,
        [0.0, 1.0]
    );
    assert_eq!(RealField::copysign(D::variable(2.0, 0), D::constant(-1.0)).tangent, [-1.0, 0.0]);
    assert!(ComplexField::try_sqrt(D::constant(-1.0)).is_none());
    assert_eq!(<D as RealField>::two_pi().value(), core::f64::consts::TAU);
    let single = Matrix3::from_fn(|i, j| Dual::<f32, 1>::variable(if i == j { 2.0 } else { 0.5 }, 0));
    assert!(Real::is_finite(&single.lu().determinant()));
}
