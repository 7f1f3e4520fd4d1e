//! Products of linear programs, in which terms of dead tangents do not count, whatever the other factor is.
//!
//! Elements without a NaN in their sums are what the [kernel](super::kernel) computes, so a block is given to it first, and
//! computed here if NaN comes out and a term that does not count may be why. Here operands are copied a part at a time, infinities and NaN
//! replaced by zeros: the kernel's product of the copies is the sum of all finite terms, with the bits it has elsewhere.
//! What the other terms add depends on their signs alone and on what is zero. Those facts are kept as bits, 32 inner
//! indices a word, so that looking for such terms takes a fraction of the product, however many there are.

use std::ops::Range;
use std::sync::atomic::{AtomicBool, Ordering};

use super::dead::{Candidates, Linear, Look, counts, hides, look};
use super::element::{Element, Operand, Sum};
use super::kernel::{self, oriented, tiny};
use super::panel::{DEPTH, Panels, parts, transpose};
use crate::exec::{Versioned, best};
use crate::memory::scratch::{self, Slot};
use crate::vmath::{Baseline, Float, InstructionSet, Isa};

/// Rows and columns of a part of the result.
const ROWS: usize = 192;
const COLUMNS: usize = 192;

/// Rows or columns whose facts are found together; copies have complete groups of them.
const LANES: usize = 16;

/// Inner indices of a word.
const WORD: usize = u32::BITS as usize;

/// What is known of an element, a bit each.
#[derive(Clone, Copy)]
struct Facts<'a> {
    /// `[fact][word][lane]`
    bits: &'a [u32],
    lanes: usize,
    words: usize,
}

/// Facts: ∞, -∞, NaN; above and below zero, infinities included; dead.
const INFINITE: [usize; 2] = [0, 1];
const NAN: usize = 2;
const SIGN: [usize; 2] = [3, 4];
const DEAD: usize = 5;
const FACTS: usize = 6;

impl Facts<'_> {
    fn word(&self, fact: usize, word: usize, lane: usize) -> u32 {
        self.bits[(fact * self.words + word) * self.lanes + lane]
    }

    fn group(&self, fact: usize, word: usize, lane: usize) -> &[u32; LANES] {
        let at = (fact * self.words + word) * self.lanes + lane;
        self.bits[at..at + LANES].try_into().expect("a group")
    }
}

/// `C = A·B`. `seen` is set once a block had to be computed so, and then skips the kernel: the choice between the two
/// computations changes no bit.
///
/// # Safety
/// Every element the operands reach is valid, and C is apart from A and B.
pub(crate) unsafe fn product<T: Float + Element>(
    size: [usize; 3],
    a: Operand<T>,
    b: Operand<T>,
    c: Operand<T>,
    linear: Linear,
    seen: &AtomicBool,
) {
    let [m, n, k] = size;
    // SAFETY: the caller's promise.
    unsafe {
        if !seen.load(Ordering::Relaxed) {
            let (one, zero) = (<T as Element>::ONE, <T as Element>::ZERO);
            kernel::product(m, n, k, one, a, b, zero, c);
            if !look(Look::NanOrZero, [m, n], c) {
                return;
            }
            if !look(Look::Nan, [m, n], c) || !hides(linear.tangents, size, a, b) {
                Candidates::of_new(linear).mark(linear, size, a, b, c);
                return;
            }
            seen.store(true, Ordering::Relaxed);
        }
        absorbing(size, a, b, c, linear, Sum::New);
    }
}

/// [`product`] where NaN is expected, or a part of one over the inner dimension.
///
/// # Safety
/// As for [`product`].
pub(crate) unsafe fn absorbing<T: Float + Element>(
    size: [usize; 3],
    a: Operand<T>,
    b: Operand<T>,
    c: Operand<T>,
    linear: Linear,
    sum: Sum,
) {
    let [m, n, k] = size;
    // SAFETY: the caller's promise.
    unsafe {
        let candidates = match sum {
            Sum::New => Candidates::of_new(linear),
            _ => Candidates::among(linear, [m, n], c, true),
        };
        if tiny(m, n, k) {
            plain(size, a, b, c, linear.tangents, sum);
        } else {
            by_parts(size, a, b, c, linear.tangents, sum);
        }
        candidates.mark(linear, size, a, b, c);
    }
}

