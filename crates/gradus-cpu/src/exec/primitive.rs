//! Primitives without a kernel of their own: copied out of the arena, evaluated by their reference, copied back.
//!
//! Invariant: a place holds the bytes of its type; results are compared with their types before they are copied.

use gradus_core::dtype::{Bf16, F16};
use gradus_core::{Array, DType, Element, ErrorKind, Op, Type, with_elements};
use smallvec::SmallVec;

/// An array of the elements at `from`.
///
/// # Safety
/// `from` holds the elements of a value of this type.
pub(super) unsafe fn array(from: *const u8, ty: &Type) -> Array {
    /// # Safety
    /// As for [`array`].
    unsafe fn elements<T: Element>(from: *const u8, ty: &Type) -> Array {
        let n = ty.shape.size();
        let mut v = Vec::new();
        if n > 0 {
            // SAFETY: the caller's promise; without elements the pointer may be anything.
            v.extend_from_slice(unsafe { std::slice::from_raw_parts(from.cast::<T>(), n) });
        }
        Array::new(ty.shape.clone(), v).expect("as many elements as the type has")
    }
    // SAFETY: the caller's promise.
    unsafe {
        match ty.dtype {
            DType::F32 => elements::<f32>(from, ty),
            DType::F64 => elements::<f64>(from, ty),
            DType::I32 => elements::<i32>(from, ty),
            DType::I64 => elements::<i64>(from, ty),
            DType::Bool => elements::<bool>(from, ty),
            DType::U8 => elements::<u8>(from, ty),
            DType::Bf16 => elements::<Bf16>(from, ty),
            DType::F16 => elements::<F16>(from, ty),
        }
    }
}

/// Evaluates `op`.
///
/// # Safety
/// `inputs` hold operands and `outputs` can hold results of the given types, apart from each other.
pub(super) unsafe fn run(
    op: &Op,
    inputs: &[(*const u8, Type)],
    outputs: &[(*mut u8, Type)],
) -> Result<(), ErrorKind> {
    // SAFETY: the caller's promise.
    let arrays: SmallVec<[Array; 4]> = inputs.iter().map(|(p, ty)| unsafe { array(*p, ty) }).collect();
    let operands: SmallVec<[&Array; 4]> = arrays.iter().collect();
    let results = op.evaluate(&operands)?;
    assert_eq!(results.len(), outputs.len(), "{}: as many results as the shape rule gives", op.name());
    for (result, (to, ty)) in results.iter().zip(outputs) {
        assert!(
            result.dtype() == ty.dtype && result.shape() == &ty.shape,
            "{}: its reference gives {}{}, its shape rule {ty}",
            op.name(),
            result.dtype(),
            result.shape()
        );
        // SAFETY: the result has the type that the primitive's shape rule gave, and its buffer can hold it.
        with_elements!(result.buffer(), v => unsafe {
            std::ptr::copy_nonoverlapping(v.as_ptr().cast::<u8>(), *to, ty.bytes())
        });
    }
    Ok(())
}
