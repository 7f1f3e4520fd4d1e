//! Buffers of results, and the bytes behind arrays.
//!
//! A large result reuses the memory of an earlier one where possible: the system clears each new page at its first use,
//! which can take longer than computing its contents.
//!
//! Invariant: a buffer can hold the elements of its type; its length is set only when a run has written all of
//! them.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use gradus_core::dtype::{Bf16, F16};
use gradus_core::memory::{self, Held::Waiting};
use gradus_core::{Array, Buffer, DType, Elements, ErrorKind, Type, with_elements};

use crate::memory::keepable;
use crate::pages;

/// Where an array's elements begin.
pub(super) fn start(array: &Array) -> *const u8 {
    with_elements!(array.buffer(), v => v.as_ptr().cast())
}

/// The buffer of a result before its elements are written.
pub(super) enum Held {
    F32(Vec<f32>),
    F64(Vec<f64>),
    I32(Vec<i32>),
    I64(Vec<i64>),
    Bool(Vec<bool>),
    U8(Vec<u8>),
    Bf16(Vec<Bf16>),
    F16(Vec<F16>),
}

/// Runs an expression with the typed elements of a [`Held`].
macro_rules! each {
    ($held:expr, $v:ident => $body:expr) => {
        match $held {
            Held::F32($v) => $body,
            Held::F64($v) => $body,
            Held::I32($v) => $body,
            Held::I64($v) => $body,
            Held::Bool($v) => $body,
            Held::U8($v) => $body,
            Held::Bf16($v) => $body,
            Held::F16($v) => $body,
        }
    };
}

/// An element type of buffers.
trait Kept: Sized {
    fn held(elements: Vec<Self>) -> Held;
    /// The elements of a buffer of this type.
    fn of(held: &Held) -> Option<&Vec<Self>>;
    fn take(held: Held) -> Vec<Self>;
    /// Keeps the memory of a dropped result for later ones.
    fn recycle(elements: Vec<Self>) {
        keep(Self::held(elements));
    }
}

macro_rules! kept {
    ($($t:ty => $v:ident),+) => { $(
        impl Kept for $t {
            fn held(elements: Vec<Self>) -> Held { Held::$v(elements) }
            fn of(held: &Held) -> Option<&Vec<Self>> {
                if let Held::$v(v) = held { Some(v) } else { None }
            }
            fn take(held: Held) -> Vec<Self> {
                if let Held::$v(v) = held { v } else { Vec::new() }
            }
        }
    )+ };
}
kept!(f32 => F32, f64 => F64, i32 => I32, i64 => I64, bool => Bool, u8 => U8, Bf16 => Bf16, F16 => F16);

/// Results of at least this many bytes leave their memory to later ones.
const LARGE: usize = 256 << 10;

/// The most bytes kept for later results; the oldest are freed first.
const KEPT: usize = 128 << 20;

/// The number of runs, of any program, that memory is kept for.
const PATIENCE: u64 = 32;

/// The kept memory of dropped results, the oldest first, each with the number of the run when it was dropped.
static LEFT: Mutex<Vec<(u64, Held)>> = Mutex::new(Vec::new());

/// Runs of programs so far.
static RUNS: AtomicU64 = AtomicU64::new(0);

/// Whether any memory waits.
static WAITING: AtomicBool = AtomicBool::new(false);

/// Frees the memory kept from dropped results.
///
/// Blocks of 256 KiB and more are kept, at most 128 MiB in a process, until a result of about their size is needed, 32
/// runs have passed, or a program has to allocate its arena.
pub(crate) fn release_kept() {
    release(|_| true);
}

/// Counts a run, and frees memory that has been kept too long.
pub(super) fn begin_run() {
    let now = RUNS.fetch_add(1, Ordering::Relaxed);
    if WAITING.load(Ordering::Relaxed) {
        release(|since| since + PATIENCE < now);
    }
}

fn left() -> MutexGuard<'static, Vec<(u64, Held)>> {
    LEFT.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Frees memory by the run since which it has been kept.
fn release(which: impl Fn(u64) -> bool) {
    let mut left = left();
    let gone: Vec<_> = left.extract_if(.., |(since, _)| which(*since)).collect();
    memory::sub(Waiting, gone.iter().map(|(_, held)| held.bytes()).sum());
    WAITING.store(!left.is_empty(), Ordering::Relaxed);
    // Freeing is slow, so it happens outside the lock.
    drop(left);
    drop(gone);
}

