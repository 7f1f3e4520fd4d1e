use core::ops::Range;

use super::{Batch, Block, PointFn};
use crate::{Real, Tape};

/// Two results of two own and two shared inputs, with a branch on which points disagree if `branching`.
struct Sample {
    points: usize,
    branching: bool,
}

impl Sample {
    fn at<R: Real>(&self, shared: &[R], own: &[R], constant: R) -> [R; 2] {
        let product = own[0] * shared[0] + own[1].sin() * constant;
        if self.branching && own[0] > R::from_f64(0.4) {
            return [product * product, shared[1] / own[1]];
        }
        [product.tanh() * own[0], shared[1] * own[1].exp() + shared[0].sigmoid()]
    }
    fn constant(point: usize) -> f64 {
        (point as f64 * 1.3).cos()
    }
}

impl PointFn for Sample {
    fn points(&self) -> usize {
        self.points
    }
    fn outputs(&self) -> usize {
        2
    }
    fn own(&self) -> usize {
        2
    }
    fn shared(&self, _inputs: usize) -> Range<usize> {
        0..2
    }
    fn own_index(&self, point: usize, j: usize) -> usize {
        2 + (point * 7 + j * 3) % 10
    }
    fn call<R: Real>(&self, block: &Block, shared: &[R], own: &[R], y: &mut [R]) {
        y.copy_from_slice(&self.at(shared, own, block.gather(Self::constant)));
    }
}

/// Values, Jacobians and gradients of a batch agree with one tape for each point.
fn agrees_with_single_points<const W: usize>(sample: &Sample) {
    let mut x = vec![0.7, -1.2];
    x.extend((0..10).map(|i| 0.1 + f64::from(i) / 11.0));
    let n = sample.points;
    let cotangent = |point: usize, k: usize| (point * 2 + k) as f64 * 0.25 - 1.0;
    let (mut values, mut jacobian) = (vec![0.0; 2 * n], vec![0.0; 4 * n]);
    let mut batch = Batch::<W>::new();
    for _ in 0..2 {
        let mut gradient = vec![1.0; 12];
        batch.values(sample, &x, &mut values);
        batch.jacobian(sample, &x, &mut jacobian);
        let sum = batch.vjp(sample, &x, cotangent, &mut gradient);
        let mut through = vec![0.0; 12];
        let value = batch.gradient_through(
            std::slice::from_ref(sample),
            &x,
            |y, x| {
                let weighted = y.iter().enumerate().map(|(i, &y)| y * cotangent(i / 2, i % 2));
                weighted.chain(x.iter().copied()).sum()
            },
            &mut through,
        );
        close(value, sum + x.iter().sum::<f64>());

        let mut want_gradient = [1.0; 12];
        for point in 0..n {
            let tape = Tape::new();
            let vars = tape.vars(&x);
            let own = [0, 1].map(|j| sample.own_index(point, j));
            let inputs = own.map(|index| vars[index]);
            let y = sample.at(&vars[..2], &inputs, Real::from_f64(Sample::constant(point)));
            for k in 0..2 {
                close(values[2 * point + k], y[k].value());
                let adjoints = tape.pullback(y[k]);
                for j in 0..2 {
                    close(jacobian[(2 * point + k) * 2 + j], adjoints.wrt(vars[own[j]]));
                }
            }
            let adjoints = tape.pullback_with((0..2).map(|k| (y[k], cotangent(point, k))));
            for j in 0..12 {
                want_gradient[j] += adjoints.wrt(vars[j]);
            }
        }
        for j in 0..12 {
            close(gradient[j], want_gradient[j]);
            close(through[j], want_gradient[j]);
        }
    }
}

fn close(got: f64, want: f64) {
    assert!((got - want).abs() <= 1e-13 * (1.0 + want.abs()), "{got} instead of {want}");
}

#[test]
fn every_driver_agrees_with_single_points() {
    for points in [0, 1, 3, 4, 8, 9, 21] {
        for branching in [false, true] {
            let sample = Sample { points, branching };
            agrees_with_single_points::<1>(&sample);
            agrees_with_single_points::<4>(&sample);
            agrees_with_single_points::<8>(&sample);
        }
    }
}

/// `√x` at 0 has an infinite slope; a point whose result does not count must not turn the others into NaN.
struct Root;

impl PointFn for Root {
    fn points(&self) -> usize {
        3
    }
    fn shared(&self, _inputs: usize) -> Range<usize> {
        0..1
    }
    fn own(&self) -> usize {
        1
    }
    fn own_index(&self, point: usize, _j: usize) -> usize {
        1 + point
    }
    fn call<R: Real>(&self, _block: &Block, shared: &[R], own: &[R], y: &mut [R]) {
        y[0] = (shared[0] * own[0]).sqrt() + shared[0];
    }
}

#[test]
fn a_zero_cotangent_wins_over_an_infinite_slope_lane_by_lane() {
    let mut gradient = [0.0; 4];
    let cotangent = |point: usize, _: usize| if point == 0 { 0.0 } else { 1.0 };
    let sum = Batch::<4>::new().vjp(&Root, &[4.0, 0.0, 1.0, 2.0], cotangent, &mut gradient);
    close(sum, 2.0 + 4.0 + 8f64.sqrt() + 4.0);
    close(gradient[0], 0.25 + 1.0 + 2.0 / (2.0 * 8f64.sqrt()) + 1.0);
    assert_eq!(gradient[1], 0.0);
    close(gradient[2], 1.0);
}

