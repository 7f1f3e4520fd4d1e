//! Normalisation.

use gradus::{Axes, DType, Tensor, Tree, custom_jvp};

/// `(x - x̄) / √(var + ε) · weight + bias` over the last axis (Ba et al. 2016).
///
/// ```
/// use gradus::Tensor;
/// use gradus_nn::layers::LayerNorm;
/// let y = LayerNorm::new(4).forward(&Tensor::from([[1f32, 2.0, 3.0, 4.0]]));
/// assert!(y.mean(()).item::<f64>().abs() < 1e-6);
/// ```
#[derive(Clone, Debug, Tree)]
pub struct LayerNorm {
    /// `[width]`, starts as 1.
    pub weight: Tensor,
    /// `[width]`, starts as 0.
    pub bias: Tensor,
    epsilon: f64,
}

impl LayerNorm {
    /// Over an axis of `width` elements, with ε = 10⁻⁵.
    pub fn new(width: usize) -> Self {
        LayerNorm {
            weight: Tensor::ones([width], DType::F32),
            bias: Tensor::zeros([width], DType::F32),
            epsilon: 1e-5,
        }
    }

    /// The normalised tensor.
    #[track_caller]
    pub fn forward(&self, x: &Tensor) -> Tensor {
        x.standardize(-1, self.epsilon) * &self.weight + &self.bias
    }
}

/// Normalisation of each channel of `[N, C, …]` over the batch (Ioffe and Szegedy 2015).
///
/// In training it uses the statistics of the batch and also gives the running ones forward: a model returns the layer of
/// [`train`](BatchNorm::train) beside its loss, and takes it over after the step. The running statistics take no part in
/// derivatives and have one axis, so weight decay leaves them alone too.
///
/// ```
/// use gradus::{DType, Key};
/// use gradus_nn::layers::BatchNorm;
/// let layer = BatchNorm::new(3);
/// let x = Key::new(0).normal([64, 3, 5, 5], DType::F32) * 2.0 + 1.0;
/// let (y, layer) = layer.train(&x);
/// assert!((y.var((), 0).item::<f64>() - 1.0).abs() < 1e-3);
/// assert!((layer.mean.mean(()).item::<f64>() - 0.1).abs() < 0.02);
/// ```
#[derive(Clone, Debug, Tree)]
pub struct BatchNorm {
    /// `[channels]`, starts as 1.
    pub weight: Tensor,
    /// `[channels]`, starts as 0.
    pub bias: Tensor,
    /// The running mean.
    pub mean: Tensor,
    /// The running variance.
    pub variance: Tensor,
    momentum: f64,
    epsilon: f64,
}

/// `x - x̄` over some axes, the first among them, `x̄`, and the variance.
///
/// Mean and variance come out of one pass, as `x̄ = s + d̄` and `var = mean(d²) - d̄²` where `d = x - s`. The shift `s` is
/// the mean of the first example: near `x̄`, so that the difference of squares cancels little. Nothing depends on it, so
/// it takes no part in derivatives.
#[track_caller]
fn moments(x: &Tensor, axes: &[usize]) -> (Tensor, Tensor, Tensor) {
    let all = Axes::keep(axes.to_vec());
    let shift = x.stop_gradient().slice(0, ..1.min(x.shape()[0] as isize)).mean(all.clone());
    let shifted = x - &shift;
    let distance = shifted.mean(all.clone());
    let variance = shifted.square().mean(all) - distance.square();
    let mean = shift + distance;
    (x - &mean, mean, variance)
}

/// `z = (x - x̄) / √(var + ε) · weight + bias` over some axes, with `x̄` and the variance; weight and bias lie ready beside
/// `x`.
///
/// With `y = (x - x̄) / √(var + ε)` its derivative is `dz = t - t̄ + dbias + y (dweight - mean(y t))` where
/// `t = dx · weight / √(var + ε)`. The same comes out of the definition, but there the sum for the mean waits for the one
/// for the variance: written this way, both are taken in one pass over memory; so are `Σ c` and `Σ y c` of a cotangent
/// `c`, from which its transpose has everything for one more.
#[track_caller]
fn normalised(
    operands: &(Tensor, Tensor, Tensor),
    axes: Vec<usize>,
    epsilon: f64,
) -> (Tensor, Tensor, Tensor) {
    // One tensor, so that what is computed from it in both functions is computed once.
    let epsilon = Tensor::full([], operands.0.dtype(), epsilon);
    let of = |x: &Tensor| {
        let (centred, mean, variance) = moments(x, &axes);
        let scale = (&variance + &epsilon).rsqrt();
        (centred, mean, variance, scale)
    };
    custom_jvp(
        |(x, weight, bias): &(Tensor, Tensor, Tensor)| {
            let (centred, mean, variance, scale) = of(x);
            // By way of `y`, which the backward pass reads: what follows can be computed from it again.
            (centred * scale * weight + bias, mean, variance)
        },
        |(x, weight, _), (dx, dweight, dbias)| {
            let (centred, _, _, scale) = of(x);
            let (y, t) = (&centred * &scale, dx * (scale * weight));
            let mean = |t: Tensor| t.mean(Axes::keep(axes.clone()));
            // What has an element a channel is put together first.
            let dz = &t + (dbias - mean(t.clone())) + &y * (dweight - mean(&y * &t));
            (dz, mean(dx.clone()), mean(centred * dx) * 2.0)
        },
    )(operands)
}

impl BatchNorm {
    /// Over `channels`, with ε = 10⁻⁵; the running statistics move by a tenth at each step.
    pub fn new(channels: usize) -> Self {
        let fill = |value| Tensor::full([channels], DType::F32, value);
        BatchNorm {
            weight: fill(1.0),
            bias: fill(0.0),
            mean: fill(0.0),
            variance: fill(1.0),
            momentum: 0.1,
            epsilon: 1e-5,
        }
    }

    /// A statistic of channels, ready to meet `[N, C, …]`.
    #[track_caller]
    fn beside(t: &Tensor, rank: usize) -> Tensor {
        let mut shape = vec![1; rank];
        shape[1] = t.size();
        t.reshape(shape)
    }

    /// With the statistics of this batch: the result, and the layer with its running statistics moved.
    #[track_caller]
    pub fn train(&self, x: &Tensor) -> (Tensor, BatchNorm) {
        let axes: Vec<usize> = (0..x.rank()).filter(|&a| a != 1).collect();
        let count = axes.iter().map(|&a| x.shape()[a]).product::<usize>() as f64;
        let beside = |t: &Tensor| Self::beside(t, x.rank());
        let operands = (x.clone(), beside(&self.weight), beside(&self.bias));
        let (y, mean, variance) = normalised(&operands, axes, self.epsilon);
        let moved = |old: &Tensor, new: &Tensor| {
            let new = new.flatten().stop_gradient();
            old + (new - old) * self.momentum
        };
        // The running variance is that of a sample.
        let sample = &variance * (count / (count - 1.0).max(1.0));
        let next = BatchNorm {
            mean: moved(&self.mean, &mean),
            variance: moved(&self.variance, &sample),
            ..self.clone()
        };
        (y, next)
    }

    /// With the running statistics.
    #[track_caller]
    pub fn forward(&self, x: &Tensor) -> Tensor {
        let beside = |t: &Tensor| Self::beside(t, x.rank());
        let scale = (&self.variance.stop_gradient() + self.epsilon).rsqrt();
        let centred = x - beside(&self.mean.stop_gradient());
        centred * beside(&(scale * &self.weight)) + beside(&self.bias)
    }
}
