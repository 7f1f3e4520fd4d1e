//! [`Scalar`] and [`Real`] for dual numbers: each function is its value and its rule, at the inner type.

use super::Dual;
use crate::rules::{self, binary, powers, special};
use crate::table::binary_table;
use crate::{Binary, Real, Scalar, Unary, for_each_unary};

macro_rules! chained_unary {
    ($($name:ident $op:ident $family:ident $entry:tt)*) => {
        #[inline]
        fn unary(&self, op: Unary) -> Self {
            match op {
                Unary::Neg => -*self,
                Unary::Powi(n) => Scalar::powi(self, n),
                Unary::Polygamma(n) => Scalar::polygamma(self, n),
                $(Unary::$op => Scalar::$name(self),)*
            }
        }
        $(
            #[inline]
            fn $name(&self) -> Self {
                if const { Unary::$op.is_step() } {
                    return Self::constant(self.primal.$name());
                }
                if let Some((out, slope)) = rules::joint(Unary::$op, &self.primal) {
                    return self.chain(out, slope);
                }
                let out = self.primal.$name();
                self.chain(out, rules::$family::$name(&self.primal, &out))
            }
        )*
    };
}

macro_rules! dispatch_binary {
    ($($name:ident $op:ident $doc:literal;)*) => {
        #[inline]
        fn binary(&self, op: Binary, rhs: &Self) -> Self {
            match op {
                Binary::Add => *self + *rhs,
                Binary::Sub => *self - *rhs,
                Binary::Mul => *self * *rhs,
                Binary::Div => *self / *rhs,
                Binary::Rem => *self % *rhs,
                $(Binary::$op => Scalar::$name(self, rhs),)*
            }
        }
    };
}

macro_rules! chained_binary {
    ($($name:ident)*) => {$(
        #[inline]
        fn $name(&self, rhs: &Self) -> Self {
            let out = self.primal.$name(&rhs.primal);
            let (px, py) = binary::$name(&self.primal, &rhs.primal, &out);
            self.chain2(rhs, out, px, py)
        }
    )*};
}

impl<T: Real, const N: usize> Scalar for Dual<T, N> {
    type Mask = T::Mask;

    #[inline]
    fn lit(&self, value: f64) -> Self {
        Self::from_f64(value)
    }
    #[inline]
    fn lt(&self, rhs: &Self) -> T::Mask {
        Scalar::lt(&self.primal, &rhs.primal)
    }
    #[inline]
    fn le(&self, rhs: &Self) -> T::Mask {
        Scalar::le(&self.primal, &rhs.primal)
    }
    #[inline]
    fn eq(&self, rhs: &Self) -> T::Mask {
        Scalar::eq(&self.primal, &rhs.primal)
    }
    #[inline]
    fn decided(mask: &T::Mask) -> Option<bool> {
        T::decided(mask)
    }
    #[inline]
    fn select(mask: &T::Mask, on_true: &Self, on_false: &Self) -> Self {
        match T::decided(mask) {
            Some(true) => *on_true,
            Some(false) => *on_false,
            None => {
                let mut out = *on_false;
                out.primal = T::select(mask, &on_true.primal, &on_false.primal);
                for i in 0..N {
                    out.tangent[i] = T::select(mask, &on_true.tangent[i], &on_false.tangent[i]);
                }
                out
            }
        }
    }

    for_each_unary!(chained_unary);
    binary_table!(dispatch_binary);
    chained_binary!(atan2 hypot);

    #[inline]
    fn max(&self, rhs: &Self) -> Self {
        binary::chosen(self, rhs, &Scalar::gt(self, rhs), &Scalar::lt(self, rhs), |x, y| {
            let out = x.primal.max(&y.primal);
            let share = binary::tie(&x.primal, &y.primal);
            x.chain2(y, out, share, share)
        })
    }
    #[inline]
    fn min(&self, rhs: &Self) -> Self {
        binary::chosen(self, rhs, &Scalar::lt(self, rhs), &Scalar::gt(self, rhs), |x, y| {
            let out = x.primal.min(&y.primal);
            let share = binary::tie(&x.primal, &y.primal);
            x.chain2(y, out, share, share)
        })
    }
    #[inline]
    fn powi(&self, n: i32) -> Self {
        let out = self.primal.powi(n);
        if n == 0 {
            return Self::constant(out);
        }
        self.chain(out, powers::powi(&self.primal, &out, n))
    }
    #[inline]
    fn polygamma(&self, n: u32) -> Self {
        let out = self.primal.polygamma(n);
        self.chain(out, special::polygamma(&self.primal, &out, n))
    }
    #[inline]
    fn rem(&self, rhs: &Self) -> Self {
        *self % *rhs
    }
    /// The partial of an argument without tangents is not computed.
    #[inline]
    fn powf(&self, rhs: &Self) -> Self {
        let (x, y) = (&self.primal, &rhs.primal);
        let out = x.powf(y);
        if rhs.parts_zero() {
            Self::constant(out)
        } else if rhs.is_constant() {
            self.chain(out, binary::pow_base(x, y, &out))
        } else if self.is_constant() {
            rhs.chain(out, binary::pow_exponent(x, y, &out))
        } else {
            let (px, py) = binary::powf(x, y, &out);
            self.chain2(rhs, out, px, py)
        }
    }
    #[inline]
    fn sin_cos(&self) -> (Self, Self) {
        let (sin, cos) = self.primal.sin_cos();
        (self.chain(sin, cos), self.chain(cos, -sin))
    }
    #[inline]
    fn square(&self) -> Self {
        self.chain(self.primal.square(), self.primal + self.primal)
    }
    #[inline]
    fn scale(&self, k: f64) -> Self {
        if !k.is_finite() {
            return *self * self.lit(k);
        }
        let mut out = *self;
        out.primal = out.primal.scale(k);
        for t in &mut out.tangent {
            *t = t.scale(k);
        }
        out
    }
    #[inline]
    fn shift(&self, k: f64) -> Self {
        Self { primal: self.primal.shift(k), tangent: self.tangent }
    }
}

impl<T: Real, const N: usize> Real for Dual<T, N> {
    const LANES: usize = T::LANES;
    const GUARDED: bool = T::GUARDED;
    const TRACKED: bool = T::TRACKED;

    #[inline]
    fn from_lanes(value: impl FnMut(usize) -> f64) -> Self {
        Self::constant(T::from_lanes(value))
    }
    #[inline]
    fn from_f64(value: f64) -> Self {
        Self::constant(T::from_f64(value))
    }
    #[inline]
    fn value(&self) -> f64 {
        self.primal.value()
    }
    #[inline]
    fn mul_finite(self, rhs: Self) -> Self {
        self.combine(&rhs, self.primal.mul_finite(rhs.primal), rhs.primal, self.primal)
    }
    /// Out of line: this is the rare path of a nested number.
    #[cold]
    #[inline(never)]
    fn mul_guarded(self, slope: Self) -> Self {
        if self.parts_zero() { self } else { self * slope }
    }
    /// Without short circuits: one branch serves all parts.
    #[inline]
    fn parts_finite(&self) -> bool {
        self.tangent.iter().fold(self.primal.parts_finite(), |finite, t| finite & t.parts_finite())
    }
    #[inline]
    fn parts_zero(&self) -> bool {
        self.primal.parts_zero() && self.is_constant()
    }
}
