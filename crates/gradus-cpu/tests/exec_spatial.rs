//! Convolutions and pooling inside programs equal the interpreter, derivatives included.

use std::sync::Arc;

use gradus_core::ops::{Conv, MaxPool, Reduce, ReduceKind, SumPool, Window};
use gradus_core::transforms::value_and_grad;
use gradus_core::{Array, Binary, Builder, DType, Graph, Op, Type, Unary, Var, interpret};
use gradus_cpu::Pool;
use gradus_cpu::exec::Executable;
use gradus_plan::{Options, plan};

fn numbers(shape: &[usize], dtype: DType, seed: u64) -> Array {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let v: Vec<f64> = (0..shape.iter().product::<usize>())
        .map(|_| {
            state = state.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
            (state >> 11) as f64 / (1u64 << 52) as f64 - 1.0
        })
        .collect();
    Array::new(shape, v).unwrap().cast(dtype)
}

/// The sum of squares of an operation's first result.
fn loss(op: impl Into<Op>, types: &[Type]) -> Graph {
    let mut b = Builder::new();
    let args: Vec<Var> = types.iter().map(|ty| b.input(ty.clone())).collect();
    let y = b.emit(op.into(), &args).unwrap()[0];
    let y = b.emit1(Unary::Powi(2), &[y]).unwrap();
    let axes = (0..b.shape(y).rank()).collect();
    let y = b.emit1(Reduce { kind: ReduceKind::Sum, axes }, &[y]).unwrap();
    b.finish(vec![y])
}

fn check(op: impl Into<Op>, shapes: &[&[usize]], dtype: DType) {
    let types: Vec<Type> = shapes.iter().map(|s| Type::new(dtype, *s)).collect();
    let args: Vec<Array> = shapes.iter().enumerate().map(|(i, s)| numbers(s, dtype, 3 + i as u64)).collect();
    let graph = value_and_grad(&loss(op, &types), &vec![true; shapes.len()]).unwrap();
    let want = interpret(&graph, &args).unwrap();
    // With the workspace that the kernels asked for, and without; on one thread and on several.
    let with = Options { target: gradus_cpu::target().unwrap(), ..Options::default() };
    let got = Executable::new(plan(&graph, &with).unwrap()).run(&args).unwrap();
    for (options, threads) in [(with, 3), (Options::default(), 1)] {
        let pool = Arc::new(Pool::new(threads));
        let again = Executable::with_pool(plan(&graph, &options).unwrap(), pool).run(&args).unwrap();
        for (a, b) in again.iter().zip(&got) {
            assert_eq!(a.to_f64(), b.to_f64(), "{threads} threads");
        }
    }
    let tolerance = if dtype == DType::F32 { 2e-4 } else { 1e-11 };
    for (got, want) in got.iter().zip(&want) {
        let size = want.to_f64().iter().fold(1.0f64, |m, x| m.max(x.abs()));
        for (g, w) in got.to_f64().iter().zip(want.to_f64()) {
            assert!((g - w).abs() <= tolerance * size, "{g} instead of {w} in\n{graph}");
        }
    }
}

#[test]
fn convolutions_and_their_gradients() {
    for dtype in [DType::F32, DType::F64] {
        check(Conv::new(2), &[&[2, 3, 7, 6], &[4, 3, 3, 2]], dtype);
        let mut c = Conv::new(2);
        (c.stride, c.low, c.high) =
            ([2, 1].into_iter().collect(), [1, 2].into_iter().collect(), [1, 0].into_iter().collect());
        check(c.clone(), &[&[2, 3, 7, 6], &[4, 3, 3, 2]], dtype);
        c.rhs_dilation = [1, 2].into_iter().collect();
        check(c.clone(), &[&[2, 4, 8, 9], &[6, 4, 3, 3]], dtype);
        c.feature_groups = 2;
        check(c.clone(), &[&[2, 4, 8, 9], &[6, 2, 3, 3]], dtype);
        c.feature_groups = 4;
        check(c, &[&[3, 4, 8, 9], &[4, 1, 3, 3]], dtype);
        check(Conv::new(1), &[&[2, 3, 9], &[5, 3, 4]], dtype);
        check(Conv::new(3), &[&[1, 2, 4, 5, 4], &[3, 2, 2, 2, 2]], dtype);
        check(Conv::new(2), &[&[2, 8, 5, 5], &[4, 8, 1, 1]], dtype);
        let mut spread = Conv::new(2);
        (spread.lhs_dilation, spread.low, spread.high) =
            ([2, 2].into_iter().collect(), [1, -1].into_iter().collect(), [1, 2].into_iter().collect());
        check(spread, &[&[2, 3, 5, 4], &[2, 3, 3, 3]], dtype);
    }
}

