//! What each primitive computes, written a second time: index by index from the formula in its documentation,
//! in `f64`, sharing no code with its `eval`.

mod scalar;
mod windows;

use super::row::Case;
use crate::ops::{CumulativeKind, ReduceKind};
use crate::{Array, DEAD, DType, Op, Shape, Type};

/// An array as `f64`, read by index.
pub(super) struct Grid {
    pub shape: Shape,
    pub v: Vec<f64>,
}

/// Every index of a shape, in row-major order.
pub(super) fn indices(shape: &[usize]) -> Vec<Vec<usize>> {
    let mut all = vec![Vec::new()];
    for &extent in shape {
        all =
            all.into_iter().flat_map(|index| (0..extent).map(move |i| [&index[..], &[i]].concat())).collect();
    }
    all
}

impl Grid {
    fn new(array: &Array) -> Self {
        Grid { shape: array.shape().clone(), v: array.to_f64() }
    }
    /// A result from its value at every index.
    pub fn build(shape: &Shape, f: impl FnMut(&[usize]) -> f64) -> Self {
        let mut f = f;
        Grid { shape: shape.clone(), v: indices(shape).iter().map(|i| f(i)).collect() }
    }
    /// Where an index is.
    pub fn offset(&self, index: &[usize]) -> usize {
        index.iter().zip(self.shape.iter()).fold(0, |at, (&i, &extent)| at * extent + i)
    }
    /// The element at an index.
    pub fn at(&self, index: &[usize]) -> f64 {
        self.v[self.offset(index)]
    }
}

/// `x` modulo the range of an integer type, as wrapping arithmetic leaves it.
fn wrapped(dtype: DType, x: f64) -> f64 {
    match dtype {
        DType::U8 => x.rem_euclid(256.0),
        DType::I32 => f64::from(x as i64 as i32),
        DType::F32 | DType::F64 | DType::I64 | DType::Bool | DType::Bf16 | DType::F16 => x,
    }
}

