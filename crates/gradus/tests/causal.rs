//! A causal mask made outside of what is recorded: captured, and yet known.

use gradus::prelude::*;
use gradus::{DType, Key};

const PLACES: usize = 200;

fn mixed(mask: &Tensor, (q, k, v): &(Tensor, Tensor, Tensor)) -> Tensor {
    let scores = q.matmul(&k.t()) * 0.25;
    mask.select(&scores, f64::NEG_INFINITY).softmax(-1).matmul(v)
}

fn drawn() -> (Tensor, Tensor, Tensor) {
    let draw = |seed| Key::new(seed).normal([1, 2, PLACES, 16], DType::F64);
    (draw(0), draw(1), draw(2))
}

/// What only devices with a planner do.
mod plans {
    use super::*;

    #[test]
    fn what_a_captured_mask_leaves_out_is_not_computed() {
        let index = |shape: [usize; 2], axis| Tensor::iota(shape, axis, DType::I64);
        let past = index([PLACES, 1], 0).greater_equal(index([1, PLACES], 1));
        let x = drawn();
        let run = jit(|x: &(Tensor, Tensor, Tensor)| {
            let (value, slopes) =
                value_and_grad(|x: &(Tensor, Tensor, Tensor)| mixed(&past, x).square().sum(()))(x);
            (value, slopes.0, slopes.1, slopes.2)
        });
        let told = run.explain(&x);
        assert_eq!(told.matches("without what a mask leaves out").count(), 2, "{told}");

        // The same with a mask that is an argument, of which nothing is known.
        let given = jit(|(x, mask): &((Tensor, Tensor, Tensor), Tensor)| {
            let (value, slopes) =
                value_and_grad(|x: &(Tensor, Tensor, Tensor)| mixed(mask, x).square().sum(()))(x);
            (value, slopes.0, slopes.1, slopes.2)
        });
        let (a, b) = (run.call(&x), given.call(&(x.clone(), past.clone())));
        let far = |a: &Tensor, b: &Tensor| (a - b).abs().max(()).item::<f64>();
        for (a, b) in [(&a.0, &b.0), (&a.1, &b.1), (&a.2, &b.2), (&a.3, &b.3)] {
            assert!(far(a, b) < 1e-10, "{}", far(a, b));
        }
    }
}
