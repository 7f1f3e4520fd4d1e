//! Products of linear programs: which results no active path reaches.
//!
//! The kernels give 0 for a sum of no term that counts, as they do for other sums that are 0. So the zeros of a result are
//! checked once it is computed: whether the row or the column that an element is made from has no factor that counts, else
//! whether a single term does. Without zeros that costs one look at the result, which is one at NaN as well.

use super::element::{Element, Operand};
use crate::exec::{Versioned, best};
use crate::vmath::Float;

/// What a product of a linear program is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Linear {
    /// Which operands are tangents; a term does not count of which one is dead, or the factor that is none is 0.
    pub tangents: [bool; 2],
    /// Whether results of which no term counts are to be dead.
    pub marks: bool,
}

impl Linear {
    /// Whether it is one at all.
    pub(crate) fn applies(self) -> bool {
        self.tangents != [false; 2]
    }
}

/// Whether a factor keeps its terms from counting.
#[inline(always)]
fn is_nothing<T: Float>(tangent: bool, x: T) -> bool {
    if tangent { x.is_dead() } else { x == T::ZERO }
}

/// Whether a term counts.
#[inline(always)]
pub(crate) fn counts<T: Float>(tangents: [bool; 2], x: T, y: T) -> bool {
    !(is_nothing(tangents[0], x) || is_nothing(tangents[1], y))
}

/// Elements of a result that have been dead so far: before a product is written there, or added.
pub(crate) enum Candidates {
    None,
    All,
    /// Whole rows, whole columns, and elements by their places in row-major order, if there may be others.
    Some {
        rows: Vec<bool>,
        columns: Vec<bool>,
        elements: Vec<usize>,
    },
}

impl Candidates {
    /// Those of a sum that has begun, among which elements may be dead without their row or column if `single`.
    ///
    /// # Safety
    /// The result is valid and has been written.
    pub(crate) unsafe fn among<T: Float + Element>(
        linear: Linear,
        [m, n]: [usize; 2],
        c: Operand<T>,
        single: bool,
    ) -> Self {
        if !linear.marks || m == 0 || n == 0 {
            return Candidates::None;
        }
        // SAFETY: the caller's promise.
        let dead = |i: usize, j: usize| unsafe { (*at(c, i, j)).is_dead() };
        let row = |i: usize| (0..n).all(|j| dead(i, j));
        let column = |j: usize| (0..m).all(|i| dead(i, j));
        let elements = if single { (0..m * n).filter(|e| dead(e / n, e % n)).collect() } else { Vec::new() };
        if elements.is_empty() && !(0..m).any(row) && !(0..n).any(column) {
            return Candidates::None;
        }
        Candidates::Some { rows: (0..m).map(row).collect(), columns: (0..n).map(column).collect(), elements }
    }

    /// Those of a result that a product begins.
    pub(crate) fn of_new(linear: Linear) -> Self {
        if linear.marks { Candidates::All } else { Candidates::None }
    }

    /// Makes the candidates dead for which no term counts, and the others numbers. Whether an element is dead now without
    /// its row or column.
    ///
    /// # Safety
    /// Operands and result are valid, and the product has been computed.
    pub(crate) unsafe fn mark<T: Float + Element>(
        self,
        linear: Linear,
        [m, n, k]: [usize; 3],
        a: Operand<T>,
        b: Operand<T>,
        c: Operand<T>,
    ) -> bool {
        let mut marks =
            Marks { linear, k, a, b, c, rows: Lanes::new(m), columns: Lanes::new(n), single: false };
        // SAFETY: the caller's promise.
        unsafe {
            match self {
                Candidates::None => {}
                // Along neighbours, which are scanned together.
                Candidates::All => {
                    let (lines, along, step) = if c.1 == 1 { (n, m, c.1) } else { (m, n, c.2) };
                    for l in 0..lines {
                        let start = if c.1 == 1 { at(c, 0, l) } else { at(c, l, 0) };
                        if look(Look::Zero, [1, along], (start, 0, step)) {
                            let place = |p: usize| if c.1 == 1 { (p, l) } else { (l, p) };
                            (0..along).map(place).for_each(|place| marks.settle(place, [true; 2]));
                        }
                    }
                }
                Candidates::Some { rows, columns, elements } => {
                    let whole = |(i, j): (usize, usize)| [rows[i], columns[j]];
                    let zeros = |start: *mut T, count: usize, step: isize| {
                        look(Look::Zero, [1, count], (start, 0, step))
                    };
                    for i in (0..m).filter(|&i| rows[i] && zeros(at(c, i, 0), n, c.2)) {
                        (0..n).for_each(|j| marks.settle((i, j), whole((i, j))));
                    }
                    for j in (0..n).filter(|&j| columns[j] && zeros(at(c, 0, j), m, c.1)) {
                        (0..m).for_each(|i| marks.settle((i, j), whole((i, j))));
                    }
                    let by_place = elements.into_iter().map(|e| (e / n, e % n));
                    by_place.for_each(|place| marks.settle(place, whole(place)));
                }
            }
        }
        marks.single
    }
}

