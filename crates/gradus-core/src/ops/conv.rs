//! Convolution in any number of spatial dimensions, closed under transposition.

mod derive;

use std::fmt;

use smallvec::{SmallVec, smallvec};

use crate::graph::Vars;
use crate::ops::Axes;
use crate::ops::movement::moved;
use crate::ops::source::linear_term;
use crate::primitive::{Arrays, Tangents, Types, not_linear};
use crate::transforms::Lanes;
use crate::{
    Array, Batched, Buffer, Builder, Cost, DEAD, Doc, Element, ErrorKind, Jvp, Operand, Primitive, Result,
    Shape, Type, Var,
};

/// Padding of each spatial axis; negative padding cuts off.
pub type Padding = SmallVec<[isize; 4]>;

/// The convolution (cross-correlation) of `x: [N, C, spatial…]` with a kernel `[O, C/groups, spatial…]`, giving
/// `[N, O, spatial…]`. Along each spatial axis
///
/// `out[p] = Σₖ x[(p stride + k rhs_dilation - low) / lhs_dilation] kernel[k]`
///
/// over the `k` for which the index is an integer inside `x`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Conv {
    /// Step between results.
    pub stride: Axes,
    /// Zeros before the (dilated) input.
    pub low: Padding,
    /// Zeros after it.
    pub high: Padding,
    /// Distance at which input elements are spread, 1 for side by side.
    pub lhs_dilation: Axes,
    /// Distance at which kernel elements are spread.
    pub rhs_dilation: Axes,
    /// Channels and output channels fall into this many groups that do not mix.
    pub feature_groups: usize,
    /// Examples and output channels fall into this many groups; group `g` of the output channels sees group `g` of
    /// the examples. The weight gradient of a grouped convolution is one of these.
    pub batch_groups: usize,
    /// Inside linear programs: which factors are tangents. A term does not count of which one is [`DEAD`], or the factor
    /// that is none is 0; a sum of no term that counts is dead. (In a [`LinearMul`](crate::ops::LinearMul) a residual of
    /// 0 is a number.)
    pub tangents: [bool; 2],
    /// Inside linear programs: nobody asks whether a result is dead, so that all are numbers.
    pub numbers: bool,
}

impl fmt::Display for Conv {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "stride={:?} low={:?} high={:?}", &self.stride[..], &self.low[..], &self.high[..])?;
        for (name, dilation) in [("lhs_dilation", &self.lhs_dilation), ("rhs_dilation", &self.rhs_dilation)] {
            if dilation.iter().any(|&d| d != 1) {
                write!(f, " {name}={:?}", &dilation[..])?;
            }
        }
        for (name, groups) in [("feature_groups", self.feature_groups), ("batch_groups", self.batch_groups)] {
            if groups != 1 {
                write!(f, " {name}={groups}")?;
            }
        }
        Ok(())
    }
}

/// Extent of `n` elements spread at a distance; `usize::MAX` if it is too large for a `usize`.
pub(crate) fn dilated(n: usize, dilation: usize) -> usize {
    if n == 0 { 0 } else { (n - 1).saturating_mul(dilation).saturating_add(1) }
}

impl Conv {
    /// The sum of no term that counts.
    fn nothing(&self) -> f64 {
        if self.numbers { 0.0 } else { DEAD }
    }

    /// A convolution of stride 1 without padding, dilation or groups, over `dims` spatial axes.
    pub fn new(dims: usize) -> Self {
        let ones: Axes = SmallVec::from_elem(1, dims);
        Conv {
            stride: ones.clone(),
            low: SmallVec::from_elem(0, dims),
            high: SmallVec::from_elem(0, dims),
            lhs_dilation: ones.clone(),
            rhs_dilation: ones,
            feature_groups: 1,
            batch_groups: 1,
            tangents: [false; 2],
            numbers: false,
        }
    }

    /// Number of spatial axes.
    pub fn dims(&self) -> usize {
        self.stride.len()
    }

    fn error(&self, x: &Type, kernel: &Type, detail: String) -> ErrorKind {
        ErrorKind::Shape { op: "conv", shapes: vec![x.shape.clone(), kernel.shape.clone()], detail }
    }

    /// The extent of the result along spatial axis `d`, and that of the spread and padded input.
    fn extent(&self, d: usize, x: &Type, kernel: &Type) -> Result<(usize, usize), ErrorKind> {
        let (from, window) = (x.shape[d + 2], kernel.shape[d + 2]);
        if from == 0 || window == 0 {
            let detail = format!("spatial axis {d} is empty; every spatial extent must be at least 1");
            return Err(self.error(x, kernel, detail));
        }
        let spread = dilated(from, self.lhs_dilation[d]);
        let window = dilated(window, self.rhs_dilation[d]);
        let padded = spread as i128 + self.low[d] as i128 + self.high[d] as i128;
        if padded < window as i128 {
            let detail = format!(
                "along spatial axis {d} the kernel spans {window} elements, but the padded input only {padded}; \
                 pad by at least {} more, or use a smaller kernel or dilation",
                window as i128 - padded
            );
            return Err(self.error(x, kernel, detail));
        }
        // What is cut off at one side does not make up for what is added at the other.
        let widened =
            [self.low[d], self.high[d]].iter().fold(spread, |n, &p| n.saturating_add(p.max(0) as usize));
        let steps = (padded - window as i128) / self.stride[d] as i128;
        Ok((usize::try_from(steps).unwrap_or(usize::MAX).saturating_add(1), widened))
    }

