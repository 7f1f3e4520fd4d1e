//! Reading values back.

use gradus_core::memory::probe;
use gradus_core::{Array, CastTo, Element, ErrorKind, with_elements};

use crate::trace::{OrFail, fail};
use crate::{DType, Result, Tensor};

impl Tensor {
    /// The elements as a host array.
    ///
    /// While differentiating without [`jit`](crate::jit) the trace is evaluated up to this tensor, and what is read is
    /// detached, as by [`item`](Tensor::item).
    ///
    /// # Errors
    /// Inside `jit` and `vmap`, where only shapes are known.
    #[track_caller]
    pub fn to_array(&self) -> Result<Array> {
        self.read("to_array")
    }

    /// The elements in row-major order, converted to `T`. While differentiating they are detached, as by
    /// [`item`](Tensor::item).
    ///
    /// # Panics
    /// Inside `jit` and `vmap`, where only shapes are known.
    #[track_caller]
    pub fn to_vec<T: Element>(&self) -> Vec<T>
    where
        f64: CastTo<T>,
        i64: CastTo<T>,
    {
        let array = self.read("to_vec").or_fail();
        probe("to_vec", array.size().saturating_mul(2 * size_of::<f64>())).or_fail();
        elements(&array)
    }

    /// The one element of a tensor of size 1, converted to `T`.
    ///
    /// While differentiating without [`jit`](crate::jit) the trace is evaluated up to this tensor, and the number is
    /// detached: it has the value, but no derivative flows through it. With `GRADUS_CHECK=captures` in the environment
    /// each line that reads a value which depends on what is differentiated is named on standard error.
    ///
    /// ```
    /// use gradus::{Tensor, grad};
    /// let x = Tensor::from(3.0);
    /// assert_eq!(grad(|x: &Tensor| x * x)(&x), Tensor::from(6.0));
    /// assert_eq!(grad(|x: &Tensor| x * x.item::<f64>())(&x), Tensor::from(3.0));
    /// ```
    ///
    /// # Panics
    /// If there is not exactly one element, or inside `jit` and `vmap`, where only shapes are known.
    #[track_caller]
    pub fn item<T: Element>(&self) -> T
    where
        f64: CastTo<T>,
        i64: CastTo<T>,
    {
        if self.size() != 1 {
            let detail = format!(
                "it reads one element, but the shape is {}; use `to_vec`, or reduce first",
                self.shape()
            );
            fail(ErrorKind::Argument { op: "item", detail }.into());
        }
        elements(&self.read("item").or_fail())[0]
    }
}

fn elements<T: Element>(array: &Array) -> Vec<T>
where
    f64: CastTo<T>,
    i64: CastTo<T>,
{
    if let Some(v) = array.elements::<T>() {
        return v.to_vec();
    }
    match array.dtype() {
        DType::I64 | DType::I32 => array.to_i64().into_iter().map(CastTo::cast).collect(),
        _ => with_elements!(array.buffer(), v => v.iter().map(|&x| CastTo::<f64>::cast(x).cast()).collect()),
    }
}

impl PartialEq for Tensor {
    /// Equal dtype, shape and elements (NaN is unequal to itself).
    ///
    /// # Panics
    /// Inside `jit` and `vmap`, where only shapes are known: use [`equal`](Tensor::equal).
    #[track_caller]
    fn eq(&self, other: &Self) -> bool {
        self.dtype() == other.dtype()
            && self.shape() == other.shape()
            && self.read("==").or_fail() == other.read("==").or_fail()
    }
}