/// A product whose zeros are being told apart.
struct Marks<T> {
    linear: Linear,
    k: usize,
    a: Operand<T>,
    b: Operand<T>,
    c: Operand<T>,
    rows: Lanes,
    columns: Lanes,
    /// Whether an element is dead without its row or column.
    single: bool,
}

/// Lanes of an operand of which no factor counts, as far as they have been scanned.
struct Lanes {
    known: Vec<Option<bool>>,
    count: usize,
}

impl Lanes {
    fn new(count: usize) -> Self {
        Lanes { known: Vec::new(), count }
    }

    /// Whether that is known of a lane.
    fn known(&self, i: usize) -> bool {
        self.known.get(i) == Some(&Some(true))
    }

    fn nothing(&mut self, i: usize, is: impl FnOnce() -> bool) -> bool {
        self.known.resize(self.count, None);
        *self.known[i].get_or_insert_with(is)
    }
}

impl<T: Float + Element> Marks<T> {
    /// Of a candidate, whose row and column are candidates as `whole` says.
    ///
    /// # Safety
    /// As for [`Candidates::mark`].
    unsafe fn settle(&mut self, (i, j): (usize, usize), whole: [bool; 2]) {
        let Marks { linear: Linear { tangents, .. }, k, a, b, c, .. } = *self;
        let to = at(c, i, j);
        // SAFETY: the caller's promise.
        unsafe {
            if *to != <T as Element>::ZERO {
                return;
            }
            let (left, right) = (|p: usize| *at(a, i, p), |p: usize| *at(b, p, j));
            let counts = |p| counts(tangents, left(p), right(p));
            let dead = self.rows.known(i) || self.columns.known(j) || !(0..k).any(counts);
            if dead && !self.single {
                let row = self.rows.nothing(i, || (0..k).all(|p| is_nothing(tangents[0], left(p))));
                let column = self.columns.nothing(j, || (0..k).all(|p| is_nothing(tangents[1], right(p))));
                self.single = !(row && whole[0] || column && whole[1]);
            }
            *to = if dead { T::DEAD } else { <T as Element>::ZERO };
        }
    }
}

/// The place of an element.
fn at<T>((start, row, column): Operand<T>, i: usize, j: usize) -> *mut T {
    start.wrapping_offset(i as isize * row + j as isize * column)
}

/// Inner indices that are scanned together.
const SOME: usize = 64;

/// Whether some term that does not count has an infinity or a NaN in it: only there is a product not what the kernels
/// compute.
///
/// # Safety
/// The operands are valid.
pub(crate) unsafe fn hides<T: Float + Element>(
    tangents: [bool; 2],
    [m, n, k]: [usize; 3],
    a: Operand<T>,
    b: Operand<T>,
) -> bool {
    (0..k).step_by(SOME).any(|from| {
        let facts = |i: usize, lanes: usize, (start, lane, inner): Operand<T>| {
            let x = (start.wrapping_offset(from as isize * inner), lane, inner);
            Terms { x, lanes, inner: SOME.min(k - from), tangent: tangents[i] }
        };
        // SAFETY: the caller's promise.
        let (a, b) = unsafe { (best(facts(0, m, a)), best(facts(1, n, (b.0, b.2, b.1)))) };
        (a.odd & b.nothing) | (a.nothing & b.odd) != 0
    })
}

/// Lanes of an operand, at some inner indices.
struct Terms<T> {
    x: Operand<T>,
    lanes: usize,
    inner: usize,
    tangent: bool,
}

/// At which inner indices factors are infinite or NaN, and at which they keep a term from counting.
struct Found {
    odd: u64,
    nothing: u64,
}

impl<T: Float + Element> Versioned for Terms<T> {
    type Output = Found;
    #[inline(always)]
    #[allow(clippy::eq_op)] // only what is finite is zero when taken from itself
    unsafe fn run(self) -> Found {
        const ODD: u32 = 1;
        const NOTHING: u32 = 2;
        let Terms { x: (start, lane, step), lanes, inner, tangent } = self;
        let zero = <T as Element>::ZERO;
        let of = |x: T| (u32::from(x - x != zero) * ODD) | (u32::from(is_nothing(tangent, x)) * NOTHING);
        // SAFETY: the caller's promise.
        let at = |i: usize, p: usize| unsafe { of(*start.offset(i as isize * lane + p as isize * step)) };
        let mut facts = [0u32; SOME];
        if step == 1 && inner == SOME {
            for i in 0..lanes {
                for (p, facts) in facts.iter_mut().enumerate() {
                    *facts |= at(i, p);
                }
            }
        } else {
            for (p, facts) in facts.iter_mut().enumerate().take(inner) {
                *facts = (0..lanes).fold(0, |all, i| all | at(i, p));
            }
        }
        let bits = |fact: u32| {
            facts.iter().enumerate().fold(0, |bits, (p, &f)| bits | (u64::from(f & fact != 0) << p))
        };
        Found { odd: bits(ODD), nothing: bits(NOTHING) }
    }
}

