//! Tensors and the arrays, images and files of other libraries, each behind a feature of its name.
//!
//! An array becomes a tensor by `Tensor::from`, and back by `try_into`, which fails where dtype or rank are others.
//! Memory is moved where the other library's is row-major, too, and nothing else holds it; `view` shows a
//! [host array](crate::Tensor::to_array) as the other library's without a copy in any case.

// Each helper serves some of the features.
#![allow(dead_code)]

#[cfg(feature = "faer")]
pub mod faer;
#[cfg(feature = "half")]
mod half;
#[cfg(feature = "image")]
mod image;
#[cfg(feature = "nalgebra")]
pub mod nalgebra;
#[cfg(feature = "ndarray")]
pub mod ndarray;
#[cfg(feature = "npy")]
pub mod npy;
#[cfg(feature = "serde")]
mod serde;

use gradus_core::{Array, Element, ErrorKind, Shape};

use crate::{Error, Result, Tensor};

/// The elements of a host array, if they are of type `T`.
fn elements<'a, T: Element>(to: &'static str, array: &'a Array) -> Result<&'a [T]> {
    array.elements().ok_or_else(|| other_dtype::<T>(to, array))
}

fn other_dtype<T: Element>(to: &'static str, array: &Array) -> Error {
    let detail = format!("the elements asked for are {}; `cast` the tensor first", T::DTYPE);
    ErrorKind::DType { op: to, dtypes: vec![array.dtype()], detail }.into()
}

/// Shape and elements of a tensor, which are moved out where nothing else holds them.
fn parts<T: Element>(to: &'static str, tensor: Tensor) -> Result<(Shape, Vec<T>)> {
    let array = tensor.to_array()?;
    drop(tensor);
    let shape = array.shape().clone();
    let wrong = array.dtype() != T::DTYPE;
    if wrong {
        return Err(other_dtype::<T>(to, &array));
    }
    let elements = array.into_elements().unwrap_or_default();
    Ok((shape, elements))
}

/// The extents of a shape of `N` axes.
fn extents<const N: usize>(to: &'static str, shape: &Shape) -> Result<[usize; N]> {
    shape[..].try_into().map_err(|_| {
        let detail = format!("it takes tensors of {N} axes; `reshape` first");
        ErrorKind::Shape { op: to, shapes: vec![shape.clone()], detail }.into()
    })
}
