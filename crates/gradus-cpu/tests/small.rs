//! Regions of up to sixteen points run as one loop over blocks; larger ones tile by tile. Both give an element the same
//! bits, and steps that are made one give the bits they have apart.

#[allow(dead_code, reason = "only its generator of numbers is used")]
mod programs;

use gradus_core::ops::*;
use gradus_core::{Array, Binary, Builder, DType, Graph, Type, Unary, Var, interpret};
use gradus_cpu::exec::Executable;
use gradus_num::Kind;
use gradus_plan::{Options, plan};
use programs::Rng;

/// A program on `n` points: everything that regions of a few points compute, each result read again and returned.
fn everything(n: usize, dtype: DType) -> Graph {
    let mut b = Builder::new();
    let ty = Type::new(dtype, [n]);
    let (x, y) = (b.input(ty.clone()), b.input(ty.clone()));
    let mask = b.emit1(Compare::Lt, &[x, y]).unwrap();
    let mut out = Vec::new();
    for &f in Unary::ALL.iter().filter(|f| f.entry().cost.0 != Kind::Special) {
        let v = b.emit1(f, &[x]).unwrap();
        out.push(b.emit1(Binary::Add, &[v, y]).unwrap());
    }
    for f in [-3, -2, -1, 0, 1, 2, 3, 4, 5].map(Unary::Powi).into_iter().chain([Unary::Erf, Unary::Erfc]) {
        out.push(b.emit1(f, &[y]).unwrap());
    }
    for &f in Binary::ALL {
        let v = b.emit1(f, &[x, y]).unwrap();
        out.push(b.emit1(Select, &[mask, v, y]).unwrap());
    }
    // Arithmetic read once, by either operand of what follows: made in pairs.
    let arithmetic = |b: &mut Builder, k: usize, x: Var, y: Var| match k {
        0 => b.emit1(Binary::Add, &[x, y]).unwrap(),
        1 => b.emit1(Binary::Sub, &[x, y]).unwrap(),
        2 => b.emit1(Binary::Mul, &[x, y]).unwrap(),
        3 => b.emit1(Binary::Div, &[x, y]).unwrap(),
        _ => b.emit1(LinearMul::RESIDUAL, &[x, y]).unwrap(),
    };
    for first in 0..5 {
        for second in 0..5 {
            let inner = arithmetic(&mut b, first, x, y);
            out.push(arithmetic(&mut b, second, inner, y));
            let inner = arithmetic(&mut b, first, x, y);
            out.push(arithmetic(&mut b, second, x, inner));
        }
    }
    for op in Compare::ALL {
        let other = b.emit1(op, &[y, x]).unwrap();
        for logic in Logic::ALL {
            let both = b.emit1(logic, &[mask, other]).unwrap();
            let neither = b.emit1(Not, &[both]).unwrap();
            out.push(b.emit1(Select, &[neither, x, y]).unwrap());
        }
    }
    b.finish(out)
}

fn run(graph: &Graph, args: &[Array]) -> Vec<Array> {
    Executable::new(plan(graph, &Options::default()).unwrap()).run(args).unwrap()
}

fn bits(x: &Array, n: usize) -> Vec<u64> {
    x.to_f64()[..n].iter().map(|v| if v.is_nan() { 1 } else { v.to_bits() }).collect()
}

/// Ordinary numbers, and those where functions change their formula or end.
fn numbers(n: usize, rng: &mut Rng, dtype: DType) -> Array {
    let special = [0.0, -0.0, 1.0, -1.0, 0.5, 1e-30, -40.0, 30.0, f64::INFINITY, f64::NAN, 3e7, -1e300];
    let v: Vec<f64> = (0..n)
        .map(|_| if rng.below(3) == 0 { special[rng.below(special.len())] } else { 6.0 * rng.unit() - 3.0 })
        .collect();
    Array::new([n], v).unwrap().cast(dtype)
}

fn first(x: &Array, n: usize) -> Array {
    Array::new([n], x.to_f64()[..n].to_vec()).unwrap().cast(x.dtype())
}

#[test]
fn a_few_points_have_the_bits_of_many() {
    for dtype in [DType::F32, DType::F64] {
        let mut rng = Rng::new(5);
        let many = [numbers(83, &mut rng, dtype), numbers(83, &mut rng, dtype)];
        let want = run(&everything(83, dtype), &many);
        for n in 1..=17 {
            let few = [first(&many[0], n), first(&many[1], n)];
            let got = run(&everything(n, dtype), &few);
            for (i, (g, w)) in got.iter().zip(&want).enumerate() {
                assert_eq!(bits(g, n), bits(w, n), "result {i} of {n} points, {dtype:?}");
            }
        }
    }
}

