//! Order statistics, running extrema, counting and searching: composed of sorts, picks and comparisons.

use gradus_core::ops::{Cumulative, CumulativeKind, ScatterAdd};
use gradus_core::{Error, ErrorKind};

use crate::trace::{fail, here};
use crate::{DType, Tensor};

impl Tensor {
    /// `0, 1, …, n - 1` as `i64`, on the device of this tensor.
    #[track_caller]
    pub(super) fn places(&self, n: usize) -> Tensor {
        self.new_iota([n], 0, DType::I64)
    }

    /// The value below which a share `q` of the elements along an axis lies, between the two nearest by linear interpolation, as
    /// in NumPy: `(1 - w) x₍ₖ₎ + w x₍ₖ₊₁₎` for the sorted elements, `k + w = q (n - 1)`. NaN if any element is. The derivative is that
    /// of the elements it lies between.
    ///
    /// # Panics
    /// If `q` is not in `0..=1`, there is no element, or the dtype is no float.
    ///
    /// ```
    /// # use gradus::{Tensor, grad};
    /// let x = Tensor::from([4.0, 1.0, 3.0, 2.0]);
    /// assert_eq!(x.quantile(0.25, 0), Tensor::from(1.75));
    /// assert_eq!(grad(|x: &Tensor| x.quantile(0.25, 0))(&x), Tensor::from([0.0, 0.25, 0.0, 0.75]));
    /// ```
    #[track_caller]
    pub fn quantile(&self, q: f64, axis: isize) -> Tensor {
        self.at_share("quantile", q, axis)
    }

    /// The element in the middle of those along an axis, or the mean of the two there: [`quantile`](Tensor::quantile) at a half.
    ///
    /// ```
    /// # use gradus::Tensor;
    /// assert_eq!(Tensor::from([[5.0, 1.0, 2.0], [0.0, 7.0, 4.0]]).median(1), Tensor::from([2.0, 4.0]));
    /// ```
    #[track_caller]
    pub fn median(&self, axis: isize) -> Tensor {
        self.at_share("median", 0.5, axis)
    }

    #[track_caller]
    fn at_share(&self, op: &'static str, q: f64, axis: isize) -> Tensor {
        self.of_floats(op);
        let extent = self.shape()[self.axis(op, axis)];
        let wrong = match extent {
            0 => Some(format!("there is none of nothing (shape {})", self.shape())),
            _ if !(0.0..=1.0).contains(&q) => Some(format!("a share lies between 0 and 1, and {q} does not")),
            _ => None,
        };
        if let Some(detail) = wrong {
            fail(Error::new(ErrorKind::Argument { op, detail }, here()));
        }
        let place = q * (extent - 1) as f64;
        let (below, weight) = (place.floor() as isize, place.fract());
        let sorted = self.sort(axis);
        let low = sorted.index(axis, below);
        // A weight of 0 asks for no second element, which may be infinite.
        let value =
            if weight == 0.0 { low } else { low * (1.0 - weight) + sorted.index(axis, below + 1) * weight };
        // A NaN is sorted last.
        let last = sorted.index(axis, -1);
        last.is_nan().select(&last, &value)
    }

    /// The largest element up to each along an axis; NaN from the first NaN on. Of equal ones the first has the derivative.
    ///
    /// ```
    /// # use gradus::Tensor;
    /// assert_eq!(Tensor::from([1.0, 3.0, 2.0, 5.0]).cummax(0), Tensor::from([1.0, 3.0, 3.0, 5.0]));
    /// ```
    #[track_caller]
    pub fn cummax(&self, axis: isize) -> Tensor {
        self.running("cummax", axis, |new, old| new.greater(old))
    }

    /// The smallest element up to each along an axis, as [`cummax`](Tensor::cummax).
    ///
    /// ```
    /// # use gradus::Tensor;
    /// assert_eq!(Tensor::from([4.0, 3.0, 5.0, 1.0]).cummin(0), Tensor::from([4.0, 3.0, 3.0, 1.0]));
    /// ```
    #[track_caller]
    pub fn cummin(&self, axis: isize) -> Tensor {
        self.running("cummin", axis, |new, old| new.less(old))
    }

    /// The elements chosen up to each place: a later one by `better` than what was chosen before it, or by being the first NaN.
    #[track_caller]
    fn running(&self, op: &'static str, axis: isize, better: impl Fn(&Tensor, &Tensor) -> Tensor) -> Tensor {
        let at = self.axis(op, axis);
        let n = self.shape()[at];
        let (mut value, mut index) = (self.stop_gradient(), self.along(at));
        // Each round doubles the elements that a place has covered.
        for step in (0..).map(|k| 1usize << k).take_while(|&step| step < n) {
            let (gap, axis) = (step as isize, at as isize);
            let early = |t: &Tensor| t.slice(axis, ..(n - step) as isize);
            let late = |t: &Tensor| t.slice(axis, gap..);
            let (before, own) = (early(&value), late(&value));
            let own_wins = better(&own, &before) | (own.is_nan() & !before.is_nan());
            let own_wins = own_wins & !before.is_nan();
            let merge = |t: &Tensor| {
                Tensor::concat(&[&t.slice(axis, ..gap), &own_wins.select(late(t), early(t))], axis)
            };
            (value, index) = (merge(&value), merge(&index));
        }
        self.take_along_axis(&index, axis)
    }

