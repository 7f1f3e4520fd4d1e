//! Sorting, indices of extrema, random bits, products and quotients of integers: what the reference gives, bit for bit,
//! for any number of threads.

#[allow(dead_code, reason = "only its generator of numbers is used")]
mod programs;

use std::sync::Arc;

use gradus_core::ops::*;
use gradus_core::{Array, Binary, Builder, DType, Graph, Type, interpret};
use gradus_cpu::Pool;
use gradus_cpu::exec::Executable;
use gradus_plan::{Options, plan};
use programs::Rng;

const TYPES: [DType; 5] = [DType::F32, DType::F64, DType::I32, DType::I64, DType::U8];

/// Numbers with many ties, both zeros, infinities and NaN, as far as the dtype has them.
fn numbers(shape: &[usize], dtype: DType, rng: &mut Rng) -> Array {
    let special = [0.0, -0.0, f64::INFINITY, f64::NEG_INFINITY, f64::NAN, 1e30, -1e30];
    let n = shape.iter().product();
    let v: Vec<f64> = (0..n)
        .map(|_| match rng.below(5) {
            0 => special[rng.below(special.len())],
            1 => rng.below(7) as f64 - 3.0,
            _ => 200.0 * rng.unit() - 100.0,
        })
        .collect();
    Array::new(shape.to_vec(), v).unwrap().cast(dtype)
}

fn bits(x: &Array) -> Vec<u64> {
    match x.dtype() {
        DType::I64 => x.elements::<i64>().unwrap().iter().map(|&v| v as u64).collect(),
        _ => x.to_f64().iter().map(|v| if v.is_nan() { 1 } else { v.to_bits() }).collect(),
    }
}

fn check(graph: &Graph, args: &[Array]) {
    let want = interpret(graph, args);
    for threads in [1, 2, 3] {
        let plan = plan(graph, &Options::default()).unwrap();
        let got = Executable::with_pool(plan, Arc::new(Pool::new(threads))).run(args);
        match (&got, &want) {
            (Ok(got), Ok(want)) => {
                for (g, w) in got.iter().zip(want) {
                    assert_eq!((g.dtype(), g.shape()), (w.dtype(), w.shape()));
                    assert_eq!(bits(g), bits(w), "{threads} threads\n{graph}");
                }
            }
            (Err(got), Err(want)) => assert_eq!(got.to_string(), want.to_string()),
            _ => panic!("{got:?}, not {want:?}\n{graph}"),
        }
    }
}

const SHAPES: [&[usize]; 9] =
    [&[1], &[7], &[300], &[5, 33], &[33, 5], &[4, 1, 6], &[3, 40, 150], &[0, 3], &[2, 1000]];

#[test]
fn sorting() {
    let mut rng = Rng::new(1);
    for dtype in TYPES {
        for shape in SHAPES {
            for axis in 0..shape.len() {
                for descending in [false, true] {
                    let mut b = Builder::new();
                    let x = b.input(Type::new(dtype, shape));
                    let out = b.emit(Sort { axis, descending }, &[x]).unwrap();
                    let graph = b.finish(out.to_vec());
                    check(&graph, &[numbers(shape, dtype, &mut rng)]);
                }
            }
        }
    }
}

#[test]
fn long_lines_are_merged() {
    for (dtype, shape) in [(DType::F32, [1, 200_001]), (DType::I64, [2, 70_000])] {
        let mut b = Builder::new();
        let x = b.input(Type::new(dtype, shape));
        let out = b.emit(Sort { axis: 1, descending: dtype == DType::F32 }, &[x]).unwrap();
        check(&b.finish(out.to_vec()), &[numbers(&shape, dtype, &mut Rng::new(2))]);
    }
}