#[test]
fn pooling_and_its_gradients() {
    for dtype in [DType::F32, DType::F64] {
        check(MaxPool { window: Window::tiles(&[2, 2]) }, &[&[2, 3, 6, 8]], dtype);
        check(SumPool { window: Window::tiles(&[2, 2]) }, &[&[2, 3, 6, 8]], dtype);
        let mut window = Window::tiles(&[3, 2]);
        window.stride = [2, 1].into_iter().collect();
        window.low = [1, 0].into_iter().collect();
        window.high = [1, 1].into_iter().collect();
        window.dilation = [1, 2].into_iter().collect();
        check(MaxPool { window: window.clone() }, &[&[2, 7, 9]], dtype);
        check(SumPool { window }, &[&[2, 7, 9]], dtype);
        check(MaxPool { window: Window::tiles(&[4]) }, &[&[12]], dtype);
    }
}

#[test]
fn maxima_name_their_place_as_the_reference_does() {
    let mut b = Builder::new();
    let x = b.input(Type::new(DType::F32, [2, 5, 5]));
    let mut window = Window::tiles(&[2, 3]);
    window.stride = [2, 2].into_iter().collect();
    window.low = [1, 1].into_iter().collect();
    let out = b.emit(MaxPool { window }, &[x]).unwrap().to_vec();
    let graph = b.finish(out);
    let mut x = numbers(&[2, 5, 5], DType::F32, 9);
    let v = x.elements_mut::<f32>().unwrap();
    (v[3], v[4], v[11], v[30]) = (2.0, 2.0, f32::NAN, f32::INFINITY);
    let want = interpret(&graph, std::slice::from_ref(&x)).unwrap();
    let got = Executable::new(gradus_plan::plan(&graph, &Default::default()).unwrap()).run(&[x]).unwrap();
    assert_eq!(got[1], want[1]);
    assert_eq!(format!("{}", got[0]), format!("{}", want[0]));
}

#[test]
fn dead_tangents_in_convolutions() {
    let mut linear = Conv::new(1);
    linear.tangents = [true, true];
    let mut b = Builder::new();
    let (x, k) = (b.input(Type::new(DType::F64, [1, 1, 4])), b.input(Type::new(DType::F64, [1, 1, 2])));
    let y = b.emit1(linear, &[x, k]).unwrap();
    let y = b.emit1(Binary::Add, &[y, y]).unwrap();
    let graph = b.finish(vec![y]);
    let args = [
        Array::new([1, 1, 4], vec![f64::INFINITY, 1.0, 2.0, 3.0]).unwrap(),
        Array::new([1, 1, 2], vec![-0.0, 1.0]).unwrap(),
    ];
    // With the workspace that the kernels asked for, and without; on one thread and on several.
    let with = Options { target: gradus_cpu::target().unwrap(), ..Options::default() };
    let got = Executable::new(plan(&graph, &with).unwrap()).run(&args).unwrap();
    for (options, threads) in [(with, 3), (Options::default(), 1)] {
        let pool = Arc::new(Pool::new(threads));
        let again = Executable::with_pool(plan(&graph, &options).unwrap(), pool).run(&args).unwrap();
        for (a, b) in again.iter().zip(&got) {
            assert_eq!(a.to_f64(), b.to_f64(), "{threads} threads");
        }
    }
    assert_eq!(got[0].to_f64(), [2.0, 4.0, 6.0]);
}
