//! Primitives with a kernel of their own: pooling, gather, scatter-add, running sums and products, sorting,
//! random bits, products and quotients of integers.
//!
//! Each is prepared once, from its types; a form that the kernels do not take is left to the reference evaluation.
//!
//! Invariant: a form is made for exactly the types that it runs on; indices are compared with their axis before
//! anything is read or written through them.

use std::sync::atomic::{AtomicUsize, Ordering};

use gradus_core::ops::{self, Op};
use gradus_core::{Binary, DType, ErrorKind, Shape, Type};

use super::order::{self, Lines};
use super::{integer, random};
use crate::Pool;
use crate::matmul::Element;
use crate::reduce::{Extents, Running, running};
use crate::vmath::Float;
use crate::window::{Record, Window};

type Inputs<'a> = &'a [(*const u8, Type)];
type Outputs<'a> = &'a [(*mut u8, Type)];

/// A primitive prepared to run.
#[derive(Clone, Debug)]
pub(super) enum LibraryKernel {
    Gather(GatherLoop),
    ScatterAdd(GatherLoop),
    /// `bytes` says that indices are numbers of taps.
    MaxPool {
        window: Window,
        planes: usize,
        double: bool,
        bytes: bool,
    },
    SumPool {
        window: Window,
        planes: usize,
        double: bool,
    },
    Running {
        how: Running,
        extents: Extents,
        double: bool,
    },
    Sort(ops::Sort, Lines),
    ArgReduce(ops::ArgReduce, Lines),
    RandomBits(ops::RandomBits),
    Product(integer::Product),
    Divide(Binary),
}

/// How a gather goes over its operand; see [`ops::Gather`].
#[derive(Clone, Copy, Debug)]
pub(super) struct GatherLoop {
    batches: usize,
    rows: usize,
    extent: usize,
    width: usize,
    count: usize,
    from_end: bool,
}

impl GatherLoop {
    fn new(axis: usize, batch: usize, from_end: bool, x: &Type, indices: &Type) -> Self {
        GatherLoop {
            from_end,
            batches: x.shape[..batch].iter().product(),
            rows: x.shape[batch..axis].iter().product(),
            extent: x.shape[axis],
            width: x.shape[axis + 1..].iter().product(),
            count: indices.shape[batch..].iter().product(),
        }
    }

    /// The indices counted from the start.
    ///
    /// # Safety
    /// `from` holds the index tensor.
    unsafe fn resolved(
        &self,
        op: &'static str,
        from: *const u8,
        dtype: DType,
    ) -> Result<Vec<usize>, ErrorKind> {
        let n = self.batches * self.count;
        let extent = self.extent as i64;
        (0..n)
            .map(|i| {
                // SAFETY: the caller's promise.
                let index = unsafe {
                    if dtype == DType::I32 {
                        i64::from(*from.cast::<i32>().add(i))
                    } else {
                        *from.cast::<i64>().add(i)
                    }
                };
                let at = if index < 0 && self.from_end { index.saturating_add(extent) } else { index };
                if (0..extent).contains(&at) { Ok(at as usize) } else { Err(self.out_of_range(op, index, i)) }
            })
            .collect()
    }

    fn out_of_range(&self, op: &'static str, index: i64, at: usize) -> ErrorKind {
        ErrorKind::Index { op, index, at: Some(at), extent: self.extent, from_end: self.from_end }
    }
}

/// A pointer that tasks share; each writes a part of its own.
#[derive(Clone, Copy)]
pub(super) struct Shared(pub(super) *mut u8);
// SAFETY: tasks write disjoint parts.
unsafe impl Sync for Shared {}

impl Shared {
    pub(super) fn get(&self) -> *mut u8 {
        self.0
    }
}

