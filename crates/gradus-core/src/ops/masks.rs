//! Comparisons, logic and selection.

use smallvec::{SmallVec, smallvec};

use crate::graph::Vars;
use crate::ops::elementwise::same_types;
use crate::ops::movement::moved;
use crate::ops::{batch_all, jvp_zero};
use crate::primitive::{Arrays, Tangents, Types, not_linear};
use crate::transforms::Lanes;
use crate::{
    Array, Batched, Buffer, Builder, Cost, DType, Doc, Element, ErrorKind, Jvp, Operand, Primitive, Result,
    Type, Var, with_elements,
};

/// A comparison of two tensors of one type, giving booleans. Any comparison with NaN but `Ne` is false.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[allow(missing_docs)]
pub enum Compare {
    Eq,
    Ne,
    Lt,
    Le,
    Gt,
    Ge,
}

impl Compare {
    /// Every comparison.
    pub const ALL: [Compare; 6] =
        [Compare::Eq, Compare::Ne, Compare::Lt, Compare::Le, Compare::Gt, Compare::Ge];

    fn apply<T: PartialOrd>(self, x: &T, y: &T) -> bool {
        match self {
            Compare::Eq => x == y,
            Compare::Ne => x != y,
            Compare::Lt => x < y,
            Compare::Le => x <= y,
            Compare::Gt => x > y,
            Compare::Ge => x >= y,
        }
    }
}

fn bytes(inputs: &[Type], outputs: &[Type]) -> Cost {
    Cost { flops: outputs[0].shape.size() as f64, bytes: moved(inputs, outputs).bytes }
}

impl Primitive for Compare {
    fn doc(&self) -> Doc {
        let (name, formula) = match self {
            Compare::Eq => ("eq", "x = y"),
            Compare::Ne => ("ne", "x ≠ y"),
            Compare::Lt => ("lt", "x < y"),
            Compare::Le => ("le", "x ≤ y"),
            Compare::Gt => ("gt", "x > y"),
            Compare::Ge => ("ge", "x ≥ y"),
        };
        Doc {
            name,
            formula,
            derivative: "none: the result is boolean",
            domain: "all x, y; false at NaN, but ne true",
        }
    }
    fn infer(&self, inputs: &[Type]) -> Result<Types, ErrorKind> {
        let name = self.doc().name;
        same_types(name, inputs)?;
        Ok(smallvec![inputs[0].with_dtype(DType::Bool)])
    }
    fn eval(&self, inputs: &[&Array]) -> Result<Arrays, ErrorKind> {
        fn all<T: PartialOrd>(op: Compare, x: &[T], y: &[T]) -> Vec<bool> {
            x.iter().zip(y).map(|(x, y)| op.apply(x, y)).collect()
        }
        let out = match (inputs[0].buffer(), inputs[1].buffer()) {
            (Buffer::F32(x), Buffer::F32(y)) => all(*self, x, y),
            (Buffer::F64(x), Buffer::F64(y)) => all(*self, x, y),
            (Buffer::I32(x), Buffer::I32(y)) => all(*self, x, y),
            (Buffer::I64(x), Buffer::I64(y)) => all(*self, x, y),
            (Buffer::U8(x), Buffer::U8(y)) => all(*self, x, y),
            (Buffer::Bool(x), Buffer::Bool(y)) => all(*self, x, y),
            _ => unreachable!("excluded by the shape rule"),
        };
        Ok(smallvec![Array::of(inputs[0].shape().clone(), out)])
    }
    fn jvp(&self, b: &mut Builder, _: Jvp, inputs: &[Var], _: &[Option<Var>]) -> Result<(Vars, Tangents)> {
        jvp_zero(*self, b, inputs)
    }
    fn transpose(&self, _: &mut Builder, _: &[Operand], _: &[Option<Var>]) -> Result<Tangents> {
        Err(not_linear(self.doc().name))
    }
    fn batch(&self, b: &mut Builder, inputs: &[Batched], lanes: Lanes<'_>) -> Result<SmallVec<[Batched; 4]>> {
        batch_all(*self, b, inputs, lanes.size)
    }
    fn cost(&self, inputs: &[Type], outputs: &[Type]) -> Cost {
        bytes(inputs, outputs)
    }
}

