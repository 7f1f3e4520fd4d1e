//! Random bits: many counters at once.
//!
//! Invariant: draw `k` has the elements `k · n .. (k + 1) · n` of the result.

use gradus_core::ops::RandomBits;

use super::library::Shared;
use super::versions::{Versioned, best};
use crate::Pool;

/// Counters in flight.
const LANES: usize = 16;
/// Blocks of four words a task makes.
const TASK: usize = 4096;

/// The draws of `keys`, one after the other.
///
/// # Safety
/// `keys` holds that many; `out` can hold their draws, apart from them.
pub(super) unsafe fn run(bits: &RandomBits, keys: *const u8, count: usize, out: *mut u8, pool: &Pool) {
    let narrow = bits.bits <= 31;
    let n = bits.shape.size();
    let each = if narrow { 4 } else { 2 };
    let tasks = n.div_ceil(each * TASK).max(1);
    let (keys, out) = (Shared(keys.cast_mut()), Shared(out));
    // Short draws of many keys go together.
    pool.run_ranges(count * tasks, (TASK * each / n.max(1)).max(1), &|range| {
        for task in range {
            let (k, first) = (task / tasks, task % tasks * TASK * each);
            let end = (first + TASK * each).min(n);
            // SAFETY: the key is one of those there are, and the part lies inside its draw.
            unsafe {
                let key = keys.get().cast::<i64>().add(k).read_unaligned();
                if narrow {
                    let out = out.get().cast::<i32>().add(k * n + first);
                    best(Narrow { bits: bits.bits, key, first, len: end - first, out });
                } else {
                    let out = out.get().cast::<i64>().add(k * n + first);
                    best(Wide { bits: bits.bits, key, first, len: end - first, out });
                }
            }
        }
    });
}

/// Ten rounds of Philox on the counters `block`, `block + 1`, ... of a key; see [`gradus_core::ops::philox4x32`].
#[inline(always)]
fn philox(block: u64, kind: u32, key: i64) -> [[u32; LANES]; 4] {
    let mut words = [[0; LANES], [0; LANES], [0; LANES], [kind; LANES]];
    for j in 0..LANES {
        let counter = block + j as u64;
        (words[0][j], words[1][j]) = (counter as u32, (counter >> 32) as u32);
    }
    let (mut low, mut high) = (key as u32, (key as u64 >> 32) as u32);
    for _ in 0..10 {
        for j in 0..LANES {
            let p = u64::from(words[0][j]) * 0xd251_1f53;
            let q = u64::from(words[2][j]) * 0xcd9e_8d57;
            let (one, three) = (words[1][j], words[3][j]);
            words[0][j] = (q >> 32) as u32 ^ one ^ low;
            words[1][j] = q as u32;
            words[2][j] = (p >> 32) as u32 ^ three ^ high;
            words[3][j] = p as u32;
        }
        (low, high) = (low.wrapping_add(0x9e37_79b9), high.wrapping_add(0xbb67_ae85));
    }
    words
}

struct Narrow {
    bits: u32,
    key: i64,
    first: usize,
    len: usize,
    out: *mut i32,
}

impl Versioned for Narrow {
    type Output = ();
    #[inline(always)]
    unsafe fn run(self) {
        let mut at = 0;
        while at < self.len {
            let words = philox(((self.first + at) / 4) as u64, 0, self.key);
            let mut drawn = [0i32; 4 * LANES];
            for j in 0..LANES {
                for w in 0..4 {
                    drawn[4 * j + w] = (words[w][j] >> (32 - self.bits)) as i32;
                }
            }
            let n = drawn.len().min(self.len - at);
            // SAFETY: `at + n <= len`.
            unsafe { std::ptr::copy_nonoverlapping(drawn.as_ptr(), self.out.add(at), n) };
            at += n;
        }
    }
}

struct Wide {
    bits: u32,
    key: i64,
    first: usize,
    len: usize,
    out: *mut i64,
}

impl Versioned for Wide {
    type Output = ();
    #[inline(always)]
    unsafe fn run(self) {
        let mut at = 0;
        while at < self.len {
            let words = philox(((self.first + at) / 2) as u64, 1, self.key);
            let mut drawn = [0i64; 2 * LANES];
            for j in 0..LANES {
                for w in 0..2 {
                    let word = u64::from(words[2 * w][j]) | u64::from(words[2 * w + 1][j]) << 32;
                    drawn[2 * j + w] = (word >> (64 - self.bits)) as i64;
                }
            }
            let n = drawn.len().min(self.len - at);
            // SAFETY: `at + n <= len`.
            unsafe { std::ptr::copy_nonoverlapping(drawn.as_ptr(), self.out.add(at), n) };
            at += n;
        }
    }
}
