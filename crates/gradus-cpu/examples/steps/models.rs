//! The programs that are timed, written from primitives.

use gradus_core::ops::*;
use gradus_core::transforms::value_and_grad;
use gradus_core::{Binary, Builder, DType, Graph, Type, Unary, Var};

fn f32s(shape: &[usize]) -> Type {
    Type::new(DType::F32, shape)
}

fn axes(a: &[usize]) -> Axes {
    a.iter().copied().collect()
}

fn unary(b: &mut Builder, op: Unary, x: Var) -> Var {
    b.emit1(op, &[x]).expect("a float")
}

fn binary(b: &mut Builder, op: Binary, x: Var, y: Var) -> Var {
    b.emit1(op, &[x, y]).expect("operands of one type")
}

fn scaled(b: &mut Builder, x: Var, k: f64) -> Var {
    let ty = b.ty(x).clone();
    let k = b.full(&ty, k);
    binary(b, Binary::Mul, x, k)
}

/// `x tanh(softplus(x))`
pub fn mish_of(b: &mut Builder, x: Var) -> Var {
    let s = unary(b, Unary::Softplus, x);
    let t = unary(b, Unary::Tanh, s);
    binary(b, Binary::Mul, x, t)
}

/// `x (1 + erf(x / √2)) / 2`
pub fn gelu(b: &mut Builder, x: Var) -> Var {
    let e = scaled(b, x, std::f64::consts::FRAC_1_SQRT_2);
    let e = unary(b, Unary::Erf, e);
    let ty = b.ty(x).clone();
    let one = b.full(&ty, 1.0);
    let e = binary(b, Binary::Add, e, one);
    let h = scaled(b, x, 0.5);
    binary(b, Binary::Mul, h, e)
}

fn softmax_parts(b: &mut Builder, x: Var) -> (Var, Var) {
    let shape = b.shape(x).clone();
    let max = b.emit1(Reduce { kind: ReduceKind::Max, axes: axes(&[1]) }, &[x]).expect("an axis");
    let max = b.emit1(StopGradient, &[max]).expect("a value");
    let max = b.emit1(Broadcast { shape: shape.clone(), axes: axes(&[0]) }, &[max]).expect("rows");
    let c = binary(b, Binary::Sub, x, max);
    let e = unary(b, Unary::Exp, c);
    let s = b.emit1(Reduce { kind: ReduceKind::Sum, axes: axes(&[1]) }, &[e]).expect("an axis");
    (c, b.emit1(Broadcast { shape, axes: axes(&[0]) }, &[s]).expect("rows"))
}

/// Softmax over rows.
pub fn softmax(rows: usize, cols: usize) -> Graph {
    let mut b = Builder::new();
    let x = b.input(f32s(&[rows, cols]));
    let (c, s) = softmax_parts(&mut b, x);
    let e = unary(&mut b, Unary::Exp, c);
    let y = binary(&mut b, Binary::Div, e, s);
    b.finish(vec![y])
}

/// Mish and its local derivative.
pub fn mish(n: usize) -> Graph {
    let mut b = Builder::new();
    let x = b.input(f32s(&[n]));
    let y = mish_of(&mut b, x);
    let s = b.emit1(Reduce { kind: ReduceKind::Sum, axes: axes(&[0]) }, &[y]).expect("an axis");
    let g = b.finish(vec![s]);
    let grad = value_and_grad(&g, &[true]).expect("a gradient");
    let mut b = Builder::new();
    let x = b.input(f32s(&[n]));
    let out = b.inline(&grad, &[x]).expect("the same types");
    let y = mish_of(&mut b, x);
    b.finish(vec![y, out[1]])
}

/// An Adam update.
pub fn adam(n: usize) -> Graph {
    let mut b = Builder::new();
    let [p, g, m, v] = [0; 4].map(|_| b.input(f32s(&[n])));
    let (m0, g0) = (scaled(&mut b, m, 0.9), scaled(&mut b, g, 0.1));
    let m1 = binary(&mut b, Binary::Add, m0, g0);
    let gg = binary(&mut b, Binary::Mul, g, g);
    let (v0, g1) = (scaled(&mut b, v, 0.999), scaled(&mut b, gg, 0.001));
    let v1 = binary(&mut b, Binary::Add, v0, g1);
    let root = unary(&mut b, Unary::Sqrt, v1);
    let ty = b.ty(root).clone();
    let eps = b.full(&ty, 1e-8);
    let root = binary(&mut b, Binary::Add, root, eps);
    let step = binary(&mut b, Binary::Div, m1, root);
    let step = scaled(&mut b, step, 1e-3);
    let p1 = binary(&mut b, Binary::Sub, p, step);
    b.finish(vec![p1, m1, v1])
}

/// `n` dependent operations on vectors of `size`.
pub fn chain(n: usize, size: usize) -> Graph {
    let mut b = Builder::new();
    let (x, y) = (b.input(f32s(&[size])), b.input(f32s(&[size])));
    let mut v = x;
    for i in 0..n {
        v = binary(&mut b, if i % 2 == 0 { Binary::Mul } else { Binary::Add }, v, y);
    }
    b.finish(vec![v])
}

