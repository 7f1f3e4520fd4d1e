//! Products and convolutions.

use gradus::{DType, Stencil, Tensor};

use super::Draw;
use crate::programs::grow::Grower;
use crate::programs::step::step;

pub(super) const KINDS: &[(usize, Draw)] =
    &[(8, matmul), (3, vectors), (4, tensordot), (5, einsum), (6, convolution)];

fn extent(g: &mut Grower<'_>) -> usize {
    if g.one_in(20) { 0 } else { 1 + g.rng.below(5) }
}

fn matmul(g: &mut Grower<'_>) -> Option<usize> {
    let x = if g.one_in(10) {
        let (dtype, rows, inner) = (g.choose(&[DType::I32, DType::I64, DType::U8]), extent(g), extent(g));
        g.fresh(dtype, [rows, inner])
    } else {
        g.float_of(1)?
    };
    let (dtype, shape) = (g.dtype(x), g.shape(x));
    let (k, n) = (shape[shape.rank() - 1], extent(g));
    let rows: usize = shape[..shape.rank() - 1].iter().product();
    if rows * n > g.limit || k * n > g.limit {
        return None;
    }
    if shape.rank() >= 2 && g.one_in(4) {
        // With itself, transposed.
        let m = shape[shape.rank() - 2];
        if rows * m <= g.limit {
            return Some(g.push(step!(|x| x.matmul(&x.t())), &[x]));
        }
    }
    let other = match g.rng.below(4) {
        0 => vec![k],
        1 if shape.rank() >= 3 => [&shape[..shape.rank() - 2], &[k, n][..]].concat(),
        _ => vec![k, n],
    };
    let y = g.fresh(dtype, other);
    Some(g.push(step!(|x, y| x.matmul(y)), &[x, y]))
}

fn vectors(g: &mut Grower<'_>) -> Option<usize> {
    let x = g.float_of(1)?;
    let x = g.push(step!(|x| x.flatten()), &[x]);
    let (dtype, n) = (g.dtype(x), g.size(x));
    if g.one_in(2) {
        let y = g.fresh(dtype, [n]);
        return Some(g.push(step!(|x, y| x.dot(y)), &[x, y]));
    }
    let m = extent(g);
    if n * m > g.limit {
        return None;
    }
    let y = g.fresh(dtype, [m]);
    Some(g.push(step!(|x, y| x.outer(y)), &[x, y]))
}

fn tensordot(g: &mut Grower<'_>) -> Option<usize> {
    let x = g.float_of(1)?;
    let (dtype, shape) = (g.dtype(x), g.shape(x));
    let (axis, n) = (g.rng.below(shape.rank()), extent(g));
    if shape.remove(axis).size() * n > g.limit {
        return None;
    }
    let y = g.fresh(dtype, [n, shape[axis]]);
    let axes = vec![axis as isize];
    Some(g.push(step!(|x, y| x.tensordot(y, &axes, &[1]); axes), &[x, y]))
}

fn einsum(g: &mut Grower<'_>) -> Option<usize> {
    let x = g.pick(|t| t.dtype().is_float() && t.rank() == 2)?;
    let (dtype, shape) = (g.dtype(x), g.shape(x));
    let (i, j) = (shape[0], shape[1]);
    let n = extent(g);
    if i * j * n > g.limit {
        return None;
    }
    let y = g.fresh(dtype, [j, n]);
    Some(match g.rng.below(5) {
        0 => g.push(step!(|x, y| Tensor::einsum("ij,jk->ik", &[x, y])), &[x, y]),
        1 => g.push(step!(|x, y| Tensor::einsum("ij,jk->ijk", &[x, y])), &[x, y]),
        2 => g.push(step!(|x, y| Tensor::einsum("ij,jk->ki", &[x, y])), &[x, y]),
        3 => g.push(step!(|x, y| Tensor::einsum("ij,jk,ij->j", &[x, y, x])), &[x, y]),
        _ => g.push(step!(|x| Tensor::einsum("ij,kj->", &[x, x])), &[x]),
    })
}

/// One or two spatial axes, steps, padding, dilation, groups.
fn convolution(g: &mut Grower<'_>) -> Option<usize> {
    let dims = 1 + g.rng.below(2);
    let spatial: Vec<usize> = (0..dims).map(|_| 2 + g.rng.below(5)).collect();
    let groups = g.choose(&[1usize, 1, 1, 2]);
    let (n, channels, outputs) =
        (1 + g.rng.below(2), groups * (1 + g.rng.below(2)), groups * (1 + g.rng.below(3)));
    let (stride, padding, dilation) = (1 + g.rng.below(2), g.rng.below(2), g.choose(&[1usize, 1, 1, 2]));
    let taps: Vec<usize> = (0..dims).map(|_| 1 + g.rng.below(3)).collect();
    if spatial.iter().zip(&taps).any(|(d, k)| d + 2 * padding < (k - 1) * dilation + 1) {
        return None;
    }
    let from = g.float()?;
    let dtype = g.dtype(from);
    let images: Vec<usize> = [n, channels].into_iter().chain(spatial).collect();
    let x = g.fit(from, dtype, &images.into());
    let weights: Vec<usize> = [outputs, channels / groups].into_iter().chain(taps).collect();
    let k = g.fresh(dtype, weights);
    Some(if dims == 2 && dilation == 1 && groups == 1 {
        g.push(step!(|x, k| x.conv2d(k, stride, padding); stride, padding), &[x, k])
    } else {
        g.push(
            step!(|x, k| {
                x.conv(k, &Stencil::new(dims).stride(stride).padding(padding).dilation(dilation).groups(groups))
            }; dims, stride, padding, dilation, groups),
            &[x, k],
        )
    })
}
