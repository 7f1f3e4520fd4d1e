//! Order along an axis: sorting, and the index of an extremum.
//!
//! An element and its position become one integer that orders by both: no two are equal, so the result does not depend
//! on the division of work, and an unstable sort keeps the order of equal elements.
//!
//! Invariant: `outer · extent · inner` elements are there; a place in a line is below its extent, and below 2³² where
//! the packed form has 64 bits (`LibraryKernel::new` sees to it).

use gradus_core::ops::{ArgReduce, Sort};
use gradus_core::{DType, Shape};

use super::library::Shared;
use super::reduce::with_number;
use super::versions::{Versioned, best};
use crate::Pool;

/// Lines of elements along an axis.
#[derive(Clone, Copy, Debug)]
pub(super) struct Lines {
    outer: usize,
    extent: usize,
    inner: usize,
}

impl Lines {
    pub(super) fn new(shape: &Shape, axis: usize) -> Self {
        let inner = shape[axis + 1..].iter().product();
        Lines { outer: shape[..axis].iter().product(), extent: shape[axis], inner }
    }

    /// Bytes that sorting them allocates: packed elements of a line for each thread, or of one long line twice.
    pub(super) fn sorting_allocates(&self, dtype: DType) -> (usize, usize) {
        let packed = if dtype.size() == 8 { size_of::<u128>() } else { size_of::<u64>() };
        let line = self.extent * packed;
        if self.extent <= PIECE { (0, line) } else { (2 * line, 0) }
    }
}

/// Elements a task should look at.
const TASK: usize = 16_384;
/// Elements that are sorted at once in a long line; longer lines are merged from such pieces.
const PIECE: usize = 1 << 16;

/// An element as an unsigned integer with the same order: NaN largest, both zeros equal.
trait Key: Copy + Send + Sync + PartialOrd + PartialEq + 'static {
    /// Key and place together.
    type Packed: Copy + Ord + Send + Sync + Default;
    /// `place` is below 2³² where the packed form has 64 bits.
    fn packed(self, place: usize, descending: bool) -> Self::Packed;
    fn place(packed: Self::Packed) -> usize;
    fn is_nan(self) -> bool {
        #[allow(clippy::eq_op)] // only NaN differs from itself
        {
            self != self
        }
    }
}

macro_rules! keys {
    ($($t:ty as $unsigned:ty => $packed:ty: |$x:ident| $key:expr;)+) => { $(
        impl Key for $t {
            type Packed = $packed;
            #[inline(always)]
            fn packed(self, place: usize, descending: bool) -> $packed {
                let $x = self;
                let key: $unsigned = $key;
                let key = if self.is_nan() { <$unsigned>::MAX } else { key };
                let key = if descending { !key } else { key };
                <$packed>::from(key) << (<$packed>::BITS / 2) | place as $packed
            }
            #[inline(always)]
            fn place(packed: $packed) -> usize {
                (packed & (<$packed>::MAX >> (<$packed>::BITS / 2))) as usize
            }
        }
    )+ };
}
// Neither an infinity nor its complement is the largest integer, which NaN has for itself; an integer's extreme may be,
// but there is no NaN beside it.
keys! {
    f32 as u32 => u64: |x| { let b = (x + 0.0).to_bits(); b ^ (((b as i32) >> 31) as u32 | 1 << 31) };
    f64 as u64 => u128: |x| { let b = (x + 0.0).to_bits(); b ^ (((b as i64) >> 63) as u64 | 1 << 63) };
    i32 as u32 => u64: |x| x as u32 ^ 1 << 31;
    i64 as u64 => u128: |x| x as u64 ^ 1 << 63;
    u8 as u32 => u64: |x| u32::from(x);
}

/// The sorted values, and the original position of each.
///
/// # Safety
/// `x` holds the lines' elements, the results can hold as many, all apart from each other.
pub(super) unsafe fn sort(
    sort: &Sort,
    lines: Lines,
    dtype: DType,
    x: *const u8,
    values: *mut u8,
    indices: *mut u8,
    pool: &Pool,
) {
    let (x, values) = (Shared(x.cast_mut()), Shared(values));
    let indices = Shared(indices);
    // SAFETY: the caller's promise.
    with_number!(dtype, T => unsafe { sorted::<T>(sort.descending, lines, x, values, indices, pool) })
}

