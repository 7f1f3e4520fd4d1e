//! The general batched product of two tensors.

use std::fmt;

use smallvec::{SmallVec, smallvec};

use crate::graph::Vars;
use crate::ops::movement::moved;
use crate::ops::source::linear_term;
use crate::ops::{Axes, Permute, distinct, shifted};
use crate::primitive::{Arrays, Tangents, Types, not_linear};
use crate::strided::gather;
use crate::transforms::Lanes;
use crate::{
    Array, Batched, Buffer, Builder, Cost, DEAD, Doc, Element, ErrorKind, Jvp, Operand, Primitive, Result,
    Shape, Type, Var,
};

/// Products summed over paired contracted axes, separately for each index of paired batch axes.
///
/// The result has the batch axes first, then the remaining axes of the left operand, then those of the right.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Dot {
    /// Batch axes of the left operand.
    pub lhs_batch: Axes,
    /// Their partners in the right operand.
    pub rhs_batch: Axes,
    /// Axes of the left operand that are summed over.
    pub lhs_contract: Axes,
    /// Their partners in the right operand.
    pub rhs_contract: Axes,
    /// Inside linear programs: which factors are tangents. A term does not count of which one is [`DEAD`], or the factor
    /// that is none is 0; a sum of no term that counts is dead. (In a [`LinearMul`](crate::ops::LinearMul) a residual of
    /// 0 is a number.)
    pub tangents: [bool; 2],
    /// Inside linear programs: nobody asks whether a result is dead, so that all are numbers.
    pub numbers: bool,
}

impl fmt::Display for Dot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.lhs_batch.is_empty() {
            write!(f, "batch={:?}x{:?} ", self.lhs_batch.as_slice(), self.rhs_batch.as_slice())?;
        }
        write!(f, "contract={:?}x{:?}", self.lhs_contract.as_slice(), self.rhs_contract.as_slice())
    }
}

fn rest(rank: usize, batch: &[usize], contract: &[usize]) -> Axes {
    (0..rank).filter(|a| !batch.contains(a) && !contract.contains(a)).collect()
}

/// The permutation that sorts `axes`.
fn argsort(axes: &[usize]) -> Axes {
    let mut order: Axes = (0..axes.len()).collect();
    order.sort_by_key(|&i| axes[i]);
    order
}

/// One operand as seen by the transposition: its own batch and contracted axes.
struct Side<'a> {
    rank: usize,
    batch: &'a [usize],
    contract: &'a [usize],
}

impl Dot {
    /// The sum of no term that counts.
    fn nothing(&self) -> f64 {
        if self.numbers { 0.0 } else { DEAD }
    }

    /// The matrix product of the last two axes, all axes before them being batch axes of both operands.
    pub fn matmul(batch: usize) -> Self {
        let axes: Axes = (0..batch).collect();
        Dot {
            lhs_batch: axes.clone(),
            rhs_batch: axes,
            lhs_contract: smallvec![batch + 1],
            rhs_contract: smallvec![batch],
            tangents: [false; 2],
            numbers: false,
        }
    }

    /// Axes of the left operand that are neither batch nor contracted.
    pub fn lhs_free(&self, rank: usize) -> Axes {
        rest(rank, &self.lhs_batch, &self.lhs_contract)
    }
    /// Axes of the right operand that are neither batch nor contracted.
    pub fn rhs_free(&self, rank: usize) -> Axes {
        rest(rank, &self.rhs_batch, &self.rhs_contract)
    }

    /// The cotangent of one operand: the product of the result's cotangent with the other operand, its axes
    /// permuted to where they came from. `first` says that the operand's free axes come first in the result.
    fn cotangent(
        b: &mut Builder,
        ct: Var,
        other: Var,
        own: Side<'_>,
        its: Side<'_>,
        first: bool,
        other_too: bool,
    ) -> Result<Var> {
        let own_free = rest(own.rank, own.batch, own.contract);
        let its_free = rest(its.rank, its.batch, its.contract);
        let n = own.batch.len();
        let its_in_ct: Axes = if first {
            (n + own_free.len()..n + own_free.len() + its_free.len()).collect()
        } else {
            (n..n + its_free.len()).collect()
        };
        let product = Dot {
            lhs_batch: (0..n).collect(),
            rhs_batch: its.batch.into(),
            lhs_contract: its_in_ct,
            rhs_contract: its_free,
            tangents: [true, other_too],
            numbers: false,
        };
        let product = b.emit1(product, &[ct, other])?;
        let contracted = argsort(its.contract).into_iter().map(|i| own.contract[i]);
        let came_from: Axes = own.batch.iter().copied().chain(own_free).chain(contracted).collect();
        let axes = argsort(&came_from);
        if axes.iter().copied().eq(0..axes.len()) {
            Ok(product)
        } else {
            b.emit1(Permute { axes }, &[product])
        }
    }