impl LibraryKernel {
    /// The library kernel of `op` for operands and results of these types, the second of which may be packed.
    pub(super) fn new(op: &Op, inputs: &[&Type], outputs: &[&Type], packed: bool) -> Option<Self> {
        let x = inputs.first()?;
        let float = x.dtype.is_wide_float();
        let double = x.dtype == DType::F64;
        match op {
            Op::Gather(g) => {
                Some(LibraryKernel::Gather(GatherLoop::new(g.axis, g.batch, g.from_end, x, inputs[1])))
            }
            Op::ScatterAdd(s) if float => {
                Some(LibraryKernel::ScatterAdd(GatherLoop::new(s.axis, s.batch, s.from_end, x, inputs[1])))
            }
            Op::MaxPool(p) if float && outputs[0].shape.size() > 0 => {
                let (window, planes) = windows(&p.window, &x.shape)?;
                Some(LibraryKernel::MaxPool { window, planes, double, bytes: packed })
            }
            Op::SumPool(p) if float && outputs[0].shape.size() > 0 => {
                let (window, planes) = windows(&p.window, &x.shape)?;
                Some(LibraryKernel::SumPool { window, planes, double })
            }
            Op::Cumulative(c) if float => {
                let product = c.kind == ops::CumulativeKind::Prod;
                let how = Running { product, reverse: c.reverse, exclusive: false };
                let (outer, inner) = (&x.shape[..c.axis], &x.shape[c.axis + 1..]);
                let extents = Extents {
                    outer: outer.iter().product(),
                    axis: x.shape[c.axis],
                    inner: inner.iter().product(),
                };
                Some(LibraryKernel::Running { how, extents, double })
            }
            // A place in a line of packed elements has 32 bits.
            Op::Sort(sort) if u32::try_from(x.shape[sort.axis]).is_ok() => {
                Some(LibraryKernel::Sort(*sort, Lines::new(&x.shape, sort.axis)))
            }
            Op::ArgReduce(which) => Some(LibraryKernel::ArgReduce(*which, Lines::new(&x.shape, which.axis))),
            Op::RandomBits(bits) => Some(LibraryKernel::RandomBits(bits.clone())),
            Op::Dot(dot) => integer::Product::new(dot, x, inputs[1]).map(LibraryKernel::Product),
            Op::Binary(op @ (Binary::Div | Binary::Rem)) if x.dtype.is_int() => {
                Some(LibraryKernel::Divide(*op))
            }
            _ => None,
        }
    }

    /// Its name for checks.
    pub(super) fn path(&self) -> &'static str {
        match self {
            LibraryKernel::Gather(_) => "gather",
            LibraryKernel::ScatterAdd(_) => "scatter_add",
            LibraryKernel::MaxPool { .. } => "max_pool",
            LibraryKernel::SumPool { .. } => "sum_pool",
            LibraryKernel::Running { .. } => "running",
            LibraryKernel::Sort(..) => "sort",
            LibraryKernel::ArgReduce(..) => "arg_reduce",
            LibraryKernel::RandomBits(_) => "random_bits",
            LibraryKernel::Product(_) => "integer product",
            LibraryKernel::Divide(_) => "integer division",
        }
    }

    /// Bytes that it allocates while it runs, at most.
    pub(super) fn allocates(&self, inputs: &[&Type]) -> (usize, usize) {
        match self {
            LibraryKernel::Gather(_) => (inputs[1].shape.size() * size_of::<usize>(), 0),
            LibraryKernel::MaxPool { window, planes, double, .. }
            | LibraryKernel::SumPool { window, planes, double } => {
                window.allocates(*planes, if *double { 8 } else { 4 })
            }
            LibraryKernel::Sort(_, lines) => lines.sorting_allocates(inputs[0].dtype),
            LibraryKernel::Product(product) => (product.allocates(), 0),
            // The reference evaluation, which reports a zero divisor.
            LibraryKernel::Divide(_) => (6 * inputs[0].bytes(), 0),
            LibraryKernel::ScatterAdd(_)
            | LibraryKernel::Running { .. }
            | LibraryKernel::ArgReduce(..)
            | LibraryKernel::RandomBits(_) => (0, 0),
        }
    }

    /// Runs it; false when the reference evaluation has to run instead.
    ///
    /// # Safety
    /// `inputs` hold operands and `outputs` can hold results of the types it was made for, apart from each other.
    pub(super) unsafe fn run(
        &self,
        inputs: Inputs<'_>,
        outputs: Outputs<'_>,
        pool: &Pool,
    ) -> Result<bool, ErrorKind> {
        // SAFETY: the caller's promise.
        unsafe {
            match self {
                LibraryKernel::Gather(over) => gather(over, inputs, outputs, pool).map(|()| true),
                LibraryKernel::ScatterAdd(over) if inputs[0].1.dtype == DType::F64 => {
                    scatter_add::<f64>(over, inputs, outputs, pool).map(|()| true)
                }
                LibraryKernel::ScatterAdd(over) => {
                    scatter_add::<f32>(over, inputs, outputs, pool).map(|()| true)
                }
                LibraryKernel::MaxPool { window, planes, double: true, bytes } => {
                    max_pool::<f64>(window, *planes, *bytes, inputs, outputs, pool)
                }
                LibraryKernel::MaxPool { window, planes, bytes, .. } => {
                    max_pool::<f32>(window, *planes, *bytes, inputs, outputs, pool)
                }
                LibraryKernel::SumPool { window, planes, double: true } => {
                    Ok(sum_pool::<f64>(window, *planes, inputs, outputs, pool))
                }
                LibraryKernel::SumPool { window, planes, .. } => {
                    Ok(sum_pool::<f32>(window, *planes, inputs, outputs, pool))
                }
                LibraryKernel::Running { how, extents, double: true } => {
                    let (x, out) = (read::<f64>(&inputs[0]), write::<f64>(&outputs[0]));
                    Ok(running(pool, *how, *extents, x, out).is_ok())
                }
                LibraryKernel::Running { how, extents, .. } => {
                    let (x, out) = (read::<f32>(&inputs[0]), write::<f32>(&outputs[0]));
                    Ok(running(pool, *how, *extents, x, out).is_ok())
                }
                LibraryKernel::Sort(sort, lines) => {
                    let (x, dtype) = (inputs[0].0, inputs[0].1.dtype);
                    order::sort(sort, *lines, dtype, x, outputs[0].0, outputs[1].0, pool);
                    Ok(true)
                }
                LibraryKernel::ArgReduce(which, lines) => {
                    order::extremum(which, *lines, inputs[0].1.dtype, inputs[0].0, outputs[0].0, pool);
                    Ok(true)
                }
                LibraryKernel::RandomBits(bits) => {
                    random::run(bits, inputs[0].0, inputs[0].1.shape.size(), outputs[0].0, pool);
                    Ok(true)
                }
                LibraryKernel::Product(product) => {
                    product.run(inputs[0].0, inputs[1].0, outputs[0].0, pool);
                    Ok(true)
                }
                LibraryKernel::Divide(op) => {
                    let (dtype, n) = (inputs[0].1.dtype, inputs[0].1.shape.size());
                    Ok(integer::divide(*op, dtype, inputs[0].0, inputs[1].0, outputs[0].0, n, pool))
                }
            }
        }
    }
}

