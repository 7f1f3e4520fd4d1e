//! Primitives with a kernel of their own: pooling, gather, scatter-add, running sums and products, sorting,
//! random bits, products and quotients of integers.
//!
//! Each is made ready once, from its types; a form that the kernels do not take is left to the reference.
//!
//! Invariant: a form is made for exactly the types that it runs on; indices are compared with their axis before
//! anything is read or written through them.

use std::sync::atomic::{AtomicUsize, Ordering};

use gradus_core::ops::{self, Op};
use gradus_core::{Binary, DType, ErrorKind, Shape, Type};

use super::order::{self, Lines};
use super::{random, whole};
use crate::Pool;
use crate::matmul::Element;
use crate::reduce::{Extents, Running, running};
use crate::vmath::Float;
use crate::window::{Record, Window};

type Inputs<'a> = &'a [(*const u8, Type)];
type Outputs<'a> = &'a [(*mut u8, Type)];

/// A primitive ready to run.
#[derive(Clone, Debug)]
pub(super) enum Fast {
    Gather(Walk),
    ScatterAdd(Walk),
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
    Product(whole::Product),
    Divide(Binary),
}

/// How indices walk over an operand; see [`ops::Gather`].
#[derive(Clone, Copy, Debug)]
pub(super) struct Walk {
    batches: usize,
    rows: usize,
    extent: usize,
    width: usize,
    count: usize,
    from_end: bool,
}

