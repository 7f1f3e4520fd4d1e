//! Synthetic batches.

use gradus::{DType, Key, Tensor, Tree};

/// Inputs and their integer labels.
#[derive(Clone, Debug, Tree)]
pub struct Batch {
    /// `[N, …]`.
    pub inputs: Tensor,
    /// `[N]`, or `[N, T]` for texts; `i64`.
    pub labels: Tensor,
}

impl Batch {
    /// `n` inputs of a shape from the standard normal distribution, with labels below `classes`.
    pub(super) fn normal(key: &Key, n: usize, shape: &[usize], classes: usize) -> Self {
        let (a, b) = key.split();
        let mut extents = vec![n];
        extents.extend(shape);
        let labels = (b.uniform([n], DType::F32) * classes as f64).floor().cast(DType::I64);
        // A product rounded up to the number of classes would be no label.
        Batch { inputs: a.normal(extents, DType::F32), labels: labels.minimum(classes as i64 - 1) }
    }
}
