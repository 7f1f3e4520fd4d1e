//! Arenas: the memory for values between arguments and results, which a run takes and returns.
//!
//! Programs hold no arena of their own. A small one is the calling thread's; a larger one comes from those that no run is
//! using, where one of at most [`LARGER`] times the size is there. A new one takes the place of idle ones that are smaller
//! and would have been, so that programs of many sizes, run one after the other, share a few blocks.

use std::sync::{Mutex, MutexGuard, PoisonError};

use gradus_core::ErrorKind;
use gradus_core::memory::Held;

use super::scratch::{self, Slot};
use super::{Block, Line, keepable};

/// A block serves arenas down to this fraction of its size.
const LARGER: usize = 4;

/// Arenas that no run is using, the one used last at the end.
static IDLE: Mutex<Vec<Block>> = Mutex::new(Vec::new());

fn idle() -> MutexGuard<'static, Vec<Block>> {
    IDLE.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Calls `f` with an uninitialised arena of this many bytes.
///
/// # Errors
/// Those of `f`, and [`ErrorKind::Memory`] if no such arena can be allocated.
pub(crate) fn with<R, E: From<ErrorKind>>(
    bytes: usize,
    f: impl FnOnce(*mut u8) -> Result<R, E>,
) -> Result<R, E> {
    if bytes == 0 {
        return f(std::ptr::NonNull::<Line>::dangling().as_ptr().cast());
    }
    if bytes <= scratch::OWN {
        return scratch::with(Slot::Arena, bytes, f);
    }
    let mut block = take(bytes)?;
    let done = f(block.get("program", bytes)?);
    give_back(block);
    done
}

/// The smallest idle block that serves, or a new one, which takes the place of those that it will serve for. Where there
/// are any, sizes vary: it then is larger by a quarter, so that programs for longer and longer texts do not make the system
/// hand out the pages of an arena for each length.
fn take(bytes: usize) -> Result<Block, ErrorKind> {
    let mut idle = idle();
    let serves = |block: &Block| (bytes..=bytes.saturating_mul(LARGER)).contains(&block.bytes());
    let best = (0..idle.len()).filter(|&i| serves(&idle[i])).min_by_key(|&i| idle[i].bytes());
    if let Some(i) = best {
        let mut block = idle.remove(i);
        block.turn(Held::Arenas);
        return Ok(block);
    }
    let gone: Vec<Block> = idle.extract_if(.., |b| (bytes / LARGER..bytes).contains(&b.bytes())).collect();
    drop(idle);
    let spare = if gone.is_empty() { 0 } else { bytes / 4 };
    drop(gone);
    // Memory kept for results would add to the new block.
    crate::exec::release_kept();
    let mut block = Block::new(Held::Arenas);
    if spare == 0 || block.get("program", bytes.saturating_add(spare)).is_err() {
        block.get("program", bytes)?;
    }
    Ok(block)
}

/// Keeps a block for later runs, within the limit on kept memory: the least recently used are freed first.
fn give_back(mut block: Block) {
    let limit = keepable(&[Held::Waiting, Held::Programs]);
    if block.bytes() > limit {
        return;
    }
    block.turn(Held::IdleArenas);
    let mut idle = idle();
    idle.push(block);
    let mut bytes: usize = idle.iter().map(Block::bytes).sum();
    let mut first = 0;
    while bytes > limit {
        bytes -= idle[first].bytes();
        first += 1;
    }
    let gone: Vec<Block> = idle.drain(..first).collect();
    // Freeing is slow, so it happens outside the lock.
    drop(idle);
    drop(gone);
}

/// Frees all idle arenas.
pub(super) fn release() {
    let gone = std::mem::take(&mut *idle());
    drop(gone);
}
