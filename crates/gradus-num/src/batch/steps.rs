//! Loops whose every step computes all elements of a state by one [`PointFn`]: time steps of a stencil, cellular
//! automata, filters.
//!
//! The inputs `x` are the state, `points * outputs` numbers in the order of the results, and the parameters after it.
//! In the backward pass, points whose results have no cotangent are not even evaluated: what a result far from the end depends
//! on is a cone, and only the cone is paid for.

use std::vec::Vec;

use super::{Batch, PointFn};
use crate::checkpoint::{LoopCost, reverse_loop};

impl<const W: usize> Batch<W> {
    /// Replaces the state at the front of `x` by the results of `f`, `steps` times.
    ///
    /// # Panics
    /// If `x` is shorter than the state.
    pub fn run_steps<F: PointFn>(&mut self, f: &F, steps: usize, x: &mut [f64]) {
        let mut next = core::mem::take(&mut self.values);
        next.clear();
        next.resize(f.points() * f.outputs(), 0.0);
        for _ in 0..steps {
            self.values(f, x, &mut next);
            x[..next.len()].copy_from_slice(&next);
        }
        self.values = next;
    }

    /// Pulls cotangents back through `steps` steps, storing at most `slots` states (at least 1, the first).
    ///
    /// `cotangents` is as long as `x`. On entry it holds, at the front, the cotangent of the state after the last step,
    /// then what the parameters have so far; on return the cotangent of the state at the start, and to the parameters'
    /// theirs is added.
    ///
    /// ```
    /// use gradus_num::Real64;
    /// use gradus_num::batch::{Batch, Block, PointFn};
    ///
    /// /// Heat on a ring: `u_i + r (u_(i-1) - 2 u_i + u_(i+1))`, with one parameter `r`.
    /// struct Heat(usize);
    /// impl PointFn for Heat {
    ///     fn points(&self) -> usize { self.0 }
    ///     fn shared(&self, _inputs: usize) -> std::ops::Range<usize> { self.0..self.0 + 1 }
    ///     fn own(&self) -> usize { 3 }
    ///     fn own_index(&self, point: usize, j: usize) -> usize { (point + self.0 + j - 1) % self.0 }
    ///     fn call<R: Real64>(&self, _: &Block, r: &[R], u: &[R], y: &mut [R]) {
    ///         y[0] = u[1] + r[0] * (u[0] - u[1].scale(2.0) + u[2]);
    ///     }
    /// }
    /// let x = [0.0, 1.0, 0.0, 0.0, 0.0, 0.0, 0.25];
    /// let (mut batch, mut end) = (Batch::<4>::new(), x);
    /// batch.run_steps(&Heat(6), 2, &mut end);
    /// assert_eq!(end[3], 0.0625); // r²
    /// let mut cotangents = [0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0];
    /// batch.pull_steps(&Heat(6), 2, 2, &x, &mut cotangents);
    /// assert_eq!((cotangents[1], cotangents[6]), (0.0625, 0.5)); // r² and 2 r
    /// ```
    ///
    /// # Panics
    /// If the lengths differ, or `x` is shorter than the state.
    pub fn pull_steps<F: PointFn>(
        &mut self,
        f: &F,
        steps: usize,
        slots: usize,
        x: &[f64],
        cotangents: &mut [f64],
    ) -> LoopCost {
        assert_eq!(cotangents.len(), x.len(), "one cotangent for each input");
        let count = f.points() * f.outputs();
        let batch = core::cell::RefCell::new(self);
        // The state of the moment, with the parameters behind it.
        let inputs = core::cell::RefCell::new(x.to_vec());
        let mut after: Vec<f64> = Vec::new();
        reverse_loop(
            steps,
            slots,
            &x[..count].to_vec(),
            |_, state| {
                let mut inputs = inputs.borrow_mut();
                inputs[..count].copy_from_slice(state);
                batch.borrow_mut().values(f, &inputs, state);
            },
            |_, state| {
                let mut inputs = inputs.borrow_mut();
                inputs[..count].copy_from_slice(state);
                after.clear();
                after.extend_from_slice(&cotangents[..count]);
                cotangents[..count].fill(0.0);
                let of_result = |point: usize, k: usize| after[point * f.outputs() + k];
                batch.borrow_mut().vjp(f, &inputs, of_result, cotangents);
            },
        )
    }
}
