//! Checks of one program against definitions that do not use its derivative rules.
//!
//! Each probe gives the worst relative disagreement found, or the error that stopped it. The table runs them on
//! single primitives, the property tests on random programs, and [`check_program`] on a program of the user's.

use super::random::Rng;
use crate::transforms::{jvp, prune, vjp, vmap};
use crate::{Array, Builder, Graph, Result, Shape, Var, interpret};

/// `|a - b|` relative to the larger of both and 1; NaN agrees with NaN, infinities with themselves.
pub fn disagreement(a: f64, b: f64) -> f64 {
    if a == b || (a.is_nan() && b.is_nan()) {
        return 0.0;
    }
    let error = (a - b).abs() / a.abs().max(b.abs()).max(1.0);
    if error.is_nan() { f64::INFINITY } else { error }
}

/// The worst [`disagreement`] of two lists of arrays; infinite if their shapes or dtypes differ.
pub fn worst(a: &[Array], b: &[Array]) -> f64 {
    let pair = |(a, b): (&Array, &Array)| {
        if a.shape() != b.shape() || a.dtype() != b.dtype() {
            return f64::INFINITY;
        }
        a.to_f64().iter().zip(b.to_f64()).map(|(&a, b)| disagreement(a, b)).fold(0.0, f64::max)
    };
    if a.len() != b.len() { f64::INFINITY } else { a.iter().zip(b).map(pair).fold(0.0, f64::max) }
}

/// Which inputs of a program are floats.
pub fn floats(graph: &Graph) -> Vec<bool> {
    graph.input_types().iter().map(|ty| ty.dtype.is_float()).collect()
}

/// Random directions for the marked inputs.
fn directions(graph: &Graph, wrt: &[bool], rng: &mut Rng) -> Vec<Option<Array>> {
    graph.input_types().iter().zip(wrt).map(|(ty, &m)| m.then(|| rng.direction(ty))).collect()
}

fn float_results(results: Vec<Array>) -> Vec<Array> {
    results.into_iter().filter(|a| a.dtype().is_float()).collect()
}

/// `x + h dx` in `f64`.
fn moved(args: &[Array], directions: &[Option<Array>], h: f64) -> Vec<Array> {
    let step = |(x, dx): (&Array, &Option<Array>)| match dx {
        None => x.clone(),
        Some(dx) => {
            let v = x.to_f64().iter().zip(dx.to_f64()).map(|(x, dx)| x + h * dx).collect();
            Array::of::<f64>(x.shape().clone(), v).cast(x.dtype())
        }
    };
    args.iter().zip(directions).map(step).collect()
}

/// First step of the finite differences where no value changes faster than its argument; samples stay this far from
/// kinks.
const STEP: f64 = 0.02;
/// Number of halvings.
const LEVELS: usize = 5;

/// The directional derivative of the float results by central differences from `step` down, extrapolated to step zero
/// (Ridders' table: the entry with the least estimated error, result by result).
pub fn finite_difference(
    graph: &Graph,
    args: &[Array],
    directions: &[Option<Array>],
    step: f64,
) -> Result<Vec<Vec<f64>>> {
    let central = |h: f64| -> Result<Vec<f64>> {
        let ends = [h, -h].map(|h| interpret(graph, &moved(args, directions, h)));
        let [up, down] = ends;
        let flat = |r: Vec<Array>| float_results(r).iter().flat_map(Array::to_f64).collect::<Vec<_>>();
        Ok(flat(up?).into_iter().zip(flat(down?)).map(|(u, d)| (u - d) / (2.0 * h)).collect())
    };
    let first: Vec<Vec<f64>> =
        (0..LEVELS).map(|l| central(step / (1u32 << l) as f64)).collect::<Result<_>>()?;
    let best = (0..first[0].len()).map(|i| extrapolate(&first.iter().map(|row| row[i]).collect::<Vec<_>>()));
    let mut best = best.collect::<Vec<f64>>().into_iter();
    let sizes = graph.output_types().into_iter().filter(|ty| ty.dtype.is_float());
    Ok(sizes.map(|ty| best.by_ref().take(ty.shape.size()).collect()).collect())
}

/// Richardson's extrapolation of values with errors in even powers of steps that halve.
fn extrapolate(values: &[f64]) -> f64 {
    let mut column = values.to_vec();
    let (mut best, mut error) = (column[0], f64::INFINITY);
    let mut factor = 4.0;
    while column.len() > 1 {
        let next: Vec<f64> = column.windows(2).map(|w| w[1] + (w[1] - w[0]) / (factor - 1.0)).collect();
        for (i, &value) in next.iter().enumerate() {
            let estimate = (value - column[i]).abs().max((value - column[i + 1]).abs());
            if estimate < error {
                (best, error) = (value, estimate);
            }
        }
        column = next;
        factor *= 4.0;
    }
    best
}

