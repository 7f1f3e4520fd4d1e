//! The operands that products of a worker transpose, and the regions of a group.

use crate::kernel::{Along, Blocked, BlockedPart, Region, Work};

/// The inner extent that products transpose at once.
const DEPTH: usize = 512;

impl Blocked {
    /// The most bytes that a product of a worker transposes at once.
    pub fn repacked(&self) -> usize {
        let one = |p: &BlockedPart| match &p.work {
            Work::Product(product) => {
                let [m, n, k] = product.size;
                let own = |extent: usize, along: Along| {
                    if p.along == along { extent.min(self.block) } else { extent }
                };
                // The operand along the contiguous axis of the result.
                let (side, stride) = if product.c.2.abs() < product.c.1.abs() {
                    (own(n, Along::Columns), product.b.2)
                } else {
                    (own(m, Along::Rows), product.a.1)
                };
                let depth = own(k, Along::Inner).min(DEPTH);
                if stride == 1 { 0 } else { side.next_multiple_of(16) * depth * product.dtype.size() }
            }
            _ => 0,
        };
        self.parts.iter().map(one).max().unwrap_or(0)
    }
    /// The regions among the parts.
    pub fn regions(&self) -> impl Iterator<Item = &Region> {
        self.parts.iter().filter_map(|p| match &p.work {
            Work::Region(region) => Some(region),
            _ => None,
        })
    }
}
