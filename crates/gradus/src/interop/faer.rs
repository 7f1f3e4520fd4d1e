//! Matrices of `faer`, whose elements stand column by column.
//!
//! ```
//! use faer::{Mat, mat};
//! use gradus::{Tensor, interop};
//!
//! let a = Tensor::from(mat![[4.0, 1.0], [1.0, 3.0]]); // copied: another order
//! let host = (a * 2.0).to_array()?;
//! let view = interop::faer::view::<f64>(&host)?; // borrowed
//! assert_eq!(view[(0, 1)], 2.0);
//! let back: Mat<f64> = Tensor::from(view.transpose()).try_into()?;
//! assert_eq!(back[(1, 1)], 6.0);
//! # Ok::<(), gradus::Error>(())
//! ```

use faer::{Mat, MatRef};
use gradus_core::{Array, Element};

use super::{elements, extents};
use crate::trace::OrFail;
use crate::{Result, Tensor};

impl<T: Element> From<MatRef<'_, T>> for Tensor {
    fn from(matrix: MatRef<'_, T>) -> Self {
        let (rows, columns) = (matrix.nrows(), matrix.ncols());
        let elements = (0..rows).flat_map(|i| (0..columns).map(move |j| matrix[(i, j)])).collect();
        Tensor::new([rows, columns], elements).or_fail()
    }
}

impl<T: Element> From<&Mat<T>> for Tensor {
    fn from(matrix: &Mat<T>) -> Self {
        matrix.as_ref().into()
    }
}

impl<T: Element> From<Mat<T>> for Tensor {
    fn from(matrix: Mat<T>) -> Self {
        matrix.as_ref().into()
    }
}

impl<T: Element> TryFrom<&Tensor> for Mat<T> {
    type Error = crate::Error;
    fn try_from(tensor: &Tensor) -> Result<Self> {
        let array = tensor.to_array()?;
        let view = view(&array)?;
        Ok(Mat::from_fn(view.nrows(), view.ncols(), |i, j| view[(i, j)]))
    }
}

impl<T: Element> TryFrom<Tensor> for Mat<T> {
    type Error = crate::Error;
    fn try_from(tensor: Tensor) -> Result<Self> {
        (&tensor).try_into()
    }
}

/// A host array of two axes as a view of `faer`, its rows the first axis.
///
/// # Errors
/// If its elements are no `T`s, or it has not two axes.
pub fn view<T: Element>(array: &Array) -> Result<MatRef<'_, T>> {
    let elements = elements("faer", array)?;
    let [rows, columns] = extents("faer", array.shape())?;
    Ok(MatRef::from_row_major_slice(elements, rows, columns))
}
