//! Picking by index, order along an axis, running sums.

use gradus_core::ops::{ArgReduce, Cumulative, CumulativeKind, Gather, ScatterAdd, Sort};
use gradus_core::{Error, ErrorKind};

use crate::trace::{OrFail, emit, fail, here};
use crate::{DType, Tensor};

impl Tensor {
    /// The slices along `axis` at integer `indices` of any shape, which takes the place of the axis. Negative indices
    /// count from the end; one out of range is an error when the program runs.
    ///
    /// ```
    /// # use gradus::Tensor;
    /// let x = Tensor::from([[1.0, 2.0], [3.0, 4.0]]);
    /// assert_eq!(x.take(&Tensor::from([1i64, 0, -1]), 0), Tensor::from([[3.0, 4.0], [1.0, 2.0], [3.0, 4.0]]));
    /// ```
    #[track_caller]
    pub fn take(&self, indices: &Tensor, axis: isize) -> Tensor {
        Tensor::apply(Gather { axis: self.axis("take", axis), batch: 0, from_end: true }, &[self, indices])
    }

    /// [`take`](Tensor::take) along the first axis at indices that count from the start: a negative one is out of range.
    #[doc(hidden)]
    #[track_caller]
    pub fn rows(&self, indices: &Tensor) -> Tensor {
        Tensor::apply(Gather { axis: self.axis("take", 0), batch: 0, from_end: false }, &[self, indices])
    }

    /// The element along the last axis that a label names, for labels of the shape of the other axes: a negative one is out
    /// of range.
    #[doc(hidden)]
    #[track_caller]
    pub fn labelled(&self, labels: &Tensor) -> Tensor {
        let last = self.axis("labelled", -1);
        let gather = Gather { axis: last, batch: last, from_end: false };
        Tensor::apply(gather, &[self, &labels.expand_dims(-1)]).squeeze(-1)
    }

    /// The element along `axis` that `indices` names, separately for each place on the other axes, which must be the
    /// same in both.
    ///
    /// ```
    /// # use gradus::Tensor;
    /// let x = Tensor::from([[1.0, 2.0], [3.0, 4.0]]);
    /// assert_eq!(x.take_along_axis(&Tensor::from([[1i64], [0]]), 1), Tensor::from([[2.0], [3.0]]));
    /// ```
    #[track_caller]
    pub fn take_along_axis(&self, indices: &Tensor, axis: isize) -> Tensor {
        let axis = self.axis("take_along_axis", axis);
        let fits = indices.rank() == self.rank() && self.shape().remove(axis) == indices.shape().remove(axis);
        if !fits {
            let shapes = vec![self.shape().clone(), indices.shape().clone()];
            let detail = format!("tensor and indices must have the same extents on all axes but axis {axis}");
            fail(Error::new(ErrorKind::Shape { op: "take_along_axis", shapes, detail }, here()));
        }
        let last = self.rank() as isize - 1;
        let picked = Tensor::apply(
            Gather { axis: last as usize, batch: last as usize, from_end: true },
            &[&self.move_axis(axis as isize, last), &indices.move_axis(axis as isize, last)],
        );
        picked.move_axis(last, axis as isize)
    }

    /// The tensor with `updates` added at integer `indices` along `axis`; indices that occur more than once add up. The
    /// updates have the shape of `self.take(indices, axis)`.
    #[track_caller]
    pub fn scatter_add(&self, indices: &Tensor, updates: &Tensor, axis: isize) -> Tensor {
        Tensor::apply(
            ScatterAdd { axis: self.axis("scatter_add", axis), batch: 0, from_end: true },
            &[self, indices, updates],
        )
    }

