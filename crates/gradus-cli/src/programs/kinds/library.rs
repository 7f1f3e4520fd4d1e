//! Ingredients of models: losses, layers, pointwise functions; and the large ones that reach the paths of large operands.

use gradus::num::{Real, scalar_fn};
use gradus::{Axes, DType, Key, Stencil, Tensor, tensor_fn};
use gradus_nn::{Mask, attention as attend_to, loss};

use super::Draw;
use crate::programs::grow::Grower;
use crate::programs::step::step;

pub(super) const KINDS: &[(usize, Draw)] =
    &[(5, losses), (3, layer_norm), (3, attention), (2, dense), (2, pointwise), (2, update)];

/// Starts of programs with large operands.
pub(super) const LARGE: &[(usize, Draw)] = &[
    (5, long_attention),
    (6, images),
    (3, long_rows),
    (3, many_points),
    (4, products),
    (2, classifier),
    (2, sorted),
    (2, columns),
];

fn losses(g: &mut Grower<'_>) -> Option<usize> {
    let x = g.float_of(2)?;
    let shape = g.shape(x);
    if shape.size() == 0 {
        return None;
    }
    let classes = shape[shape.rank() - 1];
    let labels = shape[..shape.rank() - 1].to_vec();
    Some(match g.rng.below(6) {
        0 => {
            let y = super::index::labels(g, classes, &labels);
            g.push(step!(|x, y| loss::cross_entropy(x, y)), &[x, y])
        }
        1 => {
            let y = super::index::labels(g, classes, &labels);
            g.push(step!(|x, y| loss::smooth_cross_entropy(x, y, 0.125)), &[x, y])
        }
        k => {
            let dtype = g.dtype(x);
            let y = g.fresh(dtype, shape);
            match k {
                2 => g.push(step!(|x, y| loss::mse(x, y)), &[x, y]),
                3 => g.push(step!(|x, y| loss::mae(x, y)), &[x, y]),
                4 => g.push(step!(|x, y| loss::huber(x, y, 0.5)), &[x, y]),
                _ => g.push(step!(|x, y| loss::binary_cross_entropy(x, y)), &[x, y]),
            }
        }
    })
}

fn layer_norm(g: &mut Grower<'_>) -> Option<usize> {
    let x = g.float_of(1)?;
    let (dtype, shape) = (g.dtype(x), g.shape(x));
    let n = shape[shape.rank() - 1];
    if n == 0 {
        return None;
    }
    let (w, b) = (g.fresh(dtype, [n]), g.fresh(dtype, [n]));
    Some(g.push(step!(|x, w, b| x.standardize(-1, 1e-3) * w + b), &[x, w, b]))
}

/// Attention of queries, keys and values, under a mask of one kind or another, or without.
fn attend(g: &mut Grower<'_>, heads: [usize; 2], length: usize, width: usize, dtype: DType) -> usize {
    let shape = vec![heads[0], heads[1], length, width];
    let (q, k, v) = (g.fresh(dtype, &shape), g.fresh(dtype, &shape), g.fresh(dtype, &shape));
    let step = match g.rng.below(8) {
        0 => step!(|q, k, v| {
            let scores = q.matmul(&k.t()) * 0.35;
            let masked =
                Tensor::ones([scores.shape()[2], scores.shape()[3]], DType::F64).triu(1).cast(DType::Bool);
            masked.select(f64::NEG_INFINITY, &scores).softmax(-1).matmul(v)
        }),
        1 => step!(|q, k, v| {
            let scores = q.matmul(&k.t()) * 0.35;
            let z = &scores - scores.max(Axes::keep(-1));
            let e = z.exp();
            (&e / e.sum(Axes::keep(-1))).matmul(v)
        }),
        2 => step!(|q, k, v| attend_to(q, k, v, Mask::None)),
        3 => step!(|q, k, v| attend_to(q, k, v, Mask::Causal)),
        4 => {
            let window = 1 + g.rng.below(length);
            step!(|q, k, v| attend_to(q, k, v, Mask::Window(window)); window)
        }
        given => {
            let shape = g.choose(&[
                [1, 1, length, length],
                [heads[0], heads[1], length, length],
                [heads[0], 1, 1, length],
            ]);
            let m = g.mask(&shape);
            let step = match given {
                5 => step!(|q, k, v, m| attend_to(q, k, v, Mask::Of(m))),
                6 => step!(|q, k, v, m| {
                    let scores = q.matmul(&k.t()) * 0.35;
                    m.select(f64::NEG_INFINITY, &scores).softmax(-1).matmul(v)
                }),
                _ => step!(|q, k, v, m| {
                    let row = q.new_iota([q.shape()[2], 1], 0, DType::I64);
                    let shown = row.greater_equal(q.new_iota([1, k.shape()[2]], 1, DType::I64)) & m;
                    shown.select(q.matmul(&k.t()) * 0.35, -1e9).softmax(-1).matmul(v)
                }),
            };
            return g.push(step, &[q, k, v, m]);
        }
    };
    g.push(step, &[q, k, v])
}

