//! The passes over all blocks. Each is one function without closures around it, so that all of it is compiled for
//! the vector instructions that [`wide`](crate::lanes::wide) finds.

use super::{Batch, Blocks, PointFn, ROWS, own_input, spoilt};
use crate::lanes::Wide;
use crate::tape::Var;
use crate::{Lanes, Real};

/// The results at every point.
pub(super) struct Values<'a, F, const W: usize> {
    pub batch: &'a mut Batch<W>,
    pub f: &'a F,
    pub x: &'a [f64],
    pub y: &'a mut [f64],
}

impl<F: PointFn, const W: usize> Wide for Values<'_, F, W> {
    type Output = ();

    #[inline(always)]
    fn run(self) {
        let Values { batch, f, x, y } = self;
        let (own, outputs, shared) = (f.own(), f.outputs(), f.shared(x.len()));
        let zero = Lanes::<W>::from_f64(0.0);
        batch.plain.clear();
        for &s in &x[shared.clone()] {
            batch.plain.push(Lanes::from_f64(s));
        }
        batch.plain.resize(shared.len() + own + outputs, zero);
        let (shared, rest) = batch.plain.split_at_mut(shared.len());
        let (own, out) = rest.split_at_mut(own);
        let mut blocks = Blocks::<W>::new(f.points());
        while let Some(block) = blocks.present() {
            for j in 0..own.len() {
                own_input(f, x, &block, j, &mut own[j]);
            }
            out.fill(zero);
            f.call(&block, shared, own, out);
            let good = blocks.one_path();
            blocks.proceed(good);
            if !good {
                continue;
            }
            if outputs == 1 && block.count == W {
                y[block.first..block.first + W].copy_from_slice(&out[0].0);
                continue;
            }
            for k in 0..outputs {
                for lane in 0..block.count {
                    y[(block.first + lane) * outputs + k] = out[k].0[lane];
                }
            }
        }
    }
}

/// The derivatives of every point's results in its own inputs.
pub(super) struct Jacobian<'a, F, const W: usize> {
    pub batch: &'a mut Batch<W>,
    pub f: &'a F,
    pub x: &'a [f64],
    pub jacobian: &'a mut [f64],
}

impl<F: PointFn, const W: usize> Wide for Jacobian<'_, F, W> {
    type Output = ();

    #[inline(always)]
    fn run(self) {
        let Jacobian { batch, f, x, jacobian } = self;
        let (own, outputs, shared) = (f.own(), f.outputs(), f.shared(x.len()));
        let zero = Lanes::<W>::from_f64(0.0);
        let mut blocks = Blocks::<W>::new(f.points());
        while let Some(block) = blocks.present() {
            batch.tape.reset();
            let (tape, rows) = (&batch.tape, &mut batch.rows);
            let mut vars = tape.take_vars();
            for j in 0..own {
                let mut input = zero;
                own_input(f, x, &block, j, &mut input);
                vars.push(tape.var(input));
            }
            for &s in &x[shared.clone()] {
                vars.push(Var::constant(Lanes::from_f64(s)));
            }
            vars.resize(own + shared.len() + outputs, Var::from_f64(0.0));
            let (inputs, out) = vars.split_at_mut(own + shared.len());
            f.call(&block, &inputs[own..], &inputs[..own], out);
            let mut good = blocks.one_path();
            let chunks = if good { outputs } else { 0 };
            for start in (0..chunks).step_by(ROWS) {
                let width = ROWS.min(outputs - start);
                let seeds = out[start..start + width].iter().copied().enumerate();
                tape.pullback_seeded_lanes_into(seeds, rows);
                good &= !spoilt(&block, tape, rows[1..=own].iter().flatten().copied());
                for lane in 0..block.count {
                    let at = ((block.first + lane) * outputs + start) * own;
                    for row in 0..width {
                        let entries = &mut jacobian[at + row * own..at + (row + 1) * own];
                        for (entry, adjoint) in entries.iter_mut().zip(&rows[1..]) {
                            *entry = adjoint[row].0[lane];
                        }
                    }
                }
            }
            blocks.proceed(good);
            tape.give_vars(vars);
        }
    }
}

/// The derivatives of a weighted sum of all results; those in shared inputs stay in the batch, lane by lane.
pub(super) struct Pullback<'a, F, C, const W: usize> {
    pub batch: &'a mut Batch<W>,
    pub f: &'a F,
    pub x: &'a [f64],
    pub cotangent: C,
    pub gradient: &'a mut [f64],
}

impl<F: PointFn, C: Fn(usize, usize) -> f64, const W: usize> Wide for Pullback<'_, F, C, W> {
    type Output = f64;

    #[inline(always)]
    fn run(self) -> f64 {
        let Pullback { batch, f, x, cotangent, gradient } = self;
        let (own, outputs, shared) = (f.own(), f.outputs(), f.shared(x.len()));
        let zero = Lanes::<W>::from_f64(0.0);
        let mut sum = zero;
        batch.total.clear();
        batch.total.resize(shared.len(), zero);
        let mut blocks = Blocks::<W>::new(f.points());
        while let Some(block) = blocks.present() {
            let mut active = false;
            for point in block.first..block.first + block.count {
                for k in 0..outputs {
                    active |= cotangent(point, k) != 0.0;
                }
            }
            if !active {
                blocks.skip();
                continue;
            }
            batch.tape.reset();
            let tape = &batch.tape;
            let mut vars = tape.take_vars();
            vars.reserve(shared.len() + own + outputs);
            for &s in &x[shared.clone()] {
                vars.push(tape.var(Lanes::from_f64(s)));
            }
            for j in 0..own {
                let mut input = zero;
                own_input(f, x, &block, j, &mut input);
                vars.push(tape.var(input));
            }
            vars.resize(shared.len() + own + outputs, Var::from_f64(0.0));
            let (inputs, out) = vars.split_at_mut(shared.len() + own);
            f.call(&block, &inputs[..shared.len()], &inputs[shared.len()..], out);
            let mut good = blocks.one_path();
            if good {
                let mut values = zero;
                let seeds = out.iter().enumerate().map(|(k, &result)| {
                    // Lanes beyond the last point count nothing.
                    let seed = Lanes::<W>::from_lanes(|lane| {
                        if lane < block.count { cotangent(block.first + lane, k) } else { 0.0 }
                    });
                    values += seed.mul_guarded(result.primal());
                    (result, seed)
                });
                let adjoints = tape.pullback_with(seeds);
                let of_inputs = adjoints.leading(shared.len() + own);
                good = !spoilt(&block, tape, of_inputs.iter().copied());
                if good {
                    sum += values;
                    let (of_shared, of_own) = of_inputs.split_at(shared.len());
                    for (total, &part) in batch.total.iter_mut().zip(of_shared) {
                        *total += part;
                    }
                    for (j, adjoint) in of_own.iter().enumerate() {
                        for lane in 0..block.count {
                            gradient[f.own_index(block.first + lane, j)] += adjoint.0[lane];
                        }
                    }
                }
            }
            blocks.proceed(good);
            tape.give_vars(vars);
        }
        sum.sum()
    }
}
