//! Losses: scalars that say how far predictions are from what they should be. Each is the mean over all examples, and none
//! stretches its operands to a common shape.

use gradus::{ErrorKind, Tensor, raise};

/// Which elements of a loss count, how much, and what becomes of them: the mean of all by default.
///
/// What does not count adds 0 whatever it holds, NaN included, and so does its gradient. The mean is `Σ wᵢ lᵢ / Σ wᵢ` over
/// what counts, 0 if nothing does.
///
/// ```
/// use gradus::Tensor;
/// use gradus_nn::loss::{Over, cross_entropy_over, mse_over};
/// let (x, y) = (Tensor::from([1.0, 2.0, f64::NAN]), Tensor::from([0.0, 0.0, 0.0]));
/// let known = Tensor::from([true, true, false]);
/// assert_eq!(mse_over(&x, &y, &Over::all().mask(&known)), Tensor::from(2.5));
/// assert_eq!(mse_over(&x, &y, &Over::all().mask(&known).sum()), Tensor::from(5.0));
/// assert_eq!(mse_over(&x, &y, &Over::all().mask(&known).each()), Tensor::from([1.0, 4.0, 0.0]));
/// let weights = Tensor::from([3.0, 1.0, 1.0]);
/// assert_eq!(mse_over(&x, &y, &Over::all().mask(&known).weights(&weights)), Tensor::from(7.0 / 4.0));
/// let (z, labels) = (Tensor::from([[0.0, 0.0], [9.0, 9.0]]), Tensor::from([1i64, -100]));
/// let loss = cross_entropy_over(&z, &labels, &Over::all().ignore(-100));
/// assert!((loss.item::<f64>() - 2f64.ln()).abs() < 1e-15);
/// ```
#[derive(Clone, Debug, Default)]
pub struct Over {
    weights: Option<Tensor>,
    mask: Option<Tensor>,
    ignored: Option<i64>,
    reduction: Reduction,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Reduction {
    #[default]
    Mean,
    Sum,
    Each,
}

impl Over {
    /// The mean of all elements.
    pub fn all() -> Self {
        Over::default()
    }

    /// Elements by weights of their shape: floats, 0 or above.
    pub fn weights(mut self, weights: &Tensor) -> Self {
        self.weights = Some(weights.clone());
        self
    }

    /// Only elements at which this tensor of their shape is true.
    pub fn mask(mut self, mask: &Tensor) -> Self {
        self.mask = Some(mask.clone());
        self
    }

    /// Only elements whose label is another one: for losses with labels.
    pub fn ignore(mut self, label: i64) -> Self {
        self.ignored = Some(label);
        self
    }

    /// The sum instead of the mean: `Σ wᵢ lᵢ`.
    pub fn sum(mut self) -> Self {
        self.reduction = Reduction::Sum;
        self
    }

    /// The elements themselves: `wᵢ lᵢ`, in their shape.
    pub fn each(mut self) -> Self {
        self.reduction = Reduction::Each;
        self
    }

    /// Brings the losses of elements together.
    #[track_caller]
    fn reduce(&self, op: &'static str, losses: &Tensor) -> Tensor {
        let (mut losses, mut weights) = (losses.clone(), None);
        if let Some(given) = &self.weights {
            same_shape(op, &losses, given);
            weights = Some(given.clone());
        }
        if let Some(mask) = &self.mask {
            same_shape(op, &losses, mask);
            losses = mask.select(&losses, 0);
            weights = Some(mask.select(weights.unwrap_or_else(|| losses.ones_like()), 0));
        }
        let weighted = weights.as_ref().map_or_else(|| losses.clone(), |weights| &losses * weights);
        match (self.reduction, weights) {
            (Reduction::Each, _) => weighted,
            (Reduction::Sum, _) => weighted.sum(()),
            (Reduction::Mean, None) => weighted.mean(()),
            (Reduction::Mean, Some(weights)) => {
                let total = weights.sum(());
                weighted.sum(()) / total.equal(0).select(1, total)
            }
        }
    }

    /// With the mask of labels that are not ignored, and labels that are classes in their place.
    #[track_caller]
    fn without_ignored(&self, op: &'static str, labels: &Tensor) -> (Over, Tensor) {
        let Some(ignored) = self.ignored else { return (self.clone(), labels.clone()) };
        let mut counts = labels.not_equal(ignored);
        let labels = counts.select(labels, 0);
        if let Some(mask) = &self.mask {
            same_shape(op, &labels, mask);
            counts &= mask;
        }
        (Over { mask: Some(counts), ..self.clone() }, labels)
    }

