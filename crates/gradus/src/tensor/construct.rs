//! Making tensors.

use gradus_core::ops::{Full, Iota};
use gradus_core::{Array, Bf16, DType, Element, ErrorKind, F16, Shape, memory};

use crate::tensor::Repr;
use crate::trace::OrFail;
use crate::{Device, Result, Tensor};

impl From<Array> for Tensor {
    fn from(array: Array) -> Self {
        Tensor::on(&Device::default(), array).or_fail()
    }
}

macro_rules! from_elements {
    ($($t:ty),+) => { $(
        impl From<$t> for Tensor {
            /// A scalar.
            fn from(value: $t) -> Self { Array::scalar(value).into() }
        }
        impl From<Vec<$t>> for Tensor {
            /// One axis.
            fn from(elements: Vec<$t>) -> Self { Array::new([elements.len()], elements).or_fail().into() }
        }
        impl From<&Vec<$t>> for Tensor {
            /// One axis.
            fn from(elements: &Vec<$t>) -> Self { elements.clone().into() }
        }
        impl From<&[$t]> for Tensor {
            /// One axis.
            fn from(elements: &[$t]) -> Self { elements.to_vec().into() }
        }
        impl<const A: usize> From<[$t; A]> for Tensor {
            fn from(elements: [$t; A]) -> Self { elements.to_vec().into() }
        }
        impl<const A: usize, const B: usize> From<[[$t; B]; A]> for Tensor {
            fn from(rows: [[$t; B]; A]) -> Self { Array::new([A, B], rows.concat()).or_fail().into() }
        }
        impl<const A: usize, const B: usize, const C: usize> From<[[[$t; C]; B]; A]> for Tensor {
            fn from(planes: [[[$t; C]; B]; A]) -> Self {
                Array::new([A, B, C], planes.concat().concat()).or_fail().into()
            }
        }
        impl<const A: usize, const B: usize, const C: usize, const D: usize> From<[[[[$t; D]; C]; B]; A]> for Tensor {
            fn from(blocks: [[[[$t; D]; C]; B]; A]) -> Self {
                Array::new([A, B, C, D], blocks.concat().concat().concat()).or_fail().into()
            }
        }
    )+ };
}
from_elements!(f32, f64, i32, i64, bool, u8, Bf16, F16);

/// Ends an operation with a number that the dtype does not hold.
#[track_caller]
fn held(op: &'static str, dtype: DType, value: f64) {
    if !dtype.holds(value) {
        let detail = format!("{value} is no {dtype}; ask for floats and `cast` them");
        crate::trace::fail(ErrorKind::Argument { op, detail }.into());
    }
}

impl Tensor {
    /// Elements on a device.
    pub(crate) fn on(device: &Device, array: Array) -> Result<Self, ErrorKind> {
        Ok(Tensor(Repr::Concrete(device.backend().upload(array)?, device.clone())))
    }

    /// A tensor of `shape` from its elements in row-major order.
    ///
    /// # Errors
    /// If the number of elements is not the product of the extents, or the shape is
    /// [too large](ErrorKind::TooLarge) for any tensor.
    ///
    /// ```
    /// # use gradus::Tensor;
    /// let x = Tensor::new([2, 3], vec![1.0, 2.0, 3.0, 4.0, 5.0, 6.0])?;
    /// assert_eq!(x.sum(0), Tensor::from([5.0, 7.0, 9.0]));
    /// assert!(Tensor::new([2, 3], vec![1.0]).is_err());
    /// # Ok::<(), gradus::Error>(())
    /// ```
    pub fn new<T: Element>(shape: impl Into<Shape>, elements: Vec<T>) -> Result<Self> {
        Ok(Array::new(shape, elements)?.into())
    }

