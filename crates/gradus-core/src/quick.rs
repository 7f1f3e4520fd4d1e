//! Tables whose keys come from programs, not from the outside: hashed quickly rather than safely.

use std::collections::{HashMap, HashSet};
use std::hash::{BuildHasherDefault, Hasher};

/// A table.
pub type Map<K, V> = HashMap<K, V, BuildHasherDefault<Quick>>;
/// A set.
pub type Set<K> = HashSet<K, BuildHasherDefault<Quick>>;

/// A hash by multiplication, word by word.
#[derive(Clone, Copy, Default)]
pub struct Quick(u64);

/// An odd number with bits everywhere: 2^64 over the golden ratio.
const FACTOR: u64 = 0x9e37_79b9_7f4a_7c15;

impl Hasher for Quick {
    fn finish(&self) -> u64 {
        // Tables read the lowest bits and the highest: both depend on all of the key.
        (self.0 ^ (self.0 >> 32)).wrapping_mul(FACTOR).rotate_left(26)
    }
    fn write(&mut self, bytes: &[u8]) {
        for word in bytes.chunks(8) {
            let mut whole = [0; 8];
            whole[..word.len()].copy_from_slice(word);
            self.write_u64(u64::from_le_bytes(whole));
        }
    }
    fn write_u8(&mut self, x: u8) {
        self.write_u64(x.into());
    }
    fn write_u16(&mut self, x: u16) {
        self.write_u64(x.into());
    }
    fn write_u32(&mut self, x: u32) {
        self.write_u64(x.into());
    }
    fn write_u64(&mut self, x: u64) {
        self.0 = (self.0.rotate_left(23) ^ x).wrapping_mul(FACTOR);
    }
    fn write_usize(&mut self, x: usize) {
        self.write_u64(x as u64);
    }
}
