//! Arithmetic in 16-bit floats: each primitive's result is that of `f32`, rounded once.

use gradus::{Bf16, DType, F16, Key, Tensor, grad, hessian, jit, jvp, value_and_grad, vmap};

const SIXTEEN: [DType; 2] = [DType::Bf16, DType::F16];

/// The numbers of a tensor of 16 bits, exactly.
fn numbers(t: &Tensor) -> Vec<f64> {
    t.to_vec::<f64>()
}

/// `f32` arithmetic, rounded.
fn rounded(dtype: DType, x: f64) -> f64 {
    Tensor::from(x as f32).cast(dtype).item::<f64>()
}

#[test]
fn every_result_is_rounded() {
    for dtype in SIXTEEN {
        let (x, y) = (Key::new(1).normal([1000], dtype), Key::new(2).normal([1000], dtype));
        let f = |(x, y): &(Tensor, Tensor)| ((x * y + x) * y - x / y) * x;
        let got = f(&(x.clone(), y.clone()));
        assert_eq!(got.dtype(), dtype);
        assert_eq!(jit(f).call(&(x.clone(), y.clone())), got);
        let r = |x: f64| rounded(dtype, x);
        for ((x, y), got) in numbers(&x).into_iter().zip(numbers(&y)).zip(numbers(&got)) {
            let expected = r(r(r(r(r(x * y) + x) * y) - r(x / y)) * x);
            assert_eq!(got, expected, "{dtype}: {x} {y}");
        }
    }
}

#[test]
fn sums_and_products_are_rounded_once() {
    for (dtype, n) in [(DType::Bf16, 1000), (DType::F16, 5000)] {
        // Added one by one in 16 bits, ones would stop at 256 and 2048.
        let ones = Tensor::ones([n], dtype);
        let near = |x: Tensor| assert_eq!(x.item::<f64>(), rounded(dtype, n as f64));
        near(ones.sum(()));
        near(jit(|x: &Tensor| x.sum(())).call(&ones));
        near(ones.cumsum(0).slice(0, -1..).sum(()));
        near(ones.reshape([1, n]).matmul(&ones.reshape([n, 1])).sum(()));
        assert_eq!((&ones * 100).mean(()), Tensor::full([], dtype, 100.0), "the sum need not be a number");
        let x = Key::new(3).normal([40, 60], dtype);
        let (a, b) = (x.slice(0, ..20), x.slice(0, 20..));
        let wide = a.cast(DType::F64).matmul(&b.cast(DType::F64).t());
        let error = (a.matmul(&b.t()).cast(DType::F64) - &wide).abs().max(()).item::<f64>();
        assert!(error <= dtype.epsilon().unwrap() / 2.0 * wide.abs().max(()).item::<f64>() + 1e-5, "{error}");
    }
}

#[test]
fn derivatives_are_of_the_type_of_their_values() {
    for dtype in SIXTEEN {
        let x = Key::new(4).normal([5], dtype);
        let f = |x: &Tensor| (x.tanh() * x).sum(());
        let (g, exact) = (grad(f)(&x), grad(f)(&x.cast(DType::F64)));
        assert_eq!((g.dtype(), jvp(f, &x, &x).1.dtype(), hessian(f)(&x).dtype()), (dtype, dtype, dtype));
        let error = (g.cast(DType::F64) - exact).abs().max(()).item::<f64>();
        assert!(error < 8.0 * dtype.epsilon().unwrap(), "{dtype}: {error}");
        assert_eq!(jit(grad(f)).call(&x), g);
        let twice = Tensor::stack(&[&x, &x], 0);
        assert_eq!(vmap(grad(f))(&twice), Tensor::stack(&[&g, &g], 0));
        // A conversion there and back is not taken away, and its derivative is 1.
        let through = |x: &Tensor| x.cast(dtype).cast(DType::F32);
        let single = Tensor::from([1.001f32, -0.3]);
        assert_eq!(jit(through).call(&single), through(&single));
        assert_ne!(through(&single), single);
        assert_eq!(grad(|x: &Tensor| through(x).sum(()))(&single), Tensor::from([1f32, 1.0]));
    }
}

#[test]
fn numbers_are_rounded_once_on_their_way_in() {
    // Just above the middle between two: rounded to f32 before, it would be the middle, and then the even one.
    let value = 1.0 + 1.0 / 256.0 + 2f64.powi(-40);
    let above = Bf16::from_f32(1.0 + 1.0 / 128.0);
    assert_eq!(Tensor::full([], DType::Bf16, value), Tensor::from(above));
    assert_eq!(Tensor::from(value).cast(DType::Bf16), Tensor::from(above));
    let zeros = Tensor::zeros([1], DType::Bf16);
    assert_eq!(&zeros + value, Tensor::from([above]));
    assert_eq!(jit(|x: &Tensor| x + value).call(&zeros), Tensor::from([above]));
    assert_eq!(Tensor::from(&[F16::from_f32(1.5)][..]).to_vec::<F16>(), [F16::from_f32(1.5)]);
    assert_eq!(Tensor::from(0.1).to_vec::<F16>(), [F16::from(0.1)]);
    assert_eq!(
        Tensor::from([F16::from_f32(65504.0), F16::from(1e9)]).to_vec::<f32>(),
        [65504.0, f32::INFINITY]
    );
    assert_eq!(format!("{:?}", Tensor::from([F16::from_f32(0.5)])), "[0.5] f16[1]");
    assert_eq!(Tensor::arange(3, DType::F16).to_vec::<f32>(), [0.0, 1.0, 2.0]);
}

