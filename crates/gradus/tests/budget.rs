//! A smaller memory budget changes what is stored, never the bits of the result.

use gradus::{DType, Key, Strategy, Tensor, jit, value_and_grad};

fn network(layers: usize) -> (Vec<Tensor>, impl Fn(&Vec<Tensor>) -> (Tensor, Vec<Tensor>)) {
    let keys = Key::new(7).split_n(layers + 1);
    let weights = keys[1..].iter().map(|k| k.normal([32, 32], DType::F32) * 0.2).collect();
    let x = keys[0].normal([64, 32], DType::F32);
    let loss = move |w: &Vec<Tensor>| w.iter().fold(x.clone(), |x, w| x.matmul(w).mish()).square().mean(());
    (weights, value_and_grad(loss))
}

fn bits(result: &(Tensor, Vec<Tensor>)) -> Vec<u32> {
    let all = std::iter::once(&result.0).chain(&result.1);
    all.flat_map(|t| t.to_vec::<f32>()).map(f32::to_bits).collect()
}

#[test]
fn strategies_agree() {
    let (w, f) = network(4);
    let (value, gradient) = jit(&f).call(&w);
    for strategy in [Strategy::Plain, Strategy::Recompute, Strategy::Nested] {
        let (v, g) = jit(&f).strategy(strategy).call(&w);
        assert!((v.item::<f64>() - value.item::<f64>()).abs() < 1e-6, "{strategy:?}");
        for (a, b) in g.iter().zip(&gradient) {
            assert!((a - b).abs().max(()).item::<f64>() < 1e-5, "{strategy:?}");
        }
    }
}

/// What only devices with a planner do.
mod plans {
    use super::*;

    #[test]
    fn every_budget_gives_the_same_bits() {
        let (w, f) = network(8);
        let free = jit(&f);
        let expected = bits(&free.call(&w));
        let mut last = free.planned_peak_bytes(&w);
        for budget in ["90%", "80%", "75%"] {
            let tight = jit(&f).memory_budget(budget);
            assert_eq!(bits(&tight.call(&w)), expected, "{budget}");
            let peak = tight.planned_peak_bytes(&w);
            assert!(peak <= last, "{budget} needs {peak}, more than {last}");
            last = peak;
        }
        let error = jit(&f).memory_budget(1000).try_call(&w).unwrap_err().to_string();
        assert!(error.contains("budget"), "{error}");
    }
}
