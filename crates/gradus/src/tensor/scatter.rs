//! Writing and combining at places that an index names.
//!
//! Indices that occur more than once are brought together: in stable order of the indices, what belongs to one place stands side by
//! side, and a scan that starts anew at each place combines it.

use gradus_core::ops::ScatterAdd;
use gradus_core::{DType, Error, ErrorKind, Shape};

use crate::literal::Literal;
use crate::trace::{fail, here};
use crate::transform::with_own_rule;
use crate::{Number, Tensor, associative_scan};

/// What is written, in the order of the places.
struct Writes {
    axis: usize,
    /// A place for each update, from the start of the axis.
    places: Tensor,
    /// The updates, with as many elements along the axis as there are places.
    updates: Tensor,
    /// Whether an update is the last of its place; of none it is asked where there is at most one update.
    last: Option<Tensor>,
}

impl Writes {
    /// A mask of updates in the shape of them.
    fn along(&self, mask: &Tensor) -> Tensor {
        let axis = |a| if a == self.axis { self.places.size() } else { 1 };
        mask.reshape((0..self.updates.rank()).map(axis).collect::<Vec<_>>())
            .broadcast_to(self.updates.shape())
    }

    /// What `combine` makes of all updates of a place, in the place of the last of them; `neutral` changes nothing.
    fn combined(mut self, neutral: Number, combine: impl Fn(&Tensor, &Tensor) -> Tensor) -> Writes {
        let Some(last) = &self.last else { return self };
        let first = Tensor::concat(&[&last.slice(0, ..1).full_as(true), &last.slice(0, ..-1)], 0);
        let axis = self.axis as isize;
        let parts = (self.along(&first).move_axis(axis, 0), self.updates.move_axis(axis, 0));
        let (_, updates) = associative_scan(
            |(started, x): &(Tensor, Tensor), (starts, y)| {
                (started | starts, combine(&starts.select(neutral.beside(x), x), y))
            },
            &parts,
        );
        self.updates = updates.move_axis(0, axis);
        self
    }
}

impl Tensor {
    /// The tensor with `updates` written at integer `indices` along `axis`; of indices that occur more than once the last counts.
    /// The updates have the shape of `self.take(indices, axis)`, and the derivative where they are written.
    ///
    /// ```
    /// # use gradus::Tensor;
    /// let x = Tensor::from([1.0, 2.0, 3.0]);
    /// let y = x.scatter(&Tensor::from([2i64, 0, 2]), &Tensor::from([7.0, 8.0, 9.0]), 0);
    /// assert_eq!(y, Tensor::from([8.0, 2.0, 9.0]));
    /// ```
    #[track_caller]
    pub fn scatter(&self, indices: &Tensor, updates: &Tensor, axis: isize) -> Tensor {
        self.write(&self.writes("scatter", indices, updates, axis))
    }

    /// The tensor with `updates` multiplied in at integer `indices` along `axis`, indices that occur more than once more than
    /// once. The updates have the shape of `self.take(indices, axis)`. Derivatives are products of the other factors, exact
    /// where some are 0.
    ///
    /// ```
    /// # use gradus::{Tensor, grad};
    /// let (x, at) = (Tensor::from([1.0, 2.0, 3.0]), Tensor::from([2i64, 0, 2]));
    /// let product = |u: &Tensor| x.scatter_mul(&at, u, 0);
    /// let u = Tensor::from([5.0, 7.0, 0.0]);
    /// assert_eq!(product(&u), Tensor::from([7.0, 2.0, 0.0]));
    /// assert_eq!(grad(|u: &Tensor| product(u).sum(()))(&u), Tensor::from([0.0, 1.0, 15.0]));
    /// ```
    #[track_caller]
    pub fn scatter_mul(&self, indices: &Tensor, updates: &Tensor, axis: isize) -> Tensor {
        let writes =
            self.writes("scatter_mul", indices, updates, axis).combined(Number::Int(1), |x, y| x * y);
        self * self.full_as(1).write(&writes)
    }

