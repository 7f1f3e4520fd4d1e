//! A small convolutional network for small grey images.

use gradus::{Key, Tensor, Tree, scope};

use crate::Model;
use crate::layers::{Activation, Conv2d, Dropout, Linear};

/// Two convolutions, pooling, a third convolution, pooling, two linear layers: for the 8 x 8 digits.
///
/// ```
/// use gradus::{DType, Key, Tensor};
/// use gradus_nn::{Model, models::Cnn};
/// let model = Cnn::digits(&Key::new(0));
/// assert_eq!(model.forward(&Tensor::zeros([2, 1, 8, 8], DType::F32), None).shape(), &[2, 10].into());
/// ```
#[derive(Clone, Debug, Tree)]
pub struct Cnn {
    /// Before each of the first convolutions nothing is pooled; after the second and third 2 x 2 are.
    pub convolutions: [Conv2d; 3],
    /// To 64 features, then to 10 classes.
    pub linear: [Linear; 2],
    /// Between everything.
    pub activation: Activation,
    /// Before the last layer.
    pub dropout: Dropout,
}

impl Cnn {
    /// The network for `[N, 1, 8, 8]` and ten classes: 31,850 parameters.
    pub fn digits(key: &Key) -> Self {
        let keys = key.split_n(5);
        let conv = |i: usize, inputs, outputs| Conv2d::new(&keys[i], inputs, outputs, 3).padding(1);
        Cnn {
            convolutions: [conv(0, 1, 16), conv(1, 16, 32), conv(2, 32, 32)],
            linear: [Linear::new(&keys[3], 128, 128), Linear::new(&keys[4], 128, 10)],
            activation: Activation::Relu,
            dropout: Dropout { rate: 0.25 },
        }
    }
}

impl Model for Cnn {
    #[track_caller]
    fn forward(&self, x: &Tensor, training: Option<&Key>) -> Tensor {
        let mut x = x.clone();
        for (i, conv) in self.convolutions.iter().enumerate() {
            x = scope(format!("convolutions.{i}"), || {
                let y = self.activation.apply(&conv.forward(&x));
                if i > 0 { y.max_pool2d(2) } else { y }
            });
        }
        let hidden = scope("linear.0", || self.activation.apply(&self.linear[0].forward(&x.flatten_from(1))));
        scope("linear.1", || self.linear[1].forward(&self.dropout.forward(&hidden, training)))
    }
}
