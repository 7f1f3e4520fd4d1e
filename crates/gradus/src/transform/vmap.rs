//! Vectorisation over axes of the arguments.

use gradus_core::transforms::{self, Lanes};
use gradus_core::{Error, ErrorKind, Graph, Result, Site, Type};

use super::{Recorded, axes, record};
use crate::trace::{OrFail, apply, here, newest};
use crate::{Tensor, Tree};

/// Maps a function written for one example over axis 0 of every tensor of its argument; results are stacked along
/// axis 0.
///
/// ```
/// use gradus::{Tensor, grad, vmap};
/// let w = Tensor::from([1.0, 2.0]);
/// let per_example = vmap(|x: &Tensor| grad(|x: &Tensor| (x * &w).sum(()).square())(x));
/// let g = per_example(&Tensor::from([[1.0, 0.0], [0.0, 1.0]]));
/// assert_eq!(g, Tensor::from([[2.0, 4.0], [4.0, 8.0]]));
/// ```
#[track_caller]
pub fn vmap<A: Tree, B: Tree, F: Fn(&A) -> B>(f: F) -> impl Fn(&A) -> B {
    let site = here();
    move |x| map(&f, x, None, &[Some(0)], 0, &site).or_fail()
}

/// [`vmap`] over an axis with a name, by which the function can ask what all examples make together: [`psum`](crate::psum),
/// [`pmean`](crate::pmean), [`pmax`](crate::pmax), [`pmin`](crate::pmin), [`axis_index`](crate::axis_index),
/// [`all_gather`](crate::all_gather) and [`psum_scatter`](crate::psum_scatter).
///
/// ```
/// use gradus::{Tensor, grad, pmean, vmap_named};
/// // Each example is compared with the mean of all.
/// let spread = |x: &Tensor| vmap_named("batch", |x: &Tensor| (x - pmean(x, "batch")).square())(x).mean(());
/// let x = Tensor::from([1.0, 3.0]);
/// assert_eq!(spread(&x), Tensor::from(1.0));
/// assert_eq!(grad(spread)(&x), Tensor::from([-1.0, 1.0]));
/// ```
#[track_caller]
pub fn vmap_named<A: Tree, B: Tree, F: Fn(&A) -> B>(name: impl Into<String>, f: F) -> impl Fn(&A) -> B {
    let (site, name) = (here(), name.into());
    move |x| map(&f, x, Some(&name), &[Some(0)], 0, &site).or_fail()
}

/// [`vmap`] over chosen axes: one entry a tensor of the argument, or a single one for all of them; `None` passes a tensor
/// to every example whole. Results are stacked along `out_axis`.
///
/// ```
/// use gradus::{Tensor, vmap_axes};
/// let f = |(x, y): &(Tensor, Tensor)| x * y;
/// let z = vmap_axes(f, &[Some(1), None], 0)(&(Tensor::from([[1.0, 2.0]]), Tensor::from([10.0])));
/// assert_eq!(z, Tensor::from([[10.0], [20.0]]));
/// ```
#[track_caller]
pub fn vmap_axes<A: Tree, B: Tree, F: Fn(&A) -> B>(
    f: F,
    in_axes: &[Option<isize>],
    out_axis: isize,
) -> impl Fn(&A) -> B {
    let site = here();
    let in_axes = in_axes.to_vec();
    move |x| map(&f, x, None, &in_axes, out_axis, &site).or_fail()
}

/// [`vmap_axes`] over an axis with a name: see [`vmap_named`].
///
/// ```
/// use gradus::{Tensor, psum, vmap_axes_named};
/// let weighted = |(x, w): &(Tensor, Tensor)| psum(&(x * w), "batch");
/// let y = vmap_axes_named("batch", weighted, &[Some(1), None], 0)(&(Tensor::from([[1.0, 2.0]]), Tensor::from([10.0])));
/// assert_eq!(y, Tensor::from([[30.0], [30.0]]));
/// ```
#[track_caller]
pub fn vmap_axes_named<A: Tree, B: Tree, F: Fn(&A) -> B>(
    name: impl Into<String>,
    f: F,
    in_axes: &[Option<isize>],
    out_axis: isize,
) -> impl Fn(&A) -> B {
    let (site, name, in_axes) = (here(), name.into(), in_axes.to_vec());
    move |x| map(&f, x, Some(&name), &in_axes, out_axis, &site).or_fail()
}

fn map<A: Tree, B: Tree>(
    f: &impl Fn(&A) -> B,
    x: &A,
    name: Option<&str>,
    in_axes: &[Option<isize>],
    out_axis: isize,
    site: &Site,
) -> Result<B> {
    let wrong = |detail: String| Error::new(ErrorKind::Argument { op: "vmap", detail }, site.clone());
    let leaves = x.leaves();
    let in_axes: Vec<Option<isize>> = match in_axes {
        [one] => vec![*one; leaves.len()],
        many if many.len() == leaves.len() => many.to_vec(),
        many => {
            return Err(wrong(format!(
                "{} axes for {} tensors; give one a tensor, or a single one",
                many.len(),
                leaves.len()
            )));
        }
    };
    let mut args = Vec::new();
    let mut size: Option<(usize, String)> = None;
    for ((path, leaf), axis) in leaves.iter().zip(&in_axes) {
        let Some(axis) = axis else {
            args.push(leaf.clone());
            continue;
        };
        let axis = gradus_core::shape::resolve_axis("vmap", *axis, leaf.rank())
            .map_err(|kind| Error::new(kind, site.clone()))?;
        let extent = leaf.shape()[axis];
        match &size {
            Some((n, first)) if *n != extent => {
                return Err(wrong(format!("tensor {path} has {extent} examples, but {first} has {n}")));
            }
            Some(_) => {}
            None => size = Some((extent, path.clone())),
        }
        args.push(if axis == 0 { leaf.clone() } else { leaf.move_axis(axis as isize, 0) });
    }
    let Some((size, _)) = size else {
        return Err(wrong("at least one tensor must have an axis to map over".into()));
    };
    let marks: Vec<bool> = in_axes.iter().map(Option::is_some).collect();
    let types: Vec<Type> = args
        .iter()
        .zip(&marks)
        .map(|(t, &m)| if m { Type::new(t.dtype(), t.shape().remove(0)) } else { t.ty() })
        .collect();
    if let Some(name) = name {
        axes::free(name, site)?;
    }
    let one = |x: &A| {
        let tensors = x.tensors();
        let _open = name.zip(newest(&tensors)).map(|(name, trace)| axes::open(name, size, trace));
        f(x)
    };
    let Recorded { graph, captures, result } = record("vmap", &types, None, x, one)?;
    let make = |g: &Graph| {
        let marks: Vec<bool> =
            marks.iter().copied().chain(std::iter::repeat(false)).take(g.inputs().len()).collect();
        transforms::vmap(g, &marks, Lanes { size, name })
    };
    let key = format!("vmap {name:?} {size} {marks:?}");
    let results =
        apply(graph, &key, make, args.into_iter().chain(captures).collect()).map_err(|e| e.or_at(site))?;
    let place = |t: Tensor| if out_axis == 0 { t } else { t.move_axis(0, out_axis) };
    Ok(result.with_tensors(results.into_iter().map(place)))
}
