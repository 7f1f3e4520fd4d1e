//! Element-wise arithmetic and functions: the rows of [`Unary`] and [`Binary`], whose derivative formulas live
//! in [`gradus_num::rules`].

use gradus_num::{Curve, Scalar};
use smallvec::{SmallVec, smallvec};

use crate::graph::Vars;
use crate::ops::{LinearMul, batch_all, jvp_zero};
use crate::primitive::{Arrays, Tangents, Types, not_linear};
use crate::sym::with_syms;
use crate::transforms::Lanes;
use crate::{
    Array, Batched, Binary, Buffer, Builder, Cost, DType, Doc, Element, ErrorKind, Jvp, Operand, Primitive,
    Result, Type, Unary, Var,
};

/// `residual * tangent`, or a symbolic zero.
fn chain(b: &mut Builder, derivative: Var, tangent: Option<Var>) -> Result<Option<Var>> {
    tangent.map(|t| b.emit1(LinearMul::RESIDUAL, &[derivative, t])).transpose()
}

/// `1 / y` times a tangent.
fn over(b: &mut Builder, tangent: Var, y: Var) -> Result<Var> {
    let slope = b.emit1(Unary::Recip, &[y])?;
    b.emit1(LinearMul::RESIDUAL, &[slope, tangent])
}

impl Primitive for Unary {
    fn doc(&self) -> Doc {
        let entry = self.entry();
        Doc { name: entry.name, formula: entry.formula, derivative: entry.derivative, domain: entry.domain }
    }

    fn infer(&self, inputs: &[Type]) -> Result<Types, ErrorKind> {
        let ty = &inputs[0];
        let fits = match self {
            Unary::Neg | Unary::Abs | Unary::Sign => ty.dtype.is_float() || ty.dtype.is_int(),
            Unary::Powi(n) => ty.dtype.is_float() || (ty.dtype.is_int() && *n >= 0),
            _ => ty.dtype.is_float(),
        };
        if !fits {
            let detail = match self {
                Unary::Powi(n) if ty.dtype.is_int() => {
                    format!("an integer to the power {n} is no integer; cast to f32 or f64 first")
                }
                _ => "it takes floats; cast first".to_string(),
            };
            return Err(ErrorKind::DType { op: self.name(), dtypes: vec![ty.dtype], detail });
        }
        Ok(smallvec![ty.clone()])
    }

    fn eval(&self, inputs: &[&Array]) -> Result<Arrays, ErrorKind> {
        let x = inputs[0];
        let shape = x.shape().clone();
        macro_rules! ints {
            ($v:expr, $t:ty) => {
                $v.iter()
                    .map(|&x| match self {
                        Unary::Neg => x.wrapping_neg(),
                        Unary::Abs => {
                            if x < 0 as $t {
                                x.wrapping_neg()
                            } else {
                                x
                            }
                        }
                        Unary::Sign => <$t>::from(x > 0 as $t).wrapping_sub(<$t>::from(x < 0 as $t)),
                        Unary::Powi(n) => x.wrapping_pow(*n as u32),
                        _ => unreachable!("the shape rule admits no other function of integers"),
                    })
                    .collect()
            };
        }
        Ok(smallvec![match x.buffer() {
            Buffer::F32(v) => Array::of::<f32>(shape, v.iter().map(|x| Scalar::unary(x, *self)).collect()),
            Buffer::F64(v) => Array::of::<f64>(shape, v.iter().map(|x| Scalar::unary(x, *self)).collect()),
            Buffer::I32(v) => Array::of::<i32>(shape, ints!(v, i32)),
            Buffer::I64(v) => Array::of::<i64>(shape, ints!(v, i64)),
            Buffer::U8(v) => Array::of::<u8>(shape, ints!(v, u8)),
            Buffer::Bool(_) | Buffer::Bf16(_) | Buffer::F16(_) =>
                unreachable!("excluded by the shape rule, or wider here"),
        }])
    }

    fn jvp(
        &self,
        b: &mut Builder,
        _: Jvp,
        inputs: &[Var],
        tangents: &[Option<Var>],
    ) -> Result<(Vars, Tangents)> {
        match self {
            Unary::Neg => {
                let y = b.emit1(Unary::Neg, inputs)?;
                let t = tangents[0].map(|t| b.negate_tangent(t)).transpose()?;
                Ok((smallvec![y], smallvec![t]))
            }
            step if step.entry().curve == Curve::Step => jvp_zero(*self, b, inputs),
            _ => {
                let y = b.emit1(*self, inputs)?;
                let d = with_syms(b, [inputs[0], y], |[x, y]| self.derivative(&x, &y).var);
                let t = chain(b, d, tangents[0])?;
                Ok((smallvec![y], smallvec![t]))
            }
        }
    }