/// # Safety
/// As for [`sort`].
unsafe fn sorted<T: Key>(
    descending: bool,
    lines: Lines,
    x: Shared,
    values: Shared,
    indices: Shared,
    pool: &Pool,
) {
    let Lines { outer, extent, inner } = lines;
    let at = move |line: usize, k: usize| (line / inner * extent + k) * inner + line % inner;
    // SAFETY: lines and places in them are in range.
    let key =
        |line: usize, k: usize| unsafe { (*x.get().cast::<T>().add(at(line, k))).packed(k, descending) };
    // SAFETY: as above, for the results too, of which each place is written once.
    let put = |line: usize, k: usize, packed: T::Packed| unsafe {
        let from = T::place(packed);
        let value = *x.get().cast::<T>().add(at(line, from));
        values.get().cast::<T>().add(at(line, k)).write(value);
        indices.get().cast::<i64>().add(at(line, k)).write(from as i64);
    };
    if extent <= PIECE {
        pool.run_ranges(outer * inner, (TASK / 8 / extent.max(1)).max(1), &|range| {
            let mut keys: Vec<T::Packed> = Vec::with_capacity(extent);
            for line in range {
                keys.clear();
                keys.extend((0..extent).map(|k| key(line, k)));
                keys.sort_unstable();
                for (k, &packed) in keys.iter().enumerate() {
                    put(line, k, packed);
                }
            }
        });
        return;
    }
    let (mut keys, mut merged) = (vec![T::Packed::default(); extent], vec![T::Packed::default(); extent]);
    for line in 0..outer * inner {
        let to = Shared(keys.as_mut_ptr().cast());
        pool.run_ranges(extent, PIECE, &|range| {
            // SAFETY: pieces are apart.
            let piece = unsafe {
                std::slice::from_raw_parts_mut(to.get().cast::<T::Packed>().add(range.start), range.len())
            };
            for (packed, k) in piece.iter_mut().zip(range) {
                *packed = key(line, k);
            }
            piece.sort_unstable();
        });
        let mut width = PIECE;
        while width < extent {
            merge(&keys, &mut merged, width, pool);
            std::mem::swap(&mut keys, &mut merged);
            width *= 2;
        }
        let keys = &keys;
        pool.run_ranges(extent, TASK, &|range| range.for_each(|k| put(line, k, keys[k])));
    }
}

/// Merges neighbouring runs of `width` elements, in pieces that are cut where their beginnings fall in both runs.
fn merge<P: Copy + Ord + Send + Sync>(from: &[P], to: &mut [P], width: usize, pool: &Pool) {
    let n = from.len();
    let out = Shared(to.as_mut_ptr().cast());
    pool.run_ranges(n, PIECE, &|range| {
        // A piece lies inside one pair of runs: the widths are multiples of it.
        let base = range.start / (2 * width) * (2 * width);
        let left = &from[base..(base + width).min(n)];
        let right = &from[(base + width).min(n)..(base + 2 * width).min(n)];
        let (mut i, mut j) = split(left, right, range.start - base);
        for k in range {
            let first = j == right.len() || (i < left.len() && left[i] < right[j]);
            let next = if first { left[i] } else { right[j] };
            i += usize::from(first);
            j += usize::from(!first);
            // SAFETY: pieces are apart and inside the result.
            unsafe { out.get().cast::<P>().add(k).write(next) };
        }
    });
}

