//! Operations over a named axis: what the examples of a batch, or the devices of a mesh, make together.

use std::sync::Arc;

use smallvec::{SmallVec, smallvec};

use crate::graph::Vars;
use crate::nest::level;
use crate::ops::{
    Broadcast, Compare, Iota, LinearMul, Reduce, ReduceKind, Select, jvp_linear, jvp_zero, move_axis,
};
use crate::primitive::{Arrays, Tangents, Types, not_linear};
use crate::transforms::Lanes;
use crate::{
    Array, Batched, Binary, Builder, Cost, DEAD, DType, Doc, ErrorKind, Graph, Jvp, Op, Operand, Primitive,
    Result, Shape, Type, Unary, Var,
};

/// What an operation over a named axis computes, `xᵢ` being the operand of example `i` of `n`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum CollectiveKind {
    /// `Σ xᵢ`, the same for every example.
    Sum,
    /// The largest `xᵢ`; NaN if any is.
    Max,
    /// The smallest `xᵢ`; NaN if any is.
    Min,
    /// `i`, an `i64`; without operand.
    Index,
    /// `(x₀, …, xₙ₋₁)`, stacked along a new first axis, the same for every example.
    Gather,
    /// Of operands with `n` rows each, the sum of the rows `i`: `Σⱼ xⱼ[i]`.
    Scatter,
}

/// An operation over a named axis, which [`vmap`](crate::transforms::vmap) with that name gives its meaning. Outside of
/// it a value is the same for every example.
#[derive(Clone, Debug, PartialEq, Hash)]
pub struct Collective {
    /// The name of the axis.
    pub name: Arc<str>,
    /// Its extent.
    pub size: usize,
    /// What is computed.
    pub kind: CollectiveKind,
}

impl Collective {
    fn with(&self, kind: CollectiveKind) -> Self {
        Collective { kind, ..self.clone() }
    }

    fn reduction(&self) -> Option<ReduceKind> {
        match self.kind {
            CollectiveKind::Sum | CollectiveKind::Scatter => Some(ReduceKind::Sum),
            CollectiveKind::Max => Some(ReduceKind::Max),
            CollectiveKind::Min => Some(ReduceKind::Min),
            CollectiveKind::Index | CollectiveKind::Gather => None,
        }
    }

    /// Whether each example has a result of its own, whatever it is given.
    pub(crate) fn per_example(&self) -> bool {
        matches!(self.kind, CollectiveKind::Index | CollectiveKind::Scatter)
    }

    /// As many as there are examples times a value that is the same for all.
    fn times(&self, b: &mut Builder, x: Var) -> Result<Var> {
        let n = b.full(&b.ty(x).clone(), self.size as f64);
        if b.dtype(x).is_differentiable() {
            return b.emit1(LinearMul::RESIDUAL, &[n, x]);
        }
        b.emit1(Binary::Mul, &[n, x])
    }

    /// The operation over the axis of this name that is being mapped over.
    fn mapped(&self, b: &mut Builder, inputs: &[Batched]) -> Result<Batched> {
        let Some(&(x, batched)) = inputs.first() else {
            let shape = Shape::from([self.size]);
            return Ok((b.emit1(Iota { dtype: DType::I64, shape, axis: 0 }, &[])?, true));
        };
        let value = match (self.reduction(), batched) {
            (Some(kind), true) => b.emit1(Reduce { kind, axes: smallvec![0] }, &[x])?,
            (Some(ReduceKind::Sum), false) => self.times(b, x)?,
            (Some(_), false) | (None, true) => x,
            (None, false) => {
                let shape = b.shape(x).insert(0, self.size);
                let axes = (1..shape.rank()).collect();
                b.emit1(Broadcast { shape, axes }, &[x])?
            }
        };
        Ok((value, self.per_example()))
    }
}

impl Graph {
    /// The named axes that operations in it are over, each once.
    pub fn axes(&self) -> &[Arc<str>] {
        let find = || {
            let mut axes: Vec<Arc<str>> = Vec::new();
            let mut add = |name: &Arc<str>| {
                if !axes.contains(name) {
                    axes.push(name.clone());
                }
            };
            level(|| {
                for eqn in self.eqns() {
                    match &eqn.op {
                        Op::Collective(p) => add(&p.name),
                        op => op.graphs().iter().flat_map(|graph| graph.axes()).for_each(&mut add),
                    }
                }
            });
            axes.into()
        };
        self.answers.axes.get_or_init(find)
    }

    /// Whether an operation in it is over the axis of this name.
    pub(crate) fn is_over(&self, name: &str) -> bool {
        self.axes().iter().any(|axis| &**axis == name)
    }
}

