//! Shapes: reshape, permute, slice, join.

use std::borrow::Borrow;
use std::ops::{Bound, RangeBounds};

use gradus_core::ops::{Concat, Pad, Permute, Reshape, Reverse, Slice};
use gradus_core::shape::resolve_axis;
use gradus_core::{Error, ErrorKind, Result, Shape};

use crate::tensor::Axes;
use crate::tensor::arith::{broadcast_at, common_shape};
use crate::trace::{OrFail, fail, here};
use crate::{DType, Tensor};

#[track_caller]
fn argument(op: &'static str, detail: String) -> ! {
    fail(Error::new(ErrorKind::Argument { op, detail }, here()))
}

/// The extents that [`reshape`](Tensor::reshape) takes: unsigned ones, or signed ones with at most one -1.
pub trait Extents {
    /// The shape for elements that lie in another.
    ///
    /// # Errors
    /// If an extent is negative, or the missing one does not follow from the others.
    fn of(self, elements: &Shape) -> Result<Shape, ErrorKind>;
}

macro_rules! unsigned {
    ($($t:ty $(, $n:ident)?);+ $(;)?) => { $(
        impl$(<const $n: usize>)? Extents for $t {
            fn of(self, _: &Shape) -> Result<Shape, ErrorKind> { Ok(self.into()) }
        }
    )+ };
}
unsigned!(Shape; &Shape; Vec<usize>; &Vec<usize>; &[usize]; [usize; N], N; &[usize; N], N);

macro_rules! signed {
    ($($t:ty),+) => { $(
        impl<const N: usize> Extents for [$t; N] {
            fn of(self, elements: &Shape) -> Result<Shape, ErrorKind> {
                inferred(self.map(|extent| extent as i64), elements)
            }
        }
    )+ };
}
signed!(isize, i64, i32);

/// Extents of which one may be missing, given as -1.
fn inferred<const N: usize>(extents: [i64; N], elements: &Shape) -> Result<Shape, ErrorKind> {
    let wrong = |detail: &str| {
        let detail = format!("{elements} elements cannot lie in {extents:?}: {detail}");
        Err(ErrorKind::Argument { op: "reshape", detail })
    };
    if extents.iter().any(|&extent| extent < -1) {
        return wrong("extents are not negative, but for one -1");
    }
    // What this machine cannot count is too large for a tensor.
    let counted = |extent: i64| usize::try_from(extent).unwrap_or(usize::MAX);
    let known: Shape = extents.iter().map(|&extent| if extent < 0 { 1 } else { counted(extent) }).collect();
    match extents.iter().filter(|&&extent| extent < 0).count() {
        0 => return Ok(known),
        1 => {}
        _ => return wrong("more than one extent is -1"),
    }
    let (size, others) = (elements.size(), known.size());
    if others == 0 || size % others != 0 {
        return wrong("what is missing does not follow from the others");
    }
    Ok(extents.iter().map(|&extent| if extent < 0 { size / others } else { counted(extent) }).collect())
}

impl Tensor {
    #[track_caller]
    pub(crate) fn axis(&self, op: &'static str, axis: isize) -> usize {
        resolve_axis(op, axis, self.rank()).or_fail()
    }

    /// The same elements, in order, under another shape. One extent may be -1: it follows from the others.
    ///
    /// ```
    /// # use gradus::{DType, Tensor};
    /// let x = Tensor::arange(6, DType::F64);
    /// assert_eq!(x.reshape([-1, 2]).shape(), &[3, 2].into());
    /// ```
    #[track_caller]
    pub fn reshape(&self, shape: impl Extents) -> Tensor {
        let shape = shape.of(self.shape()).or_fail();
        if &shape == self.shape() { self.clone() } else { Tensor::apply(Reshape(shape), &[self]) }
    }

    /// All elements along one axis.
    #[track_caller]
    pub fn flatten(&self) -> Tensor {
        self.reshape([self.size()])
    }

    /// Axes from `first` on joined into one.
    #[track_caller]
    pub fn flatten_from(&self, first: isize) -> Tensor {
        let first = self.axis("flatten_from", first);
        let rest: usize = self.shape()[first..].iter().product();
        self.reshape(Shape::from(&self.shape()[..first]).concat(&[rest]))
    }