/// The number of elements that each of two runs contributes to the first `count` merged ones.
fn split<P: Ord>(left: &[P], right: &[P], count: usize) -> (usize, usize) {
    let (mut low, mut high) = (count.saturating_sub(right.len()), count.min(left.len()));
    while low < high {
        let middle = low.midpoint(high);
        if left[middle] < right[count - middle - 1] {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    (low, count - low)
}

/// The index of the extremum of each line.
///
/// # Safety
/// `x` holds the lines' elements, at least one in each, and `out` can hold an `i64` a line, apart from them.
pub(super) unsafe fn extremum(
    which: &ArgReduce,
    lines: Lines,
    dtype: DType,
    x: *const u8,
    out: *mut u8,
    pool: &Pool,
) {
    let (x, out) = (Shared(x.cast_mut()), Shared(out));
    // SAFETY: the caller's promise.
    with_number!(dtype, T => unsafe {
        if which.max {
            found::<T, true>(lines, x, out, pool)
        } else {
            found::<T, false>(lines, x, out, pool)
        }
    })
}

/// # Safety
/// As for [`extremum`].
unsafe fn found<T: Key, const MAX: bool>(lines: Lines, x: Shared, out: Shared, pool: &Pool) {
    let Lines { outer, extent, inner } = lines;
    if inner == 1 {
        pool.run_ranges(outer, (TASK / extent.max(1)).max(1), &|range| {
            for line in range {
                // SAFETY: the line lies inside the operand, and the result has a place for it.
                unsafe {
                    let row = x.get().cast::<T>().add(line * extent);
                    let at = best(InRow::<T, MAX> { row, extent });
                    out.get().cast::<i64>().add(line).write(at as i64);
                }
            }
        });
        return;
    }
    let parts = inner.div_ceil(COLUMNS);
    pool.run_ranges(outer * parts, (TASK / (extent * COLUMNS).max(1)).max(1), &|range| {
        for part in range {
            let (line, first) = (part / parts, part % parts * COLUMNS);
            let count = COLUMNS.min(inner - first);
            // SAFETY: as above, for the columns of this part.
            unsafe {
                let x = x.get().cast::<T>().add(line * extent * inner + first);
                let out = out.get().cast::<i64>().add(line * inner + first);
                best(InColumns::<T, MAX> { x, extent, inner, count, out });
            }
        }
    });
}

/// Whether a new element replaces the best so far: the first extremum, the first NaN if there is one.
#[inline(always)]
fn better<T: Key, const MAX: bool>(new: T, old: T) -> bool {
    let farther = if MAX { new > old } else { new < old };
    !old.is_nan() & (new.is_nan() | farther)
}

struct InRow<T, const MAX: bool> {
    row: *const T,
    extent: usize,
}

impl<T: Key, const MAX: bool> Versioned for InRow<T, MAX> {
    type Output = usize;
    #[inline(always)]
    unsafe fn run(self) -> usize {
        const LANES: usize = 32;
        // SAFETY: the row holds that many elements.
        let row = unsafe { std::slice::from_raw_parts(self.row, self.extent) };
        // The extremum, then the first element that is it: neither pass waits for an index.
        let mut lanes = [row[0]; LANES];
        let blocks = row.chunks_exact(LANES);
        let mut extremum = row[0];
        for &v in blocks.remainder() {
            extremum = if better::<T, MAX>(v, extremum) { v } else { extremum };
        }
        for block in blocks {
            for j in 0..LANES {
                lanes[j] = if better::<T, MAX>(block[j], lanes[j]) { block[j] } else { lanes[j] };
            }
        }
        for v in lanes {
            extremum = if better::<T, MAX>(v, extremum) { v } else { extremum };
        }
        let nan = extremum.is_nan();
        let is = |v: T| if nan { v.is_nan() } else { v == extremum };
        let block = row.chunks(LANES).position(|block| block.iter().fold(false, |any, &v| any | is(v)));
        let start = block.unwrap_or(0) * LANES;
        start + row[start..].iter().position(|&v| is(v)).unwrap_or(0)
    }
}

/// Columns that are scanned together.
const COLUMNS: usize = 128;

struct InColumns<T, const MAX: bool> {
    x: *const T,
    extent: usize,
    inner: usize,
    count: usize,
    out: *mut i64,
}

impl<T: Key, const MAX: bool> Versioned for InColumns<T, MAX> {
    type Output = ();
    #[inline(always)]
    unsafe fn run(self) {
        // SAFETY: the columns hold `extent` elements each, and so can the results.
        unsafe {
            let mut tops = [*self.x; COLUMNS];
            let mut places = [0i64; COLUMNS];
            for j in 0..self.count {
                tops[j] = *self.x.add(j);
            }
            for k in 1..self.extent {
                let row = std::slice::from_raw_parts(self.x.add(k * self.inner), self.count);
                for ((&v, top), place) in row.iter().zip(&mut tops).zip(&mut places) {
                    let takes = better::<T, MAX>(v, *top);
                    *top = if takes { v } else { *top };
                    *place = if takes { k as i64 } else { *place };
                }
            }
            std::ptr::copy_nonoverlapping(places.as_ptr(), self.out, self.count);
        }
    }
}