    /// A new last axis of `classes` elements: 1 at the place the integer names, 0 elsewhere (everywhere for an
    /// integer out of range).
    #[track_caller]
    pub fn one_hot(&self, classes: usize, dtype: DType) -> Tensor {
        self.shape().concat(&[classes]).checked("one_hot").or_fail();
        // A narrow integer cannot be any of the classes that it does not count to, but has to be compared with them.
        let narrow =
            self.dtype().largest_integer().is_some_and(|most| classes.saturating_sub(1) as u64 > most);
        let index = if narrow { self.cast(DType::I64) } else { self.clone() };
        index.expand_dims(-1).equal(Tensor::arange(classes, index.dtype())).cast(dtype)
    }

    /// The index of the largest element along an axis, as `i64`; the first of equal ones, NaN counting as largest.
    #[track_caller]
    pub fn argmax(&self, axis: isize) -> Tensor {
        Tensor::apply(ArgReduce { max: true, axis: self.axis("argmax", axis) }, &[self])
    }

    /// The index of the smallest element along an axis, as `i64`; the first of equal ones, NaN counting as smallest.
    #[track_caller]
    pub fn argmin(&self, axis: isize) -> Tensor {
        Tensor::apply(ArgReduce { max: false, axis: self.axis("argmin", axis) }, &[self])
    }

    #[track_caller]
    fn sorted(&self, op: &'static str, axis: isize, descending: bool) -> (Tensor, Tensor) {
        let sort = Sort { axis: self.axis(op, axis), descending };
        let mut out = emit(&sort.into(), &[self], &here()).or_fail();
        (out.remove(0), out.remove(0))
    }

    /// Elements in increasing order along an axis, NaN last. Equal elements keep their order, and each result's
    /// derivative is that of the element it came from.
    #[track_caller]
    pub fn sort(&self, axis: isize) -> Tensor {
        self.sorted("sort", axis, false).0
    }

    /// The indices that sort an axis, as `i64`.
    #[track_caller]
    pub fn argsort(&self, axis: isize) -> Tensor {
        self.sorted("argsort", axis, false).1
    }

    /// The `k` largest elements along an axis, largest first, and their indices; the first of equal ones first, NaN counting as
    /// largest, so that the first index is that of [`argmax`](Tensor::argmax).
    #[track_caller]
    pub fn top_k(&self, k: usize, axis: isize) -> (Tensor, Tensor) {
        let extent = self.shape()[self.axis("top_k", axis)];
        if k > extent {
            let detail = format!("the {k} largest of {extent} elements (axis {axis} of {})", self.shape());
            fail(Error::new(ErrorKind::Argument { op: "top_k", detail }, here()));
        }
        let (values, indices) = self.sorted("top_k", axis, true);
        (values.slice(axis, ..k as isize), indices.slice(axis, ..k as isize))
    }

    /// Running sums along an axis.
    #[track_caller]
    pub fn cumsum(&self, axis: isize) -> Tensor {
        self.cumulative("cumsum", CumulativeKind::Sum, axis)
    }

    /// Running products along an axis.
    #[track_caller]
    pub fn cumprod(&self, axis: isize) -> Tensor {
        self.cumulative("cumprod", CumulativeKind::Prod, axis)
    }

    #[track_caller]
    fn cumulative(&self, op: &'static str, kind: CumulativeKind, axis: isize) -> Tensor {
        Tensor::apply(Cumulative { kind, axis: self.axis(op, axis), reverse: false }, &[self])
    }

    /// The diagonal of the last two axes, as the last axis.
    #[track_caller]
    pub fn diagonal(&self) -> Tensor {
        let (rows, columns) = (self.axis("diagonal", -2), self.axis("diagonal", -1));
        let n = self.shape()[rows].min(self.shape()[columns]) as isize;
        let square = self.slice(-2, ..n).slice(-1, ..n);
        let at = Tensor::arange(n as usize, DType::I64).expand_dims(-1);
        let mut shape = square.shape().clone();
        shape[columns] = 1;
        square.take_along_axis(&at.broadcast_to(shape), -1).squeeze(-1)
    }

    /// The sum of the diagonal of the last two axes.
    #[track_caller]
    pub fn trace(&self) -> Tensor {
        self.diagonal().sum(-1)
    }
}