    fn check(&self, x: &Type, kernel: &Type) -> Result<(), ErrorKind> {
        if x.dtype != kernel.dtype {
            let detail = "tensors of different dtype never promote silently; cast one of them".into();
            return Err(ErrorKind::DType { op: "conv", dtypes: vec![x.dtype, kernel.dtype], detail });
        }
        if !(x.dtype.is_float() || x.dtype.is_int()) {
            let detail = "it takes floats or integers; cast first".into();
            return Err(ErrorKind::DType { op: "conv", dtypes: vec![x.dtype], detail });
        }
        let dims = self.dims();
        let argument = |detail: String| Err(ErrorKind::Argument { op: "conv", detail });
        let lengths = [self.low.len(), self.high.len(), self.lhs_dilation.len(), self.rhs_dilation.len()];
        if lengths.iter().any(|&n| n != dims) {
            return argument(format!("stride, padding and dilations must all have {dims} entries"));
        }
        if self.stride.iter().chain(&self.lhs_dilation).chain(&self.rhs_dilation).any(|&n| n == 0) {
            return argument("strides and dilations must be at least 1".into());
        }
        let (f, g) = (self.feature_groups, self.batch_groups);
        if f == 0 || g == 0 || (f > 1 && g > 1) {
            return argument(format!(
                "group counts are at least 1 and not both above it (feature groups {f}, batch groups {g})"
            ));
        }
        if x.shape.rank() != dims + 2 || kernel.shape.rank() != dims + 2 {
            let detail = format!(
                "with {dims} spatial axes the input is [batch, channels, spatial…] and the kernel \
                 [out channels, channels / groups, spatial…], {} axes each; add the axes that are missing",
                dims + 2
            );
            return Err(self.error(x, kernel, detail));
        }
        if Some(x.shape[1]) != kernel.shape[1].checked_mul(f) {
            let detail = format!(
                "the input has {} channels, but the kernel takes {} in {f} group(s), which is {}; \
                 the kernel's axis 1 must be channels / groups",
                x.shape[1],
                kernel.shape[1],
                kernel.shape[1].saturating_mul(f)
            );
            return Err(self.error(x, kernel, detail));
        }
        if !kernel.shape[0].is_multiple_of(f * g) || !x.shape[0].is_multiple_of(g) {
            let detail = format!(
                "{} out channels and {} examples must divide evenly into {} group(s)",
                kernel.shape[0],
                x.shape[0],
                f * g
            );
            return Err(self.error(x, kernel, detail));
        }
        Ok(())
    }

    /// The sum over kernel positions and channels, written out.
    fn sum<T: Element>(
        &self,
        x: &Array,
        kernel: &Array,
        shape: &Shape,
        nothing: T,
        fma: impl Fn(T, T, T) -> T,
    ) -> Array {
        let (v, w) = (x.elements::<T>(), kernel.elements::<T>());
        let (Some(v), Some(w)) = (v, w) else { unreachable!("checked by the shape rule") };
        let (xs, ks) = (x.shape().strides(), kernel.shape().strides());
        let [channels, taps] = [kernel.shape()[1], kernel.shape()[2..].iter().product()];
        let per_feature = (shape[1] / self.feature_groups).max(1);
        let per_batch = (shape[1] / self.batch_groups).max(1);
        let places: usize = shape[2..].iter().product();
        let mut out = Vec::with_capacity(shape.size());
        for n in 0..shape[0] {
            for o in 0..shape[1] {
                let example = o / per_batch * shape[0] + n;
                let first = o / per_feature * channels;
                for place in 0..places {
                    let mut acc = nothing;
                    for tap in 0..taps {
                        let Some(at) = self.source(x.shape(), &xs, kernel.shape(), shape, place, tap) else {
                            continue;
                        };
                        for c in 0..channels {
                            let a = v[example * xs[0] as usize + (first + c) * xs[1] as usize + at];
                            let b = w[o * ks[0] as usize + c * ks[1] as usize + tap];
                            acc = fma(acc, a, b);
                        }
                    }
                    out.push(acc);
                }
            }
        }
        Array::of(shape.clone(), out)
    }