/// A step along which no value on the way moves far: [`STEP`] over the largest tangent inside the program. (A tangent
/// that is wrong makes the step a bad one, not the difference a wrong one.)
fn gentle_step(graph: &Graph, tangents: &[Array], wrt: &[bool]) -> Result<f64> {
    let floats = (0..graph.types().len() as u32).map(Var).filter(|&v| graph.ty(v).dtype.is_float());
    let mut exposed = graph.clone();
    exposed.outputs = floats.collect();
    let all = interpret(&jvp(&exposed, wrt)?, tangents)?;
    let moving = all[exposed.outputs.len()..].iter().flat_map(Array::to_f64);
    let most = moving.filter(|t| t.is_finite()).fold(0.0, |most: f64, t| most.max(t.abs()));
    Ok(STEP / (most / 4.0).max(1.0))
}

/// The forward-mode derivative along a random direction, against finite differences.
pub fn forward(graph: &Graph, args: &[Array], wrt: &[bool], rng: &mut Rng) -> Result<f64> {
    let dx = directions(graph, wrt, rng);
    let tangents: Vec<Array> = args.iter().cloned().chain(dx.iter().flatten().cloned()).collect();
    let expected = finite_difference(graph, args, &dx, gentle_step(graph, &tangents, wrt)?)?;
    let mut results = interpret(&jvp(graph, wrt)?, &tangents)?;
    let got = results.split_off(graph.outputs().len());
    let pairs = got.iter().zip(&expected);
    Ok(pairs
        .flat_map(|(g, e)| g.to_f64().into_iter().zip(e.clone()).collect::<Vec<_>>())
        .map(|(g, e)| disagreement(g, e))
        .fold(0.0, f64::max))
}

fn inner(a: &[Array], b: &[Array]) -> (f64, f64) {
    let mut total = (0.0, 0.0);
    for (a, b) in a.iter().zip(b) {
        for (a, b) in a.to_f64().into_iter().zip(b.to_f64()) {
            total.0 += a * b;
            total.1 += (a * b).abs();
        }
    }
    total
}

/// The dot-product test: `⟨w, J v⟩` by forward mode against `⟨Jᵀ w, v⟩` by reverse mode, for random `v` and `w`.
pub fn reverse(graph: &Graph, args: &[Array], wrt: &[bool], rng: &mut Rng) -> Result<f64> {
    let dx: Vec<Array> = directions(graph, wrt, rng).into_iter().flatten().collect();
    let float_types = graph.output_types().into_iter().filter(|ty| ty.dtype.is_float());
    let ct: Vec<Array> = float_types.map(|ty| rng.direction(&ty)).collect();
    let with = |extra: &[Array]| args.iter().chain(extra).cloned().collect::<Vec<_>>();
    let mut dy = interpret(&jvp(graph, wrt)?, &with(&dx))?;
    let dy = dy.split_off(graph.outputs().len());
    let mut back = interpret(&vjp(graph, wrt)?, &with(&ct))?;
    let back = back.split_off(graph.outputs().len());
    let ((a, scale), (b, other)) = (inner(&ct, &dy), inner(&back, &dx));
    if a.is_nan() && b.is_nan() {
        return Ok(0.0);
    }
    let error = (a - b).abs() / scale.max(other).max(1e-300);
    Ok(if a == b {
        0.0
    } else if error.is_nan() {
        f64::INFINITY
    } else {
        error
    })
}

/// Stacks arrays of one type along a new axis 0.
pub fn stack(parts: &[&Array]) -> Array {
    let shape = parts[0].shape().insert(0, parts.len());
    crate::with_elements!(parts[0].buffer(), v => {
        fn join<T: crate::Element>(parts: &[&Array], _: &[T], shape: Shape) -> Array {
            let all = parts.iter().flat_map(|p| p.elements::<T>().into_iter().flatten().copied());
            Array::of(shape, all.collect())
        }
        join(parts, v, shape)
    })
}

/// Part `i` of an array along axis 0.
pub fn unstack(array: &Array, i: usize) -> Array {
    let shape = array.shape().remove(0);
    let n = shape.size();
    crate::with_elements!(array.buffer(), v => Array::of(shape, v[i * n..(i + 1) * n].to_vec()))
}

