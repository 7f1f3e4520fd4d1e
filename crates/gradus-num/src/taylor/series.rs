//! The recurrences that functions of a series are built from.

use super::Taylor;
use crate::rules::binary;
use crate::{Real, math};

/// `Σ aⱼ bₖ₋ⱼ` for `j = from..=to`. Should it not be finite, terms are left out in which a coefficient of positive order is
/// zero: it stays zero whatever it multiplies. The values of the two series are numbers: 0 times infinity is NaN for them.
#[inline]
pub(super) fn convolve<T: Real>(a: &[T], b: &[T], from: usize, to: usize, k: usize) -> T {
    if T::TRACKED {
        return convolve_guarded(a, b, from, to, k);
    }
    let mut sum = T::zero();
    for j in from..=to {
        sum += a[j] * b[k - j];
    }
    if sum.parts_finite() { sum } else { convolve_guarded(a, b, from, to, k) }
}

#[inline(never)]
fn convolve_guarded<T: Real>(a: &[T], b: &[T], from: usize, to: usize, k: usize) -> T {
    let mut sum = T::zero();
    for j in from..=to {
        let dead = j > 0 && a[j].parts_zero() || k > j && b[k - j].parts_zero();
        if !dead {
            sum += a[j] * b[k - j];
        }
    }
    sum
}

/// `a/b`, 0 where `a` is exactly zero.
#[inline]
pub(super) fn quotient<T: Real>(a: T, b: T) -> T {
    if a.parts_zero() { a } else { a / b }
}

impl<T: Real, const K: usize> Taylor<T, K> {
    /// `t x'`: the coefficients `j xⱼ`.
    #[inline]
    fn moving(&self) -> [T; K] {
        let mut moving = self.coefficients;
        for (j, c) in moving.iter_mut().enumerate() {
            *c = if j == 0 { T::zero() } else { c.scale(j as f64) };
        }
        moving
    }

    /// The series with value `out` and `y' = d x'`, where `next` extends `d` by its coefficient `k` from `y` up to `k`.
    #[inline]
    fn solve(&self, out: T, mut next: impl FnMut(&[T; K], usize) -> T) -> Self {
        let moving = self.moving();
        let (mut y, mut d) = (Self::constant(out), [T::zero(); K]);
        for k in 1..K {
            d[k - 1] = next(&y.coefficients, k - 1);
            y.coefficients[k] = convolve(&moving, &d, 1, k, k) / T::from_usize(k);
        }
        y
    }

    /// The series with value `out` and derivative `slope x'`.
    #[inline]
    pub(super) fn integrate(&self, out: T, slope: &Self) -> Self {
        self.solve(out, |_, k| slope.coefficients[k])
    }

    /// The series with value `out` and derivative `px x' + py y'`.
    #[inline]
    pub(super) fn integrate2(&self, rhs: &Self, out: T, px: &Self, py: &Self) -> Self {
        let first = self.integrate(out, px);
        first + rhs.integrate(T::zero(), py)
    }

    /// `y' = y x'`.
    #[inline]
    pub(super) fn exp_series(&self, out: T) -> Self {
        self.solve(out, |y, k| y[k])
    }

    /// `y' = (1 + y²) x'`.
    #[inline]
    pub(super) fn tan_series(&self, out: T) -> Self {
        self.solve(out, |y, k| {
            let square = convolve(y, y, 0, k, k);
            if k == 0 { square.shift(1.0) } else { square }
        })
    }

    /// `t' = b x'`, `b' = -2 t b x'`: the hyperbolic tangent and its derivative, without the difference `1 - t²`.
    #[inline]
    pub(super) fn bell_series(&self, (t, b): (T, T)) -> (Self, Self) {
        let moving = self.moving();
        let (mut t, mut b) = (Self::constant(t), Self::constant(b));
        let mut both = [T::zero(); K];
        for k in 1..K {
            both[k - 1] = convolve(&t.coefficients, &b.coefficients, 0, k - 1, k - 1);
            let inverse = T::from_usize(k);
            t.coefficients[k] = convolve(&moving, &b.coefficients, 1, k, k) / inverse;
            b.coefficients[k] = convolve(&moving, &both, 1, k, k).scale(-2.0) / inverse;
        }
        (t, b)
    }

    /// `s' = c x'`, `c' = ±s x'`: sine and cosine for −, their hyperbolic counterparts for +.
    #[inline]
    pub(super) fn wave_series(&self, (s, c): (T, T), sign: f64) -> (Self, Self) {
        let moving = self.moving();
        let (mut s, mut c) = (Self::constant(s), Self::constant(c));
        for k in 1..K {
            let inverse = T::from_usize(k);
            s.coefficients[k] = convolve(&moving, &c.coefficients, 1, k, k) / inverse;
            c.coefficients[k] = convolve(&moving, &s.coefficients, 1, k, k).scale(sign) / inverse;
        }
        (s, c)
    }

    /// `y² = x`.
    #[inline]
    pub(super) fn sqrt_series(&self, out: T) -> Self {
        let mut y = Self::constant(out);
        for k in 1..K {
            let known =
                if k > 1 { convolve(&y.coefficients, &y.coefficients, 1, k - 1, k) } else { T::zero() };
            y.coefficients[k] = quotient(self.coefficients[k] - known, out + out);
        }
        y
    }