    /// Axes in another order: axis `i` of the result is axis `axes[i]`.
    #[track_caller]
    pub fn permute<const N: usize>(&self, axes: [isize; N]) -> Tensor {
        let axes = axes.iter().map(|&a| self.axis("permute", a)).collect();
        Tensor::apply(Permute { axes }, &[self])
    }

    /// The last two axes swapped.
    #[track_caller]
    pub fn t(&self) -> Tensor {
        self.swap_axes(-2, -1)
    }

    /// Two axes swapped.
    #[track_caller]
    pub fn swap_axes(&self, a: isize, b: isize) -> Tensor {
        let (a, b) = (self.axis("swap_axes", a), self.axis("swap_axes", b));
        let mut axes: gradus_core::ops::Axes = (0..self.rank()).collect();
        axes.swap(a, b);
        Tensor::apply(Permute { axes }, &[self])
    }

    /// One axis moved to another place, the others in order.
    #[track_caller]
    pub fn move_axis(&self, from: isize, to: isize) -> Tensor {
        let (from, to) = (self.axis("move_axis", from), self.axis("move_axis", to));
        let mut axes: gradus_core::ops::Axes = (0..self.rank()).filter(|&a| a != from).collect();
        axes.insert(to, from);
        Tensor::apply(Permute { axes }, &[self])
    }

    /// Stretched to `shape` by NumPy's rule.
    #[track_caller]
    pub fn broadcast_to(&self, shape: impl Into<Shape>) -> Tensor {
        let shape = shape.into().checked("broadcast_to").or_fail();
        if self.shape().broadcast(&shape).as_ref() != Some(&shape) {
            let detail = "extents, aligned from the last axis, must be equal or 1 to be stretched".into();
            let shapes = vec![self.shape().clone(), shape];
            fail(Error::new(ErrorKind::Shape { op: "broadcast_to", shapes, detail }, here()));
        }
        broadcast_at(self, &shape, &here()).or_fail()
    }

    /// A new axis of extent 1 at `axis` of the result.
    #[track_caller]
    pub fn expand_dims(&self, axis: isize) -> Tensor {
        let axis = resolve_axis("expand_dims", axis, self.rank() + 1).or_fail();
        self.reshape(self.shape().insert(axis, 1))
    }

    /// Without the given axes of extent 1; `()` for all such axes.
    #[track_caller]
    pub fn squeeze(&self, axes: impl Into<Axes>) -> Tensor {
        let axes = axes.into();
        let mut resolved = axes.resolve("squeeze", self.rank());
        if resolved.len() == self.rank() {
            resolved.retain(|&a| self.shape()[a] == 1);
        }
        if let Some(&a) = resolved.iter().find(|&&a| self.shape()[a] != 1) {
            argument(
                "squeeze",
                format!("axis {a} of {} has extent {}, not 1", self.shape(), self.shape()[a]),
            );
        }
        self.reshape(self.shape().without(&resolved))
    }

    /// The part of `axis` in a range of indices; negative bounds count from the end.
    ///
    /// ```
    /// # use gradus::Tensor;
    /// let x = Tensor::from([0.0, 1.0, 2.0, 3.0]);
    /// assert_eq!(x.slice(0, 1..3), Tensor::from([1.0, 2.0]));
    /// assert_eq!(x.slice(0, -2..), Tensor::from([2.0, 3.0]));
    /// ```
    #[track_caller]
    pub fn slice(&self, axis: isize, range: impl RangeBounds<isize>) -> Tensor {
        self.slice_step(axis, range, 1)
    }

