//! The serial product of a block, by panels of B.
//!
//! The inner dimension is taken in slabs, and of each slab a panel of B's columns at a time, as wide as the tiles: it is
//! packed once, so that it stays in the second-level cache, and all rows of A pass over it, read where they lie. Only a
//! transposed A whose inner indices lie a page or more apart is copied closer together first: such places share sets of
//! the caches, and each has an entry of its own in the tables of pages.
//!
//! Invariant: that of the callers; the scratch holds a panel and a copy of A's part, counted by [`scratch_elements`].

use std::ops::Range;

use super::element::{Element, Operand};
use super::tile::{COLUMNS, Kernels, ROWS, Tile};
use crate::memory::scratch::{self, Slot};

/// Inner indices of a slab at most.
pub(crate) const DEPTH: usize = 384;

/// Rows of A that pass over a panel together: their part of a slab stays in the second-level cache.
const TOGETHER: usize = 384;

/// Bytes between inner indices of A from which on it is copied.
const PAGE: usize = 4096;

/// A product, and the kernels it runs on.
pub(super) struct Panels<T: 'static> {
    pub kernels: &'static Kernels<T>,
    pub size: [usize; 3],
    pub a: Operand<T>,
    pub b: Operand<T>,
    pub c: Operand<T>,
    pub alpha: T,
    pub beta: T,
    /// Whether the sums of the first slab [continue](super::Sum::Continued) what C holds.
    pub continued: bool,
}

/// Equal parts of `0..len`, none larger than `most`.
pub(crate) fn parts(len: usize, most: usize) -> impl ExactSizeIterator<Item = Range<usize>> {
    let count = len.div_ceil(most).max(1);
    (0..count).map(move |i| len * i / count..len * (i + 1) / count)
}

/// Whether A is copied: its rows are adjacent, and inner indices far apart.
fn copies<T>([m, n, _]: [usize; 3], width: usize, (row, step): (isize, isize)) -> bool {
    row == 1 && m >= ROWS && n >= width && step.unsigned_abs() * size_of::<T>() >= PAGE
}

/// Distance between inner indices in a copy of A: whole lines of the cache, and no power of two for usual sizes.
fn pitch<T>(rows: usize) -> usize {
    let line = 64 / size_of::<T>();
    rows.next_multiple_of(line) + line
}

/// Scratch elements of a product of this size whose A has these distances between rows and inner indices.
pub(super) fn scratch_elements<T>(kernels: &Kernels<T>, size: [usize; 3], a: (isize, isize)) -> usize {
    let [m, n, k] = size;
    let (width, depth) = (kernels.width(), k.min(DEPTH));
    let copy = if copies::<T>(size, width, a) { depth * pitch::<T>(m.min(TOGETHER)) } else { 0 };
    depth * width.min(n.next_multiple_of(kernels.lanes)) + copy
}

impl<T: Element> Panels<T> {
    /// Runs it on the calling thread.
    ///
    /// # Safety
    /// Every element that the operands reach is valid; C is apart from A and B, and this call's own.
    pub unsafe fn run(&self) {
        let ([m, n, k], width) = (self.size, self.kernels.width());
        #[cfg(test)]
        super::work::count(m * n * k);
        let copies = copies::<T>(self.size, width, (self.a.1, self.a.2));
        scratch::with(
            Slot::Repack,
            scratch_elements(self.kernels, self.size, (self.a.1, self.a.2)),
            |scratch: *mut T| {
                for rows in parts(m, TOGETHER) {
                    for slab in parts(k, DEPTH) {
                        let mut a = self.a;
                        a.0 = a.0.wrapping_offset(rows.start as isize * a.1 + slab.start as isize * a.2);
                        // SAFETY: rows and slab lie inside the product, the scratch is as large as was asked for.
                        unsafe {
                            if copies {
                                let to = scratch.add(slab.len() * width);
                                let pitch = pitch::<T>(rows.len());
                                for p in 0..slab.len() {
                                    let from = a.0.offset(p as isize * a.2);
                                    to.add(p * pitch).copy_from_nonoverlapping(from, rows.len());
                                }
                                a = (to, 1, pitch as isize);
                            }
                            for first in (0..n).step_by(width) {
                                let columns = first..n.min(first + width);
                                self.panel(a, rows.clone(), slab.clone(), columns, scratch);
                            }
                        }
                    }
                }
            },
        );
    }

