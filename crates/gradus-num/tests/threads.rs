//! What owns its buffers may move to another thread.

use gradus_num::batch::Batch;
use gradus_num::sparse::{SparseHessian, SparseJacobian};
use gradus_num::{Dual, ScalarDriver, ScalarFn, Tape, VectorDriver, VectorFn, gradient, scalar_fn};

fn moves<T: Send>() {}

fn drivers_move<F: ScalarFn + Send, G: VectorFn + Send>() {
    moves::<ScalarDriver<F>>();
    moves::<VectorDriver<G>>();
    moves::<SparseHessian<F>>();
    moves::<SparseJacobian<G>>();
}

#[test]
fn tapes_and_drivers_move() {
    struct Nothing;
    impl ScalarFn for Nothing {
        fn call<R: gradus_num::Real64>(&self, x: &[R]) -> R {
            x[0]
        }
    }
    impl VectorFn for Nothing {
        fn outputs(&self, _: usize) -> usize {
            1
        }
        fn call<R: gradus_num::Real64>(&self, x: &[R], y: &mut [R]) {
            y[0] = x[0];
        }
    }
    moves::<Tape>();
    moves::<Tape<Dual<f64, 4>>>();
    moves::<Batch<4>>();
    drivers_move::<Nothing, Nothing>();
    let mut tape = Tape::new();
    let slope = std::thread::spawn(move || {
        let x = tape.var(3.0);
        let slope = tape.pullback(x * x).wrt(x);
        tape.reset();
        slope
    });
    let mut driver = ScalarDriver::new(scalar_fn!(|x| x[0] * x[0]), &[3.0]);
    let there = std::thread::spawn(move || {
        let mut gradient = [0.0];
        driver.value_and_gradient_into(&[3.0], &mut gradient);
        gradient[0]
    });
    assert_eq!(slope.join().unwrap(), 6.0);
    assert_eq!(there.join().unwrap(), gradient(&scalar_fn!(|x| x[0] * x[0]), &[3.0])[0]);
}
