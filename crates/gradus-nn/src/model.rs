//! What a model is, and what can be said of any tree of parameters.

use gradus::{DType, Key, Tensor, Tree, with_own_rule};

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
    let leaves: Vec<Tensor> = floats.map(|t| t.cast(t.dtype().wide())).collect();
    match &leaves[..] {
        [] => return Tensor::zeros([], DType::F32),
        [leaf] => return leaf.norm(()),
        _ => {}
    }
    let sum = |terms: Vec<Tensor>| Tensor::stack(&terms.iter().collect::<Vec<_>>(), 0);
    // The norm, the tensors over it, and its inverse. A norm of the norms alone would have no second derivative by a tensor
    // that is 0, where its own norm has none.
    let (norm, _, _) = with_own_rule(
        &leaves,
        |leaves| {
            let norm = sum(leaves.iter().map(|x| x.norm(())).collect()).norm(());
            let zero = norm.equal(0.0);
            let length = zero.select(1.0, &norm);
            let units: Vec<Tensor> = leaves.iter().map(|x| x / length.cast(x.dtype())).collect();
            let inverse = zero.select(0.0, length.recip());
            (norm, units, inverse)
        },
        |_, (_, units, inverse), dx| {
            let parts = units.iter().zip(dx).map(|(unit, dx)| (unit * dx).sum(()));
            let along = sum(parts.collect()).sum(());
            let across = |(unit, dx): (&Tensor, &Tensor)| {
                (dx - unit * along.cast(dx.dtype())) * inverse.cast(dx.dtype())
            };
            let units = units.iter().zip(dx).map(across).collect();
            (along.clone(), units, -(inverse * &along * inverse))
        },
    );
    norm
}

/// The number of elements of all float tensors of a tree.
pub fn count_parameters<T: Tree>(tree: &T) -> usize {
    tree.tensors().iter().filter(|t| t.dtype().is_differentiable()).map(Tensor::size).sum()
}

/// The share of examples whose largest prediction is that of their label; NaN of none. A label that is no class is never right.
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