#[test]
fn reductions_of_a_few_points() {
    for dtype in [DType::F32, DType::F64] {
        for n in 1..=17 {
            for kind in ReduceKind::ALL {
                let mut b = Builder::new();
                let x = b.input(Type::new(dtype, [n]));
                let y = b.emit1(Unary::Sin, &[x]).unwrap();
                let sum = b.emit1(Reduce { kind, axes: [0usize].into_iter().collect() }, &[y]).unwrap();
                let all = b.emit1(Broadcast { shape: [n].into(), axes: Axes::new() }, &[sum]).unwrap();
                let out = b.emit1(Binary::Sub, &[y, all]).unwrap();
                let graph = b.finish(vec![out, sum]);
                let args = [Rng::new(n as u64).array(&Type::new(dtype, [n]))];
                let want = interpret(&graph, &args).unwrap();
                for (g, w) in run(&graph, &args).iter().zip(&want) {
                    for (g, w) in g.to_f64().iter().zip(w.to_f64()) {
                        let unit = if dtype == DType::F32 { 1e-6 } else { 1e-14 };
                        assert!((g - w).abs() <= unit * w.abs().max(1.0), "{kind:?} of {n}: {g}, not {w}");
                    }
                }
            }
        }
    }
}

/// Functions that are computed together give what each gives alone.
#[test]
fn twins_have_the_bits_of_single_functions() {
    let alone = |f: &dyn Fn(&mut Builder, Var) -> Var, x: &Array| {
        let mut b = Builder::new();
        let v = b.input(Type::new(x.dtype(), x.shape().clone()));
        let out = f(&mut b, v);
        let graph = b.finish(vec![out]);
        run(&graph, std::slice::from_ref(x)).remove(0)
    };
    let unary = |f: Unary| move |b: &mut Builder, x: Var| b.emit1(f, &[x]).unwrap();
    let half_sech2 = |b: &mut Builder, x: Var| {
        let ty = b.ty(x).clone();
        let half = b.full(&ty, 0.5);
        let x = b.emit1(Binary::Mul, &[half, x]).unwrap();
        b.emit1(Unary::Sech2, &[x]).unwrap()
    };
    type Function<'a> = &'a dyn Fn(&mut Builder, Var) -> Var;
    let (sin, cos) = (unary(Unary::Sin), unary(Unary::Cos));
    let (tanh, sech2) = (unary(Unary::Tanh), unary(Unary::Sech2));
    let (sigmoid, softplus) = (unary(Unary::Sigmoid), unary(Unary::Softplus));
    let pairs: [(Function, Function); 4] =
        [(&sin, &cos), (&tanh, &sech2), (&sigmoid, &half_sech2), (&softplus, &sigmoid)];
    for dtype in [DType::F32, DType::F64] {
        for n in [3, 4, 8, 11, 16, 17, 1000] {
            let x = numbers(n, &mut Rng::new(n as u64), dtype);
            for (k, (f, g)) in pairs.iter().enumerate() {
                for swap in [false, true] {
                    let (f, g) = if swap { (g, f) } else { (f, g) };
                    let mut b = Builder::new();
                    let v = b.input(Type::new(dtype, [n]));
                    let first = f(&mut b, v);
                    let second = g(&mut b, v);
                    let both = b.emit1(Binary::Mul, &[first, second]).unwrap();
                    let graph = b.finish(vec![both, second, first]);
                    let executable = Executable::new(plan(&graph, &Options::default()).unwrap());
                    let got = executable.run(std::slice::from_ref(&x)).unwrap();
                    let apart = [alone(*f, &x), alone(*g, &x)];
                    assert_eq!(bits(&got[2], n), bits(&apart[0], n), "pair {k}, {dtype:?}, {n}");
                    assert_eq!(bits(&got[1], n), bits(&apart[1], n), "pair {k}, {dtype:?}, {n}");
                    // In place of the argument.
                    let given = executable.run_owned(vec![first_copy(&x)]).unwrap();
                    for (a, b) in given.iter().zip(&got) {
                        assert_eq!(bits(a, n), bits(b, n), "pair {k} in place, {dtype:?}, {n}");
                    }
                }
            }
        }
    }
}

fn first_copy(x: &Array) -> Array {
    first(x, x.size())
}
