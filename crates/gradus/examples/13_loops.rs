//! A loop of unknown length: its gradient, its memory, and what recomputing states costs.

use std::time::Instant;

use gradus::{Checkpoints, DType, Tensor, grad, jit, while_loop, while_loop_with};

fn main() {
    // A ball thrown at an angle, with drag, until it hits the ground: where it lands, as a function of the throw.
    let landing = |throw: &Tensor| {
        let (speed, angle) = (throw.index(0, 0), throw.index(0, 1));
        let start = (Tensor::from(0.0), Tensor::from(1e-9), &speed * angle.cos(), &speed * angle.sin());
        let step = |(x, y, u, v): &(Tensor, Tensor, Tensor, Tensor)| {
            let drag = (u * u + v * v).sqrt() * 0.01;
            let (a, b) = (u * (1.0 - &drag * 0.01), v * (1.0 - &drag * 0.01) - 0.0981);
            (x + &a * 0.01, y + &b * 0.01, a, b)
        };
        let (x, y, u, v) = while_loop(&start, |(_, y, _, _)| y.greater(0.0), step);
        x - u * y / v // back to the ground
    };
    let throw = Tensor::from([20.0, 0.7]);
    let slope = jit(grad(landing));
    let found = slope.call(&throw).to_vec::<f64>();
    println!("thrown at {} it lands {:.3} m away", throw, landing(&throw).item::<f64>());
    println!("a metre a second more: {:+.3} m; a radian more: {:+.3} m", found[0], found[1]);
    let h = 1e-6;
    let nudged = |d: f64| landing(&(&throw + &Tensor::from([d, 0.0]))).item::<f64>();
    assert!((found[0] - (nudged(h) - nudged(-h)) / (2.0 * h)).abs() < 1e-6);
    // The best angle: uphill from here. Every step has a number of trips of its own, and there is one program.
    let mut angle = throw.index(0, 1);
    for _ in 0..30 {
        let throw = Tensor::stack(&[&Tensor::from(20.0), &angle], 0);
        angle = &angle + slope.call(&throw).index(0, 1) * 0.005;
    }
    println!("the best angle is {:.3}", angle.item::<f64>());
    let range = |angle: &Tensor| landing(&Tensor::stack(&[&Tensor::from(20.0), angle], 0)).item::<f64>();
    assert!([-0.05, 0.05].iter().all(|&d| range(&(&angle + d)) < range(&angle)));
    assert_eq!(slope.programs(), 1);

    // The same program for any number of steps: the peak is known before it runs, only time depends on the count.
    let decay = |checkpoints| {
        jit(grad(move |(x, steps): &(Tensor, Tensor)| {
            let step = |(x, k): &(Tensor, Tensor)| (x - x.sin() * 1e-3, k - 1.0);
            let start = (x.clone(), steps.stop_gradient());
            while_loop_with(checkpoints, &start, |(_, k)| k.greater(0.5), step).0.sum(())
        }))
    };
    println!(
        "\n| slots | steps | body evaluations a step | planned peak, KiB | time, ms |\n|---|---|---|---|---|"
    );
    for slots in [8, 16, 64] {
        let gradient = decay(Checkpoints::Slots(slots));
        for steps in [10, 1_000, 1_000_000] {
            let argument = (Tensor::linspace(0.1, 3.0, 64, DType::F64), Tensor::from(steps as f64));
            let peak = gradient.planned_peak_bytes(&argument);
            let began = Instant::now();
            let (slope, _) = gradient.call(&argument);
            assert!(slope.to_vec::<f64>().iter().all(|s| s.is_finite()));
            println!(
                "| {slots} | {steps} | {:.2} | {:.1} | {:.2} |",
                Checkpoints::Slots(slots).evaluations(steps) as f64 / steps as f64,
                peak as f64 / 1024.0,
                began.elapsed().as_secs_f64() * 1e3
            );
        }
        assert_eq!(gradient.programs(), 1);
    }
}
