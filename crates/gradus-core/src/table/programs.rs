//! Random programs for property tests: well-typed graphs of any length over most of the primitives.
//!
//! Values are computed while a program grows, so that every primitive is applied inside its domain; what may sit
//! near a kink is left out of programs that are to be compared with finite differences.

use std::sync::Arc;

use smallvec::smallvec;

use super::random::{Range, Rng, Sampled};
use crate::ops::{
    ArgReduce, Axes, Broadcast, Call, CallKind, Clamp, Compare, Concat, Cond, Conv, Cumulative,
    CumulativeKind, Dot, Gather, MaxPool, Pad, Permute, Recurrence, Reduce, ReduceKind, Reshape, Reverse,
    Scan, ScatterAdd, Select, Slice, Sort, SumPool, Window,
};
use crate::{Array, Binary, Builder, DType, Graph, Op, Result, Shape, Type, Unary, Var};

/// What a random program is made of.
#[derive(Clone, Copy, Debug)]
pub struct Recipe {
    /// How many primitives are drawn; a few more may be needed to join shapes.
    pub length: usize,
    /// Leaves out maxima, comparisons of data and everything else with kinks.
    pub smooth: bool,
    /// Allows sub-programs: a choice, a loop, a checkpoint.
    pub control: bool,
}

/// A program with the operands it was grown on.
#[derive(Clone, Debug)]
pub struct Program {
    /// The program.
    pub graph: Graph,
    /// How its inputs are drawn.
    pub inputs: Vec<Sampled>,
    /// Values of the inputs inside every domain.
    pub args: Vec<Array>,
}

impl Program {
    /// Other values of the inputs, on which parts of the program may leave their domain.
    pub fn draw(&self, rng: &mut Rng) -> Vec<Array> {
        self.inputs.iter().map(|s| s.draw(rng)).collect()
    }
}

/// A value of the program under construction.
#[derive(Clone)]
struct Value {
    var: Var,
    array: Array,
}

struct Grower<'a> {
    b: Builder,
    rng: &'a mut Rng,
    recipe: Recipe,
    values: Vec<Value>,
    indices: Option<Value>,
}

/// The largest absolute value kept; beyond it a value is squashed.
const LARGE: f64 = 2.0;
/// Distance from poles.
const CLEAR: f64 = 0.5;

/// Grows a program.
///
/// # Errors
/// Only by a defect of a shape rule: every equation drawn is well typed.
pub fn random_program(seed: u64, recipe: Recipe) -> Result<Program> {
    let mut rng = Rng::new(seed);
    let mut b = Builder::new();
    let mut inputs = Vec::new();
    for _ in 0..2 + rng.below(2) {
        let rank = rng.below(4);
        let shape: Shape = (0..rank).map(|_| 1 + rng.below(3)).collect();
        inputs.push(Sampled::f64(shape, Range::Uniform(-1.0, 1.0)));
    }
    inputs.push(Sampled::of(DType::I64, [2], Range::Values(vec![0.0, -1.0])));
    let args: Vec<Array> = inputs.iter().map(|s| s.draw(&mut rng)).collect();
    let mut values: Vec<Value> = inputs
        .iter()
        .zip(&args)
        .map(|(s, a)| Value { var: b.input(s.ty.clone()), array: a.clone() })
        .collect();
    let indices = values.pop();
    let mut grower = Grower { b, rng: &mut rng, recipe, values, indices };
    for _ in 0..recipe.length {
        grower.step()?;
    }
    // The last values are the results, and so that every input counts, the sum of all values.
    let outputs = grower.outputs()?;
    Ok(Program { graph: grower.b.finish(outputs), inputs, args })
}

