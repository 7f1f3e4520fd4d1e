//! Reverse mode on plain closures, at one number type.
//!
//! Each function records `f` once and sweeps back once for each result (or once for several, in lanes). The
//! `_into` forms take the tape and the result's buffer and allocate nothing once these have grown.

use std::vec::Vec;

use crate::{Real, Tape, Var};

/// How many rows of a Jacobian one sweep carries.
const LANES: usize = 4;

/// `∇f(x)`.
///
/// ```
/// use gradus_num::{Scalar, reverse};
/// let g = reverse::gradient(|x| x[0] * x[0] + x[1].sin(), &[3.0, 0.0]);
/// assert_eq!(g, [6.0, 1.0]);
/// ```
pub fn gradient<T: Real>(f: impl for<'t> FnOnce(&[Var<'t, T>]) -> Var<'t, T>, x: &[T]) -> Vec<T> {
    value_and_gradient(f, x).1
}

/// `f(x)` and `∇f(x)`.
pub fn value_and_gradient<T: Real>(
    f: impl for<'t> FnOnce(&[Var<'t, T>]) -> Var<'t, T>,
    x: &[T],
) -> (T, Vec<T>) {
    let mut gradient = vec![T::from_f64(0.0); x.len()];
    let value = value_and_gradient_into(&mut Tape::new(), f, x, &mut gradient);
    (value, gradient)
}

/// `f(x)`, with `∇f(x)` written into `gradient`; the tape is reset first.
///
/// # Panics
/// If `gradient` is not as long as `x`.
pub fn value_and_gradient_into<T: Real>(
    tape: &mut Tape<T>,
    f: impl for<'t> FnOnce(&[Var<'t, T>]) -> Var<'t, T>,
    x: &[T],
    gradient: &mut [T],
) -> T {
    assert_eq!(x.len(), gradient.len(), "one derivative for each input");
    tape.reset();
    let mut inputs = tape.take_vars();
    tape.vars_into(x, &mut inputs);
    let output = f(&inputs);
    let adjoints = tape.pullback(output);
    gradient.copy_from_slice(adjoints.leading(x.len()));
    let value = output.primal();
    tape.give_vars(inputs);
    value
}

/// `f'(x)` for a function of one number.
pub fn derivative<T: Real>(f: impl for<'t> FnOnce(Var<'t, T>) -> Var<'t, T>, x: T) -> T {
    gradient(|v| f(v[0]), &[x])[0]
}

/// `f(x)` and `wᵀ J(x)` (VJP).
///
/// ```
/// use gradus_num::reverse;
/// let (y, g) = reverse::vjp(|x| vec![x[0] * x[1], x[0] + x[1]], &[2.0, 3.0], &[1.0, 10.0]);
/// assert_eq!((y, g), (vec![6.0, 5.0], vec![13.0, 12.0]));
/// ```
///
/// # Panics
/// If `w` is not as long as `f(x)`.
pub fn vjp<T: Real>(
    f: impl for<'t> FnOnce(&[Var<'t, T>]) -> Vec<Var<'t, T>>,
    x: &[T],
    w: &[T],
) -> (Vec<T>, Vec<T>) {
    let tape = Tape::new();
    let outputs = f(&tape.vars(x));
    assert_eq!(outputs.len(), w.len(), "one cotangent for each output");
    let adjoints = tape.pullback_with(outputs.iter().copied().zip(w.iter().copied()));
    (outputs.iter().map(Var::primal).collect(), adjoints.leading(x.len()).to_vec())
}

/// The Jacobian of `f: ℝⁿ → ℝᵐ` by rows: entry `i n + j` is `∂fᵢ/∂xⱼ`. One recording, and one sweep for every
/// four rows.
///
/// ```
/// use gradus_num::reverse;
/// let j = reverse::jacobian(|x| vec![x[0] * x[1], x[0] + x[1]], &[2.0, 3.0]);
/// assert_eq!(j, [3.0, 2.0, 1.0, 1.0]);
/// ```
pub fn jacobian<T: Real>(f: impl for<'t> FnOnce(&[Var<'t, T>]) -> Vec<Var<'t, T>>, x: &[T]) -> Vec<T> {
    let tape = Tape::new();
    let outputs = f(&tape.vars(x));
    let mut jacobian = Vec::with_capacity(outputs.len() * x.len());
    let mut adjoints = Vec::new();
    for chunk in outputs.chunks(LANES) {
        tape.pullback_lanes_into::<LANES>(chunk, &mut adjoints);
        for lane in 0..chunk.len() {
            jacobian.extend(adjoints[1..=x.len()].iter().map(|lanes| lanes[lane]));
        }
    }
    jacobian
}