impl Walk {
    fn new(axis: usize, batch: usize, from_end: bool, x: &Type, indices: &Type) -> Self {
        Walk {
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

impl Fast {
    /// The fast form of `op` for operands and results of these types, the second of which may be packed.
    pub(super) fn new(op: &Op, inputs: &[&Type], outputs: &[&Type], packed: bool) -> Option<Self> {
        let x = inputs.first()?;
        let float = x.dtype.is_wide_float();
        let double = x.dtype == DType::F64;
        match op {
            Op::Gather(g) => Some(Fast::Gather(Walk::new(g.axis, g.batch, g.from_end, x, inputs[1]))),
            Op::ScatterAdd(s) if float => {
                Some(Fast::ScatterAdd(Walk::new(s.axis, s.batch, s.from_end, x, inputs[1])))
            }
            Op::MaxPool(p) if float && outputs[0].shape.size() > 0 => {
                let (window, planes) = windows(&p.window, &x.shape)?;
                Some(Fast::MaxPool { window, planes, double, bytes: packed })
            }
            Op::SumPool(p) if float && outputs[0].shape.size() > 0 => {
                let (window, planes) = windows(&p.window, &x.shape)?;
                Some(Fast::SumPool { window, planes, double })
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
                Some(Fast::Running { how, extents, double })
            }
            // A place in a line of packed elements has 32 bits.
            Op::Sort(sort) if u32::try_from(x.shape[sort.axis]).is_ok() => {
                Some(Fast::Sort(*sort, Lines::new(&x.shape, sort.axis)))
            }
            Op::ArgReduce(which) => Some(Fast::ArgReduce(*which, Lines::new(&x.shape, which.axis))),
            Op::RandomBits(bits) => Some(Fast::RandomBits(bits.clone())),
            Op::Dot(dot) => whole::Product::new(dot, x, inputs[1]).map(Fast::Product),
            Op::Binary(op @ (Binary::Div | Binary::Rem)) if x.dtype.is_int() => Some(Fast::Divide(*op)),
            _ => None,
        }
    }

    /// Its name for checks.
    pub(super) fn path(&self) -> &'static str {
        match self {
            Fast::Gather(_) => "gather",
            Fast::ScatterAdd(_) => "scatter_add",
            Fast::MaxPool { .. } => "max_pool",
            Fast::SumPool { .. } => "sum_pool",
            Fast::Running { .. } => "running",
            Fast::Sort(..) => "sort",
            Fast::ArgReduce(..) => "arg_reduce",
            Fast::RandomBits(_) => "random_bits",
            Fast::Product(_) => "integer product",
            Fast::Divide(_) => "integer division",
        }
    }

    /// Bytes that it allocates while it runs, at most.
    pub(super) fn allocates(&self, inputs: &[&Type]) -> (usize, usize) {
        match self {
            Fast::Gather(_) => (inputs[1].shape.size() * size_of::<usize>(), 0),
            Fast::MaxPool { window, planes, double, .. } | Fast::SumPool { window, planes, double } => {
                window.allocates(*planes, if *double { 8 } else { 4 })
            }
            Fast::Sort(_, lines) => lines.sorting_allocates(inputs[0].dtype),
            Fast::Product(product) => (product.allocates(), 0),
            // The reference, which tells of a zero divisor.
            Fast::Divide(_) => (6 * inputs[0].bytes(), 0),
            Fast::ScatterAdd(_) | Fast::Running { .. } | Fast::ArgReduce(..) | Fast::RandomBits(_) => (0, 0),
        }
    }

    /// Runs it; false when the reference has to decide.
    ///
    /// # Safety
    /// `inputs` hold operands and `outputs` have room for results of the types it was made for, apart from each other.
    pub(super) unsafe fn run(
        &self,
        inputs: Inputs<'_>,
        outputs: Outputs<'_>,
        pool: &Pool,
    ) -> Result<bool, ErrorKind> {
        // SAFETY: the caller's promise.
        unsafe {
            match self {
                Fast::Gather(walk) => gather(walk, inputs, outputs, pool).map(|()| true),
                Fast::ScatterAdd(walk) if inputs[0].1.dtype == DType::F64 => {
                    scatter_add::<f64>(walk, inputs, outputs, pool).map(|()| true)
                }
                Fast::ScatterAdd(walk) => scatter_add::<f32>(walk, inputs, outputs, pool).map(|()| true),
                Fast::MaxPool { window, planes, double: true, bytes } => {
                    max_pool::<f64>(window, *planes, *bytes, inputs, outputs, pool)
                }
                Fast::MaxPool { window, planes, bytes, .. } => {
                    max_pool::<f32>(window, *planes, *bytes, inputs, outputs, pool)
                }
                Fast::SumPool { window, planes, double: true } => {
                    Ok(sum_pool::<f64>(window, *planes, inputs, outputs, pool))
                }
                Fast::SumPool { window, planes, .. } => {
                    Ok(sum_pool::<f32>(window, *planes, inputs, outputs, pool))
                }
                Fast::Running { how, extents, double: true } => {
                    let (x, out) = (read::<f64>(&inputs[0]), write::<f64>(&outputs[0]));
                    Ok(running(pool, *how, *extents, x, out).is_ok())
                }
                Fast::Running { how, extents, .. } => {
                    let (x, out) = (read::<f32>(&inputs[0]), write::<f32>(&outputs[0]));
                    Ok(running(pool, *how, *extents, x, out).is_ok())
                }
                Fast::Sort(sort, lines) => {
                    let (x, dtype) = (inputs[0].0, inputs[0].1.dtype);
                    order::sort(sort, *lines, dtype, x, outputs[0].0, outputs[1].0, pool);
                    Ok(true)
                }
                Fast::ArgReduce(which, lines) => {
                    order::extremum(which, *lines, inputs[0].1.dtype, inputs[0].0, outputs[0].0, pool);
                    Ok(true)
                }
                Fast::RandomBits(bits) => {
                    random::run(bits, inputs[0].0, inputs[0].1.shape.size(), outputs[0].0, pool);
                    Ok(true)
                }
                Fast::Product(product) => {
                    product.run(inputs[0].0, inputs[1].0, outputs[0].0, pool);
                    Ok(true)
                }
                Fast::Divide(op) => {
                    let (dtype, n) = (inputs[0].1.dtype, inputs[0].1.shape.size());
                    Ok(whole::divide(*op, dtype, inputs[0].0, inputs[1].0, outputs[0].0, n, pool))
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

/// Elements for reading.
///
/// # Safety
/// `from` holds a value of this type that nobody writes meanwhile.
unsafe fn read<'a, T>(from: &(*const u8, Type)) -> &'a [T] {
    // SAFETY: the caller's promise.
    unsafe { std::slice::from_raw_parts(from.0.cast(), from.1.shape.size()) }
}

/// Elements for writing, zero at first.
///
/// # Safety
/// There is room for a value of this type at `to`, and nobody else uses it meanwhile.
unsafe fn write<'a, T>(to: &(*mut u8, Type)) -> &'a mut [T] {
    // SAFETY: the caller's promise; zero bytes are numbers.
    unsafe {
        std::ptr::write_bytes(to.0, 0, to.1.bytes());
        std::slice::from_raw_parts_mut(to.0.cast(), to.1.shape.size())
    }
}

/// # Safety
/// As for [`Fast::run`].
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
/// As for [`Fast::run`].
unsafe fn gather(
    walk: &Walk,
    inputs: Inputs<'_>,
    outputs: Outputs<'_>,
    pool: &Pool,
) -> Result<(), ErrorKind> {
    let width = inputs[0].1.dtype.size() * walk.width;
    // SAFETY: the caller's promise.
    let at = unsafe { walk.resolved("gather", inputs[1].0, inputs[1].1.dtype)? };
    let (from, to) = (Shared(inputs[0].0.cast_mut()), Shared(outputs[0].0));
    let slices = walk.batches * walk.rows * walk.count;
    let whole = walk.batches * walk.rows * walk.extent;
    let fits = inputs[0].1.bytes() >= whole * width && outputs[0].1.bytes() >= slices * width;
    assert!(fits, "a gather is made for the types it runs on");
    pool.run_ranges(slices, (16_384 / width.max(1)).max(1), &|range| {
        for slice in range {
            let (row, i) = (slice / walk.count, slice % walk.count);
            let index = at[row / walk.rows * walk.count + i];
            // SAFETY: indices lie inside the axis, and each slice of the result is written once.
            unsafe {
                let source = from.get().add((row * walk.extent + index) * width);
                std::ptr::copy_nonoverlapping(source, to.get().add(slice * width), width);
            }
        }
    });
    Ok(())
}

/// # Safety
/// As for [`Fast::run`].
unsafe fn scatter_add<T: Float + Element>(
    walk: &Walk,
    inputs: Inputs<'_>,
    outputs: Outputs<'_>,
    pool: &Pool,
) -> Result<(), ErrorKind> {
    let [x, indices, updates] = [0, 1, 2].map(|i| Shared(inputs[i].0.cast_mut()));
    let out = Shared(outputs[0].0);
    let narrow = inputs[1].1.dtype == DType::I32;
    let (w, block) = (walk.width, walk.extent * walk.width);
    let rows = walk.batches * walk.rows;
    let sizes = [&inputs[0].1, &outputs[0].1, &inputs[2].1].map(|ty| ty.shape.size());
    let fits = sizes[..2].iter().all(|&n| n >= rows * block) && sizes[2] >= rows * walk.count * w;
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
        let negative = index < 0 && walk.from_end;
        (index, if negative { index.wrapping_add(walk.extent as i64) } else { index } as u64)
    };
    // A row belongs to one task, so that equal indices add up in order.
    pool.run_ranges(walk.batches * walk.rows, (8_192 / block.max(1)).max(1), &|range| {
        for row in range {
            // SAFETY: rows are apart; indices are looked at before they are used.
            unsafe {
                let to = out.get().cast::<T>().add(row * block);
                std::ptr::copy_nonoverlapping(x.get().cast::<T>().add(row * block), to, block);
                let from = updates.get().cast::<T>().add(row * walk.count * w);
                let first = row / walk.rows * walk.count;
                for i in 0..walk.count {
                    let (_, at) = index(first + i);
                    if at >= walk.extent as u64 {
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
        i => Err(walk.out_of_range("scatter_add", index(i).0, i)),
    }
}

/// The largest of each window and where it lies in its plane, or which tap it is; the first at ties, the first NaN if
/// there is one.
///
/// # Safety
/// As for [`Fast::run`]; `bytes` says what there is room for.
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
        // The reference has no room for its indices.
        Err(error) if bytes => Err(ErrorKind::Argument { op: "max_pool", detail: error.to_string() }),
        done => Ok(done.is_ok()),
    }
}