impl Grower<'_> {
    /// Emits a primitive, computing its results too.
    fn emit(&mut self, op: impl Into<Op>, operands: &[Value]) -> Result<Vec<Value>> {
        let op = op.into();
        let vars: Vec<Var> = operands.iter().map(|v| v.var).collect();
        let outputs = self.b.emit(op.clone(), &vars)?;
        let arrays: Vec<&Array> = operands.iter().map(|v| &v.array).collect();
        let results = op.row().eval(&arrays)?;
        Ok(outputs.into_iter().zip(results).map(|(var, array)| Value { var, array }).collect())
    }

    fn emit1(&mut self, op: impl Into<Op>, operands: &[Value]) -> Result<Value> {
        Ok(self.emit(op, operands)?.swap_remove(0))
    }

    fn full(&mut self, shape: &Shape, value: f64) -> Value {
        let ty = Type::new(DType::F64, shape.clone());
        Value { var: self.b.full(&ty, value), array: Array::full(shape.clone(), DType::F64, value) }
    }

    /// Any value, rather a late one.
    fn pick(&mut self) -> Value {
        let n = self.values.len();
        let back = self.rng.below(n).min(self.rng.below(n));
        self.values[n - 1 - back].clone()
    }

    /// `x` brought to a shape: broadcast if that fits, else its sum is.
    fn fit(&mut self, x: &Value, shape: &Shape) -> Result<Value> {
        let from = x.array.shape().clone();
        if &from == shape {
            return Ok(x.clone());
        }
        if from.broadcast(shape).as_ref() == Some(shape) {
            let axes = (shape.rank() - from.rank()..shape.rank()).collect();
            return self.emit1(Broadcast { shape: shape.clone(), axes }, std::slice::from_ref(x));
        }
        let axes = (0..from.rank()).collect();
        let sum = self.emit1(Reduce { kind: ReduceKind::Sum, axes }, std::slice::from_ref(x))?;
        if shape.rank() == 0 {
            return Ok(sum);
        }
        self.emit1(Broadcast { shape: shape.clone(), axes: smallvec![] }, &[sum])
    }

    fn bound(x: &Value) -> (f64, f64, f64) {
        let v = x.array.to_f64();
        let least = v.iter().copied().fold(f64::INFINITY, f64::min);
        let most = v.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        let nearest = v.iter().map(|x| x.abs()).fold(f64::INFINITY, f64::min);
        (least, most, nearest)
    }

    fn axis(&mut self, x: &Value) -> Option<usize> {
        let rank = x.array.shape().rank();
        (rank > 0).then(|| self.rng.below(rank))
    }

    fn some_axes(&mut self, rank: usize) -> Axes {
        (0..rank).filter(|_| self.rng.below(2) == 0).collect()
    }

    fn unary(&mut self, x: &Value) -> Unary {
        use Unary::*;
        let (least, _, nearest) = Self::bound(x);
        let positive = [Log, Sqrt, Rsqrt, Log2, Cbrt, Lgamma, Polygamma(0)];
        let away = [Recip, Powi(-2), Abs, Cbrt];
        let kinked = [Abs, Floor, Sign, Round];
        let all = [
            Neg,
            Exp,
            Exp2,
            Expm1,
            Sin,
            Cos,
            Atan,
            Tanh,
            Asinh,
            Sech2,
            Sigmoid,
            Softplus,
            Erf,
            Erfc,
            Powi(2),
            Powi(3),
            Sinh,
        ];
        match self.rng.below(4) {
            0 if least > CLEAR => positive[self.rng.below(positive.len())],
            0 if nearest > CLEAR => away[self.rng.below(away.len())],
            1 if !self.recipe.smooth => kinked[self.rng.below(kinked.len())],
            _ => all[self.rng.below(all.len())],
        }
    }

    fn binary(&mut self, x: &Value, y: &Value) -> Binary {
        use Binary::*;
        let ((least, ..), (.., nearest)) = (Self::bound(x), Self::bound(y));
        let kinked = [Max, Min];
        let all = [Add, Sub, Mul, Mul];
        match self.rng.below(5) {
            0 if nearest > CLEAR => [Div, Hypot, Atan2][self.rng.below(3)],
            1 if least > CLEAR => Pow,
            2 if !self.recipe.smooth => kinked[self.rng.below(2)],
            _ => all[self.rng.below(all.len())],
        }
    }

    /// Draws one primitive and keeps its float result, squashed if it is large.
    fn step(&mut self) -> Result<()> {
        let Some(result) = self.draw()? else { return Ok(()) };
        let (least, most, _) = Self::bound(&result);
        let result = if least.abs().max(most.abs()) > LARGE && result.array.size() > 0 {
            let op = [Unary::Tanh, Unary::Sin, Unary::Asinh][self.rng.below(3)];
            self.emit1(op, &[result])?
        } else {
            result
        };
        if result.array.size() <= 64 {
            self.values.push(result);
        }
        Ok(())
    }

    fn draw(&mut self) -> Result<Option<Value>> {
        let x = self.pick();
        let own = std::slice::from_ref(&x);
        let shape = x.array.shape().clone();
        let rank = shape.rank();
        Ok(Some(match self.rng.below(20) {
            0..=3 => {
                let op = self.unary(&x);
                self.emit1(op, own)?
            }
            4..=7 => {
                let y = self.pick();
                let shape = match shape.broadcast(y.array.shape()) {
                    Some(joint) if joint.size() <= 64 => joint,
                    _ => shape,
                };
                let (x, y) = (self.fit(&x, &shape)?, self.fit(&y, &shape)?);
                let op = self.binary(&x, &y);
                self.emit1(op, &[x, y])?
            }
            8 => {
                let y = self.pick();
                let y = self.fit(&y, &shape)?;
                let mask = if self.recipe.smooth {
                    // A mask that does not depend on the data.
                    let zero = self.full(&shape, 0.0);
                    let sign = self.rng.signed();
                    let fixed = self.full(&shape, sign);
                    self.emit1(Compare::Gt, &[fixed, zero])?
                } else {
                    let order = Compare::ALL[2 + self.rng.below(4)];
                    self.emit1(order, &[x.clone(), y.clone()])?
                };
                self.emit1(Select, &[mask, x, y])?
            }
            9..=11 => return self.movement(&x).map(Some),
            12..=13 => {
                let kinds: &[ReduceKind] =
                    if self.recipe.smooth { &ReduceKind::ALL[..2] } else { &ReduceKind::ALL };
                let kind = kinds[self.rng.below(kinds.len())];
                let axes = self.some_axes(rank);
                self.emit1(Reduce { kind, axes }, own)?
            }
            14 => return self.along(&x),
            15..=16 => return self.product(&x).map(Some),
            17 => return self.indexed(&x),
            18 if self.recipe.control => return self.control(&x).map(Some),
            _ if !self.recipe.smooth => {
                let y = self.pick();
                let bound = self.rng.uniform(0.0, 1.0);
                let (low, high) = (self.fit(&y, &shape)?, self.full(&shape, bound));
                self.emit1(Clamp, &[x, low, high])?
            }
            _ => return Ok(None),
        }))
    }

    fn movement(&mut self, x: &Value) -> Result<Value> {
        let own = std::slice::from_ref(x);
        let shape = x.array.shape().clone();
        let rank = shape.rank();
        match self.rng.below(7) {
            0 => self.emit1(Reshape([shape.size()].into()), own),
            1 => {
                let mut axes: Axes = (0..rank).collect();
                axes.reverse();
                self.emit1(Permute { axes }, own)
            }
            2 if rank < 3 => {
                let wider = shape.insert(0, 1 + self.rng.below(3));
                self.fit(x, &wider)
            }
            3 if rank > 0 => {
                let axis = self.rng.below(rank);
                let start = self.rng.below(shape[axis]);
                let mut slice = Slice::along(&shape, axis, start, shape[axis]);
                slice.step[axis] = 1 + self.rng.below(2);
                self.emit1(slice, own)
            }
            4 if rank > 0 && shape.size() <= 12 => {
                let mut any = || (0..rank).map(|_| self.rng.below(2)).collect::<Axes>();
                let pad = Pad { low: any(), high: any(), interior: any() };
                self.emit1(pad, own)
            }
            5 if rank > 0 => {
                let axis = self.rng.below(rank);
                let y = self.pick();
                let y = self.fit(&y, &shape)?;
                self.emit1(Concat { axis }, &[x.clone(), y])
            }
            _ => {
                let axes = self.some_axes(rank);
                self.emit1(Reverse { axes }, own)
            }
        }
    }

    /// Running reductions, sorting and pooling along one axis.
    fn along(&mut self, x: &Value) -> Result<Option<Value>> {
        let Some(axis) = self.axis(x) else { return Ok(None) };
        let (own, reverse) = (std::slice::from_ref(x), self.rng.below(2) == 0);
        Ok(Some(match self.rng.below(if self.recipe.smooth { 3 } else { 5 }) {
            0 => {
                let kind = CumulativeKind::ALL[self.rng.below(2)];
                self.emit1(Cumulative { kind, axis, reverse }, own)?
            }
            1 => {
                let y = self.pick();
                let y = self.fit(&y, x.array.shape())?;
                self.emit1(Recurrence { axis, reverse, strong: false }, &[x.clone(), y])?
            }
            2 => {
                let window = Window { high: smallvec![1], stride: smallvec![1], ..Window::tiles(&[2]) };
                self.emit1(SumPool { window }, own)?
            }
            3 => {
                let window = Window { high: smallvec![1], stride: smallvec![1], ..Window::tiles(&[2]) };
                self.emit1(MaxPool { window }, own)?
            }
            _ => self.emit1(Sort { axis, descending: reverse }, own)?,
        }))
    }

    /// A product with another value, by contraction or convolution.
    fn product(&mut self, x: &Value) -> Result<Value> {
        let shape = x.array.shape().clone();
        if shape.rank() == 3 && self.rng.below(2) == 0 {
            let y = self.pick();
            let taps = 1 + self.rng.below(shape[2].min(2));
            let kernel = Shape::from([1 + self.rng.below(2), shape[1], taps]);
            let kernel = self.fit(&y, &kernel)?;
            let conv = Conv { low: smallvec![1], stride: smallvec![1 + self.rng.below(2)], ..Conv::new(1) };
            return self.emit1(conv, &[x.clone(), kernel]);
        }
        let y = self.pick();
        let other = y.array.shape().clone();
        let mut pairs = (0..shape.rank()).flat_map(|i| (0..other.rank()).map(move |j| (i, j)));
        let pair = pairs.find(|&(i, j)| shape[i] == other[j]);
        let rest = |s: &Shape| s.size();
        match pair {
            Some((i, j)) if rest(&shape) * rest(&other) / (shape[i] * shape[i]).max(1) <= 64 => {
                let dot = Dot {
                    lhs_batch: smallvec![],
                    rhs_batch: smallvec![],
                    lhs_contract: smallvec![i],
                    rhs_contract: smallvec![j],
                    strong: false,
                };
                self.emit1(dot, &[x.clone(), y])
            }
            _ => {
                let y = self.fit(&y, &shape)?;
                let all: Axes = (0..shape.rank()).collect();
                let dot = Dot {
                    lhs_batch: all.iter().copied().take(1).collect(),
                    rhs_batch: all.iter().copied().take(1).collect(),
                    lhs_contract: all.iter().copied().skip(1).collect(),
                    rhs_contract: all.iter().copied().skip(1).collect(),
                    strong: false,
                };
                self.emit1(dot, &[x.clone(), y])
            }
        }
    }

    /// Reads or adds at indices, given or found in the data.
    fn indexed(&mut self, x: &Value) -> Result<Option<Value>> {
        let (Some(axis), Some(indices)) = (self.axis(x), self.indices.clone()) else { return Ok(None) };
        let shape = x.array.shape().clone();
        Ok(Some(match self.rng.below(3) {
            0 if !self.recipe.smooth => {
                let at = self.emit1(ArgReduce { max: true, axis: 0 }, std::slice::from_ref(x))?;
                let whole = at.array.shape().size();
                let at = self.emit1(Reshape([whole].into()), &[at])?;
                self.emit1(Gather { axis: 0, batch: 0 }, &[x.clone(), at])?
            }
            1 => {
                let mut updates = shape.clone();
                updates[axis] = 2;
                let y = self.pick();
                let y = self.fit(&y, &updates)?;
                self.emit1(ScatterAdd { axis, batch: 0 }, &[x.clone(), indices, y])?
            }
            _ => self.emit1(Gather { axis, batch: 0 }, &[x.clone(), indices])?,
        }))
    }

    /// A sub-program over values of the shape of `x`.
    fn control(&mut self, x: &Value) -> Result<Value> {
        let shape = x.array.shape().clone();
        let y = self.pick();
        let y = self.fit(&y, &shape)?;
        match self.rng.below(3) {
            0 => {
                let zero = self.full(&Shape::scalar(), 0.0);
                let sign = self.rng.signed();
                let sign = self.full(&Shape::scalar(), sign);
                let choice = self.emit1(Compare::Gt, &[sign, zero])?;
                let cond = Cond { on_true: self.body(&shape, 2, 1)?, on_false: self.body(&shape, 2, 1)? };
                self.emit1(cond, &[choice, x.clone(), y])
            }
            1 => {
                let length = 1 + self.rng.below(3);
                let rows = self.fit(x, &shape.insert(0, length))?;
                let body = self.body(&shape, 3, 2)?;
                let scan = Scan {
                    constants: 1,
                    carry: 1,
                    length,
                    reverse: self.rng.below(2) == 0,
                    body,
                    checkpoints: None,
                };
                let results = self.emit(scan, &[x.clone(), y, rows])?;
                let total =
                    self.emit1(Reduce { kind: ReduceKind::Sum, axes: smallvec![0] }, &results[1..])?;
                self.emit1(Binary::Add, &[results[0].clone(), total])
            }
            _ => {
                let body = self.body(&shape, 2, 1)?;
                self.emit1(Call { kind: CallKind::Checkpoint, body }, &[x.clone(), y])
            }
        }
    }

    /// A short smooth program from values of one shape to values of that shape.
    fn body(&mut self, shape: &Shape, inputs: usize, outputs: usize) -> Result<Arc<Graph>> {
        let mut b = Builder::new();
        let ty = Type::new(DType::F64, shape.clone());
        let mut values: Vec<Var> = (0..inputs).map(|_| b.input(ty.clone())).collect();
        for _ in 0..2 + self.rng.below(3) {
            let (x, y) = (values[self.rng.below(values.len())], values[self.rng.below(values.len())]);
            let z = b.emit1([Binary::Add, Binary::Mul, Binary::Sub][self.rng.below(3)], &[x, y])?;
            let squash = [Unary::Tanh, Unary::Sin, Unary::Sigmoid, Unary::Atan][self.rng.below(4)];
            values.push(b.emit1(squash, &[z])?);
        }
        Ok(Arc::new(b.finish(values.split_off(values.len() - outputs))))
    }

    fn outputs(&mut self) -> Result<Vec<Var>> {
        let last = self.values[self.values.len().saturating_sub(2)..].to_vec();
        let mut total = self.full(&Shape::scalar(), 0.0);
        for value in self.values.clone() {
            let part = self.fit(&value, &Shape::scalar())?;
            total = self.emit1(Binary::Add, &[total, part])?;
        }
        Ok(last.into_iter().chain([total]).map(|v| v.var).collect())
    }
}