/// [`absorbing`] but for marks.
///
/// # Safety
/// As for [`product`].
unsafe fn by_parts<T: Float + Element>(
    [m, n, k]: [usize; 3],
    a: Operand<T>,
    b: Operand<T>,
    c: Operand<T>,
    tangents: [bool; 2],
    sum: Sum,
) {
    let pad = |lanes: usize| lanes.next_multiple_of(LANES);
    let (rows, columns, depth) = (pad(m.min(ROWS)), pad(n.min(COLUMNS)), k.min(DEPTH));
    let words = depth.div_ceil(WORD);
    let values = rows * depth + depth * columns + rows * columns;
    let facts = FACTS * words * (rows + columns);
    let bytes = values * size_of::<T>() + facts * size_of::<u32>();
    scratch::with(Slot::Absorbing, bytes, |start: *mut u8| {
        let left = start.cast::<T>();
        let right = left.wrapping_add(rows * depth);
        let before = right.wrapping_add(depth * columns);
        let facts = before.wrapping_add(rows * columns).cast::<u32>();
        for i in parts(m, ROWS) {
            for inner in parts(k, DEPTH) {
                let words = inner.len().div_ceil(WORD);
                let rows_of = c.0.wrapping_offset(i.start as isize * c.1);
                // SAFETY: the parts lie inside the operands, and the scratch has a place for each copy and its facts.
                unsafe {
                    // NaN stays NaN, whatever is added.
                    let adds = inner.start > 0 || sum != Sum::New;
                    if adds && !look(Look::Number, [i.len(), n], (rows_of, c.1, c.2)) {
                        continue;
                    }
                    let of = |facts: *mut u32, lanes: usize| {
                        std::slice::from_raw_parts_mut(facts, FACTS * words * pad(lanes))
                    };
                    let odd_left = copy(a, i.clone(), inner.clone(), left);
                    let mut known_left = false;
                    for from in (0..n).step_by(COLUMNS) {
                        let j = from..(from + COLUMNS).min(n);
                        let odd_right = copy((b.0, b.2, b.1), j.clone(), inner.clone(), right);
                        let at = |(start, row, col): Operand<T>| {
                            start.wrapping_offset(i.start as isize * row + j.start as isize * col)
                        };
                        let c = (at(c), c.1, c.2);
                        let sum = if inner.start > 0 { Sum::Added } else { sum };
                        let adds = sum != Sum::New;
                        let size = [i.len(), j.len(), inner.len()];
                        let (of_left, of_right) =
                            (of(facts, i.len()), of(facts.add(FACTS * words * rows), j.len()));
                        if odd_left || odd_right {
                            if !known_left {
                                best(Learn { x: left, depth: inner.len(), facts: &mut *of_left });
                                known_left = true;
                            }
                            best(Learn { x: right, depth: inner.len(), facts: &mut *of_right });
                            if adds {
                                keep([i.len(), j.len()], c, before);
                            }
                        }
                        // The copies have lost what is not finite by now.
                        multiply(size, left, right, c, sum);
                        if odd_left || odd_right {
                            let known = |bits, lanes| Facts { bits, lanes: pad(lanes), words };
                            let (left, right) = (known(&*of_left, i.len()), known(&*of_right, j.len()));
                            let before = adds.then_some(before.cast_const());
                            best(Settle { size: [i.len(), j.len()], left, right, c, before, tangents });
                        }
                    }
                }
            }
        }
    });
}

/// Copies lanes (rows of A, columns of B) over inner indices, neighbouring lanes beside one another; whether any is NaN or
/// infinite.
///
/// # Safety
/// The operand, given as lanes by inner indices, is valid there, and `to` has a place for the copy.
unsafe fn copy<T: Float + Element>(
    x: Operand<T>,
    lanes: Range<usize>,
    inner: Range<usize>,
    to: *mut T,
) -> bool {
    let from = x.0.wrapping_offset(lanes.start as isize * x.1 + inner.start as isize * x.2);
    let stride = lanes.len().next_multiple_of(LANES);
    // SAFETY: the caller's promise.
    unsafe {
        if x.1 == 1 {
            for p in 0..inner.len() {
                let line = from.offset(p as isize * x.2);
                to.add(p * stride).copy_from_nonoverlapping(line, lanes.len());
            }
        } else {
            transpose(lanes.len(), inner.len(), (from, x.1, x.2), to, stride);
        }
        for p in 0..inner.len() {
            to.add(p * stride + lanes.len()).write_bytes(0, stride - lanes.len());
        }
        best(NotFinite { x: to, n: inner.len() * stride })
    }
}

/// A product of copies.
///
/// # Safety
/// The copies have the sizes, and C is valid and apart.
unsafe fn multiply<T: Float + Element>(
    [m, n, k]: [usize; 3],
    left: *mut T,
    right: *mut T,
    c: Operand<T>,
    sum: Sum,
) {
    let beta = if sum == Sum::Added { <T as Element>::ONE } else { <T as Element>::ZERO };
    let stride = |lanes: usize| lanes.next_multiple_of(LANES) as isize;
    let (a, b) = ((left, 1, stride(m)), (right, stride(n), 1));
    let kernels = T::kernels().expect("floats have kernels");
    // SAFETY: the caller's promise.
    unsafe {
        let product = oriented(kernels, [m, n, k], <T as Element>::ONE, a, b, beta, c);
        Panels { continued: sum == Sum::Continued, ..product }.run();
    }
}

