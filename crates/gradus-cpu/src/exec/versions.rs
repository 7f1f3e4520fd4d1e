//! One loop, compiled for every instruction set of the machine.
//!
//! Invariant: a version runs only where the machine has its instruction set.

use crate::vmath::InstructionSet;

/// A loop over raw operands.
pub(crate) trait Versioned {
    /// What it gives.
    type Output;
    /// Runs it; inlined into a function compiled for an instruction set.
    ///
    /// # Safety
    /// Its operands are valid.
    unsafe fn run(self) -> Self::Output;
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,fma")]
unsafe fn avx2<K: Versioned>(kernel: K) -> K::Output {
    // SAFETY: the caller's promise.
    unsafe { kernel.run() }
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,fma,avx512f,avx512bw,avx512dq,avx512vl")]
unsafe fn avx512<K: Versioned>(kernel: K) -> K::Output {
    // SAFETY: the caller's promise.
    unsafe { kernel.run() }
}

/// Runs a loop compiled for the level in use.
///
/// # Safety
/// As for [`Versioned::run`].
#[inline]
pub(crate) unsafe fn best<K: Versioned>(kernel: K) -> K::Output {
    // SAFETY: the caller's promise; the machine has the features of the level.
    unsafe {
        match InstructionSet::current() {
            #[cfg(target_arch = "x86_64")]
            InstructionSet::Avx512 => avx512(kernel),
            #[cfg(target_arch = "x86_64")]
            InstructionSet::Avx2 => avx2(kernel),
            _ => kernel.run(),
        }
    }
}
