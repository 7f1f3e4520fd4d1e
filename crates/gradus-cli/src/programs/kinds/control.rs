//! Control flow, rules of the user's own, and transforms inside a program.

use gradus::{
    Checkpoints, DType, Shape, Tensor, all_gather, axis_index, checkpoint, cond, custom_jvp, grad, jit,
    linearize, pmax, pmean, pmin, psum, psum_scatter, scan, scan_with, vmap, vmap_named, while_loop,
    while_loop_with,
};

use super::Draw;
use crate::programs::grow::Grower;
use crate::programs::step::step;

pub(super) const KINDS: &[(usize, Draw)] = &[
    (4, branch),
    (4, rows),
    (4, repetition),
    (3, recomputed),
    (3, ruled),
    (3, slope),
    (2, mapped),
    (2, named),
    (1, chosen),
    (1, compiled),
];

/// Sub-programs are short, and not nested without end.
fn operand(g: &mut Grower<'_>) -> Option<usize> {
    if g.depth >= 2 {
        return None;
    }
    g.pick(|t| t.dtype().is_float() && t.size() <= 64)
}

fn like(g: &Grower<'_>, x: usize) -> (DType, Shape) {
    (g.dtype(x), g.shape(x))
}

fn branch(g: &mut Grower<'_>) -> Option<usize> {
    let x = operand(g)?;
    let y = g.pick(|_| true)?;
    let (like, examples) = (like(g, x), [g.values[x].clone(), g.values[y].clone()]);
    let (yes, no) = (g.body(&examples, std::slice::from_ref(&like)), g.body(&examples[..1], &[like]));
    Some(g.push(
        step!(|x, y| {
            let c = x.sum(()).greater(0.25);
            cond(&c, x, |x| yes(&vec![x.clone(), y.clone()]).remove(0), |x| no(&vec![x.clone()]).remove(0))
        }; yes, no),
        &[x, y],
    ))
}

/// A loop over the rows of a tensor.
fn rows(g: &mut Grower<'_>) -> Option<usize> {
    let x = operand(g)?;
    let (dtype, shape) = like(g, x);
    let length = g.choose(&[0usize, 1, 2, 3, 4]);
    let row = g.some_shape();
    if length * row.size() > g.limit || row.size() > 64 {
        return None;
    }
    let from = g.float()?;
    let stacked = g.fit(from, dtype, &row.insert(0, length));
    let y = g.pick(|_| true)?;
    let example = g.draw(dtype, &row);
    let examples = [g.values[x].clone(), example, g.values[y].clone()];
    let body = g.body(&examples, &[(dtype, shape.clone()), (dtype, Shape::scalar())]);
    let step = match g.rng.below(4) {
        0 => {
            let slots = 1 + g.rng.below(3);
            step!(|x, xs, y| {
                let f = |c: &Tensor, r: &Tensor| {
                    let mut out = body(&vec![c.clone(), r.clone(), y.clone()]);
                    (out.remove(0), out.remove(0))
                };
                let (last, all) = scan_with(Checkpoints::Slots(slots), x, xs, f);
                last + all.sum(())
            }; body, slots)
        }
        1 => step!(|x, xs, y| {
            scan(x, xs, |c, r| (body(&vec![c.clone(), r.clone(), y.clone()]).remove(0), ())).0
        }; body),
        _ => step!(|x, xs, y| {
            let (last, all) = scan(x, xs, |c, r| {
                let mut out = body(&vec![c.clone(), r.clone(), y.clone()]);
                (out.remove(0), out.remove(0))
            });
            last * 0.5 + all.sum(())
        }; body),
    };
    Some(g.push(step, &[x, stacked, y]))
}

/// A loop that ends after so many steps, or earlier.
fn repetition(g: &mut Grower<'_>) -> Option<usize> {
    let x = operand(g)?;
    let y = g.pick(|_| true)?;
    let (like, examples) = (like(g, x), [g.values[x].clone(), g.values[y].clone()]);
    let body = g.body(&examples, &[like]);
    let trips = g.rng.below(5) as i64;
    let step = if g.one_in(3) {
        let slots = 1 + g.rng.below(3);
        step!(|x, y| {
            let start = (x.clone(), Tensor::from(0i64));
            let f = |(x, k): &(Tensor, Tensor)| (body(&vec![x.clone(), y.clone()]).remove(0), k + 1);
            while_loop_with(Checkpoints::Slots(slots), &start, |(_, k)| k.less(trips), f).0
        }; body, trips, slots)
    } else {
        step!(|x, y| {
            let start = (x.clone(), Tensor::from(0i64));
            let go = |(x, k): &(Tensor, Tensor)| k.less(trips) & x.abs().sum(()).less(50.0);
            while_loop(&start, go, |(x, k)| (body(&vec![x.clone(), y.clone()]).remove(0), k + 1)).0
        }; body, trips)
    };
    Some(g.push(step, &[x, y]))
}

fn recomputed(g: &mut Grower<'_>) -> Option<usize> {
    let x = operand(g)?;
    let (like, example) = (like(g, x), g.values[x].clone());
    let body = g.body(&[example], &[like]);
    Some(g.push(step!(|x| checkpoint(|x: &Tensor| body(&vec![x.clone()]).remove(0))(x); body), &[x]))
}

