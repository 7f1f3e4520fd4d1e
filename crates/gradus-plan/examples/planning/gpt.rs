//! A training step of a transformer, written from primitives.

use gradus_core::ops::*;
use gradus_core::transforms::value_and_grad;
use gradus_core::{Binary, Builder, DType, Graph, Type, Unary, Var};

use crate::models::{Update, updated};

/// Extents of a transformer.
#[derive(Clone, Copy)]
pub struct Size {
    pub layers: usize,
    pub width: usize,
    pub heads: usize,
    pub context: usize,
    pub batch: usize,
    pub vocabulary: usize,
}

struct Writer {
    b: Builder,
    size: Size,
}

fn axes(a: &[usize]) -> Axes {
    a.iter().copied().collect()
}

impl Writer {
    fn parameter(&mut self, shape: &[usize]) -> Var {
        self.b.input(Type::new(DType::F32, shape))
    }

    fn emit(&mut self, op: impl Into<Op>, x: &[Var]) -> Var {
        self.b.emit1(op.into(), x).expect("fitting operands")
    }

    fn scaled(&mut self, x: Var, k: f64) -> Var {
        let ty = self.b.ty(x).clone();
        let k = self.b.full(&ty, k);
        self.emit(Binary::Mul, &[x, k])
    }

    /// `x` repeated to the shape of `like`, its axes put at `at`.
    fn like(&mut self, x: Var, like: Var, at: &[usize]) -> Var {
        let shape = self.b.shape(like).clone();
        self.emit(Broadcast { shape, axes: axes(at) }, &[x])
    }

    fn reduced(&mut self, kind: ReduceKind, x: Var) -> Var {
        let last = self.b.shape(x).rank() - 1;
        let row = self.emit(Reduce { kind, axes: axes(&[last]) }, &[x]);
        let at: Vec<usize> = (0..last).collect();
        self.like(row, x, &at)
    }

    fn norm(&mut self, x: Var) -> Var {
        let width = self.size.width;
        let (scale, shift) = (self.parameter(&[width]), self.parameter(&[width]));
        let mean = self.reduced(ReduceKind::Sum, x);
        let mean = self.scaled(mean, 1.0 / width as f64);
        let centred = self.emit(Binary::Sub, &[x, mean]);
        let square = self.emit(Binary::Mul, &[centred, centred]);
        let variance = self.reduced(ReduceKind::Sum, square);
        let variance = self.scaled(variance, 1.0 / width as f64);
        let ty = self.b.ty(variance).clone();
        let eps = self.b.full(&ty, 1e-5);
        let variance = self.emit(Binary::Add, &[variance, eps]);
        let rate = self.emit(Unary::Rsqrt, &[variance]);
        let y = self.emit(Binary::Mul, &[centred, rate]);
        let (scale, shift) = (self.like(scale, x, &[2]), self.like(shift, x, &[2]));
        let y = self.emit(Binary::Mul, &[y, scale]);
        self.emit(Binary::Add, &[y, shift])
    }

    fn linear(&mut self, x: Var, from: usize, to: usize) -> Var {
        let (weight, bias) = (self.parameter(&[from, to]), self.parameter(&[to]));
        let dot = Dot {
            lhs_batch: axes(&[]),
            rhs_batch: axes(&[]),
            lhs_contract: axes(&[2]),
            rhs_contract: axes(&[0]),
            tangents: [false; 2],
            numbers: false,
        };
        let y = self.emit(dot, &[x, weight]);
        let bias = self.like(bias, y, &[2]);
        self.emit(Binary::Add, &[y, bias])
    }

    fn attention(&mut self, x: Var) -> Var {
        let Size { width, heads, context, batch, .. } = self.size;
        let all = self.linear(x, width, 3 * width);
        let depth = width / heads;
        let shape = [batch, context, 3, heads, depth];
        let all = self.emit(Reshape(shape.into()), &[all]);
        let all = self.emit(Permute { axes: axes(&[2, 0, 3, 1, 4]) }, &[all]);
        let [q, k, v] = [0, 1, 2].map(|part| {
            let slice = Slice::along(self.b.shape(all), 0, part, part + 1);
            let one = self.emit(slice, &[all]);
            self.emit(Reshape([batch, heads, context, depth].into()), &[one])
        });
        let dot = |right: usize| Dot {
            lhs_batch: axes(&[0, 1]),
            rhs_batch: axes(&[0, 1]),
            lhs_contract: axes(&[3]),
            rhs_contract: axes(&[right]),
            tangents: [false; 2],
            numbers: false,
        };
        let scores = self.emit(dot(3), &[q, k]);
        let scores = self.scaled(scores, 1.0 / (depth as f64).sqrt());
        let max = self.reduced(ReduceKind::Max, scores);
        let max = self.emit(StopGradient, &[max]);
        let c = self.emit(Binary::Sub, &[scores, max]);
        let e = self.emit(Unary::Exp, &[c]);
        let sum = self.reduced(ReduceKind::Sum, e);
        let p = self.emit(Binary::Div, &[e, sum]);
        let mixed = self.emit(dot(2), &[p, v]);
        let mixed = self.emit(Permute { axes: axes(&[0, 2, 1, 3]) }, &[mixed]);
        let mixed = self.emit(Reshape([batch, context, width].into()), &[mixed]);
        self.linear(mixed, width, width)
    }
}

/// Mean cross-entropy of a transformer with normalisation before each part, its gradients, and an Adam update. The first
/// two arguments are embedded tokens and targets.
pub fn step(size: Size) -> Graph {
    let mut w = Writer { b: Builder::new(), size };
    let mut x = w.parameter(&[size.batch, size.context, size.width]);
    let target = w.parameter(&[size.batch, size.context, size.vocabulary]);
    for _ in 0..size.layers {
        let y = w.norm(x);
        let y = w.attention(y);
        x = w.emit(Binary::Add, &[x, y]);
        let y = w.norm(x);
        let y = w.linear(y, size.width, 4 * size.width);
        let y = crate::models::gelu(&mut w.b, y);
        let y = w.linear(y, 4 * size.width, size.width);
        x = w.emit(Binary::Add, &[x, y]);
    }
    let x = w.norm(x);
    let logits = w.linear(x, size.width, size.vocabulary);
    let max = w.reduced(ReduceKind::Max, logits);
    let max = w.emit(StopGradient, &[max]);
    let c = w.emit(Binary::Sub, &[logits, max]);
    let e = w.emit(Unary::Exp, &[c]);
    let sum = w.reduced(ReduceKind::Sum, e);
    let log = w.emit(Unary::Log, &[sum]);
    let log_p = w.emit(Binary::Sub, &[c, log]);
    let loss = w.emit(Binary::Mul, &[log_p, target]);
    let loss = w.emit(Reduce { kind: ReduceKind::Sum, axes: axes(&[0, 1, 2]) }, &[loss]);
    let loss = w.scaled(loss, -1.0 / (size.batch * size.context) as f64);
    let graph = w.b.finish(vec![loss]);
    let wrt: Vec<bool> = (0..graph.inputs().len()).map(|i| i >= 2).collect();
    updated(&value_and_grad(&graph, &wrt).expect("gradients"), Update::Adam)
}
