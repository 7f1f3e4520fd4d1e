//! [`Scalar`] and [`Real`] for power series.

use super::Taylor;
use crate::rules::{self, binary};
use crate::table::binary_table;
use crate::{Binary, Curve, Real, Scalar, Unary, for_each_unary, math};

macro_rules! series_unary {
    ($($name:ident $op:ident $family:ident $entry:tt)*) => {
        fn unary(&self, op: Unary) -> Self {
            match op {
                Unary::Neg => -*self,
                Unary::Powi(n) => Scalar::powi(self, n),
                Unary::Polygamma(n) => Scalar::polygamma(self, n),
                $(Unary::$op => Scalar::$name(self),)*
            }
        }
        $(
            fn $name(&self) -> Self {
                match self.by_equation(Unary::$op, rules::$family::$name) {
                    Some(series) => series,
                    None => self.by_rule(Unary::$op, K),
                }
            }
        )*
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

impl<T: Real, const K: usize> Taylor<T, K> {
    /// Functions with a recurrence of their own, where that is cheaper or closer than [`by_rule`](Self::by_rule).
    #[inline(always)]
    pub(super) fn by_equation(&self, op: Unary, rule: impl Fn(&Self, &Self) -> Self) -> Option<Self> {
        let x = self.primal();
        Some(match op {
            Unary::Recip => Self::constant(T::one()) / *self,
            Unary::Sqrt => self.sqrt_series(x.sqrt()),
            Unary::Rsqrt => self.power_series(x.rsqrt(), T::from_f64(-1.0), 2.0),
            Unary::Cbrt => self.cbrt_series(x.cbrt()),
            Unary::Exp => self.exp_series(x.exp()),
            Unary::Exp2 => self.scale(core::f64::consts::LN_2).exp_series(x.exp2()),
            Unary::Sin => self.sin_cos().0,
            Unary::Cos => self.sin_cos().1,
            Unary::Sinh => self.wave_series((x.sinh(), x.cosh()), 1.0).0,
            Unary::Cosh => self.wave_series((x.sinh(), x.cosh()), 1.0).1,
            Unary::Tan => self.tan_series(x.tan()),
            Unary::Tanh => self.bell_series((x.tanh(), x.sech2())).0,
            Unary::Sech2 => self.bell_series((x.tanh(), x.sech2())).1,
            // The rule reads the argument, and no function that reads this one: its series, integrated.
            Unary::Abs
            | Unary::Expm1
            | Unary::Log
            | Unary::Log2
            | Unary::Log1p
            | Unary::Asin
            | Unary::Acos
            | Unary::Atan
            | Unary::Asinh
            | Unary::Acosh
            | Unary::Atanh
            | Unary::Sigmoid
            | Unary::Softplus
            | Unary::Erf
            | Unary::Erfc => {
                let out = x.unary(op);
                self.integrate(out, &rule(self, &Self::constant(out)))
            }
            _ if op.curve() == Curve::Step => Self::constant(x.unary(op)),
            Unary::Lgamma => self.compose(|j| if j == 0 { x.lgamma() } else { x.polygamma(j as u32 - 1) }),
            _ => return None,
        })
    }
}

impl<T: Real, const K: usize> Scalar for Taylor<T, K> {
    type Mask = T::Mask;

    #[inline]
    fn lit(&self, value: f64) -> Self {
        Self::from_f64(value)
    }
    #[inline]
    fn lt(&self, rhs: &Self) -> T::Mask {
        Scalar::lt(&self.primal(), &rhs.primal())
    }
    #[inline]
    fn le(&self, rhs: &Self) -> T::Mask {
        Scalar::le(&self.primal(), &rhs.primal())
    }
    #[inline]
    fn eq(&self, rhs: &Self) -> T::Mask {
        Scalar::eq(&self.primal(), &rhs.primal())
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
            None => Self::new(core::array::from_fn(|k| {
                T::select(mask, &on_true.coefficients[k], &on_false.coefficients[k])
            })),
        }
    }

    for_each_unary!(series_unary);
    binary_table!(dispatch_binary);

    fn sin_cos(&self) -> (Self, Self) {
        self.wave_series(self.primal().sin_cos(), -1.0)
    }
    fn polygamma(&self, n: u32) -> Self {
        let x = self.primal();
        self.compose(|j| x.polygamma(n.saturating_add(j as u32)))
    }

    fn powi(&self, n: i32) -> Self {
        let x = self.primal();
        match n {
            0 => return Self::constant(x.powi(0)),
            1 => return *self,
            _ => {}
        }
        let out = x.powi(n);
        if out.value().is_normal() && n != 2 {
            return self.power_series(out, T::from_i32(n), 1.0);
        }
        let mut terms = if n == 2 { *self * *self } else { self.power_terms(T::from_i32(n)) };
        terms.coefficients[0] = out;
        terms
    }

    /// A constant exponent has the power's own equation. At base 0 the derivatives in the exponent are 0, up to the order at which
    /// those in the base are no more: there the limits are infinite.
    fn powf(&self, rhs: &Self) -> Self {
        let (x, p) = (self.primal(), rhs.primal());
        let out = x.powf(&p);
        if rhs.parts_zero() {
            return Self::constant(out);
        }
        if rhs.is_constant() {
            return if out.value().is_normal() {
                self.power_series(out, p, 1.0)
            } else {
                self.power_terms(p)
            };
        }
        if x.value() == 0.0 {
            return self.power_at_zero(rhs, out);
        }
        if x.value() < 0.0 && out.value() == 0.0 {
            return Self::constant(out);
        }
        // The slope by its rule: on the way through the logarithm `1/x` may overflow.
        let mut power = (*rhs * self.log()).exp_series(out);
        if K > 1 {
            power.coefficients[1] = self.power_slope(rhs, out);
        }
        power
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
        if large.primal().value() == f64::INFINITY && small.primal().value().is_finite() {
            return large;
        }
        let exponent = math::log2(out.value()).clamp(-1022.0, 1022.0);
        let step = math::exp2(math::floor(exponent.min(large.widest_step()).min(small.widest_step())));
        let (large, small) = (large.stretched(step), small.stretched(step));
        let unit = large.scale(1.0 / step) * (small / large).square().shift(1.0).sqrt();
        let mut h = unit.unstretched(step);
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
        binary::chosen(self, rhs, &Scalar::gt(self, rhs), &Scalar::lt(self, rhs), |x, y| {
            let share = binary::tie(&x.primal(), &y.primal());
            x.combine(y, x.primal().max(&y.primal()), share, share)
        })
    }
    fn min(&self, rhs: &Self) -> Self {
        binary::chosen(self, rhs, &Scalar::lt(self, rhs), &Scalar::gt(self, rhs), |x, y| {
            let share = binary::tie(&x.primal(), &y.primal());
            x.combine(y, x.primal().min(&y.primal()), share, share)
        })
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
    const LANES: usize = T::LANES;
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
