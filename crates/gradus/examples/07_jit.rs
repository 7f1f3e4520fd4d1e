//! `jit` records and plans a function once and then only runs it.

use std::time::Instant;

use gradus::{DType, Key, Tensor, jit};

fn mish(x: &Tensor) -> Tensor {
    x * x.softplus().tanh()
}

fn main() {
    let x = Key::new(0).normal([200_000], DType::F32);
    let fast = jit(mish);
    let first = fast.call(&x); // records, plans, runs

    let time = |f: &dyn Fn() -> Tensor| {
        let start = Instant::now();
        let y = f();
        (start.elapsed().as_secs_f64() * 1e3, y)
    };
    let (eager, y) = time(&|| mish(&x));
    let (planned, z) = time(&|| fast.call(&x));
    println!("three operations one by one {eager:.2} ms, as one fused program {planned:.2} ms");
    // The same up to rounding of the last bits, and bit for bit from call to call.
    assert!((y - &z).abs().max(()).item::<f64>() < 1e-5);
    assert_eq!(first, z);

    // One program for each structure, shapes and dtypes.
    fast.call(&x.slice(0, ..10));
    fast.call(&x.slice(0, 10..20));
    assert_eq!(fast.programs(), 2);
    println!("the program:\n{}", fast.program(&x));

    // What changes from call to call is an argument. A value that is captured is read once.
    let step = jit(|(x, rate): &(Tensor, Tensor)| x - rate * x);
    let x = Tensor::from(1.0);
    for rate in [0.5, 0.25] {
        let y = step.call(&(x.clone(), rate.into()));
        assert_eq!(y, Tensor::from(1.0 - rate));
    }
    assert_eq!(step.programs(), 1);
}