    /// Reference product of `[batch, m, k]` and `[batch, n, k]`.
    fn product<T: Element>(
        &self,
        x: &Array,
        y: &Array,
        out: Shape,
        nothing: T,
        fma: impl Fn(T, T, T) -> T,
    ) -> Array {
        let arrange = |a: &Array, axes: [&[usize]; 3]| -> (Vec<T>, [usize; 3]) {
            let order: Axes = axes.iter().flat_map(|a| a.iter().copied()).collect();
            let strides = a.shape().strides();
            let strides: SmallVec<[isize; 4]> = order.iter().map(|&i| strides[i]).collect();
            let v = a.elements::<T>().expect("checked by the shape rule");
            (gather(v, &a.shape().select(&order), 0, &strides), axes.map(|a_| a.shape().select(a_).size()))
        };
        let (lhs, [batch, m, k]) =
            arrange(x, [&self.lhs_batch, &self.lhs_free(x.shape().rank()), &self.lhs_contract]);
        let (rhs, [_, n, _]) =
            arrange(y, [&self.rhs_batch, &self.rhs_free(y.shape().rank()), &self.rhs_contract]);
        let mut result = Vec::with_capacity(batch * m * n);
        for i in 0..batch {
            for r in 0..m {
                let row = &lhs[(i * m + r) * k..][..k];
                for c in 0..n {
                    let column = &rhs[(i * n + c) * k..][..k];
                    result.push(row.iter().zip(column).fold(nothing, |acc, (&a, &b)| fma(acc, a, b)));
                }
            }
        }
        Array::of(out, result)
    }
}