    /// The tensor with the larger of its elements and of the `updates` at integer `indices` along `axis`; NaN if one of them is. The
    /// updates have the shape of `self.take(indices, axis)`. Equal largest ones share the derivative.
    ///
    /// ```
    /// # use gradus::{Tensor, grad};
    /// let (x, at) = (Tensor::from([1.0, 2.0, 3.0]), Tensor::from([2i64, 0, 2, 2]));
    /// let largest = |u: &Tensor| x.scatter_max(&at, u, 0);
    /// let u = Tensor::from([4.0, 0.0, 4.0, 2.0]);
    /// assert_eq!(largest(&u), Tensor::from([1.0, 2.0, 4.0]));
    /// assert_eq!(grad(|u: &Tensor| largest(u).sum(()))(&u), Tensor::from([0.5, 0.0, 0.5, 0.0]));
    /// ```
    #[track_caller]
    pub fn scatter_max(&self, indices: &Tensor, updates: &Tensor, axis: isize) -> Tensor {
        let least = match self.dtype() {
            DType::I32 => Number::Int(i32::MIN.into()),
            DType::I64 => Number::Int(i64::MIN),
            DType::U8 | DType::Bool => Number::Int(0),
            DType::F32 | DType::F64 | DType::Bf16 | DType::F16 => Number::Float(f64::NEG_INFINITY),
        };
        self.scatter_extreme("scatter_max", indices, updates, axis, least, |x, y| x.maximum(y))
    }

    /// The tensor with the smaller of its elements and of the `updates` at integer `indices` along `axis`: as
    /// [`scatter_max`](Tensor::scatter_max).
    ///
    /// ```
    /// # use gradus::Tensor;
    /// let y = Tensor::from([1, 2]).scatter_min(&Tensor::from([1i64, 1]), &Tensor::from([0, 7]), 0);
    /// assert_eq!(y, Tensor::from([1, 0]));
    /// ```
    #[track_caller]
    pub fn scatter_min(&self, indices: &Tensor, updates: &Tensor, axis: isize) -> Tensor {
        let greatest = match self.dtype() {
            DType::I32 => Number::Int(i32::MAX.into()),
            DType::I64 => Number::Int(i64::MAX),
            DType::U8 | DType::Bool => Number::Int(u8::MAX.into()),
            DType::F32 | DType::F64 | DType::Bf16 | DType::F16 => Number::Float(f64::INFINITY),
        };
        self.scatter_extreme("scatter_min", indices, updates, axis, greatest, |x, y| x.minimum(y))
    }

    #[track_caller]
    fn scatter_extreme(
        &self,
        op: &'static str,
        indices: &Tensor,
        updates: &Tensor,
        axis: isize,
        neutral: Number,
        extreme: fn(&Tensor, &Tensor) -> Tensor,
    ) -> Tensor {
        let Writes { axis, places, updates, last } = self.writes(op, indices, updates, axis);
        let value = |(x, updates): &(Tensor, Tensor)| {
            let (places, updates, last) = (places.clone(), updates.clone(), last.clone());
            let writes = Writes { axis, places, updates, last }.combined(neutral, extreme);
            extreme(x, &x.full_as(neutral).write(&writes))
        };
        let operands = (self.clone(), updates);
        if !self.dtype().is_differentiable() {
            return value(&operands);
        }
        let sum = |own: Tensor, theirs: &Tensor| {
            Tensor::apply(ScatterAdd { axis, batch: 0, from_end: false }, &[&own, &places, theirs])
        };
        // Whatever equals the result has a share of its tangent.
        with_own_rule(&operands, value, |(x, updates), y, (dx, du)| {
            let (own, theirs) = (x.equal(y), updates.equal(y.take(&places, axis as isize)));
            let counts = sum(own.cast(x.dtype()), &theirs.cast(x.dtype()));
            sum(own.select(dx, 0.0), &theirs.select(du, 0.0)) / counts
        })
    }