/// Copies a part of C.
///
/// # Safety
/// It is valid, and `to` has a place for it.
unsafe fn keep<T: Copy>([m, n]: [usize; 2], c: Operand<T>, to: *mut T) {
    for i in 0..m {
        for j in 0..n {
            // SAFETY: the caller's promise.
            unsafe { *to.add(i * n + j) = *c.0.offset(i as isize * c.1 + j as isize * c.2) };
        }
    }
}

/// Few terms, one by one.
struct Plain<T, const FUSED: bool> {
    size: [usize; 3],
    a: Operand<T>,
    b: Operand<T>,
    c: Operand<T>,
    tangents: [bool; 2],
    sum: Sum,
}

/// # Safety
/// As for [`product`].
unsafe fn plain<T: Float + Element>(
    size: [usize; 3],
    a: Operand<T>,
    b: Operand<T>,
    c: Operand<T>,
    tangents: [bool; 2],
    sum: Sum,
) {
    // SAFETY: the caller's promise.
    unsafe {
        match InstructionSet::current() {
            InstructionSet::Baseline => Plain::<T, { Baseline::FMA }> { size, a, b, c, tangents, sum }.run(),
            _ => best(Plain::<T, true> { size, a, b, c, tangents, sum }),
        }
    }
}

impl<T: Float + Element, const FUSED: bool> Versioned for Plain<T, FUSED> {
    type Output = ();
    #[inline(always)]
    unsafe fn run(self) {
        let Plain { size: [m, n, k], a, b, c, tangents, sum: begin } = self;
        let zero = <T as Element>::ZERO;
        for i in 0..m as isize {
            for j in 0..n as isize {
                // SAFETY: the caller's promise; the indices lie inside the product's sizes.
                unsafe {
                    let to = c.0.offset(i * c.1 + j * c.2);
                    let mut sum = if begin == Sum::Continued { *to } else { zero };
                    for p in 0..k as isize {
                        let (x, y) = (*a.0.offset(i * a.1 + p * a.2), *b.0.offset(p * b.1 + j * b.2));
                        let (x, y) = if counts(tangents, x, y) { (x, y) } else { (zero, zero) };
                        sum = sum.add_product::<FUSED>(x, y);
                    }
                    *to = if begin == Sum::Added { Element::add(*to, sum) } else { sum };
                }
            }
        }
    }
}

/// Finds the facts of a copy and replaces what is not finite by zero.
struct Learn<'a, T> {
    x: *mut T,
    depth: usize,
    facts: &'a mut [u32],
}

impl<T: Float + Element> Versioned for Learn<'_, T> {
    type Output = ();
    #[inline(always)]
    #[allow(clippy::eq_op)] // only NaN differs from itself
    unsafe fn run(self) {
        let zero = <T as Element>::ZERO;
        let (up, down) = (T::from_f64(f64::INFINITY), T::from_f64(f64::NEG_INFINITY));
        let words = self.depth.div_ceil(WORD);
        let lanes = self.facts.len() / (FACTS * words);
        for word in 0..words {
            let inner = word * WORD..self.depth.min((word + 1) * WORD);
            for lane in (0..lanes).step_by(LANES) {
                let mut bits = [[0u32; LANES]; FACTS];
                for p in inner.clone() {
                    let shift = (p - inner.start) as u32;
                    // SAFETY: the copy has `lanes` lanes at each inner index.
                    let x = unsafe { &mut *self.x.add(p * lanes + lane).cast::<[T; LANES]>() };
                    for i in 0..LANES {
                        bits[INFINITE[0]][i] |= u32::from(x[i] == up) << shift;
                        bits[INFINITE[1]][i] |= u32::from(x[i] == down) << shift;
                        bits[NAN][i] |= u32::from(x[i] != x[i]) << shift;
                        bits[SIGN[0]][i] |= u32::from(x[i] > zero) << shift;
                        bits[SIGN[1]][i] |= u32::from(x[i] < zero) << shift;
                        bits[DEAD][i] |= u32::from(x[i].is_dead()) << shift;
                        // Only what is finite is zero when taken from itself.
                        x[i] = if x[i] - x[i] == zero { x[i] } else { zero };
                    }
                }
                for (fact, bits) in bits.iter().enumerate() {
                    let at = (fact * words + word) * lanes + lane;
                    self.facts[at..at + LANES].copy_from_slice(bits);
                }
            }
        }
    }
}

