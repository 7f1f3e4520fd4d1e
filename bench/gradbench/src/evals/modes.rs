//! Forward and reverse mode as types, so that they can be nested by name.

use gradus_num::{Dual, Real, Tape, Var};

use crate::error::Result;

/// A number type that extends `T`: every `T` is a constant of it.
pub trait Over<T>: Real {
    /// `value` as a constant.
    fn lift(value: T) -> Self;
}

impl<T: Real> Over<T> for T {
    fn lift(value: T) -> Self {
        value
    }
}

impl<T: Real, const N: usize> Over<T> for Dual<T, N> {
    fn lift(value: T) -> Self {
        Dual::constant(value)
    }
}

impl<T: Real> Over<T> for Var<'_, T> {
    fn lift(value: T) -> Self {
        Var::constant(value)
    }
}

/// A function of `N` numbers that may depend on further numbers of type `T`.
pub trait Function<T: Real, const N: usize> {
    /// Its value.
    fn at<R: Over<T>>(&self, x: [R; N]) -> Result<R>;
}

/// A way to differentiate.
pub trait Mode {
    /// `f(x)` and its gradient, in the number type of `x`: what `x` itself depends on stays differentiable.
    fn gradient<T: Real, const N: usize>(f: &impl Function<T, N>, x: [T; N]) -> Result<(T, [T; N])>;
}

/// Dual numbers.
pub struct Forward;

impl Mode for Forward {
    fn gradient<T: Real, const N: usize>(f: &impl Function<T, N>, x: [T; N]) -> Result<(T, [T; N])> {
        let y = f.at(std::array::from_fn(|i| Dual::<T, N>::variable(x[i], i)))?;
        Ok((y.primal, y.tangent))
    }
}

/// A tape.
pub struct Reverse;

impl Mode for Reverse {
    fn gradient<T: Real, const N: usize>(f: &impl Function<T, N>, x: [T; N]) -> Result<(T, [T; N])> {
        // Most recordings are a few operations long, one for each step of an outer one.
        let tape = Tape::with_capacity(64);
        let x = x.map(|x| tape.var(x));
        let y = f.at(x)?;
        let adjoints = tape.pullback(y);
        Ok((y.primal(), x.map(|x| adjoints.wrt(x))))
    }
}
