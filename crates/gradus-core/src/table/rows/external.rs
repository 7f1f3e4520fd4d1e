//! Primitives as users would write them: an element-wise one, and a small linear solver with derivative and transpose.

use std::sync::Arc;

use crate::graph::Vars;
use crate::ops::{
    Broadcast, External, ExternalPrimitive, LinearMul, Permute, Reduce, ReduceKind, materialize_batch,
};
use crate::primitive::Tangents;
use crate::table::random::{Range, Sampled};
use crate::table::row::{Case, Row};
use crate::{Array, Batched, Binary, Builder, ErrorKind, Operand, Result, Type, Var};

/// `x = (A + 3 I)⁻¹ b`: regular for the matrices that are drawn here.
#[derive(Debug)]
struct ShiftedSolve;

/// Elimination without pivots.
fn solve(a: &[f64], b: &[f64]) -> Vec<f64> {
    let n = b.len();
    let (mut a, mut x) = (a.to_vec(), b.to_vec());
    (0..n).for_each(|i| a[i * n + i] += 3.0);
    for i in 0..n {
        for j in i + 1..n {
            let factor = a[j * n + i] / a[i * n + i];
            for k in i..n {
                a[j * n + k] -= factor * a[i * n + k];
            }
            x[j] -= factor * x[i];
        }
    }
    for i in (0..n).rev() {
        let rest: f64 = (i + 1..n).map(|k| a[i * n + k] * x[k]).sum();
        x[i] = (x[i] - rest) / a[i * n + i];
    }
    x
}

fn this() -> External {
    External::from(Arc::new(ShiftedSolve) as Arc<dyn ExternalPrimitive>)
}

impl ExternalPrimitive for ShiftedSolve {
    fn name(&self) -> &'static str {
        "shifted_solve"
    }
    fn infer(&self, inputs: &[Type]) -> Result<Vec<Type>, ErrorKind> {
        match inputs {
            [a, b] if b.dtype.is_float() && a.dtype == b.dtype && a.shape[..] == [b.shape.size(); 2] => {
                Ok(vec![b.clone()])
            }
            _ => {
                let shapes = inputs.iter().map(|ty| ty.shape.clone()).collect();
                let detail = "a square matrix and a vector of as many floats".into();
                Err(ErrorKind::Shape { op: "shifted_solve", shapes, detail })
            }
        }
    }
    fn eval(&self, inputs: &[&Array]) -> Result<Vec<Array>, ErrorKind> {
        let x = solve(&inputs[0].to_f64(), &inputs[1].to_f64());
        Ok(vec![Array::new(inputs[1].shape(), x)?.cast(inputs[1].dtype())])
    }
    /// `dx = (A + 3 I)⁻¹ (db - dA x)`
    fn jvp(&self, b: &mut Builder, inputs: &[Var], outputs: &[Var], t: &[Option<Var>]) -> Result<Tangents> {
        let mut right = t[1];
        if let Some(da) = t[0] {
            let shape = b.shape(da).clone();
            let rows = b.emit1(Broadcast { shape, axes: [1].into_iter().collect() }, &[outputs[0]])?;
            let products = b.emit1(LinearMul::RESIDUAL, &[rows, da])?;
            let sum = Reduce { kind: ReduceKind::Sum, axes: [1].into_iter().collect() };
            let moved = b.emit1(sum, &[products])?;
            let moved = b.negate_tangent(moved)?;
            right = b.add_tangents(right, Some(moved))?;
        }
        let Some(right) = right else { return Ok(Tangents::new()) };
        Ok([Some(b.emit1(this(), &[inputs[0], right])?)].into_iter().collect())
    }
    /// Linear in `b`: its cotangent is `(A + 3 I)⁻ᵀ ct`.
    fn transpose(&self, b: &mut Builder, inputs: &[Operand], ct: &[Option<Var>]) -> Result<Tangents> {
        let (Some(a), Some(ct)) = (inputs[0].residual(), ct[0]) else {
            return Ok([None, None].into_iter().collect());
        };
        let turned = b.emit1(Permute { axes: [1, 0].into_iter().collect() }, &[a])?;
        Ok([None, Some(b.emit1(this(), &[turned, ct])?)].into_iter().collect())
    }
    fn same(&self, other: &dyn ExternalPrimitive) -> bool {
        (other as &dyn std::any::Any).is::<ShiftedSolve>()
    }
}

/// `(x, y) -> (y, x)` of two vectors, with a form of its own for batches.
#[derive(Debug)]
struct Exchange;

