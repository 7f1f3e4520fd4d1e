//! Integers: products over contracted axes, quotients and remainders.
//!
//! Invariant: offsets are those of elements of the operands' shapes.

use gradus_core::ops::Dot;
use gradus_core::{Binary, DType, Shape, Type};

use super::library::Shared;
use super::versions::{Versioned, best};
use crate::Pool;

/// A product of integers prepared to run: the offsets of each group of axes.
#[derive(Clone, Debug)]
pub(super) struct Product {
    dtype: DType,
    batch: [Vec<usize>; 2],
    rows: Vec<usize>,
    columns: Vec<usize>,
    inner: [Vec<usize>; 2],
}

/// The offsets of all indices of some axes, the last axis fastest.
fn offsets(shape: &Shape, axes: &[usize]) -> Vec<usize> {
    let strides = shape.strides();
    axes.iter().fold(vec![0], |offsets, &axis| {
        let step = strides[axis] as usize;
        offsets.iter().flat_map(|&at| (0..shape[axis]).map(move |i| at + i * step)).collect()
    })
}

impl Product {
    pub(super) fn new(dot: &Dot, x: &Type, y: &Type) -> Option<Self> {
        // Sizes are checked first, since the tables are made before any operand exists.
        let listed = x.shape.size().max(y.shape.size());
        if !x.dtype.is_int() || u32::try_from(listed).is_err() {
            return None;
        }
        Some(Product {
            dtype: x.dtype,
            batch: [offsets(&x.shape, &dot.lhs_batch), offsets(&y.shape, &dot.rhs_batch)],
            rows: offsets(&x.shape, &dot.lhs_free(x.shape.rank())),
            columns: offsets(&y.shape, &dot.rhs_free(y.shape.rank())),
            inner: [offsets(&x.shape, &dot.lhs_contract), offsets(&y.shape, &dot.rhs_contract)],
        })
    }

    /// Bytes that it allocates while it runs.
    pub(super) fn allocates(&self) -> usize {
        self.columns.len() * self.inner[1].len() * self.dtype.size()
    }

    /// # Safety
    /// `x` and `y` hold the operands, `out` can hold the result, apart from them.
    pub(super) unsafe fn run(&self, x: *const u8, y: *const u8, out: *mut u8, pool: &Pool) {
        let (x, y, out) = (Shared(x.cast_mut()), Shared(y.cast_mut()), Shared(out));
        // SAFETY: the caller's promise.
        unsafe {
            match self.dtype {
                DType::I32 => self.typed::<i32>(x, y, out, pool),
                DType::I64 => self.typed::<i64>(x, y, out, pool),
                DType::U8 => self.typed::<u8>(x, y, out, pool),
                DType::F32 | DType::F64 | DType::Bf16 | DType::F16 | DType::Bool => {
                    unreachable!("a product of integers")
                }
            }
        }
    }

    /// # Safety
    /// As for [`run`](Self::run).
    unsafe fn typed<T: Integer>(&self, x: Shared, y: Shared, out: Shared, pool: &Pool) {
        let (m, n, k) = (self.rows.len(), self.columns.len(), self.inner[0].len());
        // The right operand of one product with its columns side by side.
        let mut right = vec![T::default(); k * n];
        for (batch, (&from_x, &from_y)) in self.batch[0].iter().zip(&self.batch[1]).enumerate() {
            // SAFETY: offsets lie inside the operand.
            let y = |l: usize, j: usize| unsafe {
                *y.get().cast::<T>().add(from_y + self.inner[1][l] + self.columns[j])
            };
            for l in 0..k {
                for (j, to) in right[l * n..(l + 1) * n].iter_mut().enumerate() {
                    *to = y(l, j);
                }
            }
            let right = &right[..];
            pool.run_ranges(m, (32_768 / (n * k).max(1)).max(1), &|rows| {
                for i in rows {
                    // SAFETY: as above; each row of the result is written by one task.
                    unsafe {
                        let x = x.get().cast::<T>().add(from_x + self.rows[i]);
                        let out = out.get().cast::<T>().add((batch * m + i) * n);
                        best(Row { x, inner: &self.inner[0], right, n, out });
                    }
                }
            });
        }
    }
}