    /// The offset of the input element that kernel element `tap` meets at result `place`, if there is one.
    fn source(
        &self,
        x: &Shape,
        strides: &[isize],
        kernel: &Shape,
        out: &Shape,
        place: usize,
        tap: usize,
    ) -> Option<usize> {
        let (mut place, mut tap, mut at) = (place, tap, 0);
        for d in (0..self.dims()).rev() {
            let (p, k) = (place % out[d + 2], tap % kernel[d + 2]);
            (place, tap) = (place / out[d + 2], tap / kernel[d + 2]);
            let spread = (p * self.stride[d] + k * self.rhs_dilation[d]).checked_add_signed(-self.low[d])?;
            let i = spread / self.lhs_dilation[d];
            if spread % self.lhs_dilation[d] != 0 || i >= x[d + 2] {
                return None;
            }
            at += i * strides[d + 2] as usize;
        }
        Some(at)
    }
}

impl Primitive for Conv {
    fn doc(&self) -> Doc {
        Doc {
            name: "conv",
            formula: "Σ x[p stride + k] kernel[k]",
            derivative: "conv(dx, kernel) + conv(x, dkernel)",
            domain: "all x, kernel",
        }
    }
    fn infer(&self, inputs: &[Type]) -> Result<Types, ErrorKind> {
        let (x, kernel) = (&inputs[0], &inputs[1]);
        self.check(x, kernel)?;
        let mut shape = Shape::from([x.shape[0] / self.batch_groups, kernel.shape[0]]);
        let mut padded = Shape::from([x.shape[0], x.shape[1].max(shape[1])]);
        for d in 0..self.dims() {
            let (out, from) = self.extent(d, x, kernel)?;
            shape = shape.concat(&[out]);
            padded = padded.concat(&[from]);
        }
        // Every place that a tap can be asked for lies in the padded input.
        padded.checked("conv")?;
        Ok(smallvec![x.with_shape("conv", shape)?])
    }
    fn eval(&self, inputs: &[&Array]) -> Result<Arrays, ErrorKind> {
        let (x, kernel) = (inputs[0], inputs[1]);
        let types = [x, kernel].map(|a| Type::new(a.dtype(), a.shape()));
        let shape = &self.infer(&types)?[0].shape;
        macro_rules! floats {
            ($t:ty) => {
                match linear_term(self.tangents) {
                    Some(term) => {
                        self.sum::<$t>(x, kernel, shape, self.nothing() as $t, |acc, a, b| acc + term(a, b))
                    }
                    None => self.sum::<$t>(x, kernel, shape, 0.0, |acc, a, b| acc + a * b),
                }
            };
        }
        macro_rules! ints {
            ($t:ty) => {
                self.sum::<$t>(x, kernel, shape, 0, |acc, a, b| acc.wrapping_add(a.wrapping_mul(b)))
            };
        }
        Ok(smallvec![match x.buffer() {
            Buffer::F32(_) => floats!(f32),
            Buffer::F64(_) => floats!(f64),
            Buffer::I32(_) => ints!(i32),
            Buffer::I64(_) => ints!(i64),
            Buffer::U8(_) => ints!(u8),
            Buffer::Bool(_) | Buffer::Bf16(_) | Buffer::F16(_) =>
                unreachable!("excluded by the shape rule, or wider here"),
        }])
    }
    fn jvp(&self, b: &mut Builder, _: Jvp, inputs: &[Var], t: &[Option<Var>]) -> Result<(Vars, Tangents)> {
        let out = b.emit1(self.clone(), inputs)?;
        let with = |tangents| Conv { tangents, numbers: false, ..self.clone() };
        let x = t[0].map(|t| b.emit1(with([true, self.tangents[1]]), &[t, inputs[1]])).transpose()?;
        let kernel = t[1].map(|t| b.emit1(with([self.tangents[0], true]), &[inputs[0], t])).transpose()?;
        Ok((smallvec![out], smallvec![b.add_tangents(x, kernel)?]))
    }
    fn transpose(&self, b: &mut Builder, inputs: &[Operand], ct: &[Option<Var>]) -> Result<Tangents> {
        let Some(ct) = ct[0] else { return Ok(smallvec![None, None]) };
        match (&inputs[0], &inputs[1]) {
            (Operand::Linear(x), Operand::Residual(kernel)) => {
                Ok(smallvec![Some(self.input_cotangent(b, ct, &x.shape, *kernel)?), None])
            }
            (Operand::Residual(x), Operand::Linear(kernel)) => {
                Ok(smallvec![None, Some(self.kernel_cotangent(b, ct, *x, &kernel.shape)?)])
            }
            _ => Err(not_linear("conv")),
        }
    }
    fn batch(&self, b: &mut Builder, inputs: &[Batched], lanes: Lanes<'_>) -> Result<SmallVec<[Batched; 4]>> {
        Ok(smallvec![(self.emit_batch(b, inputs, lanes.size)?, true)])
    }
    fn cost(&self, inputs: &[Type], outputs: &[Type]) -> Cost {
        let sums: usize = inputs[1].shape[1..].iter().product();
        Cost {
            flops: 2.0 * outputs[0].shape.size() as f64 * sums as f64,
            bytes: moved(inputs, outputs).bytes,
        }
    }
}
