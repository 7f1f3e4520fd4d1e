//! What a product packs while it runs: a function of its sizes.
//!
//! A thread that runs its first product also allocates what the kernels keep for good, as much as the second-level cache
//! holds: once in the life of the thread, so that belongs to the process and to no product.

use super::{MatMul, repack};

/// Bytes that the threads take, all together.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Packed {
    /// Allocated for each block and given back.
    pub call: usize,
    /// Kept for operands that are transposed on the way.
    pub repack: usize,
}

impl Packed {
    /// What two products need of which one runs at a time.
    pub fn either(self, other: Packed) -> Packed {
        Packed { call: self.call.max(other.call), repack: self.repack.max(other.repack) }
    }
}

/// The kernels take the inner dimension in pieces of at most this many.
const DEPTH: usize = 512;

/// What is packed is whole register tiles, which are no larger than this on the one side and on the other.
const TALL: usize = 48;
const WIDE: usize = 16;

/// What the kernels' own bookkeeping and alignment take.
const EXTRA: usize = 384;

impl MatMul {
    /// What so many threads pack at most that run blocks of this product: each a panel of both operands, as deep as the
    /// kernels go at a time.
    pub(crate) fn packed<T>(&self, threads: usize) -> Packed {
        if self.products() * self.m * self.n * self.k == 0 {
            return Packed::default();
        }
        let blocks = self.blocks();
        let ((m, n), threads) = (blocks.edges(), threads.min(blocks.tasks()));
        let depth = self.k.min(DEPTH);
        let sides = |m: usize, n: usize| m.next_multiple_of(TALL) + n.next_multiple_of(WIDE);
        let sides = sides(m, n).max(sides(n, m));
        let row_major = self.c.col.abs() <= self.c.row.abs();
        let (side, other, step) = if row_major { (n, m, self.b.col) } else { (m, n, self.a.row) };
        let turned = if repack::pays(side, other, self.k, step) { repack::room(side, depth) } else { 0 };
        Packed {
            call: threads * (size_of::<T>() * depth * sides + EXTRA),
            repack: threads * size_of::<T>() * turned,
        }
    }
}
