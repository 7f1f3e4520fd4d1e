//! Dropout.

use gradus::{Key, Tensor, Tree};

/// In training each element is set to 0 with probability `rate` and divided by `1 - rate` otherwise, so that means stay;
/// outside training nothing happens (Srivastava et al. 2014).
///
/// ```
/// use gradus::{DType, Key, Tensor};
/// use gradus_nn::layers::Dropout;
/// let x = Tensor::ones([10000], DType::F32);
/// let y = Dropout { rate: 0.25 }.forward(&x, Some(&Key::new(0)));
/// assert!((y.mean(()).item::<f64>() - 1.0).abs() < 0.02);
/// assert_eq!(Dropout { rate: 0.25 }.forward(&x, None), x);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Tree)]
pub struct Dropout {
    /// The share of elements that are dropped, in [0, 1].
    pub rate: f64,
}

impl Dropout {
    /// Drops elements if a key is given.
    #[track_caller]
    pub fn forward(&self, x: &Tensor, training: Option<&Key>) -> Tensor {
        match training {
            Some(_) if self.rate >= 1.0 => x.zeros_like(),
            Some(key) if self.rate > 0.0 => {
                let keep = 1.0 - self.rate;
                key.bernoulli(keep, x.shape()).select(x * keep.recip(), 0.0)
            }
            _ => x.clone(),
        }
    }
}
