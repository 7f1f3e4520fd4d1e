//! Functions that share work with others, in one region with steps that have no operands: indices along an axis.

use gradus::{DType, Tensor, grad, jit};

type Function = fn(&Tensor) -> Tensor;
const FUNCTIONS: [Function; 4] = [Tensor::softplus, Tensor::sigmoid, Tensor::tanh, Tensor::sin];

fn ramp(shape: [usize; 2], dtype: DType) -> Tensor {
    let n = shape[0] * shape[1];
    let v: Vec<f64> = (0..n).map(|i| 0.01 * i as f64 - 0.3).collect();
    Tensor::new(shape, v).unwrap().cast(dtype)
}

#[test]
fn gradients_of_picked_values() {
    for f in FUNCTIONS {
        let loss = move |x: &Tensor| {
            let v = f(x);
            v.take_along_axis(&Tensor::from([1i64]), 0).square().sum(()) + v.sum(())
        };
        let x = Tensor::from([0.3, -0.7, 1.2]);
        let (at_once, compiled) = (grad(loss)(&x).to_vec::<f64>(), jit(grad(loss)).call(&x).to_vec::<f64>());
        assert_eq!(at_once, compiled);
        for (i, found) in at_once.iter().enumerate() {
            let step = |h: f64| -> f64 {
                let mut v = x.to_vec::<f64>();
                v[i] += h;
                loss(&Tensor::new([3], v).unwrap()).item()
            };
            let expected = (step(1e-5) - step(-1e-5)) / 2e-5;
            assert!((found - expected).abs() < 1e-8, "{found} {expected}");
        }
    }
}

#[test]
fn triangles_of_functions() {
    for (shape, dtype) in
        [([60, 51], DType::F32), ([60, 51], DType::F64), ([3, 2], DType::F32), ([1, 1], DType::F64)]
    {
        let x = ramp(shape, dtype);
        for f in FUNCTIONS {
            for offset in [-1, 0, 2] {
                let compiled =
                    jit(move |x: &Tensor| f(x).tril(offset)).call(&x).cast(DType::F64).to_vec::<f64>();
                let full = f(&x).cast(DType::F64).to_vec::<f64>();
                for (i, (found, v)) in compiled.iter().zip(full).enumerate() {
                    let (row, column) = ((i / shape[1]) as isize, (i % shape[1]) as isize);
                    assert_eq!(*found, if column <= row + offset { v } else { 0.0 });
                }
                let (upper, whole) = (jit(move |x: &Tensor| f(x).triu(offset + 1)).call(&x), f(&x));
                let sum = (upper + jit(move |x: &Tensor| f(x).tril(offset)).call(&x)).cast(DType::F64);
                assert_eq!(sum.to_vec::<f64>(), whole.cast(DType::F64).to_vec::<f64>());
            }
        }
    }
}