/// Windows over the last axes of a shape, and how many planes those make.
pub(super) fn windows(w: &ops::Window, shape: &Shape) -> Option<(Window, usize)> {
    let lead = shape.rank() - w.dims();
    let window = Window::new(&shape[lead..], &w.size).ok()?;
    let window = window.stride(&w.stride).ok()?.padding(&w.low, &w.high).ok()?;
    Some((window.dilation(&w.dilation).ok()?, shape[..lead].iter().product()))
}

/// The elements of an operand.
///
/// # Safety
/// `from` holds a value of this type that nobody writes meanwhile.
unsafe fn read<'a, T>(from: &(*const u8, Type)) -> &'a [T] {
    // SAFETY: the caller's promise.
    unsafe { std::slice::from_raw_parts(from.0.cast(), from.1.shape.size()) }
}

/// The elements of a result, initially zero.
///
/// # Safety
/// `to` can hold a value of this type, and nobody else uses it meanwhile.
unsafe fn write<'a, T>(to: &(*mut u8, Type)) -> &'a mut [T] {
    // SAFETY: the caller's promise; zero bytes are numbers.
    unsafe {
        std::ptr::write_bytes(to.0, 0, to.1.bytes());
        std::slice::from_raw_parts_mut(to.0.cast(), to.1.shape.size())
    }
}

/// # Safety
/// As for [`LibraryKernel::run`].
unsafe fn sum_pool<T: Float>(
    window: &Window,
    planes: usize,
    inputs: Inputs<'_>,
    outputs: Outputs<'_>,
    pool: &Pool,
) -> bool {
    // SAFETY: the caller's promise.
    unsafe { window.sum_into(pool, planes, read::<T>(&inputs[0]), outputs[0].0.cast::<T>()).is_ok() }
}

