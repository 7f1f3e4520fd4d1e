//! Reading values back.

use gradus_core::memory::probe;
use gradus_core::{Array, CastTo, Element, ErrorKind, with_elements};

use crate::guard::raise;
use crate::trace::{OrFail, fail, here};
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

    /// The elements in row-major order, converted to `T`: a float that is read as a shorter one is rounded, everything else has
    /// to be a number of `T`. While differentiating they are detached, as by [`item`](Tensor::item).
    ///
    /// # Panics
    /// If an element is no number of `T`, or inside `jit` and `vmap`, where only shapes are known.
    #[track_caller]
    pub fn to_vec<T: Element>(&self) -> Vec<T>
    where
        f64: CastTo<T>,
        i64: CastTo<T>,
    {
        let array = self.read_here("to_vec");
        // What is not a float is compared with what it was read from.
        let copies = if T::DTYPE.is_float() && array.dtype().is_float() { 2 } else { 5 };
        probe("to_vec", array.size().saturating_mul(copies * size_of::<f64>())).or_fail();
        elements("to_vec", &array).or_fail()
    }

    /// The one element of a tensor of size 1, converted to `T`: a float that is read as a shorter one is rounded, everything else
    /// has to be a number of `T`.
    ///
    /// ```
    /// # use gradus::Tensor;
    /// assert_eq!(Tensor::from(2.0).item::<i64>(), 2);
    /// assert!(std::panic::catch_unwind(|| Tensor::from(1.5).item::<i64>()).is_err());
    /// assert!(std::panic::catch_unwind(|| Tensor::from((1i64 << 53) + 1).item::<f64>()).is_err());
    /// ```
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
    /// If there is not exactly one element, it is no number of `T`, or inside `jit` and `vmap`, where only shapes are
    /// known.
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
            raise(ErrorKind::Argument { op: "item", detail });
        }
        elements("item", &self.read_here("item")).or_fail()[0]
    }

    /// The elements; errors name the caller's line.
    #[track_caller]
    fn read_here(&self, op: &'static str) -> Array {
        match self.read(op) {
            Ok(array) => array,
            Err(error) => fail(error.or_at(&here())),
        }
    }
}

fn elements<T: Element>(op: &'static str, array: &Array) -> Result<Vec<T>, ErrorKind>
where
    f64: CastTo<T>,
    i64: CastTo<T>,
{
    if let Some(v) = array.elements::<T>() {
        return Ok(v.to_vec());
    }
    let out: Vec<T> = match array.dtype() {
        DType::I64 | DType::I32 => array.to_i64().into_iter().map(CastTo::cast).collect(),
        DType::F32 | DType::F64 | DType::Bf16 | DType::F16 | DType::Bool | DType::U8 => {
            with_elements!(array.buffer(), v => v.iter().map(|&x| CastTo::<f64>::cast(x).cast()).collect())
        }
    };
    let (from, to) = (array.dtype(), T::DTYPE);
    if !to.is_float() || !from.is_float() {
        let back = Array::new(array.shape().clone(), out.clone())?;
        // The largest integers become the float above them, which is none of them.
        let whole = |x: f64, y: f64| x == y && (!to.is_int() || x < i64::MAX as f64);
        let lost = if from.is_int() && to.is_differentiable() {
            let back = back.to_f64().into_iter().map(|x| x as i128);
            array
                .to_i64()
                .into_iter()
                .zip(back)
                .find(|&(x, y)| i128::from(x) != y)
                .map(|(x, _)| x.to_string())
        } else if from.is_int() {
            let pairs = array.to_i64().into_iter().zip(back.to_i64());
            pairs.into_iter().find(|(x, y)| x != y).map(|(x, _)| x.to_string())
        } else if to.is_differentiable() {
            None
        } else {
            array
                .to_f64()
                .into_iter()
                .zip(back.to_f64())
                .find(|&(x, y)| !whole(x, y))
                .map(|(x, _)| x.to_string())
        };
        if let Some(lost) = lost {
            let detail = format!(
                "{lost} cannot be read as {to}; round or `cast` it first, or read it as another type"
            );
            return Err(ErrorKind::Argument { op, detail });
        }
    }
    Ok(out)
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
            && self.read_here("==") == other.read_here("==")
    }
}