    /// A tensor of one value, of the shape, dtype and program of `self`.
    #[track_caller]
    fn full_as(&self, value: impl Literal) -> Tensor {
        value.beside(self).broadcast_to(self.shape())
    }

    /// Updates at indices, in the order of the places that they name.
    #[track_caller]
    fn writes(&self, op: &'static str, indices: &Tensor, updates: &Tensor, axis: isize) -> Writes {
        let axis = self.axis(op, axis);
        let n = self.shape()[axis];
        let (before, after) = (&self.shape()[..axis], &self.shape()[axis + 1..]);
        let taken = Shape::from(before).concat(indices.shape()).concat(after);
        if *updates.shape() != taken || !indices.dtype().is_int() {
            let shapes = vec![self.shape().clone(), indices.shape().clone(), updates.shape().clone()];
            let detail =
                format!("indices are integers, and the updates have the shape {taken} of what they name");
            fail(Error::new(ErrorKind::Shape { op, shapes, detail }, here()));
        }
        if updates.dtype() != self.dtype() {
            let detail = "tensor and updates are of one type; `cast` one of them".into();
            fail(Error::new(
                ErrorKind::DType { op, dtypes: vec![self.dtype(), updates.dtype()], detail },
                here(),
            ));
        }
        let count = indices.size();
        let mut shape: Vec<usize> = self.shape().to_vec();
        shape[axis] = count;
        // Taking them from all indices there are resolves negative ones, so that equal places are equal numbers, and names what
        // is wrong as it was given.
        let (places, updates) = (self.places(n).take(&indices.flatten(), 0), updates.reshape(shape));
        if count < 2 {
            return Writes { axis, places, updates, last: None };
        }
        // In stable order the last of equal indices is the last that was given.
        let order = places.argsort(0);
        let sorted = places.take(&order, 0);
        let differs = sorted.slice(0, ..-1).not_equal(sorted.slice(0, 1..));
        let last = Tensor::concat(&[&differs, &sorted.slice(0, -1..).equal(sorted.slice(0, -1..))], 0);
        Writes { axis, places: sorted, updates: updates.take(&order, axis as isize), last: Some(last) }
    }

    /// The last update of each place in its place.
    #[track_caller]
    fn write(&self, writes: &Writes) -> Tensor {
        let Some(last) = &writes.last else {
            return self.written(&writes.places, &writes.updates, writes.axis);
        };
        let kept = writes.along(last).select(&writes.updates, 0.0_f64.beside(&writes.updates));
        self.written_where(&writes.places, &kept, &last.cast(DType::I64), writes.axis)
    }

    /// `updates` written at indices that differ.
    #[track_caller]
    pub(super) fn written(&self, indices: &Tensor, updates: &Tensor, axis: usize) -> Tensor {
        let ones = indices.new_full(indices.shape(), DType::I64, 1.0);
        self.written_where(indices, updates, &ones, axis)
    }

    /// The sums of `updates` at indices, where one of them counts.
    #[track_caller]
    fn written_where(&self, indices: &Tensor, updates: &Tensor, counts: &Tensor, axis: usize) -> Tensor {
        let n = self.shape()[axis];
        let once = ScatterAdd { axis: 0, batch: 0, from_end: false };
        let met = Tensor::apply(once, &[&self.new_full([n], DType::I64, 0.0), indices, counts]).greater(0i64);
        let shape: Vec<usize> = (0..self.rank()).map(|a| if a == axis { n } else { 1 }).collect();
        let placed = Tensor::apply(
            ScatterAdd { axis, batch: 0, from_end: false },
            &[&self.new_full(self.shape(), self.dtype(), 0.0), indices, updates],
        );
        met.reshape(shape).broadcast_to(self.shape()).select(&placed, self)
    }
}