impl Primitive for Collective {
    fn doc(&self) -> Doc {
        let (name, formula, derivative, domain) = match self.kind {
            CollectiveKind::Sum => ("psum", "Σ xᵢ over a named axis", "linear", "all x"),
            CollectiveKind::Max => {
                ("pmax", "max xᵢ over a named axis", "1/k for each of the k largest", "NaN if any is")
            }
            CollectiveKind::Min => {
                ("pmin", "min xᵢ over a named axis", "1/k for each of the k smallest", "NaN if any is")
            }
            CollectiveKind::Index => ("axis_index", "i", "none: the result is an integer", "a mapped axis"),
            CollectiveKind::Gather => ("all_gather", "(x₀, …, xₙ₋₁)", "linear", "all x"),
            CollectiveKind::Scatter => ("psum_scatter", "Σⱼ xⱼ[i]", "linear", "n rows"),
        };
        Doc { name, formula, derivative, domain }
    }
    fn infer(&self, inputs: &[Type]) -> Result<Types, ErrorKind> {
        let op = self.doc().name;
        let Some(ty) = inputs.first() else { return Ok(smallvec![Type::new(DType::I64, [])]) };
        let numbers = ty.dtype.is_float() || ty.dtype.is_int();
        if !numbers && self.kind != CollectiveKind::Gather {
            let detail = "it takes floats or integers; cast first".into();
            return Err(ErrorKind::DType { op, dtypes: vec![ty.dtype], detail });
        }
        Ok(smallvec![match self.kind {
            CollectiveKind::Sum | CollectiveKind::Max | CollectiveKind::Min | CollectiveKind::Index => {
                ty.clone()
            }
            CollectiveKind::Gather => ty.with_shape(op, ty.shape.insert(0, self.size))?,
            CollectiveKind::Scatter if ty.shape.first() == Some(&self.size) => {
                ty.with_shape(op, ty.shape.remove(0))?
            }
            CollectiveKind::Scatter => {
                let detail = format!("the first axis has a row for each of {} examples", self.size);
                return Err(ErrorKind::Shape { op, shapes: vec![ty.shape.clone()], detail });
            }
        }])
    }
    fn eval(&self, inputs: &[&Array]) -> Result<Arrays, ErrorKind> {
        if self.per_example() && self.size != 1 {
            let detail = format!(
                "it is another for each example of the axis `{}`, over which nothing is mapped here",
                self.name
            );
            return Err(ErrorKind::Argument { op: self.doc().name, detail });
        }
        // The program of an axis over which all operands are the same.
        let mut b = Builder::new();
        let types = inputs.iter().map(|x| Type::new(x.dtype(), x.shape().clone()));
        let args: Vec<Batched> = types.map(|ty| (b.input(ty), false)).collect();
        let run = |b: &mut Builder| -> Result<Vec<Array>> {
            let (value, rows) = self.mapped(b, &args)?;
            let graph = std::mem::take(b).finish(vec![value]);
            let args: Vec<Array> = inputs.iter().map(|&x| x.clone()).collect();
            let mut results = crate::interpret(&graph, &args)?;
            if rows {
                let row = results[0].shape().remove(0);
                results[0] = results[0].reshaped(row)?;
            }
            Ok(results)
        };
        Ok(run(&mut b).map_err(|e| e.kind().clone())?.into())
    }
    fn jvp(&self, b: &mut Builder, _: Jvp, inputs: &[Var], t: &[Option<Var>]) -> Result<(Vars, Tangents)> {
        let loses = match self.kind {
            CollectiveKind::Index => return jvp_zero(self.clone(), b, inputs),
            CollectiveKind::Sum | CollectiveKind::Gather | CollectiveKind::Scatter => {
                return jvp_linear(self.clone(), b, inputs, t);
            }
            CollectiveKind::Max => Compare::Lt,
            CollectiveKind::Min => Compare::Gt,
        };
        let (x, Some(dx)) = (inputs[0], t[0]) else { unreachable!("some tangent is not zero") };
        let out = b.emit1(self.clone(), inputs)?;
        let sum = self.with(CollectiveKind::Sum);
        let ty = b.ty(x).clone();
        let (one, zero, dead) = (b.full(&ty, 1.0), b.full(&ty, 0.0), b.full(&ty, DEAD));
        // Of a NaN nobody loses, and the share is NaN.
        let loses = b.emit1(loses, &[x, out])?;
        let ones = b.emit1(Select, &[loses, zero, one])?;
        let count = b.emit1(sum.clone(), &[ones])?;
        let share = b.emit1(Unary::Recip, &[count])?;
        let number = b.emit1(Compare::Eq, &[out, out])?;
        let nan = b.full(&ty, f64::NAN);
        let share = b.emit1(Select, &[number, share, nan])?;
        let chosen = b.emit1(Select, &[loses, dead, dx])?;
        let total = b.emit1(sum, &[chosen])?;
        let tangent = b.emit1(LinearMul::RESIDUAL, &[share, total])?;
        Ok((smallvec![out], smallvec![Some(tangent)]))
    }
    fn transpose(&self, b: &mut Builder, inputs: &[Operand], ct: &[Option<Var>]) -> Result<Tangents> {
        let (Some(Operand::Linear(_)), Some(ct)) = (inputs.first(), ct[0]) else {
            return Ok(inputs.iter().map(|_| None).collect());
        };
        // What all examples read alike has the sum of what they give back.
        let back = match self.kind {
            CollectiveKind::Sum => self.clone(),
            CollectiveKind::Gather => self.with(CollectiveKind::Scatter),
            CollectiveKind::Scatter => self.with(CollectiveKind::Gather),
            CollectiveKind::Max | CollectiveKind::Min | CollectiveKind::Index => {
                return Err(not_linear(self.doc().name));
            }
        };
        Ok(smallvec![Some(b.emit1(back, &[ct])?)])
    }
    fn batch(&self, b: &mut Builder, inputs: &[Batched], lanes: Lanes<'_>) -> Result<SmallVec<[Batched; 4]>> {
        if lanes.name == Some(&*self.name) {
            return Ok(smallvec![self.mapped(b, inputs)?]);
        }
        // Another axis: it stands behind that of the rows.
        let mut x = inputs[0].0;
        if self.kind == CollectiveKind::Scatter {
            x = move_axis(b, x, 0, 1)?;
        }
        let mut out = b.emit1(self.clone(), &[x])?;
        if self.kind == CollectiveKind::Gather {
            out = move_axis(b, out, 1, 0)?;
        }
        Ok(smallvec![(out, true)])
    }
    fn cost(&self, inputs: &[Type], outputs: &[Type]) -> Cost {
        let bytes = inputs.iter().chain(outputs).map(Type::bytes).sum::<usize>() as f64;
        Cost { flops: outputs[0].shape.size() as f64, bytes }
    }
}
