//! Numbers read while a function is recorded. Alone in its binary, so that nothing else plans beside it.

use gradus::{Tensor, grad};

#[test]
fn values_read_while_recording_are_computed_once() {
    let x = Tensor::from([0.5, 0.7]);
    let k = Tensor::from([0.9, 1.1]);
    // Each step reads a number, holds some values and lets others go.
    let f = |steps: usize, read: bool| {
        let k = &k;
        move |x: &Tensor| {
            let (mut y, mut kept) = (x.clone(), Vec::new());
            for i in 0..steps {
                let t = (&y * k).sin() + 0.1;
                if read {
                    assert!((&t * 2.0).max(()).item::<f64>().is_finite());
                }
                kept.push(&t * &t);
                y = if i % 2 == 0 { t + x } else { t };
            }
            let late = kept.iter().step_by(7).fold(y.clone(), |a, b| a + b);
            if read {
                assert!(late.sum(()).item::<f64>().is_finite());
                assert_eq!(kept[0].to_vec::<f64>().len(), 2);
                assert_eq!(x.to_vec::<f64>(), [0.5, 0.7]);
            }
            late.sum(())
        }
    };
    assert_eq!(grad(f(40, true))(&x), grad(f(40, false))(&x));
    assert_eq!(
        grad(|x: &Tensor| grad(f(9, true))(x).sum(()))(&x),
        grad(|x: &Tensor| grad(f(9, false))(x).sum(()))(&x)
    );
    // Equations planned for n reads grow as n: every step is one of a few programs.
    let device = x.device();
    let programs = |n| {
        let before = device.programs_planned();
        drop(grad(f(n, true))(&x));
        device.programs_planned() - before
    };
    programs(10);
    assert!(programs(100) <= 10, "{}", programs(90));
}
