//! Rows of a table, picked by integers.

use gradus::{Key, Tensor, Tree};

use crate::Init;

/// A table of vectors: `[…]` integers become `[…, width]`.
///
/// ```
/// use gradus::{Key, Tensor};
/// use gradus_nn::layers::Embedding;
/// let table = Embedding::new(&Key::new(0), 100, 16);
/// assert_eq!(table.forward(&Tensor::from([[3i64, 7, 7]])).shape(), &[1, 3, 16].into());
/// ```
#[derive(Clone, Debug, Tree)]
pub struct Embedding {
    /// `[count, width]`.
    pub weight: Tensor,
}

impl Embedding {
    /// Normal entries of deviation 0.02.
    pub fn new(key: &Key, count: usize, width: usize) -> Self {
        Embedding { weight: Init::Normal(0.02).sample(key, [count, width], count, width) }
    }

    /// The rows of the indices; one that is negative or too large is an error when the program runs.
    #[track_caller]
    pub fn forward(&self, indices: &Tensor) -> Tensor {
        self.weight.rows(indices)
    }
}
