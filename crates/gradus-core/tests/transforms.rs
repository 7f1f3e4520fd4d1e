//! The transforms on small programs whose derivatives are known by hand.

use std::sync::Arc;

use gradus_core::ops::{Call, CallKind, Compare, Cond, Custom, Dot, Reduce, ReduceKind, Scan, Select, While};
use gradus_core::transforms::{jvp, value_and_grad, vmap};
use gradus_core::{Array, Binary, Builder, DType, Graph, Type, Unary, Var, interpret};

fn f64s(shape: &[usize]) -> Type {
    Type::new(DType::F64, shape)
}

fn build(inputs: &[Type], f: impl FnOnce(&mut Builder, &[Var]) -> Vec<Var>) -> Graph {
    let mut b = Builder::new();
    let args: Vec<Var> = inputs.iter().map(|ty| b.input(ty.clone())).collect();
    let out = f(&mut b, &args);
    b.finish(out)
}

fn arr(shape: &[usize], v: &[f64]) -> Array {
    Array::new(shape, v.to_vec()).unwrap()
}

fn sum(b: &mut Builder, v: Var) -> Var {
    let axes = (0..b.shape(v).rank()).collect();
    b.emit1(Reduce { kind: ReduceKind::Sum, axes }, &[v]).unwrap()
}

/// Gradient of a scalar program by reverse mode, checked against forward mode along each coordinate.
fn grad(graph: &Graph, args: &[Array]) -> Vec<Vec<f64>> {
    let wrt: Vec<bool> = args.iter().map(|a| a.dtype().is_float()).collect();
    let out = interpret(&value_and_grad(graph, &wrt).unwrap(), args).unwrap();
    let grads: Vec<Vec<f64>> = out[graph.outputs().len()..].iter().map(Array::to_f64).collect();
    let forward = jvp(graph, &wrt).unwrap();
    for (i, a) in args.iter().enumerate().filter(|(i, _)| wrt[*i]) {
        for k in 0..a.size() {
            let mut full = args.to_vec();
            for (j, other) in args.iter().enumerate().filter(|(j, _)| wrt[*j]) {
                let mut t = vec![0.0; other.size()];
                if i == j {
                    t[k] = 1.0;
                }
                full.push(arr(other.shape(), &t));
            }
            let out = interpret(&forward, &full).unwrap();
            let d = out[graph.outputs().len()].to_f64()[0];
            let slot = wrt[..i].iter().filter(|w| **w).count();
            let r = grads[slot][k];
            assert!((d - r).abs() <= 1e-12 * (1.0 + r.abs()), "forward {d} and reverse {r} differ");
        }
    }
    grads
}

#[test]
fn product_and_sine() {
    let g = build(&[f64s(&[3]), f64s(&[3])], |b, a| {
        let s = b.emit1(Unary::Sin, &[a[0]]).unwrap();
        let p = b.emit1(Binary::Mul, &[s, a[1]]).unwrap();
        vec![sum(b, p)]
    });
    let (x, y) = ([0.1, 0.2, 0.3], [1.0, 2.0, 3.0]);
    let d = grad(&g, &[arr(&[3], &x), arr(&[3], &y)]);
    for i in 0..3 {
        assert!((d[0][i] - x[i].cos() * y[i]).abs() < 1e-15);
        assert!((d[1][i] - x[i].sin()).abs() < 1e-15);
    }
}

#[test]
fn matrix_product() {
    let g = build(&[f64s(&[2, 3]), f64s(&[3, 2])], |b, a| {
        let p = b.emit1(Dot::matmul(0), a).unwrap();
        let q = b.emit1(Binary::Mul, &[p, p]).unwrap();
        vec![sum(b, q)]
    });
    grad(&g, &[arr(&[2, 3], &[1., 2., 3., 4., 5., 6.]), arr(&[3, 2], &[0.5, -1., 2., 0.1, 0.2, 0.3])]);
}

