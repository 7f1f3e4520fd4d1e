//! The memory of a process that runs programs: blocks in use, and blocks kept for later.
//!
//! * `block`: aligned memory that grows and is counted, and whose allocation can fail;
//! * `arenas`: the arenas of runs, shared by all programs;
//! * `scratch`: memory that threads keep from one kernel to the next;
//! * `exec::results` keeps the memory of dropped results.
//!
//! Counts and limits are those of [`gradus_core::memory`].

pub(crate) mod arenas;
mod block;
pub(crate) mod scratch;

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};

use gradus_core::ErrorKind;
use gradus_core::memory::{Held, bytes, kept, kept_limit};

pub(crate) use block::{Block, Line};

/// Frees the memory kept for later runs: idle arenas, the memory of dropped results, the scratch memory of threads that
/// run no kernel.
///
/// ```
/// # use gradus_core::{Array, Builder, DType, Type, Unary};
/// # use gradus_core::memory::{self, Held};
/// # use gradus_cpu::{exec::Executable, release};
/// # let mut b = Builder::new();
/// # let x = b.input(Type::new(DType::F32, [100_000]));
/// # let y = b.emit1(Unary::Neg, &[x])?;
/// # let program = Executable::new(gradus_plan::plan(&b.finish(vec![y]), &Default::default())?);
/// # let x = Array::full([100_000], DType::F32, 1.0);
/// drop(program.run(&[x])?);
/// assert!(memory::bytes(Held::Waiting) >= 400_000);
/// release();
/// assert_eq!(memory::bytes(Held::Waiting), 0);
/// # Ok::<(), gradus_core::Error>(())
/// ```
pub fn release() {
    free_kept();
    scratch::release();
    crate::pages::give_back();
}

/// Frees kept memory beyond the limit, after that was lowered.
pub fn keep_within() {
    if kept() > keepable(&[]) {
        free_kept();
    }
}

/// Frees idle arenas and kept results, for an allocation that would fail otherwise.
pub(crate) fn free_kept() {
    crate::exec::release_kept();
    arenas::release();
}

/// Bytes that may be kept beside what is kept for `others`.
pub(crate) fn keepable(others: &[Held]) -> usize {
    // A limit that cannot be read has been reported where the program was made.
    kept_limit().unwrap_or(0).saturating_sub(others.iter().map(|&held| bytes(held)).sum())
}

/// The panic of a kernel that cannot have its scratch memory; [`caught`] makes an error of it.
struct Shortage(ErrorKind);

/// Ends a kernel for want of memory.
pub(crate) fn fail(kind: ErrorKind) -> ! {
    resume_unwind(Box::new(Shortage(kind)))
}

/// Runs kernels, making an error of their want of memory. Other panics go on.
pub(crate) fn caught<R, E: From<ErrorKind>>(f: impl FnOnce() -> Result<R, E>) -> Result<R, E> {
    match catch_unwind(AssertUnwindSafe(f)) {
        Ok(result) => result,
        Err(payload) => match payload.downcast::<Shortage>() {
            Ok(shortage) => Err(shortage.0.into()),
            Err(other) => resume_unwind(other),
        },
    }
}