impl ExternalPrimitive for Exchange {
    fn name(&self) -> &'static str {
        "exchange"
    }
    fn infer(&self, inputs: &[Type]) -> Result<Vec<Type>, ErrorKind> {
        match inputs {
            [x, y] => Ok(vec![y.clone(), x.clone()]),
            _ => Err(ErrorKind::Argument { op: "exchange", detail: "it takes two operands".into() }),
        }
    }
    fn eval(&self, inputs: &[&Array]) -> Result<Vec<Array>, ErrorKind> {
        Ok(vec![inputs[1].clone(), inputs[0].clone()])
    }
    fn jvp(&self, _: &mut Builder, _: &[Var], _: &[Var], t: &[Option<Var>]) -> Result<Tangents> {
        Ok([t[1], t[0]].into_iter().collect())
    }
    fn batch(&self, b: &mut Builder, inputs: &[Batched], size: usize) -> Option<Result<Vars>> {
        let mut emit = || {
            let args: Vars = inputs.iter().map(|&i| materialize_batch(b, i, size)).collect::<Result<_>>()?;
            b.emit(External::from(Arc::new(Exchange) as Arc<dyn ExternalPrimitive>), &args)
        };
        Some(emit())
    }
}

/// `tanh` in double precision, whatever the dtype.
#[derive(Debug)]
struct TheirTanh;

impl ExternalPrimitive for TheirTanh {
    fn name(&self) -> &'static str {
        "their_tanh"
    }
    fn infer(&self, inputs: &[Type]) -> Result<Vec<Type>, ErrorKind> {
        match inputs {
            [x] if x.dtype.is_float() => Ok(vec![x.clone()]),
            _ => {
                Err(ErrorKind::Argument { op: "their_tanh", detail: "it takes one tensor of floats".into() })
            }
        }
    }
    fn eval(&self, inputs: &[&Array]) -> Result<Vec<Array>, ErrorKind> {
        let y = inputs[0].to_f64().into_iter().map(f64::tanh).collect();
        Ok(vec![Array::new(inputs[0].shape(), y)?.cast(inputs[0].dtype())])
    }
    /// `dy = (1 - y²) dx`
    fn jvp(&self, b: &mut Builder, _: &[Var], y: &[Var], t: &[Option<Var>]) -> Result<Tangents> {
        let Some(dx) = t[0] else { return Ok(Tangents::new()) };
        let one = b.full(&b.ty(y[0]).clone(), 1.0);
        let square = b.emit1(Binary::Mul, &[y[0], y[0]])?;
        let slope = b.emit1(Binary::Sub, &[one, square])?;
        Ok([Some(b.emit1(LinearMul::RESIDUAL, &[slope, dx])?)].into_iter().collect())
    }
    fn same(&self, other: &dyn ExternalPrimitive) -> bool {
        (other as &dyn std::any::Any).is::<TheirTanh>()
    }
}

/// `tanh` as a primitive of a user's own, for checks of programs that hold such a call.
pub fn their_tanh() -> Arc<dyn ExternalPrimitive> {
    Arc::new(TheirTanh)
}

/// Every row of this file.
pub(super) fn rows() -> Vec<Row> {
    let near = |shape: &[usize]| Sampled::f64(shape, Range::Uniform(-1.0, 1.0));
    vec![
        Row::of(vec![
            Case::new("", External::from(their_tanh()), &[near(&[2, 3])]).defined(|args| {
                let y = args[0].to_f64().into_iter().map(f64::tanh).collect();
                vec![Array::of::<f64>([2, 3].into(), y)]
            }),
            Case::new("nothing", External::from(their_tanh()), &[near(&[0])])
                .defined(|_| vec![Array::of::<f64>([0].into(), Vec::new())])
                .edge(),
        ]),
        Row::of(vec![
            Case::new("", this(), &[near(&[3, 3]), near(&[3])])
                .defined(|args| {
                    vec![Array::of::<f64>([3].into(), cramer(&args[0].to_f64(), &args[1].to_f64()))]
                })
                .linear(&[&[1]]),
            Case::new("one unknown", this(), &[near(&[1, 1]), near(&[1])]).defined(|args| {
                vec![Array::of::<f64>([1].into(), vec![args[1].to_f64()[0] / (3.0 + args[0].to_f64()[0])])]
            }),
        ]),
        Row::of(vec![
            Case::new("", External::new(Exchange), &[near(&[3]), near(&[2])])
                .defined(|args| vec![args[1].clone(), args[0].clone()]),
        ]),
    ]
}

/// Three equations by determinants.
fn cramer(a: &[f64], b: &[f64]) -> Vec<f64> {
    let mut m = [[0.0; 3]; 3];
    for (i, row) in m.iter_mut().enumerate() {
        row.copy_from_slice(&a[3 * i..3 * i + 3]);
        row[i] += 3.0;
    }
    let det = |m: &[[f64; 3]; 3]| {
        let minor = |i: usize, j: usize| m[1][i] * m[2][j] - m[1][j] * m[2][i];
        m[0][0] * minor(1, 2) - m[0][1] * minor(0, 2) + m[0][2] * minor(0, 1)
    };
    let whole = det(&m);
    let column = |j: usize| {
        let mut with = m;
        (0..3).for_each(|i| with[i][j] = b[i]);
        det(&with) / whole
    };
    (0..3).map(column).collect()
}
