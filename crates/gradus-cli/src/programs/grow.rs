//! Grows well-typed programs: each step is drawn from the [kinds](super::kinds), computed at once, and its value decides
//! what may follow.

use gradus::num::Domain;
use gradus::{DType, Shape, Tensor};
use gradus_core::table::Rng;

use super::kinds;
use super::step::{Body, Node, Operation, Program, run, step};

/// The largest absolute value kept; beyond it a value is squashed.
const LARGE: f64 = 4.0;

/// A program under construction.
pub(crate) struct Grower<'a> {
    pub(crate) rng: &'a mut Rng,
    pub(crate) program: Program,
    pub(crate) values: Vec<Tensor>,
    /// The most elements of a value.
    pub(crate) limit: usize,
    /// How many sub-programs it is inside of.
    pub(crate) depth: usize,
    /// The float type most of its inputs have.
    pub(crate) float: DType,
}

/// Whether an argument is well inside a domain.
fn holds(domain: Domain, x: f64) -> bool {
    match domain {
        Domain::All => true,
        Domain::Positive => x > 0.2,
        Domain::AboveMinusOne => x > -0.8,
        Domain::Unit => x.abs() < 0.9,
        Domain::AboveOne => x > 1.2,
        Domain::NonZero => x.abs() > 0.2,
    }
}

impl<'a> Grower<'a> {
    pub(crate) fn new(rng: &'a mut Rng, limit: usize) -> Self {
        let float = match rng.below(8) {
            0..4 => DType::F32,
            4..6 => DType::F64,
            6 => DType::Bf16,
            _ => DType::F16,
        };
        Grower { rng, program: Program::default(), values: Vec::new(), limit, depth: 0, float }
    }

    /// True once in `n`.
    pub(crate) fn one_in(&mut self, n: usize) -> bool {
        self.rng.below(n) == 0
    }

    pub(crate) fn choose<T: Clone>(&mut self, from: &[T]) -> T {
        from[self.rng.below(from.len())].clone()
    }

    pub(crate) fn input(&mut self, value: Tensor) -> usize {
        self.program.nodes.push(Node::Input(value.clone()));
        self.values.push(value);
        self.values.len() - 1
    }

    pub(crate) fn constant(&mut self, value: Tensor) -> usize {
        self.program.nodes.push(Node::Constant(value.clone()));
        self.values.push(value);
        self.values.len() - 1
    }

    /// An argument or, now and then, a captured tensor with values of the usual size.
    pub(crate) fn fresh(&mut self, dtype: DType, shape: impl Into<Shape>) -> usize {
        let value = self.draw(dtype, &shape.into());
        if self.one_in(4) { self.constant(value) } else { self.input(value) }
    }

    /// A mask over the last two axes of a shape, an argument or captured: causal, a window, documents, padding, anything.
    pub(crate) fn mask(&mut self, shape: &[usize]) -> usize {
        let (rows, columns) = (shape[shape.len() - 2], shape[shape.len() - 1]);
        let (kind, width) = (self.rng.below(7), 1 + self.rng.below(columns.max(1)));
        let elements: Vec<bool> = (0..shape.iter().product())
            .map(|p| {
                let (i, j) = (p / columns % rows, p % columns);
                match kind {
                    0 => j <= i,
                    1 => j <= i && i < j + width,
                    2 => i / width == j / width,
                    3 => j < width,
                    4 => j + width >= columns && i != width,
                    5 => true,
                    _ => self.rng.below(2) == 0,
                }
            })
            .collect();
        let mask = Tensor::from(elements).reshape(shape);
        if self.one_in(3) { self.constant(mask) } else { self.input(mask) }
    }

    pub(crate) fn draw(&mut self, dtype: DType, shape: &Shape) -> Tensor {
        let special = self.one_in(6);
        let v: Vec<f64> = (0..shape.size())
            .map(|_| match dtype {
                DType::F32 | DType::F64 | DType::Bf16 | DType::F16 if special && self.rng.below(4) == 0 => {
                    [0.0, -0.0, 1.0, -1.0, 0.5, 2.0][self.rng.below(6)]
                }
                DType::F32 | DType::F64 | DType::Bf16 | DType::F16 => self.rng.uniform(-1.5, 1.5),
                DType::Bool => self.rng.below(2) as f64,
                DType::U8 => self.rng.below(9) as f64,
                DType::I32 | DType::I64 => self.rng.below(9) as f64 - 4.0,
            })
            .collect();
        Tensor::new(shape.clone(), v).expect("as many elements as the shape has").cast(dtype)
    }

