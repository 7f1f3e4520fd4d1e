//! The serial product of one block: plain loops when it is tiny or the type has no kernel, else the kernel.

use super::element::{Element, Operand};

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
        let tiny = k == 0 || m.saturating_mul(n).saturating_mul(k) <= TINY;
        if tiny || !T::blocked([m, n, k], alpha, a, b, beta, c) {
            plain([m, n, k], alpha, a, b, beta, c);
        }
    }
}

/// The definition: each element of C is one sum in the order of the inner dimension.
///
/// # Safety
/// As for [`product`].
unsafe fn plain<T: Element>(
    [m, n, k]: [usize; 3],
    alpha: T,
    a: Operand<T>,
    b: Operand<T>,
    beta: T,
    c: Operand<T>,
) {
    for i in 0..m as isize {
        for j in 0..n as isize {
            // SAFETY: the caller's promise; `i < m`, `j < n`, `p < k`.
            unsafe {
                let mut sum = T::ZERO;
                for p in 0..k as isize {
                    let left = *a.0.offset(i * a.1 + p * a.2);
                    let right = *b.0.offset(p * b.1 + j * b.2);
                    sum = sum.add(left.mul(right));
                }
                let place = c.0.offset(i * c.1 + j * c.2);
                let scaled = if alpha == T::ONE { sum } else { alpha.mul(sum) };
                *place = if beta == T::ZERO { scaled } else { scaled.add(beta.mul(*place)) };
            }
        }
    }
}