fn attention(g: &mut Grower<'_>) -> Option<usize> {
    let (heads, length, width) = ([1, 1 + g.rng.below(2)], 1 + g.rng.below(4), 1 + g.rng.below(3));
    let dtype = g.float;
    Some(attend(g, heads, length, width, dtype))
}

fn dense(g: &mut Grower<'_>) -> Option<usize> {
    let x = g.float_of(2)?;
    let (dtype, shape) = (g.dtype(x), g.shape(x));
    let (k, n) = (shape[shape.rank() - 1], 1 + g.rng.below(4));
    if shape.size() / k.max(1) * n > g.limit {
        return None;
    }
    let (w, b) = (g.fresh(dtype, [k, n]), g.fresh(dtype, [n]));
    Some(match g.rng.below(3) {
        0 => g.push(step!(|x, w, b| (x.matmul(w) + b).relu()), &[x, w, b]),
        1 => g.push(step!(|x, w, b| (x.matmul(w) + b).gelu()), &[x, w, b]),
        _ => g.push(step!(|x, w, b| (x.matmul(w) + b).tanh()), &[x, w, b]),
    })
}

/// A function of numbers, recorded once and run on points.
fn pointwise(g: &mut Grower<'_>) -> Option<usize> {
    let x = g.float_of(1)?;
    let shape = g.shape(x);
    if shape[shape.rank() - 1] < 2 {
        return None;
    }
    Some(g.push(
        step!(|x| {
            fn rosenbrock<R: Real>(x: &[R]) -> R {
                let (a, b) = (R::one() - x[0], x[1] - x[0] * x[0]);
                (a * a + b * b).sin()
            }
            tensor_fn(scalar_fn!(rosenbrock))(x)
        }),
        &[x],
    ))
}

/// A step of Adam.
fn update(g: &mut Grower<'_>) -> Option<usize> {
    let x = g.float()?;
    let y = g.partner(x);
    Some(g.push(
        step!(|w, d| {
            let (m, v) = (d * 0.1, d.square() * 0.001);
            w - 0.01 * (m / 0.1) / ((v / 0.001).sqrt() + 1e-3)
        }),
        &[x, y],
    ))
}

fn long_attention(g: &mut Grower<'_>) -> Option<usize> {
    let length = g.choose(&[64usize, 96, 130, 200]);
    let (heads, width, dtype) = ([1, 1 + g.rng.below(2)], g.choose(&[8, 16, 20]), g.float);
    Some(attend(g, heads, length, width, dtype))
}

/// Convolutions: of three and five taps, strided, grouped, one tap; with what goes around them.
fn images(g: &mut Grower<'_>) -> Option<usize> {
    let dtype = if g.one_in(5) { DType::F64 } else { DType::F32 };
    // Many channels, or many examples in the gradient of the kernel, take fewer products.
    let (n, c, most, side) = g.choose(&[
        (1usize, 4usize, 8usize, 8usize),
        (2, 8, 16, 12),
        (1, 16, 8, 17),
        (1, 32, 32, 8),
        (2, 32, 40, 9),
        (32, 8, 32, 8),
        (33, 4, 36, 7),
    ]);
    let taps = g.choose(&[1usize, 1, 3, 3, 3, 5, 5]);
    let (stride, groups) = (g.choose(&[1usize, 1, 1, 2]), g.choose(&[1usize, 1, 1, c]));
    let outputs = if groups > 1 { c } else { most };
    let x = g.fresh(dtype, [n, c, side, side]);
    let k = g.fresh(dtype, [outputs, c / groups, taps, taps]);
    let padding = taps / 2;
    let y = g.push(
        step!(|x, k| x.conv(k, &Stencil::new(2).stride(stride).padding(padding).groups(groups)) * 0.1;
            stride, padding, groups),
        &[x, k],
    );
    Some(match g.rng.below(4) {
        0 => g.push(step!(|y| y.relu().max_pool2d(2)), &[y]),
        1 => g.push(step!(|y| y.standardize([0, 2, 3], 1e-3).relu()), &[y]),
        2 => g.push(step!(|y| y.relu().mean([2, 3])), &[y]),
        _ => y,
    })
}