    /// All rows of one panel; `a` begins with the first of them, and with the slab.
    ///
    /// # Safety
    /// As for [`run`](Self::run); the panel can hold the columns.
    unsafe fn panel(
        &self,
        a: Operand<T>,
        rows: Range<usize>,
        slab: Range<usize>,
        columns: Range<usize>,
        packed: *mut T,
    ) {
        let Panels { kernels, c, alpha, .. } = *self;
        let continued = self.continued && slab.start == 0;
        let beta = if slab.start == 0 { self.beta } else { T::ONE };
        let registers = columns.len().div_ceil(kernels.lanes);
        let width = registers * kernels.lanes;
        let whole = width == columns.len();
        let tiles = rows.len().div_ceil(ROWS);
        let mut b = self.b;
        b.0 = b.0.wrapping_offset(slab.start as isize * b.1 + columns.start as isize * b.2);
        // Rows of B that can be read where they lie are packed by the first tile, or not at all if it is the only one.
        let in_place = whole && b.2 == 1;
        // SAFETY: the caller's promise.
        unsafe {
            if !in_place {
                pack(kernels, [slab.len(), columns.len()], b, packed, width);
            }
            let mut row = 0;
            for i in 0..tiles {
                let here = rows.len() / tiles + usize::from(i < rows.len() % tiles);
                let place = (rows.start + row) as isize * c.1 + columns.start as isize * c.2;
                let mut tile = Tile {
                    depth: slab.len(),
                    a: (a.0.wrapping_offset(row as isize * a.1), a.1, a.2),
                    b: (packed, width as isize),
                    packed,
                    c: (c.0.wrapping_offset(place), c.1),
                    alpha,
                    beta,
                    continued,
                };
                let first = in_place && i == 0;
                if first {
                    tile.b = (b.0, b.1);
                }
                let packs = first && tiles > 1;
                if whole && c.2 == 1 {
                    kernels.run(here, registers, packs, &tile);
                } else {
                    // A tile beside C, of which the columns that are there go to their places.
                    let mut beside = [T::ZERO; ROWS * COLUMNS];
                    let to = tile.c.0;
                    let place = |r: usize, j: usize| to.wrapping_offset(r as isize * c.1 + j as isize * c.2);
                    if continued {
                        for (r, line) in beside.chunks_mut(width).take(here).enumerate() {
                            line[..columns.len()].iter_mut().enumerate().for_each(|(j, x)| *x = *place(r, j));
                        }
                    }
                    tile.c = (beside.as_mut_ptr(), width as isize);
                    tile.beta = T::ZERO;
                    kernels.run(here, registers, packs, &tile);
                    for (r, line) in beside.chunks(width).take(here).enumerate() {
                        for (j, &sum) in line[..columns.len()].iter().enumerate() {
                            let place = place(r, j);
                            *place = if beta == T::ZERO { sum } else { beta.mul(*place).add(sum) };
                        }
                    }
                }
                row += here;
            }
        }
    }
}

/// Packs rows of B one behind the other, `width` apart, with zeros beyond the last column.
///
/// # Safety
/// `b` is valid over the rows and columns, `to` can hold the rows.
unsafe fn pack<T: Element>(
    kernels: &Kernels<T>,
    [rows, columns]: [usize; 2],
    b: Operand<T>,
    to: *mut T,
    width: usize,
) {
    // SAFETY: the caller's promise.
    unsafe {
        if columns < width {
            std::slice::from_raw_parts_mut(to, rows * width).fill(T::ZERO);
        }
        if b.2 == 1 {
            for p in 0..rows {
                to.add(p * width).copy_from_nonoverlapping(b.0.offset(p as isize * b.1), columns);
            }
        } else {
            transpose_with(kernels, [columns, rows], (b.0, b.2, b.1), (to, width));
        }
    }
}

/// `to[p·stride + i] = from(i, p)` for `i < m`, `p < k`.
///
/// # Safety
/// `from` is valid for reads over `m` by `k`, `to` for writes of `stride · k` elements, and `m <= stride`.
pub(crate) unsafe fn transpose<T: Element>(m: usize, k: usize, from: Operand<T>, to: *mut T, stride: usize) {
    // SAFETY: the caller's promise.
    unsafe {
        match T::kernels() {
            Some(kernels) => transpose_with(kernels, [m, k], from, (to, stride)),
            None => scalars([0..m, 0..k], from, (to, stride)),
        }
    }
}

/// # Safety
/// As for [`transpose`].
unsafe fn transpose_with<T: Copy>(
    kernels: &Kernels<T>,
    [m, k]: [usize; 2],
    from: Operand<T>,
    to: (*mut T, usize),
) {
    let whole = |len: usize| if from.2 == 1 { len / kernels.lanes * kernels.lanes } else { 0 };
    let (tall, deep) = (whole(m), whole(k));
    // SAFETY: the caller's promise; squares cover `tall` times `deep`, and what remains is moved one by one.
    unsafe {
        if tall * deep > 0 {
            (kernels.transpose)([tall, deep], (from.0, from.1), to);
            scalars([0..tall, deep..k], from, to);
            scalars([tall..m, 0..k], from, to);
        } else {
            scalars([0..m, 0..k], from, to);
        }
    }
}

/// Transposes a part, element by element.
///
/// # Safety
/// As for [`transpose`].
unsafe fn scalars<T: Copy>(
    [rows, inner]: [Range<usize>; 2],
    from: Operand<T>,
    (to, stride): (*mut T, usize),
) {
    for p in inner {
        for i in rows.clone() {
            // SAFETY: the caller's promise.
            unsafe { *to.add(p * stride + i) = *from.0.offset(i as isize * from.1 + p as isize * from.2) };
        }
    }
}