/// The wrapping arithmetic of integers.
trait Integer: Copy + Default + Send + Sync + PartialEq + 'static {
    fn multiply_add(self, x: Self, y: Self) -> Self;
    fn quotient(self, y: Self) -> Self;
    fn remainder(self, y: Self) -> Self;
}
macro_rules! integer {
    ($($t:ty),+) => { $(
        impl Integer for $t {
            #[inline(always)]
            fn multiply_add(self, x: $t, y: $t) -> $t { self.wrapping_add(x.wrapping_mul(y)) }
            #[inline(always)]
            fn quotient(self, y: $t) -> $t { self.wrapping_div(y) }
            #[inline(always)]
            fn remainder(self, y: $t) -> $t { self.wrapping_rem(y) }
        }
    )+ };
}
integer!(i32, i64, u8);

/// One row of a product.
struct Row<'a, T> {
    x: *const T,
    inner: &'a [usize],
    right: &'a [T],
    n: usize,
    out: *mut T,
}

impl<T: Integer> Versioned for Row<'_, T> {
    type Output = ();
    #[inline(always)]
    unsafe fn run(self) {
        const WIDTH: usize = 32;
        let n = self.n;
        let mut first = 0;
        while first < n {
            let width = WIDTH.min(n - first);
            let mut sums = [T::default(); WIDTH];
            for (l, &at) in self.inner.iter().enumerate() {
                // SAFETY: the caller's promise: the offset lies inside the operand.
                let x = unsafe { *self.x.add(at) };
                let right = &self.right[l * n + first..][..width];
                if let Ok(right) = <&[T; WIDTH]>::try_from(right) {
                    for j in 0..WIDTH {
                        sums[j] = sums[j].multiply_add(x, right[j]);
                    }
                } else {
                    for (sum, &y) in sums.iter_mut().zip(right) {
                        *sum = sum.multiply_add(x, y);
                    }
                }
            }
            // SAFETY: the row has `n` elements.
            unsafe { std::ptr::copy_nonoverlapping(sums.as_ptr(), self.out.add(first), width) };
            first += width;
        }
    }
}

/// `x / y` or the remainder, element by element; false, with nothing written, if a divisor is zero.
///
/// # Safety
/// `x` and `y` hold `n` elements of an integer dtype, `out` can hold them, apart from them.
pub(super) unsafe fn divide(
    op: Binary,
    dtype: DType,
    x: *const u8,
    y: *const u8,
    out: *mut u8,
    n: usize,
    pool: &Pool,
) -> bool {
    let (x, y, out) = (Shared(x.cast_mut()), Shared(y.cast_mut()), Shared(out));
    // SAFETY: the caller's promise.
    unsafe {
        match dtype {
            DType::I32 => quotients::<i32>(op, x, y, out, n, pool),
            DType::I64 => quotients::<i64>(op, x, y, out, n, pool),
            DType::U8 => quotients::<u8>(op, x, y, out, n, pool),
            DType::F32 | DType::F64 | DType::Bf16 | DType::F16 | DType::Bool => {
                unreachable!("a quotient of integers")
            }
        }
    }
}

/// # Safety
/// As for [`divide`].
unsafe fn quotients<T: Integer>(
    op: Binary,
    x: Shared,
    y: Shared,
    out: Shared,
    n: usize,
    pool: &Pool,
) -> bool {
    if n == 0 {
        return true;
    }
    // SAFETY: the caller's promise.
    let divisors = unsafe { std::slice::from_raw_parts(y.get().cast::<T>().cast_const(), n) };
    if divisors.iter().fold(false, |zero, &y| zero | (y == T::default())) {
        return false;
    }
    pool.run_ranges(n, 8_192, &|range| {
        for i in range {
            // SAFETY: the caller's promise; `i < n`.
            unsafe {
                let x = *x.get().cast::<T>().add(i);
                let value =
                    if op == Binary::Div { x.quotient(divisors[i]) } else { x.remainder(divisors[i]) };
                out.get().cast::<T>().add(i).write(value);
            }
        }
    });
    true
}
