//! Places that are known when a program runs: slices, picks by several indices, masks.

use gradus_core::{Error, ErrorKind};

use crate::literal::Literal;
use crate::trace::{OrFail, fail, here};
use crate::{DType, Tensor};

impl Tensor {
    /// `size` elements along an axis from `start` on, an integer scalar that may be computed. A negative one counts from the
    /// end; a slice that does not fit is an error when the program runs.
    ///
    /// ```
    /// # use gradus::{Tensor, jit};
    /// let window = jit(|(x, i): &(Tensor, Tensor)| x.dynamic_slice(i, 2, 0));
    /// let x = Tensor::from([1.0, 2.0, 3.0, 4.0]);
    /// assert_eq!(window.call(&(x.clone(), Tensor::from(1i64))), Tensor::from([2.0, 3.0]));
    /// assert_eq!(window.call(&(x, Tensor::from(-2i64))), Tensor::from([3.0, 4.0]));
    /// assert_eq!(window.programs(), 1);
    /// ```
    #[track_caller]
    pub fn dynamic_slice(&self, start: &Tensor, size: usize, axis: isize) -> Tensor {
        self.take(&self.window("dynamic_slice", start, size, axis), axis)
    }

    /// The tensor with `update` in the place of the elements along an axis from `start` on, an integer scalar that may be computed:
    /// the other axes are those of the tensor. A negative start counts from the end; an update that does not fit is an error when
    /// the program runs.
    ///
    /// ```
    /// # use gradus::Tensor;
    /// let x = Tensor::from([1.0, 2.0, 3.0, 4.0]);
    /// let y = x.dynamic_update_slice(&Tensor::from([8.0, 9.0]), &Tensor::from(1i64), 0);
    /// assert_eq!(y, Tensor::from([1.0, 8.0, 9.0, 4.0]));
    /// ```
    #[track_caller]
    pub fn dynamic_update_slice(&self, update: &Tensor, start: &Tensor, axis: isize) -> Tensor {
        let at = self.axis("dynamic_update_slice", axis);
        if update.rank() != self.rank() {
            let shapes = vec![self.shape().clone(), update.shape().clone()];
            let detail = "tensor and update have the same axes".into();
            fail(Error::new(ErrorKind::Shape { op: "dynamic_update_slice", shapes, detail }, here()));
        }
        let places = self.window("dynamic_update_slice", start, update.shape()[at], axis);
        self.written(&places, update, at)
    }

    /// The indices of a slice, from the start: those from the end are resolved, those beyond it left for an error.
    #[track_caller]
    fn window(&self, op: &'static str, start: &Tensor, size: usize, axis: isize) -> Tensor {
        let n = self.shape()[self.axis(op, axis)];
        if start.rank() != 0 || !start.dtype().is_int() {
            let detail = format!("the start is an integer scalar, found {}{}", start.dtype(), start.shape());
            fail(Error::new(ErrorKind::Argument { op, detail }, here()));
        }
        if size > n {
            let detail = format!("{size} elements of an axis that has {n}");
            fail(Error::new(ErrorKind::Argument { op, detail }, here()));
        }
        let start = start.cast(DType::I64);
        let from_start = start.less(0i64).select(&start + n as i64, &start);
        // Before the start is as wrong as behind the end.
        let from_start = from_start.less(0i64).select(n as i64, &from_start);
        from_start + self.places(size)
    }

    /// The slices that several indices name at once: along the last axis of `indices` stands an index for each of the first axes.
    /// Negative ones count from the end; one out of range is an error when the program runs.
    ///
    /// ```
    /// # use gradus::Tensor;
    /// let x = Tensor::from([[1.0, 2.0], [3.0, 4.0]]);
    /// assert_eq!(x.gather_nd(&Tensor::from([[0i64, 1], [1, -2]])), Tensor::from([2.0, 3.0]));
    /// ```
    #[track_caller]
    pub fn gather_nd(&self, indices: &Tensor) -> Tensor {
        let axes = indices.shape().last().copied().unwrap_or(0);
        if indices.rank() == 0 || axes == 0 || axes > self.rank() {
            let shapes = vec![self.shape().clone(), indices.shape().clone()];
            let detail = "the last axis of the indices has an index for each of the first axes of the tensor, one at least".into();
            fail(Error::new(ErrorKind::Shape { op: "gather_nd", shapes, detail }, here()));
        }
        let (first, rest) = self.shape().split_at(axes);
        let mut place: Option<Tensor> = None;
        for (axis, &n) in first.iter().enumerate() {
            // Taking it from all indices there are resolves it, or says what is wrong with it.
            let own = self.places(n).take(&indices.index(-1, axis as isize), 0);
            place = Some(place.map_or_else(|| own.clone(), |place| place * n as i64 + &own));
        }
        let shape: Vec<usize> = std::iter::once(first.iter().product()).chain(rest.iter().copied()).collect();
        self.reshape(shape).take(&place.expect("there is an axis"), 0)
    }

    /// `value` where the mask holds, else this tensor.
    ///
    /// ```
    /// # use gradus::Tensor;
    /// let x = Tensor::from([1.0, -2.0]);
    /// assert_eq!(x.masked_fill(&x.less(0.0), 0.0), Tensor::from([1.0, 0.0]));
    /// ```
    #[track_caller]
    pub fn masked_fill(&self, mask: &Tensor, value: impl Literal) -> Tensor {
        mask.select(value.beside(self), self)
    }

    /// The elements where a mask of the same shape holds, as a vector. How many there are is known only with the mask, so that
    /// inside [`jit`](crate::jit) and [`vmap`](crate::vmap) this is an error: select with a mask there.
    ///
    /// ```
    /// # use gradus::Tensor;
    /// let x = Tensor::from([1.0, -2.0, 3.0]);
    /// assert_eq!(x.masked_select(&x.greater(0.0)), Tensor::from([1.0, 3.0]));
    /// ```
    #[track_caller]
    pub fn masked_select(&self, mask: &Tensor) -> Tensor {
        if mask.shape() != self.shape() {
            let shapes = vec![self.shape().clone(), mask.shape().clone()];
            let detail = "tensor and mask have one shape; broadcast first".into();
            fail(Error::new(ErrorKind::Shape { op: "masked_select", shapes, detail }, here()));
        }
        let chosen = mask.to_vec::<bool>().into_iter().enumerate().filter(|(_, held)| *held);
        let chosen = Tensor::from(chosen.map(|(i, _)| i as i64).collect::<Vec<i64>>());
        let chosen = if self.is_traced() { chosen } else { chosen.to(self.device_ref()).or_fail() };
        self.flatten().take(&chosen, 0)
    }
}
