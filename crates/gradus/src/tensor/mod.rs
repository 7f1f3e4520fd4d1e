//! The one tensor type.

mod activation;
mod arith;
mod construct;
mod convolution;
mod elementwise;
mod indexing;
mod linalg;
mod movement;
mod norm;
mod read;
mod reduce;
mod softmax;

use std::fmt;
use std::sync::Arc;

use gradus_core::{Array, DType, Op, Result, Shape, Site, Type};

use crate::Device;
use crate::trace::{OrFail, Traced, emit};

pub use convolution::Stencil;
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
    Concrete(Array, Device),
    Traced(Arc<Traced>),
}

impl Tensor {
    /// The shape.
    pub fn shape(&self) -> &Shape {
        match &self.0 {
            Repr::Concrete(a, _) => a.shape(),
            Repr::Traced(t) => &t.ty.shape,
        }
    }
    /// The dtype.
    pub fn dtype(&self) -> DType {
        match &self.0 {
            Repr::Concrete(a, _) => a.dtype(),
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
    /// Where the tensor lives.
    pub fn device(&self) -> Device {
        match &self.0 {
            Repr::Concrete(_, d) => d.clone(),
            Repr::Traced(_) => Device::cpu(),
        }
    }
    /// Whether it lives there; what is recorded is nowhere else.
    pub(crate) fn is_on(&self, device: &Device) -> bool {
        match &self.0 {
            Repr::Concrete(_, d) => d == device,
            Repr::Traced(_) => *device == Device::cpu(),
        }
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

impl fmt::Debug for Tensor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl fmt::Display for Tensor {
    /// The elements, or what transform records it: `traced f64[3] in grad`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Repr::Concrete(a, _) => fmt::Display::fmt(a, f),
            Repr::Traced(t) => write!(f, "traced {} in {}", t.ty, t.trace.transform()),
        }
    }
}
