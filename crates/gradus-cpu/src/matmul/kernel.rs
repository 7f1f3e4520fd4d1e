//! The serial product of one block: plain loops when it is tiny or the type has no kernels, else [panels](super::panel).
//!
//! Invariant: that of the callers: layouts stay inside their operands, C is apart and this call's own.

use super::element::{Element, Operand};
use super::panel::{self, Panels};
use super::tile::Kernels;
use crate::exec::{Versioned, best};
use crate::vmath::{Baseline, InstructionSet, Isa};

/// Multiplications below which plain loops beat a kernel's set-up.
const TINY: usize = 96;

/// `C = alpha A·B + beta C`; C is not read when `beta` is zero.
///
/// # Safety
/// Every element the operands reach is valid, and C is apart from A and B.
pub(crate) unsafe fn product<T: Element>(
    m: usize,
    n: usize,
    k: usize,
    alpha: T,
    a: Operand<T>,
    b: Operand<T>,
    beta: T,
    c: Operand<T>,
) {
    // SAFETY: the caller's promise, handed on.
    unsafe {
        match T::kernels() {
            Some(kernels) if !tiny(m, n, k) => oriented(kernels, [m, n, k], alpha, a, b, beta, c).run(),
            _ => plain(Plain { size: [m, n, k], alpha, a, b, beta, c }),
        }
    }
}

/// Whether plain loops take the product.
pub(super) fn tiny(m: usize, n: usize, k: usize) -> bool {
    k == 0 || m.saturating_mul(n).saturating_mul(k) <= TINY
}

/// Whether the columns of C run along the registers of the kernels, and not its rows: the side on which neighbours are
/// close, unless it is so short that most lanes would be idle.
fn columns_wide(lanes: usize, m: usize, n: usize, row: isize, col: isize) -> bool {
    let short = |side: usize, other: usize| 2 * side <= lanes && other >= lanes;
    if col.abs() <= row.abs() { !short(n, m) } else { short(m, n) }
}

/// The product for the kernels: itself, or its transpose.
pub(super) fn oriented<T: Element>(
    kernels: &'static Kernels<T>,
    [m, n, k]: [usize; 3],
    alpha: T,
    a: Operand<T>,
    b: Operand<T>,
    beta: T,
    c: Operand<T>,
) -> Panels<T> {
    if columns_wide(kernels.lanes, m, n, c.1, c.2) {
        return Panels { kernels, size: [m, n, k], a, b, c, alpha, beta, continued: false };
    }
    let turned = |(start, row, col): Operand<T>| (start, col, row);
    let (a, b, c) = (turned(b), turned(a), turned(c));
    Panels { kernels, size: [n, m, k], a, b, c, alpha, beta, continued: false }
}

/// Elements of scratch for a product of this size whose operands have such distances between rows and columns.
pub(crate) fn scratch_elements<T: Element>([m, n, k]: [usize; 3], [a, b, c]: [(isize, isize); 3]) -> usize {
    match T::kernels() {
        Some(kernels) if ![m, n, k].contains(&0) => {
            if columns_wide(kernels.lanes, m, n, c.0, c.1) {
                panel::scratch_elements(kernels, [m, n, k], a)
            } else {
                panel::scratch_elements(kernels, [n, m, k], (b.1, b.0))
            }
        }
        _ => 0,
    }
}

/// The definition: each element of C is one sum in the order of the inner dimension, products rounded as in the kernels.
struct Plain<T, const FUSED: bool> {
    size: [usize; 3],
    alpha: T,
    a: Operand<T>,
    b: Operand<T>,
    beta: T,
    c: Operand<T>,
}

/// # Safety
/// As for [`product`].
unsafe fn plain<T: Element>(product: Plain<T, true>) {
    // SAFETY: the caller's promise.
    unsafe {
        match InstructionSet::current() {
            InstructionSet::Baseline => {
                let Plain { size, alpha, a, b, beta, c } = product;
                Plain::<T, { Baseline::FMA }> { size, alpha, a, b, beta, c }.run();
            }
            _ => best(product),
        }
    }
}

impl<T: Element, const FUSED: bool> Versioned for Plain<T, FUSED> {
    type Output = ();
    #[inline(always)]
    unsafe fn run(self) {
        let Plain { size: [m, n, k], alpha, a, b, beta, c } = self;
        for i in 0..m as isize {
            for j in 0..n as isize {
                // SAFETY: the caller's promise; `i < m`, `j < n`, `p < k`.
                unsafe {
                    let mut sum = T::ZERO;
                    for p in 0..k as isize {
                        let left = *a.0.offset(i * a.1 + p * a.2);
                        let right = *b.0.offset(p * b.1 + j * b.2);
                        sum = sum.add_product::<FUSED>(left, right);
                    }
                    let place = c.0.offset(i * c.1 + j * c.2);
                    let scaled = if alpha == T::ONE { sum } else { alpha.mul(sum) };
                    *place = if beta == T::ZERO { scaled } else { scaled.add(beta.mul(*place)) };
                }
            }
        }
    }
}
