//! Mixed partial derivatives of any order, by series within series.

use crate::{Real, Taylor};

/// A number that is a series in each of several variables: series within series, the last variable's outermost.
///
/// [`partial!`](crate::partial) builds the type for given orders.
pub trait MultiTaylor: Real {
    /// The plain number of the coefficients.
    type Plain: Real;
    /// How many variables there are.
    const VARIABLES: usize;

    /// Variable `index` at `value`, or a constant if there is no such variable.
    fn variable(value: Self::Plain, index: usize) -> Self;
    /// The derivative of the highest order kept in each variable.
    fn highest(&self) -> Self::Plain;
}

macro_rules! plain {
    ($($float:ident)*) => {$(
        impl MultiTaylor for $float {
            type Plain = $float;
            const VARIABLES: usize = 0;

            fn variable(value: $float, _: usize) -> $float {
                value
            }
            fn highest(&self) -> $float {
                *self
            }
        }
    )*};
}

plain!(f64 f32);

impl<T: MultiTaylor, const K: usize> MultiTaylor for Taylor<T, K> {
    type Plain = T::Plain;
    const VARIABLES: usize = T::VARIABLES + 1;

    fn variable(value: T::Plain, index: usize) -> Self {
        if index == T::VARIABLES {
            Taylor::along(T::variable(value, index), T::one())
        } else {
            Taylor::constant(T::variable(value, index))
        }
    }
    fn highest(&self) -> T::Plain {
        self.derivative(K - 1).highest()
    }
}

/// The partial derivative of `f` at `x` whose order in each variable is the highest that `S` keeps:
/// [`partial!`](crate::partial) names `S`.
///
/// # Panics
/// If `x` has not as many entries as `S` has variables.
pub fn partial<S: MultiTaylor, const N: usize>(f: impl FnOnce(&[S]) -> S, x: [S::Plain; N]) -> S::Plain {
    assert!(N == S::VARIABLES, "the function has {N} arguments, but {} orders are given", S::VARIABLES);
    let mut index = 0;
    let args = x.map(|x| {
        index += 1;
        S::variable(x, index - 1)
    });
    f(&args).highest()
}

/// `partial!(f, [k₀, k₁, …], [x₀, x₁, …])`: the partial derivative `∂^(k₀ + k₁ + …) f / ∂x₀^k₀ ∂x₁^k₁ …` at `x`.
///
/// There is an order for each argument, a constant; `f` takes a slice: a generic function, a closure over one number
/// type, or a [`ScalarFn`](crate::ScalarFn) as `|x| f.call(x)`. The result is exact up to rounding, a coefficient of a series
/// within a series: one call of `f` on numbers of `Π (kᵢ + 1)` coefficients.
///
/// ```
/// use gradus_num::{Real, Scalar, partial};
///
/// fn f<R: Real>(x: &[R]) -> R {
///     x[0].exp() * x[1].sin() * x[2].powi(4)
/// }
/// // ∂³f/∂z³ = e^x sin y · 24 z, and ∂⁴f/∂x²∂y∂z = e^x cos y · 4 z³.
/// let x = [0.0, 0.5, 2.0];
/// assert!((partial!(f, [0, 0, 3], x) - 0.5f64.sin() * 48.0).abs() < 1e-13);
/// assert!((partial!(f, [2, 1, 1], x) - 0.5f64.cos() * 32.0).abs() < 1e-13);
///
/// // A closure captures what it likes.
/// let scale = 3.0;
/// assert_eq!(partial!(|x| x[0] * x[0] * x[1] * scale, [2, 1], [5.0, 7.0]), 6.0);
/// ```
#[macro_export]
macro_rules! partial {
    ($f:expr, [$($order:expr),+ $(,)?], $x:expr) => {
        $crate::forward::partial::<$crate::partial!(@series f64; $($order),+), _>($f, $x)
    };
    (@series $inner:ty; $order:expr $(, $rest:expr)*) => {
        $crate::partial!(@series $crate::Taylor<$inner, { $order + 1 }>; $($rest),*)
    };
    (@series $inner:ty;) => { $inner };
}
