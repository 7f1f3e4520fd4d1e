//! Attention under masks: whatever made a mask, what it hides from a block of rows is not computed.

use gradus::prelude::*;
use gradus::{DType, Key};

const PLACES: usize = 200;

type Operands = (Tensor, Tensor, Tensor);

fn mixed(mask: &Tensor, (q, k, v): &Operands) -> Tensor {
    let scores = q.matmul(&k.t()) * 0.25;
    mask.select(&scores, f64::NEG_INFINITY).softmax(-1).matmul(v)
}

fn slopes(mask: &Tensor, x: &Operands) -> (Tensor, Tensor, Tensor, Tensor) {
    let (value, slopes) = value_and_grad(|x: &Operands| mixed(mask, x).square().sum(()))(x);
    (value, slopes.0, slopes.1, slopes.2)
}

fn drawn() -> Operands {
    let draw = |seed| Key::new(seed).normal([1, 2, PLACES, 16], DType::F64);
    (draw(0), draw(1), draw(2))
}

fn mask(sees: impl Fn(usize, usize) -> bool) -> Tensor {
    let elements: Vec<bool> = (0..PLACES * PLACES).map(|p| sees(p / PLACES, p % PLACES)).collect();
    Tensor::from(elements).reshape([PLACES, PLACES])
}

/// What only devices with a planner do.
mod plans {
    use super::*;

    #[test]
    fn masks_leave_columns_out_whatever_made_them() {
        let causal = mask(|i, j| j <= i);
        let x = drawn();
        let captured = jit(|x: &Operands| slopes(&causal, x));
        let recorded = jit(|x: &Operands| {
            let index = |shape: [usize; 2], axis| x.0.new_iota(shape, axis, DType::I64);
            slopes(&index([PLACES, 1], 0).greater_equal(index([1, PLACES], 1)), x)
        });
        let argument = jit(|(x, mask): &(Operands, Tensor)| slopes(mask, x));
        let given = (x.clone(), causal.clone());
        for told in [captured.explain(&x), recorded.explain(&x), argument.explain(&given)] {
            assert_eq!(told.matches("without masked columns").count(), 2, "{told}");
        }
        let (a, b, c) = (captured.call(&x), recorded.call(&x), argument.call(&given));
        assert!(a == b && b == c, "one result, bit by bit");
    }

    #[test]
    fn masks_change_between_calls_of_one_program() {
        let x = drawn();
        let f = jit(|(x, mask): &(Operands, Tensor)| slopes(mask, x));
        let kinds: [fn(usize, usize) -> bool; 4] = [
            |i, j| j <= i,
            |_, _| true,
            |i, j| i / 50 == j / 50,
            // Some places see nothing: what they mix is 0.
            |i, j| i % 3 > 0 && j > 150,
        ];
        for sees in kinds {
            let mask = mask(sees);
            let got = f.call(&(x.clone(), mask.clone()));
            let reference = Device::reference();
            let there = |t: &Tensor| t.to(&reference).unwrap();
            let want = slopes(&there(&mask), &(there(&x.0), there(&x.1), there(&x.2)));
            let far = |a: &Tensor, b: &Tensor| (a - b.to(&a.device()).unwrap()).abs().max(()).item::<f64>();
            for (a, b) in [(&got.0, &want.0), (&got.1, &want.1), (&got.2, &want.2), (&got.3, &want.3)] {
                assert!(far(a, b) < 1e-10, "{}", far(a, b));
            }
        }
        assert_eq!(f.programs(), 1);
    }
}
