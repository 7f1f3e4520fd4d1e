//! Arrays of `ndarray` with a dual number or a series on the right of their operators: `&a * x`.

use ndarray::ScalarOperand;

use crate::{Dual, Real, Taylor};

impl<T: Real + 'static, const N: usize> ScalarOperand for Dual<T, N> {}
impl<T: Real + 'static, const K: usize> ScalarOperand for Taylor<T, K> {}
