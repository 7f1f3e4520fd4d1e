//! Control flow that is part of the program: `cond`, `scan`, `while_loop`.

use std::sync::Arc;

use gradus_core::ops::{Cond, Scan, While};
use gradus_core::{Builder, Error, ErrorKind, Graph, Result, Site, Type, Var};

use super::{Checkpoints, Recorded, record_body};
use crate::guard::guarded;
use crate::trace::{OrFail, emit, here};
use crate::{DType, Tensor, Tree};

fn types<A: Tree>(tree: &A) -> Vec<Type> {
    tree.tensors().iter().map(Tensor::ty).collect()
}

/// A recorded program `(arguments, own captures) -> results` as `(all captures, arguments) -> results`, its own
/// captures being those from `first` on.
fn captures_first(
    graph: &Graph,
    all: &[Tensor],
    first: usize,
    own: usize,
    arguments: &[Type],
) -> Result<Graph> {
    guarded("recording", None, || {
        let mut b = Builder::new();
        let captures: Vec<Var> = all.iter().map(|t| b.input(t.ty())).collect();
        let mut args: Vec<Var> = arguments.iter().map(|ty| b.input(ty.clone())).collect();
        args.extend(&captures[first..first + own]);
        let out = b.inline(graph, &args)?;
        Ok(b.finish(out))
    })
}

fn wrong(op: &'static str, detail: String, site: &Site) -> Error {
    Error::new(ErrorKind::Argument { op, detail }, site.clone())
}

/// `on_true(x)` where the boolean scalar holds, else `on_false(x)`. Only the branch taken runs; under
/// [`vmap`](crate::vmap) with a condition for each example both run and the results are selected.
///
/// ```
/// use gradus::{Tensor, cond, grad};
/// let f = |x: &Tensor| cond(&x.greater(0.0), x, |x| x.square(), |x| -x);
/// assert_eq!(grad(f)(&Tensor::from(3.0)), Tensor::from(6.0));
/// assert_eq!(grad(f)(&Tensor::from(-3.0)), Tensor::from(-1.0));
/// ```
#[track_caller]
pub fn cond<A: Tree, B: Tree>(
    condition: &Tensor,
    x: &A,
    on_true: impl Fn(&A) -> B,
    on_false: impl Fn(&A) -> B,
) -> B {
    let site = here();
    cond_at(condition, x, on_true, on_false, &site).or_fail()
}

/// The function that an integer scalar names, counted from 0: `functions[index](x)`. An index below 0 is the first, one above
/// the last, as in JAX. Only that one runs; under [`vmap`](crate::vmap) with an index for each example all run and the results are
/// selected.
///
/// # Panics
/// If there is no function.
///
/// ```
/// use gradus::{Tensor, switch, vmap};
/// let f = |i: &Tensor| switch(i, &Tensor::from(3.0), &[&|x| x * 2.0, &|x| x.square(), &|x| -x]);
/// assert_eq!(vmap(f)(&Tensor::from([0i64, 1, 2, 9])), Tensor::from([6.0, 9.0, -3.0, -3.0]));
/// ```
#[track_caller]
pub fn switch<A: Tree, B: Tree>(index: &Tensor, x: &A, functions: &[&dyn Fn(&A) -> B]) -> B {
    let site = here();
    let Some((last, rest)) = functions.split_last() else {
        return Err(wrong("switch", "there is no function to choose".into(), &site)).or_fail();
    };
    if !index.dtype().is_int() || index.rank() != 0 {
        let detail = format!("the index is an integer scalar, found {}", index.ty());
        return Err(wrong("switch", detail, &site)).or_fail();
    }
    // Binary selection, so that the depth of nesting is logarithmic.
    if rest.is_empty() {
        return last(x);
    }
    let (low, high) = functions.split_at(functions.len() / 2);
    let is_low = index.less(low.len() as i64);
    let above = index - low.len() as i64;
    let both = (x.with_tensors(x.tensors()), index.clone(), above);
    cond_at(&is_low, &both, |(x, i, _)| switch(i, x, low), |(x, _, i)| switch(i, x, high), &site).or_fail()
}

