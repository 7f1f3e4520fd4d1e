//! What a model is, and what can be said of any tree of parameters.

use gradus::{DType, Key, Tensor, Tree};

/// A tree of parameters that maps a batch to predictions.
pub trait Model: Tree + Clone {
    /// The predictions for a batch of inputs (axis 0). With a key the model is being trained, and draws what is random
    /// from it (dropout); without one the result depends on the input alone.
    fn forward(&self, x: &Tensor, training: Option<&Key>) -> Tensor;
}

/// `√Σ x²` over all float tensors of a tree, without overflow or underflow of the squares.
///
/// ```
/// use gradus::Tensor;
/// let norm = gradus_nn::global_norm(&(Tensor::from([3.0]), Tensor::from([[4.0]])));
/// assert_eq!(norm.item::<f64>(), 5.0);
/// ```
#[track_caller]
pub fn global_norm<T: Tree>(tree: &T) -> Tensor {
    let floats = tree.tensors().into_iter().filter(|t| t.dtype().is_differentiable());
    let norms: Vec<Tensor> = floats.map(|t| t.cast(t.dtype().tangent()).norm(())).collect();
    match &norms[..] {
        [] => Tensor::zeros([], DType::F32),
        [norm] => norm.clone(),
        _ => Tensor::stack(&norms.iter().collect::<Vec<_>>(), 0).norm(()),
    }
}

/// The number of elements of all float tensors of a tree.
pub fn count_parameters<T: Tree>(tree: &T) -> usize {
    tree.tensors().iter().filter(|t| t.dtype().is_differentiable()).map(Tensor::size).sum()
}

/// The share of examples whose largest prediction is that of their label; NaN of none.
///
/// ```
/// use gradus::Tensor;
/// let logits = Tensor::from([[2f32, 1.0], [0.0, 5.0]]);
/// assert_eq!(gradus_nn::accuracy(&logits, &Tensor::from([0i64, 0])).item::<f64>(), 0.5);
/// ```
#[track_caller]
pub fn accuracy(logits: &Tensor, labels: &Tensor) -> Tensor {
    crate::loss::labelled("accuracy", logits, labels);
    logits.argmax(-1).equal(labels).cast(DType::F32).mean(())
}