fn long_rows(g: &mut Grower<'_>) -> Option<usize> {
    let (rows, cols) = g.choose(&[(2usize, 70_000usize), (1, 70_000), (3, 5000), (66, 4200), (1, 9000)]);
    let dtype = g.float;
    let x = g.fresh(dtype, [rows, cols]);
    let w = g.fresh(dtype, [cols]);
    let y = g.push(step!(|x, w| x.sin() * w), &[x, w]);
    Some(match g.rng.below(5) {
        0 => g.push(step!(|y| y.softmax(-1)), &[y]),
        1 => g.push(step!(|y| y.logsumexp(-1)), &[y]),
        2 => g.push(step!(|y| y.square().sum(-1)), &[y]),
        3 => g.push(step!(|y| y.standardize(-1, 1e-3)), &[y]),
        _ => g.push(step!(|y| y.max(-1)), &[y]),
    })
}

fn many_points(g: &mut Grower<'_>) -> Option<usize> {
    let shape = g.choose(&[vec![90_000usize], vec![300, 220], vec![40, 30, 25], vec![1 << 15]]);
    let dtype = g.float;
    let (x, y) = (g.fresh(dtype, &shape), g.fresh(dtype, &shape));
    let z = g.push(step!(|x, y| x.softplus().tanh() * y + x.sin()), &[x, y]);
    g.grow(3);
    Some(g.push(step!(|z| z.gelu() + z.sigmoid()), &[z]))
}

fn products(g: &mut Grower<'_>) -> Option<usize> {
    let sizes = [1usize, 7, 33, 64, 130, 200];
    let (m, k, n) = (g.choose(&sizes), g.choose(&sizes), g.choose(&sizes));
    let dtype = g.float;
    let (x, y) = (g.fresh(dtype, [m, k]), g.fresh(dtype, [k, n]));
    let z = g.push(step!(|x, y| (x.matmul(y) * 0.2).tanh()), &[x, y]);
    Some(match g.rng.below(3) {
        0 => g.push(step!(|z| z.matmul(&z.t())), &[z]),
        1 => g.push(step!(|z| z.t().matmul(z)), &[z]),
        _ => z,
    })
}

fn classifier(g: &mut Grower<'_>) -> Option<usize> {
    let (examples, width, classes) = (g.choose(&[16usize, 50, 128]), g.choose(&[20usize, 64]), 10);
    let dtype = g.float;
    let x = g.fresh(dtype, [examples, width]);
    let (w, v) = (g.fresh(dtype, [width, 32]), g.fresh(dtype, [32, classes]));
    let labels = super::index::labels(g, classes, &[examples]);
    Some(g.push(
        step!(|x, w, v, labels| {
            let hidden = (x.matmul(w) * 0.2).gelu();
            let kept = Key::new(3).bernoulli(0.75, hidden.shape()).select(&hidden, 0.0);
            loss::cross_entropy(&kept.matmul(v), labels)
        }),
        &[x, w, v, labels],
    ))
}

fn sorted(g: &mut Grower<'_>) -> Option<usize> {
    let (rows, cols, dtype) = (g.choose(&[1usize, 5, 40]), g.choose(&[300usize, 2000]), g.float);
    let x = g.fresh(dtype, [rows, cols]);
    Some(match g.rng.below(4) {
        0 => g.push(step!(|x| x.sort(-1)), &[x]),
        1 => g.push(step!(|x| x.cumsum(0).cumsum(-1) * 0.01), &[x]),
        2 => g.push(step!(|x| x.top_k(5, -1).0), &[x]),
        _ => g.push(step!(|x| x.take(&x.index(0, 0).argsort(0), -1)), &[x]),
    })
}

/// Sums over rows.
fn columns(g: &mut Grower<'_>) -> Option<usize> {
    let shape = g.choose(&[vec![500usize, 60], vec![3000, 7], vec![8, 600, 5]]);
    let dtype = g.float;
    let x = g.fresh(dtype, &shape);
    Some(match g.rng.below(3) {
        0 => g.push(step!(|x| x.tanh().sum(0)), &[x]),
        1 => g.push(step!(|x| x.exp().sum(-2)), &[x]),
        _ => g.push(step!(|x| x.standardize(0, 1e-3) * x.sigmoid()), &[x]),
    })
}