/// `f(n - 1, … f(1, f(0, init)))`, the number of the step as an `i64` scalar: a [`scan`] over a range.
///
/// ```
/// use gradus::{DType, Tensor, fori_loop, grad};
/// let power = |x: &Tensor| fori_loop(0..5, &Tensor::from(1.0), |_, y| y * x);
/// assert_eq!(grad(power)(&Tensor::from(2.0)), Tensor::from(80.0));
/// let triangle = fori_loop(0..5, &Tensor::from(0.0), |i, sum| sum + i.cast(DType::F64));
/// assert_eq!(triangle, Tensor::from(10.0));
/// ```
#[track_caller]
pub fn fori_loop<C: Tree>(steps: std::ops::Range<i64>, init: &C, f: impl Fn(&Tensor, &C) -> C) -> C {
    let site = here();
    let count = usize::try_from(steps.end.saturating_sub(steps.start)).unwrap_or(0);
    // Where the loop runs: beside what it carries.
    let numbers = match init.tensors().first() {
        Some(carried) => carried.new_iota([count], 0, DType::I64),
        None => Tensor::arange(count, DType::I64),
    } + steps.start;
    scan_at(Checkpoints::Auto, init, &numbers, |carry, i| (f(i, carry), ()), &site).or_fail().0
}

/// Running combinations along the first axis of every tensor of a tree: `yᵢ = f(yᵢ₋₁, xᵢ)` for an `f` that is associative, which is
/// given whole slices of elements at a time and combines them in about `log₂ n` rounds instead of `n` steps.
///
/// ```
/// use gradus::{Tensor, associative_scan};
/// // The linear recurrence yᵢ = aᵢ yᵢ₋₁ + bᵢ as a composition of affine maps.
/// let maps = (Tensor::from([0.5, 0.5, 0.5]), Tensor::from([1.0, 1.0, 1.0]));
/// let (_, y) = associative_scan(|(a, b): &(Tensor, Tensor), (c, d)| (a * c, c * b + d), &maps);
/// assert_eq!(y, Tensor::from([1.0, 1.5, 1.75]));
/// ```
///
/// # Panics
/// If a tensor has no axis, or their first axes differ.
#[track_caller]
pub fn associative_scan<A: Tree>(f: impl Fn(&A, &A) -> A, x: &A) -> A {
    let site = here();
    let leaves = x.tensors();
    let extents: Vec<Option<usize>> = leaves.iter().map(|t| t.shape().first().copied()).collect();
    let mut y = x.with_tensors(x.tensors());
    let Some(&first) = extents.first() else { return y };
    if first.is_none() || extents.iter().any(|&n| n != first) {
        let detail = "every tensor has a first axis of one extent, the elements to combine".into();
        return Err(wrong("associative_scan", detail, &site)).or_fail();
    }
    let n = first.unwrap_or(0);
    let cut = |t: &A, from: usize, to: usize| {
        let part = |t: Tensor| t.slice(0, from as isize..to as isize);
        t.with_tensors(t.tensors().into_iter().map(part))
    };
    for step in (0..).map(|k| 1usize << k).take_while(|&step| step < n) {
        let combined = f(&cut(&y, 0, n - step), &cut(&y, step, n));
        let joined = cut(&y, 0, step).tensors().into_iter().zip(combined.tensors());
        y = y.with_tensors(joined.map(|(head, tail)| Tensor::concat(&[&head, &tail], 0)));
    }
    y
}

fn cond_at<A: Tree, B: Tree>(
    condition: &Tensor,
    x: &A,
    on_true: impl Fn(&A) -> B,
    on_false: impl Fn(&A) -> B,
    site: &Site,
) -> Result<B> {
    let argument_types = types(x);
    let Recorded { graph: t, captures: tc, result } = record_body("cond", &argument_types, x, site, on_true)?;
    let Recorded { graph: f, captures: fc, result: other } =
        record_body("cond", &argument_types, x, site, on_false)?;
    if types(&result) != types(&other) {
        let detail = format!(
            "both branches must return the same types, found {:?} and {:?}",
            types(&result),
            types(&other)
        );
        return Err(wrong("cond", detail, site));
    }
    let (nt, nf) = (tc.len(), fc.len());
    let captures: Vec<Tensor> = tc.into_iter().chain(fc).collect();
    let on_true = Arc::new(captures_first(&t, &captures, 0, nt, &argument_types)?);
    let on_false = Arc::new(captures_first(&f, &captures, nt, nf, &argument_types)?);
    let leaves = x.tensors();
    let operands: Vec<&Tensor> = std::iter::once(condition).chain(&captures).chain(&leaves).collect();
    Ok(result.with_tensors(emit(&Cond { on_true, on_false }.into(), &operands, site)?))
}

