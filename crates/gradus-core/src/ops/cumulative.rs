//! Running sums and products along an axis, and the linear recurrence that both are cases of.

use std::ops::{Add, Sub};

use smallvec::{SmallVec, smallvec};

use crate::graph::Vars;
use crate::ops::elementwise::same_types;
use crate::ops::movement::moved;
use crate::ops::source::linear_product;
use crate::ops::{Concat, LinearMul, Pad, Slice, batch_all, jvp_linear};
use crate::primitive::{Arrays, Tangents, Types, not_linear};
use crate::strided::around;
use crate::transforms::Lanes;
use crate::{
    Array, Batched, Binary, Buffer, Builder, Cost, DEAD, Doc, Element, ErrorKind, Jvp, Operand, Primitive,
    Result, Type, Var,
};

/// What a running reduction combines with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum CumulativeKind {
    /// `yᵢ = x₀ + … + xᵢ`; of floats, with what the additions have lost.
    Sum,
    /// `yᵢ = x₀ ⋯ xᵢ`
    Prod,
}

impl CumulativeKind {
    /// Every kind.
    pub const ALL: [CumulativeKind; 2] = [CumulativeKind::Sum, CumulativeKind::Prod];
}

/// Each element combined with all before it along an axis, itself included.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Cumulative {
    /// What it combines with.
    pub kind: CumulativeKind,
    /// The axis.
    pub axis: usize,
    /// Whether it runs from the last element to the first.
    pub reverse: bool,
}

/// The linear recurrence `yᵢ = aᵢ yᵢ₋₁ + bᵢ` along an axis, starting from nothing (`y₀ = b₀`); operands `a`, `b`.
///
/// It is closed under differentiation and transposition: its tangent is a recurrence over the same `a`, its
/// transpose one that runs the other way. The running product's derivative is a recurrence, which divides by
/// nothing and so is exact at zeros.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Recurrence {
    /// The axis.
    pub axis: usize,
    /// Whether it runs from the last element to the first.
    pub reverse: bool,
    /// Inside linear programs: the product `aᵢ yᵢ₋₁` is a [`LinearMul`].
    pub linear: bool,
}

/// Runs `step(previous result, index)` along an axis of a shape; `previous` is `None` at the start.
fn run<T: Element>(
    shape: &[usize],
    axis: usize,
    reverse: bool,
    mut step: impl FnMut(Option<T>, usize) -> T,
) -> Vec<T> {
    let (outer, extent, inner) = around(shape, axis);
    let mut out = vec![T::default(); outer * extent * inner];
    for o in 0..outer {
        for i in 0..inner {
            let mut previous = None;
            for k in 0..extent {
                let k = if reverse { extent - 1 - k } else { k };
                let at = (o * extent + k) * inner + i;
                out[at] = step(previous, at);
                previous = Some(out[at]);
            }
        }
    }
    out
}

/// Running sums of floats, each with what the additions before it have lost (Neumaier 1974).
fn sums<T>(shape: &[usize], axis: usize, reverse: bool, x: &[T]) -> Vec<T>
where
    T: Element + Add<Output = T> + Sub<Output = T> + PartialOrd + From<f32>,
{
    // Nothing changes when -0 is added to it, 0 does when -0 is.
    let (mut total, mut lost) = (T::from(-0.0), T::from(0.0));
    run(shape, axis, reverse, |previous: Option<T>, at| {
        if previous.is_none() {
            (total, lost) = (T::from(-0.0), T::from(0.0));
        }
        let before = total;
        total = before + x[at];
        let shadow = total - before;
        lost = lost + ((before - (total - shadow)) + (x[at] - shadow));
        // Nothing is lost of what is infinite, and a zero keeps its sign. What was lost goes back at once: it would become
        // large itself, and lose as well.
        let something = lost < T::from(0.0) || lost > T::from(0.0);
        let sum = if something { total + lost } else { total };
        lost = lost - (sum - total);
        total = sum;
        sum
    })
}

/// `x` moved one place along its axis, in the direction given, with `fill` coming in at the end left free.
pub(crate) fn shift(b: &mut Builder, x: Var, axis: usize, later: bool, fill: f64) -> Result<Var> {
    let shape = b.shape(x).clone();
    let extent = shape[axis];
    if extent == 0 {
        return Ok(x);
    }
    let range = if later { 0..extent - 1 } else { 1..extent };
    let kept = b.emit1(Slice::along(&shape, axis, range.start, range.end), &[x])?;
    pad_one(b, kept, axis, later, fill)
}

/// `x` with one more place before the others, or behind them.
fn pad_one(b: &mut Builder, x: Var, axis: usize, before: bool, fill: f64) -> Result<Var> {
    if fill == 0.0 {
        let zeros = || SmallVec::from_elem(0, b.shape(x).rank());
        let mut pad = Pad { dead: fill.is_sign_negative(), low: zeros(), high: zeros(), interior: zeros() };
        if before {
            pad.low[axis] = 1
        } else {
            pad.high[axis] = 1
        };
        return b.emit1(pad, &[x]);
    }
    let mut edge = b.shape(x).clone();
    edge[axis] = 1;
    let edge = b.ty(x).with_shape("shift", edge)?;
    let edge = b.full(&edge, fill);
    b.emit1(Concat { axis }, &if before { [edge, x] } else { [x, edge] })
}

