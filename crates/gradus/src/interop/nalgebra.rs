//! Matrices and vectors of `nalgebra`, whose elements stand column by column.
//!
//! ```
//! use gradus::{Tensor, interop};
//! use nalgebra::{DMatrix, DVector, matrix};
//!
//! let a = Tensor::from(DMatrix::from_row_slice(2, 2, &[4.0, 1.0, 1.0, 3.0])); // copied: another order
//! let b = Tensor::from(DVector::from_vec(vec![1.0, 2.0])); // moved
//! let host = a.to_array()?;
//! let x = interop::nalgebra::view::<f64>(&host)?.clone_owned().lu().solve(&DVector::<f64>::try_from(b)?);
//! let x = x.map(Tensor::from).expect("the matrix is regular");
//! assert!((a.matmul(&x) - Tensor::from([1.0, 2.0])).abs().max(()).item::<f64>() < 1e-15);
//! assert_eq!(interop::nalgebra::tensor(&matrix![1.0, 2.0]), Tensor::from([[1.0, 2.0]]));
//! # Ok::<(), gradus::Error>(())
//! ```

use gradus_core::{Array, Element};
use nalgebra::{DMatrix, DVector, Dim, Dyn, Matrix, MatrixView, RawStorage, Scalar};

use super::{elements, extents, parts};
use crate::trace::OrFail;
use crate::{Result, Tensor};

/// A tensor of rows and columns of any matrix or view.
pub fn tensor<T, R, C, S>(matrix: &Matrix<T, R, C, S>) -> Tensor
where
    T: Element + Scalar,
    R: Dim,
    C: Dim,
    S: RawStorage<T, R, C>,
{
    let elements = matrix.row_iter().flat_map(|row| row.iter().copied().collect::<Vec<T>>()).collect();
    Tensor::new([matrix.nrows(), matrix.ncols()], elements).or_fail()
}

impl<T: Element + Scalar> From<DMatrix<T>> for Tensor {
    fn from(matrix: DMatrix<T>) -> Self {
        tensor(&matrix)
    }
}

impl<T: Element + Scalar> From<&DMatrix<T>> for Tensor {
    fn from(matrix: &DMatrix<T>) -> Self {
        tensor(matrix)
    }
}

impl<T: Element + Scalar> From<DVector<T>> for Tensor {
    /// One axis; the elements are moved.
    fn from(vector: DVector<T>) -> Self {
        let elements: Vec<T> = vector.data.into();
        Tensor::new([elements.len()], elements).or_fail()
    }
}

impl<T: Element + Scalar> From<&DVector<T>> for Tensor {
    /// One axis.
    fn from(vector: &DVector<T>) -> Self {
        Tensor::new([vector.len()], vector.as_slice().to_vec()).or_fail()
    }
}

impl<T: Element + Scalar> TryFrom<Tensor> for DMatrix<T> {
    type Error = crate::Error;
    fn try_from(tensor: Tensor) -> Result<Self> {
        (&tensor).try_into()
    }
}

impl<T: Element + Scalar> TryFrom<&Tensor> for DMatrix<T> {
    type Error = crate::Error;
    fn try_from(tensor: &Tensor) -> Result<Self> {
        Ok(view(&tensor.to_array()?)?.clone_owned())
    }
}

impl<T: Element + Scalar> TryFrom<Tensor> for DVector<T> {
    type Error = crate::Error;
    /// The elements are moved if nothing else holds them.
    fn try_from(tensor: Tensor) -> Result<Self> {
        let (shape, elements) = parts("nalgebra", tensor)?;
        let [_] = extents("nalgebra", &shape)?;
        Ok(DVector::from_vec(elements))
    }
}

impl<T: Element + Scalar> TryFrom<&Tensor> for DVector<T> {
    type Error = crate::Error;
    fn try_from(tensor: &Tensor) -> Result<Self> {
        tensor.clone().try_into()
    }
}

/// A host array of two axes as a view of `nalgebra`, its rows the first axis.
///
/// # Errors
/// If its elements are no `T`s, or it has not two axes.
pub fn view<T: Element + Scalar>(array: &Array) -> Result<MatrixView<'_, T, Dyn, Dyn, Dyn, Dyn>> {
    let elements = elements("nalgebra", array)?;
    let [rows, columns] = extents("nalgebra", array.shape())?;
    // A matrix without elements is not to reach beyond the first.
    let (down, across) = match (rows, columns) {
        (0, _) => (1, 0),
        (_, 0) => (0, 1),
        _ => (columns, 1),
    };
    let (rows, columns, down, across) = (Dyn(rows), Dyn(columns), Dyn(down), Dyn(across));
    Ok(MatrixView::from_slice_with_strides_generic(elements, rows, columns, down, across))
}