/// Adds what terms that are not finite add to a part of C.
struct Settle<'a, T> {
    size: [usize; 2],
    left: Facts<'a>,
    right: Facts<'a>,
    c: Operand<T>,
    /// The part before this product was added, if it was.
    before: Option<*const T>,
    tangents: [bool; 2],
}

impl<T: Float + Element> Versioned for Settle<'_, T> {
    type Output = ();
    #[inline(always)]
    unsafe fn run(self) {
        let ([m, n], Facts { words, .. }) = (self.size, self.left);
        for j in (0..n).step_by(LANES) {
            let here = LANES.min(n - j);
            // Whether a column has an infinity or a NaN in a word.
            let mut odd = [0u32; DEPTH.div_ceil(WORD)];
            for (word, odd) in odd.iter_mut().enumerate().take(words) {
                let any =
                    |fact: usize| self.right.group(fact, word, j).iter().fold(0, |all, bits| all | bits);
                *odd = any(INFINITE[0]) | any(INFINITE[1]) | any(NAN);
            }
            for i in 0..m {
                let [mut up, mut down, mut nan] = [[0u32; LANES]; 3];
                for word in 0..words {
                    let left = |fact| self.left.word(fact, word, i);
                    let right = |fact| self.right.group(fact, word, j);
                    let infinite = INFINITE.map(left);
                    let odd_left = infinite[0] | infinite[1] | left(NAN);
                    if odd_left | odd[word] == 0 {
                        continue;
                    }
                    let sign = SIGN.map(left);
                    let zero = !(sign[0] | sign[1] | left(NAN));
                    let counts = if self.tangents[0] { !left(DEAD) } else { !zero };
                    let ([above, below], [high, low]) = (SIGN.map(right), INFINITE.map(right));
                    let (nans, dead) = (right(NAN), right(DEAD));
                    for l in 0..LANES {
                        let zeros = !(above[l] | below[l] | nans[l]);
                        let counts = counts & if self.tangents[1] { !dead[l] } else { !zeros };
                        up[l] |= (infinite[0] & above[l]) | (infinite[1] & below[l]);
                        up[l] |= (sign[0] & high[l]) | (sign[1] & low[l]);
                        down[l] |= (infinite[0] & below[l]) | (infinite[1] & above[l]);
                        down[l] |= (sign[0] & low[l]) | (sign[1] & high[l]);
                        let no_number = left(NAN)
                            | nans[l]
                            | ((infinite[0] | infinite[1]) & zeros)
                            | (zero & (high[l] | low[l]));
                        nan[l] |= no_number & counts;
                    }
                    // NaN stays NaN, whatever is added.
                    let mut open = 0;
                    for l in 0..LANES {
                        open |= u32::from((nan[l] == 0) & ((up[l] == 0) | (down[l] == 0)));
                    }
                    if open == 0 {
                        break;
                    }
                }
                let mut any = 0;
                for l in 0..LANES {
                    any |= up[l] | down[l] | nan[l];
                }
                if any == 0 {
                    continue;
                }
                let mut value = [<T as Element>::ZERO; LANES];
                for l in 0..LANES {
                    let mixed = (nan[l] != 0) | ((up[l] != 0) & (down[l] != 0));
                    let infinite = if up[l] != 0 { f64::INFINITY } else { f64::NEG_INFINITY };
                    let odd = T::from_f64(if mixed { f64::NAN } else { infinite });
                    value[l] = if up[l] | down[l] | nan[l] != 0 { odd } else { <T as Element>::ZERO };
                }
                for (l, &value) in value.iter().enumerate().take(here) {
                    if value == <T as Element>::ZERO {
                        continue;
                    }
                    // SAFETY: the caller's promise. Finite terms may have overflowed: the sum of all does not tell.
                    unsafe {
                        let to = self.c.0.offset(i as isize * self.c.1 + (j + l) as isize * self.c.2);
                        let sum = self.before.map(|before| *before.add(i * n + j + l));
                        *to = Element::add(sum.unwrap_or(<T as Element>::ZERO), value);
                    }
                }
            }
        }
    }
}

/// Whether some of `n` neighbours are infinite or NaN.
struct NotFinite<T> {
    x: *const T,
    n: usize,
}

impl<T: Float + Element> Versioned for NotFinite<T> {
    type Output = bool;
    #[inline(always)]
    #[allow(clippy::eq_op)] // only what is finite is zero when taken from itself
    unsafe fn run(self) -> bool {
        let mut seen = [0u32; LANES];
        for at in (0..self.n).step_by(LANES) {
            for j in 0..LANES {
                // SAFETY: the caller's promise; there are whole groups of them.
                let x = unsafe { *self.x.add(at + j) };
                seen[j] |= u32::from(x - x != <T as Element>::ZERO);
            }
        }
        seen.iter().any(|&s| s != 0)
    }
}

#[cfg(test)]
mod tests;
