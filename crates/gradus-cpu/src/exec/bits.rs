//! Booleans as bits: element `i` is bit `i % 8` of byte `i / 8`.
//!
//! Invariant: a buffer of bits has a byte for each eight elements begun.

use super::versions::{Versioned, best};

/// Eight bytes of 0 or 1 times this have their bits, in order, in the last byte.
const GATHER: u64 = 0x0102_0408_1020_4080;
const EACH: u64 = 0x0101_0101_0101_0101;
/// Bit `i` of byte `i`.
const DIAGONAL: u64 = 0x8040_2010_0804_0201;

/// Packs `n` booleans; bits after the last are zero.
///
/// # Safety
/// `from` holds `n` bytes of 0 or 1, `to` can hold `n` bits.
pub(super) unsafe fn pack(from: *const u8, to: *mut u8, n: usize) {
    // SAFETY: the caller's promise.
    unsafe { best(Pack { from, to, n }) }
}

struct Pack {
    from: *const u8,
    to: *mut u8,
    n: usize,
}

impl Versioned for Pack {
    type Output = ();
    #[inline(always)]
    unsafe fn run(self) {
        // SAFETY: the promise made to `pack`.
        unsafe { pack_generic(self.from, self.to, self.n) }
    }
}

/// # Safety
/// As for [`pack`].
#[inline(always)]
unsafe fn pack_generic(from: *const u8, to: *mut u8, n: usize) {
    // SAFETY: whole groups of eight, then what is left of `n`.
    unsafe {
        for i in 0..n / 8 {
            let eight = u64::from_le(from.add(8 * i).cast::<u64>().read_unaligned());
            to.add(i).write((eight.wrapping_mul(GATHER) >> 56) as u8);
        }
        if !n.is_multiple_of(8) {
            let first = n / 8 * 8;
            let last = (0..n % 8).fold(0, |byte, i| byte | (*from.add(first + i) << i));
            to.add(n / 8).write(last);
        }
    }
}

/// Unpacks `n` booleans from bit `first` on.
///
/// # Safety
/// `from` holds `first + n` bits, `to` can hold `n` bytes.
pub(super) unsafe fn unpack(from: *const u8, first: usize, to: *mut u8, n: usize) {
    // SAFETY: the caller's promise.
    unsafe { best(Unpack { from, first, to, n }) }
}

struct Unpack {
    from: *const u8,
    first: usize,
    to: *mut u8,
    n: usize,
}

impl Versioned for Unpack {
    type Output = ();
    #[inline(always)]
    unsafe fn run(self) {
        // SAFETY: the promise made to `unpack`.
        unsafe { unpack_generic(self.from, self.first, self.to, self.n) }
    }
}

/// # Safety
/// As for [`unpack`].
#[inline(always)]
unsafe fn unpack_generic(from: *const u8, first: usize, to: *mut u8, n: usize) {
    // SAFETY: every index is below `n`, every bit below `first + n`.
    unsafe {
        let one = |i: usize| to.add(i).write((*from.add((first + i) / 8) >> ((first + i) % 8)) & 1);
        let head = (first.next_multiple_of(8) - first).min(n);
        (0..head).for_each(one);
        let whole = (n - head) / 8;
        for k in 0..whole {
            let byte = *from.add((first + head) / 8 + k);
            let apart = (u64::from(byte) * EACH) & DIAGONAL;
            // A byte that is not zero carries into its highest bit.
            let ones = ((apart + 0x7f * EACH) >> 7) & EACH;
            to.add(head + 8 * k).cast::<u64>().write_unaligned(ones.to_le());
        }
        (head + 8 * whole..n).for_each(one);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bits_come_back_from_any_place_and_length() {
        for n in [0usize, 1, 7, 8, 9, 63, 64, 100] {
            let source: Vec<u8> = (0..n).map(|i| u8::from((i * i + i / 3) % 5 < 2)).collect();
            let mut bits = vec![0xffu8; n.div_ceil(8)];
            // SAFETY: `bits` can hold `n` bits.
            unsafe { pack(source.as_ptr(), bits.as_mut_ptr(), n) };
            for first in 0..=n {
                for count in 0..=n - first {
                    let mut back = vec![7u8; count];
                    // SAFETY: `first + count` is at most `n`.
                    unsafe { unpack(bits.as_ptr(), first, back.as_mut_ptr(), count) };
                    assert_eq!(back, source[first..first + count], "{n} {first} {count}");
                }
            }
        }
    }
}
