//! Buffers of results, and the bytes behind arrays.

use std::sync::Arc;

use gradus_core::dtype::Bf16;
use gradus_core::{Array, Buffer, DType, Type, with_elements};

/// Where an array's elements begin.
pub(super) fn start(array: &Array) -> *const u8 {
    with_elements!(array.buffer(), v => v.as_ptr().cast())
}

/// The buffer of a result in the making: room for its elements, which are not there yet.
pub(super) enum Held {
    F32(Vec<f32>),
    F64(Vec<f64>),
    I32(Vec<i32>),
    I64(Vec<i64>),
    Bool(Vec<bool>),
    U8(Vec<u8>),
    Bf16(Vec<Bf16>),
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
        }
    };
}

impl Held {
    pub(super) fn new(ty: &Type) -> Self {
        let n = ty.shape.size();
        match ty.dtype {
            DType::F32 => Held::F32(Vec::with_capacity(n)),
            DType::F64 => Held::F64(Vec::with_capacity(n)),
            DType::I32 => Held::I32(Vec::with_capacity(n)),
            DType::I64 => Held::I64(Vec::with_capacity(n)),
            DType::Bool => Held::Bool(Vec::with_capacity(n)),
            DType::U8 => Held::U8(Vec::with_capacity(n)),
            DType::Bf16 => Held::Bf16(Vec::with_capacity(n)),
        }
    }

    /// The buffer of an array that nobody else holds; else the array again.
    pub(super) fn take(array: Array) -> Result<Self, Array> {
        if !with_elements!(array.buffer(), v => Arc::strong_count(v) == 1) {
            return Err(array);
        }
        // Nobody else can have come by a share of it since.
        fn own<T: Clone>(v: Arc<Vec<T>>) -> Vec<T> {
            Arc::unwrap_or_clone(v)
        }
        Ok(match array.into_buffer() {
            Buffer::F32(v) => Held::F32(own(v)),
            Buffer::F64(v) => Held::F64(own(v)),
            Buffer::I32(v) => Held::I32(own(v)),
            Buffer::I64(v) => Held::I64(own(v)),
            Buffer::Bool(v) => Held::Bool(own(v)),
            Buffer::U8(v) => Held::U8(own(v)),
            Buffer::Bf16(v) => Held::Bf16(own(v)),
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
        let n = ty.shape.size();
        each!(self, v => {
            let mut v = v;
            debug_assert!(v.capacity() >= n);
            // SAFETY: room for `n` elements was made, and the caller says that they are there.
            unsafe { v.set_len(n) };
            Array::new(ty.shape.clone(), v).expect("as many elements as the type has")
        })
    }
}