/// The results by the formula, in `f64`, for operands of any dtype; `None` for primitives that carry sub-programs, and those of users.
pub(super) fn results(op: &Op, args: &[Array], types: &[Type]) -> Option<Vec<Grid>> {
    let g: Vec<Grid> = args.iter().map(Grid::new).collect();
    let dtype = args.first().map_or(DType::F64, Array::dtype);
    let shape = &types.first()?.shape;
    let elementwise = |f: &dyn Fn(&[f64]) -> f64| {
        vec![Grid::build(shape, |i| f(&g.iter().map(|x| x.at(i)).collect::<Vec<_>>()))]
    };
    let mut out = match op {
        Op::Full(p) => vec![Grid::build(shape, |_| p.value)],
        Op::Iota(p) => vec![Grid::build(shape, |i| i[p.axis] as f64)],
        Op::Unary(p) => elementwise(&|x| scalar::unary(*p, x[0])),
        Op::Binary(p) => elementwise(&|x| scalar::binary(*p, x[0], x[1], dtype)),
        Op::LinearMul(p) => elementwise(&|x| {
            let dead = |x: f64| x.to_bits() == DEAD.to_bits();
            if dead(x[1]) || p.both && dead(x[0]) { DEAD } else { x[0] * x[1] }
        }),
        Op::Compare(p) => elementwise(&|x| f64::from(scalar::compare(*p, x[0], x[1]))),
        Op::Logic(p) => elementwise(&|x| scalar::logic(*p, x[0] as i64, x[1] as i64) as f64),
        Op::Not(_) => elementwise(&|x| match dtype {
            DType::Bool => 1.0 - x[0],
            DType::U8 => 255.0 - x[0],
            _ => -x[0] - 1.0,
        }),
        Op::Select(_) => elementwise(&|x| if x[0] != 0.0 { x[1] } else { x[2] }),
        Op::Cast(p) => elementwise(&|x| scalar::cast(p.0, x[0])),
        Op::StopGradient(_) => elementwise(&|x| x[0]),
        Op::Clamp(_) => elementwise(&|x| match x {
            x if x.iter().any(|v| v.is_nan()) => f64::NAN,
            x if x[1] > x[2] || x[0] > x[2] => x[2],
            x if x[0] < x[1] => x[1],
            x => x[0],
        }),
        Op::Reduce(p) => {
            let start = if p.kind == ReduceKind::Prod { 1.0 } else { 0.0 };
            let mut sums: Vec<Option<f64>> = vec![None; shape.size()];
            let result = Grid::build(shape, |_| 0.0);
            for index in indices(&g[0].shape) {
                let kept: Vec<usize> =
                    (0..index.len()).filter(|a| !p.axes.contains(a)).map(|a| index[a]).collect();
                let (sum, x) = (&mut sums[result.offset(&kept)], g[0].at(&index));
                *sum = Some(sum.map_or(x, |sum| match p.kind {
                    ReduceKind::Sum => sum + x,
                    ReduceKind::Prod => sum * x,
                    ReduceKind::Max => scalar::larger(sum, x),
                    ReduceKind::Min => -scalar::larger(-sum, -x),
                }));
            }
            vec![Grid { v: sums.into_iter().map(|s| s.unwrap_or(start)).collect(), ..result }]
        }
        Op::Reshape(_) => vec![Grid { shape: shape.clone(), v: g[0].v.clone() }],
        Op::Permute(p) => {
            let back = |i: &[usize]| {
                let place = |axis| p.axes.iter().position(|&a| a == axis).expect("each axis once");
                (0..i.len()).map(|axis| i[place(axis)]).collect::<Vec<_>>()
            };
            vec![Grid::build(shape, |i| g[0].at(&back(i)))]
        }
        Op::Broadcast(p) => vec![Grid::build(shape, |i| {
            let from = g[0].shape.iter().zip(&p.axes).map(|(&d, &a)| if d == 1 { 0 } else { i[a] });
            g[0].at(&from.collect::<Vec<_>>())
        })],
        Op::Slice(p) => vec![Grid::build(shape, |i| {
            let from = (0..i.len()).map(|a| p.start[a] + i[a] * p.step[a]);
            g[0].at(&from.collect::<Vec<_>>())
        })],
        Op::Pad(p) => {
            let mut out = Grid::build(shape, |_| 0.0);
            for index in indices(&g[0].shape) {
                let to: Vec<usize> =
                    (0..index.len()).map(|a| p.low[a] + index[a] * (p.interior[a] + 1)).collect();
                let at = out.offset(&to);
                out.v[at] = g[0].at(&index);
            }
            vec![out]
        }
        Op::Concat(p) => vec![Grid::build(shape, |i| {
            let mut index = i.to_vec();
            let mut parts = g.iter();
            loop {
                let part = parts.next().expect("the index is inside one of them");
                if index[p.axis] < part.shape[p.axis] {
                    return part.at(&index);
                }
                index[p.axis] -= part.shape[p.axis];
            }
        })],
        Op::Reverse(p) => vec![Grid::build(shape, |i| {
            let from = (0..i.len()).map(|a| if p.axes.contains(&a) { shape[a] - 1 - i[a] } else { i[a] });
            g[0].at(&from.collect::<Vec<_>>())
        })],
        Op::Dot(p) => vec![windows::dot(p, &g[0], &g[1], shape)],
        Op::Gather(p) => vec![Grid::build(shape, |i| {
            let n = g[1].shape.rank() - p.batch;
            let at = [&i[..p.batch], &i[p.axis..p.axis + n]].concat();
            let at = g[1].at(&at);
            let extent = g[0].shape[p.axis] as f64;
            let at = if at < 0.0 { at + extent } else { at } as usize;
            g[0].at(&[&i[..p.axis], &[at], &i[p.axis + n..]].concat())
        })],
        Op::ScatterAdd(p) => {
            let mut out = Grid { shape: shape.clone(), v: g[0].v.clone() };
            let n = g[1].shape.rank() - p.batch;
            for i in indices(&g[2].shape) {
                let at = g[1].at(&[&i[..p.batch], &i[p.axis..p.axis + n]].concat());
                let at = if at < 0.0 { at + shape[p.axis] as f64 } else { at } as usize;
                let to = out.offset(&[&i[..p.axis], &[at], &i[p.axis + n..]].concat());
                out.v[to] += g[2].at(&i);
            }
            vec![out]
        }
        Op::Sort(p) => windows::sort(p.axis, p.descending, &g[0]),
        Op::ArgReduce(p) => vec![Grid::build(shape, |i| {
            let line: Vec<f64> = (0..g[0].shape[p.axis])
                .map(|k| g[0].at(&[&i[..p.axis], &[k], &i[p.axis..]].concat()))
                .map(|x| if p.max { x } else { -x })
                .collect();
            let best = line.iter().copied().reduce(scalar::larger).unwrap_or(0.0);
            line.iter().position(|x| *x == best || x.is_nan()).unwrap_or(0) as f64
        })],
        Op::Cumulative(p) => vec![Grid::build(shape, |i| {
            let range = if p.reverse { i[p.axis]..shape[p.axis] } else { 0..i[p.axis] + 1 };
            let mut terms = range.map(|k| {
                let mut at = i.to_vec();
                at[p.axis] = k;
                g[0].at(&at)
            });
            match p.kind {
                CumulativeKind::Sum => terms.sum(),
                CumulativeKind::Prod => terms.by_ref().product(),
            }
        })],
        Op::Recurrence(p) => vec![Grid::build(shape, |i| {
            let n = shape[p.axis];
            let own = if p.reverse { n - 1 - i[p.axis] } else { i[p.axis] };
            let read = |x: &Grid, k: usize| {
                let mut at = i.to_vec();
                at[p.axis] = if p.reverse { n - 1 - k } else { k };
                x.at(&at)
            };
            // Each b reaches the result through the a's after it.
            (0..=own).map(|j| (j + 1..=own).fold(read(&g[1], j), |y, k| y * read(&g[0], k))).sum()
        })],
        Op::RandomBits(p) => {
            let draws = g[0].v.iter().flat_map(|&key| {
                let keyed = move |i| windows::random_bits(key as i64, p.bits, i);
                (0..p.shape.size() as u64).map(keyed)
            });
            vec![Grid { shape: shape.clone(), v: draws.collect() }]
        }
        Op::FoldIn(p) => elementwise(&|x| windows::fold_in(x[0] as i64, x[1] as i64, p.stream)),
        Op::Conv(p) => vec![windows::conv(p, &g[0], &g[1], shape)],
        Op::MaxPool(p) => windows::max_pool(&p.window, &g[0], shape),
        Op::SumPool(p) => vec![windows::sum_pool(&p.window, &g[0], shape)],
        Op::Cond(_)
        | Op::Scan(_)
        | Op::While(_)
        | Op::Replay(_)
        | Op::Call(_)
        | Op::Collective(_)
        | Op::External(_) => {
            return None;
        }
    };
    for (grid, ty) in out.iter_mut().zip(types) {
        grid.v.iter_mut().for_each(|x| *x = wrapped(ty.dtype, *x));
    }
    Some(out)
}

/// The results of a case, by its own definition or by the formula.
pub(super) fn expected(case: &Case, args: &[Array], types: &[Type]) -> Option<Vec<Grid>> {
    match case.definition {
        Some(define) => Some(define(args).iter().map(Grid::new).collect()),
        None => results(&case.op, args, types),
    }
}

/// A number as the nearest of a float type.
pub(super) fn rounded(dtype: DType, x: f64) -> f64 {
    scalar::cast(dtype, x)
}