    /// Every `step`-th element of a range; a negative step goes backwards from the end of the range.
    #[track_caller]
    pub fn slice_step(&self, axis: isize, range: impl RangeBounds<isize>, step: isize) -> Tensor {
        let axis = self.axis("slice", axis);
        let extent = self.shape()[axis] as isize;
        let from_end = |i: isize| if i < 0 { i + extent } else { i };
        let start = match range.start_bound() {
            Bound::Included(&i) => from_end(i),
            Bound::Excluded(&i) => from_end(i).saturating_add(1),
            Bound::Unbounded => 0,
        };
        let stop = match range.end_bound() {
            Bound::Included(&i) => from_end(i).saturating_add(1),
            Bound::Excluded(&i) => from_end(i),
            Bound::Unbounded => extent,
        };
        if start < 0 || stop < start || stop > extent || step == 0 {
            argument(
                "slice",
                format!("{start}..{stop} step {step} does not fit axis {axis} of {}", self.shape()),
            );
        }
        let every = |x: &Tensor, start: isize, stop: isize, step: usize| {
            let mut op = Slice::along(x.shape(), axis, start as usize, stop as usize);
            op.step[axis] = step;
            Tensor::apply(op, &[x])
        };
        if step > 0 {
            return every(self, start, stop, step as usize);
        }
        let backwards = every(self, start, stop, 1).flip(axis);
        if step == -1 { backwards } else { every(&backwards, 0, stop - start, step.unsigned_abs()) }
    }

    /// The element of `axis` at `index`, without that axis; a negative index counts from the end.
    #[track_caller]
    pub fn index(&self, axis: isize, index: isize) -> Tensor {
        let axis = self.axis("index", axis);
        let extent = self.shape()[axis];
        let at = if index < 0 { index + extent as isize } else { index };
        if at < 0 || at >= extent as isize {
            fail(Error::new(
                ErrorKind::Index { op: "index", index: index as i64, at: None, extent, from_end: true },
                here(),
            ));
        }
        self.slice(axis as isize, at..at + 1).reshape(self.shape().remove(axis))
    }

    /// Zeros before and after along each axis: one `(before, after)` an axis.
    #[track_caller]
    pub fn pad(&self, widths: &[(usize, usize)]) -> Tensor {
        let low = widths.iter().map(|w| w.0).collect();
        let high = widths.iter().map(|w| w.1).collect();
        Tensor::apply(Pad { dead: false, low, high, interior: widths.iter().map(|_| 0).collect() }, &[self])
    }

    /// Elements in opposite order along axes.
    #[track_caller]
    pub fn flip(&self, axes: impl Into<Axes>) -> Tensor {
        let axes = axes.into().resolve("flip", self.rank()).into_iter().collect();
        Tensor::apply(Reverse { axes }, &[self])
    }

    /// Elements shifted by `shift` places along an axis, those that leave at the end coming in at the front.
    #[track_caller]
    pub fn roll(&self, shift: isize, axis: isize) -> Tensor {
        let axis = self.axis("roll", axis) as isize;
        let extent = self.shape()[axis as usize] as isize;
        if extent == 0 || shift.rem_euclid(extent) == 0 {
            return self.clone();
        }
        let cut = extent - shift.rem_euclid(extent);
        Tensor::concat(&[&self.slice(axis, cut..), &self.slice(axis, ..cut)], axis)
    }

    /// Tensors joined along an axis that they have: a slice of tensors, or of references to them.
    #[track_caller]
    pub fn concat<T: Borrow<Tensor>>(tensors: &[T], axis: isize) -> Tensor {
        let tensors: Vec<&Tensor> = tensors.iter().map(Borrow::borrow).collect();
        let Some(first) = tensors.first() else { argument("concat", "needs at least one tensor".into()) };
        Tensor::apply(Concat { axis: first.axis("concat", axis) }, &tensors)
    }

    /// Tensors of one shape joined along a new axis: a slice of tensors, or of references to them.
    ///
    /// ```
    /// # use gradus::Tensor;
    /// let rows: Vec<Tensor> = Tensor::from([[1.0, 2.0], [3.0, 4.0]]).iter().map(|row| row * 10.0).collect();
    /// assert_eq!(Tensor::stack(&rows, 0), Tensor::from([[10.0, 20.0], [30.0, 40.0]]));
    /// ```
    #[track_caller]
    pub fn stack<T: Borrow<Tensor>>(tensors: &[T], axis: isize) -> Tensor {
        let tensors: Vec<&Tensor> = tensors.iter().map(Borrow::borrow).collect();
        let Some(first) = tensors.first() else { argument("stack", "needs at least one tensor".into()) };
        let at = resolve_axis("stack", axis, first.rank() + 1).or_fail();
        if let Some(odd) = tensors.iter().find(|t| t.shape() != first.shape()) {
            let shapes = vec![first.shape().clone(), odd.shape().clone()];
            let detail =
                "all tensors must have one shape; use `concat` to join along an axis they have".into();
            fail(Error::new(ErrorKind::Shape { op: "stack", shapes, detail }, here()));
        }
        let lifted: Vec<Tensor> = tensors.iter().map(|t| t.expand_dims(at as isize)).collect();
        Tensor::concat(&lifted, at as isize)
    }