/// Logic on booleans, bit by bit on integers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[allow(missing_docs)]
pub enum Logic {
    And,
    Or,
    Xor,
}

impl Logic {
    /// Every connective.
    pub const ALL: [Logic; 3] = [Logic::And, Logic::Or, Logic::Xor];
}

impl Primitive for Logic {
    fn doc(&self) -> Doc {
        let (name, formula) = match self {
            Logic::And => ("and", "x ∧ y"),
            Logic::Or => ("or", "x ∨ y"),
            Logic::Xor => ("xor", "x ⊻ y"),
        };
        Doc { name, formula, derivative: "none: the operands are no floats", domain: "booleans and integers" }
    }
    fn infer(&self, inputs: &[Type]) -> Result<Types, ErrorKind> {
        let name = self.doc().name;
        same_types(name, inputs)?;
        if !(inputs[0].dtype == DType::Bool || inputs[0].dtype.is_int()) {
            let detail = "it takes bool or integers; compare first".into();
            return Err(ErrorKind::DType { op: name, dtypes: vec![inputs[0].dtype], detail });
        }
        Ok(smallvec![inputs[0].clone()])
    }
    fn eval(&self, inputs: &[&Array]) -> Result<Arrays, ErrorKind> {
        macro_rules! logic {
            ($x:expr, $y:expr) => {
                Array::of(
                    inputs[0].shape().clone(),
                    $x.iter()
                        .zip($y.iter())
                        .map(|(&x, &y)| match self {
                            Logic::And => x & y,
                            Logic::Or => x | y,
                            Logic::Xor => x ^ y,
                        })
                        .collect(),
                )
            };
        }
        Ok(smallvec![match (inputs[0].buffer(), inputs[1].buffer()) {
            (Buffer::Bool(x), Buffer::Bool(y)) => logic!(x, y),
            (Buffer::I32(x), Buffer::I32(y)) => logic!(x, y),
            (Buffer::I64(x), Buffer::I64(y)) => logic!(x, y),
            (Buffer::U8(x), Buffer::U8(y)) => logic!(x, y),
            _ => unreachable!("excluded by the shape rule"),
        }])
    }
    fn jvp(&self, b: &mut Builder, _: Jvp, inputs: &[Var], _: &[Option<Var>]) -> Result<(Vars, Tangents)> {
        jvp_zero(*self, b, inputs)
    }
    fn transpose(&self, _: &mut Builder, _: &[Operand], _: &[Option<Var>]) -> Result<Tangents> {
        Err(not_linear(self.doc().name))
    }
    fn batch(&self, b: &mut Builder, inputs: &[Batched], lanes: Lanes<'_>) -> Result<SmallVec<[Batched; 4]>> {
        batch_all(*self, b, inputs, lanes.size)
    }
    fn cost(&self, inputs: &[Type], outputs: &[Type]) -> Cost {
        bytes(inputs, outputs)
    }
}

/// Negation of booleans, bit by bit on integers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Not;

impl Primitive for Not {
    fn doc(&self) -> Doc {
        Doc {
            name: "not",
            formula: "¬x",
            derivative: "none: the operand is no float",
            domain: "booleans and integers",
        }
    }
    fn infer(&self, inputs: &[Type]) -> Result<Types, ErrorKind> {
        if !(inputs[0].dtype == DType::Bool || inputs[0].dtype.is_int()) {
            let detail = "it takes bool or integers; compare first".into();
            return Err(ErrorKind::DType { op: "not", dtypes: vec![inputs[0].dtype], detail });
        }
        Ok(smallvec![inputs[0].clone()])
    }
    fn eval(&self, inputs: &[&Array]) -> Result<Arrays, ErrorKind> {
        let shape = inputs[0].shape().clone();
        Ok(smallvec![match inputs[0].buffer() {
            Buffer::Bool(v) => Array::of(shape, v.iter().map(|&x| !x).collect()),
            Buffer::I32(v) => Array::of(shape, v.iter().map(|&x| !x).collect()),
            Buffer::I64(v) => Array::of(shape, v.iter().map(|&x| !x).collect()),
            Buffer::U8(v) => Array::of(shape, v.iter().map(|&x| !x).collect()),
            _ => unreachable!("excluded by the shape rule"),
        }])
    }
    fn jvp(&self, b: &mut Builder, _: Jvp, inputs: &[Var], _: &[Option<Var>]) -> Result<(Vars, Tangents)> {
        jvp_zero(*self, b, inputs)
    }
    fn transpose(&self, _: &mut Builder, _: &[Operand], _: &[Option<Var>]) -> Result<Tangents> {
        Err(not_linear("not"))
    }
    fn batch(&self, b: &mut Builder, inputs: &[Batched], lanes: Lanes<'_>) -> Result<SmallVec<[Batched; 4]>> {
        batch_all(*self, b, inputs, lanes.size)
    }
    fn cost(&self, inputs: &[Type], outputs: &[Type]) -> Cost {
        bytes(inputs, outputs)
    }
}

