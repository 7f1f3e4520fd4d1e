//! Limiting to an interval.

use gradus_num::Scalar;
use smallvec::{SmallVec, smallvec};

use crate::graph::Vars;
use crate::ops::elementwise::same_types;
use crate::ops::{Compare, Logic, Select, batch_all};
use crate::primitive::{Arrays, Tangents, Types, not_linear};
use crate::transforms::Lanes;
use crate::{
    Array, Batched, Binary, Buffer, Builder, Cost, Doc, ErrorKind, Jvp, Operand, Primitive, Result, Type, Var,
};

/// `clamp(x, low, high) = min(max(x, low), high)`. The derivative is that of `x` on the closed interval, of the bound
/// outside of it. Where `low > high` the result is `high`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Clamp;

impl Primitive for Clamp {
    fn doc(&self) -> Doc {
        Doc {
            name: "clamp",
            formula: "min(max(x, low), high)",
            derivative: "1 for the operand that is the result, else 0",
            domain: "NaN if any is; on a bound it is x",
        }
    }
    fn infer(&self, inputs: &[Type]) -> Result<Types, ErrorKind> {
        same_types("clamp", &inputs[..2])?;
        same_types("clamp", &inputs[1..])?;
        if !(inputs[0].dtype.is_float() || inputs[0].dtype.is_int()) {
            let detail = "it takes floats or integers; cast first".into();
            return Err(ErrorKind::DType { op: "clamp", dtypes: vec![inputs[0].dtype], detail });
        }
        Ok(smallvec![inputs[0].clone()])
    }
    fn eval(&self, inputs: &[&Array]) -> Result<Arrays, ErrorKind> {
        let shape = inputs[0].shape().clone();
        macro_rules! limited {
            ($x:expr, $low:expr, $high:expr, $f:expr) => {
                Array::of(shape, $x.iter().zip($low.iter().zip($high.iter())).map($f).collect())
            };
        }
        Ok(smallvec![match (inputs[0].buffer(), inputs[1].buffer(), inputs[2].buffer()) {
            (Buffer::F32(x), Buffer::F32(l), Buffer::F32(h)) => {
                limited!(x, l, h, |(x, (l, h))| x.clip(l, h))
            }
            (Buffer::F64(x), Buffer::F64(l), Buffer::F64(h)) => {
                limited!(x, l, h, |(x, (l, h))| x.clip(l, h))
            }
            (Buffer::I32(x), Buffer::I32(l), Buffer::I32(h)) =>
                limited!(x, l, h, |(&x, (&l, &h))| x.max(l).min(h)),
            (Buffer::I64(x), Buffer::I64(l), Buffer::I64(h)) =>
                limited!(x, l, h, |(&x, (&l, &h))| x.max(l).min(h)),
            (Buffer::U8(x), Buffer::U8(l), Buffer::U8(h)) =>
                limited!(x, l, h, |(&x, (&l, &h))| x.max(l).min(h)),
            _ => unreachable!("excluded by the shape rule"),
        }])
    }
    fn jvp(&self, b: &mut Builder, _: Jvp, inputs: &[Var], t: &[Option<Var>]) -> Result<(Vars, Tangents)> {
        let out = b.emit1(Clamp, inputs)?;
        let ty = b.ty(out).clone();
        let raised = b.emit1(Binary::Max, &inputs[..2])?;
        let below = b.emit1(Compare::Lt, &inputs[..2])?;
        let above = b.emit1(Compare::Gt, &[raised, inputs[2]])?;
        // A selection of tangents, so that what is limited away takes no part; of one mask where bounds have none.
        let tangent = if t[1].is_none() && t[2].is_none() {
            let outside = b.emit1(Logic::Or, &[below, above])?;
            let (zero, x) = (b.instantiate(None, &ty), b.instantiate(t[0], &ty));
            b.emit1(Select, &[outside, zero, x])?
        } else {
            let [x, low, high] = [0, 1, 2].map(|i| b.instantiate(t[i], &ty));
            let inner = b.emit1(Select, &[below, low, x])?;
            b.emit1(Select, &[above, high, inner])?
        };
        Ok((smallvec![out], smallvec![Some(tangent)]))
    }
    fn transpose(&self, _: &mut Builder, _: &[Operand], _: &[Option<Var>]) -> Result<Tangents> {
        Err(not_linear("clamp"))
    }
    fn batch(&self, b: &mut Builder, inputs: &[Batched], lanes: Lanes<'_>) -> Result<SmallVec<[Batched; 4]>> {
        batch_all(Clamp, b, inputs, lanes.size)
    }
    fn cost(&self, inputs: &[Type], _: &[Type]) -> Cost {
        Cost { flops: 2.0 * inputs[0].shape.size() as f64, bytes: 4.0 * inputs[0].bytes() as f64 }
    }
}