    /// The slice of the first axis at an index, which counts from the end if it is negative: `x.at(0)` is the first row.
    ///
    /// ```
    /// # use gradus::Tensor;
    /// assert_eq!(Tensor::from([[1.0, 2.0], [3.0, 4.0]]).at(-1), Tensor::from([3.0, 4.0]));
    /// ```
    #[track_caller]
    pub fn at(&self, index: isize) -> Tensor {
        self.index(0, index)
    }

    /// The slices of the first axis, one after the other; a scalar has none.
    #[track_caller]
    pub fn iter(&self) -> impl ExactSizeIterator<Item = Tensor> + '_ {
        let rows = self.shape().first().copied().unwrap_or(0);
        (0..rows).map(|row| self.index(0, row as isize))
    }

    /// Cut along an axis into parts of the given extents.
    #[track_caller]
    pub fn split(&self, extents: &[usize], axis: isize) -> Vec<Tensor> {
        let axis = self.axis("split", axis);
        if extents.iter().try_fold(0usize, |sum, &n| sum.checked_add(n)) != Some(self.shape()[axis]) {
            let detail =
                format!("parts of {extents:?} do not add up to {} on axis {axis}", self.shape()[axis]);
            argument("split", detail);
        }
        let mut at = 0;
        let mut parts = Vec::new();
        for &extent in extents {
            parts.push(Tensor::apply(Slice::along(self.shape(), axis, at, at + extent), &[self]));
            at += extent;
        }
        parts
    }

    /// The whole tensor repeated `times` along an axis.
    #[track_caller]
    pub fn tile(&self, times: usize, axis: isize) -> Tensor {
        let axis = self.axis("tile", axis);
        self.times("tile", axis, axis, times)
    }

    /// Each element repeated `times` along an axis.
    #[track_caller]
    pub fn repeat(&self, times: usize, axis: isize) -> Tensor {
        let axis = self.axis("repeat", axis);
        self.times("repeat", axis, axis + 1, times)
    }

    /// `times` copies along a new axis at `at`, which then joins `axis`.
    #[track_caller]
    fn times(&self, op: &'static str, axis: usize, at: usize, times: usize) -> Tensor {
        let mut flat = self.shape().clone();
        flat[axis] = flat[axis].saturating_mul(times);
        let flat = flat.checked(op).or_fail();
        self.reshape(self.shape().insert(at, 1)).broadcast_to(self.shape().insert(at, times)).reshape(flat)
    }

    /// The elements on and below the `diagonal`-th diagonal of the last two axes, zeros above.
    #[track_caller]
    pub fn tril(&self, diagonal: isize) -> Tensor {
        self.triangle(diagonal, |row, column| column.less_equal(row))
    }

    /// The elements on and above the `diagonal`-th diagonal of the last two axes, zeros below.
    #[track_caller]
    pub fn triu(&self, diagonal: isize) -> Tensor {
        self.triangle(diagonal, |row, column| column.greater_equal(row))
    }

    #[track_caller]
    fn triangle(&self, diagonal: isize, keep: fn(&Tensor, &Tensor) -> Tensor) -> Tensor {
        let (rows, columns) = (self.axis("triangle", -2), self.axis("triangle", -1));
        let plane = [self.shape()[rows], self.shape()[columns]];
        // Beyond the corners all diagonals are the same.
        let diagonal = diagonal.clamp(-(plane[0] as isize), plane[1] as isize);
        let (row, column) = (self.new_iota(plane, 0, DType::I64), self.new_iota(plane, 1, DType::I64));
        keep(&(row + diagonal as i64), &column).select(self, 0)
    }

    /// Operands stretched to their common shape.
    #[track_caller]
    pub fn broadcast_all(tensors: &[&Tensor]) -> Vec<Tensor> {
        let site = here();
        let shape = common_shape("broadcast_all", tensors, &site).or_fail();
        tensors.iter().map(|t| broadcast_at(t, &shape, &site).or_fail()).collect()
    }
}