#[test]
fn indices_of_extrema() {
    let mut rng = Rng::new(3);
    for dtype in TYPES {
        for shape in SHAPES {
            for axis in (0..shape.len()).filter(|&axis| shape[axis] > 0) {
                for max in [false, true] {
                    let mut b = Builder::new();
                    let x = b.input(Type::new(dtype, shape));
                    let out = b.emit1(ArgReduce { max, axis }, &[x]).unwrap();
                    let graph = b.finish(vec![out]);
                    check(&graph, &[numbers(shape, dtype, &mut rng)]);
                    // Without NaN, too.
                    let ordinary: Vec<f64> =
                        (0..shape.iter().product::<usize>()).map(|_| (20.0 * rng.unit()).floor()).collect();
                    check(&graph, &[Array::new(shape.to_vec(), ordinary).unwrap().cast(dtype)]);
                }
            }
        }
    }
}

#[test]
fn random_bits() {
    for bits in [1, 8, 24, 31, 32, 53, 63] {
        for shape in [&[][..], &[1], &[3], &[63], &[64], &[65], &[5, 41], &[40_000], &[0]] {
            for keys in [&[][..], &[3], &[2, 2]] {
                let mut b = Builder::new();
                let key = b.input(Type::new(DType::I64, keys));
                let out = b.emit1(RandomBits { shape: shape.into(), bits }, &[key]).unwrap();
                let n = keys.iter().product::<usize>();
                let values = (0..n as i64).map(|k| k * 0x1234_5678_9abc - 77).collect::<Vec<i64>>();
                check(&b.finish(vec![out]), &[Array::new(keys.to_vec(), values).unwrap()]);
            }
        }
    }
}

fn integers(shape: &[usize], dtype: DType, rng: &mut Rng) -> Array {
    let n = shape.iter().product();
    let v: Vec<i64> = (0..n).map(|_| (rng.next() >> (rng.below(60) + 1)) as i64 - 1000).collect();
    Array::new(shape.to_vec(), v).unwrap().cast(dtype)
}

#[test]
fn products_of_integers() {
    let mut rng = Rng::new(4);
    let turned = Dot {
        lhs_batch: [1usize].into_iter().collect(),
        rhs_batch: [0usize].into_iter().collect(),
        lhs_contract: [0usize, 3].into_iter().collect(),
        rhs_contract: [3usize, 1].into_iter().collect(),
        tangents: [false; 2],
        numbers: false,
    };
    for dtype in [DType::I32, DType::I64, DType::U8] {
        let cases: [(Dot, &[usize], &[usize]); 6] = [
            (Dot::matmul(0), &[3, 5], &[5, 4]),
            (Dot::matmul(0), &[1, 300], &[300, 1]),
            (Dot::matmul(0), &[65, 33], &[33, 97]),
            (Dot::matmul(1), &[3, 20, 7], &[3, 7, 40]),
            (Dot::matmul(0), &[4, 0], &[0, 3]),
            (turned.clone(), &[3, 2, 5, 4], &[2, 4, 6, 3]),
        ];
        for (dot, x, y) in cases {
            let mut b = Builder::new();
            let args = [b.input(Type::new(dtype, x)), b.input(Type::new(dtype, y))];
            let out = b.emit1(dot, &args).unwrap();
            let graph = b.finish(vec![out]);
            check(&graph, &[integers(x, dtype, &mut rng), integers(y, dtype, &mut rng)]);
        }
    }
}

#[test]
fn quotients_of_integers() {
    let mut rng = Rng::new(5);
    for dtype in [DType::I32, DType::I64, DType::U8] {
        for op in [Binary::Div, Binary::Rem] {
            for n in [0, 1, 20_000] {
                let mut b = Builder::new();
                let args = [b.input(Type::new(dtype, [n])), b.input(Type::new(dtype, [n]))];
                let out = b.emit1(op, &args).unwrap();
                let graph = b.finish(vec![out]);
                let x = integers(&[n], dtype, &mut rng);
                let divisors: Vec<i64> = (0..n).map(|_| [-1, 1, 7, 3, 250][rng.below(5)]).collect();
                check(&graph, &[x.clone(), Array::new([n], divisors.clone()).unwrap().cast(dtype)]);
                if n > 1 {
                    let mut zero = divisors;
                    zero[n / 2] = 0;
                    check(&graph, &[x, Array::new([n], zero).unwrap().cast(dtype)]);
                }
            }
        }
    }
}
