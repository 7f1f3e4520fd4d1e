//! Attention under masks: whatever made a mask, what it hides from a block of rows is not computed.

use gradus::prelude::*;
use gradus::{DType, Key};

const PLACES: usize = 200;

type Operands = (Tensor, Tensor, Tensor);
/// A value and gradients.
type Slopes = (Tensor, Tensor, Tensor, Tensor);

fn mixed(mask: &Tensor, (q, k, v): &Operands) -> Tensor {
    let scores = q.matmul(&k.t()) * 0.25;
    mask.select(&scores, f64::NEG_INFINITY).softmax(-1).matmul(v)
}

fn slopes(mask: &Tensor, x: &Operands) -> Slopes {
    let (value, slopes) = value_and_grad(|x: &Operands| mixed(mask, x).square().sum(()))(x);
    (value, slopes.0, slopes.1, slopes.2)
}

fn same(a: &Slopes, b: &Slopes) -> bool {
    let far = |a: &Tensor, b: &Tensor| (a - b.to(&a.device()).unwrap()).abs().max(()).item::<f64>();
    let all = [far(&a.0, &b.0), far(&a.1, &b.1), far(&a.2, &b.2), far(&a.3, &b.3)];
    println!("{all:?}");
    all.iter().all(|&far| far < 1e-10)
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
        assert!(same(&a, &b) && same(&b, &c));
    }

    #[test]
    fn masks_are_made_inside_of_programs() {
        let x = drawn();
        let documents = Tensor::from((0..PLACES as i64).map(|i| i / 25).collect::<Vec<_>>());
        let there = Tensor::from((0..PLACES).map(|i| i < 120).collect::<Vec<_>>());
        type Masks = (Tensor, Tensor);
        let kinds: [(&str, fn(&Masks) -> Tensor); 4] = [
            ("documents", |(d, _)| d.reshape([PLACES, 1]).equal(d.reshape([1, PLACES]))),
            ("documents apart", |(d, _)| !d.reshape([PLACES, 1]).not_equal(d.reshape([1, PLACES]))),
            ("documents and padding", |(d, t)| d.reshape([PLACES, 1]).equal(d.reshape([1, PLACES])) & t),
            ("causal and padding", |(d, t)| {
                d.new_iota([PLACES, 1], 0, DType::I64).greater_equal(d.new_iota([1, PLACES], 1, DType::I64))
                    & t
            }),
        ];
        for (name, make) in kinds {
            let f = jit(|(x, masks): &(Operands, Masks)| slopes(&make(masks), x));
            let masks = (documents.clone(), there.clone());
            let want = slopes(&make(&masks), &x);
            let operands = (x.clone(), masks);
            let told = f.explain(&operands);
            assert_eq!(told.matches("without masked columns").count(), 2, "{name}: {told}");
            assert!(same(&f.call(&operands), &want), "{name}");
        }
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
            assert!(same(&got, &want));
        }
        assert_eq!(f.programs(), 1);
    }
}
