//! Where a result that is no finite number comes from: the program run by the reference interpreter with an eye on it.
//!
//! From a result that is not finite the search goes back along operands that are not, to the operation that made the
//! first of them from finite ones. Infinities that a program is given (a mask of -∞) are no fault, and what a selection
//! leaves out is never met.

use std::cell::{Cell, RefCell};

use crate::graph::Eqn;
use crate::{Array, Error, Graph, Op, Origin, Phase, Result, Site, Type};

/// The operation that made the first value that is not finite.
#[derive(Clone, Debug)]
pub struct NotFinite {
    /// The operation, or `None` for an input of the program.
    pub op: Option<String>,
    /// The position of that input.
    pub input: usize,
    /// The type of the value.
    pub ty: Type,
    /// The first element that is not finite, in row-major order.
    pub element: usize,
    /// What it is.
    pub value: f64,
    /// The user's line.
    pub site: Site,
    /// The phase of the operation.
    pub phase: Phase,
}

/// What is wrong with a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Finite,
    /// Infinities that were given.
    Given,
    Bad,
}

thread_local! {
    static WATCHING: Cell<bool> = const { Cell::new(false) };
    static FOUND: RefCell<Option<NotFinite>> = const { RefCell::new(None) };
}

/// The origin of the first result of a program that is not finite; `None` if all are.
///
/// # Errors
/// As [`interpret`](crate::interpret).
pub fn first_not_finite(graph: &Graph, args: &[Array]) -> Result<Option<NotFinite>> {
    crate::builder::check_arguments(graph, args)?;
    let n = graph.types().len();
    let mut values: Vec<Option<Array>> = vec![None; n];
    let mut states = vec![State::Finite; n];
    let mut makers: Vec<Option<&Eqn>> = vec![None; n];
    for (v, a) in graph.inputs().iter().zip(args) {
        states[v.index()] = match worst(a) {
            None => State::Finite,
            Some((_, x)) if x.is_nan() => State::Bad,
            Some(_) => State::Given,
        };
        values[v.index()] = Some(a.clone());
    }
    for eqn in graph.eqns() {
        let inputs = operands(eqn, &values);
        let outputs = eqn.op.evaluate(&inputs).map_err(|kind| Error::new(kind, eqn.site.clone()))?;
        let given = eqn.inputs.iter().map(|v| states[v.index()]);
        let given = matches!(eqn.op, Op::Full(_))
            || given.clone().any(|s| s == State::Given) && given.clone().all(|s| s != State::Bad);
        for (v, out) in eqn.outputs.iter().zip(outputs) {
            states[v.index()] = match worst(&out) {
                None => State::Finite,
                Some((_, x)) if given && !x.is_nan() => State::Given,
                Some(_) => State::Bad,
            };
            makers[v.index()] = Some(eqn);
            values[v.index()] = Some(out);
        }
    }
    let Some(mut at) = graph.outputs().iter().copied().find(|v| states[v.index()] == State::Bad) else {
        return Ok(None);
    };
    // Every step goes to an earlier equation.
    while let Some(eqn) = makers[at.index()] {
        match eqn.inputs.iter().copied().find(|v| states[v.index()] == State::Bad) {
            Some(earlier) => at = earlier,
            None => break,
        }
    }
    let Some(value) = &values[at.index()] else { return Ok(None) };
    let Some(eqn) = makers[at.index()] else {
        let input = graph.inputs().iter().position(|&v| v == at).unwrap_or(0);
        return Ok(report(None, input, value, Origin::default()));
    };
    let inside = if eqn.op.graphs().is_empty() { None } else { inside(eqn, &operands(eqn, &values)) };
    Ok(inside.or_else(|| report(Some(eqn.op.to_string()), 0, value, eqn.origin())))
}

fn operands<'a>(eqn: &Eqn, values: &'a [Option<Array>]) -> Vec<&'a Array> {
    eqn.inputs.iter().map(|v| values[v.index()].as_ref().expect("operands come first")).collect()
}

/// The first element that is not finite; a NaN before an infinity.
fn worst(a: &Array) -> Option<(usize, f64)> {
    if !a.dtype().is_differentiable() {
        return None;
    }
    let elements = a.to_f64();
    let first = |bad: fn(&f64) -> bool| elements.iter().position(bad).map(|i| (i, elements[i]));
    first(|x| x.is_nan()).or_else(|| first(|x| x.is_infinite()))
}

fn report(op: Option<String>, input: usize, value: &Array, from: Origin) -> Option<NotFinite> {
    let (element, x) = worst(value)?;
    let ty = Type::new(value.dtype(), value.shape().clone());
    Some(NotFinite { op, input, ty, element, value: x, site: from.site, phase: from.phase })
}

/// The operation inside of a loop or a branch, which is run once more.
fn inside(eqn: &Eqn, operands: &[&Array]) -> Option<NotFinite> {
    let outer = WATCHING.replace(true);
    FOUND.take();
    // The values are known to exist; only what was found on the way is asked for.
    let _ = eqn.op.evaluate(operands);
    WATCHING.set(outer);
    FOUND.take()
}

/// Whether the interpreter has to show what it computes to [`watch`].
pub(crate) fn watching() -> bool {
    WATCHING.get()
}

/// Remembers the first equation that makes something not finite from what is.
pub(crate) fn watch(eqn: &Eqn, inputs: &[&Array], outputs: &[Array]) {
    if matches!(eqn.op, Op::Full(_)) || !eqn.op.graphs().is_empty() {
        return;
    }
    let bad = outputs.iter().find(|out| worst(out).is_some());
    let Some(bad) = bad else { return };
    let (mut nan, mut inf) = (false, false);
    for x in inputs.iter().filter_map(|a| worst(a)) {
        nan |= x.1.is_nan();
        inf |= x.1.is_infinite();
    }
    let excused = nan || inf && !worst(bad).is_some_and(|x| x.1.is_nan());
    if !excused {
        FOUND.with_borrow_mut(|found| {
            if found.is_none() {
                *found = report(Some(eqn.op.to_string()), 0, bad, eqn.origin());
            }
        });
    }
}