/// # Safety
/// As for [`LibraryKernel::run`].
unsafe fn gather(
    over: &GatherLoop,
    inputs: Inputs<'_>,
    outputs: Outputs<'_>,
    pool: &Pool,
) -> Result<(), ErrorKind> {
    let width = inputs[0].1.dtype.size() * over.width;
    // SAFETY: the caller's promise.
    let at = unsafe { over.resolved("gather", inputs[1].0, inputs[1].1.dtype)? };
    let (from, to) = (Shared(inputs[0].0.cast_mut()), Shared(outputs[0].0));
    let slices = over.batches * over.rows * over.count;
    let whole = over.batches * over.rows * over.extent;
    let fits = inputs[0].1.bytes() >= whole * width && outputs[0].1.bytes() >= slices * width;
    assert!(fits, "a gather is made for the types it runs on");
    pool.run_ranges(slices, (16_384 / width.max(1)).max(1), &|range| {
        for slice in range {
            let (row, i) = (slice / over.count, slice % over.count);
            let index = at[row / over.rows * over.count + i];
            // SAFETY: indices lie inside the axis, and each slice of the result is written once.
            unsafe {
                let source = from.get().add((row * over.extent + index) * width);
                std::ptr::copy_nonoverlapping(source, to.get().add(slice * width), width);
            }
        }
    });
    Ok(())
}

/// # Safety
/// As for [`LibraryKernel::run`].
unsafe fn scatter_add<T: Float + Element>(
    over: &GatherLoop,
    inputs: Inputs<'_>,
    outputs: Outputs<'_>,
    pool: &Pool,
) -> Result<(), ErrorKind> {
    let [x, indices, updates] = [0, 1, 2].map(|i| Shared(inputs[i].0.cast_mut()));
    let out = Shared(outputs[0].0);
    let narrow = inputs[1].1.dtype == DType::I32;
    let (w, block) = (over.width, over.extent * over.width);
    let rows = over.batches * over.rows;
    let sizes = [&inputs[0].1, &outputs[0].1, &inputs[2].1].map(|ty| ty.shape.size());
    let fits = sizes[..2].iter().all(|&n| n >= rows * block) && sizes[2] >= rows * over.count * w;
    assert!(fits, "a scatter is made for the types it runs on");
    // The first index out of range, if any.
    let wrong = AtomicUsize::new(usize::MAX);
    let index = |i: usize| {
        // SAFETY: the caller's promise; `i` counts indices.
        let index = unsafe {
            if narrow {
                i64::from(*indices.get().cast::<i32>().add(i))
            } else {
                *indices.get().cast::<i64>().add(i)
            }
        };
        let negative = index < 0 && over.from_end;
        (index, if negative { index.wrapping_add(over.extent as i64) } else { index } as u64)
    };
    // A row belongs to one task, so that equal indices add up in order.
    pool.run_ranges(over.batches * over.rows, (8_192 / block.max(1)).max(1), &|range| {
        for row in range {
            // SAFETY: rows are apart; indices are checked before they are used.
            unsafe {
                let to = out.get().cast::<T>().add(row * block);
                std::ptr::copy_nonoverlapping(x.get().cast::<T>().add(row * block), to, block);
                let from = updates.get().cast::<T>().add(row * over.count * w);
                let first = row / over.rows * over.count;
                for i in 0..over.count {
                    let (_, at) = index(first + i);
                    if at >= over.extent as u64 {
                        wrong.fetch_min(first + i, Ordering::Relaxed);
                        continue;
                    }
                    let (place, from) = (to.add(at as usize * w), from.add(i * w));
                    for k in 0..w {
                        *place.add(k) = Element::add(*place.add(k), *from.add(k));
                    }
                }
            }
        }
    });
    match wrong.into_inner() {
        usize::MAX => Ok(()),
        i => Err(over.out_of_range("scatter_add", index(i).0, i)),
    }
}

/// The largest of each window and where it lies in its plane, or which tap it is; the first at ties, the first NaN if
/// there is one.
///
/// # Safety
/// As for [`LibraryKernel::run`]; `bytes` says how much each result can hold.
unsafe fn max_pool<T: Float>(
    window: &Window,
    planes: usize,
    bytes: bool,
    inputs: Inputs<'_>,
    outputs: Outputs<'_>,
    pool: &Pool,
) -> Result<bool, ErrorKind> {
    let at = outputs[1].0;
    // SAFETY: the caller's promise; the index of an element of a plane is an `i32`.
    let done = unsafe {
        let (x, out) = (read::<T>(&inputs[0]), outputs[0].0.cast::<T>());
        let record = if bytes { Record::Byte(at) } else { Record::Place(at.cast()) };
        window.max_into(pool, planes, x, out, record)
    };
    match done {
        // The reference evaluation has no place for its indices.
        Err(error) if bytes => Err(ErrorKind::Argument { op: "max_pool", detail: error.to_string() }),
        done => Ok(done.is_ok()),
    }
}
