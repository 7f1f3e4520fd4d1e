//! Scalar functions on tensors: recorded once, run on many points.

use gradus_core::{ErrorKind, Graph, Result, Shape, record_scalar};
use gradus_num::{Real64, ScalarFn, VectorFn};

use crate::Tensor;
use crate::trace::{OrFail, apply, here};

/// A scalar function of several numbers as a function of a tensor whose last axis holds them; it is applied to every
/// point of the axes before, element by element in fused SIMD loops.
///
/// # Panics
/// If the function branches on its numbers: write such a branch with `R::select`. If the tensor is no float or a scalar.
///
/// ```
/// use gradus::num::{Real64, scalar_fn};
/// use gradus::{Tensor, grad, tensor_fn};
///
/// fn rosenbrock<R: Real64>(x: &[R]) -> R {
///     let (a, b) = (x[0] - 1.0, x[1] - x[0] * x[0]);
///     a * a + b * b * 100.0
/// }
/// let f = tensor_fn(scalar_fn!(rosenbrock));
/// let points = Tensor::from([[1.0, 1.0], [0.0, 0.0]]);
/// assert_eq!(f(&points), Tensor::from([0.0, 1.0]));
/// assert_eq!(grad(|x: &Tensor| f(x).sum(()))(&points), Tensor::from([[0.0, 0.0], [-2.0, 0.0]]));
/// ```
#[track_caller]
pub fn tensor_fn<F: ScalarFn>(f: F) -> impl Fn(&Tensor) -> Tensor {
    struct One<F>(F);
    impl<F: ScalarFn> VectorFn for One<F> {
        fn outputs(&self, _: usize) -> usize {
            1
        }
        fn call<R: Real64>(&self, x: &[R], y: &mut [R]) {
            y[0] = self.0.call(x);
        }
    }
    let many = tensor_fn_many(One(f));
    move |x| many(x).squeeze(-1)
}

/// [`tensor_fn`] for a function of several numbers to several, which take the place of the last axis.
#[track_caller]
pub fn tensor_fn_many<F: VectorFn>(f: F) -> impl Fn(&Tensor) -> Tensor {
    let site = here();
    move |x| pointwise(&f, x).map_err(|e| e.or_at(&site)).or_fail()
}

fn pointwise(f: &impl VectorFn, x: &Tensor) -> Result<Tensor> {
    let Some((&n, points)) = x.shape().split_last() else {
        let detail =
            "a scalar tensor has no last axis to hold the function's arguments; reshape it to [1]".into();
        return Err(ErrorKind::Argument { op: "tensor_fn", detail }.into());
    };
    let size = points.iter().product();
    let graph = record_scalar(f, n, x.dtype())?;
    let columns = x.reshape([size, n]).t();
    let args: Vec<Tensor> = (0..n as isize).map(|i| columns.index(0, i)).collect();
    let outputs = f.outputs(n);
    let make = |g: &Graph| gradus_core::transforms::vmap(g, &vec![true; n], size);
    let results = apply(graph, &format!("pointwise {size}"), make, args)?;
    let out = Tensor::stack(&results.iter().collect::<Vec<_>>(), -1);
    Ok(out.reshape(Shape::from(points).concat(&[outputs])))
}
