//! Attention as a function of queries, keys, values and a mask.

use gradus::{Axes, DType, ErrorKind, Shape, Tensor, raise};

/// Which keys a query sees. With `T` queries and `S` keys, query `i` stands at place `i + S - T`: the last query beside the
/// last key.
#[derive(Clone, Copy, Debug, Default)]
#[non_exhaustive]
pub enum Mask<'a> {
    /// All of them.
    #[default]
    None,
    /// Those up to its own place.
    Causal,
    /// Of those, the last so many: itself and what is just before it.
    Window(usize),
    /// Those where a boolean tensor is true, one that broadcasts to `[.., heads, T, S]`: padding as `[N, 1, 1, S]`, documents as
    /// `[N, 1, T, S]`, a mask for each head.
    Of(&'a Tensor),
}

/// `softmax(Q Kᵀ / √d) V` over the keys that a mask shows (Vaswani et al. 2017).
///
/// Queries are `[.., H, T, d]`, keys `[.., G, S, d]`, values `[.., G, S, e]`, the result is `[.., H, T, e]`. `H` is `G` or a
/// multiple of it: then each of the `G` heads of keys and values serves `H / G` heads of queries next to each other (grouped
/// queries, Ainslie et al. 2023). Without heads, all three are matrices.
///
/// A query that sees nothing gets 0, with derivative 0. Under [`Mask::Causal`] and [`Mask::Window`], values that are
/// infinite or NaN make NaN of the queries that see them, and of no other; under [`Mask::Of`] a weight of 0 times NaN is NaN.
///
/// Compiled, it runs by blocks of queries, without ever storing the scores; a block computes only the keys from the first to
/// the last that one of its queries sees, whatever made the mask: a [`Mask::Of`] is read when the program runs, so that a mask
/// that is an argument of [`jit`](gradus::jit) may be another one at each call.
///
/// # Panics
/// If shapes do not fit, or a mask is not boolean.
///
/// ```
/// use gradus::{DType, Key, Tensor};
/// use gradus_nn::{Mask, attention};
/// let drawn = |seed| Key::new(seed).normal([2, 4, 5, 8], DType::F32);
/// let (q, k, v) = (drawn(0), drawn(1), drawn(2));
/// let y = attention(&q, &k, &v, Mask::Causal);
/// assert_eq!(y.shape(), q.shape());
/// // The first query sees the first key alone.
/// assert!((y.slice(2, ..1) - v.slice(2, ..1)).abs().max(()).item::<f32>() < 1e-6);
/// // The same, said by a tensor; two heads of keys and values serve four of queries.
/// let mask = Tensor::ones([5, 5], DType::F32).tril(0).cast(DType::Bool);
/// let grouped = attention(&q, &k.slice(1, ..2), &v.slice(1, ..2), Mask::Of(&mask));
/// assert!((grouped.slice(1, ..1) - y.slice(1, ..1)).abs().max(()).item::<f32>() < 1e-6);
/// ```
#[track_caller]
pub fn attention(q: &Tensor, k: &Tensor, v: &Tensor, mask: Mask<'_>) -> Tensor {
    let sizes = Sizes::of(q, k, v);
    if sizes.heads == sizes.groups {
        return attend(q, k, v, &sizes, mask);
    }
    // Heads of queries that share keys lie beside them on an axis of their own.
    let grouped = |x: &Tensor, heads: usize| {
        let shape = x.shape();
        let axis = shape.rank() - 3;
        let own = if shape[axis] == 1 { [1, 1] } else { [sizes.groups, heads] };
        let parts = [&shape[..axis], &own, &shape[axis + 1..]].concat();
        x.reshape(Shape::from(parts))
    };
    let share = sizes.heads / sizes.groups;
    let own = match mask {
        Mask::Of(mask) if mask.rank() >= 3 => Some(grouped(mask, share)),
        _ => None,
    };
    let mask = own.as_ref().map_or(mask, Mask::Of);
    attend(&grouped(q, share), &grouped(k, 1), &grouped(v, 1), &sizes, mask).reshape(sizes.result(q, v))
}

/// Heads of queries, heads of keys and values, queries, keys, features of both.
struct Sizes {
    heads: usize,
    groups: usize,
    queries: usize,
    keys: usize,
    features: usize,
}

