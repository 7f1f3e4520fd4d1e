//! Branches and loops, recorded or as part of the program.

use gradus::{DType, Tensor, cond, grad, jit, jvp, scan, while_loop};

fn main() {
    // Rust's own control flow runs while a function is differentiated, and may read values.
    let collatz = |x: &Tensor| {
        let (mut y, mut steps) = (x.clone(), 0);
        while y.item::<f64>() > 1.0 {
            y = if y.item::<f64>() % 2.0 == 0.0 { y * 0.5 } else { y * 3.0 + 1.0 };
            steps += 1;
        }
        println!("6 reaches 1 after {steps} steps");
        y
    };
    assert_eq!(grad(collatz)(&Tensor::from(6.0)), Tensor::from(9.0 / 64.0));

    // A compiled program cannot read values: its branches are `cond`, and only the one taken runs.
    let huber = jit(grad(|x: &Tensor| cond(&x.abs().less(1.0), x, |x| x.square() * 0.5, |x| x.abs() - 0.5)));
    assert_eq!(huber.call(&Tensor::from(0.25)), Tensor::from(0.25));
    assert_eq!(huber.call(&Tensor::from(-7.0)), Tensor::from(-1.0));
    assert_eq!(huber.programs(), 1);

    // `scan`: a pendulum by the leapfrog method; the gradient goes back through all its steps.
    let swing = |start: &Tensor| {
        let steps = Tensor::zeros([200], DType::F64);
        let push = |(x, v): &(Tensor, Tensor), _: &Tensor| {
            let v = v - x.sin() * 0.05;
            let x = x + &v * 0.05;
            ((x.clone(), v), x)
        };
        let (_, path) = scan(&(start.clone(), Tensor::from(0.0)), &steps, push);
        path
    };
    let path = swing(&Tensor::from(1.0));
    println!("the pendulum starts at 1 and turns at {:.4}", path.min(()).item::<f64>());
    let end = |start: &Tensor| swing(start).index(0, -1);
    let slope = grad(end)(&Tensor::from(1.0)).item::<f64>();
    let h = 1e-5;
    let difference = (end(&Tensor::from(1.0 + h)) - end(&Tensor::from(1.0 - h))).item::<f64>() / (2.0 * h);
    assert!((slope - difference).abs() < 1e-8);

    // `while_loop`: as long as it takes; forward mode goes through it.
    let root = |a: &Tensor| while_loop(a, |x| (x * x - a).abs().greater(1e-12), |x| (x + a / x) * 0.5);
    let (y, dy) = jvp(root, &Tensor::from(2.0), &Tensor::from(1.0));
    println!("√2 = {:.12}, its derivative {:.12}", y.item::<f64>(), dy.item::<f64>());
    assert!((dy.item::<f64>() - 0.125f64.sqrt()).abs() < 1e-6);
}