/// A rule of the user's own that is the derivative.
fn ruled(g: &mut Grower<'_>) -> Option<usize> {
    let x = operand(g)?;
    let (like, example) = (like(g, x), g.values[x].clone());
    let body = g.body(&[example], &[like]);
    Some(g.push(
        step!(|x| {
            let f = |x: &Tensor| body(&vec![x.clone()]).remove(0);
            custom_jvp(f, |x, dx| linearize(f, x).1(dx))(x)
        }; body),
        &[x],
    ))
}

fn slope(g: &mut Grower<'_>) -> Option<usize> {
    let x = operand(g)?;
    let y = g.pick(|_| true)?;
    let (like, examples) = (like(g, x), [g.values[x].clone(), g.values[y].clone()]);
    let body = g.body(&examples, &[like]);
    Some(g.push(
        step!(|x, y| grad(|x: &Tensor| body(&vec![x.clone(), y.clone()]).remove(0).square().sum(()))(x); body),
        &[x, y],
    ))
}

fn mapped(g: &mut Grower<'_>) -> Option<usize> {
    if g.depth >= 2 {
        return None;
    }
    let x = g.pick(|t| t.dtype().is_float() && t.rank() > 0 && t.size() <= 64)?;
    let y = g.pick(|_| true)?;
    let row = g.shape(x).remove(0);
    let dtype = g.dtype(x);
    let example = g.draw(dtype, &row);
    let body = g.body(&[example, g.values[y].clone()], &[(dtype, row)]);
    Some(
        g.push(
            step!(|x, y| vmap(|x: &Tensor| body(&vec![x.clone(), y.clone()]).remove(0))(x); body),
            &[x, y],
        ),
    )
}

/// What all examples make together, in a function of one.
fn named(g: &mut Grower<'_>) -> Option<usize> {
    if g.depth >= 2 {
        return None;
    }
    let x = g.pick(|t| t.dtype().is_float() && t.rank() > 0 && t.shape()[0] > 0 && t.size() <= 64)?;
    let (row, dtype) = (g.shape(x).remove(0), g.dtype(x));
    let examples = [g.draw(dtype, &row), g.draw(dtype, &row)];
    let body = g.body(&examples, &[(dtype, row)]);
    // Axes inside each other have different names.
    let name = format!("axis{}", g.depth);
    let step = match g.rng.below(7) {
        0 => step!(|x| {
            vmap_named(name.clone(), |x: &Tensor| body(&vec![x.clone(), psum(&x.sin(), &name)]).remove(0))(x)
        }; body, name),
        1 => step!(|x| {
            vmap_named(name.clone(), |x: &Tensor| body(&vec![x.clone(), x - pmean(x, &name)]).remove(0))(x)
        }; body, name),
        2 => step!(|x| {
            vmap_named(name.clone(), |x: &Tensor| body(&vec![x.clone(), pmax(x, &name)]).remove(0))(x)
        }; body, name),
        3 => step!(|x| {
            vmap_named(name.clone(), |x: &Tensor| pmin(&body(&vec![x.clone(), x.cos()]).remove(0), &name) * x)(x)
        }; body, name),
        4 => step!(|x| {
            let f = |x: &Tensor| {
                let number = axis_index(&name).cast(x.dtype()) * 0.25;
                body(&vec![x.clone(), x.sin() * number]).remove(0)
            };
            vmap_named(name.clone(), f)(x)
        }; body, name),
        5 => step!(|x| {
            let f = |x: &Tensor| body(&vec![x.clone(), (all_gather(x, &name, 0) * x).sin().sum(0)]).remove(0);
            vmap_named(name.clone(), f)(x)
        }; body, name),
        _ => step!(|x| {
            let all = x;
            let f = |x: &Tensor| body(&vec![x.clone(), psum_scatter(&(all * x).cos(), &name)]).remove(0);
            vmap_named(name.clone(), f)(x)
        }; body, name),
    };
    Some(g.push(step, &[x]))
}

/// Indices that are out of range where an example does not take them, or takes them no longer.
fn chosen(g: &mut Grower<'_>) -> Option<usize> {
    let x = g.pick(|t| t.dtype().is_float() && t.rank() > 0 && t.size() > 0 && t.size() <= 64)?;
    let stride = 1 + g.rng.below(3) as i64;
    let step = if g.one_in(2) {
        step!(|x| {
            let f = |x: &Tensor| {
                let (table, n) = (x.flatten(), x.size() as i64);
                let i = (table.sum(()) * 0.0).cast(DType::I64) + n - 1 + stride;
                let near = table.sum(()).greater(0.0).select(Tensor::from(0i64), &i);
                cond(&near.less(n), &(table, near), |(t, i)| t.take(i, 0), |(t, _)| t.sum(()))
            };
            vmap(f)(x)
        }; stride)
    } else {
        step!(|x| {
            let f = |x: &Tensor| {
                let (table, n) = (x.flatten(), x.size() as i64);
                let start = table.sum(()).greater(0.0).select(Tensor::from(0i64), Tensor::from(n - 1));
                let sum = |(k, s): &(Tensor, Tensor)| (k + stride, s + table.take(k, 0).sin());
                while_loop(&(start, table.sum(())), |(k, _)| k.less(n), sum).1
            };
            vmap(f)(x)
        }; stride)
    };
    Some(g.push(step, &[x]))
}

fn compiled(g: &mut Grower<'_>) -> Option<usize> {
    let x = operand(g)?;
    let (like, example) = (like(g, x), g.values[x].clone());
    let body = g.body(&[example], &[like]);
    Some(g.push(step!(|x| jit(|x: &Tensor| body(&vec![x.clone()]).remove(0)).call(x); body), &[x]))
}
