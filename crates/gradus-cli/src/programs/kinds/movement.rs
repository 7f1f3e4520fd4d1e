//! Steps that move elements: shapes, slices, joins.

use gradus::{Shape, Tensor};

use super::Draw;
use crate::programs::grow::Grower;
use crate::programs::step::{Operation, step};

pub(super) const KINDS: &[(usize, Draw)] = &[
    (5, reshape),
    (5, permute),
    (4, broadcast),
    (4, axes_of_one),
    (7, slice),
    (4, pad),
    (4, reverse),
    (6, concat),
    (3, repeat),
    (4, triangle),
    (4, source),
];

/// Any dtype, now and then.
fn any(g: &mut Grower<'_>, rank: usize) -> Option<usize> {
    if g.one_in(6) { g.pick(|t| t.rank() >= rank) } else { g.float_of(rank) }
}

fn reshape(g: &mut Grower<'_>) -> Option<usize> {
    let x = any(g, 0)?;
    let shape = g.shape(x);
    Some(match g.rng.below(4) {
        0 => g.push(step!(|x| x.flatten()), &[x]),
        1 if shape.rank() > 0 => {
            let first = g.rng.below(shape.rank()) as isize;
            g.push(step!(|x| x.flatten_from(first); first), &[x])
        }
        2 => {
            let to: Vec<usize> = shape.iter().rev().copied().collect();
            g.push(step!(|x| x.reshape(to.clone()); to), &[x])
        }
        _ => {
            // A divisor of one extent becomes an axis of its own.
            let (n, d) = (shape.size(), g.choose(&[1usize, 2, 3, 4]));
            let to = if n > 0 && n.is_multiple_of(d) { vec![n / d, d] } else { vec![n, 1] };
            g.push(step!(|x| x.reshape(to.clone()); to), &[x])
        }
    })
}

fn permute(g: &mut Grower<'_>) -> Option<usize> {
    let x = any(g, 1)?;
    let rank = g.rank(x);
    let (a, b) = (g.rng.below(rank) as isize, g.rng.below(rank) as isize);
    Some(match g.rng.below(4) {
        0 if rank >= 2 => g.push(step!(|x| x.t()), &[x]),
        1 => g.push(step!(|x| x.swap_axes(a, b); a, b), &[x]),
        2 if rank == 3 => g.push(step!(|x| x.permute([2, 0, 1])), &[x]),
        2 if rank == 4 => g.push(step!(|x| x.permute([0, 2, 1, 3])), &[x]),
        _ => g.push(step!(|x| x.move_axis(a, b); a, b), &[x]),
    })
}

fn broadcast(g: &mut Grower<'_>) -> Option<usize> {
    let x = any(g, 0)?;
    let (extent, mut to) = (g.choose(&[0usize, 1, 2, 3, 4]), g.shape(x));
    for d in to.to_vec().iter().enumerate().filter(|d| *d.1 == 1).map(|d| d.0) {
        to[d] = 1 + g.rng.below(4);
    }
    let to =
        if g.one_in(2) && to.rank() < 4 { to.insert(0, extent.max(usize::from(!g.one_in(10)))) } else { to };
    if to.size() > g.limit {
        return None;
    }
    if g.one_in(5) {
        let y = g.partner(x);
        return Some(g.push(step!(|x, y| Tensor::broadcast_all(&[x, y]).remove(0)), &[x, y]));
    }
    let to = to.to_vec();
    Some(g.push(step!(|x| x.broadcast_to(to.clone()); to), &[x]))
}

fn axes_of_one(g: &mut Grower<'_>) -> Option<usize> {
    let x = any(g, 0)?;
    let rank = g.rank(x);
    if rank < 5 && g.one_in(2) {
        let axis = g.rng.below(rank + 1) as isize;
        return Some(g.push(step!(|x| x.expand_dims(axis); axis), &[x]));
    }
    Some(g.push(step!(|x| x.squeeze(())), &[x]))
}

fn slice(g: &mut Grower<'_>) -> Option<usize> {
    let x = any(g, 1)?;
    let at = g.axis(x)?;
    let (extent, axis) = (g.shape(x)[at], at as isize);
    let from = g.rng.below(extent + 1);
    let to = (from + g.rng.below(extent + 1 - from) + usize::from(!g.one_in(8))).min(extent);
    let (from, to) = (from as isize, to as isize);
    Some(match g.rng.below(6) {
        0..=1 => g.push(step!(|x| x.slice(axis, from..to); axis, from, to), &[x]),
        2 => {
            let step = g.choose(&[1isize, 2, 3, -1, -2]);
            g.push(step!(|x| x.slice_step(axis, from..to, step); axis, from, to, step), &[x])
        }
        3 if extent > 0 => {
            let index = g.rng.below(2 * extent) as isize - extent as isize;
            g.push(step!(|x| x.index(axis, index); axis, index), &[x])
        }
        4 if extent > 1 => {
            let first = 1 + g.rng.below(extent - 1);
            let parts = vec![first, extent - first];
            g.push(step!(|x| x.split(&parts, axis).remove(1); parts, axis), &[x])
        }
        _ => {
            let back = -(g.rng.below(extent + 1) as isize);
            g.push(step!(|x| x.slice(axis, back..); axis, back), &[x])
        }
    })
}

