//! Whole Jacobians and Hessians: a derivative program vectorised over a basis.

use gradus_core::{Graph, Site, transforms};
use gradus_num::Mode;

use super::{Recorded, differentiable, grad, jvp, record_at, wrt_arguments};
use crate::trace::{OrFail, apply, here};
use crate::{Blocks, Result, Tensor, Tree};

/// The Jacobian by forward mode: one pass an input element, all in one batched program. See [`jacobian`] for its type.
///
/// ```
/// use gradus::{Tensor, jacfwd};
/// let j = jacfwd(|x: &Tensor| x.square())(&Tensor::from([1.0, 2.0]));
/// assert_eq!(j, Tensor::from([[2.0, 0.0], [0.0, 4.0]]));
/// ```
#[track_caller]
pub fn jacfwd<A: Tree, B: Blocks, F: Fn(&A) -> B>(f: F) -> impl Fn(&A) -> B::Of<A> {
    let site = here();
    move |x| by(&f, x, &site, |_, _| Mode::Forward).or_fail()
}

/// The Jacobian by reverse mode: one pass an output element, all in one batched program. See [`jacobian`] for its type.
///
/// ```
/// use gradus::{Tensor, jacrev};
/// let j = jacrev(|x: &Tensor| x.square().sum(()))(&Tensor::from([1.0, 2.0]));
/// assert_eq!(j, Tensor::from([2.0, 4.0]));
/// ```
#[track_caller]
pub fn jacrev<A: Tree, B: Blocks, F: Fn(&A) -> B>(f: F) -> impl Fn(&A) -> B::Of<A> {
    let site = here();
    move |x| by(&f, x, &site, |_, _| Mode::Reverse).or_fail()
}

/// The Jacobian, by forward mode where there are no more inputs than outputs, else by reverse mode.
///
/// Of a tensor by a tensor it is a tensor, whose shape is that of the result followed by that of the argument. Of a tree
/// by a tree it is the [tree of the result](Blocks) with trees of the argument for its tensors.
///
/// # Panics
/// If a tensor of the argument or of the result is no float.
///
/// ```
/// use gradus::{Tensor, Tree, jacobian};
/// let j = jacobian(|x: &Tensor| x.cumulate())(&Tensor::from([1.0, 2.0]));
/// # trait Cumulate { fn cumulate(&self) -> Tensor; }
/// # impl Cumulate for Tensor { fn cumulate(&self) -> Tensor { Tensor::ones([2, 2], self.dtype()).tril(0).matmul(self) } }
/// assert_eq!(j, Tensor::from([[1.0, 0.0], [1.0, 1.0]]));
///
/// #[derive(Tree)]
/// struct Line { slope: Tensor, intercept: Tensor }
/// let x = Tensor::from([1.0, 2.0]);
/// let line = Line { slope: 3.0.into(), intercept: 0.0.into() };
/// let j = jacobian(|l: &Line| &l.slope * &x + &l.intercept)(&line);
/// assert_eq!((j.slope, j.intercept), (Tensor::from([1.0, 2.0]), Tensor::from([1.0, 1.0])));
/// ```
#[track_caller]
pub fn jacobian<A: Tree, B: Blocks, F: Fn(&A) -> B>(f: F) -> impl Fn(&A) -> B::Of<A> {
    let site = here();
    let cheapest = |inputs, outputs| if inputs <= outputs { Mode::Forward } else { Mode::Reverse };
    move |x| by(&f, x, &site, cheapest).or_fail()
}