#[test]
fn where_hides_a_singular_branch() {
    let g = build(&[f64s(&[2])], |b, a| {
        let zero = b.zeros_like(a[0]);
        let mask = b.emit1(Compare::Gt, &[a[0], zero]).unwrap();
        let root = b.emit1(Unary::Sqrt, &[a[0]]).unwrap();
        let out = b.emit1(Select, &[mask, root, zero]).unwrap();
        vec![sum(b, out)]
    });
    assert_eq!(grad(&g, &[arr(&[2], &[0.0, 4.0])]), [[0.0, 0.25]]);
}

/// `s ← sin(s) w + x` five times, and every `s` squared as a stacked result.
fn loop_program() -> Graph {
    let body = build(&[f64s(&[]), f64s(&[]), f64s(&[])], |b, a| {
        let s = b.emit1(Unary::Sin, &[a[1]]).unwrap();
        let s = b.emit1(Binary::Mul, &[s, a[0]]).unwrap();
        let s = b.emit1(Binary::Add, &[s, a[2]]).unwrap();
        let y = b.emit1(Binary::Mul, &[s, s]).unwrap();
        vec![s, y]
    });
    build(&[f64s(&[]), f64s(&[]), f64s(&[5])], |b, a| {
        let scan = Scan {
            constants: 1,
            carry: 1,
            length: 5,
            reverse: false,
            body: Arc::new(body),
            checkpoints: None,
        };
        let out = b.emit(scan, a).unwrap();
        let y = sum(b, out[1]);
        vec![b.emit1(Binary::Add, &[y, out[0]]).unwrap()]
    })
}

#[test]
fn scan_in_both_modes() {
    let args = [arr(&[], &[0.7]), arr(&[], &[0.3]), arr(&[5], &[0.1, -0.2, 0.3, 0.4, 0.5])];
    let d = grad(&loop_program(), &args);
    let f = |w: f64| {
        let (mut s, mut total) = (0.3f64, 0.0);
        for x in [0.1, -0.2, 0.3, 0.4, 0.5] {
            s = s.sin() * w + x;
            total += s * s;
        }
        total + s
    };
    let fd = (f(0.7 + 1e-6) - f(0.7 - 1e-6)) / 2e-6;
    assert!((d[0][0] - fd).abs() < 1e-8);
}

#[test]
fn scan_batched_and_second_order() {
    let g = loop_program();
    // Gradient with respect to w, differentiated again forward and backward.
    let first = value_and_grad(&g, &[true, false, false]).unwrap();
    let slope = build(&g.input_types(), |b, a| vec![b.inline(&first, a).unwrap()[1]]);
    let args = [arr(&[], &[0.7]), arr(&[], &[0.3]), arr(&[5], &[0.1, -0.2, 0.3, 0.4, 0.5])];
    grad(&slope, &args);
    let batched = vmap(&slope, &[true, false, true], 2).unwrap();
    let xs: Vec<f64> = (0..10).map(|i| i as f64 * 0.1).collect();
    let got = interpret(&batched, &[arr(&[2], &[0.7, 0.2]), args[1].clone(), arr(&[2, 5], &xs)]).unwrap();
    for (i, w) in [0.7, 0.2].into_iter().enumerate() {
        let one =
            interpret(&slope, &[arr(&[], &[w]), args[1].clone(), arr(&[5], &xs[5 * i..5 * i + 5])]).unwrap();
        assert!((got[0].to_f64()[i] - one[0].to_f64()[0]).abs() < 1e-14);
    }
}

#[test]
fn cond_takes_the_branch_and_its_derivative() {
    let sq = build(&[f64s(&[]), f64s(&[])], |b, a| vec![b.emit1(Binary::Mul, &[a[0], a[1]]).unwrap()]);
    let ex = build(&[f64s(&[]), f64s(&[])], |b, a| vec![b.emit1(Unary::Exp, &[a[0]]).unwrap()]);
    let g = build(&[f64s(&[]), f64s(&[])], |b, a| {
        let zero = b.zeros_like(a[0]);
        let p = b.emit1(Compare::Gt, &[a[0], zero]).unwrap();
        let c = Cond { on_true: Arc::new(sq), on_false: Arc::new(ex) };
        vec![b.emit1(c, &[p, a[0], a[1]]).unwrap()]
    });
    assert_eq!(grad(&g, &[arr(&[], &[2.0]), arr(&[], &[3.0])]), [[3.0], [2.0]]);
    let d = grad(&g, &[arr(&[], &[-1.0]), arr(&[], &[3.0])]);
    assert_eq!(d, [[(-1f64).exp()], [0.0]]);
    let both = interpret(&vmap(&g, &[true, false], 2).unwrap(), &[arr(&[2], &[2.0, -1.0]), arr(&[], &[3.0])]);
    assert_eq!(both.unwrap()[0].to_f64(), [6.0, (-1f64).exp()]);
}

