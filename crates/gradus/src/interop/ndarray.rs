//! Arrays of `ndarray`.
//!
//! ```
//! use gradus::{Tensor, interop};
//! use ndarray::{ArrayD, array};
//!
//! let x = Tensor::from(array![[1.0, 2.0], [3.0, 4.0]]); // moved
//! let y: ArrayD<f64> = (x * 2.0).try_into()?; // moved
//! assert_eq!(y, array![[2.0, 4.0], [6.0, 8.0]].into_dyn());
//!
//! let host = Tensor::from(y.view()).to_array()?; // copied
//! let view = interop::ndarray::view::<f64>(&host)?; // borrowed
//! assert_eq!(view.sum(), 20.0);
//! # Ok::<(), gradus::Error>(())
//! ```

use gradus_core::{Array, Element};
use ndarray::{ArrayD, ArrayView, ArrayViewD, Dimension, IxDyn};

use super::{elements, parts};
use crate::trace::OrFail;
use crate::{Result, Tensor};

impl<T: Element, D: Dimension> From<ndarray::Array<T, D>> for Tensor {
    /// The elements are moved if they stand in row-major order.
    fn from(array: ndarray::Array<T, D>) -> Self {
        let size = array.len();
        if !array.is_standard_layout() {
            return array.view().into();
        }
        let shape = array.shape().to_vec();
        let (mut elements, offset) = array.into_raw_vec_and_offset();
        // What was sliced off stands before and behind.
        elements.drain(..offset.unwrap_or(0));
        elements.truncate(size);
        Tensor::new(shape, elements).or_fail()
    }
}

impl<T: Element, D: Dimension> From<&ndarray::Array<T, D>> for Tensor {
    fn from(array: &ndarray::Array<T, D>) -> Self {
        array.view().into()
    }
}

impl<T: Element, D: Dimension> From<ArrayView<'_, T, D>> for Tensor {
    fn from(view: ArrayView<'_, T, D>) -> Self {
        Tensor::new(view.shape().to_vec(), view.iter().copied().collect()).or_fail()
    }
}

impl<T: Element> TryFrom<Tensor> for ArrayD<T> {
    type Error = crate::Error;
    /// The elements are moved if nothing else holds them. (`into_dimensionality` gives a fixed number of axes.)
    fn try_from(tensor: Tensor) -> Result<Self> {
        let (shape, elements) = parts("ndarray", tensor)?;
        Ok(ArrayD::from_shape_vec(IxDyn(&shape), elements).expect("as many elements as the shape has"))
    }
}

impl<T: Element> TryFrom<&Tensor> for ArrayD<T> {
    type Error = crate::Error;
    fn try_from(tensor: &Tensor) -> Result<Self> {
        Ok(view(&tensor.to_array()?)?.to_owned())
    }
}

/// A host array as a view of `ndarray`.
///
/// # Errors
/// If its elements are no `T`s.
pub fn view<T: Element>(array: &Array) -> Result<ArrayViewD<'_, T>> {
    let elements = elements("ndarray", array)?;
    Ok(ArrayViewD::from_shape(IxDyn(array.shape()), elements).expect("as many elements as the shape has"))
}
