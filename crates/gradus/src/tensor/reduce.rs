//! Reductions over axes.

use gradus_core::ops::{Reduce, ReduceKind, Reshape};
use gradus_core::shape::resolve_axis;
use gradus_core::{ErrorKind, Shape};

use crate::trace::OrFail;
use crate::{DType, Tensor};

/// Which axes an operation goes over: `()` for all, `1`, `-1`, `[0, 2]`; [`Axes::keep`] leaves them in the result with
/// extent 1.
///
/// ```
/// use gradus::{Axes, Tensor};
/// let x = Tensor::from([[1.0, 2.0], [3.0, 4.0]]);
/// assert_eq!(x.sum(()), Tensor::from(10.0));
/// assert_eq!(x.sum(-1), Tensor::from([3.0, 7.0]));
/// assert_eq!(x.sum(Axes::keep(-1)), Tensor::from([[3.0], [7.0]]));
/// ```
#[derive(Clone, Debug)]
pub struct Axes {
    /// `None` for all.
    axes: Option<Vec<isize>>,
    keep: bool,
}

impl Axes {
    /// The same axes, left in the result with extent 1.
    pub fn keep(axes: impl Into<Axes>) -> Self {
        Axes { keep: true, ..axes.into() }
    }

    /// The same axes, kept, and whether they were.
    pub(super) fn kept(self) -> (Axes, bool) {
        let keep = self.keep;
        (Axes::keep(self), keep)
    }

    /// The axes of a tensor of `rank` axes, increasing.
    #[track_caller]
    pub(crate) fn resolve(&self, op: &'static str, rank: usize) -> Vec<usize> {
        let Some(axes) = &self.axes else { return (0..rank).collect() };
        let mut out: Vec<usize> = Vec::new();
        for &axis in axes {
            out.push(resolve_axis(op, axis, rank).or_fail());
        }
        out.sort_unstable();
        if let Some(twice) = out.windows(2).find(|pair| pair[0] == pair[1]) {
            let detail = format!("axis {} is given twice, in {axes:?}; give each axis once", twice[0]);
            Err(ErrorKind::Argument { op, detail }).or_fail()
        }
        out
    }
}

impl From<()> for Axes {
    fn from((): ()) -> Self {
        Axes { axes: None, keep: false }
    }
}
impl From<i32> for Axes {
    fn from(axis: i32) -> Self {
        Axes::from([axis])
    }
}
impl From<isize> for Axes {
    fn from(axis: isize) -> Self {
        Axes { axes: Some(vec![axis]), keep: false }
    }
}
impl From<usize> for Axes {
    fn from(axis: usize) -> Self {
        Axes::from([axis].as_slice())
    }
}
impl<const N: usize> From<[i32; N]> for Axes {
    fn from(axes: [i32; N]) -> Self {
        Axes { axes: Some(axes.iter().map(|&a| a as isize).collect()), keep: false }
    }
}
impl From<&[usize]> for Axes {
    fn from(axes: &[usize]) -> Self {
        // One that is too large for an `isize` is out of range, not counted from the end.
        let axes = axes.iter().map(|&a| isize::try_from(a).unwrap_or(isize::MAX));
        Axes { axes: Some(axes.collect()), keep: false }
    }
}
impl From<Vec<usize>> for Axes {
    fn from(axes: Vec<usize>) -> Self {
        Axes::from(axes.as_slice())
    }
}

impl Tensor {
    #[track_caller]
    fn reduce(&self, op: &'static str, kind: ReduceKind, axes: Axes) -> Tensor {
        let resolved = axes.resolve(op, self.rank());
        let out = Tensor::apply(Reduce { kind, axes: resolved.iter().copied().collect() }, &[self]);
        if !axes.keep {
            return out;
        }
        let kept: Shape = self
            .shape()
            .iter()
            .enumerate()
            .map(|(a, &d)| if resolved.contains(&a) { 1 } else { d })
            .collect();
        Tensor::apply(Reshape(kept), &[&out])
    }

    /// `Σ x`; 0 of nothing.
    #[track_caller]
    pub fn sum(&self, axes: impl Into<Axes>) -> Tensor {
        self.reduce("sum", ReduceKind::Sum, axes.into())
    }

    /// `Π x`; 1 of nothing. The derivative is exact where elements are zero.
    #[track_caller]
    pub fn prod(&self, axes: impl Into<Axes>) -> Tensor {
        self.reduce("prod", ReduceKind::Prod, axes.into())
    }

    /// The largest element, NaN if any is. Equal largest elements share the derivative.
    #[track_caller]
    pub fn max(&self, axes: impl Into<Axes>) -> Tensor {
        self.reduce("max", ReduceKind::Max, axes.into())
    }

    /// The smallest element, NaN if any is. Equal smallest elements share the derivative.
    #[track_caller]
    pub fn min(&self, axes: impl Into<Axes>) -> Tensor {
        self.reduce("min", ReduceKind::Min, axes.into())
    }

    /// An error of `op`, and not of one of its parts, if the elements are integers or truth values.
    #[track_caller]
    pub(super) fn of_floats(&self, op: &'static str) {
        if !self.dtype().is_differentiable() {
            let detail = "it takes floats; cast first".into();
            Err(ErrorKind::DType { op, dtypes: vec![self.dtype()], detail }).or_fail()
        }
    }

    /// Number of elements that go into one result of an operation that divides by it.
    #[track_caller]
    pub(super) fn count(&self, op: &'static str, axes: &Axes) -> f64 {
        if !self.dtype().is_float() {
            let detail = "it divides, and integers have no fractions; cast to a float first".into();
            Err(ErrorKind::DType { op, dtypes: vec![self.dtype()], detail }).or_fail()
        }
        axes.resolve(op, self.rank()).iter().map(|&a| self.shape()[a]).product::<usize>() as f64
    }

    /// The tensor in `f32`, if it is of a 16-bit float type: for functions of whole rows, which are rounded as a whole.
    #[track_caller]
    pub(super) fn widened(&self) -> Option<Tensor> {
        if self.dtype().is_rounded() { Some(self.cast(self.dtype().wide())) } else { None }
    }

    /// `Σ x / n`; NaN of nothing, infinite where the sum is. Of 16-bit floats it is that of `f32`, rounded.
    #[track_caller]
    pub fn mean(&self, axes: impl Into<Axes>) -> Tensor {
        let axes = axes.into();
        let n = self.count("mean", &axes);
        if let Some(x) = self.widened() {
            return x.mean(axes).cast(self.dtype());
        }
        self.sum(axes).with_constant(gradus_core::Binary::Div, n)
    }

    /// Whether all elements are true.
    #[track_caller]
    pub fn all(&self, axes: impl Into<Axes>) -> Tensor {
        let x = (!self.cast(DType::Bool)).cast(DType::I64);
        x.sum(axes).equal(0)
    }

    /// Whether any element is true.
    #[track_caller]
    pub fn any(&self, axes: impl Into<Axes>) -> Tensor {
        self.cast(DType::Bool).cast(DType::I64).sum(axes).not_equal(0)
    }
}
