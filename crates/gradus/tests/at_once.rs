//! Element-wise functions of a few concrete elements are computed on the spot, without a program: the same bits, shapes and
//! errors as compiled.

use gradus::{DType, Tensor, jit};

fn bits(x: &Tensor) -> Vec<u64> {
    x.cast(DType::F64).to_vec::<f64>().iter().map(|v| if v.is_nan() { 1 } else { v.to_bits() }).collect()
}

fn numbers(n: usize, dtype: DType) -> Tensor {
    let v: Vec<f64> = (0..n)
        .map(|i| match i % 9 {
            3 => 0.0,
            5 => -0.0,
            7 => f64::INFINITY,
            8 => f64::NAN,
            _ => 0.37 * i as f64 - 2.0,
        })
        .collect();
    Tensor::new([n], v).unwrap().cast(dtype)
}

#[test]
fn functions_have_the_bits_of_programs() {
    type Function = fn(&Tensor) -> Tensor;
    let functions: [Function; 10] = [
        Tensor::exp,
        Tensor::sin,
        Tensor::tanh,
        Tensor::sech2,
        Tensor::sigmoid,
        Tensor::erf,
        Tensor::abs,
        Tensor::rsqrt,
        Tensor::lgamma,
        |x| x.powi(3),
    ];
    for dtype in [DType::F32, DType::F64] {
        // Beyond 256 elements a program runs.
        for n in [0, 1, 4, 17, 255, 256, 257] {
            let x = numbers(n, dtype);
            for (i, &f) in functions.iter().enumerate() {
                let (at_once, compiled) = (f(&x), jit(f).call(&x));
                assert_eq!((at_once.shape(), at_once.dtype()), (compiled.shape(), compiled.dtype()));
                assert_eq!(bits(&at_once), bits(&compiled), "function {i} of {n}, {dtype:?}");
            }
        }
    }
}

#[test]
fn operators_have_the_bits_of_programs() {
    type Operator = fn(&Tensor, &Tensor) -> Tensor;
    let operators: [Operator; 6] =
        [|x, y| x + y, |x, y| x - y, |x, y| x * y, |x, y| x / y, |x, y| x.maximum(y), |x, y| x.pow(y)];
    for dtype in [DType::F32, DType::F64] {
        let (x, row) = (numbers(12, dtype).reshape([3, 4]), numbers(4, dtype));
        let (column, scalar) = (numbers(3, dtype).reshape([3, 1]), Tensor::from(1.5).cast(dtype));
        // Equal shapes and scalars on the spot; other broadcasts by a program.
        for (a, b) in
            [(&x, &x), (&x, &scalar), (&scalar, &x), (&scalar, &scalar), (&x, &row), (&column, &row)]
        {
            for (i, &f) in operators.iter().enumerate() {
                let compiled = jit(move |(a, b): &(Tensor, Tensor)| f(a, b)).call(&(a.clone(), b.clone()));
                let at_once = f(a, b);
                assert_eq!((at_once.shape(), at_once.dtype()), (compiled.shape(), compiled.dtype()));
                assert_eq!(bits(&at_once), bits(&compiled), "operator {i}, {dtype:?}");
            }
        }
    }
}

#[test]
fn other_dtypes_and_errors() {
    let whole = Tensor::from([7i32, -3, 2]);
    assert_eq!((&whole + &whole).to_vec::<i32>(), [14, -6, 4]);
    assert_eq!((-&whole).to_vec::<i32>(), [-7, 3, -2]);
    let mixed = std::panic::catch_unwind(|| Tensor::from([1f32, 2.0]) + Tensor::from([1f64, 2.0]));
    assert!(mixed.is_err(), "dtypes never promote silently");
    let unequal = std::panic::catch_unwind(|| Tensor::from([1f32, 2.0]) * Tensor::from([1f32, 2.0, 3.0]));
    assert!(unequal.is_err(), "shapes that do not fit are no product");
    assert!(
        std::panic::catch_unwind(|| Tensor::from([1i32, 2]).exp()).is_err(),
        "integers have no exponential"
    );
}