impl Primitive for Dot {
    fn doc(&self) -> Doc {
        Doc {
            name: "dot", formula: "Σₖ xᵢₖ yₖⱼ", derivative: "Σ dx y + Σ x dy", domain: "all x, y"
        }
    }
    fn infer(&self, inputs: &[Type]) -> Result<Types, ErrorKind> {
        let (x, y) = (&inputs[0], &inputs[1]);
        if x.dtype != y.dtype {
            let detail = "tensors of different dtype never promote silently; cast one of them".into();
            return Err(ErrorKind::DType { op: "dot", dtypes: vec![x.dtype, y.dtype], detail });
        }
        if !(x.dtype.is_float() || x.dtype.is_int()) {
            let detail = "it takes floats or integers; cast first".into();
            return Err(ErrorKind::DType { op: "dot", dtypes: vec![x.dtype], detail });
        }
        for (batch, contract) in
            [(&self.lhs_batch, &self.lhs_contract), (&self.rhs_batch, &self.rhs_contract)]
        {
            let all: Axes = batch.iter().chain(contract).copied().collect();
            distinct("dot", &all)?;
        }
        let pairs = |a: &Axes, b: &Axes| {
            a.len() == b.len()
                && a.iter()
                    .zip(b)
                    .all(|(&i, &j)| i < x.shape.rank() && j < y.shape.rank() && x.shape[i] == y.shape[j])
        };
        if !pairs(&self.lhs_batch, &self.rhs_batch) || !pairs(&self.lhs_contract, &self.rhs_contract) {
            let detail =
                format!("paired axes must have equal extents ({self}); transpose or reshape one of them");
            let shapes = vec![x.shape.clone(), y.shape.clone()];
            return Err(ErrorKind::Shape { op: "dot", shapes, detail });
        }
        let once = |batch: &Axes, contract: &Axes| {
            let mut axes: Axes = batch.iter().chain(contract).copied().collect();
            axes.sort_unstable();
            axes.windows(2).all(|w| w[0] != w[1])
        };
        if !once(&self.lhs_batch, &self.lhs_contract) || !once(&self.rhs_batch, &self.rhs_contract) {
            let detail = format!("an axis can be paired only once ({self}); take its diagonal first");
            return Err(ErrorKind::Argument { op: "dot", detail });
        }
        let shape = x
            .shape
            .select(&self.lhs_batch)
            .concat(&x.shape.select(&self.lhs_free(x.shape.rank())))
            .concat(&y.shape.select(&self.rhs_free(y.shape.rank())));
        Ok(smallvec![x.with_shape("dot", shape)?])
    }
    fn eval(&self, inputs: &[&Array]) -> Result<Arrays, ErrorKind> {
        let (x, y) = (inputs[0], inputs[1]);
        let types = [x, y].map(|a| Type::new(a.dtype(), a.shape().clone()));
        let out = self.infer(&types)?[0].shape.clone();
        macro_rules! floats {
            ($t:ty) => {
                match linear_term(self.tangents) {
                    Some(term) => {
                        self.product::<$t>(x, y, out, self.nothing() as $t, |acc, a, b| acc + term(a, b))
                    }
                    None => self.product::<$t>(x, y, out, 0.0, |acc, a, b| acc + a * b),
                }
            };
        }
        Ok(smallvec![match x.buffer() {
            Buffer::F32(_) => floats!(f32),
            Buffer::F64(_) => floats!(f64),
            Buffer::I32(_) =>
                self.product::<i32>(x, y, out, 0, |acc, a, b| acc.wrapping_add(a.wrapping_mul(b))),
            Buffer::I64(_) =>
                self.product::<i64>(x, y, out, 0, |acc, a, b| acc.wrapping_add(a.wrapping_mul(b))),
            Buffer::U8(_) =>
                self.product::<u8>(x, y, out, 0, |acc, a, b| acc.wrapping_add(a.wrapping_mul(b))),
            Buffer::Bool(_) | Buffer::Bf16(_) | Buffer::F16(_) =>
                unreachable!("excluded by the shape rule, or wider here"),
        }])
    }
    fn jvp(&self, b: &mut Builder, _: Jvp, inputs: &[Var], t: &[Option<Var>]) -> Result<(Vars, Tangents)> {
        let out = b.emit1(self.clone(), inputs)?;
        let with = |tangents| Dot { tangents, numbers: false, ..self.clone() };
        let x = t[0].map(|t| b.emit1(with([true, self.tangents[1]]), &[t, inputs[1]])).transpose()?;
        let y = t[1].map(|t| b.emit1(with([self.tangents[0], true]), &[inputs[0], t])).transpose()?;
        Ok((smallvec![out], smallvec![b.add_tangents(x, y)?]))
    }
    fn transpose(&self, b: &mut Builder, inputs: &[Operand], ct: &[Option<Var>]) -> Result<Tangents> {
        let Some(ct) = ct[0] else { return Ok(smallvec![None, None]) };
        fn side<'a>(rank: usize, batch: &'a [usize], contract: &'a [usize]) -> Side<'a> {
            Side { rank, batch, contract }
        }
        match (&inputs[0], &inputs[1]) {
            (Operand::Linear(x), Operand::Residual(y)) => {
                let own = side(x.shape.rank(), &self.lhs_batch, &self.lhs_contract);
                let its = side(b.shape(*y).rank(), &self.rhs_batch, &self.rhs_contract);
                Ok(smallvec![Some(Dot::cotangent(b, ct, *y, own, its, true, self.tangents[1])?), None])
            }
            (Operand::Residual(x), Operand::Linear(y)) => {
                let own = side(y.shape.rank(), &self.rhs_batch, &self.rhs_contract);
                let its = side(b.shape(*x).rank(), &self.lhs_batch, &self.lhs_contract);
                Ok(smallvec![None, Some(Dot::cotangent(b, ct, *x, own, its, false, self.tangents[0])?)])
            }
            _ => Err(not_linear("dot")),
        }
    }
    fn batch(&self, b: &mut Builder, inputs: &[Batched], _: Lanes<'_>) -> Result<SmallVec<[Batched; 4]>> {
        let ((x, in_x), (y, in_y)) = (inputs[0], inputs[1]);
        let mut op = self.clone();
        if in_x {
            (op.lhs_batch, op.lhs_contract) = (shifted(&op.lhs_batch), shifted(&op.lhs_contract));
        }
        if in_y {
            (op.rhs_batch, op.rhs_contract) = (shifted(&op.rhs_batch), shifted(&op.rhs_contract));
        }
        if in_x && in_y {
            op.lhs_batch.insert(0, 0);
            op.rhs_batch.insert(0, 0);
            return Ok(smallvec![(b.emit1(op, &[x, y])?, true)]);
        }
        // The batch is a free axis of one operand: it comes out behind the batch axes (and the left free axes).
        let at = if in_x {
            self.lhs_batch.len()
        } else {
            self.lhs_batch.len() + self.lhs_free(b.shape(x).rank()).len()
        };
        let out = b.emit1(op, &[x, y])?;
        let rank = b.shape(out).rank();
        let axes = std::iter::once(at).chain((0..rank).filter(|&a| a != at)).collect();
        let out = if at == 0 { out } else { b.emit1(Permute { axes }, &[out])? };
        Ok(smallvec![(out, true)])
    }
    fn cost(&self, inputs: &[Type], outputs: &[Type]) -> Cost {
        let k = inputs[0].shape.select(&self.lhs_contract).size();
        let flops = 2.0 * outputs[0].shape.size() as f64 * k as f64;
        Cost { flops, bytes: moved(inputs, outputs).bytes }
    }
}