/// `for x in xs { (carry, y) = f(carry, x) }`: a loop over axis 0 of every tensor of `xs`. Returns the final carry and
/// the `y` stacked along axis 0.
///
/// Forward mode through it needs no memory that grows with its length; reverse mode stores what each step's derivative
/// reads. [`scan_with`] makes it store a few states instead, and so does a [memory budget](crate::Jit::memory_budget)
/// that nothing else meets.
///
/// ```
/// use gradus::{Tensor, grad, scan};
/// let last = |x: &Tensor| scan(&Tensor::from(1.0), x, |c, x| (c * x, c.clone())).0;
/// assert_eq!(grad(last)(&Tensor::from([2.0, 3.0, 4.0])), Tensor::from([12.0, 8.0, 6.0]));
/// ```
#[track_caller]
pub fn scan<C: Tree, X: Tree, Y: Tree>(init: &C, xs: &X, f: impl Fn(&C, &X) -> (C, Y)) -> (C, Y) {
    let site = here();
    scan_at(Checkpoints::Auto, init, xs, f, &site).or_fail()
}

/// [`scan`] with the number of carried states that reverse mode may store: the others, and what a step's derivative
/// reads, are computed again from those. The gradient has the same bits for each.
///
/// ```
/// use gradus::{Checkpoints, DType, Tensor, grad, jit, scan_with};
/// let last = |checkpoints| {
///     move |x: &Tensor| {
///         let step = |c: &Tensor, x: &Tensor| ((c * 0.9 + x).sin(), ());
///         scan_with(checkpoints, &Tensor::zeros([100], DType::F64), x, step).0.sum(())
///     }
/// };
/// let (all, few) = (jit(grad(last(Checkpoints::Auto))), jit(grad(last(Checkpoints::Slots(10)))));
/// let x = Tensor::linspace(0.0, 1.0, 1000, DType::F64).reshape([1000, 1]);
/// assert_eq!(all.call(&x), few.call(&x));
/// assert!(few.planned_peak_bytes(&x) * 10 < all.planned_peak_bytes(&x));
/// ```
#[track_caller]
pub fn scan_with<C: Tree, X: Tree, Y: Tree>(
    checkpoints: Checkpoints,
    init: &C,
    xs: &X,
    f: impl Fn(&C, &X) -> (C, Y),
) -> (C, Y) {
    let site = here();
    scan_at(checkpoints, init, xs, f, &site).or_fail()
}

fn scan_at<C: Tree, X: Tree, Y: Tree>(
    checkpoints: Checkpoints,
    init: &C,
    xs: &X,
    f: impl Fn(&C, &X) -> (C, Y),
    site: &Site,
) -> Result<(C, Y)> {
    let mut length = None;
    let mut row_types = types(init);
    let carried = row_types.len();
    for (path, x) in xs.leaves() {
        let extent = *x.shape().first().ok_or_else(|| {
            wrong("scan", format!("the stacked tensor {path} is a scalar; it needs an axis of steps"), site)
        })?;
        if *length.get_or_insert(extent) != extent {
            return Err(wrong(
                "scan",
                format!("stacked tensors have {extent} and {} steps", length.unwrap_or(0)),
                site,
            ));
        }
        row_types.push(Type::new(x.dtype(), x.shape().remove(0)));
    }
    let Some(length) = length else {
        return Err(wrong(
            "scan",
            "there must be a tensor to go over; use `Tensor::arange(n)` to count steps".into(),
            site,
        ));
    };
    let pair = (init.map(&mut Tensor::clone), xs.map(&mut Tensor::clone));
    let Recorded { graph, captures, result } =
        record_body("scan", &row_types, &pair, site, |(c, x)| f(c, x))?;
    if types(&result.0) != row_types[..carried] {
        let detail = format!(
            "the step must return a carry like the one it got {:?}, found {:?}",
            &row_types[..carried],
            types(&result.0)
        );
        return Err(wrong("scan", detail, site));
    }
    let body = Arc::new(captures_first(&graph, &captures, 0, captures.len(), &row_types)?);
    let op = Scan {
        constants: captures.len(),
        carry: carried,
        length,
        reverse: false,
        body,
        checkpoints: checkpoints.slots(),
    };
    let (init, xs) = (init.tensors(), xs.tensors());
    let operands: Vec<&Tensor> = captures.iter().chain(&init).chain(&xs).collect();
    Ok(result.with_tensors(emit(&op.into(), &operands, site)?))
}

