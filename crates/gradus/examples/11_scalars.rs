//! Scalars: ordinary Rust over `Real64`, and drivers that pick the mode.

use gradus::num::{self, Dual, Real64, Scalar, ScalarDriver, ScalarFn, Taylor, forward, reverse};

/// The energy of charges on a line, held by springs.
struct Charges {
    stiffness: f64,
}

impl ScalarFn for Charges {
    fn call<R: Real64>(&self, x: &[R]) -> R {
        let mut energy = R::zero();
        for (i, &a) in x.iter().enumerate() {
            energy += a * a * (self.stiffness / 2.0);
            for &b in &x[..i] {
                energy += (a - b).abs().recip();
            }
        }
        energy
    }
}

fn main() {
    // A dual number carries a derivative along.
    let y = Dual::<f64, 1>::variable(2.0, 0).sin().exp();
    println!("e^sin at 2: {:.6}, slope {:.6}", y.primal, y.tangent[0]);

    // Closures at one number type: forward for few inputs, reverse for many.
    let x = [0.5, 1.5, -1.0];
    let f = |x: &[Dual<f64, 4>]| x.iter().fold(Dual::constant(1.0), |p, &x| p * x.cos());
    let g = reverse::gradient(|x| x.iter().fold(x[0] * 0.0 + 1.0, |p, &x| p * x.cos()), &x);
    let diff = forward::gradient(f, &x).iter().zip(&g).map(|(a, b)| (a - b).abs()).fold(0.0, f64::max);
    assert!(diff < 1e-15);

    // A function at every number type: the driver counts its operations and picks the cheaper mode.
    let charges = Charges { stiffness: 2.0 };
    let mut places = vec![-1.0, 0.1, 0.9];
    for _ in 0..200 {
        let slope = num::gradient(&charges, &places);
        places.iter_mut().zip(&slope).for_each(|(x, g)| *x -= 0.05 * g);
    }
    println!("the charges rest at {places:.4?}");
    assert!(num::gradient(&charges, &places).iter().all(|g| g.abs() < 1e-9));
    println!("{}", ScalarDriver::new(&charges, &places).gradient_plan().explain());

    // Taylor numbers: derivatives of every order at once. Those of 1/(1-x) at 0 are the factorials.
    let orders = forward::taylor(|x: Taylor<f64, 6>| (Taylor::constant(1.0) - x).recip(), 0.0);
    assert_eq!(orders, [1.0, 1.0, 2.0, 6.0, 24.0, 120.0]);
}
