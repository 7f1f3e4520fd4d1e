//! Two threads share a compiled function: it is planned once, and both call it at the same time.

use std::thread;

use gradus::{DType, Key, Tensor, grad, jit};

fn main() {
    // The chain of a small random walk downhill, started from a key of its own.
    let energy =
        |x: &Tensor| (x.square() - 1.0).square().sum(()) + x.slice(0, 1..).dot(&x.slice(0, ..-1)) * 0.3;
    let step = jit(|(x, key): &(Tensor, Key)| {
        let noise = key.normal(x.shape(), DType::F64);
        x - grad(energy)(x) * 0.01 + noise * (0.02f64 * 0.1).sqrt()
    });
    let walk = |seed: u64| {
        let mut x = Key::new(seed).normal([16], DType::F64);
        for i in 0..2000 {
            x = step.call(&(x, Key::new(seed).fold_in(i)));
        }
        x
    };
    let (a, b) = thread::scope(|scope| {
        let (a, b) = (scope.spawn(|| walk(1)), scope.spawn(|| walk(2)));
        (a.join().expect("a walk"), b.join().expect("a walk"))
    });
    println!("energies {:.3} and {:.3}", energy(&a), energy(&b));
    assert_eq!(step.programs(), 1);
    // Threads change no bit of a result.
    assert_eq!((walk(1), walk(2)), (a, b));
}
