//! Exponentials that share a sum: softmax, its logarithm, and the logarithm of the sum.
//!
//! Nearly all of the weight may lie on one element. What the others have is then far below the last digit of 1, and is
//! all that derivatives are made of: in the logarithms it is never taken as a difference from 1. Those of 16-bit floats
//! are those of `f32`, rounded.

use gradus_core::Binary;
use gradus_core::ops::Compare;

use crate::Tensor;
use crate::tensor::Axes;
use crate::transform::with_own_rule;

/// What of `dx` is not along the weights `p`: `dx - Σ p dx`, taken twice. The first time a part at the element with most
/// of the weight cancels; the second time what was lost is added up.
#[track_caller]
fn beside(dx: &Tensor, p: &Tensor, axes: &Axes) -> Tensor {
    let rough = dx - (p * dx).sum(axes.clone());
    &rough - (p * &rough).sum(axes.clone())
}

/// `e^(x - top)` and its sum over axes that stay; for a row of -∞ both are 0.
#[track_caller]
fn exponentials(x: &Tensor, axes: &Axes) -> (Tensor, Tensor, Tensor) {
    let top = x.max(axes.clone());
    let below = x - top.with_constant(Compare::Eq, f64::NEG_INFINITY).select(0.0, &top);
    let e = below.exp();
    let sum = e.sum(axes.clone());
    (below, e, sum)
}

/// The weights `e / Σ e`, 0 where the sum is.
#[track_caller]
fn weights(e: &Tensor, sum: &Tensor) -> Tensor {
    e / sum.equal(0.0).select(1.0, sum)
}

/// `ln Σ e` from `sum = Σ e` of `e^below`, where one element is 1: `ln(1 + the others)`.
#[track_caller]
fn log_sum(below: &Tensor, e: &Tensor, sum: &Tensor, axes: &Axes) -> Tensor {
    let smaller = below.less(0.0).select(e, 0.0).sum(axes.clone());
    // Where several are largest, the others have a weight that is no less than 1.
    let several = (sum - &smaller).with_constant(Compare::Gt, 1.5);
    several.select(sum.with_constant(Binary::Sub, 1.0), smaller).log1p()
}

impl Tensor {
    /// `eˣ / Σ eˣ` along an axis, without overflow. Where all of `x` is -∞, as in a row of scores that is masked
    /// altogether, it is 0, with derivative 0.
    ///
    /// ```
    /// use gradus::{Tensor, grad};
    /// let masked = Tensor::from([f64::NEG_INFINITY; 2]);
    /// assert_eq!(masked.softmax(0), Tensor::from([0.0, 0.0]));
    /// assert_eq!(grad(|x: &Tensor| x.softmax(0).index(0, 0))(&masked), Tensor::from([0.0, 0.0]));
    /// ```
    #[track_caller]
    pub fn softmax(&self, axis: isize) -> Tensor {
        self.of_floats("softmax");
        if let Some(x) = self.widened() {
            return x.softmax(axis).cast(self.dtype());
        }
        // Without a rule of its own: attention is planned block by block from what this is made of.
        let axes = Axes::keep(axis);
        let top = self.max(axes.clone()).stop_gradient();
        let top = top.with_constant(Compare::Eq, f64::NEG_INFINITY).select(0.0, top);
        let e = (self - top).exp();
        let sum = e.sum(axes);
        weights(&e, &sum)
    }

    /// `ln softmax(x)`, accurate where the softmax underflows and where it is nearly 1.
    ///
    /// ```
    /// use gradus::{Tensor, grad};
    /// let x = Tensor::from([40.0, 0.0]);
    /// assert_eq!(x.log_softmax(0).index(0, 0).item::<f64>(), -(-40f64).exp().ln_1p());
    /// let row = grad(|x: &Tensor| x.log_softmax(0).index(0, 0))(&x);
    /// assert_eq!(row.sum(()), Tensor::from(0.0));
    /// ```
    #[track_caller]
    pub fn log_softmax(&self, axis: isize) -> Tensor {
        self.of_floats("log_softmax");
        if let Some(x) = self.widened() {
            return x.log_softmax(axis).cast(self.dtype());
        }
        let axes = Axes::keep(axis);
        let (y, _) = with_own_rule(
            self,
            |x| {
                let (below, e, sum) = exponentials(x, &axes);
                (&below - log_sum(&below, &e, &sum, &axes), weights(&e, &sum))
            },
            |_, (_, p), dx| {
                let dy = beside(dx, p, &axes);
                (dy.clone(), p * dy)
            },
        );
        y
    }

    /// `ln Σ eˣ` without overflow; -∞ of nothing but -∞, with derivative 0, and ∞ where an element is. The derivative is the
    /// softmax.
    ///
    /// ```
    /// use gradus::{Tensor, grad};
    /// let x = Tensor::from([f64::INFINITY, 0.0]);
    /// assert_eq!(x.logsumexp(()), Tensor::from(f64::INFINITY));
    /// assert_eq!(grad(|x: &Tensor| x.logsumexp(()))(&x), Tensor::from([1.0, 0.0]));
    /// ```
    #[track_caller]
    pub fn logsumexp(&self, axes: impl Into<Axes>) -> Tensor {
        self.of_floats("logsumexp");
        if let Some(x) = self.widened() {
            return x.logsumexp(axes).cast(self.dtype());
        }
        let (axes, keep) = axes.into().kept();
        let (y, _) = with_own_rule(
            self,
            |x| {
                let top = x.max(axes.clone());
                let from = top.with_constant(Compare::Eq, f64::NEG_INFINITY).select(0.0, &top);
                // An infinity must not be subtracted from itself.
                let below = x.equal(&from).select(0.0, x - &from);
                let e = below.exp();
                let sum = e.sum(axes.clone());
                (top + log_sum(&below, &e, &sum, &axes), weights(&e, &sum))
            },
            |_, (_, p), dx| {
                let along = (p * dx).sum(axes.clone());
                (along, p * beside(dx, p, &axes))
            },
        );
        if keep { y } else { y.squeeze(axes) }
    }
}
