//! Reductions, running reductions, pooling.

use gradus::num::Domain;
use gradus::{Axes, Stencil};

use super::Draw;
use crate::programs::grow::Grower;
use crate::programs::step::step;

pub(super) const KINDS: &[(usize, Draw)] =
    &[(14, reduction), (6, statistics), (6, softmax), (4, running), (6, pooling), (2, truth)];

fn some_axes(g: &mut Grower<'_>, x: usize) -> Vec<usize> {
    let rank = g.rank(x);
    match g.rng.below(4) {
        0 => (0..rank).collect(),
        1 if rank > 0 => vec![rank - 1],
        2 if rank > 0 => vec![0],
        _ => (0..rank).filter(|_| g.rng.below(2) == 0).collect(),
    }
}

fn reduction(g: &mut Grower<'_>) -> Option<usize> {
    let x = if g.one_in(8) { g.pick(|t| t.dtype().is_int() || t.dtype().is_float())? } else { g.float()? };
    let axes = some_axes(g, x);
    let keep = g.one_in(3);
    // There are no extrema of nothing.
    let empty = axes.iter().any(|&a| g.shape(x)[a] == 0);
    Some(match (g.rng.below(8), keep) {
        (0, _) if !empty => g.push(step!(|x| x.max(axes.clone()); axes), &[x]),
        (1, _) if !empty => g.push(step!(|x| x.min(axes.clone()); axes), &[x]),
        (2, false) => g.push(step!(|x| x.prod(axes.clone()); axes), &[x]),
        (3, _) if g.dtype(x).is_float() && !empty => g.push(step!(|x| x.mean(axes.clone()); axes), &[x]),
        (4, true) if !empty => g.push(step!(|x| x.max(Axes::keep(axes.clone())); axes), &[x]),
        (_, true) => g.push(step!(|x| x.sum(Axes::keep(axes.clone())); axes), &[x]),
        (_, false) => g.push(step!(|x| x.sum(axes.clone()); axes), &[x]),
    })
}

fn statistics(g: &mut Grower<'_>) -> Option<usize> {
    let x = g.float()?;
    let axes = some_axes(g, x);
    let n: usize = axes.iter().map(|&a| g.shape(x)[a]).product();
    if n == 0 {
        return None;
    }
    Some(match g.rng.below(6) {
        0 => g.push(step!(|x| x.var(axes.clone(), 0); axes), &[x]),
        1 if n > 1 => g.push(step!(|x| x.var(axes.clone(), 1); axes), &[x]),
        2 => g.push(step!(|x| (x.var(axes.clone(), 0) + 0.1).sqrt(); axes), &[x]),
        3 => {
            let x = g.within(x, Domain::NonZero);
            g.push(step!(|x| x.norm(axes.clone()); axes), &[x])
        }
        4 => {
            let p = g.choose(&[1.0, 2.0, 3.0, f64::INFINITY]);
            let x = g.within(x, Domain::NonZero);
            match p == f64::INFINITY {
                true => g.push(step!(|x| x.norm_p(f64::INFINITY, axes.clone()); axes), &[x]),
                false => g.push(step!(|x| x.norm_p(p, axes.clone()); p, axes), &[x]),
            }
        }
        _ => g.push(step!(|x| x.standardize(axes.clone(), 0.01); axes), &[x]),
    })
}

fn softmax(g: &mut Grower<'_>) -> Option<usize> {
    let x = g.float_of(1)?;
    let at = g.axis(x)?;
    if g.shape(x)[at] == 0 {
        return None;
    }
    let axis = at as isize;
    Some(match g.rng.below(3) {
        0 => g.push(step!(|x| x.softmax(axis); axis), &[x]),
        1 => g.push(step!(|x| x.log_softmax(axis); axis), &[x]),
        _ => g.push(step!(|x| x.logsumexp(axis); axis), &[x]),
    })
}

fn running(g: &mut Grower<'_>) -> Option<usize> {
    let x = g.float_of(1)?;
    let axis = g.axis(x)? as isize;
    Some(if g.one_in(2) {
        g.push(step!(|x| x.cumsum(axis); axis), &[x])
    } else {
        g.push(step!(|x| x.cumprod(axis); axis), &[x])
    })
}

/// Windows over the last one or two axes.
fn pooling(g: &mut Grower<'_>) -> Option<usize> {
    let x = g.float_of(1)?;
    let shape = g.shape(x);
    let dims = if shape.rank() > 1 && g.one_in(2) { 2 } else { 1 };
    let last = &shape[shape.rank() - dims..];
    if last.contains(&0) {
        return None;
    }
    let size: Vec<usize> = last.iter().map(|&d| 1 + g.rng.below(d.min(3))).collect();
    let stride = 1 + g.rng.below(2);
    let planes: usize = shape[..shape.rank() - dims].iter().product();
    let images: Vec<usize> = [1, planes].into_iter().chain(last.iter().copied()).collect();
    let x = g.push(step!(|x| x.reshape(images.clone()); images), &[x]);
    Some(if g.one_in(2) {
        g.push(step!(|x| x.max_pool(&size, &Stencil::new(dims).stride(stride)); size, dims, stride), &[x])
    } else {
        g.push(step!(|x| x.avg_pool(&size, &Stencil::new(dims).stride(stride)); size, dims, stride), &[x])
    })
}

fn truth(g: &mut Grower<'_>) -> Option<usize> {
    let x = g.float()?;
    let axes = some_axes(g, x);
    Some(if g.one_in(2) {
        g.push(step!(|x| x.greater(0.0).any(axes.clone()); axes), &[x])
    } else {
        g.push(step!(|x| x.less(0.5).all(axes.clone()); axes), &[x])
    })
}
