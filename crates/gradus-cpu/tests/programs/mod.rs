//! Random programs of a few dozen primitives, with arguments.

use gradus_core::ops::*;
use gradus_core::{Array, Binary, Builder, DType, Graph, Type, Unary, Var};

/// A small generator of pseudo-random numbers (splitmix64).
pub struct Rng(u64);

impl Rng {
    pub fn new(seed: u64) -> Self {
        Rng(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15).wrapping_add(0x1234_5678))
    }
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }
    pub fn below(&mut self, n: usize) -> usize {
        (self.next() % n as u64) as usize
    }
    pub fn unit(&mut self) -> f64 {
        (self.next() >> 11) as f64 / (1u64 << 53) as f64
    }
    pub fn array(&mut self, ty: &Type) -> Array {
        let n = ty.shape.size();
        let v: Vec<f64> = (0..n).map(|_| 0.3 + 0.9 * self.unit()).collect();
        match ty.dtype {
            DType::Bool => {
                Array::new(ty.shape.clone(), v.iter().map(|x| *x > 0.7).collect::<Vec<bool>>()).unwrap()
            }
            dtype => Array::new(ty.shape.clone(), v).unwrap().cast(dtype),
        }
    }
}

/// Arguments for a program.
pub fn arguments(graph: &Graph, seed: u64) -> Vec<Array> {
    let mut rng = Rng::new(seed ^ 77);
    graph.input_types().iter().map(|ty| rng.array(ty)).collect()
}

/// A random program and arguments for it.
pub fn random(seed: u64) -> (Graph, Vec<Array>) {
    let mut rng = Rng::new(seed);
    let mut b = Builder::new();
    let mut pool: Vec<Var> = Vec::new();
    let extents = [1, 2, 3, 4, 5];
    for _ in 0..2 + rng.below(3) {
        let rank = rng.below(4);
        let shape: Vec<usize> = (0..rank).map(|_| extents[rng.below(5)]).collect();
        pool.push(b.input(Type::new(DType::F64, &shape[..])));
    }
    for _ in 0..5 + rng.below(36) {
        let recent = pool.len().min(6);
        let x = if rng.below(3) > 0 {
            pool[pool.len() - 1 - rng.below(recent)]
        } else {
            pool[rng.below(pool.len())]
        };
        step(&mut rng, &mut b, &mut pool, x);
    }
    let mut outputs = vec![*pool.last().unwrap()];
    for _ in 0..rng.below(4) {
        outputs.push(pool[rng.below(pool.len())]);
    }
    let graph = b.finish(outputs);
    let args = arguments(&graph, seed);
    (graph, args)
}

fn step(rng: &mut Rng, b: &mut Builder, pool: &mut Vec<Var>, x: Var) {
    let shape = b.shape(x).clone();
    let rank = shape.rank();
    let partner = |rng: &mut Rng, b: &Builder, pool: &[Var]| {
        let fits: Vec<Var> = pool.iter().copied().filter(|&v| *b.shape(v) == shape).collect();
        fits[rng.below(fits.len())]
    };
    let out = match rng.below(17) {
        0..=3 => {
            let ops = [
                Unary::Sin,
                Unary::Tanh,
                Unary::Sech2,
                Unary::Sigmoid,
                Unary::Softplus,
                Unary::Neg,
                Unary::Atan,
                Unary::Powi(2),
            ];
            b.emit1(ops[rng.below(ops.len())], &[x])
        }
        4..=7 => {
            let ops = [Binary::Add, Binary::Mul, Binary::Sub, Binary::Max, Binary::Min];
            let y = partner(rng, b, pool);
            let op = ops[rng.below(ops.len())];
            b.emit1(op, &[x, y])
        }
        8 => {
            let y = partner(rng, b, pool);
            let z = partner(rng, b, pool);
            let mask = b.emit1(Compare::Lt, &[x, z]).unwrap();
            b.emit1(Select, &[mask, x, y])
        }
        9 | 10 if rank > 0 => {
            let axes = (0..rank).filter(|_| rng.below(2) == 0).collect();
            let kind = [ReduceKind::Sum, ReduceKind::Max, ReduceKind::Sum][rng.below(3)];
            b.emit1(Reduce { kind, axes }, &[x])
        }
        11 if rank > 1 => {
            let mut axes: Axes = (0..rank).collect();
            for i in (1..rank).rev() {
                axes.swap(i, rng.below(i + 1));
            }
            b.emit1(Permute { axes }, &[x])
        }
        12 if shape.size() < 500 && rank < 4 => {
            let at = rng.below(rank + 1);
            let axes = (0..rank + 1).filter(|&a| a != at).collect();
            b.emit1(Broadcast { shape: shape.insert(at, 1 + rng.below(4)), axes }, &[x])
        }
        13 if rank > 0 => {
            let axis = rng.below(rank);
            let start = rng.below(shape[axis]);
            b.emit1(Slice::along(&shape, axis, start, shape[axis]), &[x])
        }
        14 if rank > 0 && shape.size() < 200 => match rng.below(3) {
            0 => b.emit1(Reverse { axes: [rng.below(rank)].into_iter().collect() }, &[x]),
            1 => {
                let y = partner(rng, b, pool);
                b.emit1(Concat { axis: rng.below(rank) }, &[x, y])
            }
            _ => {
                let zeros = || (0..rank).map(|_| 1).collect::<Axes>();
                b.emit1(Pad { low: zeros(), high: zeros(), interior: zeros() }, &[x])
            }
        },
        15 if rank > 0 => {
            let flat = b.emit1(Reshape([shape.size()].into()), &[x]).unwrap();
            b.emit1(Reshape(shape.iter().rev().copied().collect()), &[flat])
        }
        _ if rank == 2 => {
            let dot = Dot {
                lhs_batch: Axes::new(),
                rhs_batch: Axes::new(),
                lhs_contract: [1].into_iter().collect(),
                rhs_contract: [1].into_iter().collect(),
                strong: false,
            };
            let y = partner(rng, b, pool);
            b.emit1(dot, &[x, y])
        }
        _ => b.emit1(Unary::Tanh, &[x]),
    };
    pool.push(out.unwrap());
}
