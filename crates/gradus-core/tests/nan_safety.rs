//! A selection next to a singularity has a finite, correct gradient in both modes, whatever stands between the two;
//! a NaN of the primal is never hidden.

use gradus_core::ops::{
    Broadcast, Compare, Conv, Cumulative, CumulativeKind, Dot, Gather, Pad, Reduce, ReduceKind, Scan, Select,
    Sort, SumPool, Window,
};
use gradus_core::table::probe::{floats, pullback, pushforward};
use gradus_core::transforms::{value_and_grad, vmap};
use gradus_core::{Array, Binary, Builder, DType, Graph, Type, Unary, Var, interpret};

fn floats_of(shape: &[usize]) -> Type {
    Type::new(DType::F64, shape)
}

fn arr(shape: &[usize], v: &[f64]) -> Array {
    Array::new(shape, v.to_vec()).unwrap()
}

fn flags(v: &[bool]) -> Array {
    Array::new([v.len()], v.to_vec()).unwrap()
}

/// The program of a function of one float tensor; everything else is written into it or given as masks.
fn program(inputs: &[Type], f: impl FnOnce(&mut Builder, &[Var]) -> Var) -> Graph {
    let mut b = Builder::new();
    let args: Vec<Var> = inputs.iter().map(|ty| b.input(ty.clone())).collect();
    let out = f(&mut b, &args);
    let total = sum(&mut b, out);
    b.finish(vec![total])
}

fn sum(b: &mut Builder, v: Var) -> Var {
    let axes = (0..b.shape(v).rank()).collect();
    b.emit1(Reduce { kind: ReduceKind::Sum, axes }, &[v]).unwrap()
}

fn reduce(b: &mut Builder, v: Var, kind: ReduceKind, axis: usize) -> Var {
    b.emit1(Reduce { kind, axes: [axis].into_iter().collect() }, &[v]).unwrap()
}

/// `where(mask, x, 0)`
fn kept(b: &mut Builder, mask: Var, x: Var) -> Var {
    let zero = b.zeros_like(x);
    b.emit1(Select, &[mask, x, zero]).unwrap()
}

/// Checks the gradient with respect to the float inputs, in reverse mode and along every axis in forward mode.
fn check(what: &str, graph: &Graph, args: &[Array], expected: &[&[f64]]) {
    let wrt = floats(graph);
    let out = interpret(&value_and_grad(graph, &wrt).unwrap(), args).unwrap();
    assert!(out[0].to_f64()[0].is_finite(), "{what}: the value itself");
    let forward = pushforward(graph, &wrt).unwrap();
    let active: Vec<usize> = (0..args.len()).filter(|&i| wrt[i]).collect();
    for (slot, (&i, expected)) in active.iter().zip(expected).enumerate() {
        let reverse = out[1 + slot].to_f64();
        for k in 0..args[i].size() {
            let mut all = args.to_vec();
            for &j in &active {
                let mut t = vec![0.0; args[j].size()];
                if i == j {
                    t[k] = 1.0;
                }
                all.push(arr(args[j].shape(), &t));
            }
            let along = interpret(&forward, &all).unwrap()[0].to_f64()[0];
            let (back, right) = (reverse[k], expected[k]);
            let same = |found: f64| (found - right).abs() < 1e-12 || found.is_nan() && right.is_nan();
            assert!(same(back), "{what}: reverse {back}, expected {right} at {k}");
            assert!(same(along), "{what}: forward {along}, expected {right} at {k}");
        }
    }
}

/// `where(x > 0, f(x), 0)`
fn guarded(op: Unary) -> impl FnOnce(&mut Builder, &[Var]) -> Var {
    move |b, a| {
        let zero = b.zeros_like(a[0]);
        let positive = b.emit1(Compare::Gt, &[a[0], zero]).unwrap();
        let y = b.emit1(op, &[a[0]]).unwrap();
        kept(b, positive, y)
    }
}

#[test]
fn the_selection_alone() {
    let x = [arr(&[3], &[0.0, 4.0, -1.0])];
    check(
        "where(x > 0, √x, 0)",
        &program(&[floats_of(&[3])], guarded(Unary::Sqrt)),
        &x,
        &[&[0.0, 0.25, 0.0]],
    );
    check(
        "where(x > 0, ln x, 0)",
        &program(&[floats_of(&[3])], guarded(Unary::Log)),
        &x,
        &[&[0.0, 0.25, 0.0]],
    );
    check(
        "where(x > 0, 1/x, 0)",
        &program(&[floats_of(&[3])], guarded(Unary::Recip)),
        &x,
        &[&[0.0, -0.0625, 0.0]],
    );
    let g = program(&[floats_of(&[3])], |b, a| {
        let one = b.full(&floats_of(&[3]), 1.0);
        let small = b.emit1(Compare::Lt, &[a[0], one]).unwrap();
        let root = b.emit1(Unary::Sqrt, &[a[0]]).unwrap();
        b.emit1(Select, &[small, a[0], root]).unwrap()
    });
    check("where(x < 1, x, √x)", &g, &x, &[&[1.0, 0.25, 1.0]]);
}

