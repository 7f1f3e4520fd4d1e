//! Where a thread keeps what the products of a group pack, beside the block of local values; and where shares have sums.

use gradus_plan::ALIGN;
use gradus_plan::kernel::{Along, Product, Slabs, Work};

/// Rows of a transposed left operand that are put in order at once.
pub(super) const TURNED: usize = 64;

/// Panels are filled up to at most so many columns.
const PANEL: usize = 32;

/// Offsets in bytes, in the scratch memory of a thread.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Room {
    /// For each part, the packed right operand of its slab.
    pub(super) panels: Vec<usize>,
    /// A right operand that is packed block by block.
    pub(super) block: usize,
    /// Some rows of a transposed left operand.
    pub(super) turned: usize,
    /// Offsets of rows and of inner indices.
    pub(super) tables: usize,
    /// All of it.
    bytes: usize,
    /// For each part that adds up, its sums among those of a share of a slab's blocks.
    pub(super) sums: Vec<usize>,
    /// All of those.
    share: usize,
    /// How many shares have sums of their own.
    shares: usize,
}

/// A product as the kernel takes it: columns of the result are neighbours, and the rows of the group run along its rows
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
    /// `None` for products that the kernel does not take.
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
        let [(row, col), _, (next, step)] = turn.strides;
        // Rows are found by offsets of 32 bits.
        let reach = block as i128 * row as i128 + turn.size[2] as i128 * col as i128;
        let read = match turn.along {
            Along::Rows => row >= 0 && col >= 0 && reach < i128::from(u32::MAX),
            Along::Inner => true,
            Along::Columns => false,
        };
        (read && step == 1 && next >= 0).then_some(turn)
    }
}

impl Room {
    pub(crate) fn of(slabs: &Slabs) -> Room {
        let mut room = Room::default();
        let (mut block, mut turned, mut table) = (0, 0, 0);
        let mut at = 0;
        for part in &slabs.parts {
            room.panels.push(at);
            room.sums.push(room.share);
            let Work::Product(p) = &part.work else { continue };
            let Some(turn) = Turn::of(p, part.along, slabs.block) else { continue };
            let [m, n, k] = turn.size;
            let width = p.dtype.size();
            let sums = m * n * width;
            let n = n.next_multiple_of(PANEL);
            if turn.along == Along::Rows {
                at += (n * k * width).next_multiple_of(ALIGN);
                table = table.max(slabs.block + k);
            } else {
                room.share += sums.next_multiple_of(ALIGN);
                block = block.max(n * slabs.block * width);
                turned = turned.max(TURNED * slabs.block * width);
                table = table.max(TURNED + slabs.block);
            }
        }
        let mut take = |bytes: usize| {
            at += bytes.next_multiple_of(ALIGN);
            at - bytes.next_multiple_of(ALIGN)
        };
        (room.block, room.turned, room.tables) = (take(block), take(turned), take(table * size_of::<u32>()));
        room.bytes = at;
        room.shares = slabs.count * (slabs.shares - 1);
        room
    }

    /// Bytes that a thread works in, beside the block of local values.
    pub(crate) fn of_thread(&self) -> usize {
        self.bytes
    }

    /// Bytes of the sums of all shares.
    pub(crate) fn sums(&self) -> usize {
        self.shares * self.share
    }

    /// The sums of a share of the blocks of a slab; the first share adds up in the result itself.
    pub(super) fn of_share(
        &self,
        start: *mut u8,
        slab: usize,
        share: usize,
        shares: usize,
    ) -> Option<*mut u8> {
        let index = slab * (shares - 1) + share.checked_sub(1)?;
        Some(start.wrapping_add(index * self.share))
    }

    /// Bytes of the sums of a share.
    pub(super) fn share(&self) -> usize {
        self.share
    }
}
