//! A neural ordinary differential equation: a network that is a velocity field, fitted to a path by the gradient
//! through all steps of the solver.

use gradus::{DType, Key, Tensor, jit, scan, value_and_grad};
use gradus_nn::layers::{Activation, Mlp};
use gradus_nn::{Adam, Model, Optimizer, Schedule, State, loss};

const DT: f64 = 0.1;

/// The states after each of `steps` steps of the classical Runge-Kutta method: `[steps, N, 2]` from `[N, 2]`.
fn solve(field: impl Fn(&Tensor) -> Tensor, start: &Tensor, steps: usize) -> Tensor {
    let step = |y: &Tensor, _: &Tensor| {
        let a = field(y);
        let b = field(&(y + &a * (DT / 2.0)));
        let c = field(&(y + &b * (DT / 2.0)));
        let d = field(&(y + &c * DT));
        let next = y + (a + (b + c) * 2.0 + d) * (DT / 6.0);
        (next.clone(), next)
    };
    scan(start, &Tensor::arange(steps, DType::I64), step).1
}

fn main() {
    // What is observed: a pendulum with friction, its angle and how fast that changes.
    let pendulum = |y: &Tensor| {
        let (angle, speed) = (y.slice(1, ..1), y.slice(1, 1..));
        let push = -(angle.sin() * 4.0) - &speed * 0.3;
        Tensor::concat(&[&speed, &push], 1)
    };
    let start = Tensor::from([[2f32, 0.0]]);
    let path = solve(pendulum, &start, 100).squeeze(1);
    // Eight steps from each observed state, all at once: `[8, 92, 2]`.
    let starts = path.slice(0, ..-8);
    let pieces: Vec<Tensor> = (1..=8).map(|i| path.slice(0, i..i + 92)).collect();
    let targets = Tensor::stack(&pieces, 0);

    let mut net = Mlp::new(&Key::new(0), &[2, 32, 2], Activation::Tanh);
    let adam = Adam::default();
    let mut state = State::new(&adam, &net);
    let rate = Schedule::Cosine { peak: 1e-2, warmup: 0, steps: 1000, floor: 0.0 };
    let step = jit(|(net, state, rate): &(Mlp, State<Mlp>, Tensor)| {
        let miss = |net: &Mlp| loss::mse(&solve(|y| net.forward(y, None), &starts, 8), &targets);
        let (loss, slope) = value_and_grad(miss)(net);
        (adam.update(net, &slope, state, rate), loss)
    });
    for i in 0..1000 {
        let rate = Tensor::from(rate.at(i) as f32);
        let ((next, next_state), loss) = step.call_owned((net, state, rate));
        (net, state) = (next, next_state);
        if i % 200 == 0 {
            println!("step {i:>3}: loss {:.6}", loss.item::<f32>());
        }
    }
    assert_eq!(step.programs(), 1);

    // The whole path from its start alone.
    let found = solve(|y| net.forward(y, None), &start, 100).squeeze(1);
    let error = (found - &path).square().mean(()).sqrt().item::<f32>();
    println!(
        "root mean square error of the path {error:.4}, of the zero path {:.4}",
        path.square().mean(()).sqrt()
    );
    assert!(error < 0.2);
}
