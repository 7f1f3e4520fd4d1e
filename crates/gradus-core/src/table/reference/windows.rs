//! Products, windows, order and random bits, from their formulas.

use super::{Grid, indices};
use crate::ops::{Conv, Dot, Window};
use crate::{DEAD, Shape};

/// `Σₖ x y` over the contracted axes, each operand's index assembled axis by axis.
pub(super) fn dot(p: &Dot, x: &Grid, y: &Grid, shape: &Shape) -> Grid {
    let (lhs_free, rhs_free) = (p.lhs_free(x.shape.rank()), p.rhs_free(y.shape.rank()));
    let sums = indices(&x.shape.select(&p.lhs_contract));
    Grid::build(shape, |i| {
        let (batch, rest) = i.split_at(p.lhs_batch.len());
        let (left, right) = rest.split_at(lhs_free.len());
        let term = |k: &Vec<usize>| {
            let place = |rank: usize, parts: [(&[usize], &[usize]); 3]| {
                let mut index = vec![0; rank];
                for (axes, values) in parts {
                    axes.iter().zip(values).for_each(|(&a, &v)| index[a] = v);
                }
                index
            };
            let a = x
                .at(&place(x.shape.rank(), [(&p.lhs_batch, batch), (&lhs_free, left), (&p.lhs_contract, k)]));
            let b = y.at(&place(
                y.shape.rank(),
                [(&p.rhs_batch, batch), (&rhs_free, right), (&p.rhs_contract, k)],
            ));
            if dead(p.tangents, [a, b]) { 0.0 } else { a * b }
        };
        sums.iter().map(term).sum()
    })
}

/// Whether a term of a contraction does not count.
fn dead(tangents: [bool; 2], factors: [f64; 2]) -> bool {
    let nothing =
        |i: usize| if tangents[i] { factors[i].to_bits() == DEAD.to_bits() } else { factors[i] == 0.0 };
    tangents != [false; 2] && (nothing(0) || nothing(1))
}

/// By rank: an element goes behind all that are less, and behind its equals that stand before it.
pub(super) fn sort(axis: usize, descending: bool, x: &Grid) -> Vec<Grid> {
    let mut values = Grid::build(&x.shape, |_| 0.0);
    let mut from = Grid::build(&x.shape, |_| 0.0);
    for i in indices(&x.shape) {
        let own = x.at(&i);
        let before = |k: &usize| {
            let mut at = i.clone();
            at[axis] = *k;
            let other = x.at(&at);
            let below = |x: f64, y: f64| x < y || (!x.is_nan() && y.is_nan());
            let less = if descending { below(own, other) } else { below(other, own) };
            let equal = other == own || (other.is_nan() && own.is_nan());
            less || (equal && *k < i[axis])
        };
        let mut to = i.clone();
        to[axis] = (0..x.shape[axis]).filter(before).count();
        let at = values.offset(&to);
        (values.v[at], from.v[at]) = (own, i[axis] as f64);
    }
    vec![values, from]
}

/// From the input's side: every product of an input and a kernel element is sent to the result it belongs to.
pub(super) fn conv(p: &Conv, x: &Grid, kernel: &Grid, shape: &Shape) -> Grid {
    let mut out = Grid::build(shape, |_| 0.0);
    let channels = kernel.shape[1];
    let (features, groups) = (shape[1] / p.feature_groups, shape[1] / p.batch_groups);
    for i in indices(&x.shape) {
        for k in indices(&kernel.shape) {
            let feature_fits = i[1] / channels.max(1) == k[0] / features && i[1] % channels == k[1];
            let batch_fits = i[0] / shape[0] == k[0] / groups;
            let place = |d: usize| {
                let at = (i[d + 2] * p.lhs_dilation[d]) as isize + p.low[d]
                    - (k[d + 2] * p.rhs_dilation[d]) as isize;
                let fits = at >= 0 && at % p.stride[d] as isize == 0;
                fits.then_some(at as usize / p.stride[d]).filter(|&to| to < shape[d + 2])
            };
            let places: Option<Vec<usize>> = (0..p.dims()).map(place).collect();
            let (a, b) = (x.at(&i), kernel.at(&k));
            let skipped = dead(p.tangents, [a, b]);
            if let (true, true, false, Some(places)) = (feature_fits, batch_fits, skipped, places) {
                let to = out.offset(&[&[i[0] % shape[0], k[0]], &places[..]].concat());
                out.v[to] += a * b;
            }
        }
    }
    out
}

