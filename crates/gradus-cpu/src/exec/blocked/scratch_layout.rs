//! The scratch memory of a thread for the packed operands and sums of a group's products, beside the block of local
//! values; and how rows are cut.

use std::ops::Range;

use gradus_plan::ALIGN;
use gradus_plan::kernel::{Along, Blocked, Product, Work};

use crate::matmul::{DEPTH, parts};

/// The rows of a left operand that are transposed at once.
pub(super) const TURNED: usize = 64;

/// Panels are filled up to at most so many columns.
const PANEL: usize = 32;

/// Offsets in bytes, in the scratch memory of a thread.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct ScratchLayout {
    /// For each part, the packed right operand of its slab.
    pub(super) panels: Vec<usize>,
    /// A right operand that is packed block by block.
    pub(super) block: usize,
    /// Some rows of a transposed left operand.
    pub(super) turned: usize,
    /// Offsets of rows and of inner indices.
    pub(super) tables: usize,
    /// For each part that accumulates, its sums over a stretch of rows, where they are not in the result.
    pub(super) sums: Vec<Option<usize>>,
    /// All of it.
    bytes: usize,
}

/// The rows of a slab by stretches, each of which belongs to one part of the sums over all rows; one if no part
/// accumulates.
pub(super) fn stretches(rows: usize, adds_up: bool) -> impl ExactSizeIterator<Item = Range<usize>> {
    parts(rows, if adds_up { DEPTH } else { rows })
}

/// The blocks of a stretch of rows.
pub(super) fn blocks(
    rows: &Range<usize>,
    most: usize,
) -> impl ExactSizeIterator<Item = Range<usize>> + use<> {
    let first = rows.start;
    parts(rows.len(), most).map(move |block| first + block.start..first + block.end)
}

/// The numbers of rows that blocks have.
pub(crate) fn block_sizes(group: &Blocked) -> Vec<usize> {
    let stretches = stretches(group.rows, group.adds_up());
    let mut sizes: Vec<usize> =
        stretches.flat_map(|rows| blocks(&rows, group.block)).map(|block| block.len()).collect();
    sizes.sort_unstable();
    sizes.dedup();
    sizes
}

/// A product as the kernel takes it: columns of the result are adjacent, and the rows of the group run along its rows
/// or its inner extent. Exchanging the operands exchanges rows and columns.
#[derive(Clone, Debug)]
pub(super) struct Turn {
    pub(super) exchanged: bool,
    pub(super) along: Along,
    /// Rows, columns, inner extent.
    pub(super) size: [usize; 3],
    /// A, B and C: row stride, column stride.
    pub(super) strides: [(isize, isize); 3],
}

impl Turn {
    /// Whether the kernel can write directly to the result.
    pub(super) fn direct(&self) -> bool {
        let (next, step) = self.strides[2];
        step == 1 && next >= 0
    }

    /// `None` for products that the kernel does not take: it takes all that accumulate.
    pub(super) fn of(p: &Product, along: Along, block: usize) -> Option<Self> {
        let [m, n, k] = p.size;
        let [a, b, c] = [p.a, p.b, p.c].map(|(_, row, col)| (row, col));
        let turn = if c.1 == 1 {
            Turn { exchanged: false, along, size: [m, n, k], strides: [a, b, c] }
        } else {
            let flip = |(row, col)| (col, row);
            let along = match along {
                Along::Rows => Along::Columns,
                Along::Columns => Along::Rows,
                Along::Inner => Along::Inner,
            };
            Turn { exchanged: true, along, size: [n, m, k], strides: [flip(b), flip(a), flip(c)] }
        };
        let (row, col) = turn.strides[0];
        // Rows are found by offsets of 32 bits.
        let reach = block as i128 * row as i128 + turn.size[2] as i128 * col as i128;
        let taken = match turn.along {
            Along::Rows => row >= 0 && col >= 0 && reach < i128::from(u32::MAX) && turn.direct(),
            Along::Inner => true,
            Along::Columns => false,
        };
        taken.then_some(turn)
    }
}

impl ScratchLayout {
    pub(crate) fn of(group: &Blocked) -> ScratchLayout {
        let mut layout = ScratchLayout::default();
        let (mut block, mut turned, mut table) = (0, 0, 0);
        let mut at = 0;
        let several = stretches(group.rows, group.adds_up()).len() > 1;
        for part in &group.parts {
            layout.panels.push(at);
            layout.sums.push(None);
            let Work::Product(p) = &part.work else { continue };
            let Some(turn) = Turn::of(p, part.along, group.block) else { continue };
            let [m, n, k] = turn.size;
            let width = p.dtype.size();
            let sums = m * n * width;
            let n = n.next_multiple_of(PANEL);
            if turn.along == Along::Inner && (several || !turn.direct()) {
                layout.sums.pop();
                layout.sums.push(Some(at));
                at += sums.next_multiple_of(ALIGN);
            }
            if turn.along == Along::Rows {
                at += (n * k * width).next_multiple_of(ALIGN);
                table = table.max(group.block + k);
            } else {
                block = block.max(n * group.block * width);
                turned = turned.max(TURNED * group.block * width);
                table = table.max(TURNED + group.block);
            }
        }
        let mut take = |bytes: usize| {
            at += bytes.next_multiple_of(ALIGN);
            at - bytes.next_multiple_of(ALIGN)
        };
        (layout.block, layout.turned, layout.tables) =
            (take(block), take(turned), take(table * size_of::<u32>()));
        layout.bytes = at;
        layout
    }

    /// Scratch bytes of a thread, beside the block of local values.
    pub(crate) fn of_thread(&self) -> usize {
        self.bytes
    }
}