    /// Appends a step and computes it.
    pub(crate) fn push(&mut self, step: Operation, args: &[usize]) -> usize {
        let step = step.on(args);
        self.program.nodes.push(Node::Operation(step.clone()));
        let value = run(&step, &self.values);
        self.values.push(value);
        self.values.len() - 1
    }

    pub(crate) fn shape(&self, slot: usize) -> Shape {
        self.values[slot].shape().clone()
    }
    pub(crate) fn rank(&self, slot: usize) -> usize {
        self.values[slot].rank()
    }
    pub(crate) fn dtype(&self, slot: usize) -> DType {
        self.values[slot].dtype()
    }
    pub(crate) fn size(&self, slot: usize) -> usize {
        self.values[slot].size()
    }

    /// A slot for which `fits` holds, rather a late one.
    pub(crate) fn pick(&mut self, fits: impl Fn(&Tensor) -> bool) -> Option<usize> {
        let found: Vec<usize> = (0..self.values.len()).filter(|&i| fits(&self.values[i])).collect();
        let n = found.len();
        (n > 0).then(|| {
            let back = if self.rng.below(3) > 0 {
                self.rng.below(n).min(self.rng.below(n))
            } else {
                self.rng.below(n)
            };
            found[n - 1 - back]
        })
    }
    pub(crate) fn float(&mut self) -> Option<usize> {
        self.pick(|t| t.dtype().is_float())
    }
    /// A float that has at least so many axes.
    pub(crate) fn float_of(&mut self, rank: usize) -> Option<usize> {
        self.pick(|t| t.dtype().is_float() && t.rank() >= rank)
    }

    pub(crate) fn axis(&mut self, slot: usize) -> Option<usize> {
        let rank = self.rank(slot);
        (rank > 0).then(|| self.rng.below(rank))
    }

    /// A partner of a slot with its dtype, of its shape or one that broadcasts with it.
    pub(crate) fn partner(&mut self, x: usize) -> usize {
        let (dtype, shape, limit) = (self.dtype(x), self.shape(x), self.limit);
        if self.one_in(4) {
            let narrow: Shape = shape.iter().map(|&d| if self.rng.below(2) == 0 { 1 } else { d }).collect();
            let skip = self.rng.below(narrow.rank() + 1);
            return self.fresh(dtype, &narrow[skip..]);
        }
        let joins =
            |t: &Tensor| t.dtype() == dtype && t.shape().broadcast(&shape).is_some_and(|s| s.size() <= limit);
        self.pick(joins).unwrap_or(x)
    }

    /// `x` with this dtype and shape: cast, and broadcast if that fits, else its sum is.
    pub(crate) fn fit(&mut self, x: usize, dtype: DType, shape: &Shape) -> usize {
        let x = if self.dtype(x) == dtype { x } else { self.push(step!(|x| x.cast(dtype); dtype), &[x]) };
        let from = self.shape(x);
        if &from == shape {
            return x;
        }
        let to: Vec<usize> = shape.to_vec();
        if from.broadcast(shape).as_ref() == Some(shape) {
            return self.push(step!(|x| x.broadcast_to(to.clone()); to), &[x]);
        }
        if from.size() == shape.size() {
            return self.push(step!(|x| x.reshape(to.clone()); to), &[x]);
        }
        let sum = match dtype {
            DType::Bool => self.push(step!(|x| x.any(())), &[x]),
            _ => self.push(step!(|x| x.sum(())), &[x]),
        };
        self.push(step!(|x| x.broadcast_to(to.clone()); to), &[sum])
    }

    /// `x`, or a function of it, where all elements lie in a domain.
    pub(crate) fn within(&mut self, x: usize, domain: Domain) -> usize {
        let values = self.values[x].cast(DType::F64).to_vec::<f64>();
        // Now and then a function meets arguments outside of its domain.
        if values.iter().all(|&v| holds(domain, v)) || self.one_in(60) {
            return x;
        }
        let step = match domain {
            Domain::All => return x,
            Domain::Positive | Domain::NonZero => step!(|x| x.abs() + 0.5),
            Domain::AboveMinusOne => step!(|x| x.abs()),
            Domain::Unit => step!(|x| x.tanh() * 0.8),
            Domain::AboveOne => step!(|x| x.square() + 1.5),
        };
        self.push(step, &[x])
    }

