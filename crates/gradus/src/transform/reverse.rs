//! Reverse mode: `grad`, `value_and_grad`, `vjp`.

use gradus_core::{Site, transforms};

use super::{Recorded, differentiable, record_at, same_structure, wrt_arguments};
use crate::guard::guarded;
use crate::trace::{OrFail, apply, here};
use crate::{Result, Tensor, Tree};

/// The gradient of a function with a scalar result, by reverse mode: one backward pass whatever the number of
/// parameters. The gradient has the type of the argument.
///
/// # Panics
/// If the result is no float scalar, or a leaf of the argument is no float.
///
/// ```
/// use gradus::{Tensor, Tree, grad};
///
/// #[derive(Tree)]
/// struct Line { slope: Tensor, intercept: Tensor }
///
/// let x = Tensor::from([0.0, 1.0, 2.0]);
/// let y = Tensor::from([1.0, 3.0, 5.0]);
/// let loss = |p: &Line| (&p.slope * &x + &p.intercept - &y).square().mean(());
/// let g = grad(loss)(&Line { slope: 0.0.into(), intercept: 0.0.into() });
/// assert!((g.intercept.item::<f64>() + 6.0).abs() < 1e-15);
/// ```
#[track_caller]
pub fn grad<A: Tree, F: Fn(&A) -> Tensor>(f: F) -> impl Fn(&A) -> A {
    let site = here();
    move |x| gradient(&f, x, &site).or_fail().1
}

/// The value and the gradient together.
///
/// ```
/// use gradus::{Tensor, value_and_grad};
/// let (y, dy) = value_and_grad(|x: &Tensor| x.square().sum(()))(&Tensor::from([1.0, 2.0]));
/// assert_eq!((y, dy), (Tensor::from(5.0), Tensor::from([2.0, 4.0])));
/// ```
#[track_caller]
pub fn value_and_grad<A: Tree, F: Fn(&A) -> Tensor>(f: F) -> impl Fn(&A) -> (Tensor, A) {
    let site = here();
    move |x| gradient(&f, x, &site).or_fail()
}

/// The value, whatever else the function returns beside it, and the gradient of the value.
///
/// ```
/// use gradus::{Tensor, value_and_grad_aux};
/// let f = |x: &Tensor| { let y = x.exp(); (y.sum(()), y) };
/// let ((value, y), slope) = value_and_grad_aux(f)(&Tensor::from([0.0]));
/// assert_eq!((value.item::<f64>(), y, slope), (1.0, Tensor::from([1.0]), Tensor::from([1.0])));
/// ```
#[track_caller]
pub fn value_and_grad_aux<A: Tree, B: Tree, F: Fn(&A) -> (Tensor, B)>(
    f: F,
) -> impl Fn(&A) -> ((Tensor, B), A) {
    let site = here();
    move |x| gradient_aux(&f, x, &site).or_fail()
}

fn gradient<A: Tree>(f: &impl Fn(&A) -> Tensor, x: &A, site: &Site) -> Result<(Tensor, A)> {
    let ((value, ()), gradient) = gradient_aux(&|x: &A| (f(x), ()), x, site)?;
    Ok((value, gradient))
}

fn gradient_aux<A: Tree, B: Tree>(
    f: &impl Fn(&A) -> (Tensor, B),
    x: &A,
    site: &Site,
) -> Result<((Tensor, B), A)> {
    differentiable("grad", x, site)?;
    let Recorded { graph, captures, result } = record_at("grad", x, f)?;
    let leaves = x.tensors();
    let (n, outputs) = (leaves.len(), graph.outputs().len());
    let args = leaves.into_iter().chain(captures).collect();
    let make = |g: &gradus_core::Graph| transforms::value_and_grad(g, &wrt_arguments(n, g));
    let mut results = apply(graph, "grad", make, args).map_err(|e| e.or_at(site))?;
    let gradient = x.with_tensors(results.split_off(outputs));
    Ok((result.with_tensors(results), gradient))
}

/// The value at `x`, and the function that maps cotangents of the result to cotangents of the argument.
///
/// The forward pass runs once, now; what it stores for the backward pass lives as long as the returned function.
///
/// ```
/// use gradus::{Tensor, vjp};
/// let (y, pull) = vjp(|x: &Tensor| x.sin(), &Tensor::from([0.0, 1.0]));
/// assert_eq!(y.to_vec::<f64>()[0], 0.0);
/// assert_eq!(pull(&Tensor::from([3.0, 0.0])), Tensor::from([3.0, 0.0]));
/// ```
#[track_caller]
pub fn vjp<A: Tree + 'static, B: Tree + 'static>(f: impl Fn(&A) -> B, x: &A) -> (B, Box<dyn Fn(&B) -> A>) {
    let site = here();
    vjp_at(f, x, site).or_fail()
}

fn vjp_at<A: Tree + 'static, B: Tree + 'static>(
    f: impl Fn(&A) -> B,
    x: &A,
    site: Site,
) -> Result<(B, Box<dyn Fn(&B) -> A>)> {
    differentiable("vjp", x, &site)?;
    let Recorded { graph, captures, result } = record_at("vjp", x, f)?;
    let leaves = x.tensors();
    let wrt = wrt_arguments(leaves.len(), &graph);
    let lin = guarded("transforming", Some(&site), || transforms::linearize(&graph, &wrt))?;
    let args: Vec<Tensor> = leaves.into_iter().chain(captures).collect();
    let forward = lin.forward.clone();
    let mut values = apply(forward, "", |g| Ok(g.clone()), args)?;
    let residuals = values.split_off(lin.outputs);
    let y = result.with_tensors(values);
    let argument = x.map(&mut Tensor::clone);
    let shape = y.map(&mut Tensor::clone);
    let pull = move |ct: &B| {
        let run = || {
            same_structure("vjp", &shape, ct, &site)?;
            let active = ct.tensors().into_iter().zip(&lin.active).filter(|(_, a)| **a).map(|(t, _)| t);
            let args: Vec<Tensor> = residuals.iter().cloned().chain(active).collect();
            let n = residuals.len();
            let make = |g: &gradus_core::Graph| {
                transforms::transpose(g, &(0..g.inputs().len()).map(|i| i >= n).collect::<Vec<_>>())
            };
            // A result without any dependence has no linear program to transpose.
            if lin.linear.outputs().is_empty() {
                return Ok(argument.map(&mut |t| t.zeros_like()));
            }
            let back = apply(lin.linear.clone(), &format!("transpose {n}"), make, args)?;
            Ok(argument.with_tensors(back))
        };
        let result: Result<A> = run();
        result.or_fail()
    };
    Ok((y, Box::new(pull)))
}
