//! Functions that a driver can call at any number type.

use crate::Real64;

/// A function of several numbers to one, callable at every number type.
///
/// A closure has one number type; a driver asks for several. [`scalar_fn!`](crate::scalar_fn) wraps a generic
/// function, or a body with the data that it captures; [`closure`](crate::closure) takes any closure, for a virtual call an
/// operation; a struct with data implements the trait itself:
///
/// ```
/// use gradus_num::{Real64, ScalarFn, gradient};
///
/// struct LeastSquares { targets: Vec<f64> }
/// impl ScalarFn for LeastSquares {
///     fn call<R: Real64>(&self, x: &[R]) -> R {
///         x.iter().zip(&self.targets).map(|(&x, &t)| { let r = x - t; r * r }).sum()
///     }
/// }
/// assert_eq!(gradient(&LeastSquares { targets: vec![1.0, 2.0] }, &[2.0, 2.0]), [2.0, 0.0]);
/// ```
pub trait ScalarFn {
    /// The value at `x`.
    fn call<R: Real64>(&self, x: &[R]) -> R;
}

/// A function of several numbers to several, callable at every number type.
///
/// ```
/// use gradus_num::{Real64, Scalar, VectorFn, jacobian};
///
/// struct Polar;
/// impl VectorFn for Polar {
///     fn outputs(&self, _inputs: usize) -> usize { 2 }
///     fn call<R: Real64>(&self, x: &[R], y: &mut [R]) {
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
    fn call<R: Real64>(&self, x: &[R], y: &mut [R]);
}

impl<F: ScalarFn> ScalarFn for &F {
    #[inline(always)]
    fn call<R: Real64>(&self, x: &[R]) -> R {
        (**self).call(x)
    }
}

impl<F: VectorFn> VectorFn for &F {
    fn outputs(&self, inputs: usize) -> usize {
        (**self).outputs(inputs)
    }
    #[inline(always)]
    fn call<R: Real64>(&self, x: &[R], y: &mut [R]) {
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
    fn call<R: Real64>(&self, x: &[R], y: &mut [R]) {
        y[0] = self.0.call(x);
    }
}

/// Wraps a generic function `fn f<R: Real64>(x: &[R]) -> R`, or a body with captured data, as a [`ScalarFn`].
///
/// ```
/// use gradus_num::{Real64, gradient, scalar_fn};
///
/// fn product<R: Real64>(x: &[R]) -> R {
///     x.iter().copied().product()
/// }
/// assert_eq!(gradient(&scalar_fn!(product), &[2.0, 3.0, 4.0]), [12.0, 8.0, 6.0]);
/// ```
///
/// A body looks like a closure's and is compiled for each number type, whose name in it is `R`. What it captures is
/// listed behind `;` with its type, and borrowed: in the body `targets` is a `&[f64]` and `weight` a `&f64`.
///
/// ```
/// use gradus_num::{Scalar, gradient, scalar_fn};
///
/// let (targets, weight) = (vec![1.0, 2.0], 0.5);
/// let loss = scalar_fn!(|x; targets: [f64], weight: f64| {
///     x.iter().zip(targets).map(|(&x, &t)| (x - t).square() * *weight).sum()
/// });
/// assert_eq!(gradient(&loss, &[2.0, 2.0]), [1.0, 0.0]);
/// assert_eq!(gradient(&scalar_fn!(|x| x[0] * 3.0), &[1.0]), [3.0]);
/// ```
#[macro_export]
macro_rules! scalar_fn {
    (|$x:ident| $body:expr) => {
        $crate::scalar_fn!(|$x;| $body)
    };
    (|$x:ident; $($name:ident: $data:ty),* $(,)?| $body:expr) => {{
        #[derive(Clone, Copy)]
        struct Captured<'captured> {
            $($name: &'captured $data,)*
            _captured: ::core::marker::PhantomData<&'captured ()>,
        }
        impl $crate::ScalarFn for Captured<'_> {
            #[inline(always)]
            fn call<R: $crate::Real64>(&self, $x: &[R]) -> R {
                $(let $name: &$data = self.$name;)*
                $body
            }
        }
        Captured { $($name: &$name,)* _captured: ::core::marker::PhantomData }
    }};
    ($f:path) => {{
        #[derive(Clone, Copy)]
        struct Wrapped;
        impl $crate::ScalarFn for Wrapped {
            #[inline(always)]
            fn call<R: $crate::Real64>(&self, x: &[R]) -> R {
                $f(x)
            }
        }
        Wrapped
    }};
}

/// Wraps a generic function `fn f<R: Real64>(x: &[R], y: &mut [R])`, or a body with captured data as in
/// [`scalar_fn!`](crate::scalar_fn), as a [`VectorFn`]; the second argument is the number of outputs, or a function from the
/// number of inputs to it.
///
/// ```
/// use gradus_num::{Real64, jacobian, vector_fn};
///
/// fn squares<R: Real64>(x: &[R], y: &mut [R]) {
///     for (y, &x) in y.iter_mut().zip(x) {
///         *y = x * x;
///     }
/// }
/// assert_eq!(jacobian(&vector_fn!(squares, |n| n), &[1.0, 2.0]), [2.0, 0.0, 0.0, 4.0]);
///
/// let rates = [0.5, 2.0];
/// let decay = vector_fn!(|x, y; rates: [f64]| {
///     for ((y, &x), &rate) in y.iter_mut().zip(x).zip(rates) {
///         *y = x * -rate;
///     }
/// }, |n| n);
/// assert_eq!(jacobian(&decay, &[1.0, 2.0]), [-0.5, 0.0, 0.0, -2.0]);
/// ```
#[macro_export]
macro_rules! vector_fn {
    (|$x:ident, $y:ident| $body:expr, |$n:ident| $outputs:expr) => {
        $crate::vector_fn!(|$x, $y;| $body, |$n| $outputs)
    };
    (|$x:ident, $y:ident; $($name:ident: $data:ty),* $(,)?| $body:expr, |$n:ident| $outputs:expr) => {{
        #[derive(Clone, Copy)]
        struct Captured<'captured> {
            $($name: &'captured $data,)*
            _captured: ::core::marker::PhantomData<&'captured ()>,
        }
        impl $crate::VectorFn for Captured<'_> {
            fn outputs(&self, $n: usize) -> usize {
                $(#[allow(unused_variables)] let $name: &$data = self.$name;)*
                $outputs
            }
            #[inline(always)]
            fn call<R: $crate::Real64>(&self, $x: &[R], $y: &mut [R]) {
                $(let $name: &$data = self.$name;)*
                $body
            }
        }
        Captured { $($name: &$name,)* _captured: ::core::marker::PhantomData }
    }};
    (|$x:ident, $y:ident $(; $($name:ident: $data:ty),* $(,)?)?| $body:expr, $outputs:expr) => {
        $crate::vector_fn!(|$x, $y; $($($name: $data),*)?| $body, |_inputs| $outputs)
    };
    ($f:path, |$n:ident| $outputs:expr) => {{
        #[derive(Clone, Copy)]
        struct Wrapped;
        impl $crate::VectorFn for Wrapped {
            fn outputs(&self, $n: usize) -> usize {
                $outputs
            }
            #[inline(always)]
            fn call<R: $crate::Real64>(&self, x: &[R], y: &mut [R]) {
                $f(x, y)
            }
        }
        Wrapped
    }};
    ($f:path, $outputs:expr) => {
        $crate::vector_fn!($f, |_inputs| $outputs)
    };
}