fn check(op: &'static str, axis: usize, ty: &Type, ints: bool) -> Result<(), ErrorKind> {
    if axis >= ty.shape.rank() {
        return Err(ErrorKind::Axis { op, axis: axis as isize, rank: ty.shape.rank() });
    }
    if !(ty.dtype.is_float() || (ints && ty.dtype.is_int())) {
        let detail = if ints { "it takes floats or integers; cast first" } else { "it takes floats" };
        return Err(ErrorKind::DType { op, dtypes: vec![ty.dtype], detail: detail.into() });
    }
    Ok(())
}

impl Primitive for Cumulative {
    fn doc(&self) -> Doc {
        match self.kind {
            CumulativeKind::Sum => {
                Doc {
                    name: "cumsum", formula: "yᵢ = x₀ + … + xᵢ", derivative: "linear", domain: "all x"
                }
            }
            CumulativeKind::Prod => Doc {
                name: "cumprod",
                formula: "yᵢ = x₀ ⋯ xᵢ",
                derivative: "dyᵢ = xᵢ dyᵢ₋₁ + yᵢ₋₁ dxᵢ",
                domain: "all x; exact at zeros",
            },
        }
    }
    fn infer(&self, inputs: &[Type]) -> Result<Types, ErrorKind> {
        check(self.doc().name, self.axis, &inputs[0], true)?;
        Ok(smallvec![inputs[0].clone()])
    }
    fn eval(&self, inputs: &[&Array]) -> Result<Arrays, ErrorKind> {
        let shape = inputs[0].shape();
        macro_rules! running {
            ($v:expr, $add:expr, $mul:expr) => {{
                let combine = match self.kind {
                    CumulativeKind::Sum => $add,
                    CumulativeKind::Prod => $mul,
                };
                let step = |previous, at: usize| match previous {
                    Some(p) => combine(p, $v[at]),
                    None => $v[at],
                };
                Array::of(shape.clone(), run(shape, self.axis, self.reverse, step))
            }};
        }
        let sum = self.kind == CumulativeKind::Sum;
        Ok(smallvec![match inputs[0].buffer() {
            Buffer::F32(v) if sum => Array::of(shape.clone(), sums(shape, self.axis, self.reverse, v)),
            Buffer::F64(v) if sum => Array::of(shape.clone(), sums(shape, self.axis, self.reverse, v)),
            Buffer::F32(v) => running!(v, |a: f32, b: f32| a + b, |a: f32, b: f32| a * b),
            Buffer::F64(v) => running!(v, |a: f64, b: f64| a + b, |a: f64, b: f64| a * b),
            Buffer::I32(v) => running!(v, i32::wrapping_add, i32::wrapping_mul),
            Buffer::I64(v) => running!(v, i64::wrapping_add, i64::wrapping_mul),
            Buffer::U8(v) => running!(v, u8::wrapping_add, u8::wrapping_mul),
            Buffer::Bool(_) | Buffer::Bf16(_) | Buffer::F16(_) =>
                unreachable!("excluded by the shape rule, or wider here"),
        }])
    }
    fn jvp(&self, b: &mut Builder, _: Jvp, inputs: &[Var], t: &[Option<Var>]) -> Result<(Vars, Tangents)> {
        if self.kind == CumulativeKind::Sum {
            return jvp_linear(*self, b, inputs, t);
        }
        let (x, Some(dx)) = (inputs[0], t[0]) else { unreachable!("some tangent is not zero") };
        let out = b.emit1(*self, inputs)?;
        let before = shift(b, out, self.axis, !self.reverse, 1.0)?;
        let own = b.emit1(LinearMul::RESIDUAL, &[before, dx])?;
        let recurrence = Recurrence { axis: self.axis, reverse: self.reverse, linear: true };
        Ok((smallvec![out], smallvec![Some(b.emit1(recurrence, &[x, own])?)]))
    }
    fn transpose(&self, b: &mut Builder, _: &[Operand], ct: &[Option<Var>]) -> Result<Tangents> {
        if self.kind != CumulativeKind::Sum {
            return Err(not_linear(self.doc().name));
        }
        let back = Cumulative { reverse: !self.reverse, ..*self };
        Ok(smallvec![ct[0].map(|ct| b.emit1(back, &[ct])).transpose()?])
    }
    fn batch(&self, b: &mut Builder, inputs: &[Batched], lanes: Lanes<'_>) -> Result<SmallVec<[Batched; 4]>> {
        batch_all(Cumulative { axis: self.axis + 1, ..*self }, b, inputs, lanes.size)
    }
    fn cost(&self, inputs: &[Type], outputs: &[Type]) -> Cost {
        Cost { flops: inputs[0].shape.size() as f64, bytes: moved(inputs, outputs).bytes }
    }
}

