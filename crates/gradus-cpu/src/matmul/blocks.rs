//! How a product is cut into tasks: from its sizes alone, so that the threads never matter.

use std::ops::Range;

/// Work below which handing a task to another thread gains nothing: some ten microseconds.
const MIN_TASK_FLOPS: f64 = 1.0e6;

/// Tasks to aim for: enough to keep a large machine busy and a small one evenly loaded.
const TASKS: usize = 32;

/// Block edges are multiples of these. Along the registers of the kernels: whole tiles on every instruction set. The other
/// way: whole lines of the cache, and enough rows to pay for packing the other operand.
const WIDE: usize = 64;
const NARROW: usize = 16;
const LEAST: usize = 96;

/// With this few rows (or columns) a product is bound by reading the other operand, which wants long runs.
const VECTOR: usize = 4;
const LONG: usize = 1024;

/// The blocks of a batched product: a grid over C for each product, or groups of whole small products.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Blocks {
    products: usize,
    m: usize,
    n: usize,
    /// Edges of a block.
    block_m: usize,
    block_n: usize,
    /// Whole products in a task; more than 1 only when a block is a whole product.
    group: usize,
}

impl Blocks {
    /// `row_major`: C's columns are closer together than its rows.
    pub(super) fn new(products: usize, m: usize, n: usize, k: usize, row_major: bool) -> Self {
        let mut blocks = Blocks { products, m, n, block_m: m.max(1), block_n: n.max(1), group: 1 };
        if products == 0 || m == 0 || n == 0 {
            return blocks;
        }
        // A product with a short inner dimension is bound by writing C.
        let depth = k.max(16) as f64;
        let work = |bm: usize, bn: usize| 2.0 * bm as f64 * bn as f64 * depth;
        let whole = work(m, n);
        if whole < MIN_TASK_FLOPS {
            blocks.group = ((MIN_TASK_FLOPS / whole) as usize).clamp(1, products);
            return blocks;
        }
        // The contiguous side of C is the one the kernels are wide in. Once there are enough tasks for a small machine, the
        // last halvings leave blocks that use what they pack more than once.
        let wide = |other: usize| if other <= VECTOR { LONG } else { WIDE };
        while blocks.grid_tasks() < TASKS {
            let least = if blocks.grid_tasks() < TASKS / 2 { 0 } else { 2 * WIDE };
            let (wide, narrow) = (|other| (wide(other), least), (NARROW, LEAST));
            let (unit_m, unit_n) = if row_major { (narrow, wide(m)) } else { (wide(n), narrow) };
            let (bm, bn) = (blocks.block_m, blocks.block_n);
            // Halving the longer side keeps the traffic for packing low.
            let halved_m = halve(bm, unit_m);
            let halved_n = halve(bn, unit_n);
            let next = match (halved_m < bm, halved_n < bn) {
                (true, true) if bm >= bn => (halved_m, bn),
                (_, true) => (bm, halved_n),
                (true, false) => (halved_m, bn),
                (false, false) => break,
            };
            if work(next.0, next.1) < MIN_TASK_FLOPS {
                break;
            }
            (blocks.block_m, blocks.block_n) = next;
        }
        blocks
    }

    fn grid_tasks(&self) -> usize {
        self.products * self.m.div_ceil(self.block_m) * self.n.div_ceil(self.block_n)
    }

    /// How many tasks there are.
    pub fn tasks(&self) -> usize {
        if self.m == 0 || self.n == 0 {
            return 0;
        }
        if self.group > 1 { self.products.div_ceil(self.group) } else { self.grid_tasks() }
    }

    /// Rows and columns of a block (those at the edges may be smaller).
    pub fn edges(&self) -> (usize, usize) {
        (self.block_m, self.block_n)
    }

    /// Calls `f(product, rows, columns)` for each block of a task.
    pub(super) fn for_each_in(&self, task: usize, mut f: impl FnMut(usize, Range<usize>, Range<usize>)) {
        if self.group > 1 {
            let first = task * self.group;
            for product in first..(first + self.group).min(self.products) {
                f(product, 0..self.m, 0..self.n);
            }
            return;
        }
        let down = self.m.div_ceil(self.block_m);
        let across = self.n.div_ceil(self.block_n);
        let (product, cell) = (task / (down * across), task % (down * across));
        let (i, j) = (cell / across * self.block_m, cell % across * self.block_n);
        f(product, i..(i + self.block_m).min(self.m), j..(j + self.block_n).min(self.n));
    }
}

/// About half of `size`, rounded up to the unit; `size` itself when that is no smaller, or less than the least.
fn halve(size: usize, (unit, least): (usize, usize)) -> usize {
    let half = size.div_ceil(2).next_multiple_of(unit);
    if half < least { size } else { half.min(size) }
}
