//! The series of a function from its rule alone.
//!
//! The rule of `y = f(x)` gives the series of `f'(x)`, and `y' = f'(x) x'` one coefficient more of `y`. A rule may read functions
//! of the same argument that have no recurrence either, and those each other (`J₀' = -J₁`, `J₁' = J₀ - J₁/x`): all of them
//! are unknowns of one system, and a round over it gives one coefficient more of each. Of a function of another argument one
//! coefficient less is asked for, so that there is an end whatever rules say.

use core::cell::{Cell, RefCell};
use core::ops::{Add, Div, Mul, Neg, Sub};

use super::Taylor;
use crate::{Binary, Reads, Real, Scalar, Unary};

/// Unknowns of a system; what would be one more is solved for apart.
const MOST: usize = 4;

/// Functions of one argument, with as many right coefficients as rounds were done.
struct System<T, const K: usize> {
    unknowns: RefCell<[(Unary, Taylor<T, K>); MOST]>,
    count: Cell<usize>,
}

impl<T: Real, const K: usize> System<T, K> {
    /// A function of the argument, which becomes an unknown if it is none yet.
    fn of(&self, op: Unary, x: &Taylor<T, K>) -> Option<Taylor<T, K>> {
        let (mut unknowns, count) = (self.unknowns.borrow_mut(), self.count.get());
        if let Some((_, y)) = unknowns[..count].iter().find(|(known, _)| *known == op) {
            return Some(*y);
        }
        let y = Taylor::constant(x.primal().unary(op));
        *unknowns.get_mut(count)? = (op, y);
        self.count.set(count + 1);
        Some(y)
    }
}

impl<T: Real, const K: usize> Taylor<T, K> {
    /// The first `len` coefficients of a function, by its rule.
    pub(super) fn by_rule(&self, op: Unary, len: usize) -> Self {
        let start = Self::constant(self.primal().unary(op));
        let system = System { unknowns: RefCell::new([(op, start); MOST]), count: Cell::new(1) };
        let known = |series| Term { series, len: len - 1, system: None };
        let x = Term { system: Some(&system), ..known(*self) };
        for _ in 1..len {
            let mut done = 0;
            while done < system.count.get() {
                let (op, y) = system.unknowns.borrow()[done];
                let slope = op.derivative(&x, &known(y));
                system.unknowns.borrow_mut()[done].1 = self.integrate(y.primal(), &slope.series);
                done += 1;
            }
            if done == 1 && matches!(op.reads(), Reads::Nothing | Reads::Input) {
                break;
            }
        }
        system.unknowns.borrow()[0].1
    }
}

/// What a rule is evaluated with: a series of which `len` coefficients count, and the system if it is its argument.
#[derive(Clone, Copy)]
struct Term<'s, T, const K: usize> {
    series: Taylor<T, K>,
    len: usize,
    system: Option<&'s System<T, K>>,
}

impl<T: Real, const K: usize> Term<'_, T, K> {
    fn with(&self, series: Taylor<T, K>) -> Self {
        Term { series, len: self.len, system: None }
    }
}

macro_rules! operators {
    ($($Op:ident $op:ident)*) => {$(
        impl<T: Real, const K: usize> $Op for Term<'_, T, K> {
            type Output = Self;
            fn $op(self, rhs: Self) -> Self {
                self.with($Op::$op(self.series, rhs.series))
            }
        }
    )*};
}
operators! { Add add Sub sub Mul mul Div div }

impl<T: Real, const K: usize> Neg for Term<'_, T, K> {
    type Output = Self;
    fn neg(self) -> Self {
        self.with(-self.series)
    }
}

impl<T: Real, const K: usize> Scalar for Term<'_, T, K> {
    type Mask = T::Mask;

    fn lit(&self, value: f64) -> Self {
        self.with(self.series.lit(value))
    }
    fn unary(&self, op: Unary) -> Self {
        let x = &self.series;
        if matches!(op, Unary::Neg | Unary::Powi(_) | Unary::Polygamma(_)) {
            return self.with(x.unary(op));
        }
        let known = x.by_equation(op, |x, y| op.derivative(x, y));
        let series = known.or_else(|| self.system.and_then(|system| system.of(op, x)));
        self.with(series.unwrap_or_else(|| x.by_rule(op, self.len)))
    }
    fn binary(&self, op: Binary, rhs: &Self) -> Self {
        self.with(self.series.binary(op, &rhs.series))
    }
    fn lt(&self, rhs: &Self) -> T::Mask {
        Scalar::lt(&self.series, &rhs.series)
    }
    fn le(&self, rhs: &Self) -> T::Mask {
        Scalar::le(&self.series, &rhs.series)
    }
    fn eq(&self, rhs: &Self) -> T::Mask {
        Scalar::eq(&self.series, &rhs.series)
    }
    fn decided(mask: &T::Mask) -> Option<bool> {
        T::decided(mask)
    }
    fn select(mask: &T::Mask, on_true: &Self, on_false: &Self) -> Self {
        on_true.with(Taylor::select(mask, &on_true.series, &on_false.series))
    }
    fn scale(&self, k: f64) -> Self {
        self.with(self.series.scale(k))
    }
    fn shift(&self, k: f64) -> Self {
        self.with(self.series.shift(k))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_function_follows_from_its_rule() {
        for op in Unary::ALL
            .iter()
            .copied()
            .filter(|op| !matches!(op, Unary::Neg | Unary::Powi(_) | Unary::Polygamma(_)))
        {
            let x = Taylor::<f64, 6>::along(if op == Unary::Acosh { 1.8 } else { 0.6 }, 0.7);
            for (k, (a, b)) in x.by_rule(op, 6).coefficients.iter().zip(x.unary(op).coefficients).enumerate()
            {
                assert!((a - b).abs() <= 1e-13 * (1.0 + b.abs()), "{op}, order {k}: {a} for {b}");
            }
        }
    }
}
