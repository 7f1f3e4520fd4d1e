//! Finds, during a run, the columns that are visible to a block of rows under the masks of a group.
//!
//! A block computes one range of columns, from the first visible one to the last: the visible columns of causal masks,
//! windows, padding and sequences of documents are ranges. Booleans are read from both ends up to the first visible
//! column: for a mask that hides nothing, one at each end.
//!
//! Invariant: values are read inside their views, over the points of the group.

use std::ops::Range;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use gradus_core::Var;
use gradus_plan::kernel::{self, Mask};
use gradus_plan::{Place, Plan, View};

use crate::exec::places::Memory;
use crate::exec::tile::Columns;
use crate::exec::{bits, strided};
use crate::vmath::sum::LEAF;

/// The granularity of computed columns, in elements.
const LINE: usize = 16;
/// The alignment of their start: a panel of every product and a lane of every sum over rows.
const STEP: usize = 64;
/// Booleans that are read together.
const CHUNK: usize = 256;
/// The number of parts of the columns of a slab that are tracked as computed or not.
const PARTS: usize = 64;

/// The masks of a group, ready to run.
pub(super) struct Masked {
    columns: usize,
    mask: Mask,
    values: Vec<Value>,
    /// Elements of masked values in all runs: those computed, and all of them.
    computed: AtomicU64,
    all: AtomicU64,
}

/// A boolean in memory.
struct Value {
    place: Place,
    view: View,
    packed: bool,
}

/// The columns that a block computes, and one of them that is masked in all its rows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Span {
    pub(super) columns: Columns,
    pub(super) guard: usize,
}

/// The state of a slab while its blocks compute only the visible columns.
#[derive(Default)]
pub(super) struct Slab {
    /// Whether all columns have to be computed.
    pub(super) doubt: AtomicBool,
    /// A bit for each part of the columns that at least one block has computed.
    covered: AtomicU64,
}

impl Span {
    /// The span of a block with these visible columns; `None` if it computes all columns. It has an odd number of cache
    /// lines, so that rows do not collide in the same sets of a cache.
    fn of(visible: Range<usize>, all: usize) -> Option<Span> {
        let Range { start, end } = if visible.is_empty() { 0..0 } else { visible };
        if end < all {
            let from = begin(start, end);
            let lines = (end + 1 - from).div_ceil(LINE) | 1;
            let count = (lines * LINE).min(all - from);
            return (count < all).then_some(Span { columns: Columns { from, count }, guard: count - 1 });
        }
        let from = begin(start.checked_sub(1)?, end);
        (from > 0).then_some(Span { columns: Columns { from, count: all - from }, guard: 0 })
    }
}

/// The first column of a span that contains `start..end`. Sums over rows are cut into [`LEAF`]s, and the span has the
/// same cuts.
fn begin(start: usize, end: usize) -> usize {
    let step = if start / LEAF == end.saturating_sub(1) / LEAF { STEP } else { LEAF };
    start / step * step
}

impl Masked {
    pub(super) fn new(masked: &kernel::Masked, plan: &Plan) -> Self {
        let place = |v: Var| plan.place(v).expect("values that kernels touch have a place");
        let value = |load: &kernel::Load| Value {
            place: place(load.value),
            view: load.view.clone(),
            packed: plan.packed(load.value),
        };
        Masked {
            columns: masked.columns,
            mask: masked.mask.clone(),
            values: masked.values.iter().map(value).collect(),
            computed: AtomicU64::new(0),
            all: AtomicU64::new(0),
        }
    }

    /// The span that a block computes: `rows` of its slab, the first of which is row `first` of all.
    ///
    /// # Safety
    /// `memory` holds the values.
    pub(super) unsafe fn span(
        &self,
        memory: &Memory<'_>,
        rows: &Range<usize>,
        first: usize,
        slab: &Slab,
    ) -> Option<Span> {
        let of_value = |index: usize, shown: bool| {
            // SAFETY: the caller's promise.
            unsafe { self.values[index].visible(memory, first..first + rows.len(), self.columns, shown) }
        };
        let span = Span::of(self.mask.visible(rows, self.columns, &of_value), self.columns);
        let Columns { from, count } = span.map_or(Columns { from: 0, count: self.columns }, |s| s.columns);
        slab.covered.fetch_or(self.parts(from, from + count), Ordering::Relaxed);
        self.computed.fetch_add((rows.len() * count) as u64, Ordering::Relaxed);
        self.all.fetch_add((rows.len() * self.columns) as u64, Ordering::Relaxed);
        span
    }

    /// Columns computed in all runs, counted row by row, and all columns.
    pub(super) fn counts(&self) -> (u64, u64) {
        (self.computed.load(Ordering::Relaxed), self.all.load(Ordering::Relaxed))
    }

    /// Columns of a part.
    fn part(&self) -> usize {
        self.columns.div_ceil(PARTS)
    }

    /// The parts that lie inside a range of columns.
    fn parts(&self, from: usize, to: usize) -> u64 {
        let to = if to == self.columns { PARTS } else { to / self.part() };
        let up_to = |end: usize| if end >= PARTS { u64::MAX } else { (1 << end) - 1 };
        up_to(to) & !up_to(from.div_ceil(self.part()))
    }

    /// Whether all columns of a slab have been computed by some block.
    pub(super) fn covers(&self, slab: &Slab) -> bool {
        slab.covered.load(Ordering::Relaxed) == u64::MAX
    }