/// Whether window `to` holds element `from` along axis `d`.
fn holds(w: &Window, d: usize, to: usize, from: usize) -> bool {
    let at = (from + w.low[d]) as isize - (to * w.stride[d]) as isize;
    at >= 0 && (at as usize).is_multiple_of(w.dilation[d]) && at as usize / w.dilation[d] < w.size[d]
}

/// The elements of the window at an index of the result, with their place in the windowed axes taken as one.
fn window(w: &Window, x: &Grid, i: &[usize]) -> Vec<(f64, usize)> {
    let (lead, to) = i.split_at(i.len() - w.dims());
    let spatial = &x.shape[lead.len()..];
    let inside = |from: &Vec<usize>| (0..w.dims()).all(|d| holds(w, d, to[d], from[d]));
    let all = indices(spatial).into_iter().enumerate().filter(|(_, from)| inside(from));
    all.map(|(flat, from)| (x.at(&[lead, &from[..]].concat()), flat)).collect()
}

pub(super) fn sum_pool(w: &Window, x: &Grid, shape: &Shape) -> Grid {
    Grid::build(shape, |i| window(w, x, i).iter().map(|e| e.0).sum())
}

pub(super) fn max_pool(w: &Window, x: &Grid, shape: &Shape) -> Vec<Grid> {
    let best = |i: &[usize]| {
        let elements = window(w, x, i);
        let nan = elements.iter().find(|e| e.0.is_nan()).copied();
        let largest = elements.iter().map(|e| e.0).fold(f64::NEG_INFINITY, f64::max);
        nan.or_else(|| elements.iter().find(|e| e.0 == largest).copied()).unwrap_or((f64::NAN, 0))
    };
    vec![Grid::build(shape, |i| best(i).0), Grid::build(shape, |i| best(i).1 as f64)]
}

/// Philox4x32-10 on 128-bit numbers, word by word from the paper's round function.
fn philox(counter: u128, key: u64) -> u128 {
    let word = |x: u128, i: u32| (x >> (32 * i)) as u32;
    let (mut x, mut k) = (counter, [key as u32, (key >> 32) as u32]);
    for _ in 0..10 {
        let p = u128::from(word(x, 0)) * 0xd2511f53;
        let q = u128::from(word(x, 2)) * 0xcd9e8d57;
        x = u128::from(word(q, 1) ^ word(x, 1) ^ k[0])
            | u128::from(word(q, 0)) << 32
            | u128::from(word(p, 1) ^ word(x, 3) ^ k[1]) << 64
            | u128::from(word(p, 0)) << 96;
        k = [k[0].wrapping_add(0x9e3779b9), k[1].wrapping_add(0xbb67ae85)];
    }
    x
}

pub(super) fn random_bits(key: i64, bits: u32, index: u64) -> f64 {
    if bits <= 31 {
        let block = philox(u128::from(index / 4), key as u64);
        return f64::from((block >> (32 * (index % 4))) as u32 >> (32 - bits));
    }
    let block = philox(u128::from(index / 2) | 1 << 96, key as u64);
    ((block >> (64 * (index % 2))) as u64 >> (64 - bits)) as f64
}

pub(super) fn fold_in(key: i64, number: i64, stream: u32) -> f64 {
    let counter = u128::from(number as u64) | u128::from(stream) << 64 | 2 << 96;
    philox(counter, key as u64) as u64 as i64 as f64
}