/// Keeps memory for a result to come.
fn keep(held: Held) {
    if !(LARGE..=KEPT).contains(&held.bytes()) {
        return;
    }
    let now = RUNS.load(Ordering::Relaxed);
    let limit = KEPT.min(keepable(&[memory::Held::IdleArenas, memory::Held::Programs]));
    let mut left = left();
    memory::add(Waiting, held.bytes());
    left.push((now, held));
    let mut bytes: usize = left.iter().map(|(_, held)| held.bytes()).sum();
    let mut first = 0;
    while bytes > limit {
        let one = left[first].1.bytes();
        memory::sub(Waiting, one);
        bytes -= one;
        first += 1;
    }
    let gone: Vec<_> = left.drain(..first).collect();
    WAITING.store(true, Ordering::Relaxed);
    drop(left);
    drop(gone);
}

/// A buffer for `n` elements: the one left last if it is hardly larger, or new memory.
fn buffer<T: Kept>(n: usize) -> Result<Vec<T>, ErrorKind> {
    let bytes = n.saturating_mul(size_of::<T>());
    if bytes >= LARGE && WAITING.load(Ordering::Relaxed) {
        let mut left = left();
        let fits =
            |(_, held): &(u64, Held)| T::of(held).is_some_and(|v| (n..=n + n / 8).contains(&v.capacity()));
        if let Some(i) = left.iter().rposition(fits) {
            let mut v = T::take(left.remove(i).1);
            memory::sub(Waiting, v.capacity() * size_of::<T>());
            v.clear();
            return Ok(v);
        }
    }
    let mut v: Vec<T> = memory::with_capacity("program", n)?;
    pages::prefer_large(v.as_mut_ptr().cast(), bytes);
    Ok(v)
}

impl Held {
    /// # Errors
    /// [`ErrorKind::Memory`].
    pub(super) fn new(ty: &Type) -> Result<Self, ErrorKind> {
        let n = ty.shape.size();
        Ok(match ty.dtype {
            DType::F32 => Held::F32(buffer(n)?),
            DType::F64 => Held::F64(buffer(n)?),
            DType::I32 => Held::I32(buffer(n)?),
            DType::I64 => Held::I64(buffer(n)?),
            DType::Bool => Held::Bool(buffer(n)?),
            DType::U8 => Held::U8(buffer(n)?),
            DType::Bf16 => Held::Bf16(buffer(n)?),
            DType::F16 => Held::F16(buffer(n)?),
        })
    }

    fn bytes(&self) -> usize {
        fn of<T>(v: &Vec<T>) -> usize {
            v.capacity() * size_of::<T>()
        }
        each!(self, v => of(v))
    }

    /// The buffer of an array without other owners; else the array itself.
    pub(super) fn take(array: Array) -> Result<Self, Array> {
        if !with_elements!(array.buffer(), v => Arc::strong_count(v) == 1) {
            return Err(array);
        }
        // No other owner can have appeared since.
        fn own<T: Clone>(v: Arc<Elements<T>>) -> Vec<T> {
            Arc::unwrap_or_clone(v).into_vec()
        }
        Ok(match array.into_buffer() {
            Buffer::F32(v) => Held::F32(own(v)),
            Buffer::F64(v) => Held::F64(own(v)),
            Buffer::I32(v) => Held::I32(own(v)),
            Buffer::I64(v) => Held::I64(own(v)),
            Buffer::Bool(v) => Held::Bool(own(v)),
            Buffer::U8(v) => Held::U8(own(v)),
            Buffer::Bf16(v) => Held::Bf16(own(v)),
            Buffer::F16(v) => Held::F16(own(v)),
        })
    }

    pub(super) fn pointer(&mut self) -> *mut u8 {
        each!(self, v => v.as_mut_ptr().cast())
    }

    /// The array, of this type.
    ///
    /// # Safety
    /// All its elements have been written, and are valid values of the dtype.
    pub(super) unsafe fn finish(self, ty: &Type) -> Array {
        fn array<T: gradus_core::Element + Kept>(v: Vec<T>, ty: &Type) -> Array {
            let elements = match v.capacity() * size_of::<T>() >= LARGE {
                true => Elements::with_recycling(v, T::recycle),
                false => v.into(),
            };
            Array::with_memory(ty.shape.clone(), elements).expect("as many elements as the type has")
        }
        let n = ty.shape.size();
        each!(self, v => {
            let mut v = v;
            assert!(v.capacity() >= n, "a result can hold its elements");
            // SAFETY: the buffer was made for `n` elements, and the caller says that all are written.
            unsafe { v.set_len(n) };
            array(v, ty)
        })
    }
}
