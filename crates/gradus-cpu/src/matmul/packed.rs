//! The memory of threads for packed operands of products: a function of the sizes and of the instruction set.

use super::{Element, MatMul, kernel};

impl MatMul {
    /// The most bytes that a thread keeps that runs blocks of this product.
    pub(crate) fn packed<T: Element>(&self) -> usize {
        if [self.products(), self.m, self.n, self.k].contains(&0) {
            return 0;
        }
        let blocks = self.blocks();
        let (m, n) = blocks.edges();
        // Blocks, and those at the edges, which are smaller.
        let (rows, columns) = ([m, self.m % m], [n, self.n % n]);
        let strides = [self.a, self.b, self.c].map(|layout| (layout.row, layout.col));
        let most = rows.iter().flat_map(|&m| columns.iter().map(move |&n| [m, n, self.k]));
        let most = most.map(|size| kernel::scratch_elements::<T>(size, strides)).max().unwrap_or(0);
        most * size_of::<T>()
    }
}
