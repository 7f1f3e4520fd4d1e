//! Products of linear programs: which results no active path reaches.
//!
//! The kernels give 0 for a sum of no term that counts, as they do for other sums that are 0. Where the first element of a row
//! is 0, the row of the tangents that it was made from is looked at; the same for columns. So what is alive costs no more
//! than a look at one element a row. Single elements are looked at where the whole inner extent is at hand.

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

/// Whether a term counts.
#[inline(always)]
pub(crate) fn counts<T: Float>(tangents: [bool; 2], x: T, y: T) -> bool {
    let nothing = |tangent: bool, x: T| if tangent { x.is_dead() } else { x == T::ZERO };
    !(nothing(tangents[0], x) || nothing(tangents[1], y))
}

/// Rows, or columns, of a result that may be dead.
enum Lanes {
    None,
    All,
    Some(Vec<bool>),
}

/// What of a result may be dead once a product has been written there, or added.
pub(crate) struct Candidates {
    rows: Lanes,
    columns: Lanes,
}

impl Candidates {
    /// Before the product is written, if it is the `first` there, or added.
    ///
    /// # Safety
    /// The result is valid, and has been written unless this is the first.
    pub(crate) unsafe fn of<T: Float + Element>(
        linear: Linear,
        first: bool,
        [m, n]: [usize; 2],
        c: Operand<T>,
    ) -> Self {
        let lanes = |i: usize, [count, width]: [usize; 2], [step, along]: [isize; 2]| {
            if !(linear.marks && linear.tangents[i]) || m == 0 || n == 0 {
                return Lanes::None;
            }
            if first {
                return Lanes::All;
            }
            // SAFETY: the caller's promise.
            let at = |i: usize, j: usize| unsafe { *c.0.offset(i as isize * step + j as isize * along) };
            let dead = |i: usize| at(i, 0).is_dead() && (1..width).all(|j| at(i, j).is_dead());
            if (0..count).any(dead) { Lanes::Some((0..count).map(dead).collect()) } else { Lanes::None }
        };
        Candidates { rows: lanes(0, [m, n], [c.1, c.2]), columns: lanes(1, [n, m], [c.2, c.1]) }
    }

    /// Marks rows and columns of the result that are dead.
    ///
    /// # Safety
    /// Operands and result are valid, and the product has been computed.
    pub(crate) unsafe fn mark<T: Float + Element>(
        &self,
        [m, n, k]: [usize; 3],
        a: Operand<T>,
        b: Operand<T>,
        c: Operand<T>,
    ) {
        // SAFETY: the caller's promise.
        unsafe {
            mark(&self.rows, [m, n, k], a, c);
            mark(&self.columns, [n, m, k], (b.0, b.2, b.1), (c.0, c.2, c.1));
        }
    }
}

/// # Safety
/// As for [`Candidates::mark`].
unsafe fn mark<T: Float + Element>(
    lanes: &Lanes,
    [m, n, k]: [usize; 3],
    tangents: Operand<T>,
    c: Operand<T>,
) {
    let candidate = |i: usize| match lanes {
        Lanes::None => false,
        Lanes::All => true,
        Lanes::Some(some) => some[i],
    };
    if matches!(lanes, Lanes::None) {
        return;
    }
    let dead = T::DEAD;
    for i in 0..m {
        // SAFETY: the caller's promise.
        unsafe {
            let row = c.0.offset(i as isize * c.1);
            let tangents_of = tangents.0.offset(i as isize * tangents.1);
            let term = |p: usize| (*tangents_of.offset(p as isize * tangents.2)).is_dead();
            if candidate(i) && *row == <T as Element>::ZERO && (0..k).all(term) {
                (0..n).for_each(|j| *row.offset(j as isize * c.2) = dead);
            }
        }
    }
}

/// Marks the elements of a result that no term counts for, one by one. Mostly it is the first term of a zero that does.
///
/// # Safety
/// Operands and result are valid, and the product has been computed.
pub(crate) unsafe fn mark_elements<T: Float + Element>(
    linear: Linear,
    [m, n, k]: [usize; 3],
    a: Operand<T>,
    b: Operand<T>,
    c: Operand<T>,
) {
    if !linear.marks {
        return;
    }
    let at = |x: Operand<T>, i: usize, j: usize| x.0.wrapping_offset(i as isize * x.1 + j as isize * x.2);
    // Along neighbours, which are looked at together.
    let (outer, inner) = if c.1 == 1 { (n, m) } else { (m, n) };
    let (step, neighbour) = if c.1 == 1 { (c.2, c.1) } else { (c.1, c.2) };
    for o in 0..outer {
        // SAFETY: the caller's promise.
        if !unsafe { look(Look::Zero, [1, inner], (c.0.offset(o as isize * step), 0, neighbour)) } {
            continue;
        }
        for l in 0..inner {
            let (i, j) = if c.1 == 1 { (l, o) } else { (o, l) };
            // SAFETY: the caller's promise.
            unsafe {
                let to = at(c, i, j);
                let term = |p: usize| counts(linear.tangents, *at(a, i, p), *at(b, p, j));
                if *to == <T as Element>::ZERO && !(*to).is_dead() && !(0..k).any(term) {
                    *to = T::DEAD;
                }
            }
        }
    }
}

/// Inner indices that are looked at together.
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
        let of = |x: T| {
            let nothing = if tangent { x.is_dead() } else { x == zero };
            (u32::from(x - x != zero) * ODD) | (u32::from(nothing) * NOTHING)
        };
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

/// What is looked for among elements.
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
}

/// Whether some elements of a matrix are what is looked for.
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
    (0..m as isize).any(|i| unsafe { best(Line { what, x: start.offset(i * row), n, step: col }) })
}

/// Some elements of a matrix in a line.
struct Line<T> {
    what: Look,
    x: *const T,
    n: usize,
    step: isize,
}

impl<T: Float + Element> Line<T> {
    #[inline(always)]
    unsafe fn any(&self, is: impl Fn(T) -> bool) -> bool {
        const LANES: usize = 16;
        // SAFETY: the caller's promise.
        let at = |i: usize| unsafe { *self.x.offset(i as isize * self.step) };
        if self.step != 1 {
            return (0..self.n).any(|i| is(at(i)));
        }
        // Lanes of their own, so that the loop vectorises.
        let mut seen = [0u32; LANES];
        let whole = self.n / LANES * LANES;
        for from in (0..whole).step_by(LANES) {
            for j in 0..LANES {
                // SAFETY: the caller's promise.
                seen[j] |= u32::from(is(unsafe { *self.x.add(from + j) }));
            }
        }
        seen.iter().any(|&s| s != 0) || (whole..self.n).any(|i| is(at(i)))
    }
}

impl<T: Float + Element> Versioned for Line<T> {
    type Output = bool;
    #[inline(always)]
    unsafe fn run(self) -> bool {
        let zero = <T as Element>::ZERO;
        // SAFETY: the caller's promise.
        unsafe {
            match self.what {
                Look::Nan => self.any(|x| x.is_nan()),
                Look::Zero => self.any(|x| x == zero),
                Look::NanOrZero => self.any(|x| (x == zero) | x.is_nan()),
                Look::Number => self.any(|x| !x.is_nan()),
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