    /// Columns that possibly no block of a slab has computed.
    pub(super) fn uncovered(&self, slab: &Slab) -> impl Iterator<Item = Columns> + use<> {
        let (covered, all, part) = (slab.covered.load(Ordering::Relaxed), self.columns, self.part());
        let mut at = 0;
        std::iter::from_fn(move || {
            while at < PARTS && covered >> at & 1 == 1 {
                at += 1;
            }
            let from = at * part;
            while at < PARTS && covered >> at & 1 == 0 {
                at += 1;
            }
            (from < all).then(|| Columns { from, count: (at * part).min(all) - from })
        })
    }
}

impl Value {
    /// The smallest range of columns that contains all that are `shown` to any of some rows.
    ///
    /// # Safety
    /// `memory` holds the value.
    unsafe fn visible(
        &self,
        memory: &Memory<'_>,
        rows: Range<usize>,
        columns: usize,
        shown: bool,
    ) -> Range<usize> {
        let base = memory.at(self.place);
        let mut buffer = [0u8; CHUNK];
        let (mut start, mut end) = (columns, 0);
        let mut before: Option<*const u8> = None;
        // The last row first: under a causal mask it has the most visible columns.
        let last = rows.end - 1;
        for row in std::iter::once(last).chain(rows.start..last) {
            if start == 0 && end == columns {
                break;
            }
            let first = row * columns;
            // Contiguous rows are read in place, and repeated rows once.
            let in_order = match self.packed {
                false => strided::inside_one_run(&self.view, first, columns),
                true => None,
            };
            let in_order = in_order.map(|at| base.wrapping_offset(at));
            if in_order.is_some() && in_order == before {
                continue;
            }
            before = in_order;
            let mut find = |from: usize, to: usize, first_one: bool| {
                // SAFETY: the caller's promise; chunks lie inside the row.
                unsafe {
                    let booleans = match in_order {
                        Some(row) => row.add(from),
                        None if self.packed => {
                            let bit = self.view.offset as usize + first + from;
                            bits::unpack(base, bit, buffer.as_mut_ptr(), to - from);
                            buffer.as_ptr()
                        }
                        None => {
                            strided::gather(
                                base,
                                &self.view,
                                1,
                                first + from,
                                to - from,
                                buffer.as_mut_ptr(),
                            );
                            buffer.as_ptr()
                        }
                    };
                    let booleans = std::slice::from_raw_parts(booleans, to - from);
                    // The usual answer, found many at once.
                    let not = u8::from(!shown);
                    if booleans.iter().fold(0, |all, b| all | (b ^ not)) == 0 {
                        return None;
                    }
                    let is = |&b: &u8| (b != 0) == shown;
                    let at =
                        if first_one { booleans.iter().position(is) } else { booleans.iter().rposition(is) };
                    at.map(|at| from + at)
                }
            };
            let found = (0..start).step_by(CHUNK).find_map(|at| find(at, (at + CHUNK).min(start), true));
            if let Some(at) = found {
                start = at;
            }
            // In a row with visible columns, the start is before the end.
            let least = end.max(found.map_or(end, |at| at + 1));
            end = least;
            let chunks = (columns - least).div_ceil(CHUNK);
            let found = (0..chunks).rev().find_map(|i| {
                let at = least + i * CHUNK;
                find(at, (at + CHUNK).min(columns), false)
            });
            if let Some(at) = found {
                end = at + 1;
            }
        }
        if start < end { start..end } else { 0..0 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_hold_what_is_visible_and_a_column_that_is_not() {
        for all in [48, 65, 128, 300, 513, 1024, 1500] {
            for start in (0..all).step_by(7).chain([all - 1]) {
                for end in (start..=all).step_by(13).chain([all]) {
                    let Some(span) = Span::of(start..end, all) else { continue };
                    let Span { columns: Columns { from, count }, guard } = span;
                    assert!(count < all && from + count <= all && from % STEP == 0, "{span:?}");
                    let seen = if start < end { start..end } else { 0..0 };
                    assert!(seen.is_empty() || from <= seen.start && seen.end <= from + count, "{span:?}");
                    assert!(guard < count && !seen.contains(&(from + guard)), "{span:?} {seen:?} {all}");
                }
            }
            assert_eq!(Span::of(0..all, all), None);
        }
    }

    #[test]
    fn what_no_block_computes_is_told() {
        for columns in [48, 64, 100, 1000] {
            let masked = Masked {
                columns,
                mask: Mask::Causal { offset: 0, beyond: false },
                values: Vec::new(),
                computed: AtomicU64::new(0),
                all: AtomicU64::new(0),
            };
            let slab = Slab::default();
            let computed = [0..columns / 4, columns / 2..columns - columns / 8];
            for range in &computed {
                slab.covered.fetch_or(masked.parts(range.start, range.end), Ordering::Relaxed);
            }
            let told = |j: usize| masked.uncovered(&slab).any(|c| (c.from..c.from + c.count).contains(&j));
            assert!((0..columns).all(|j| computed.iter().any(|r| r.contains(&j)) || told(j)), "{columns}");
            assert!(!masked.covers(&slab));
            slab.covered.fetch_or(masked.parts(0, columns), Ordering::Relaxed);
            assert!(masked.covers(&slab) && masked.uncovered(&slab).next().is_none());
        }
    }
}
