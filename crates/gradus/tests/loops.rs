//! Loops within a budget: the same bits from less memory.

use gradus::{Checkpoints, DType, ErrorKind, Jit, Tensor, grad, hessian, jit, scan, scan_with, while_loop};

/// A small recurrent network over many steps; its gradient for the weights and the inputs.
fn network(w: &Tensor, xs: &Tensor) -> Tensor {
    let step = |h: &Tensor, x: &Tensor| {
        let h = (h.matmul(w) + x).tanh();
        (h.clone(), h.square().sum(()))
    };
    let (h, losses) = scan(&Tensor::zeros([16, 8], DType::F32), xs, step);
    h.sum(()) + losses.mean(())
}

fn compiled() -> Jit<(Tensor, Tensor), (Tensor, Tensor), impl Fn(&(Tensor, Tensor)) -> (Tensor, Tensor)> {
    jit(grad(|(w, xs): &(Tensor, Tensor)| network(w, xs)))
}

fn argument() -> (Tensor, Tensor) {
    let w = Tensor::linspace(-0.3, 0.3, 64, DType::F32).reshape([8, 8]);
    let xs = Tensor::linspace(-1.0, 1.0, 400 * 128, DType::F32).reshape([400, 16, 8]);
    (w, xs)
}

#[test]
fn checkpoints_asked_for_in_any_order() {
    let f = |checkpoints| {
        move |x: &Tensor| {
            let step = |c: &Tensor, x: &Tensor| ((c * 0.9 + x).sin(), c * x);
            let (c, rows) = scan_with(checkpoints, &x.index(0, 0), x, step);
            c.exp() + rows.square().sum(())
        }
    };
    let x = Tensor::linspace(-1.0, 1.0, 12, DType::F64);
    let (all, few) = (Checkpoints::Auto, Checkpoints::Slots(3));
    assert_eq!(grad(f(all))(&x), grad(f(few))(&x));
    let (a, b) = (hessian(f(all))(&x), hessian(f(few))(&x));
    assert!((a - b).abs().max(()).item::<f64>() < 1e-13);
    let twice = |c: Checkpoints| grad(move |x: &Tensor| grad(f(c))(x).square().sum(()))(&x);
    assert!((twice(all) - twice(few)).abs().max(()).item::<f64>() < 1e-12);
}

/// What only devices with a planner do.
mod plans {
    use super::*;

    #[test]
    fn a_long_scan_within_any_budget_gives_the_same_bits() {
        let x = argument();
        let free = compiled();
        let natural = free.planned_peak_bytes(&x);
        let (dw, dx) = free.call(&x);
        let inputs = 400 * 128 * 4;
        assert!(natural > 3 * inputs, "{natural}: the states are stored");
        let mut last = usize::MAX;
        for budget in [natural, natural * 9 / 10, natural * 8 / 10, 2 * inputs + 100_000, 2 * inputs + 20_000]
        {
            let f = compiled().memory_budget(budget);
            let peak = f.planned_peak_bytes(&x);
            assert!(peak <= budget && peak <= last, "{peak} of {budget}, {last} before");
            last = peak;
            let (w, xs) = f.call(&x);
            assert_eq!(
                (w.to_vec::<f32>(), xs.to_vec::<f32>()),
                (dw.to_vec::<f32>(), dx.to_vec::<f32>()),
                "{budget}"
            );
        }
        let explained = compiled().memory_budget(2 * inputs + 20_000).explain(&x);
        assert!(explained.contains("replay") && explained.contains("loops store"), "{explained}");
        let error = compiled().memory_budget(2 * inputs).try_call(&x).unwrap_err();
        assert!(matches!(error.kind(), ErrorKind::Argument { op: "memory_budget", .. }), "{error}");
        // The budget it names can be met.
        let text = error.to_string();
        let named: usize = text.split("needs ").nth(1).unwrap().split(' ').next().unwrap().parse().unwrap();
        assert!(compiled().memory_budget(named).planned_peak_bytes(&x) <= named, "{text}");
    }

    #[test]
    fn a_budget_lowers_the_slots_of_a_loop_of_unknown_length() {
        let f = || {
            jit(grad(|x: &Tensor| {
                let start = (x.clone(), Tensor::from(0i64));
                while_loop(&start, |(_, k)| k.less(200), |(x, k)| (x.sin() + x * 0.3, k + 1)).0.sum(())
            }))
        };
        let x = Tensor::linspace(0.1, 2.0, 1000, DType::F64);
        let free = f();
        let natural = free.planned_peak_bytes(&x);
        assert!(natural > 64 * 8000, "{natural}");
        for share in [2, 4, 7] {
            let less = f().memory_budget(natural / share);
            assert!(less.planned_peak_bytes(&x) <= natural / share);
            assert_eq!(less.call(&x), free.call(&x));
        }
    }
}
