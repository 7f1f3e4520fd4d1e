//! One function at many points: values, Jacobians and gradients, several points at a time.
//!
//! A [`PointFn`] is a function that is evaluated at `n` points. All its inputs stand in one array `x`: at every point it
//! sees a *shared* range of it, the same for all points, and *own* inputs picked by number for each point; besides it has
//! constants of each point. A [`Batch`] runs it on [`Lanes`], `W` points in each operation, and in reverse mode on a tape
//! of lanes, whose entries serve `W` points each. The tape never holds more than one block of `W` points: derivatives
//! are accumulated block by block, in an order that the sizes alone decide.
//!
//! ```
//! use gradus_num::Real;
//! use gradus_num::batch::{Batch, Block, PointFn};
//!
//! /// The squared errors of a line through data.
//! struct Line { data: Vec<[f64; 2]> }
//! impl PointFn for Line {
//!     fn points(&self) -> usize { self.data.len() }
//!     fn call<R: Real>(&self, block: &Block, line: &[R], _own: &[R], y: &mut [R]) {
//!         let (x, target): (R, R) = (block.gather(|i| self.data[i][0]), block.gather(|i| self.data[i][1]));
//!         let error = line[0] + line[1] * x - target;
//!         y[0] = error * error;
//!     }
//! }
//! let line = Line { data: vec![[0.0, 1.0], [1.0, 2.0], [2.0, 5.0]] };
//! let mut gradient = [0.0; 2];
//! let sum = Batch::<4>::new().sum_gradient(&line, &[1.0, 1.0], &mut gradient);
//! assert_eq!((sum, gradient), (4.0, [-4.0, -8.0]));
//! ```

use core::ops::Range;
use std::vec::Vec;

use crate::lanes::diverged;
use crate::tape::Var;
use crate::{Lanes, Real, Tape};

/// The points that one call of a [`PointFn`] is for.
#[derive(Clone, Copy, Debug)]
pub struct Block {
    first: usize,
    count: usize,
}

impl Block {
    /// The number made of `value(point)` for each point of the block.
    #[inline(always)]
    pub fn gather<R: Real>(&self, mut value: impl FnMut(usize) -> f64) -> R {
        // Lanes beyond the last point repeat it.
        R::from_lanes(|lane| value(self.first + lane.min(self.count - 1)))
    }

    /// The first point.
    pub fn first(&self) -> usize {
        self.first
    }

    /// How many points there are.
    pub fn count(&self) -> usize {
        self.count
    }
}

/// A function to be evaluated at many points.
pub trait PointFn {
    /// The number of points.
    fn points(&self) -> usize;
    /// The number of results at each point.
    fn outputs(&self) -> usize {
        1
    }
    /// Which of the inputs all points share: by default all.
    fn shared(&self, inputs: usize) -> Range<usize> {
        0..inputs
    }
    /// The number of inputs that each point picks for itself.
    fn own(&self) -> usize {
        0
    }
    /// Which of the inputs is own input `j` of a point.
    fn own_index(&self, point: usize, j: usize) -> usize {
        let _ = point;
        j
    }
    /// Writes the results at the points of `block` into `y`, which has [`outputs`](PointFn::outputs) entries.
    ///
    /// Mark the method `#[inline(always)]` for the widest vector instructions of the machine. A comparison on
    /// which the points of a block disagree costs the block's advantage, not its correctness.
    fn call<R: Real>(&self, block: &Block, shared: &[R], own: &[R], y: &mut [R]);
}

/// Evaluates a [`PointFn`] `W` points at a time; keeps its memory between calls.
#[derive(Debug)]
pub struct Batch<const W: usize = 8> {
    tape: Tape<Lanes<W>>,
    outer: Tape,
    plain: Vec<Lanes<W>>,
    total: Vec<Lanes<W>>,
    rows: Vec<[Lanes<W>; ROWS]>,
    values: Vec<f64>,
    cotangents: Vec<f64>,
}

/// How many rows of a Jacobian one sweep carries.
const ROWS: usize = 2;

impl<const W: usize> Default for Batch<W> {
    fn default() -> Self {
        Self::new()
    }
}

/// Runs `f` with the widest vector instructions that the machine has; what is inlined into it uses them.
#[inline(always)]
fn wide<T>(f: impl FnOnce() -> T) -> T {
    pulp::Arch::new().dispatch(f)
}

/// Calls `visit` for each block of up to `W` points; where the points of one disagree on a branch, again for each alone.
#[inline(always)]
fn blocks<const W: usize>(points: usize, mut visit: impl FnMut(&Block) -> bool) {
    let _ = diverged();
    let mut first = 0;
    while first < points {
        let count = W.min(points - first);
        if !visit(&Block { first, count }) {
            for point in first..first + count {
                let alone = visit(&Block { first: point, count: 1 });
                debug_assert!(alone, "a single point agrees with itself");
            }
        }
        first += count;
    }
}