impl Sizes {
    #[track_caller]
    fn of(q: &Tensor, k: &Tensor, v: &Tensor) -> Sizes {
        let rank = q.rank();
        let matrices = rank >= 2 && k.rank() == rank && v.rank() == rank;
        let last = |x: &Tensor, i: usize| if matrices { x.shape()[rank - i] } else { 0 };
        let of = |x: &Tensor| if rank > 2 { last(x, 3) } else { 1 };
        let (heads, groups, features) = (of(q), of(k), last(q, 1));
        let outer = |x: &Tensor| x.shape()[..rank.saturating_sub(3)] != q.shape()[..rank.saturating_sub(3)];
        let whole = if groups == 0 { heads == 0 } else { heads.is_multiple_of(groups) };
        let wrong = [
            (!matrices, "queries, keys and values are `[.., heads, places, features]`, all of one rank"),
            (last(k, 1) != features, "queries and keys have the same features"),
            (last(v, 2) != last(k, 2) || of(v) != groups, "keys and values have the same heads and places"),
            (!whole, "the heads of queries are a multiple of those of keys and values"),
            (matrices && (outer(k) || outer(v)), "there are the same axes before the heads"),
        ];
        if let Some((_, detail)) = wrong.into_iter().find(|w| w.0) {
            let shapes = [q, k, v].map(|x| x.shape().clone()).to_vec();
            raise(ErrorKind::Shape { op: "attention", shapes, detail: detail.into() });
        }
        Sizes { heads, groups, queries: last(q, 2), keys: last(k, 2), features }
    }

    fn result(&self, q: &Tensor, v: &Tensor) -> Shape {
        let (q, v) = (q.shape(), v.shape());
        Shape::from([&q[..q.rank() - 1], &v[v.rank() - 1..]].concat())
    }
}

#[track_caller]
fn attend(q: &Tensor, k: &Tensor, v: &Tensor, sizes: &Sizes, mask: Mask<'_>) -> Tensor {
    let scores = q.matmul(&k.t()) * (sizes.features as f64).sqrt().recip();
    let weights = |seen: &Tensor| seen.select(&scores, f64::NEG_INFINITY).softmax(-1);
    let (queries, keys) = (sizes.queries, sizes.keys);
    // The place of a query, and of a key.
    let ahead = keys as i64 - queries as i64;
    let number = |n: i64| scores.new_full([1, 1], DType::I64, n as f64);
    let own = || scores.new_iota([queries, 1], 0, DType::I64) + number(ahead);
    let places = || scores.new_iota([1, keys], 1, DType::I64);
    match mask {
        Mask::None => scores.softmax(-1).matmul(v),
        Mask::Of(mask) => {
            if mask.dtype() != DType::Bool {
                let detail = format!("a mask is boolean, not {}; compare it with 0", mask.dtype());
                raise(ErrorKind::Argument { op: "attention", detail });
            }
            weights(mask).matmul(v)
        }
        Mask::Window(n) if n < keys => {
            let seen = own().greater_equal(places()) & (places() + number(n as i64)).greater(own());
            let finite = v.is_finite();
            // How many values that are no numbers lie at or before a place.
            let odd = (!&finite).cast(DType::F32).cumsum(-2);
            let before = n + queries.saturating_sub(keys);
            let mut widths = vec![(0, 0); v.rank()];
            widths[v.rank() - 2].0 = before;
            let (odd, first) = (odd.pad(&widths), (before as i64 + ahead) as isize);
            let up_to = |at: isize| odd.slice(-2, at..at + queries as isize);
            let seen_odd = up_to(first).greater(up_to(first - n as isize));
            seen_odd.select(f64::NAN, weights(&seen).matmul(&finite.select(v, 0.0)))
        }
        Mask::Causal | Mask::Window(_) => {
            // What comes later has the weight 0 and may be infinite or NaN: values that are no numbers are taken out of the
            // product, and come back as NaN in the rows that see them.
            let weights = weights(&own().greater_equal(places()));
            let (finite, place) = (v.is_finite(), Tensor::iota([keys, 1], 0, DType::F32));
            let first_seen = finite.select(keys as f64, &place).min(Axes::keep(-2));
            let mixed = weights.matmul(&finite.select(v, 0.0));
            let own = Tensor::iota([queries, 1], 0, DType::F32) + ahead as f64;
            own.less(first_seen).select(mixed, f64::NAN)
        }
    }
}