#[test]
fn norms_at_zero() {
    let guarded = program(&[floats_of(&[3])], |b, a| {
        let squares = b.emit1(Binary::Mul, &[a[0], a[0]]).unwrap();
        let total = sum(b, squares);
        let zero = b.zeros_like(total);
        let positive = b.emit1(Compare::Gt, &[total, zero]).unwrap();
        let norm = b.emit1(Unary::Sqrt, &[total]).unwrap();
        kept(b, positive, norm)
    });
    let plain = program(&[floats_of(&[3])], |b, a| {
        let squares = b.emit1(Binary::Mul, &[a[0], a[0]]).unwrap();
        let total = sum(b, squares);
        b.emit1(Unary::Sqrt, &[total]).unwrap()
    });
    for (what, g) in [("guarded norm", &guarded), ("norm", &plain)] {
        check(what, g, &[arr(&[3], &[0.0, 3.0, 4.0])], &[&[0.0, 0.6, 0.8]]);
    }
    check("guarded norm", &guarded, &[arr(&[3], &[0.0; 3])], &[&[0.0; 3]]);
    // Its derivative is ∞ times the number 0.
    check("norm", &plain, &[arr(&[3], &[0.0; 3])], &[&[f64::NAN; 3]]);
}

#[test]
fn a_reduction_between() {
    let types = [Type::new(DType::Bool, []), floats_of(&[2])];
    let g = program(&types, |b, a| {
        let total = sum(b, a[1]);
        let log = b.emit1(Unary::Log, &[total]).unwrap();
        kept(b, a[0], log)
    });
    check("where(m, ln Σx, 0)", &g, &[Array::scalar(false), arr(&[2], &[0.0; 2])], &[&[0.0; 2]]);
    check("where(m, ln Σx, 0)", &g, &[Array::scalar(true), arr(&[2], &[1.0; 2])], &[&[0.5; 2]]);
    // Row 0 is masked and holds a singularity; row 1 is not and does not.
    let x = arr(&[2, 2], &[0.0, -1.0, 1.0, 2.0]);
    for (kind, expected) in [
        (ReduceKind::Sum, [0.0, 0.0, 1.0, 0.5]),
        (ReduceKind::Prod, [0.0, 0.0, 2f64.ln(), 0.0]),
        (ReduceKind::Max, [0.0, 0.0, 0.0, 0.5]),
        (ReduceKind::Min, [0.0, 0.0, 1.0, 0.0]),
    ] {
        let g = program(&[Type::new(DType::Bool, [2]), floats_of(&[2, 2])], |b, a| {
            let log = b.emit1(Unary::Log, &[a[1]]).unwrap();
            let row = reduce(b, log, kind, 1);
            kept(b, a[0], row)
        });
        check(&format!("{kind:?} of rows"), &g, &[flags(&[false, true]), x.clone()], &[&expected]);
    }
}

#[test]
fn a_product_between() {
    // Row 0 of ln x is infinite and masked after the product.
    let types = [Type::new(DType::Bool, [2]), floats_of(&[2, 2]), floats_of(&[2, 2])];
    let g = program(&types, |b, a| {
        let log = b.emit1(Unary::Log, &[a[1]]).unwrap();
        let product = b.emit1(Dot::matmul(0), &[log, a[2]]).unwrap();
        let shape = b.shape(product).clone();
        let mask = b.emit1(Broadcast { shape, axes: [0].into_iter().collect() }, &[a[0]]).unwrap();
        kept(b, mask, product)
    });
    let args =
        [flags(&[false, true]), arr(&[2, 2], &[0.0, -1.0, 1.0, 2.0]), arr(&[2, 2], &[1.0, 2.0, 3.0, 4.0])];
    let log = 2f64.ln();
    check("a matrix product", &g, &args, &[&[0.0, 0.0, 3.0, 3.5], &[0.0, 0.0, log, log]]);
    // The same with the singular factor on the other side, the masked column infinite.
    let g = program(&types, |b, a| {
        let log = b.emit1(Unary::Log, &[a[1]]).unwrap();
        let product = b.emit1(Dot::matmul(0), &[a[2], log]).unwrap();
        let shape = b.shape(product).clone();
        let mask = b.emit1(Broadcast { shape, axes: [1].into_iter().collect() }, &[a[0]]).unwrap();
        kept(b, mask, product)
    });
    let args =
        [flags(&[false, true]), arr(&[2, 2], &[0.0, 1.0, -1.0, 2.0]), arr(&[2, 2], &[1.0, 2.0, 3.0, 4.0])];
    check("a product from the right", &g, &args, &[&[0.0, 4.0, 0.0, 3.0], &[0.0, log, 0.0, log]]);
    // A convolution whose first example is masked.
    let types = [Type::new(DType::Bool, [2]), floats_of(&[2, 1, 2]), floats_of(&[1, 1, 1])];
    let g = program(&types, |b, a| {
        let log = b.emit1(Unary::Log, &[a[1]]).unwrap();
        let out = b.emit1(Conv::new(1), &[log, a[2]]).unwrap();
        let shape = b.shape(out).clone();
        let mask = b.emit1(Broadcast { shape, axes: [0].into_iter().collect() }, &[a[0]]).unwrap();
        kept(b, mask, out)
    });
    let args = [flags(&[false, true]), arr(&[2, 1, 2], &[0.0, -1.0, 1.0, 2.0]), arr(&[1, 1, 1], &[3.0])];
    check("a convolution", &g, &args, &[&[0.0, 0.0, 3.0, 1.5], &[log]]);
}

