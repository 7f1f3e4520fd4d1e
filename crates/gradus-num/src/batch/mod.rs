//! One function at many points: values, Jacobians and gradients, several points at a time.
//!
//! A [`PointFn`] is a function that is evaluated at `n` points. All its inputs stand in one array `x`: at every point it
//! sees a *shared* range of it, the same for all points, and *own* inputs picked by number for each point; besides it has
//! constants of each point. A [`Batch`] runs it on [`Lanes`], `W` points in each operation, and in reverse mode on a tape
//! of lanes, whose entries serve `W` points each. The tape never holds more than one block of `W` points: derivatives
//! are accumulated block by block, in an order that the sizes alone decide.
//!
//! ```
//! use gradus_num::Real64;
//! use gradus_num::batch::{Batch, Block, PointFn};
//!
//! /// The squared errors of a line through data.
//! struct Line { data: Vec<[f64; 2]> }
//! impl PointFn for Line {
//!     fn points(&self) -> usize { self.data.len() }
//!     fn call<R: Real64>(&self, block: &Block, line: &[R], _own: &[R], y: &mut [R]) {
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

mod pass;
mod steps;

use core::ops::Range;
use std::vec::Vec;

use self::pass::{Jacobian, Pullback, Values};
use crate::lanes::{diverged, wide};
use crate::tape::Var;
use crate::{Dual, Lanes, Real, Real64, Tape};

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

