//! [`Scalar`] and [`Real`] for power series.

use super::Taylor;
use crate::rules::{binary, exponential, hyperbolic, kinks, special, trig};
use crate::table::{binary_table, unary_table};
use crate::{Binary, Real, Scalar, Unary, math};

macro_rules! dispatch_unary {
    ($($name:ident $op:ident $family:ident $doc:literal;)*) => {
        fn unary(&self, op: Unary) -> Self {
            match op {
                Unary::Neg => -*self,
                Unary::Powi(n) => Scalar::powi(self, n),
                Unary::Polygamma(n) => Scalar::polygamma(self, n),
                $(Unary::$op => Scalar::$name(self),)*
            }
        }
    };
}

macro_rules! dispatch_binary {
    ($($name:ident $op:ident $doc:literal;)*) => {
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

/// Functions whose rule reads the argument alone: the rule's series, integrated.
macro_rules! by_rule {
    ($($family:ident: $($name:ident)*;)*) => {$($(
        fn $name(&self) -> Self {
            let out = self.primal().$name();
            self.integrate(out, &$family::$name(self, &Self::constant(out)))
        }
    )*)*};
}

impl<T: Real, const K: usize> Scalar for Taylor<T, K> {
    type Mask = bool;

    #[inline]
    fn lit(&self, value: f64) -> Self {
        Self::from_f64(value)
    }
    #[inline]
    fn lt(&self, rhs: &Self) -> bool {
        self.primal() < rhs.primal()
    }
    #[inline]
    fn le(&self, rhs: &Self) -> bool {
        self.primal() <= rhs.primal()
    }
    #[inline]
    fn eq(&self, rhs: &Self) -> bool {
        self.primal() == rhs.primal()
    }
    #[inline]
    fn select(mask: &bool, on_true: &Self, on_false: &Self) -> Self {
        if *mask { *on_true } else { *on_false }
    }

    unary_table!(dispatch_unary);
    binary_table!(dispatch_binary);

    by_rule! {
        kinks: abs sign floor ceil round;
        exponential: expm1 log log2 log1p;
        trig: asin acos atan;
        hyperbolic: asinh acosh atanh sigmoid softplus;
        special: erf erfc;
    }

    fn recip(&self) -> Self {
        Self::constant(T::one()) / *self
    }
    fn sqrt(&self) -> Self {
        self.sqrt_series(self.primal().sqrt())
    }
    fn rsqrt(&self) -> Self {
        self.power_series(self.primal().rsqrt(), T::from_f64(-1.0), 2.0)
    }
    fn cbrt(&self) -> Self {
        self.power_series(self.primal().cbrt(), T::one(), 3.0)
    }
    fn exp(&self) -> Self {
        self.exp_series(self.primal().exp())
    }
    fn exp2(&self) -> Self {
        self.scale(core::f64::consts::LN_2).exp_series(self.primal().exp2())
    }
    fn sin(&self) -> Self {
        Scalar::sin_cos(self).0
    }
    fn cos(&self) -> Self {
        Scalar::sin_cos(self).1
    }
    fn sin_cos(&self) -> (Self, Self) {
        self.wave_series(self.primal().sin_cos(), -1.0)
    }
    fn sinh(&self) -> Self {
        self.wave_series((self.primal().sinh(), self.primal().cosh()), 1.0).0
    }
    fn cosh(&self) -> Self {
        self.wave_series((self.primal().sinh(), self.primal().cosh()), 1.0).1
    }
    fn tan(&self) -> Self {
        self.tan_series(self.primal().tan())
    }
    fn tanh(&self) -> Self {
        self.bell_series((self.primal().tanh(), self.primal().sech2())).0
    }
    fn sech2(&self) -> Self {
        self.bell_series((self.primal().tanh(), self.primal().sech2())).1
    }
    fn lgamma(&self) -> Self {
        let x = self.primal();
        self.compose(|j| if j == 0 { x.lgamma() } else { x.polygamma(j as u32 - 1) })
    }
    fn polygamma(&self, n: u32) -> Self {
        let x = self.primal();
        self.compose(|j| x.polygamma(n.saturating_add(j as u32)))
    }

    /// By multiplication where the value is 0, where a power's own equation says nothing.
    fn powi(&self, n: i32) -> Self {
        let x = self.primal();
        let out = x.powi(n);
        if out.value().is_normal() {
            return self.power_series(out, T::from_i32(n), 1.0);
        }
        if x.value() != 0.0 {
            return self.power_terms(T::from_i32(n));
        }
        let (mut power, mut base, mut left) = (Self::constant(T::one()), *self, n.unsigned_abs());
        while left > 0 {
            if left % 2 == 1 {
                power *= base;
            }
            left /= 2;
            if left > 0 {
                base *= base;
            }
        }
        if n < 0 {
            power = power.recip();
        }
        power.coefficients[0] = out;
        power
    }

    /// A constant exponent has the power's own equation. At base 0 the exponent counts as constant, since the
    /// derivative in it is 0 there.
    fn powf(&self, rhs: &Self) -> Self {
        let (x, p) = (self.primal(), rhs.primal());
        let out = x.powf(&p);
        if x.value() == 0.0 || (rhs.is_constant() && !out.value().is_normal()) {
            return self.power_terms(p);
        }
        if rhs.is_constant() {
            return self.power_series(out, p, 1.0);
        }
        (*rhs * self.log()).exp_series(out)
    }
    /// `h = |larger| √(1 + ratio²)`, in steps of the order of the larger, so that its high coefficients do not underflow on
    /// the way.
    fn hypot(&self, rhs: &Self) -> Self {
        let out = self.primal().hypot(&rhs.primal());
        if out.value() == 0.0 {
            return Self::constant(out);
        }
        let swap = self.primal().abs() < rhs.primal().abs();
        let (large, small) = if swap { (rhs, self) } else { (self, rhs) };
        let large = if large.primal() < T::zero() { -*large } else { *large };
        let exponent = math::floor(math::log2(out.value())).clamp(-1000.0 / K as f64, 1000.0 / K as f64);
        let step = math::exp2(math::floor(exponent));
        let (large, small) = (large.stretched(step), small.stretched(step));
        let mut h = (large * (small / large).square().shift(1.0).sqrt()).stretched(1.0 / step);
        // Far from the exponent's middle the square underflows before the slope does.
        let (px, py) = binary::hypot(&self.primal(), &rhs.primal(), &out);
        let linear = self.combine(rhs, out, px, py);
        let given = K.min(2);
        h.coefficients[..given].copy_from_slice(&linear.coefficients[..given]);
        h
    }
    fn atan2(&self, rhs: &Self) -> Self {
        let out = self.primal().atan2(&rhs.primal());
        let (px, py) = binary::atan2(self, rhs, &Self::constant(out));
        self.integrate2(rhs, out, &px, &py)
    }
    fn max(&self, rhs: &Self) -> Self {
        let out = self.primal().max(&rhs.primal());
        let (px, py) = binary::max(&self.primal(), &rhs.primal(), &out);
        self.combine(rhs, out, px, py)
    }
    fn min(&self, rhs: &Self) -> Self {
        let out = self.primal().min(&rhs.primal());
        let (px, py) = binary::min(&self.primal(), &rhs.primal(), &out);
        self.combine(rhs, out, px, py)
    }
    fn rem(&self, rhs: &Self) -> Self {
        *self % *rhs
    }
    fn scale(&self, k: f64) -> Self {
        if !k.is_finite() {
            return *self * self.lit(k);
        }
        let mut out = *self;
        for c in &mut out.coefficients {
            *c = c.scale(k);
        }
        out
    }
    fn shift(&self, k: f64) -> Self {
        let mut out = *self;
        out.coefficients[0] = out.coefficients[0].shift(k);
        out
    }
}

impl<T: Real, const K: usize> Real for Taylor<T, K> {
    #[inline]
    fn from_f64(value: f64) -> Self {
        Self::constant(T::from_f64(value))
    }
    #[inline]
    fn value(&self) -> f64 {
        self.primal().value()
    }
    #[inline]
    fn parts_finite(&self) -> bool {
        self.coefficients.iter().all(Real::parts_finite)
    }
    #[inline]
    fn parts_zero(&self) -> bool {
        self.coefficients.iter().all(Real::parts_zero)
    }
}