/// A property to search elements for.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Look {
    /// NaN.
    Nan,
    /// Zeros, dead or not.
    Zero,
    /// Either.
    NanOrZero,
    /// All but NaN.
    Number,
    /// Infinities.
    Infinite,
    /// Infinities and NaN.
    Odd,
    /// Those and zeros.
    OddOrZero,
    /// Dead tangents.
    Dead,
}

/// Whether some elements of a matrix have the property.
///
/// # Safety
/// It is valid.
pub(crate) unsafe fn look<T: Float + Element>(
    what: Look,
    [m, n]: [usize; 2],
    (start, row, col): Operand<T>,
) -> bool {
    let (m, n, row, col) = if row == 1 { (n, m, col, row) } else { (m, n, row, col) };
    // SAFETY: the caller's promise.
    unsafe { best(Lines { what, x: start, m, n, row, step: col }) }
}

/// Some elements of a matrix in lines.
struct Lines<T> {
    what: Look,
    x: *const T,
    m: usize,
    n: usize,
    row: isize,
    step: isize,
}

impl<T: Float + Element> Lines<T> {
    #[inline(always)]
    unsafe fn any(&self, is: impl Fn(T) -> bool) -> bool {
        (0..self.m).any(|i| {
            let line = self.x.wrapping_offset(i as isize * self.row);
            // SAFETY: the caller's promise.
            unsafe {
                if self.step != 1 {
                    return (0..self.n).any(|j| is(*line.offset(j as isize * self.step)));
                }
                // Without an early end, and without lanes written out, so that the loop vectorises.
                (0..self.n).fold(false, |seen, j| seen | is(*line.add(j)))
            }
        })
    }
}

impl<T: Float + Element> Versioned for Lines<T> {
    type Output = bool;
    #[inline(always)]
    #[allow(clippy::eq_op)] // only what is finite is zero when taken from itself
    unsafe fn run(self) -> bool {
        let zero = <T as Element>::ZERO;
        // SAFETY: the caller's promise.
        unsafe {
            match self.what {
                Look::Nan => self.any(|x| x.is_nan()),
                Look::Zero => self.any(|x| x == zero),
                Look::NanOrZero => self.any(|x| (x == zero) | x.is_nan()),
                Look::Number => self.any(|x| !x.is_nan()),
                Look::Infinite => self.any(|x| (x - x != zero) & !x.is_nan()),
                Look::Dead => self.any(|x| x.is_dead()),
                Look::Odd => self.any(|x| x - x != zero),
                Look::OddOrZero => self.any(|x| (x == zero) | (x - x != zero)),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_terms_that_do_not_count_hide_anything() {
        let (m, n, k) = (3, 70, 130);
        for (odd, nothing, wanted) in [
            ((0, 2, 129), (1, 129, 69), true),
            ((0, 2, 129), (1, 128, 69), false),
            ((0, 2, 129), (0, 1, 129), false),
            ((1, 64, 0), (0, 0, 64), true),
            ((1, 64, 0), (0, 0, 0), false),
        ] {
            let (mut a, mut b) = (vec![1f32; m * k], vec![1f32; k * n]);
            for ((operand, row, column), value) in [(odd, f32::INFINITY), (nothing, 0.0)] {
                match operand {
                    0 => a[row * k + column] = value,
                    _ => b[row * n + column] = value,
                }
            }
            // Rows of A lie one after another, or columns; the same product either way.
            let at: Vec<f32> = (0..m * k).map(|i| a[i % m * k + i / m]).collect();
            let bt: Vec<f32> = (0..k * n).map(|i| b[i % k * n + i / k]).collect();
            let of =
                |x: &[f32], row: usize, column: usize| (x.as_ptr().cast_mut(), row as isize, column as isize);
            for (a, b) in [(of(&a, k, 1), of(&b, n, 1)), (of(&at, 1, m), of(&bt, 1, k))] {
                // SAFETY: the operands have these sizes.
                let found = |tangents| unsafe { hides(tangents, [m, n, k], a, b) };
                assert_eq!(found([false; 2]), wanted, "{odd:?}, {nothing:?}");
                // The zero is no dead tangent.
                assert!(!found([true; 2]), "{odd:?}, {nothing:?}");
            }
        }
    }
}
