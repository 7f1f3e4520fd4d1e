//! Lengths and spreads: norms, deviations, and what is divided by them, over the whole range of the exponent.
//!
//! A square has twice the exponent of its root, so sums of squares leave the range where lengths do not. Sums of the
//! squares of numbers scaled up and down are taken in the same pass, and each row reads the one that is in range
//! (Blue 1978); in the ordinary range that is the plain sum, with its bits. Derivatives are stated by unit vectors, whose
//! elements are at most 1. Those of 16-bit floats are those of `f32`, rounded.

use gradus_core::ops::Compare;
use gradus_core::{Binary, DType, Error, ErrorKind};

use crate::tensor::Axes;
use crate::trace::{fail, here};
use crate::transform::with_own_rule;
use crate::{Number, Tensor};

/// Powers of two that bring numbers into the range of exponents in which sums of squares, and their squares, are numbers:
/// for one dtype.
struct Scales {
    /// For rows whose sum of squares is above `large`.
    down: f64,
    large: f64,
    /// For those whose sum is below `small`.
    up: f64,
    small: f64,
}

impl Scales {
    fn of(dtype: DType) -> Self {
        let powers = if dtype == DType::F32 { [-84, 60, 100, -80] } else { [-600, 600, 600, -800] };
        let [down, large, up, small] = powers.map(|n| 2f64.powi(n));
        Scales { down, large, up, small }
    }
}

/// `Σ (x · scale)²` over axes that stay.
#[track_caller]
fn squares(x: &Tensor, scale: f64, axes: &Axes) -> Tensor {
    let scaled = if scale == 1.0 { x.clone() } else { x.with_constant(Binary::Mul, scale) };
    scaled.square().sum(axes.clone())
}

/// A scale for each row, a power of two, and `Σ (x · scale)²`. Nothing depends on either.
#[track_caller]
fn scaled_squares(x: &Tensor, axes: &Axes) -> (Tensor, Tensor) {
    let x = x.stop_gradient();
    let Scales { down, large, up, small } = Scales::of(x.dtype());
    let plain = squares(&x, 1.0, axes);
    let (huge, tiny) = (plain.with_constant(Compare::Gt, large), plain.with_constant(Compare::Lt, small));
    let number = |scale: f64| Number::Float(scale).constant(&x);
    let scale = huge.select(number(down), tiny.select(number(up), number(1.0)));
    let sum = huge.select(squares(&x, down, axes), tiny.select(squares(&x, up, axes), plain));
    (scale, sum)
}

/// `1/r`, and 0 where `r` is.
#[track_caller]
fn inverse(r: &Tensor) -> Tensor {
    let zero = r.equal(0.0);
    zero.select(0.0, zero.select(1.0, r).recip())
}

/// `n = √Σ x²` over axes that stay, the unit vector `x / n`, and `1/n`; at the origin the last two are 0, and so are
/// derivatives.
#[track_caller]
fn lengths(x: &Tensor, axes: &Axes) -> (Tensor, Tensor, Tensor) {
    let (scale, sum) = scaled_squares(x, axes);
    with_own_rule(
        &(x.clone(), scale, sum),
        |(x, scale, sum)| {
            let scaled = sum.sqrt();
            let inverse = inverse(&scaled);
            (scaled / scale, x * scale * &inverse, scale * inverse)
        },
        |_, (_, unit, inverse), (dx, _, _)| {
            let along = (unit * dx).sum(axes.clone());
            let across = (dx - unit * &along) * inverse;
            (along.clone(), across, -(inverse * along * inverse))
        },
    )
}

/// A result over kept axes as it was asked for.
#[track_caller]
fn dropped(y: Tensor, axes: Axes, keep: bool) -> Tensor {
    if keep { y } else { y.squeeze(axes) }
}

impl Tensor {
    /// The Euclidean norm `√Σ x²`, without overflow or underflow of the squares; derivative 0 at the origin.
    ///
    /// ```
    /// use gradus::{Tensor, grad};
    /// let x = Tensor::from([3e200, 4e200]);
    /// assert!((x.norm(()).item::<f64>() / 5e200 - 1.0).abs() < 1e-15);
    /// assert_eq!(grad(|x: &Tensor| x.norm(()))(&Tensor::from([0.0, 0.0])), Tensor::from([0.0, 0.0]));
    /// ```
    #[track_caller]
    pub fn norm(&self, axes: impl Into<Axes>) -> Tensor {
        self.of_floats("norm");
        if let Some(x) = self.widened() {
            return x.norm(axes).cast(self.dtype());
        }
        let (axes, keep) = axes.into().kept();
        dropped(lengths(self, &axes).0, axes, keep)
    }

