//! A convolutional network for grey images of 28 x 28.

use gradus::{Key, Tensor, Tree, scope};

use crate::Model;
use crate::layers::{Activation, Conv2d, Linear};

/// Two 5x5 convolutions, each followed by ReLU and 2x2 pooling, then two linear layers (after LeNet-5, LeCun et al. 1998).
///
/// ```
/// use gradus::{DType, Key, Tensor};
/// use gradus_nn::{Model, models::Lenet};
/// let model = Lenet::new(&Key::new(0), 8, [2, 4], 16);
/// assert_eq!(model.forward(&Tensor::zeros([3, 1, 8, 8], DType::F32), None).shape(), &[3, 10].into());
/// ```
#[derive(Clone, Debug, Tree)]
pub struct Lenet {
    /// Padded by 2, so that only pooling makes images smaller.
    pub convolutions: [Conv2d; 2],
    /// To the hidden features, then to ten classes.
    pub linear: [Linear; 2],
}

impl Lenet {
    /// For images `[N, 1, side, side]` (`side` a multiple of 4), with so many channels and hidden features.
    pub fn new(key: &Key, side: usize, channels: [usize; 2], hidden: usize) -> Self {
        let keys = key.split_n(4);
        let conv = |i: usize, inputs, outputs| Conv2d::new(&keys[i], inputs, outputs, 5).padding(2);
        let features = channels[1].saturating_mul(side / 4).saturating_mul(side / 4);
        Lenet {
            convolutions: [conv(0, 1, channels[0]), conv(1, channels[0], channels[1])],
            linear: [Linear::new(&keys[2], features, hidden), Linear::new(&keys[3], hidden, 10)],
        }
    }
}

impl Model for Lenet {
    #[track_caller]
    fn forward(&self, x: &Tensor, _: Option<&Key>) -> Tensor {
        let mut x = x.clone();
        for (i, conv) in self.convolutions.iter().enumerate() {
            x = scope(format!("convolutions.{i}"), || {
                Activation::Relu.apply(&conv.forward(&x)).max_pool2d(2)
            });
        }
        let hidden =
            scope("linear.0", || Activation::Relu.apply(&self.linear[0].forward(&x.flatten_from(1))));
        scope("linear.1", || self.linear[1].forward(&hidden))
    }
}

/// Parameters of [`Lenet::new`].
pub(super) fn parameters(side: usize, channels: [usize; 2], hidden: usize) -> usize {
    let features = channels[1] * (side / 4) * (side / 4);
    (25 + 1) * channels[0]
        + (25 * channels[0] + 1) * channels[1]
        + (features + 1) * hidden
        + (hidden + 1) * 10
}