    fn transpose(&self, b: &mut Builder, _: &[Operand], cotangents: &[Option<Var>]) -> Result<Tangents> {
        match (self, cotangents[0]) {
            (Unary::Neg, Some(ct)) => Ok(smallvec![Some(b.negate_tangent(ct)?)]),
            (Unary::Neg, None) => Ok(smallvec![None]),
            _ => Err(not_linear(self.name())),
        }
    }

    fn batch(&self, b: &mut Builder, inputs: &[Batched], lanes: Lanes<'_>) -> Result<SmallVec<[Batched; 4]>> {
        batch_all(*self, b, inputs, lanes.size)
    }

    fn cost(&self, inputs: &[Type], _: &[Type]) -> Cost {
        let n = inputs[0].shape.size() as f64;
        Cost { flops: n * unary_flops(*self), bytes: 2.0 * inputs[0].bytes() as f64 }
    }
}

/// Rough arithmetic operations of one element, as vectorised.
fn unary_flops(op: Unary) -> f64 {
    match op {
        Unary::Powi(n) => 1.0 + 2.0 * f64::from(n.unsigned_abs().max(1).ilog2()),
        _ => op.entry().cost.1,
    }
}

/// Both operands have the same type; broadcasting has been made explicit before.
pub(crate) fn same_types(op: &'static str, inputs: &[Type]) -> Result<(), ErrorKind> {
    let (x, y) = (&inputs[0], &inputs[1]);
    if x.dtype != y.dtype {
        let detail = "tensors of different dtype never promote silently; cast one of them".to_string();
        return Err(ErrorKind::DType { op, dtypes: vec![x.dtype, y.dtype], detail });
    }
    if x.shape != y.shape {
        let detail = "element-wise operands have one shape; broadcast first".to_string();
        return Err(ErrorKind::Shape { op, shapes: vec![x.shape.clone(), y.shape.clone()], detail });
    }
    Ok(())
}

fn zip<T: Element, U: Element>(x: &[T], y: &[T], f: impl Fn(T, T) -> U) -> Vec<U> {
    x.iter().zip(y).map(|(&x, &y)| f(x, y)).collect()
}

impl Primitive for Binary {
    fn doc(&self) -> Doc {
        let (formula, derivative, domain) = match self {
            Binary::Add => ("x + y", "1, 1", "all x, y"),
            Binary::Sub => ("x - y", "1, -1", "all x, y"),
            Binary::Mul => ("x y", "y, x", "all x, y"),
            Binary::Div => ("x / y", "1/y, -(x/y)/y", "y ≠ 0; integers: y = 0 is an error"),
            Binary::Rem => ("x - y trunc(x/y)", "1, -trunc(x/y)", "y ≠ 0; integers: y = 0 is an error"),
            Binary::Pow => ("xʸ", "y xʸ⁻¹, xʸ ln x", "x ≥ 0, or y an integer; d/dy is 0 where x = 0 < y"),
            Binary::Atan2 => ("angle of (y, x)", "y/(x²+y²), -x/(x²+y²)", "not both 0"),
            Binary::Hypot => ("√(x²+y²)", "x/√(x²+y²), y/√(x²+y²)", "all x, y; derivatives 0 at the origin"),
            Binary::Max => ("the larger", "1 for the larger, else 0", "NaN if either is; ½, ½ at a tie"),
            Binary::Min => ("the smaller", "1 for the smaller, else 0", "NaN if either is; ½, ½ at a tie"),
        };
        Doc { name: self.name(), formula, derivative, domain }
    }

    fn infer(&self, inputs: &[Type]) -> Result<Types, ErrorKind> {
        same_types(self.name(), inputs)?;
        let dtype = inputs[0].dtype;
        let fits = match self {
            Binary::Add
            | Binary::Sub
            | Binary::Mul
            | Binary::Div
            | Binary::Rem
            | Binary::Max
            | Binary::Min => dtype.is_float() || dtype.is_int(),
            Binary::Pow | Binary::Atan2 | Binary::Hypot => dtype.is_float(),
        };
        if !fits {
            let detail = match dtype {
                DType::Bool => "booleans have no arithmetic; use `and`, `or`, `xor`, or cast",
                _ => "it takes floats; cast first",
            };
            return Err(ErrorKind::DType { op: self.name(), dtypes: vec![dtype], detail: detail.into() });
        }
        Ok(smallvec![inputs[0].clone()])
    }