impl<const W: usize> Batch<W> {
    /// A batch without memory as yet.
    pub fn new() -> Self {
        const { assert!(W > 0, "at least one lane is needed") };
        Batch {
            tape: Tape::new(),
            outer: Tape::new(),
            plain: Vec::new(),
            total: Vec::new(),
            rows: Vec::new(),
            values: Vec::new(),
            cotangents: Vec::new(),
        }
    }

    /// The results at every point, `outputs` numbers each, into `y`.
    ///
    /// # Panics
    /// If `y` has not `points * outputs` elements.
    pub fn values<F: PointFn>(&mut self, f: &F, x: &[f64], y: &mut [f64]) {
        let (own, outputs, shared) = (f.own(), f.outputs(), f.shared(x.len()));
        assert_eq!(y.len(), f.points() * outputs, "one number for each result of each point");
        let zero = Lanes::<W>::from_f64(0.0);
        wide(|| {
            self.plain.clear();
            self.plain.extend(x[shared.clone()].iter().map(|&s| Lanes::from_f64(s)));
            self.plain.resize(shared.len() + own + outputs, zero);
            let (shared, rest) = self.plain.split_at_mut(shared.len());
            let (own, out) = rest.split_at_mut(own);
            blocks::<W>(f.points(), |block| {
                for (j, input) in own.iter_mut().enumerate() {
                    *input = block.gather(|point| x[f.own_index(point, j)]);
                }
                out.fill(zero);
                f.call(block, shared, own, out);
                if diverged() && block.count > 1 {
                    return false;
                }
                for (k, lanes) in out.iter().enumerate() {
                    for lane in 0..block.count {
                        y[(block.first + lane) * outputs + k] = lanes.0[lane];
                    }
                }
                true
            });
        });
    }

    /// The Jacobian of each point's results in its own inputs: `outputs` rows of `own` entries, point after point.
    /// Shared inputs are constants here.
    ///
    /// # Panics
    /// If `jacobian` has not `points * outputs * own` elements.
    pub fn jacobian<F: PointFn>(&mut self, f: &F, x: &[f64], jacobian: &mut [f64]) {
        let (own, outputs, shared) = (f.own(), f.outputs(), f.shared(x.len()));
        assert_eq!(jacobian.len(), f.points() * outputs * own, "one entry for each result and own input");
        if own == 0 {
            return;
        }
        wide(|| {
            blocks::<W>(f.points(), |block| {
                self.tape.reset();
                let (tape, rows) = (&self.tape, &mut self.rows);
                let mut vars = tape.take_vars();
                vars.extend((0..own).map(|j| tape.var(block.gather(|point| x[f.own_index(point, j)]))));
                vars.extend(x[shared.clone()].iter().map(|&s| Var::constant(Lanes::from_f64(s))));
                vars.resize(own + shared.len() + outputs, Var::from_f64(0.0));
                let (inputs, out) = vars.split_at_mut(own + shared.len());
                f.call(block, &inputs[own..], &inputs[..own], out);
                let agreed = !diverged() || block.count == 1;
                let chunks = if agreed { outputs } else { 0 };
                for start in (0..chunks).step_by(ROWS) {
                    let width = ROWS.min(outputs - start);
                    let seeds = out[start..start + width].iter().copied().enumerate();
                    tape.pullback_seeded_lanes_into(seeds, rows);
                    for lane in 0..block.count {
                        let at = ((block.first + lane) * outputs + start) * own;
                        let entries = jacobian[at..at + width * own].chunks_exact_mut(own);
                        for (row, entries) in entries.enumerate() {
                            for (entry, adjoint) in entries.iter_mut().zip(&rows[1..]) {
                                *entry = adjoint[row].0[lane];
                            }
                        }
                    }
                }
                tape.give_vars(vars);
                agreed
            });
        });
    }

