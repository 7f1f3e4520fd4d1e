//! The one tensor type.

mod activation;
mod arith;
mod construct;
mod convolution;
mod dynamic;
mod elementwise;
mod indexing;
mod linalg;
mod movement;
mod norm;
mod order;
mod read;
mod reduce;
mod scatter;
mod softmax;

use std::fmt;
use std::sync::Arc;

use gradus_core::{Array, DType, Error, ErrorKind, Op, Result, Shape, Site, Storage, Type};

use crate::Device;
use crate::trace::{OrFail, Traced, emit, here};

pub use convolution::Stencil;
pub use movement::Extents;
pub use reduce::Axes;

/// An n-dimensional array that can be differentiated.
///
/// A concrete tensor holds elements and computes at once; inside [`grad`](crate::grad), [`jit`](crate::jit) and the
/// other transforms the same code records a program. Names and broadcasting are NumPy's: axes are matched from the
/// last, an extent of 1 stretches, a missing axis counts as 1, negative axes count from the end. Tensors of different
/// dtype never promote silently; Rust numbers take the tensor's dtype.
///
/// Operator expressions panic on shapes that do not fit, with a message that says what, where and what to try;
/// [`Jit::try_call`](crate::Jit::try_call) gives the same as a typed error.
///
/// ```
/// use gradus::Tensor;
/// let x = Tensor::from([[1.0, 2.0], [3.0, 4.0]]);
/// let y = (&x * 2.0 + Tensor::from([10.0, 20.0])).sum(0);
/// assert_eq!(y, Tensor::from([28.0, 52.0]));
/// ```
#[derive(Clone)]
pub struct Tensor(pub(crate) Repr);

#[derive(Clone)]
pub(crate) enum Repr {
    Concrete(Storage, Device),
    Traced(Arc<Traced>),
}

impl Tensor {
    /// The shape.
    pub fn shape(&self) -> &Shape {
        match &self.0 {
            Repr::Concrete(storage, _) => storage.shape(),
            Repr::Traced(t) => &t.ty.shape,
        }
    }
    /// The dtype.
    pub fn dtype(&self) -> DType {
        match &self.0 {
            Repr::Concrete(storage, _) => storage.dtype(),
            Repr::Traced(t) => t.ty.dtype,
        }
    }
    /// Number of axes.
    pub fn rank(&self) -> usize {
        self.shape().rank()
    }
    /// Number of elements.
    pub fn size(&self) -> usize {
        self.shape().size()
    }
    /// Where the tensor lives; of a recorded one, where the program will run.
    pub fn device(&self) -> Device {
        self.device_ref().clone()
    }
    pub(crate) fn device_ref(&self) -> &Device {
        match &self.0 {
            Repr::Concrete(_, device) => device,
            Repr::Traced(t) => t.trace.device(),
        }
    }
    /// The tensor on another device; nothing is copied if it is there already.
    ///
    /// A function runs where its argument lies. What it captures is copied there when it is recorded; other tensors of
    /// different devices meet in no operation.
    ///
    /// # Errors
    /// If the device has no memory for it, or the tensor is being recorded by a transform.
    ///
    /// ```
    /// use gradus::{Device, Tensor};
    /// let x = Tensor::from([1.0, 2.0]).to(&Device::reference())?;
    /// assert_eq!(format!("{:?}", x.device()), "reference");
    /// # Ok::<(), gradus::Error>(())
    /// ```
    #[track_caller]
    pub fn to(&self, device: &Device) -> Result<Tensor> {
        if self.device_ref() == device {
            return Ok(self.clone());
        }
        let Repr::Concrete(storage, from) = &self.0 else {
            let detail =
                format!("a recorded tensor stays on `{}`; move the arguments", self.device_ref().name());
            return Err(Error::new(ErrorKind::Argument { op: "to", detail }, here()));
        };
        let array = from.backend().download(storage)?;
        let there = device.backend().upload(array).map_err(|kind| Error::new(kind, here()))?;
        Ok(Tensor(Repr::Concrete(there, device.clone())))
    }
    pub(crate) fn ty(&self) -> Type {
        Type::new(self.dtype(), self.shape().clone())
    }

    /// Applies a primitive with one result.
    #[track_caller]
    pub(crate) fn apply(op: impl Into<Op>, inputs: &[&Tensor]) -> Tensor {
        Self::apply_at(op, inputs, &crate::trace::here()).or_fail()
    }

    /// Applies a primitive with one result on behalf of a source line.
    pub(crate) fn apply_at(op: impl Into<Op>, inputs: &[&Tensor], site: &Site) -> Result<Tensor> {
        Ok(emit(&op.into(), inputs, site)?.remove(0))
    }
}

impl Tensor {
    fn show(
        &self,
        f: &mut fmt::Formatter<'_>,
        elements: fn(&Array, &mut fmt::Formatter<'_>) -> fmt::Result,
    ) -> fmt::Result {
        match &self.0 {
            Repr::Concrete(storage, device) => match device.backend().download(storage) {
                Ok(array) => elements(&array, f),
                Err(error) => write!(f, "{} that cannot be read: {error}", self.ty()),
            },
            Repr::Traced(t) => write!(f, "traced {} in {}", t.ty, t.trace.transform()),
        }
    }
}

impl fmt::Debug for Tensor {
    /// The elements, then dtype and shape; or what transform records it: `traced f64[3] in grad`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.show(f, fmt::Debug::fmt)
    }
}

impl fmt::Display for Tensor {
    /// The elements, those of large tensors cut in the middle; or what transform records it: `traced f64[3] in grad`.
    ///
    /// ```
    /// # use gradus::Tensor;
    /// let x = Tensor::from([[1.0, 2.5], [-0.0, f64::NAN]]);
    /// assert_eq!(x.to_string(), "[[1.0, 2.5],\n [-0.0, NaN]]");
    /// assert_eq!(format!("{} {:.2}", x.sum(1).at(0), x.at(0)), "3.5 [1.00, 2.50]");
    /// assert_eq!(format!("{:?}", Tensor::from([1i64, 2])), "[1, 2] i64[2]");
    /// ```
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.show(f, fmt::Display::fmt)
    }
}

impl fmt::LowerExp for Tensor {
    /// As `{}`, with floats by exponent.
    ///
    /// ```
    /// # use gradus::Tensor;
    /// let x = Tensor::from([1500.0, 0.25]);
    /// assert_eq!(format!("{x:e} {x:.0e} {:.2e}", x.sum(())), "[1.5e3, 2.5e-1] [2e3, 2e-1] 1.50e3");
    /// ```
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.show(f, fmt::LowerExp::fmt)
    }
}