    fn eval(&self, inputs: &[&Array]) -> Result<Arrays, ErrorKind> {
        let shape = inputs[0].shape().clone();
        macro_rules! ints {
            ($t:ty, $x:expr, $y:expr) => {{
                if matches!(self, Binary::Div | Binary::Rem) && $y.contains(&0) {
                    return Err(ErrorKind::division_by_zero(self.name()));
                }
                Array::of::<$t>(
                    shape,
                    zip($x, $y, |x, y| match self {
                        Binary::Add => x.wrapping_add(y),
                        Binary::Sub => x.wrapping_sub(y),
                        Binary::Mul => x.wrapping_mul(y),
                        Binary::Div => x.wrapping_div(y),
                        Binary::Rem => x.wrapping_rem(y),
                        Binary::Max => x.max(y),
                        Binary::Min => x.min(y),
                        Binary::Pow | Binary::Atan2 | Binary::Hypot => {
                            unreachable!("excluded by the shape rule")
                        }
                    }),
                )
            }};
        }
        Ok(smallvec![match (inputs[0].buffer(), inputs[1].buffer()) {
            (Buffer::F32(x), Buffer::F32(y)) =>
                Array::of(shape, zip(x, y, |x, y| Scalar::binary(&x, *self, &y))),
            (Buffer::F64(x), Buffer::F64(y)) =>
                Array::of(shape, zip(x, y, |x, y| Scalar::binary(&x, *self, &y))),
            (Buffer::I32(x), Buffer::I32(y)) => ints!(i32, x, y),
            (Buffer::I64(x), Buffer::I64(y)) => ints!(i64, x, y),
            (Buffer::U8(x), Buffer::U8(y)) => ints!(u8, x, y),
            _ => unreachable!("excluded by the shape rule"),
        }])
    }

    fn jvp(
        &self,
        b: &mut Builder,
        _: Jvp,
        inputs: &[Var],
        tangents: &[Option<Var>],
    ) -> Result<(Vars, Tangents)> {
        let out = b.emit1(*self, inputs)?;
        let tangent = match (self, tangents[0], tangents[1]) {
            (Binary::Add, x, y) => b.add_tangents(x, y)?,
            (Binary::Sub, x, None) => x,
            (Binary::Sub, x, Some(y)) => {
                let minus = b.negate_tangent(y)?;
                b.add_tangents(x, Some(minus))?
            }
            (_, tx, ty) => {
                let (dx, dy) = with_syms(b, [inputs[0], inputs[1], out], |[x, y, out]| {
                    let (dx, dy) = self.partials(&x, &y, &out);
                    (dx.var, dy.var)
                });
                // Of the operand that is not chosen nothing arrives: its share is dead.
                let product = LinearMul { both: matches!(self, Binary::Max | Binary::Min) };
                let tx = tx.map(|t| b.emit1(product, &[dx, t])).transpose()?;
                let ty = ty.map(|t| b.emit1(product, &[dy, t])).transpose()?;
                b.add_tangents(tx, ty)?
            }
        };
        Ok((smallvec![out], smallvec![tangent]))
    }

    fn transpose(&self, b: &mut Builder, inputs: &[Operand], cotangents: &[Option<Var>]) -> Result<Tangents> {
        let Some(ct) = cotangents[0] else { return Ok(smallvec![None, None]) };
        let linear = (inputs[0].is_linear(), inputs[1].is_linear());
        Ok(match self {
            Binary::Add => smallvec![linear.0.then_some(ct), linear.1.then_some(ct)],
            Binary::Sub => {
                let y = if linear.1 { Some(b.negate_tangent(ct)?) } else { None };
                smallvec![linear.0.then_some(ct), y]
            }
            Binary::Mul => return LinearMul::RESIDUAL.transpose(b, inputs, cotangents),
            Binary::Div => {
                let Some(y) = inputs[1].residual() else { return Err(not_linear(self.name())) };
                smallvec![Some(over(b, ct, y)?), None]
            }
            Binary::Rem | Binary::Pow | Binary::Atan2 | Binary::Hypot | Binary::Max | Binary::Min => {
                return Err(not_linear(self.name()));
            }
        })
    }

    fn batch(&self, b: &mut Builder, inputs: &[Batched], lanes: Lanes<'_>) -> Result<SmallVec<[Batched; 4]>> {
        batch_all(*self, b, inputs, lanes.size)
    }

    fn cost(&self, inputs: &[Type], _: &[Type]) -> Cost {
        let per_element = match self {
            Binary::Add | Binary::Sub | Binary::Mul | Binary::Max | Binary::Min => 1.0,
            Binary::Div => 4.0,
            Binary::Rem | Binary::Hypot => 10.0,
            Binary::Pow | Binary::Atan2 => 40.0,
        };
        Cost { flops: inputs[0].shape.size() as f64 * per_element, bytes: 3.0 * inputs[0].bytes() as f64 }
    }
}
