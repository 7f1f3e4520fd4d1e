//! Arrays of `ndarray` whose elements carry derivatives.
#![cfg(feature = "ndarray")]

use gradus_num::{Dual, Taylor};
use ndarray::array;

#[test]
fn scalars_on_the_right_of_arrays() {
    let x = Dual::<f64, 1>::variable(3.0, 0);
    let a = array![[x, x * x], [Dual::constant(1.0), x]];
    let tangents = |a: &ndarray::Array2<Dual<f64, 1>>| a.mapv(|x| x.tangent[0]);
    assert_eq!(tangents(&(&a * x)), array![[6.0, 27.0], [1.0, 6.0]]);
    assert_eq!(tangents(&(a.clone() + x)), array![[2.0, 7.0], [1.0, 2.0]]);
    assert_eq!(tangents(&a.dot(&a)), array![[6.0 + 6.0, 27.0 + 27.0], [2.0, 12.0]]);
    assert_eq!(a.sum().tangent, [8.0]);
    let t = Taylor::<f64, 3>::variable(2.0);
    assert_eq!((&array![t, t * t] * t).map(|y| y.derivative(2)), array![2.0, 12.0]);
}