#[test]
fn indexing_and_windows_between() {
    let mask = || Type::new(DType::Bool, [2]);
    let args = [flags(&[false, true]), arr(&[2], &[0.0, 4.0])];
    let gather = program(&[mask(), floats_of(&[2])], |b, a| {
        let root = b.emit1(Unary::Sqrt, &[a[1]]).unwrap();
        let whole = Type::new(DType::I64, [2]);
        let ones = b.full(&whole, 1.0);
        let zeros = b.full(&whole, 0.0);
        let indices = b.emit1(Select, &[a[0], ones, zeros]).unwrap();
        let read = b.emit1(Gather { axis: 0, batch: 0, from_end: true }, &[root, indices]).unwrap();
        kept(b, a[0], read)
    });
    check("a gather", &gather, &args, &[&[0.0, 0.25]]);
    let sorted = program(&[mask(), floats_of(&[2])], |b, a| {
        let root = b.emit1(Unary::Sqrt, &[a[1]]).unwrap();
        let sorted = b.emit(Sort { axis: 0, descending: false }, &[root]).unwrap()[0];
        kept(b, a[0], sorted)
    });
    check("a sort", &sorted, &args, &[&[0.0, 0.25]]);
    // Running from the regular element to the singular one, of which only the first sum counts.
    let args = [flags(&[true, false]), arr(&[2], &[4.0, 0.0])];
    for kind in CumulativeKind::ALL {
        let g = program(&[mask(), floats_of(&[2])], |b, a| {
            let root = b.emit1(Unary::Sqrt, &[a[1]]).unwrap();
            let running = b.emit1(Cumulative { kind, axis: 0, reverse: false }, &[root]).unwrap();
            kept(b, a[0], running)
        });
        check(&format!("a running {kind:?}"), &g, &args, &[&[0.25, 0.0]]);
    }
    let pooled = program(&[mask(), floats_of(&[2])], |b, a| {
        let root = b.emit1(Unary::Sqrt, &[a[1]]).unwrap();
        let pooled = b.emit1(SumPool { window: Window::tiles(&[1]) }, &[root]).unwrap();
        let pad = Pad {
            dead: false,
            low: [0].into_iter().collect(),
            high: [0].into_iter().collect(),
            interior: [0].into_iter().collect(),
        };
        let padded = b.emit1(pad, &[pooled]).unwrap();
        kept(b, a[0], padded)
    });
    check("a pool", &pooled, &args, &[&[0.25, 0.0]]);
}

#[test]
fn inside_a_loop_in_a_batch_and_twice() {
    let body = {
        let mut b = Builder::new();
        let (s, x) = (b.input(floats_of(&[])), b.input(floats_of(&[])));
        let zero = b.zeros_like(x);
        let positive = b.emit1(Compare::Gt, &[x, zero]).unwrap();
        let root = b.emit1(Unary::Sqrt, &[x]).unwrap();
        let root = kept(&mut b, positive, root);
        let s = b.emit1(Binary::Add, &[s, root]).unwrap();
        std::sync::Arc::new(b.finish(vec![s]))
    };
    let g = program(&[floats_of(&[]), floats_of(&[3])], |b, a| {
        let scan = Scan { constants: 0, carry: 1, length: 3, reverse: false, body, checkpoints: None };
        b.emit1(scan, a).unwrap()
    });
    let args = [arr(&[], &[1.0]), arr(&[3], &[0.0, 4.0, -1.0])];
    check("a loop", &g, &args, &[&[1.0], &[0.0, 0.25, 0.0]]);

    let g = program(&[floats_of(&[2])], guarded(Unary::Sqrt));
    let back = pullback(&g, &[true]).unwrap();
    let many = vmap(&back, &[true, false], 2).unwrap();
    let out = interpret(&many, &[arr(&[2, 2], &[0.0, 4.0, 1.0, 0.0]), arr(&[], &[1.0])]).unwrap();
    assert_eq!(out[0].to_f64(), [0.0, 0.25, 0.5, 0.0]);

    let slope = program(&[floats_of(&[2])], |b, a| {
        let one = b.full(&floats_of(&[]), 1.0);
        b.inline(&back, &[a[0], one]).unwrap()[0]
    });
    check("the second derivative", &slope, &[arr(&[2], &[0.0, 4.0])], &[&[0.0, -1.0 / 32.0]]);
}

