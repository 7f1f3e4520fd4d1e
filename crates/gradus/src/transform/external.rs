//! Primitives of users as functions of tensors.

use std::sync::Arc;

use gradus_core::ops::{External, ExternalPrimitive};

use crate::Tensor;
use crate::trace::{OrFail, emit, here};

/// Calls a primitive of your own: a kernel, or a function of another library, that Gradus does not look into. It runs on
/// the host, in every transform and in compiled programs, where `primitive` says what its results are. Its derivative is
/// what [`ExternalPrimitive::jvp`] and [`ExternalPrimitive::transpose`] emit; without them wrap the call in
/// [`custom_jvp`](crate::custom_jvp) or [`custom_vjp`](crate::custom_vjp).
///
/// # Panics
/// If the primitive does not take such operands, or their values, as every operation.
///
/// ```
/// use gradus::core::ops::ExternalPrimitive;
/// use gradus::core::{Array, ErrorKind, Type};
/// use gradus::{Tensor, custom_jvp, external, grad, jit};
/// use std::sync::Arc;
///
/// /// A function that somebody else computes.
/// #[derive(Debug)]
/// struct Cosine;
/// impl ExternalPrimitive for Cosine {
///     fn name(&self) -> &'static str {
///         "cosine"
///     }
///     fn infer(&self, inputs: &[Type]) -> Result<Vec<Type>, ErrorKind> {
///         Ok(inputs.to_vec())
///     }
///     fn eval(&self, inputs: &[&Array]) -> Result<Vec<Array>, ErrorKind> {
///         let y = inputs[0].to_f64().into_iter().map(f64::cos).collect();
///         Ok(vec![Array::new(inputs[0].shape(), y)?])
///     }
/// }
///
/// let theirs: Arc<dyn ExternalPrimitive> = Arc::new(Cosine);
/// let cosine = custom_jvp(
///     move |x: &Tensor| external(&theirs, &[x]).remove(0),
///     |x: &Tensor, dx: &Tensor| -x.sin() * dx,
/// );
/// let x = Tensor::from([0.0, 1.0]);
/// assert_eq!(cosine(&x), x.cos());
/// let slope = jit(grad(|x: &Tensor| cosine(x).sum(())));
/// assert_eq!(slope.call(&x), -x.sin());
/// ```
#[track_caller]
pub fn external(primitive: &Arc<dyn ExternalPrimitive>, operands: &[&Tensor]) -> Vec<Tensor> {
    emit(&External::from(primitive.clone()).into(), operands, &here()).or_fail()
}