    /// Zeros.
    ///
    /// # Panics
    /// If there is no memory for them, with the message of [`ErrorKind::Memory`], as every operation.
    #[track_caller]
    pub fn zeros(shape: impl Into<Shape>, dtype: DType) -> Self {
        Self::full(shape, dtype, 0.0)
    }
    /// Ones.
    #[track_caller]
    pub fn ones(shape: impl Into<Shape>, dtype: DType) -> Self {
        Self::full(shape, dtype, 1.0)
    }
    /// One value repeated: rounded to a float `dtype`, one of the numbers of any other.
    ///
    /// ```
    /// # use gradus::{DType, Tensor};
    /// assert_eq!(Tensor::full([2], DType::I64, 3.0), Tensor::from([3i64, 3]));
    /// assert!(std::panic::catch_unwind(|| Tensor::full([2], DType::U8, 300.0)).is_err());
    /// ```
    #[track_caller]
    pub fn full(shape: impl Into<Shape>, dtype: DType, value: f64) -> Self {
        held("full", dtype, value);
        Array::try_full(shape, dtype, value).or_fail().into()
    }
    /// Zeros of the shape and dtype of `self`.
    #[track_caller]
    pub fn zeros_like(&self) -> Self {
        self.full_like(0.0)
    }
    /// Ones of the shape and dtype of `self`.
    #[track_caller]
    pub fn ones_like(&self) -> Self {
        self.full_like(1.0)
    }
    #[track_caller]
    fn full_like(&self, value: f64) -> Self {
        let array = Array::try_full(self.shape(), self.dtype(), value).or_fail();
        Self::on(self.device_ref(), array).or_fail()
    }
    /// `0, 1, …, n - 1`.
    #[track_caller]
    pub fn arange(n: usize, dtype: DType) -> Self {
        Self::iota([n], 0, dtype)
    }
    /// The index along `axis`.
    #[track_caller]
    pub fn iota(shape: impl Into<Shape>, axis: usize, dtype: DType) -> Self {
        Self::apply(Iota { dtype, shape: shape.into(), axis }, &[])
    }
    /// As [`iota`](Self::iota), on the device of `self`, and in the program that `self` belongs to where that is being
    /// recorded: a mask that compares such indices is computed there, where one
    /// made from [`iota`](Self::iota) is captured.
    ///
    /// ```
    /// use gradus::prelude::*;
    /// // Each row up to the diagonal.
    /// let lower = jit(|x: &Tensor| {
    ///     let (row, column) = (x.new_iota([3, 1], 0, DType::I64), x.new_iota([1, 3], 1, DType::I64));
    ///     row.greater_equal(&column).select(x, 0)
    /// });
    /// let x = Tensor::ones([3, 3], DType::F32);
    /// assert_eq!(lower.call(&x), x.tril(0));
    /// ```
    #[track_caller]
    pub fn new_iota(&self, shape: impl Into<Shape>, axis: usize, dtype: DType) -> Self {
        let op = Iota { dtype, shape: shape.into(), axis }.into();
        crate::trace::emit_beside(&op, self, &crate::trace::here()).or_fail()
    }
    /// As [`full`](Self::full), where [`new_iota`](Self::new_iota) makes its indices: a number that is part of the program,
    /// where one that is written beside a tensor is an argument of it. For sizes and offsets that follow from shapes.
    #[track_caller]
    pub fn new_full(&self, shape: impl Into<Shape>, dtype: DType, value: f64) -> Self {
        held("full", dtype, value);
        let op = Full { dtype, shape: shape.into(), value }.into();
        crate::trace::emit_beside(&op, self, &crate::trace::here()).or_fail()
    }
    /// `n` evenly spaced values from `start` to `stop`, both included.
    ///
    /// # Panics
    /// If `n` is 0 or 1 while the ends differ.
    #[track_caller]
    pub fn linspace(start: f64, stop: f64, n: usize, dtype: DType) -> Self {
        Shape::from([n]).checked("linspace").or_fail();
        if n < 2 && start != stop {
            let detail = format!("{n} points cannot reach from {start} to {stop}; ask for at least 2");
            crate::trace::fail(ErrorKind::Argument { op: "linspace", detail }.into());
        }
        let step = if n > 1 { (stop - start) / (n - 1) as f64 } else { 0.0 };
        let mut points = memory::with_capacity("linspace", n).or_fail();
        points.extend((0..n).map(|i| if i + 1 == n { stop } else { start + step * i as f64 }));
        if dtype.is_int() {
            for &point in &points {
                held("linspace", dtype, point);
            }
        }
        Tensor::from(points).cast(dtype)
    }
    /// `start, start + step, …`, as far as they lie before `stop`.
    ///
    /// # Panics
    /// If `step` is 0 or NaN, the ends are not finite, or the dtype does not hold the numbers.
    ///
    /// ```
    /// # use gradus::{DType, Tensor};
    /// assert_eq!(Tensor::arange_step(1.0, 2.0, 0.25, DType::F64), Tensor::from([1.0, 1.25, 1.5, 1.75]));
    /// assert_eq!(Tensor::arange_step(5.0, 0.0, -2.0, DType::I64), Tensor::from([5i64, 3, 1]));
    /// ```
    #[track_caller]
    pub fn arange_step(start: f64, stop: f64, step: f64, dtype: DType) -> Self {
        let count = ((stop - start) / step).ceil();
        if !count.is_finite() || !step.is_finite() {
            let detail = format!(
                "from {start} to {stop} in steps of {step} there is no end; give finite ends and a step"
            );
            crate::trace::fail(ErrorKind::Argument { op: "arange_step", detail }.into());
        }
        let n = count.max(0.0) as usize;
        Shape::from([n]).checked("arange_step").or_fail();
        let mut points = memory::with_capacity("arange_step", n).or_fail();
        points.extend((0..n).map(|i| start + step * i as f64));
        for &point in points.iter().filter(|_| dtype.is_int()) {
            held("arange_step", dtype, point);
        }
        Tensor::from(points).cast(dtype)
    }

    /// The coordinates of a grid: for each vector a tensor with an axis for every vector, which varies along its own.
    ///
    /// ```
    /// # use gradus::Tensor;
    /// let grid = Tensor::meshgrid(&[&Tensor::from([1.0, 2.0]), &Tensor::from([5.0, 6.0, 7.0])]);
    /// assert_eq!(grid[0], Tensor::from([[1.0, 1.0, 1.0], [2.0, 2.0, 2.0]]));
    /// assert_eq!(grid[1], Tensor::from([[5.0, 6.0, 7.0], [5.0, 6.0, 7.0]]));
    /// ```
    #[track_caller]
    pub fn meshgrid(vectors: &[&Tensor]) -> Vec<Tensor> {
        let shape: Vec<usize> = vectors.iter().map(|v| v.size()).collect();
        let along = |(axis, v): (usize, &&Tensor)| {
            let own: Vec<usize> =
                shape.iter().enumerate().map(|(a, &n)| if a == axis { n } else { 1 }).collect();
            v.reshape(own).broadcast_to(shape.clone())
        };
        vectors.iter().enumerate().map(along).collect()
    }

    /// The identity matrix.
    #[track_caller]
    pub fn eye(n: usize, dtype: DType) -> Self {
        Shape::from([n, n]).checked("eye").or_fail();
        let (rows, columns) = (Self::iota([n, n], 0, DType::I64), Self::iota([n, n], 1, DType::I64));
        rows.equal(&columns).cast(dtype)
    }
}