/// Two numbers at each point of a line, moved by their neighbours and two parameters; the ends see themselves.
struct Waves {
    points: usize,
    in_rows: bool,
}

impl Waves {
    fn at<R: Real>(&self, parameters: &[R], [left, here, right, speed]: [R; 4]) -> [R; 2] {
        let bend = left - here.scale(2.0) + right;
        if self.in_rows {
            return [here + bend * parameters[0], speed];
        }
        let speed = if bend > R::zero() { speed + bend * parameters[0] } else { speed * parameters[1] };
        [here + speed.scale(0.5), speed.sin()]
    }
}

impl PointFn for Waves {
    fn points(&self) -> usize {
        self.points
    }
    fn outputs(&self) -> usize {
        if self.in_rows { 1 } else { 2 }
    }
    fn shared(&self, inputs: usize) -> Range<usize> {
        inputs - 2..inputs
    }
    fn own(&self) -> usize {
        4
    }
    fn own_index(&self, point: usize, j: usize) -> usize {
        let place = (point + j).saturating_sub(1).min(self.points - 1);
        let of = self.outputs();
        if j == 3 { point * of + of - 1 } else { place * of }
    }
    fn own_row(&self, first: usize, j: usize) -> Option<usize> {
        // The last points' right neighbours end the row.
        let inner = first >= 1 && first + 8 < self.points;
        (self.in_rows && inner).then(|| self.own_index(first, j))
    }
    fn call<R: Real>(&self, _: &Block, shared: &[R], own: &[R], y: &mut [R]) {
        let all = self.at(shared, [own[0], own[1], own[2], own[3]]);
        y.copy_from_slice(&all[..y.len()]);
    }
}

#[test]
fn loops_of_steps_agree_with_one_tape() {
    for (points, in_rows, steps, slots) in [
        (1, false, 3, 1),
        (5, false, 4, 2),
        (21, false, 6, 6),
        (43, true, 5, 2),
        (43, true, 0, 1),
        (16, false, 1, 9),
    ] {
        let waves = Waves { points, in_rows };
        let count = points * waves.outputs();
        let mut x: Vec<f64> = (0..count).map(|i| (i as f64 * 0.7).sin()).collect();
        x.extend([0.3, 0.9]);
        let cotangent = |i: usize| if i < 3 { 1.5 - i as f64 } else { 0.0 };

        let tape = Tape::new();
        let inputs = tape.vars(&x);
        let (mut state, parameters) = (inputs[..count].to_vec(), &inputs[count..]);
        for _ in 0..steps {
            let own = |p: usize| [0, 1, 2, 3].map(|j| state[waves.own_index(p, j)]);
            let next = (0..points).flat_map(|p| waves.at(parameters, own(p))[..waves.outputs()].to_vec());
            state = next.collect();
        }
        let adjoints = tape.pullback_with(state.iter().enumerate().map(|(i, &v)| (v, cotangent(i))));

        let mut batch = Batch::<8>::new();
        let mut end = x.clone();
        batch.run_steps(&waves, steps, &mut end);
        let mut cotangents: Vec<f64> =
            (0..x.len()).map(|i| if i < count { cotangent(i) } else { 0.25 }).collect();
        let cost = batch.pull_steps(&waves, steps, slots, &x, &mut cotangents);
        assert!(cost.stored <= slots.max(1) && cost.steps == steps);
        for i in 0..x.len() {
            let value = if i < count { state[i].value() } else { x[i] };
            let start = if i < count { 0.0 } else { 0.25 };
            close(end[i], value);
            close(cotangents[i], start + adjoints.wrt(inputs[i]));
        }
    }
}

/// Counts its evaluations.
struct Counted<'a>(usize, &'a core::cell::Cell<usize>);

impl PointFn for Counted<'_> {
    fn points(&self) -> usize {
        self.0
    }
    fn shared(&self, _inputs: usize) -> Range<usize> {
        0..0
    }
    fn own(&self) -> usize {
        1
    }
    fn own_index(&self, point: usize, _j: usize) -> usize {
        point
    }
    fn call<R: Real>(&self, block: &Block, _: &[R], own: &[R], y: &mut [R]) {
        self.1.set(self.1.get() + block.count());
        y[0] = own[0].recip();
    }
}

#[test]
fn points_without_a_cotangent_are_not_evaluated() {
    let count = core::cell::Cell::new(0);
    let mut gradient = vec![0.0; 40];
    let only = |point: usize, _: usize| if point == 17 { 2.0 } else { 0.0 };
    // At 0 the value and the slope are infinite.
    Batch::<8>::new().vjp(&Counted(40, &count), &vec![0.0; 40], |_, _| 0.0, &mut gradient);
    assert_eq!((count.get(), gradient.iter().any(|&g| g != 0.0)), (0, false));
    Batch::<8>::new().vjp(&Counted(40, &count), &vec![0.5; 40], only, &mut gradient);
    assert_eq!((count.get(), gradient[17]), (8, -8.0));
}