    /// `y³ = x`, with `w = y²`.
    #[inline]
    pub(super) fn cbrt_series(&self, out: T) -> Self {
        let (mut y, mut w) = (Self::constant(out), Self::constant(out * out));
        let slope = out.recip().square().scale(1.0 / 3.0);
        for k in 1..K {
            let (mut square, mut cube) = (T::zero(), self.coefficients[k]);
            if k > 1 {
                square = convolve(&y.coefficients, &y.coefficients, 1, k - 1, k);
                cube =
                    cube - square.mul_guarded(out) - convolve(&y.coefficients, &w.coefficients, 1, k - 1, k);
            }
            y.coefficients[k] = cube.mul_guarded(slope);
            w.coefficients[k] = square + y.coefficients[k].mul_guarded(out + out);
        }
        y
    }

    /// `x^y` at `x = 0` for a moving exponent: [`power_terms`](Self::power_terms), until a derivative in `y` of one that is no
    /// longer 0 in `x` takes part, the limit of which is infinite.
    pub(super) fn power_at_zero(&self, exponent: &Self, out: T) -> Self {
        let p = exponent.primal();
        let mut terms = self.power_terms(p);
        if K > 1 {
            terms.coefficients[1] = self.power_slope(exponent, out);
        }
        for k in 2..K {
            if p.value() <= (k - 1) as f64
                && !(k == 2 && self.coefficients[1].parts_zero() && p.value() > 0.0)
            {
                terms.coefficients[k] = T::from_f64(f64::NAN);
            }
        }
        terms
    }

    /// The first coefficient of `x^y`, by its rule.
    pub(super) fn power_slope(&self, exponent: &Self, out: T) -> T {
        let (px, py) = binary::powf(&self.primal(), &exponent.primal(), &out);
        self.coefficients[1].mul_guarded(px) + exponent.coefficients[1].mul_guarded(py)
    }

    /// `y = x^(p/q)` from `q x y' = p y x'`: `yₖ = Σⱼ (j p - (k - j) q) xⱼ yₖ₋ⱼ / (k q x₀)`.
    ///
    /// A rational exponent is given as two whole numbers so that the factors which should vanish do.
    #[inline]
    pub(super) fn power_series(&self, out: T, p: T, q: f64) -> Self {
        let (x, mut y) = (&self.coefficients, Self::constant(out));
        for k in 1..K {
            let mut sum = T::zero();
            for j in 1..=k {
                let factor = p.scale(j as f64).shift(q * (j as f64 - k as f64));
                if !factor.parts_zero() && !x[j].parts_zero() {
                    sum += factor * x[j] * y.coefficients[k - j];
                }
            }
            let divisor = x[0].scale(q * k as f64);
            y.coefficients[k] = match divisor.value().is_infinite() {
                true => quotient(sum, x[0]).scale(1.0 / (q * k as f64)),
                false => quotient(sum, divisor),
            };
        }
        y
    }

    /// The exponent of the largest step in which every coefficient stays in range.
    pub(super) fn widest_step(&self) -> f64 {
        let limit = |(k, c): (usize, &T)| match c.value().abs() {
            size if k > 0 && size > 0.0 => (1000.0 - math::log2(size)) / k as f64,
            _ => f64::INFINITY,
        };
        self.coefficients.iter().enumerate().map(limit).fold(f64::INFINITY, f64::min)
    }

    /// The series in `t/step`: coefficient `k` times `stepᵏ`, which itself may be no number.
    pub(super) fn stretched(&self, step: f64) -> Self {
        let mut out = *self;
        for (k, c) in out.coefficients.iter_mut().enumerate() {
            for _ in 0..k {
                *c = c.scale(step);
            }
        }
        out
    }

    /// `step` times the series in `step t`: what undoes [`stretched`](Self::stretched) for a series divided by the step.
    pub(super) fn unstretched(&self, step: f64) -> Self {
        let mut out = *self;
        for (k, c) in out.coefficients.iter_mut().enumerate() {
            match k {
                0 => *c = c.scale(step),
                _ => (1..k).for_each(|_| *c = c.scale(1.0 / step)),
            }
        }
        out
    }

    /// `x^p` with each derivative a power of its own, for where the value has left the exponent range (or is 0) and the
    /// recurrence, which starts from it, says nothing.
    pub(super) fn power_terms(&self, p: T) -> Self {
        let x = self.primal();
        self.compose(|j| {
            // The power first: the product of the factors alone may overflow. One that is subnormal has few digits, its
            // root has all.
            let exponent = p.shift(-(j as f64));
            let power = x.powf(&exponent);
            let halved = x.value() > 0.0 && power.value() < f64::MIN_POSITIVE;
            let root = if halved { x.powf(&exponent.scale(0.5)) } else { T::one() };
            let mut term = if halved { root } else { power };
            for i in 0..j {
                let factor = p.shift(-(i as f64));
                if factor.parts_zero() {
                    return T::zero();
                }
                term *= factor;
            }
            term * root
        })
    }

    /// `Σ derivative(j)/j! (x - x₀)ʲ`, by Horner's rule.
    pub(super) fn compose(&self, mut derivative: impl FnMut(usize) -> T) -> Self {
        let mut step = *self;
        step.coefficients[0] = T::zero();
        let mut scaled = [T::zero(); K];
        let mut factorial = T::one();
        for (j, c) in scaled.iter_mut().enumerate() {
            if j > 1 {
                factorial *= T::from_usize(j);
            }
            *c = quotient(derivative(j), factorial);
        }
        let mut out = Self::constant(scaled[K - 1]);
        for j in (0..K - 1).rev() {
            let mut next = [T::zero(); K];
            for k in 1..K {
                next[k] = convolve(&step.coefficients, &out.coefficients, 1, k, k);
            }
            next[0] = scaled[j];
            out = Self::new(next);
        }
        out
    }
}