    /// The norm `(Σ |x|ᵖ)^(1/p)` for `p ≥ 1`; the largest `|x|` for `p = ∞`. Powers neither overflow nor underflow;
    /// derivative 0 at the origin.
    #[track_caller]
    pub fn norm_p(&self, p: f64, axes: impl Into<Axes>) -> Tensor {
        match p {
            1.0 => return self.abs().sum(axes),
            2.0 => return self.norm(axes),
            f64::INFINITY => return self.abs().max(axes),
            _ => {}
        }
        self.of_floats("norm_p");
        if let Some(x) = self.widened() {
            return x.norm_p(p, axes).cast(self.dtype());
        }
        let (axes, keep) = axes.into().kept();
        // The norm, `x` over it, and its inverse, of the powers of what is left when the largest is divided out.
        let (norm, _, _) = with_own_rule(
            self,
            |x| {
                let top = x.abs().max(axes.clone());
                let zero = top.equal(0.0);
                let y = x / zero.select(1.0, &top);
                let sum = y.abs().powf(p).sum(axes.clone());
                let rest = zero.select(0.0, zero.select(1.0, sum).powf(1.0 / p));
                let norm = &rest * top;
                let own = inverse(&norm);
                (norm, y * inverse(&rest), own)
            },
            |_, (_, share, inverse), dx| {
                let along = (share.sign() * share.abs().powf(p - 1.0) * dx).sum(axes.clone());
                let across = (dx - share * &along) * inverse;
                (along.clone(), across, -(inverse * along * inverse))
            },
        );
        dropped(norm, axes, keep)
    }

    /// `x - x̄` over axes that stay. The mean is that of numbers of any size, rounded; what it misses is the mean of what it
    /// leaves, so that a constant row leaves nothing.
    #[track_caller]
    fn centred(&self, axes: &Axes) -> Tensor {
        let rough = self - self.mean(axes.clone());
        let rest = rough.mean(axes.clone()).stop_gradient();
        rough - rest
    }

    /// The number of elements less a correction, which is not above it.
    #[track_caller]
    fn degrees(&self, op: &'static str, axes: &Axes, correction: usize) -> f64 {
        let n = self.count(op, axes);
        if n < correction as f64 {
            let detail = format!(
                "a correction of {correction} is more than the {n} elements that go into one result; use 0 or 1"
            );
            fail(Error::new(ErrorKind::Argument { op, detail }, here()));
        }
        n - correction as f64
    }

    /// `Σ (x - x̄)² / (n - correction)`: correction 0 for the population, 1 for a sample. A correction above `n` is an
    /// error; one of `n` divides by zero.
    #[track_caller]
    pub fn var(&self, axes: impl Into<Axes>, correction: usize) -> Tensor {
        let axes = axes.into();
        let n = self.degrees("var", &axes, correction);
        if let Some(x) = self.widened() {
            return x.var(axes, correction).cast(self.dtype());
        }
        let (kept, _) = axes.clone().kept();
        self.centred(&kept).square().sum(axes).with_constant(Binary::Div, n)
    }

    /// The square root of [`var`](Tensor::var), without overflow or underflow of the squares; derivative 0 where all
    /// elements are equal.
    #[track_caller]
    pub fn std(&self, axes: impl Into<Axes>, correction: usize) -> Tensor {
        let axes = axes.into();
        let n = self.degrees("std", &axes, correction);
        if let Some(x) = self.widened() {
            return x.std(axes, correction).cast(self.dtype());
        }
        let (kept, _) = axes.clone().kept();
        self.centred(&kept).norm(axes).with_constant(Binary::Div, n.sqrt())
    }

    /// `(x - x̄) / √(var + ε)` over axes, for spreads of any size. Where all elements are equal it is 0, if `ε` is 0
    /// with derivative 0.
    ///
    /// ```
    /// use gradus::Tensor;
    /// let x = Tensor::from([1e300, 3e300]).standardize((), 1e-5);
    /// assert_eq!(x, Tensor::from([-1.0, 1.0]));
    /// ```
    #[track_caller]
    pub fn standardize(&self, axes: impl Into<Axes>, epsilon: f64) -> Tensor {
        let (axes, _) = axes.into().kept();
        let n = self.count("standardize", &axes);
        if let Some(x) = self.widened() {
            return x.standardize(axes, epsilon).cast(self.dtype());
        }
        if epsilon == 0.0 {
            return lengths(&self.centred(&axes), &axes).1.with_constant(Binary::Mul, n.sqrt());
        }
        let mean = |t: &Tensor| t.mean(axes.clone());
        // The result and `1/√(var + ε)`. Their derivatives are made of the two, by `mean(y) = 0`, so that both means
        // are taken in one pass.
        let (y, _) = with_own_rule(
            self,
            |x| {
                let centred = x.centred(&axes);
                let Scales { down, large, .. } = Scales::of(x.dtype());
                let plain = squares(&centred, 1.0, &axes);
                let ordinary = plain.with_constant(Binary::Div, n).with_constant(Binary::Add, epsilon);
                // ε is nothing beside squares as large as that.
                let huge = squares(&centred, down, &axes).with_constant(Binary::Div, n).rsqrt();
                let huge = huge.with_constant(Binary::Mul, down);
                let factor = plain.with_constant(Compare::Gt, large).select(huge, ordinary.rsqrt());
                (centred * &factor, factor)
            },
            |_, (y, factor), dx| {
                let t = dx * factor;
                let along = mean(&(y * &t));
                (&t - mean(&t) - y * &along, -(factor * along))
            },
        );
        y
    }
}