/// `while condition(x) { x = f(x) }`, a loop whose length is known only when it has run.
///
/// Forward mode carries tangents along. Reverse mode goes through the loop once for its result, counting the steps,
/// and then back through them: the states it needs are recomputed from a fixed number of stored ones
/// ([`Checkpoints::Auto`]; [`while_loop_with`] sets it), so that a plan states the peak before the first run and only
/// time depends on the count. Both modes nest to any order; under [`vmap`](crate::vmap) each example takes its own
/// number of steps. A condition that is NaN ends the loop as a comparison with NaN does.
///
/// ```
/// use gradus::{Tensor, grad, hessian, jvp, while_loop};
/// // Newton's iteration for √a.
/// let root = |a: &Tensor| {
///     while_loop(a, |x| (x * x - a).abs().greater(1e-12), |x| (x + a / x) * 0.5)
/// };
/// let a = Tensor::from(2.0);
/// let (y, dy) = jvp(root, &a, &Tensor::from(1.0));
/// assert!((y.item::<f64>() - 2f64.sqrt()).abs() < 1e-12);
/// assert!((dy.item::<f64>() - 0.5 / 2f64.sqrt()).abs() < 1e-6);
/// assert!((grad(root)(&a).item::<f64>() - 0.5 / 2f64.sqrt()).abs() < 1e-6);
/// // Reverse over reverse: a loop against a loop against a loop.
/// assert!((grad(grad(root))(&a).item::<f64>() + 0.25 / 2f64.powf(1.5)).abs() < 1e-5);
/// ```
#[track_caller]
pub fn while_loop<C: Tree>(init: &C, condition: impl Fn(&C) -> Tensor, f: impl Fn(&C) -> C) -> C {
    let site = here();
    while_at(Checkpoints::Auto, init, condition, f, &site).or_fail()
}

/// [`while_loop`] with the number of states that reverse mode may store. The gradient has the same bits for each.
///
/// ```
/// use gradus::{Checkpoints, Tensor, grad, while_loop_with};
/// let power = |slots| {
///     move |x: &Tensor| {
///         let start = (x.clone(), Tensor::from(0i64));
///         let step = |(y, k): &(Tensor, Tensor)| (y * x, k + 1);
///         while_loop_with(Checkpoints::Slots(slots), &start, |(_, k)| k.less(999), step).0
///     }
/// };
/// let x = Tensor::from(1.001);
/// let few = grad(power(4))(&x);
/// assert_eq!(few, grad(power(1000))(&x));
/// assert!((few.item::<f64>() / (1000.0 * 1.001f64.powi(999)) - 1.0).abs() < 1e-12);
/// ```
#[track_caller]
pub fn while_loop_with<C: Tree>(
    checkpoints: Checkpoints,
    init: &C,
    condition: impl Fn(&C) -> Tensor,
    f: impl Fn(&C) -> C,
) -> C {
    let site = here();
    while_at(checkpoints, init, condition, f, &site).or_fail()
}

fn while_at<C: Tree>(
    checkpoints: Checkpoints,
    init: &C,
    condition: impl Fn(&C) -> Tensor,
    f: impl Fn(&C) -> C,
    site: &Site,
) -> Result<C> {
    let carry = types(init);
    let Recorded { graph: cond, captures: cc, .. } =
        record_body("while_loop", &carry, init, site, condition)?;
    let Recorded { graph: body, captures: bc, result } = record_body("while_loop", &carry, init, site, f)?;
    let (nc, nb) = (cc.len(), bc.len());
    let captures: Vec<Tensor> = cc.into_iter().chain(bc).collect();
    let op = While {
        constants: captures.len(),
        cond: Arc::new(captures_first(&cond, &captures, 0, nc, &carry)?),
        body: Arc::new(captures_first(&body, &captures, nc, nb, &carry)?),
        checkpoints: checkpoints.slots(),
    };
    let init = init.tensors();
    let operands: Vec<&Tensor> = captures.iter().chain(&init).collect();
    Ok(result.with_tensors(emit(&op.into(), &operands, site)?))
}