    /// Adds the derivatives of `Σ cotangent(point, k) * result(point, k)` in all inputs to `gradient`; returns the sum.
    ///
    /// # Panics
    /// If `gradient` is not as long as `x`.
    pub fn vjp<F: PointFn>(
        &mut self,
        f: &F,
        x: &[f64],
        cotangent: impl Fn(usize, usize) -> f64,
        gradient: &mut [f64],
    ) -> f64 {
        let (own, outputs, shared) = (f.own(), f.outputs(), f.shared(x.len()));
        assert_eq!(gradient.len(), x.len(), "one derivative for each input");
        let zero = Lanes::<W>::from_f64(0.0);
        let mut sum = zero;
        wide(|| {
            self.total.clear();
            self.total.resize(shared.len(), zero);
            blocks::<W>(f.points(), |block| {
                self.tape.reset();
                let tape = &self.tape;
                let mut vars = tape.take_vars();
                vars.extend(x[shared.clone()].iter().map(|&s| tape.var(Lanes::from_f64(s))));
                vars.extend((0..own).map(|j| tape.var(block.gather(|point| x[f.own_index(point, j)]))));
                vars.resize(shared.len() + own + outputs, Var::from_f64(0.0));
                let (inputs, out) = vars.split_at_mut(shared.len() + own);
                f.call(block, &inputs[..shared.len()], &inputs[shared.len()..], out);
                let agreed = !diverged() || block.count == 1;
                if agreed {
                    // Lanes beyond the last point count nothing.
                    let weight = |lane: usize, k| {
                        if lane < block.count { cotangent(block.first + lane, k) } else { 0.0 }
                    };
                    let seeds = out.iter().enumerate().map(|(k, &result)| {
                        let seed = Lanes::from_lanes(|lane| weight(lane, k));
                        sum += seed.mul_guarded(result.primal());
                        (result, seed)
                    });
                    let adjoints = tape.pullback_with(seeds);
                    let (of_shared, of_own) = adjoints.leading(shared.len() + own).split_at(shared.len());
                    for (total, &part) in self.total.iter_mut().zip(of_shared) {
                        *total += part;
                    }
                    for (j, adjoint) in of_own.iter().enumerate() {
                        for lane in 0..block.count {
                            gradient[f.own_index(block.first + lane, j)] += adjoint.0[lane];
                        }
                    }
                }
                tape.give_vars(vars);
                agreed
            });
        });
        for (entry, total) in gradient[shared].iter_mut().zip(&self.total) {
            *entry += total.sum();
        }
        sum.sum()
    }

    /// The sum of all results over all points, with its gradient in all inputs written into `gradient`.
    ///
    /// # Panics
    /// If `gradient` is not as long as `x`.
    pub fn sum_gradient<F: PointFn>(&mut self, f: &F, x: &[f64], gradient: &mut [f64]) -> f64 {
        gradient.fill(0.0);
        self.vjp(f, x, |_, _| 1.0, gradient)
    }

    /// `g(f(x), x)` and its gradient, where `f(x)` are the results of several functions at all their points, one after
    /// the other. Only these results are kept between the pass forward and the pass back, which runs `f` again.
    ///
    /// ```
    /// use gradus_num::batch::{Batch, Block, PointFn};
    /// use gradus_num::{Real, Scalar};
    ///
    /// /// `e^x` of each input.
    /// struct Exp(usize);
    /// impl PointFn for Exp {
    ///     fn points(&self) -> usize { self.0 }
    ///     fn shared(&self, _inputs: usize) -> std::ops::Range<usize> { 0..0 }
    ///     fn own(&self) -> usize { 1 }
    ///     fn own_index(&self, point: usize, _j: usize) -> usize { point }
    ///     fn call<R: Real>(&self, _: &Block, _: &[R], own: &[R], y: &mut [R]) { y[0] = own[0].exp(); }
    /// }
    /// let x = [0.0, 1.0, 2.0];
    /// let mut gradient = [0.0; 3];
    /// let log_sum = Batch::<2>::new().gradient_through(
    ///     &[Exp(3)], &x, |e, _| e.iter().copied().sum::<gradus_num::Var>().log(), &mut gradient);
    /// assert!((log_sum - 2.40760596444438).abs() < 1e-13);
    /// assert!((gradient.iter().sum::<f64>() - 1.0).abs() < 1e-15);
    /// ```
    ///
    /// # Panics
    /// If `gradient` is not as long as `x`.
    pub fn gradient_through<F: PointFn>(
        &mut self,
        fs: &[F],
        x: &[f64],
        g: impl for<'t> FnOnce(&[Var<'t>], &[Var<'t>]) -> Var<'t>,
        gradient: &mut [f64],
    ) -> f64 {
        let results = |f: &F| f.points() * f.outputs();
        let count: usize = fs.iter().map(results).sum();
        let (mut values, mut cotangents) =
            (core::mem::take(&mut self.values), core::mem::take(&mut self.cotangents));
        values.clear();
        values.resize(count, 0.0);
        let mut rest = values.as_mut_slice();
        for f in fs {
            let (own, others) = rest.split_at_mut(results(f));
            self.values(f, x, own);
            rest = others;
        }
        values.extend_from_slice(x);
        cotangents.clear();
        cotangents.resize(values.len(), 0.0);
        let value = crate::reverse::value_and_gradient_into(
            &mut self.outer,
            |inputs| g(&inputs[..count], &inputs[count..]),
            &values,
            &mut cotangents,
        );
        gradient.copy_from_slice(&cotangents[count..]);
        let mut rest = &cotangents[..count];
        for f in fs {
            let (own, others) = rest.split_at(results(f));
            self.vjp(f, x, |point, k| own[point * f.outputs() + k], gradient);
            rest = others;
        }
        (self.values, self.cotangents) = (values, cotangents);
        value
    }
}

#[cfg(test)]
mod tests;