impl Primitive for Recurrence {
    fn doc(&self) -> Doc {
        Doc {
            name: "recurrence",
            formula: "yᵢ = aᵢ yᵢ₋₁ + bᵢ, y₀ = b₀",
            derivative: "dyᵢ = aᵢ dyᵢ₋₁ + (daᵢ yᵢ₋₁ + dbᵢ)",
            domain: "all a, b",
        }
    }
    fn infer(&self, inputs: &[Type]) -> Result<Types, ErrorKind> {
        same_types("recurrence", inputs)?;
        check("recurrence", self.axis, &inputs[0], false)?;
        Ok(smallvec![inputs[0].clone()])
    }
    fn eval(&self, inputs: &[&Array]) -> Result<Arrays, ErrorKind> {
        let shape = inputs[0].shape();
        macro_rules! running {
            ($a:expr, $b:expr) => {{
                let step = |previous, at: usize| match previous {
                    Some(p) if self.linear => linear_product($a[at], p) + $b[at],
                    Some(p) => $a[at] * p + $b[at],
                    None => $b[at],
                };
                Array::of(shape.clone(), run(shape, self.axis, self.reverse, step))
            }};
        }
        Ok(smallvec![match (inputs[0].buffer(), inputs[1].buffer()) {
            (Buffer::F32(a), Buffer::F32(b)) => running!(a, b),
            (Buffer::F64(a), Buffer::F64(b)) => running!(a, b),
            _ => unreachable!("excluded by the shape rule"),
        }])
    }
    fn jvp(&self, b: &mut Builder, _: Jvp, inputs: &[Var], t: &[Option<Var>]) -> Result<(Vars, Tangents)> {
        let out = b.emit1(*self, inputs)?;
        let mut driven = t[1];
        if let Some(da) = t[0] {
            let shape = b.shape(out).clone();
            let extent = shape[self.axis];
            // The first has nothing before it.
            let [earlier, later] = [(0, extent.saturating_sub(1)), (extent.min(1), extent)]
                .map(|(from, to)| Slice::along(&shape, self.axis, from, to));
            let (of_out, of_da) = if self.reverse { (later, earlier) } else { (earlier, later) };
            let (before, da) = (b.emit1(of_out, &[out])?, b.emit1(of_da, &[da])?);
            let mut term = b.emit1(LinearMul { both: self.linear }, &[before, da])?;
            if extent > 0 {
                term = pad_one(b, term, self.axis, !self.reverse, DEAD)?;
            }
            driven = b.add_tangents(driven, Some(term))?;
        }
        let tangent = Recurrence { linear: true, ..*self };
        let tangent = driven.map(|d| b.emit1(tangent, &[inputs[0], d])).transpose()?;
        Ok((smallvec![out], smallvec![tangent]))
    }
    fn transpose(&self, b: &mut Builder, inputs: &[Operand], ct: &[Option<Var>]) -> Result<Tangents> {
        let Some(ct) = ct[0] else { return Ok(smallvec![None, None]) };
        let Some(a) = inputs[0].residual() else { return Err(not_linear("recurrence")) };
        // yᵢ reaches yᵢ₊₁ with the factor aᵢ₊₁.
        let next = shift(b, a, self.axis, self.reverse, 0.0)?;
        let back = Recurrence { axis: self.axis, reverse: !self.reverse, linear: true };
        Ok(smallvec![None, Some(b.emit1(back, &[next, ct])?)])
    }
    fn batch(&self, b: &mut Builder, inputs: &[Batched], lanes: Lanes<'_>) -> Result<SmallVec<[Batched; 4]>> {
        batch_all(Recurrence { axis: self.axis + 1, ..*self }, b, inputs, lanes.size)
    }
    fn cost(&self, inputs: &[Type], outputs: &[Type]) -> Cost {
        let mut cost = Binary::Mul.cost(inputs, outputs);
        cost.flops *= 2.0;
        cost
    }
}

#[cfg(test)]
mod tests {
    use super::sums;

    #[test]
    fn running_sums_lose_nothing() {
        let x = vec![0.1f32; 1_000_000];
        let last = f64::from(sums(&[x.len()], 0, false, &x)[x.len() - 1]);
        let exact = f64::from(0.1f32) * x.len() as f64;
        assert!((last - exact).abs() <= 0.5 * 0.0078125, "{last} for {exact}");
        let infinite = sums(&[4], 0, false, &[1.0f32, f32::INFINITY, 2.0, f32::NEG_INFINITY]);
        assert_eq!(infinite[..3], [1.0, f32::INFINITY, f32::INFINITY]);
        assert!(infinite[3].is_nan());
        assert!(sums(&[2], 0, true, &[-0.0f32, -0.0]).iter().all(|x| x.is_sign_negative()));
    }
}
