//! How many programs a training loop compiles. Alone in its binary, so that nothing else plans beside it.

use gradus::{DType, Key, Tensor, value_and_grad};

#[test]
fn a_hundred_steps_make_one_program() {
    let mut w = Tensor::from([0.5, -0.5]);
    let key = Key::new(1);
    let mut last = 0.0;
    for step in 0..100u32 {
        let batch = key.fold_in(i64::from(step)).normal([8, 2], DType::F64);
        let rate = 0.1 / (1.0 + f64::from(step));
        let loss =
            |w: &Tensor| ((&batch * w).sum(1) - 0.25).square().mean(()) + w.square().sum(()) * (rate * 0.01);
        let (value, g) = value_and_grad(loss)(&w);
        w = &w - &(&g * rate);
        last = value.item::<f64>();
    }
    assert!(last.is_finite());
    assert_eq!(w.device().programs_planned(), 1);
}