    /// The index along an axis, at every place.
    #[track_caller]
    fn along(&self, axis: usize) -> Tensor {
        let n = self.shape()[axis];
        let shape: Vec<usize> = (0..self.rank()).map(|a| if a == axis { n } else { 1 }).collect();
        self.places(n).reshape(shape).broadcast_to(self.shape())
    }

    /// Running logarithms of sums of exponentials along an axis, `log Σⱼ≤ᵢ exp xⱼ`, without overflow.
    ///
    /// ```
    /// # use gradus::Tensor;
    /// let y = Tensor::from([1000.0, 1000.0]).logcumsumexp(0);
    /// assert_eq!(y, Tensor::from([1000.0, 1000.0 + 2f64.ln()]));
    /// ```
    #[track_caller]
    pub fn logcumsumexp(&self, axis: isize) -> Tensor {
        self.of_floats("logcumsumexp");
        let at = self.axis("logcumsumexp", axis);
        let (n, axis) = (self.shape()[at], at as isize);
        let mut value = self.clone();
        for step in (0..).map(|k| 1usize << k).take_while(|&step| step < n) {
            let (early, late) =
                (value.slice(axis, ..(n - step) as isize), value.slice(axis, step as isize..));
            let both = Tensor::stack(&[&early, &late], -1).logsumexp(-1);
            value = Tensor::concat(&[&value.slice(axis, ..step as isize), &both], axis);
        }
        value
    }

    /// Running sums along an axis from its end: `Σⱼ≥ᵢ xⱼ`.
    ///
    /// ```
    /// # use gradus::Tensor;
    /// assert_eq!(Tensor::from([1.0, 2.0, 3.0]).reverse_cumsum(0), Tensor::from([6.0, 5.0, 3.0]));
    /// ```
    #[track_caller]
    pub fn reverse_cumsum(&self, axis: isize) -> Tensor {
        let axis = self.axis("reverse_cumsum", axis);
        Tensor::apply(Cumulative { kind: CumulativeKind::Sum, axis, reverse: true }, &[self])
    }

    /// Where elements would go into this sorted vector: the number of its elements below each of `values`, as `i64`. NaN counts
    /// as largest.
    ///
    /// # Panics
    /// If this is no vector, or the dtypes differ.
    ///
    /// ```
    /// # use gradus::Tensor;
    /// let edges = Tensor::from([0.0, 1.0, 1.0, 2.0]);
    /// assert_eq!(edges.searchsorted(&Tensor::from([1.0, -3.0, 9.0])), Tensor::from([1i64, 0, 4]));
    /// assert_eq!(edges.searchsorted_right(&Tensor::from([1.0, -3.0, 9.0])), Tensor::from([3i64, 0, 4]));
    /// ```
    #[track_caller]
    pub fn searchsorted(&self, values: &Tensor) -> Tensor {
        self.search("searchsorted", values, |edge, x| edge.less(x) | (x.is_nan() & !edge.is_nan()))
    }

    /// As [`searchsorted`](Tensor::searchsorted), behind the elements that are equal: the number of elements that are not above.
    #[track_caller]
    pub fn searchsorted_right(&self, values: &Tensor) -> Tensor {
        self.search("searchsorted_right", values, |edge, x| edge.less_equal(x) | x.is_nan())
    }

    #[track_caller]
    fn search(
        &self,
        op: &'static str,
        values: &Tensor,
        before: impl Fn(&Tensor, &Tensor) -> Tensor,
    ) -> Tensor {
        if self.rank() != 1 {
            let detail = "the sorted elements are a vector; use `vmap` for several".into();
            let shapes = vec![self.shape().clone(), values.shape().clone()];
            fail(Error::new(ErrorKind::Shape { op, shapes, detail }, here()));
        }
        let n = self.shape()[0] as i64;
        let mut found = values.new_full(values.shape(), DType::I64, 0.0);
        let steps = (0..63).rev().map(|k| 1i64 << k).filter(|&step| step <= n);
        for step in steps {
            // What lies beyond the end is before nothing.
            let next = &found + step;
            let inside = next.less_equal(n);
            let edge = self.stop_gradient().take(&(next.minimum(n) - 1i64), 0);
            found = (inside & before(&edge, values)).select(&next, &found);
        }
        found
    }

    /// How often each of the integers `0..n` occurs, as `i64`; one out of range is an error when the program runs.
    ///
    /// ```
    /// # use gradus::Tensor;
    /// assert_eq!(Tensor::from([2i64, 0, 2]).bincount(4), Tensor::from([1i64, 0, 2, 0]));
    /// ```
    #[track_caller]
    pub fn bincount(&self, n: usize) -> Tensor {
        if !self.dtype().is_int() {
            let detail = "it counts integers; cast first".into();
            fail(Error::new(ErrorKind::DType { op: "bincount", dtypes: vec![self.dtype()], detail }, here()));
        }
        let index = self.flatten().cast(DType::I64);
        let ones = self.new_full(index.shape(), DType::I64, 1.0);
        let add = ScatterAdd { axis: 0, batch: 0, from_end: false };
        Tensor::apply(add, &[&self.new_full([n], DType::I64, 0.0), &index, &ones])
    }
}
