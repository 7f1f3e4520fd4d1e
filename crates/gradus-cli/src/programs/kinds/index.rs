//! Picking by index, order along an axis.

use gradus::{DType, Tensor};

use super::Draw;
use crate::programs::grow::Grower;
use crate::programs::step::step;

pub(super) const KINDS: &[(usize, Draw)] =
    &[(5, take), (6, along_axis), (5, scatter), (3, one_hot), (4, extremum), (5, order), (3, found)];

/// Indices of an axis of so many elements, as an argument or a captured value.
pub(super) fn indices(g: &mut Grower<'_>, extent: usize, shape: &[usize]) -> usize {
    let dtype = g.choose(&[DType::I64, DType::I64, DType::I32]);
    let n: usize = shape.iter().product();
    let v: Vec<f64> = (0..n).map(|_| g.rng.below(2 * extent) as f64 - extent as f64).collect();
    let value = Tensor::new(shape, v).expect("as many indices as the shape has").cast(dtype);
    if g.one_in(3) { g.constant(value) } else { g.input(value) }
}

/// Classes, which are not counted from the end.
pub(super) fn labels(g: &mut Grower<'_>, classes: usize, shape: &[usize]) -> usize {
    let n: usize = shape.iter().product();
    let v: Vec<f64> = (0..n).map(|_| g.rng.below(classes) as f64).collect();
    let value = Tensor::new(shape, v).expect("as many labels as the shape has").cast(DType::I64);
    if g.one_in(3) { g.constant(value) } else { g.input(value) }
}

fn indexed(g: &mut Grower<'_>) -> Option<(usize, usize)> {
    let x = if g.one_in(8) { g.pick(|t| t.rank() > 0)? } else { g.float_of(1)? };
    let axis = g.axis(x)?;
    (g.shape(x)[axis] > 0).then_some((x, axis))
}

fn take(g: &mut Grower<'_>) -> Option<usize> {
    let (x, at) = indexed(g)?;
    let extent = g.shape(x)[at];
    let shape = g.choose(&[vec![], vec![1], vec![3], vec![2], vec![2, 2], vec![0]]);
    if g.size(x) / extent * 4 > g.limit {
        return None;
    }
    let i = indices(g, extent, &shape);
    let axis = at as isize;
    Some(g.push(step!(|x, i| x.take(i, axis); axis), &[x, i]))
}

fn along_axis(g: &mut Grower<'_>) -> Option<usize> {
    let (x, at) = indexed(g)?;
    let mut shape = g.shape(x);
    let extent = shape[at];
    shape[at] = g.choose(&[1, 1, 2]);
    if shape.size() > g.limit {
        return None;
    }
    let i = indices(g, extent, &shape);
    let axis = at as isize;
    Some(g.push(step!(|x, i| x.take_along_axis(i, axis); axis), &[x, i]))
}

fn scatter(g: &mut Grower<'_>) -> Option<usize> {
    let x = g.float_of(1)?;
    let at = g.axis(x)?;
    let mut shape = g.shape(x);
    let extent = shape[at];
    if extent == 0 {
        return None;
    }
    let count = g.rng.below(4);
    shape[at] = count;
    let i = indices(g, extent, &[count]);
    let from = g.float()?;
    let dtype = g.dtype(x);
    let updates = g.fit(from, dtype, &shape);
    let axis = at as isize;
    Some(g.push(step!(|x, i, u| x.scatter_add(i, u, axis); axis), &[x, i, updates]))
}

fn one_hot(g: &mut Grower<'_>) -> Option<usize> {
    let (classes, n) = (1 + g.rng.below(5), g.rng.below(4));
    let (i, dtype) = (indices(g, classes, &[n]), g.float);
    Some(g.push(step!(|i| i.one_hot(classes, dtype); classes, dtype), &[i]))
}

fn extremum(g: &mut Grower<'_>) -> Option<usize> {
    let (x, at) = indexed(g)?;
    if g.dtype(x) == DType::Bool {
        return None;
    }
    let axis = at as isize;
    Some(if g.one_in(2) {
        g.push(step!(|x| x.argmax(axis); axis), &[x])
    } else {
        g.push(step!(|x| x.argmin(axis); axis), &[x])
    })
}

fn order(g: &mut Grower<'_>) -> Option<usize> {
    let (x, at) = indexed(g)?;
    if g.dtype(x) == DType::Bool {
        return None;
    }
    let (axis, k) = (at as isize, 1 + g.rng.below(g.shape(x)[at]));
    Some(match g.rng.below(4) {
        0 => g.push(step!(|x| x.sort(axis); axis), &[x]),
        1 => g.push(step!(|x| x.argsort(axis); axis), &[x]),
        2 => g.push(step!(|x| x.top_k(k, axis).0; k, axis), &[x]),
        _ => g.push(step!(|x| x.top_k(k, axis).1; k, axis), &[x]),
    })
}

/// Elements at places found in the data.
fn found(g: &mut Grower<'_>) -> Option<usize> {
    let x = g.float_of(1)?;
    let at = g.axis(x)?;
    if g.size(x) == 0 {
        return None;
    }
    let axis = at as isize;
    Some(match g.rng.below(3) {
        0 => g.push(step!(|x| x.take_along_axis(&x.argmax(axis).expand_dims(axis), axis); axis), &[x]),
        1 => g.push(step!(|x| x.take_along_axis(&x.argsort(axis), axis); axis), &[x]),
        _ => g.push(step!(|x| x.cumsum(axis).take(&x.flatten().argmax(0).minimum(0), axis); axis), &[x]),
    })
}