/// The batched program against a loop over examples, for every non-empty subset of batched inputs (of long
/// argument lists: each alone, and all).
pub fn batched(graph: &Graph, examples: &[Vec<Array>]) -> Result<f64> {
    let n = graph.inputs().len();
    let subsets: Vec<Vec<bool>> = if n <= 4 {
        (1..1usize << n).map(|bits| (0..n).map(|i| bits >> i & 1 == 1).collect()).collect()
    } else {
        (0..=n).map(|k| (0..n).map(|i| i == k || k == n).collect()).collect()
    };
    let mut error = 0f64;
    for marks in subsets {
        let args: Vec<Array> = (0..n)
            .map(|i| {
                let all: Vec<&Array> = examples.iter().map(|e| &e[i]).collect();
                if marks[i] { stack(&all) } else { examples[0][i].clone() }
            })
            .collect();
        let together = interpret(&vmap(graph, &marks, examples.len())?, &args)?;
        for (e, example) in examples.iter().enumerate() {
            let args: Vec<Array> =
                (0..n).map(|i| if marks[i] { example[i].clone() } else { examples[0][i].clone() }).collect();
            let own: Vec<Array> = together.iter().map(|a| unstack(a, e)).collect();
            error = error.max(worst(&own, &interpret(graph, &args)?));
        }
    }
    Ok(error)
}

/// Whether the program batched over no examples gives empty results of the right types: 0 if so, else infinite.
pub fn batched_empty(graph: &Graph) -> Result<f64> {
    let marks = vec![true; graph.inputs().len()];
    let empty = |ty: crate::Type| Array::full(ty.shape.insert(0, 0), ty.dtype, 0.0);
    let args: Vec<Array> = graph.input_types().into_iter().map(empty).collect();
    let right: Vec<Array> = graph.output_types().into_iter().map(empty).collect();
    Ok(worst(&interpret(&vmap(graph, &marks, 0)?, &args)?, &right))
}

/// The reverse-mode derivative as a program of its own, `(x, w) -> Jᵀ w`.
pub fn pullback(graph: &Graph, wrt: &[bool]) -> Result<Graph> {
    let back = vjp(graph, wrt)?;
    let mut b = Builder::new();
    let args: Vec<Var> = back.input_types().into_iter().map(|ty| b.input(ty)).collect();
    let results = b.inline(&back, &args)?.split_off(graph.outputs().len());
    Ok(prune(b.finish(results)))
}

/// The forward-mode derivative as a program of its own, `(x, dx) -> J dx`.
pub fn pushforward(graph: &Graph, wrt: &[bool]) -> Result<Graph> {
    let forward = jvp(graph, wrt)?;
    let mut b = Builder::new();
    let args: Vec<Var> = forward.input_types().into_iter().map(|ty| b.input(ty)).collect();
    let results = b.inline(&forward, &args)?.split_off(graph.outputs().len());
    Ok(prune(b.finish(results)))
}

/// Second order: the derivative programs of both modes differentiated in turn, in forward mode against finite differences and in reverse mode by the dot-product test.
pub fn second_order(graph: &Graph, args: &[Array], wrt: &[bool], rng: &mut Rng) -> Result<f64> {
    let mut error = 0f64;
    let forward_types: Vec<_> =
        graph.input_types().into_iter().zip(wrt).filter(|(_, m)| **m).map(|(ty, _)| ty).collect();
    let reverse_types: Vec<_> = graph.output_types().into_iter().filter(|ty| ty.dtype.is_float()).collect();
    for (derivative, types) in
        [(pullback(graph, wrt), reverse_types), (pushforward(graph, wrt), forward_types)]
    {
        let derivative = derivative?;
        let extra: Vec<Array> = types.iter().map(|ty| rng.direction(ty)).collect();
        let args: Vec<Array> = args.iter().cloned().chain(extra).collect();
        let wrt = floats(&derivative);
        error = error.max(forward(&derivative, &args, &wrt, rng)?);
        error = error.max(reverse(&derivative, &args, &wrt, rng)?);
    }
    Ok(error)
}

/// What [`check_program`] found: the worst disagreement of each probe.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Report {
    /// Forward mode against finite differences.
    pub forward: f64,
    /// Reverse mode against forward mode.
    pub reverse: f64,
    /// The derivative of the derivative, where it was asked for.
    pub second: Option<f64>,
}

/// Checks the derivatives of a program in `f64` at a point, to first or second order.
///
/// # Errors
/// If the program, or a derivative of it, does not run at that point or near it.
pub fn check_program(graph: &Graph, args: &[Array], order: usize, seed: u64) -> Result<Report> {
    let (wrt, mut rng) = (floats(graph), Rng::new(seed));
    Ok(Report {
        forward: forward(graph, args, &wrt, &mut rng)?,
        reverse: reverse(graph, args, &wrt, &mut rng)?,
        second: if order >= 2 { Some(second_order(graph, args, &wrt, &mut rng)?) } else { None },
    })
}