    /// Draws steps until there are so many, then chooses results.
    pub(crate) fn grow(&mut self, steps: usize) {
        if self.values.is_empty() {
            let inputs = 1 + self.rng.below(3);
            for _ in 0..inputs {
                let dtype = if self.one_in(8) {
                    self.choose(&[DType::F32, DType::F64, DType::F16])
                } else {
                    self.float
                };
                let shape = self.some_shape();
                let value = self.draw(dtype, &shape);
                self.input(value);
            }
        }
        let from = self.program.steps();
        let mut tries = 0;
        while self.program.steps() < from + steps && tries < 8 * steps {
            tries += 1;
            self.one_step();
        }
    }

    /// A step of any kind, and a function that brings large values back.
    fn one_step(&mut self) {
        let Some(slot) = kinds::draw(self) else { return };
        if !self.dtype(slot).is_float() {
            return;
        }
        let large = self.values[slot].cast(DType::F64).to_vec::<f64>().iter().any(|v| v.abs() > LARGE);
        if large {
            let step = match self.rng.below(4) {
                0 => step!(|x| x.tanh()),
                1 => step!(|x| x.sin()),
                2 => step!(|x| x.asinh()),
                _ => step!(|x| x / (x.abs() + 1.0)),
            };
            self.push(step, &[slot]);
        }
    }

    pub(crate) fn some_shape(&mut self) -> Shape {
        let extents: &[usize] =
            if self.limit > 512 { &[0, 1, 2, 3, 5, 8, 17, 33, 60] } else { &[0, 1, 1, 2, 2, 3, 3, 4, 5] };
        let rank = self.choose(&[0, 1, 1, 2, 2, 2, 3, 3, 4]);
        loop {
            let mut shape: Shape = (0..rank).map(|_| self.choose(extents)).collect();
            // Most programs have elements.
            if shape.size() == 0 && !self.one_in(12) {
                shape = shape.iter().map(|&d| d.max(1)).collect();
            }
            if shape.size() <= self.limit {
                return shape;
            }
        }
    }

    /// The last float and some others: any, or those that nothing reads.
    pub(crate) fn results(&mut self) {
        let Some(last) = (0..self.values.len()).rev().find(|&i| self.dtype(i).is_float()) else { return };
        self.program.outputs = vec![last];
        if self.one_in(2) {
            let mut unread = vec![true; self.values.len()];
            for node in &self.program.nodes {
                if let Node::Operation(step) = node {
                    step.args.iter().for_each(|&a| unread[a] = false);
                }
            }
            let steps =
                (0..last).filter(|&i| unread[i] && matches!(self.program.nodes[i], Node::Operation(_)));
            self.program.outputs.extend(steps.take(7));
            return;
        }
        for _ in 0..self.rng.below(3) {
            let other = self.rng.below(self.values.len());
            if !self.program.outputs.contains(&other) || self.one_in(10) {
                self.program.outputs.push(other);
            }
        }
    }

    /// A short program from tensors like these to tensors like those `results` say.
    pub(crate) fn body(&mut self, inputs: &[Tensor], results: &[(DType, Shape)]) -> Body {
        let (limit, depth, float) = (self.limit, self.depth + 1, self.float);
        let mut inner =
            Grower { rng: self.rng, program: Program::default(), values: Vec::new(), limit, depth, float };
        inputs.iter().for_each(|t| {
            inner.input(t.clone());
        });
        let steps = 1 + inner.rng.below(4);
        inner.grow(steps);
        let mut outputs = Vec::new();
        for (k, (dtype, shape)) in results.iter().enumerate() {
            let from = if inner.one_in(5) { k.min(inputs.len() - 1) } else { inner.values.len() - 1 };
            let mut slot = inner.fit(from, *dtype, shape);
            if dtype.is_float() && !inner.one_in(6) {
                let bounded = if inner.one_in(2) { step!(|x| x.sin()) } else { step!(|x| x.tanh()) };
                slot = inner.push(bounded, &[slot]);
            }
            outputs.push(slot);
        }
        inner.program.outputs = outputs;
        // Inputs that turned up on the way are constants of the body.
        let mut seen = 0;
        for node in &mut inner.program.nodes {
            if let Node::Input(t) = node {
                seen += 1;
                if seen > inputs.len() {
                    *node = Node::Constant(t.clone());
                }
            }
        }
        Body(inner.program.pruned())
    }
}