/// Mean cross-entropy of a multilayer perceptron and its gradients.
pub fn mlp(widths: &[usize], batch: usize, activation: fn(&mut Builder, Var) -> Var) -> Graph {
    let mut b = Builder::new();
    let mut h = b.input(f32s(&[batch, widths[0]]));
    let target = b.input(f32s(&[batch, *widths.last().expect("layers")]));
    let mut wrt = vec![false, false];
    for (i, w) in widths.windows(2).enumerate() {
        let weight = b.input(f32s(w));
        let bias = b.input(f32s(&w[1..]));
        wrt.extend([true, true]);
        h = b.emit1(Dot::matmul(0), &[h, weight]).expect("fitting widths");
        let bias =
            b.emit1(Broadcast { shape: [batch, w[1]].into(), axes: axes(&[1]) }, &[bias]).expect("columns");
        h = binary(&mut b, Binary::Add, h, bias);
        if i + 2 < widths.len() {
            h = activation(&mut b, h);
        }
    }
    let (c, s) = softmax_parts(&mut b, h);
    let log = unary(&mut b, Unary::Log, s);
    let log_p = binary(&mut b, Binary::Sub, c, log);
    let t = binary(&mut b, Binary::Mul, log_p, target);
    let t = b.emit1(Reduce { kind: ReduceKind::Sum, axes: axes(&[0, 1]) }, &[t]).expect("axes");
    let loss = scaled(&mut b, t, -1.0 / batch as f64);
    value_and_grad(&b.finish(vec![loss]), &wrt).expect("gradients")
}

/// A rule that improves parameters.
#[derive(Clone, Copy, Debug)]
pub enum Update {
    /// `p - r g`
    Sgd,
    /// `m ← 0.9 m + g`, `p - r m`
    Momentum,
    /// Adam without the correction of its first steps.
    Adam,
    /// `p - r g / max(1, |g|)` with the norm over all parameters.
    Clipped,
}

/// A whole training step of [`mlp`]: loss, gradients and update; arguments are inputs, targets, then for each parameter
/// the parameter and its moments, and last the rate; results are the loss and what replaces those.
pub fn step(widths: &[usize], batch: usize, activation: fn(&mut Builder, Var) -> Var, rule: Update) -> Graph {
    updated(&mlp(widths, batch, activation), rule)
}

/// A training step from loss and gradients, whose first two arguments are data and whose others are parameters.
pub fn updated(gradients: &Graph, rule: Update) -> Graph {
    let moments = match rule {
        Update::Sgd | Update::Clipped => 0,
        Update::Momentum => 1,
        Update::Adam => 2,
    };
    let mut b = Builder::new();
    let types = gradients.input_types();
    let mut args: Vec<Var> = types[..2].iter().map(|ty| b.input(ty.clone())).collect();
    let mut states = Vec::new();
    for ty in &types[2..] {
        args.push(b.input(ty.clone()));
        states.push((0..moments).map(|_| b.input(ty.clone())).collect::<Vec<Var>>());
    }
    let rate = b.input(f32s(&[]));
    let out = b.inline(gradients, &args).expect("the same types");
    let mut scale = rate;
    if let Update::Clipped = rule {
        let mut total = None;
        for &g in &out[1..] {
            let square = binary(&mut b, Binary::Mul, g, g);
            let all = (0..b.shape(g).rank()).collect();
            let sum = b.emit1(Reduce { kind: ReduceKind::Sum, axes: all }, &[square]).expect("axes");
            total = b.add_tangents(total, Some(sum)).expect("scalars");
        }
        let norm = unary(&mut b, Unary::Sqrt, total.expect("parameters"));
        let one = b.full(&f32s(&[]), 1.0);
        let norm = binary(&mut b, Binary::Max, norm, one);
        scale = binary(&mut b, Binary::Div, rate, norm);
    }
    let mut results = vec![out[0]];
    for ((&p, state), &g) in args[2..].iter().zip(&states).zip(&out[1..]) {
        let shape = b.shape(p).clone();
        let rate = b.emit1(Broadcast { shape, axes: Axes::new() }, &[scale]).expect("a scalar");
        let mut direction = g;
        let mut news = Vec::new();
        match state[..] {
            [m] => {
                let m = scaled(&mut b, m, 0.9);
                direction = binary(&mut b, Binary::Add, m, g);
                news.push(direction);
            }
            [m, v] => {
                let (m0, g0) = (scaled(&mut b, m, 0.9), scaled(&mut b, g, 0.1));
                let m = binary(&mut b, Binary::Add, m0, g0);
                let gg = binary(&mut b, Binary::Mul, g, g);
                let (v0, g1) = (scaled(&mut b, v, 0.999), scaled(&mut b, gg, 0.001));
                let v = binary(&mut b, Binary::Add, v0, g1);
                let root = unary(&mut b, Unary::Sqrt, v);
                let ty = b.ty(root).clone();
                let eps = b.full(&ty, 1e-8);
                let root = binary(&mut b, Binary::Add, root, eps);
                direction = binary(&mut b, Binary::Div, m, root);
                news.extend([m, v]);
            }
            _ => {}
        }
        let move_by = binary(&mut b, Binary::Mul, rate, direction);
        results.push(binary(&mut b, Binary::Sub, p, move_by));
        results.extend(news);
    }
    b.finish(results)
}