#[test]
fn infinities_become_the_largest_number_of_the_type() {
    for (dtype, largest) in [(DType::Bf16, 255.0 * 2f64.powi(120)), (DType::F16, 65504.0)] {
        let x = Tensor::from([f32::INFINITY, f32::NEG_INFINITY, 2.0]).cast(dtype);
        assert_eq!(numbers(&x.nan_to_num(0.0)), [largest, -largest, 2.0]);
    }
}

#[test]
fn types_do_not_promote() {
    let (x, y) = (Tensor::zeros([2], DType::F16), Tensor::zeros([2], DType::Bf16));
    for other in [&y, &Tensor::from([0f32, 0.0])] {
        let error = jit(|(x, y): &(Tensor, Tensor)| x + y).try_call(&(x.clone(), other.clone())).unwrap_err();
        assert!(error.to_string().contains("f16") && error.to_string().contains("cast"), "{error}");
    }
}

#[test]
fn what_is_not_reached_stays_dead() {
    for dtype in SIXTEEN {
        let x = Tensor::from([0f32, 4.0, 0.0]).cast(dtype);
        // Infinite slopes at 0, which a slice and a selection leave out.
        let cut = |x: &Tensor| x.sqrt().slice(0, 1..2).sum(());
        let chosen = |x: &Tensor| x.greater(0.0).select(x.sqrt(), 0.0).sum(());
        let expected = Tensor::from([0f32, 0.25, 0.0]).cast(dtype);
        for f in [cut as fn(&Tensor) -> Tensor, chosen] {
            assert_eq!(grad(f)(&x), expected);
            assert_eq!(jit(grad(f)).call(&x), expected);
        }
    }
}

/// A step of a network of two layers in one type.
fn loss((w, v, x): &(Tensor, Tensor, Tensor)) -> Tensor {
    let h = x.matmul(w).gelu();
    let y = h.matmul(v).tanh();
    (&y * &y).mean(())
}

fn network(dtype: DType) -> (Tensor, Tensor, Tensor) {
    let [a, b, c] = [1, 2, 3].map(Key::new);
    (a.normal([64, 96], dtype) * 0.1, b.normal([96, 32], dtype) * 0.1, c.normal([200, 64], dtype))
}

#[test]
fn networks_learn_in_sixteen_bits() {
    for dtype in SIXTEEN {
        let args = network(dtype);
        let (value, (dw, dv, dx)) = value_and_grad(loss)(&args);
        let wide = (args.0.cast(DType::F64), args.1.cast(DType::F64), args.2.cast(DType::F64));
        let (exact, (ew, ev, ex)) = value_and_grad(loss)(&wide);
        for (got, exact) in [(value, exact), (dw, ew), (dv, ev), (dx, ex)] {
            assert_eq!(got.dtype(), dtype);
            let scale = exact.abs().max(()).item::<f64>();
            let error = (got.cast(DType::F64) - exact).abs().max(()).item::<f64>();
            assert!(error <= 8.0 * dtype.epsilon().unwrap() * scale, "{dtype}: {error} of {scale}");
        }
    }
}

#[cfg(feature = "cpu")]
mod plans {
    use gradus::Strategy;

    use super::*;

    #[test]
    fn budgets_keep_bits() {
        for dtype in SIXTEEN {
            let args = network(dtype);
            let free = jit(value_and_grad(loss)).call(&args);
            for strategy in [Strategy::Plain, Strategy::Recompute, Strategy::Rederive] {
                let (_, (dw, ..)) = jit(value_and_grad(loss)).strategy(strategy).call(&args);
                let error = (&dw - &free.1.0).abs().max(()).item::<f64>();
                let scale = dw.abs().max(()).item::<f64>();
                assert!(error <= 4.0 * dtype.epsilon().unwrap() * scale, "{strategy:?}: {error} of {scale}");
            }
            for budget in ["95%", "90%", "80%"] {
                if let Ok(results) = jit(value_and_grad(loss)).memory_budget(budget).try_call(&args) {
                    assert_eq!(results.0, free.0);
                    assert_eq!(results.1, free.1);
                }
            }
        }
    }

    #[test]
    fn what_is_kept_is_of_sixteen_bits() {
        let kept = |dtype: DType| {
            let step = jit(value_and_grad(loss));
            let plan = step.plan(&network(dtype));
            plan.residuals().iter().map(|r| (r.ty.dtype, r.bytes)).collect::<Vec<_>>()
        };
        let bytes = |all: &[(DType, usize)]| all.iter().map(|r| r.1).sum::<usize>();
        let wide = kept(DType::F32);
        for dtype in SIXTEEN {
            let short = kept(dtype);
            // Where the backward pass begins, it reads what the last product has just written.
            let singles = short.iter().filter(|r| r.0 == DType::F32).count();
            assert!(singles <= 1, "{short:?}");
            assert!(3 * bytes(&short) <= 2 * bytes(&wide), "{short:?} {wide:?}");
        }
    }
}
