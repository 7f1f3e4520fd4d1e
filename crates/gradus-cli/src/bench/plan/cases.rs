//! Families of programs whose number of operations is an argument.

use gradus::{DType, Tensor, cond, scan};

/// A family: its arguments and its function at about `n` operations.
pub struct Case {
    pub name: &'static str,
    /// Whether sizes of a million belong to it.
    pub long: bool,
    pub arguments: fn(usize) -> Vec<Tensor>,
    pub function: fn(&[Tensor], usize) -> Vec<Tensor>,
}

const fn case(name: &'static str, function: fn(&[Tensor], usize) -> Vec<Tensor>) -> Case {
    Case { name, long: false, arguments: |_| vec![vector()], function }
}

/// All families.
pub const CASES: [Case; 12] = [
    Case { long: true, ..case("chain", |x, n| vec![steps(&x[0], n)]) },
    case("recurrence-sin", |x, n| vec![(0..n / 2).fold(x[0].clone(), |y, _| &y + y.sin())]),
    case("recurrence-tanh", |x, n| vec![(0..n / 3).fold(x[0].clone(), |y, _| &y + &y * y.tanh())]),
    case("fan", fan),
    Case {
        long: true,
        arguments: |n| vec![vector(); n],
        ..case("wide-sum", |x, _| vec![total(x.iter().cloned())])
    },
    case("terms", |x, n| vec![total((0..n / 3).map(|i| (&x[0] * (i % 7 + 1) as f64).sin()))]),
    case("results", |x, n| (0..n / 2).map(|i| (&x[0] * (i % 7 + 1) as f64).sin()).collect()),
    case("concat", |x, n| {
        let parts: Vec<Tensor> = (0..n / 2).map(|i| (&x[0] * (i % 7 + 1) as f64).sin()).collect();
        vec![Tensor::concat(&parts.iter().collect::<Vec<_>>(), 0)]
    }),
    Case {
        arguments: |n| [vec![square(); n / 3 + 1], vec![vector(); n / 3]].concat(),
        ..case("mlp", |x, n| {
            let (weights, biases) = x[1..].split_at(n / 3);
            let layer = |h: Tensor, (w, b): (&Tensor, &Tensor)| (h.matmul(w) + b).tanh();
            vec![weights.iter().zip(biases).fold(x[0].clone(), layer)]
        })
    },
    Case {
        arguments: |n| vec![square(); 1 + WEIGHTS * (n / BLOCK).max(1)],
        ..case("transformer", |x, _| vec![x[1..].chunks(WEIGHTS).fold(x[0].clone(), block)])
    },
    case("cond", |x, n| vec![conditions(&x[0], depth(n), n / depth(n))]),
    case("loops", |x, n| vec![loops(&x[0], depth(n), n / depth(n))]),
];

/// The most levels of nested programs: what a level computes for the backward pass goes through all levels around it.
const DEEPEST: usize = 32;

/// How many levels a nested program of `n` operations has.
fn depth(n: usize) -> usize {
    (n / 8).clamp(1, DEEPEST)
}

fn vector() -> Tensor {
    Tensor::from([0.1f32, 0.2, 0.3, 0.4])
}

fn square() -> Tensor {
    Tensor::linspace(0.1, 0.6, 16, DType::F32).reshape([4, 4])
}

/// A sum, term by term.
pub fn total(terms: impl Iterator<Item = Tensor>) -> Tensor {
    terms.reduce(|a, b| a + b).unwrap_or_else(vector)
}

/// `n` operations, one after another.
fn steps(x: &Tensor, n: usize) -> Tensor {
    (0..n).fold(x.clone(), |y, i| match i % 3 {
        0 => y * 0.9,
        1 => y + 0.5,
        _ => y.sin(),
    })
}

/// One value read by many, their results added in pairs.
fn fan(x: &[Tensor], n: usize) -> Vec<Tensor> {
    let stem = x[0].sin();
    let mut level: Vec<Tensor> = (0..n / 2).map(|i| &stem * (i % 7 + 1) as f64).collect();
    while level.len() > 1 {
        level = level.chunks(2).map(|pair| total(pair.iter().cloned())).collect();
    }
    level
}

/// Operations and weights of a block of the transformer.
const BLOCK: usize = 40;
const WEIGHTS: usize = 6;

/// Attention with one head, then two layers, each on its normalised operand and added to it.
fn block(x: Tensor, w: &[Tensor]) -> Tensor {
    let h = x.standardize(-1, 1e-5);
    let scores = h.matmul(&w[0]).matmul(&h.matmul(&w[1]).t()) * 0.5;
    let x = x + scores.softmax(-1).matmul(&h.matmul(&w[2])).matmul(&w[3]);
    let h = x.standardize(-1, 1e-5).matmul(&w[4]).tanh();
    x + h.matmul(&w[5])
}

/// Choices inside choices, each level with some operations.
fn conditions(x: &Tensor, depth: usize, each: usize) -> Tensor {
    let y = steps(x, each.saturating_sub(4));
    if depth == 0 {
        return y;
    }
    cond(&y.sum(()).greater(0.0), &y, |y| conditions(y, depth - 1, each), |y| y * 2.0)
}

/// Loops inside loops, each of one step so that only their nesting counts.
fn loops(x: &Tensor, depth: usize, each: usize) -> Tensor {
    let y = steps(x, each.saturating_sub(3));
    if depth == 0 {
        return y;
    }
    scan(&y, &y.reshape([1, 4]), |c, row| (loops(&(c + row), depth - 1, each), ())).0
}