#[test]
fn nothing_of_the_primal_is_hidden() {
    let nan = f64::NAN;
    let product = program(&[floats_of(&[2]), floats_of(&[2])], |b, a| b.emit1(Binary::Mul, a).unwrap());
    let out = interpret(&product, &[arr(&[2], &[0.0, 1.0]), arr(&[2], &[nan, 1.0])]).unwrap();
    assert!(out[0].to_f64()[0].is_nan());
    let dot = program(&[floats_of(&[1, 2]), floats_of(&[2, 1])], |b, a| b.emit1(Dot::matmul(0), a).unwrap());
    let out = interpret(&dot, &[arr(&[1, 2], &[0.0, 1.0]), arr(&[2, 1], &[nan, 1.0])]).unwrap();
    assert!(out[0].to_f64()[0].is_nan());
    // A derivative that is NaN for a tangent that is not zero stays NaN.
    let wrt = [true, true];
    let out = interpret(
        &value_and_grad(&product, &wrt).unwrap(),
        &[arr(&[2], &[2.0, 1.0]), arr(&[2], &[nan, 1.0])],
    );
    let out = out.unwrap();
    assert!(out[1].to_f64()[0].is_nan() && out[1].to_f64()[1] == 1.0);
    assert_eq!(out[2].to_f64(), [2.0, 1.0]);
    // And so does the derivative of the branch that is taken.
    let g = program(&[floats_of(&[1])], |b, a| {
        let one = b.full(&floats_of(&[1]), 1.0);
        let small = b.emit1(Compare::Lt, &[a[0], one]).unwrap();
        let root = b.emit1(Unary::Sqrt, &[a[0]]).unwrap();
        b.emit1(Select, &[small, root, a[0]]).unwrap()
    });
    let out = interpret(&value_and_grad(&g, &[true]).unwrap(), &[arr(&[1], &[-1.0])]).unwrap();
    assert!(out[0].to_f64()[0].is_nan() && out[1].to_f64()[0].is_nan());
}

#[test]
fn numbers_that_are_zero_hide_nothing() {
    let x = |v: &[f64]| [arr(&[v.len()], v)];
    let (nan, one) = (f64::NAN, floats_of(&[2]));
    let logsumexp = program(std::slice::from_ref(&one), |b, a| {
        let exp = b.emit1(Unary::Exp, &[a[0]]).unwrap();
        let total = sum(b, exp);
        b.emit1(Unary::Recip, &[total]).unwrap()
    });
    check("1 / Σ exp x", &logsumexp, &x(&[1000.0, 0.0]), &[&[nan, 0.0]]);
    let square = program(std::slice::from_ref(&one), |b, a| {
        let root = b.emit1(Unary::Sqrt, &[a[0]]).unwrap();
        b.emit1(Binary::Mul, &[root, root]).unwrap()
    });
    check("√x²", &square, &x(&[0.0, 4.0]), &[&[nan, 1.0]]);
    let largest = program(std::slice::from_ref(&one), |b, a| reduce(b, a[0], ReduceKind::Max, 0));
    let out = interpret(&value_and_grad(&largest, &[true]).unwrap(), &x(&[nan, 1.0])).unwrap();
    assert!(out[1].to_f64()[0].is_nan());
    // Of what is chosen nothing is known of the other.
    let larger = program(&[one.clone(), one.clone()], |b, a| {
        let root = b.emit1(Unary::Sqrt, &[a[1]]).unwrap();
        b.emit1(Binary::Max, &[a[0], root]).unwrap()
    });
    let args = [arr(&[2], &[1.0, 2.0]), arr(&[2], &[0.0, 0.0])];
    check("max(x, √y)", &larger, &args, &[&[1.0; 2], &[0.0; 2]]);
    // -0 is a number, too: the derivative of the cosine at 0 is -sin 0.
    let cosine = program(&[one], |b, a| {
        let cosine = b.emit1(Unary::Cos, &[a[0]]).unwrap();
        let ones = b.full(&floats_of(&[2]), 1.0);
        let less = b.emit1(Binary::Sub, &[ones, cosine]).unwrap();
        b.emit1(Unary::Sqrt, &[less]).unwrap()
    });
    check("√(1 - cos x)", &cosine, &x(&[0.0, 0.0]), &[&[nan; 2]]);
}