fn pad(g: &mut Grower<'_>) -> Option<usize> {
    let x = any(g, 1)?;
    let widths: Vec<(usize, usize)> = (0..g.rank(x)).map(|_| (g.rng.below(3), g.rng.below(2))).collect();
    let grown: usize = g.shape(x).iter().zip(&widths).map(|(d, w)| d + w.0 + w.1).product();
    if grown > g.limit {
        return None;
    }
    Some(g.push(step!(|x| x.pad(&widths); widths), &[x]))
}

fn reverse(g: &mut Grower<'_>) -> Option<usize> {
    let x = any(g, 1)?;
    let at = g.axis(x)?;
    if g.one_in(2) {
        let axes = vec![at];
        return Some(g.push(step!(|x| x.flip(axes.clone()); axes), &[x]));
    }
    let (shift, axis) = (g.rng.below(7) as isize - 3, at as isize);
    Some(g.push(step!(|x| x.roll(shift, axis); shift, axis), &[x]))
}

fn concat(g: &mut Grower<'_>) -> Option<usize> {
    let x = any(g, 0)?;
    let (dtype, shape) = (g.dtype(x), g.shape(x));
    let y = g.pick(|t| t.dtype() == dtype && t.shape() == &shape).unwrap_or(x);
    if 3 * shape.size() > g.limit {
        return None;
    }
    if shape.rank() == 0 || g.one_in(3) {
        let axis = g.rng.below(shape.rank() + 1) as isize;
        return Some(g.push(step!(|x, y| Tensor::stack(&[x, y], axis); axis), &[x, y]));
    }
    let axis = g.rng.below(shape.rank()) as isize;
    if g.one_in(3) {
        return Some(g.push(step!(|x, y| Tensor::concat(&[y, x, y], axis); axis), &[x, y]));
    }
    Some(g.push(step!(|x, y| Tensor::concat(&[x, y], axis); axis), &[x, y]))
}

fn repeat(g: &mut Grower<'_>) -> Option<usize> {
    let x = any(g, 1)?;
    let (axis, times) = (g.axis(x)? as isize, g.rng.below(4));
    if times * g.size(x) > g.limit {
        return None;
    }
    let tile = g.one_in(2);
    Some(if tile {
        g.push(step!(|x| x.tile(times, axis); times, axis), &[x])
    } else {
        g.push(step!(|x| x.repeat(times, axis); times, axis), &[x])
    })
}

fn triangle(g: &mut Grower<'_>) -> Option<usize> {
    let x = g.float_of(2)?;
    let diagonal = g.rng.below(5) as isize - 2;
    Some(match g.rng.below(5) {
        0..=1 => g.push(step!(|x| x.tril(diagonal); diagonal), &[x]),
        2 => g.push(step!(|x| x.triu(diagonal); diagonal), &[x]),
        3 => g.push(step!(|x| x.diagonal()), &[x]),
        _ => g.push(step!(|x| x.trace()), &[x]),
    })
}

/// Values that depend on no operand.
fn source(g: &mut Grower<'_>) -> Option<usize> {
    let (dtype, n) = (g.float, g.rng.below(6));
    let shape: Shape = g.some_shape();
    let shape = shape.to_vec();
    let step: Operation = match g.rng.below(7) {
        0 => step!(|| Tensor::arange(n, dtype); n, dtype),
        1 => {
            let rank = shape.len();
            if rank == 0 {
                return None;
            }
            let axis = g.rng.below(rank);
            step!(|| Tensor::iota(shape.clone(), axis, dtype); shape, axis, dtype)
        }
        2 => {
            let n = n + 2;
            step!(|| Tensor::linspace(-1.0, 1.0, n, dtype); n, dtype)
        }
        3 => step!(|| Tensor::eye(n, dtype); n, dtype),
        4 => step!(|| Tensor::full(shape.clone(), dtype, 0.25); shape, dtype),
        5 => {
            let x = g.float()?;
            return Some(g.push(step!(|x| x.zeros_like()), &[x]));
        }
        _ => step!(|| Tensor::ones(shape.clone(), dtype); shape, dtype),
    };
    Some(g.push(step, &[]))
}
