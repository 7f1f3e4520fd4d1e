//! Losses: scalars that say how far predictions are from what they should be. Each is the mean over all examples.

use gradus::Tensor;

/// The cross entropy of logits `[…, classes]` and integer labels `[…]`: the mean of `-ln softmax(z)[label]`.
///
/// A label outside the classes is an error when the program runs.
///
/// ```
/// use gradus::Tensor;
/// use gradus_nn::loss::cross_entropy;
/// let even = cross_entropy(&Tensor::from([[0.0, 0.0, 0.0, 0.0]]), &Tensor::from([2i64]));
/// assert!((even.item::<f64>() - 4f64.ln()).abs() < 1e-15);
/// ```
#[track_caller]
pub fn cross_entropy(logits: &Tensor, labels: &Tensor) -> Tensor {
    let picked = logits.log_softmax(-1).take_along_axis(&labels.expand_dims(-1), -1);
    -picked.mean(())
}

/// [`cross_entropy`] against labels of which a share `smoothing` is spread evenly over all classes (Szegedy et al. 2016).
///
/// ```
/// use gradus::Tensor;
/// use gradus_nn::loss::{cross_entropy, smooth_cross_entropy};
/// let (z, y) = (Tensor::from([[1.0, 2.0]]), Tensor::from([1i64]));
/// assert_eq!(smooth_cross_entropy(&z, &y, 0.0), cross_entropy(&z, &y));
/// ```
#[track_caller]
pub fn smooth_cross_entropy(logits: &Tensor, labels: &Tensor, smoothing: f64) -> Tensor {
    let logs = logits.log_softmax(-1);
    let picked = logs.take_along_axis(&labels.expand_dims(-1), -1).mean(());
    -(picked * (1.0 - smoothing) + logs.mean(()) * smoothing)
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
    (prediction - target).square().mean(())
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
    (prediction - target).abs().mean(())
}

/// Huber's loss: `d²/2` for differences up to `delta`, `delta (|d| - delta/2)` beyond.
///
/// ```
/// use gradus::Tensor;
/// let loss = gradus_nn::loss::huber(&Tensor::from([0.5, 3.0]), &Tensor::from([0.0, 0.0]), 1.0);
/// assert_eq!(loss, Tensor::from((0.125 + 2.5) / 2.0));
/// ```
#[track_caller]
pub fn huber(prediction: &Tensor, target: &Tensor, delta: f64) -> Tensor {
    let d = prediction - target;
    let size = d.abs();
    let outer = (&size - 0.5 * delta) * delta;
    size.less_equal(delta).select(d.square() * 0.5, outer).mean(())
}

/// The cross entropy of logits and targets in [0, 1], each element a question of its own:
/// `mean(softplus(z) - z y)`, exact for logits of any size.
///
/// ```
/// use gradus::Tensor;
/// let loss = gradus_nn::loss::binary_cross_entropy(&Tensor::from([1000.0, 0.0]), &Tensor::from([1.0, 0.0]));
/// assert!((loss.item::<f64>() - 2f64.ln() / 2.0).abs() < 1e-15);
/// ```
#[track_caller]
pub fn binary_cross_entropy(logits: &Tensor, targets: &Tensor) -> Tensor {
    // softplus(z) - z y, written so that no two large numbers are subtracted.
    (logits.softplus() * (1.0 - targets) + (-logits).softplus() * targets).mean(())
}