/// `select(mask, x, y)`: `x` where the mask holds, else `y`.
///
/// Tangents are selected by the same mask, so a branch that is not taken contributes nothing, whatever its
/// derivative is there: `where(x > 0, √x, 0)` has derivative 0 at 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Select;

impl Primitive for Select {
    fn doc(&self) -> Doc {
        Doc {
            name: "select",
            formula: "x where mask, else y",
            derivative: "tangents selected by the mask",
            domain: "all x, y; the branch taken alone has a derivative",
        }
    }
    fn infer(&self, inputs: &[Type]) -> Result<Types, ErrorKind> {
        if inputs[0].dtype != DType::Bool {
            let detail = "the mask is boolean; compare first".into();
            return Err(ErrorKind::DType { op: "select", dtypes: vec![inputs[0].dtype], detail });
        }
        same_types("select", &inputs[1..])?;
        if inputs[0].shape != inputs[1].shape {
            let shapes = vec![inputs[0].shape.clone(), inputs[1].shape.clone()];
            let detail = "mask and branches have one shape; broadcast first".into();
            return Err(ErrorKind::Shape { op: "select", shapes, detail });
        }
        Ok(smallvec![inputs[1].clone()])
    }
    fn eval(&self, inputs: &[&Array]) -> Result<Arrays, ErrorKind> {
        fn choose<T: Element>(mask: &[bool], x: &[T], y: &Array) -> Vec<T> {
            let y = y.elements::<T>().expect("both branches have one dtype");
            mask.iter().zip(x.iter().zip(y)).map(|(&m, (&x, &y))| if m { x } else { y }).collect()
        }
        let mask = inputs[0].elements::<bool>().expect("the mask is boolean");
        let shape = inputs[1].shape().clone();
        Ok(smallvec![with_elements!(inputs[1].buffer(), x => Array::of(shape, choose(mask, x, inputs[2])))])
    }
    fn jvp(
        &self,
        b: &mut Builder,
        _: Jvp,
        inputs: &[Var],
        tangents: &[Option<Var>],
    ) -> Result<(Vars, Tangents)> {
        let out = b.emit1(Select, inputs)?;
        let ty = b.ty(out).clone();
        let [x, y] = [1, 2].map(|i| b.instantiate(tangents[i], &ty));
        let tangent = b.emit1(Select, &[inputs[0], x, y])?;
        Ok((smallvec![out], smallvec![Some(tangent)]))
    }
    fn transpose(&self, b: &mut Builder, inputs: &[Operand], cotangents: &[Option<Var>]) -> Result<Tangents> {
        let Some(ct) = cotangents[0] else { return Ok(smallvec![None, None, None]) };
        let Some(mask) = inputs[0].residual() else { return Err(not_linear("select")) };
        let zero = b.dead_tangent(ct);
        let x = if inputs[1].is_linear() { Some(b.emit1(Select, &[mask, ct, zero])?) } else { None };
        let y = if inputs[2].is_linear() { Some(b.emit1(Select, &[mask, zero, ct])?) } else { None };
        Ok(smallvec![None, x, y])
    }
    fn batch(&self, b: &mut Builder, inputs: &[Batched], lanes: Lanes<'_>) -> Result<SmallVec<[Batched; 4]>> {
        batch_all(Select, b, inputs, lanes.size)
    }
    fn cost(&self, inputs: &[Type], outputs: &[Type]) -> Cost {
        bytes(inputs, outputs)
    }
}
