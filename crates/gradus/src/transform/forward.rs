//! Forward mode: `jvp` and `linearize`.

use gradus_core::{Site, transforms};

use super::{Recorded, differentiable, record_at, same_structure, wrt_arguments};
use crate::guard::guarded;
use crate::trace::{OrFail, apply, here};
use crate::{Result, Tensor, Tree};

/// The value at `x` and its derivative in the direction `dx`, by forward mode: values and tangents travel together
/// and nothing is stored. Results that are no floats have a zero tangent of their own dtype.
///
/// ```
/// use gradus::{Tensor, jvp};
/// let (y, dy) = jvp(|x: &Tensor| x.square(), &Tensor::from([1.0, 2.0]), &Tensor::from([1.0, 10.0]));
/// assert_eq!((y, dy), (Tensor::from([1.0, 4.0]), Tensor::from([2.0, 40.0])));
/// ```
#[track_caller]
pub fn jvp<A: Tree, B: Tree>(f: impl Fn(&A) -> B, x: &A, dx: &A) -> (B, B) {
    jvp_at(f, x, dx, &here()).or_fail()
}

fn jvp_at<A: Tree, B: Tree>(f: impl Fn(&A) -> B, x: &A, dx: &A, site: &Site) -> Result<(B, B)> {
    differentiable("jvp", x, site)?;
    same_structure("jvp", x, dx, site)?;
    let Recorded { graph, captures, result } = record_at("jvp", x, f)?;
    let leaves = x.tensors();
    let (n, outputs) = (leaves.len(), graph.outputs().len());
    let args = leaves.into_iter().chain(captures).chain(dx.tensors()).collect();
    let make = |g: &gradus_core::Graph| transforms::jvp(g, &wrt_arguments(n, g));
    let mut results = apply(graph, &format!("jvp {n}"), make, args).map_err(|e| e.or_at(site))?;
    let mut dots = results.split_off(outputs).into_iter();
    let y = result.with_tensors(results);
    let dy = y.map(&mut |t| {
        if t.dtype().is_differentiable() { dots.next().expect("a tangent a float") } else { t.zeros_like() }
    });
    Ok((y, dy))
}

/// The value at `x`, and the derivative there as a linear function of the tangent, which can be called many times at
/// the cost of the linear part alone.
///
/// ```
/// use gradus::{Tensor, linearize};
/// let (_, df) = linearize(|x: &Tensor| x.exp(), &Tensor::from([0.0]));
/// assert_eq!(df(&Tensor::from([2.0])), Tensor::from([2.0]));
/// ```
#[track_caller]
pub fn linearize<A: Tree + 'static, B: Tree + 'static>(
    f: impl Fn(&A) -> B,
    x: &A,
) -> (B, Box<dyn Fn(&A) -> B>) {
    linearize_at(f, x, here()).or_fail()
}

fn linearize_at<A: Tree + 'static, B: Tree + 'static>(
    f: impl Fn(&A) -> B,
    x: &A,
    site: Site,
) -> Result<(B, Box<dyn Fn(&A) -> B>)> {
    differentiable("linearize", x, &site)?;
    let Recorded { graph, captures, result } = record_at("linearize", x, f)?;
    let leaves = x.tensors();
    let wrt = wrt_arguments(leaves.len(), &graph);
    let lin = guarded("transforming", Some(&site), || transforms::linearize(&graph, &wrt))?;
    let args: Vec<Tensor> = leaves.into_iter().chain(captures).collect();
    let mut values = apply(lin.forward.clone(), "", |g| Ok(g.clone()), args)?;
    let residuals = values.split_off(lin.outputs);
    let y = result.with_tensors(values);
    let (argument, shape) = (x.map(&mut Tensor::clone), y.map(&mut Tensor::clone));
    let push = move |dx: &A| {
        let run = || {
            same_structure("linearize", &argument, dx, &site)?;
            let args: Vec<Tensor> = residuals.iter().cloned().chain(dx.tensors()).collect();
            let n = residuals.len();
            let make = |g: &gradus_core::Graph| transforms::pushed(g, n);
            let mut dots = apply(lin.linear.clone(), &format!("push {n}"), make, args)?.into_iter();
            let mut active = lin.active.iter();
            Ok(shape.map(&mut |t| match active.next() {
                Some(true) => dots.next().expect("a tangent an active result"),
                _ => t.zeros_like(),
            }))
        };
        let result: Result<B> = run();
        result.or_fail()
    };
    Ok((y, Box::new(push)))
}
