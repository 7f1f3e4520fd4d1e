//! A network of depthwise-separable convolutions, in which element-wise work matters.

use gradus::{Key, Tensor, Tree, scope};

use crate::Model;
use crate::layers::{Activation, Conv2d, Formula, Linear};

/// A 3x3 convolution of each channel by itself, then a 1x1 convolution that mixes channels, SiLU after each.
#[derive(Clone, Debug, Tree)]
pub struct Unit {
    /// `[channels, 1, 3, 3]`.
    pub depthwise: Conv2d,
    /// `[outputs, channels, 1, 1]`.
    pub pointwise: Conv2d,
}

impl Unit {
    fn new(key: &Key, inputs: usize, outputs: usize) -> Self {
        let (a, b) = key.split();
        Unit {
            depthwise: Conv2d::depthwise(&a, inputs, 3).padding(1),
            pointwise: Conv2d::new(&b, inputs, outputs, 1),
        }
    }

    /// `[N, C, H, W]` to `[N, outputs, H, W]`.
    #[track_caller]
    pub fn forward(&self, x: &Tensor) -> Tensor {
        let y = scope("depthwise", || Activation::Formula(Formula::Silu).apply(&self.depthwise.forward(x)));
        scope("pointwise", || Activation::Formula(Formula::Silu).apply(&self.pointwise.forward(&y)))
    }
}

/// Stages of units with pooling between them, as in VGG (Simonyan and Zisserman 2015), of separable convolutions (Howard
/// et al. 2017) with SiLU: a 3x3 convolution, two [`Unit`]s a stage, 2x2 pooling, the mean over all places, and a linear
/// layer to ten classes.
///
/// ```
/// use gradus::{DType, Key, Tensor};
/// use gradus_nn::{Model, models::Separable};
/// let model = Separable::new(&Key::new(0), &[4, 8]);
/// assert_eq!(model.forward(&Tensor::zeros([2, 3, 8, 8], DType::F32), None).shape(), &[2, 10].into());
/// ```
#[derive(Clone, Debug, Tree)]
pub struct Separable {
    /// Three colours to the channels of the first stage.
    pub stem: Conv2d,
    /// Two units a stage; images are halved between stages.
    pub stages: Vec<[Unit; 2]>,
    /// To ten classes.
    pub head: Linear,
}

impl Separable {
    /// With so many channels in each stage.
    pub fn new(key: &Key, channels: &[usize]) -> Self {
        let keys = key.split_n(2 * channels.len() + 2);
        let first = channels.first().copied().unwrap_or(1);
        let mut inputs = first;
        let mut stages = Vec::new();
        for (pair, &outputs) in keys.chunks_exact(2).zip(channels) {
            stages.push([Unit::new(&pair[0], inputs, outputs), Unit::new(&pair[1], outputs, outputs)]);
            inputs = outputs;
        }
        Separable {
            stem: Conv2d::new(&keys[2 * channels.len()], 3, first, 3).padding(1),
            stages,
            head: Linear::new(&keys[2 * channels.len() + 1], inputs, 10),
        }
    }
}

impl Model for Separable {
    #[track_caller]
    fn forward(&self, x: &Tensor, _: Option<&Key>) -> Tensor {
        let mut x = scope("stem", || Activation::Formula(Formula::Silu).apply(&self.stem.forward(x)));
        for (i, units) in self.stages.iter().enumerate() {
            if i > 0 {
                x = scope(format!("stages.{i}.pool"), || x.max_pool2d(2));
            }
            for (j, unit) in units.iter().enumerate() {
                x = scope(format!("stages.{i}.{j}"), || unit.forward(&x));
            }
        }
        scope("head", || self.head.forward(&x.mean([2, 3])))
    }
}

/// Parameters of [`Separable::new`].
pub(super) fn parameters(channels: &[usize]) -> usize {
    let unit = |i: usize, o: usize| 10 * i + (i + 1) * o;
    let first = channels.first().copied().unwrap_or(1);
    let mut inputs = first;
    let mut count = 28 * first;
    for &outputs in channels {
        count += unit(inputs, outputs) + unit(outputs, outputs);
        inputs = outputs;
    }
    count + (inputs + 1) * 10
}