#[test]
fn while_loop_forward_and_batched() {
    // x doubles until it passes the limit.
    let types = [f64s(&[]), f64s(&[])];
    let cond = build(&types, |b, a| vec![b.emit1(Compare::Lt, &[a[1], a[0]]).unwrap()]);
    let body = build(&types, |b, a| vec![b.emit1(Binary::Add, &[a[1], a[1]]).unwrap()]);
    let g = build(&types, |b, a| {
        let w = While { constants: 1, cond: Arc::new(cond), body: Arc::new(body), checkpoints: None };
        vec![b.emit1(w, a).unwrap()]
    });
    let forward = jvp(&g, &[false, true]).unwrap();
    let out = interpret(&forward, &[arr(&[], &[10.0]), arr(&[], &[1.5]), arr(&[], &[1.0])]).unwrap();
    assert_eq!((out[0].to_f64()[0], out[1].to_f64()[0]), (12.0, 8.0));
    let many = vmap(&g, &[false, true], 3).unwrap();
    let out = interpret(&many, &[arr(&[], &[10.0]), arr(&[3], &[1.5, 11.0, 6.0])]).unwrap();
    assert_eq!(out[0].to_f64(), [12.0, 11.0, 12.0]);
    let back = value_and_grad(&g, &[false, true]).unwrap();
    let out = interpret(&back, &[arr(&[], &[10.0]), arr(&[], &[1.5])]).unwrap();
    assert_eq!((out[0].to_f64()[0], out[1].to_f64()[0]), (12.0, 8.0));
}

#[test]
fn checkpoint_and_custom_rule() {
    let body = build(&[f64s(&[])], |b, a| {
        let s = b.emit1(Unary::Sin, &[a[0]]).unwrap();
        vec![b.emit1(Unary::Exp, &[s]).unwrap()]
    });
    let g = build(&[f64s(&[])], |b, a| {
        vec![b.emit1(Call { kind: CallKind::Checkpoint, body: Arc::new(body.clone()) }, a).unwrap()]
    });
    let x = 0.4f64;
    assert!((grad(&g, &[arr(&[], &[x])])[0][0] - x.sin().exp() * x.cos()).abs() < 1e-15);
    // A rule that says the derivative is 7.
    let rule = build(&[f64s(&[]), f64s(&[]), f64s(&[])], |b, a| {
        let seven = b.full(&f64s(&[]), 7.0);
        vec![b.emit1(Binary::Mul, &[a[2], seven]).unwrap()]
    });
    let g = build(&[f64s(&[])], |b, a| {
        let kind = CallKind::Custom(Custom { rule: Arc::new(rule), args: 1, results: 1 });
        vec![b.emit1(Call { kind, body: Arc::new(body) }, a).unwrap()]
    });
    assert_eq!(grad(&g, &[arr(&[], &[x])]), [[7.0]]);
}

#[test]
fn products_and_extrema() {
    for kind in ReduceKind::ALL {
        let g = build(&[f64s(&[2, 3])], |b, a| {
            let r = b.emit1(Reduce { kind, axes: [1].into_iter().collect() }, a).unwrap();
            let r = b.emit1(Binary::Mul, &[r, r]).unwrap();
            vec![sum(b, r)]
        });
        grad(&g, &[arr(&[2, 3], &[1.0, 0.0, 3.0, 2.0, 2.0, -1.0])]);
    }
}
