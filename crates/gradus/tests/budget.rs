//! A smaller memory budget changes what is stored, never the bits of the result.

use gradus::{DType, Key, Strategy, Tensor, grad, jit, jvp, scan, value_and_grad, while_loop};

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

    /// Storing fewer states of a loop changes what is kept at which level of nested derivatives, and must not change how local
    /// derivatives are multiplied out.
    #[test]
    fn budgets_of_loops_under_nested_derivatives_keep_bits() {
        let numbers =
            |k: f64| (0..24).map(|i| ((f64::from(i) * 0.37 + k).sin() * 1.7) as f32).collect::<Vec<_>>();
        let of = |k: f64| Tensor::new([24], numbers(k)).unwrap();
        let loss = |(x, y): &(Tensor, Tensor)| {
            let steps = Tensor::zeros([4], DType::F32);
            let looped = scan(y, &steps, |c, _| ((c - 1.637625).sin(), ())).0;
            let logits = x.softplus() * (1.0 - y) + (-x).softplus() * y;
            let late = while_loop(
                &(y.clone(), Tensor::from(0i64)),
                |(_, k)| k.less(2i64),
                |(v, k)| (grad(|w: &Tensor| w.tanh().sum(()).square())(&(v * v)).sin().tanh(), k + 1i64),
            );
            ((&looped - logits.mean(())) * &looped).sin().sum(()) + late.0.sin().sum(())
        };
        let (at, along) = ((of(0.0), of(0.4)), (of(1.0), of(2.0)));
        let second = |at: &(Tensor, Tensor)| {
            let forward = jvp(grad(loss), at, &along).1;
            let slope = |at: &(Tensor, Tensor)| {
                let (gx, gy) = grad(loss)(at);
                (gx * &along.0).sum(()) + (gy * &along.1).sum(())
            };
            (forward, grad(slope)(at))
        };
        let bits = |((a, b), (c, d)): ((Tensor, Tensor), (Tensor, Tensor))| {
            [a, b, c, d].map(|t| t.to_vec::<f32>().into_iter().map(f32::to_bits).collect::<Vec<_>>())
        };
        let want = bits(jit(second).call(&at));
        let mut met = 0;
        for percent in (20..100).rev() {
            let within = jit(second).memory_budget(format!("{percent}%").as_str());
            let Ok(found) = within.try_call(&at) else { break };
            met += 1;
            assert_eq!(bits(found), want, "{percent} %");
        }
        assert!(met > 0);
    }
}