    /// For losses without labels.
    #[track_caller]
    fn no_labels(&self, op: &'static str) {
        if self.ignored.is_some() {
            let detail = "there are no labels to ignore here; use `mask`".into();
            raise(ErrorKind::Argument { op, detail });
        }
    }
}

/// Predictions and targets have one shape: a column beside a row would be stretched to a matrix of differences.
#[track_caller]
fn same_shape(op: &'static str, prediction: &Tensor, target: &Tensor) {
    if prediction.shape() != target.shape() {
        let shapes = vec![prediction.shape().clone(), target.shape().clone()];
        let detail = "predictions and targets must have one shape; `reshape` or `squeeze` one of them".into();
        raise(ErrorKind::Shape { op, shapes, detail });
    }
}

/// Labels have the shape of the logits without their last axis.
#[track_caller]
pub(crate) fn labelled(op: &'static str, logits: &Tensor, labels: &Tensor) {
    if logits.shape().split_last().map(|(_, rest)| rest) != Some(&**labels.shape()) {
        let shapes = vec![logits.shape().clone(), labels.shape().clone()];
        let detail =
            "labels must have the shape of the logits without the last axis, that of the classes".into();
        raise(ErrorKind::Shape { op, shapes, detail });
    }
}

/// A parameter of a loss lies in its range; NaN lies in none.
#[track_caller]
fn within(
    op: &'static str,
    name: &str,
    value: f64,
    range: impl std::ops::RangeBounds<f64> + std::fmt::Debug,
) {
    if !range.contains(&value) {
        raise(ErrorKind::Argument {
            op,
            detail: format!("`{name}` is {value}, and has to lie in {range:?}"),
        });
    }
}

/// The cross entropy of logits `[…, classes]` and integer labels `[…]`: the mean of `-ln softmax(z)[label]`.
///
/// A label outside the classes, a negative one too, is an error when the program runs, which names it and its place.
///
/// ```
/// use gradus::Tensor;
/// use gradus_nn::loss::cross_entropy;
/// let even = cross_entropy(&Tensor::from([[0.0, 0.0, 0.0, 0.0]]), &Tensor::from([2i64]));
/// assert!((even.item::<f64>() - 4f64.ln()).abs() < 1e-15);
/// ```
#[track_caller]
pub fn cross_entropy(logits: &Tensor, labels: &Tensor) -> Tensor {
    labelled("cross_entropy", logits, labels);
    -logits.log_softmax(-1).labelled(labels).mean(())
}

/// [`cross_entropy`] over some of the examples, or by weights: see [`Over`].
#[track_caller]
pub fn cross_entropy_over(logits: &Tensor, labels: &Tensor, over: &Over) -> Tensor {
    labelled("cross_entropy", logits, labels);
    let (over, labels) = over.without_ignored("cross_entropy", labels);
    over.reduce("cross_entropy", &-logits.log_softmax(-1).labelled(&labels))
}

/// [`cross_entropy`] against labels of which a share `smoothing` is spread evenly over all classes (Szegedy et al. 2016);
/// [`cross_entropy`] itself where that share is 0, also if a class is impossible (a logit of -∞).
///
/// ```
/// use gradus::Tensor;
/// use gradus_nn::loss::{cross_entropy, smooth_cross_entropy};
/// let (z, y) = (Tensor::from([[1.0, 2.0]]), Tensor::from([1i64]));
/// assert_eq!(smooth_cross_entropy(&z, &y, 0.0), cross_entropy(&z, &y));
/// ```
///
/// # Panics
/// If the share is none between 0 and 1.
#[track_caller]
pub fn smooth_cross_entropy(logits: &Tensor, labels: &Tensor, smoothing: f64) -> Tensor {
    within("smooth_cross_entropy", "smoothing", smoothing, 0.0..=1.0);
    if smoothing == 0.0 {
        return cross_entropy(logits, labels);
    }
    labelled("smooth_cross_entropy", logits, labels);
    let logs = logits.log_softmax(-1);
    let picked = logs.labelled(labels).mean(());
    -(picked * (1.0 - smoothing) + logs.mean(()) * smoothing)
}

/// [`smooth_cross_entropy`] over some of the examples, or by weights: see [`Over`].
#[track_caller]
pub fn smooth_cross_entropy_over(logits: &Tensor, labels: &Tensor, smoothing: f64, over: &Over) -> Tensor {
    within("smooth_cross_entropy", "smoothing", smoothing, 0.0..=1.0);
    if smoothing == 0.0 {
        return cross_entropy_over(logits, labels, over);
    }
    labelled("smooth_cross_entropy", logits, labels);
    let (over, labels) = over.without_ignored("smooth_cross_entropy", labels);
    let logs = logits.log_softmax(-1);
    let picked = logs.labelled(&labels);
    over.reduce("smooth_cross_entropy", &-(picked * (1.0 - smoothing) + logs.mean(-1) * smoothing))
}

/// The mean squared error `mean((x - y)²)`.
///
/// ```
/// use gradus::Tensor;
/// let error = gradus_nn::loss::mse(&Tensor::from([1.0, 3.0]), &Tensor::from([0.0, 0.0]));
/// assert_eq!(error, Tensor::from(5.0));
/// ```
#[track_caller]
pub fn mse(prediction: &Tensor, target: &Tensor) -> Tensor {
    mse_over(prediction, target, &Over::all())
}

/// [`mse`] over some of the elements, or by weights: see [`Over`].
#[track_caller]
pub fn mse_over(prediction: &Tensor, target: &Tensor, over: &Over) -> Tensor {
    same_shape("mse", prediction, target);
    over.no_labels("mse");
    over.reduce("mse", &(prediction - target).square())
}

/// The mean absolute error `mean(|x - y|)`; derivative 0 where they are equal.
///
/// ```
/// use gradus::Tensor;
/// let error = gradus_nn::loss::mae(&Tensor::from([1.0, -3.0]), &Tensor::from([0.0, 0.0]));
/// assert_eq!(error, Tensor::from(2.0));
/// ```
#[track_caller]
pub fn mae(prediction: &Tensor, target: &Tensor) -> Tensor {
    mae_over(prediction, target, &Over::all())
}

/// [`mae`] over some of the elements, or by weights: see [`Over`].
#[track_caller]
pub fn mae_over(prediction: &Tensor, target: &Tensor, over: &Over) -> Tensor {
    same_shape("mae", prediction, target);
    over.no_labels("mae");
    over.reduce("mae", &(prediction - target).abs())
}

/// Huber's loss: `d²/2` for differences up to `delta`, `delta (|d| - delta/2)` beyond.
///
/// ```
/// use gradus::Tensor;
/// let loss = gradus_nn::loss::huber(&Tensor::from([0.5, 3.0]), &Tensor::from([0.0, 0.0]), 1.0);
/// assert_eq!(loss, Tensor::from((0.125 + 2.5) / 2.0));
/// ```
///
/// # Panics
/// If `delta` is negative or NaN.
#[track_caller]
pub fn huber(prediction: &Tensor, target: &Tensor, delta: f64) -> Tensor {
    huber_over(prediction, target, delta, &Over::all())
}

/// [`huber`] over some of the elements, or by weights: see [`Over`].
#[track_caller]
pub fn huber_over(prediction: &Tensor, target: &Tensor, delta: f64, over: &Over) -> Tensor {
    within("huber", "delta", delta, 0.0..);
    same_shape("huber", prediction, target);
    over.no_labels("huber");
    let d = prediction - target;
    let size = d.abs();
    let outer = (&size - 0.5 * delta) * delta;
    over.reduce("huber", &size.less_equal(delta).select(d.square() * 0.5, outer))
}

/// The cross entropy of logits and targets in [0, 1], each element a question of its own:
/// `mean(softplus(z) - z y)`, exact for logits of any size: an infinite one costs nothing where it is right, and ∞ elsewhere.
///
/// ```
/// use gradus::Tensor;
/// let loss = gradus_nn::loss::binary_cross_entropy(&Tensor::from([1000.0, 0.0]), &Tensor::from([1.0, 0.0]));
/// assert!((loss.item::<f64>() - 2f64.ln() / 2.0).abs() < 1e-15);
/// ```
#[track_caller]
pub fn binary_cross_entropy(logits: &Tensor, targets: &Tensor) -> Tensor {
    binary_cross_entropy_over(logits, targets, &Over::all())
}

/// [`binary_cross_entropy`] over some of the elements, or by weights: see [`Over`].
#[track_caller]
pub fn binary_cross_entropy_over(logits: &Tensor, targets: &Tensor, over: &Over) -> Tensor {
    same_shape("binary_cross_entropy", logits, targets);
    over.no_labels("binary_cross_entropy");
    // softplus(z) - z y, written so that no two large numbers are subtracted.
    let losses = logits.softplus() * (1.0 - targets) + (-logits).softplus() * targets;
    // Where an infinite logit is right, 0 stands beside infinity.
    let side = logits.greater(0.0).cast(targets.dtype());
    let sure = logits.abs().equal(f64::INFINITY) & targets.equal(side);
    let losses = sure.select(0.0, losses);
    over.reduce("binary_cross_entropy", &losses)
}
