//! What the process holds, and the limits on it.

use gradus_core::Budget;
use gradus_core::memory::{self as core, Amount, Held};

use crate::{Device, IntoBudget, Result, programs};

/// Bytes that a process holds: see [`memory`].
///
/// Blocks below 64 KiB are counted only in `scratch`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Memory {
    /// Elements of tensors.
    pub tensors: usize,
    /// Arenas of programs that run at this moment.
    pub arenas: usize,
    /// Scratch memory of threads.
    pub scratch: usize,
    /// Kept: arenas that no run is using.
    pub idle_arenas: usize,
    /// Kept: what dropped results have left for results to come.
    pub waiting: usize,
    /// Kept: compiled programs, by an estimate.
    pub programs: usize,
    /// The most bytes that were held at once.
    pub peak: usize,
    /// The most bytes that may be held: [`set_memory_limit`].
    pub limit: usize,
    /// The most bytes that may be kept: [`set_kept_limit`].
    pub kept_limit: usize,
}

impl Memory {
    /// Bytes that somebody works with: tensors, arenas of programs that run, scratch memory.
    pub fn in_use(&self) -> usize {
        self.tensors + self.arenas + self.scratch
    }

    /// Bytes held only to make later calls faster: idle arenas, memory of dropped results, programs.
    pub fn kept(&self) -> usize {
        self.idle_arenas + self.waiting + self.programs
    }
}

/// What the process holds.
///
/// Arenas, the memory that dropped results leave, and compiled programs are kept between calls, at most as
/// [`set_kept_limit`] says; [`release_memory`] gives them back.
///
/// ```
/// use gradus::{DType, Tensor, jit, memory, release_memory};
/// let f = jit(|x: &Tensor| x.exp().sum(()));
/// f.call(&Tensor::ones([1000], DType::F32));
/// assert!(memory().programs > 0);
/// release_memory();
/// assert_eq!(memory().kept(), 0);
/// ```
pub fn memory() -> Memory {
    Memory {
        tensors: core::bytes(Held::Tensors),
        arenas: core::bytes(Held::Arenas),
        scratch: core::bytes(Held::Scratch),
        idle_arenas: core::bytes(Held::IdleArenas),
        waiting: core::bytes(Held::Waiting),
        programs: core::bytes(Held::Programs),
        peak: core::peak(),
        limit: core::limit().unwrap_or(0),
        kept_limit: core::kept_limit().unwrap_or(0),
    }
}

/// Gives back what is held only to make later calls faster: idle arenas, the memory that dropped results have left, scratch
/// memory of idle threads, and compiled programs, those of every [`jit`](crate::jit) and those planned without it. A function
/// called again is planned again. [`Jit::clear`](crate::Jit::clear) drops the programs of one function.
pub fn release_memory() {
    programs::release();
    Device::all().iter().for_each(|device| device.backend().release());
}

/// Sets the most bytes that the process may hold for tensors, arenas and scratch memory: `8 << 30`, `"8 GiB"`, or `"50%"` of
/// the machine's memory. What would exceed it is refused as [`ErrorKind::Memory`](crate::ErrorKind::Memory).
///
/// Without it the environment variable `GRADUS_MEMORY_LIMIT` says, and without that the least of main memory with swap, the
/// limit of the container, and the limit on the address space with which the process was started. On systems other than
/// Linux only the allocator refuses then.
///
/// ```
/// gradus::set_memory_limit("90%")?;
/// assert!(gradus::set_memory_limit("lots").is_err());
/// # Ok::<(), gradus::Error>(())
/// ```
///
/// # Errors
/// If the text is no amount, or the amount 0.
pub fn set_memory_limit(limit: impl IntoBudget) -> Result<()> {
    Ok(core::set_limit(amount(limit)?)?)
}

/// Sets the most bytes that are kept to make later calls faster, in arenas, memory of dropped results and programs:
/// `1 << 30`, `"1 GiB"`, or `"25%"` of the limit of the process. Of these, programs take 256 MiB at most, and memory of
/// dropped results 128 MiB.
///
/// Without it the environment variable `GRADUS_MEMORY_KEPT` says, and without that it is half of the limit of the process.
///
/// ```
/// gradus::set_kept_limit("1 GiB")?;
/// assert_eq!(gradus::memory().kept_limit, 1 << 30);
/// # Ok::<(), gradus::Error>(())
/// ```
///
/// # Errors
/// If the text is no amount.
pub fn set_kept_limit(limit: impl IntoBudget) -> Result<()> {
    core::set_kept_limit(amount(limit)?)?;
    Device::all().iter().for_each(|device| device.backend().keep_within_limit());
    Ok(())
}

fn amount(limit: impl IntoBudget) -> Result<Amount> {
    Ok(match limit.into_budget()? {
        Budget::Bytes(bytes) => Amount::Bytes(bytes),
        Budget::Share(share) => Amount::Share(share),
    })
}
