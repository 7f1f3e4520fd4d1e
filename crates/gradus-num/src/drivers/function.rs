//! Functions that a driver can call at any number type.

use crate::Real;

/// A function of several numbers to one, callable at every number type.
///
/// A closure has one number type; a driver needs several. [`scalar_fn!`](crate::scalar_fn) wraps a generic
/// function; a struct with data implements the trait itself:
///
/// ```
/// use gradus_num::{Real, ScalarFn, gradient};
///
/// struct LeastSquares { targets: Vec<f64> }
/// impl ScalarFn for LeastSquares {
///     fn call<R: Real>(&self, x: &[R]) -> R {
///         x.iter().zip(&self.targets).map(|(&x, &t)| { let r = x - R::from_f64(t); r * r }).sum()
///     }
/// }
/// assert_eq!(gradient(&LeastSquares { targets: vec![1.0, 2.0] }, &[2.0, 2.0]), [2.0, 0.0]);
/// ```
pub trait ScalarFn {
    /// The value at `x`.
    fn call<R: Real>(&self, x: &[R]) -> R;
}

/// A function of several numbers to several, callable at every number type.
///
/// ```
/// use gradus_num::{Real, Scalar, VectorFn, jacobian};
///
/// struct Polar;
/// impl VectorFn for Polar {
///     fn outputs(&self, _inputs: usize) -> usize { 2 }
///     fn call<R: Real>(&self, x: &[R], y: &mut [R]) {
///         y[0] = x[0] * x[1].cos();
///         y[1] = x[0] * x[1].sin();
///     }
/// }
/// assert_eq!(jacobian(&Polar, &[2.0, 0.0]), [1.0, 0.0, 0.0, 2.0]);
/// ```
pub trait VectorFn {
    /// The number of outputs for the given number of inputs.
    fn outputs(&self, inputs: usize) -> usize;
    /// Writes the value at `x` into `y`, which has [`outputs`](VectorFn::outputs) entries, all zero before.
    fn call<R: Real>(&self, x: &[R], y: &mut [R]);
}

impl<F: ScalarFn> ScalarFn for &F {
    #[inline(always)]
    fn call<R: Real>(&self, x: &[R]) -> R {
        (**self).call(x)
    }
}

impl<F: VectorFn> VectorFn for &F {
    fn outputs(&self, inputs: usize) -> usize {
        (**self).outputs(inputs)
    }
    #[inline(always)]
    fn call<R: Real>(&self, x: &[R], y: &mut [R]) {
        (**self).call(x, y);
    }
}

/// A scalar function as a vector function of one output.
pub(crate) struct OneOutput<'a, F>(pub &'a F);

impl<F: ScalarFn> VectorFn for OneOutput<'_, F> {
    fn outputs(&self, _inputs: usize) -> usize {
        1
    }
    #[inline(always)]
    fn call<R: Real>(&self, x: &[R], y: &mut [R]) {
        y[0] = self.0.call(x);
    }
}

/// Wraps a generic function `fn f<R: Real>(x: &[R]) -> R` as a [`ScalarFn`].
///
/// ```
/// use gradus_num::{Real, gradient, scalar_fn};
///
/// fn product<R: Real>(x: &[R]) -> R {
///     x.iter().copied().product()
/// }
/// assert_eq!(gradient(&scalar_fn!(product), &[2.0, 3.0, 4.0]), [12.0, 8.0, 6.0]);
/// ```
#[macro_export]
macro_rules! scalar_fn {
    ($f:path) => {{
        #[derive(Clone, Copy)]
        struct Wrapped;
        impl $crate::ScalarFn for Wrapped {
            #[inline(always)]
            fn call<R: $crate::Real>(&self, x: &[R]) -> R {
                $f(x)
            }
        }
        Wrapped
    }};
}

/// Wraps a generic function `fn f<R: Real>(x: &[R], y: &mut [R])` as a [`VectorFn`]; the second argument is the
/// number of outputs, or a function from the number of inputs to it.
///
/// ```
/// use gradus_num::{Real, jacobian, vector_fn};
///
/// fn squares<R: Real>(x: &[R], y: &mut [R]) {
///     for (y, &x) in y.iter_mut().zip(x) {
///         *y = x * x;
///     }
/// }
/// assert_eq!(jacobian(&vector_fn!(squares, |n| n), &[1.0, 2.0]), [2.0, 0.0, 0.0, 4.0]);
/// ```
#[macro_export]
macro_rules! vector_fn {
    ($f:path, |$n:ident| $outputs:expr) => {{
        #[derive(Clone, Copy)]
        struct Wrapped;
        impl $crate::VectorFn for Wrapped {
            fn outputs(&self, $n: usize) -> usize {
                $outputs
            }
            #[inline(always)]
            fn call<R: $crate::Real>(&self, x: &[R], y: &mut [R]) {
                $f(x, y)
            }
        }
        Wrapped
    }};
    ($f:path, $outputs:expr) => {
        $crate::vector_fn!($f, |_inputs| $outputs)
    };
}
