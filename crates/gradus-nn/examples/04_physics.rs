//! A physics-informed network solves u'' = -π² sin πx with u(0) = u(1) = 0, whose solution is sin πx.
//!
//! The loss has second derivatives by the place, and is differentiated once more by the parameters.

use std::f64::consts::PI;

use gradus::{DType, Key, Tensor, grad, jit, value_and_grad, vmap};
use gradus_nn::layers::{Activation, Mlp};
use gradus_nn::{Adam, Model, Optimizer, State, optim::cast_floats};

/// The network at a place, times a factor that is 0 at both ends.
fn u(net: &Mlp, x: &Tensor) -> Tensor {
    net.forward(&x.reshape([1, 1]), None).at(0).at(0) * x * (1.0 - x)
}

/// What the equation leaves over at a place.
fn residual(net: &Mlp, x: &Tensor) -> Tensor {
    let slope = |x: &Tensor| grad(|x: &Tensor| u(net, x))(x);
    grad(slope)(x) + (x * PI).sin() * (PI * PI)
}

fn main() {
    let mut net = cast_floats(&Mlp::new(&Key::new(0), &[1, 16, 16, 1], Activation::Tanh), DType::F64);
    let points = Tensor::linspace(0.0, 1.0, 32, DType::F64);

    let adam = Adam::default();
    let mut state = State::new(&adam, &net);
    let step = jit(|(net, state, rate): &(Mlp, State<Mlp>, Tensor)| {
        let loss = |net: &Mlp| vmap(|x: &Tensor| residual(net, x))(&points).square().mean(());
        let (loss, slope) = value_and_grad(loss)(net);
        (adam.update(net, &slope, state, rate), loss)
    });
    for i in 0..=1000 {
        let rate = Tensor::from(if i < 600 { 1e-2 } else { 1e-3 });
        let ((next, next_state), loss) = step.call_owned((net, state, rate));
        (net, state) = (next, next_state);
        if i % 200 == 0 {
            println!("step {i:>4}: mean square of the residual {:.2e}", loss.item::<f64>());
        }
    }
    assert_eq!(step.programs(), 1);

    let x = Tensor::linspace(0.0, 1.0, 101, DType::F64);
    let found = vmap(|x: &Tensor| u(&net, x))(&x);
    let error = (found - (&x * PI).sin()).abs().max(()).item::<f64>();
    println!("largest error {error:.1e}");
    assert!(error < 5e-3);
}