/// Own input `j` of the points of a block, into `input`: one load where they stand in a row.
#[inline(always)]
fn own_input<F: PointFn, const W: usize>(f: &F, x: &[f64], block: &Block, j: usize, input: &mut Lanes<W>) {
    if block.count == W
        && let Some(first) = f.own_row(block.first, j)
    {
        input.0.copy_from_slice(&x[first..first + W]);
    } else {
        *input = block.gather(|point| x[f.own_index(point, j)]);
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
    /// `Some(own_index(first, j))` if the own inputs `j` of `first` and all points after it stand side by side in `x`, so that
    /// they are read together. By default nothing is known.
    fn own_row(&self, first: usize, j: usize) -> Option<usize> {
        let _ = (first, j);
        None
    }
    /// Writes the results at the points of `block` into `y`, which has [`outputs`](PointFn::outputs) entries.
    ///
    /// Mark the method `#[inline(always)]` for the widest vector instructions of the machine. A comparison on
    /// which the points of a block disagree costs the block's advantage, not its correctness.
    fn call<R: Real64>(&self, block: &Block, shared: &[R], own: &[R], y: &mut [R]);
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

/// Goes through the points, up to `W` at a time; where those of a block disagree on a branch, again one at a time.
struct Blocks<const W: usize> {
    points: usize,
    next: Block,
    alone_until: usize,
}

impl<const W: usize> Blocks<W> {
    #[inline(always)]
    fn new(points: usize) -> Self {
        let _ = diverged();
        let mut blocks = Blocks { points, next: Block { first: 0, count: 0 }, alone_until: 0 };
        blocks.size();
        blocks
    }

    #[inline(always)]
    fn size(&mut self) {
        let left = self.points - self.next.first;
        self.next.count = if self.next.first < self.alone_until { left.min(1) } else { left.min(W) };
    }

    /// The present block, unless all points are done.
    #[inline(always)]
    fn present(&self) -> Option<Block> {
        (self.next.count > 0).then_some(self.next)
    }

    /// Moves on without the present block.
    #[inline(always)]
    fn skip(&mut self) {
        self.next.first += self.next.count;
        self.size();
    }

    /// Whether the points of the present block took one path, so that its results count.
    #[inline(always)]
    fn one_path(&self) -> bool {
        !diverged() || self.next.count == 1
    }

    /// Moves on, or repeats the points of the present block one at a time.
    #[inline(always)]
    fn proceed(&mut self, good: bool) {
        if good {
            self.skip();
        } else {
            self.alone_until = self.next.first + self.next.count;
            self.size();
        }
    }
}

/// Whether a sweep has to be repeated point by point: where lanes selected differently, a weight of 0 stands for what a lane
/// did not take, and 0 times infinity for nothing; if all adjoints are numbers there was no such product.
#[inline(always)]
fn spoilt<const W: usize>(
    block: &Block,
    tape: &Tape<Lanes<W>>,
    mut adjoints: impl Iterator<Item = Lanes<W>>,
) -> bool {
    block.count > 1 && tape.is_blended() && adjoints.any(|a| a.is_nan())
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
        assert_eq!(y.len(), f.points() * f.outputs(), "one number for each result of each point");
        wide(Values { batch: self, f, x, y });
    }

    /// The Jacobian of each point's results in its own inputs: `outputs` rows of `own` entries, point after point.
    /// Shared inputs are constants here.
    ///
    /// # Panics
    /// If `jacobian` has not `points * outputs * own` elements.
    pub fn jacobian<F: PointFn>(&mut self, f: &F, x: &[f64], jacobian: &mut [f64]) {
        let own = f.own();
        assert_eq!(jacobian.len(), f.points() * f.outputs() * own, "one entry for each result and own input");
        if own > 0 {
            wide(Jacobian { batch: self, f, x, jacobian });
        }
    }

    /// Adds the derivatives of `Σ cotangent(point, k) * result(point, k)` in all inputs to `gradient`; returns the sum.
    ///
    /// Where all cotangents of a block of points are zero, `f` is not evaluated there.
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
        assert_eq!(gradient.len(), x.len(), "one derivative for each input");
        let sum = wide(Pullback { batch: self, f, x, cotangent, gradient: &mut *gradient });
        for (entry, total) in gradient[f.shared(x.len())].iter_mut().zip(&self.total) {
            *entry += total.sum();
        }
        sum
    }

    /// The sum of all results over all points, with its gradient in all inputs written into `gradient`.
    ///
    /// # Panics
    /// If `gradient` is not as long as `x`.
    pub fn sum_gradient<F: PointFn>(&mut self, f: &F, x: &[f64], gradient: &mut [f64]) -> f64 {
        gradient.fill(0.0);
        self.vjp(f, x, |_, _| 1.0, gradient)
    }

    /// `g(s)` and its gradient in all inputs, where `s` is the sum of all results over all points.
    ///
    /// ```
    /// use gradus_num::batch::{Batch, Block, PointFn};
    /// use gradus_num::{Real64, Scalar};
    ///
    /// /// `x²` of each input.
    /// struct Squares(usize);
    /// impl PointFn for Squares {
    ///     fn points(&self) -> usize { self.0 }
    ///     fn shared(&self, _inputs: usize) -> std::ops::Range<usize> { 0..0 }
    ///     fn own(&self) -> usize { 1 }
    ///     fn own_index(&self, point: usize, _j: usize) -> usize { point }
    ///     fn call<R: Real64>(&self, _: &Block, _: &[R], own: &[R], y: &mut [R]) { y[0] = own[0] * own[0]; }
    /// }
    /// let mut gradient = [0.0; 2];
    /// let norm = Batch::<4>::new().gradient_through_sum(&Squares(2), &[3.0, 4.0], |s| s.sqrt(), &mut gradient);
    /// assert_eq!((norm, gradient), (5.0, [0.6000000000000001, 0.8]));
    /// ```
    ///
    /// # Panics
    /// If `gradient` is not as long as `x`.
    pub fn gradient_through_sum<F: PointFn>(
        &mut self,
        f: &F,
        x: &[f64],
        g: impl FnOnce(Dual<f64, 1>) -> Dual<f64, 1>,
        gradient: &mut [f64],
    ) -> f64 {
        let sum = self.sum_gradient(f, x, gradient);
        let (value, slope) = crate::forward::value_and_derivative(g, sum);
        if slope.is_finite() {
            for entry in gradient {
                *entry *= slope;
            }
        } else {
            // An input that no point uses has derivative 0 even so: only the tape knows which.
            gradient.fill(0.0);
            self.vjp(f, x, |_, _| slope, gradient);
        }
        value
    }

    /// `g(f(x), x)` and its gradient, where `f(x)` are the results of several functions at all their points, one after
    /// the other. Only these results are kept between the pass forward and the pass back, which runs `f` again.
    ///
    /// ```
    /// use gradus_num::batch::{Batch, Block, PointFn};
    /// use gradus_num::{Real64, Scalar};
    ///
    /// /// `e^x` of each input.
    /// struct Exp(usize);
    /// impl PointFn for Exp {
    ///     fn points(&self) -> usize { self.0 }
    ///     fn shared(&self, _inputs: usize) -> std::ops::Range<usize> { 0..0 }
    ///     fn own(&self) -> usize { 1 }
    ///     fn own_index(&self, point: usize, _j: usize) -> usize { point }
    ///     fn call<R: Real64>(&self, _: &Block, _: &[R], own: &[R], y: &mut [R]) { y[0] = own[0].exp(); }
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