/// The matrix of second derivatives of a scalar function: forward mode over reverse mode.
///
/// Of a tree it is the [tree](Blocks) with trees for its tensors: block `i`, `j` has the shape of tensor `i` followed by that of
/// tensor `j`.
///
/// ```
/// use gradus::{Tensor, hessian};
/// let h = hessian(|x: &Tensor| x.prod(()))(&Tensor::from([2.0, 3.0]));
/// assert_eq!(h, Tensor::from([[0.0, 1.0], [1.0, 0.0]]));
///
/// let f = |(x, y): &(Tensor, Tensor)| (x.square() * y).sum(());
/// let ((xx, xy), (yx, yy)) = hessian(f)(&(Tensor::from([1.0, 2.0]), Tensor::from(3.0)));
/// assert_eq!((xx, xy), (Tensor::from([[6.0, 0.0], [0.0, 6.0]]), Tensor::from([2.0, 4.0])));
/// assert_eq!((yx, yy), (Tensor::from([2.0, 4.0]), Tensor::from(0.0)));
/// ```
#[track_caller]
pub fn hessian<A: Blocks, F: Fn(&A) -> Tensor>(f: F) -> impl Fn(&A) -> A::Of<A> {
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
pub fn hvp<A: Tree>(f: impl Fn(&A) -> Tensor, x: &A, v: &A) -> A {
    jvp(grad(f), x, v).1
}

fn by<A: Tree, B: Blocks>(
    f: &impl Fn(&A) -> B,
    x: &A,
    site: &Site,
    choose: impl Fn(usize, usize) -> Mode,
) -> Result<B::Of<A>> {
    differentiable("jacobian", x, site)?;
    let Recorded { graph, captures, result } = record_at("jacobian", x, f)?;
    differentiable("jacobian", &result, site)?;
    let (arguments, results) = (x.tensors(), result.tensors());
    let size = |tensors: &[Tensor]| tensors.iter().map(Tensor::size).sum::<usize>();
    let (inputs, outputs) = (size(&arguments), size(&results));
    let fixed = arguments.len() + captures.len();
    let mode = choose(inputs, outputs);
    // The tensors whose unit directions are pushed through.
    let (name, of, n) = match mode {
        Mode::Forward => ("jacfwd", &arguments, inputs),
        Mode::Reverse => ("jacrev", &results, outputs),
    };
    let make = |g: &Graph| {
        let wrt = wrt_arguments(arguments.len(), g);
        let program = match mode {
            Mode::Forward => transforms::jvp(g, &wrt)?,
            Mode::Reverse => transforms::vjp(g, &wrt)?,
        };
        vmap_after(&program, fixed, n)
    };
    let args = arguments.iter().cloned().chain(captures).chain(basis(of, n)).collect();
    // Which of the inputs are arguments is not in the program.
    let name = format!("{name} {}", arguments.len());
    let images = apply(graph, &name, make, args).map_err(|e| e.or_at(site))?.split_off(results.len());
    // By tensor of the result, by tensor of the argument.
    let mut blocks = Vec::with_capacity(results.len() * arguments.len());
    for (k, result) in results.iter().enumerate() {
        for (i, argument) in arguments.iter().enumerate() {
            let part = match mode {
                Mode::Forward => rows(&images[k], of, i).move_axis(0, -1),
                Mode::Reverse => rows(&images[i], of, k),
            };
            blocks.push(part.reshape(result.shape().concat(argument.shape())));
        }
    }
    let mut blocks = blocks.into_iter();
    Ok(result.blocks(&mut || x.with_tensors(blocks.by_ref().take(arguments.len()))))
}

/// The unit directions of some tensors together, one after the other along a new first axis, by tensor.
fn basis(tensors: &[Tensor], n: usize) -> Vec<Tensor> {
    let mut from = 0;
    let one = |t: &Tensor| {
        let part = Tensor::eye(n, t.dtype()).slice(1, from..from + t.size() as isize);
        from += t.size() as isize;
        part.reshape(t.shape().insert(0, n))
    };
    tensors.iter().map(one).collect()
}

/// The part of an image along whose first axis the unit directions of tensor `i` stand.
fn rows(image: &Tensor, of: &[Tensor], i: usize) -> Tensor {
    let from: usize = of[..i].iter().map(Tensor::size).sum();
    image.slice(0, from as isize..(from + of[i].size()) as isize)
}

/// Vectorises a program over its inputs behind the first ones, the basis.
fn vmap_after(program: &Graph, fixed: usize, size: usize) -> Result<Graph> {
    let marks: Vec<bool> = (0..program.inputs().len()).map(|i| i >= fixed).collect();
    transforms::vmap(program, &marks, size)
}
