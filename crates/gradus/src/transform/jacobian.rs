//! Whole Jacobians and Hessians: a derivative program vectorised over a basis.

use gradus_core::{Graph, Shape, Site, transforms};

use super::{Recorded, differentiable, grad, jvp, record_at, wrt_arguments};
use crate::trace::{OrFail, apply, here};
use crate::{Result, Tensor};

/// The Jacobian by forward mode: one pass an input element, all in one batched program. Its shape is that of the
/// result followed by that of the argument.
///
/// ```
/// use gradus::{Tensor, jacfwd};
/// let j = jacfwd(|x: &Tensor| x.square())(&Tensor::from([1.0, 2.0]));
/// assert_eq!(j, Tensor::from([[2.0, 0.0], [0.0, 4.0]]));
/// ```
#[track_caller]
pub fn jacfwd<F: Fn(&Tensor) -> Tensor>(f: F) -> impl Fn(&Tensor) -> Tensor {
    let site = here();
    move |x| by(&f, x, &site, |_, _| Mode::Forward).or_fail()
}

/// The Jacobian by reverse mode: one pass an output element, all in one batched program. Its shape is that of the
/// result followed by that of the argument.
///
/// ```
/// use gradus::{Tensor, jacrev};
/// let j = jacrev(|x: &Tensor| x.square().sum(()))(&Tensor::from([1.0, 2.0]));
/// assert_eq!(j, Tensor::from([2.0, 4.0]));
/// ```
#[track_caller]
pub fn jacrev<F: Fn(&Tensor) -> Tensor>(f: F) -> impl Fn(&Tensor) -> Tensor {
    let site = here();
    move |x| by(&f, x, &site, |_, _| Mode::Reverse).or_fail()
}

/// The Jacobian, by forward mode where there are no more inputs than outputs, else by reverse mode.
///
/// ```
/// use gradus::{Tensor, jacobian};
/// let j = jacobian(|x: &Tensor| x.cumulate())(&Tensor::from([1.0, 2.0]));
/// # trait Cumulate { fn cumulate(&self) -> Tensor; }
/// # impl Cumulate for Tensor { fn cumulate(&self) -> Tensor { Tensor::ones([2, 2], self.dtype()).tril(0).matmul(self) } }
/// assert_eq!(j, Tensor::from([[1.0, 0.0], [1.0, 1.0]]));
/// ```
#[track_caller]
pub fn jacobian<F: Fn(&Tensor) -> Tensor>(f: F) -> impl Fn(&Tensor) -> Tensor {
    let site = here();
    let cheapest = |inputs, outputs| if inputs <= outputs { Mode::Forward } else { Mode::Reverse };
    move |x| by(&f, x, &site, cheapest).or_fail()
}

/// The matrix of second derivatives of a scalar function: forward mode over reverse mode.
///
/// ```
/// use gradus::{Tensor, hessian};
/// let h = hessian(|x: &Tensor| x.prod(()))(&Tensor::from([2.0, 3.0]));
/// assert_eq!(h, Tensor::from([[0.0, 1.0], [1.0, 0.0]]));
/// ```
#[track_caller]
pub fn hessian<F: Fn(&Tensor) -> Tensor>(f: F) -> impl Fn(&Tensor) -> Tensor {
    jacfwd(grad(f))
}

/// The Hessian of a scalar function times a vector, without the Hessian: forward mode over reverse mode.
///
/// ```
/// use gradus::{Tensor, hvp};
/// let f = |x: &Tensor| x.powi(3).sum(());
/// assert_eq!(hvp(f, &Tensor::from([1.0, 2.0]), &Tensor::from([1.0, 1.0])), Tensor::from([6.0, 12.0]));
/// ```
#[track_caller]
pub fn hvp<A: crate::Tree>(f: impl Fn(&A) -> Tensor, x: &A, v: &A) -> A {
    jvp(grad(f), x, v).1
}

#[derive(Clone, Copy)]
enum Mode {
    Forward,
    Reverse,
}

fn by(
    f: &impl Fn(&Tensor) -> Tensor,
    x: &Tensor,
    site: &Site,
    choose: impl Fn(usize, usize) -> Mode,
) -> Result<Tensor> {
    differentiable("jacobian", x, site)?;
    let Recorded { graph, captures, result } = record_at("jacobian", x, f)?;
    differentiable("jacobian", &result, site)?;
    let (inputs, outputs) = (x.size(), result.size());
    let shape = result.shape().concat(x.shape());
    let n_args = 1 + captures.len();
    let basis =
        |n: usize, like: &Shape| Tensor::eye(n, x.dtype()).cast(result.dtype()).reshape(like.insert(0, n));
    let args = std::iter::once(x.clone()).chain(captures);
    match choose(inputs, outputs) {
        Mode::Forward => {
            let seeds = Tensor::eye(inputs, x.dtype()).reshape(x.shape().insert(0, inputs));
            let make = |g: &Graph| {
                let program = transforms::jvp(g, &wrt_arguments(1, g))?;
                vmap_last(&program, n_args, inputs)
            };
            let args = args.chain([seeds]).collect();
            let columns = apply(graph, "jacfwd", make, args).map_err(|e| e.or_at(site))?.remove(1);
            Ok(columns.move_axis(0, -1).reshape(shape))
        }
        Mode::Reverse => {
            let seeds = basis(outputs, result.shape());
            let make = |g: &Graph| {
                let program = transforms::vjp(g, &wrt_arguments(1, g))?;
                vmap_last(&program, n_args, outputs)
            };
            let args = args.chain([seeds]).collect();
            let rows = apply(graph, "jacrev", make, args).map_err(|e| e.or_at(site))?.remove(1);
            Ok(rows.reshape(shape))
        }
    }
}

/// Vectorises a program over its last input, the basis.
fn vmap_last(program: &Graph, fixed: usize, size: usize) -> Result<Graph> {
    let marks: Vec<bool> = (0..program.inputs().len()).map(|i| i >= fixed).collect();
    transforms::vmap(program, &marks, size)
}
